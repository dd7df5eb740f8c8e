// Package file is Telegraf's output file, which stands in the place of Telegraf's own where
// lines of line protocol are written: those of a batch go into the file with one write. A
// write for each line, as Telegraf's has it, is as dear as making a metric.
//
// The bytes are the same, and so is what an error does: the batch is written again, here on
// lines of its own. But Telegraf's use_batch_format takes a batch that a full disk has no room
// for as written.
package file

import (
	"os"
	"reflect"
	"slices"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/models"
	"github.com/influxdata/telegraf/plugins/outputs"
	"github.com/influxdata/telegraf/plugins/outputs/file"
)

// File is the output. Its options are those of Telegraf's. It is not safe for concurrent use.
type File struct {
	file.File
	serializer telegraf.Serializer // nil where each metric is written by itself
	lines      lines
	torn       bool // a write has failed, and may have left part of a line
}

// lines is what Telegraf's output is given as a serializer: it returns the lines of a batch
// in the place of one metric's.
type lines struct{ text []byte }

// Serialize returns the lines.
func (l *lines) Serialize(telegraf.Metric) ([]byte, error) { return l.text, nil }

// SerializeBatch returns the lines.
func (l *lines) SerializeBatch([]telegraf.Metric) ([]byte, error) { return l.text, nil }

// SetSerializer sets the serializer, before Init.
func (f *File) SetSerializer(s telegraf.Serializer) {
	f.File.SetSerializer(s)
	f.serializer = s
}

// Init checks the options.
func (f *File) Init() error {
	if f.together() {
		f.File.SetSerializer(&f.lines)
	} else {
		f.serializer = nil
	}
	return f.File.Init()
}

// Connect opens the files. What a full disk has left of a line, before a reload or a restart,
// is none of the next batch's.
func (f *File) Connect() error {
	if err := f.File.Connect(); err != nil {
		return err
	}
	f.torn = slices.ContainsFunc(f.Files, endsWithinLine)
	return nil
}

// endsWithinLine says whether the last line of a file has no end. What is no file, or cannot be
// read, has none.
func endsWithinLine(name string) bool {
	info, err := os.Stat(name)
	if name == "stdout" || err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	file, err := os.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	last := []byte{'\n'}
	_, err = file.ReadAt(last, info.Size()-1)
	return err == nil && last[0] != '\n'
}

// together says whether the metrics of a batch may be written together. In other formats a
// batch is more than its metrics; a file that has a largest size is cut between metrics, and
// each of them is compressed by itself.
func (f *File) together() bool {
	r, ok := f.serializer.(*models.RunningSerializer)
	return ok && r.Config.DataFormat == "influx" && !bounded(r.Serializer) && !f.UseBatchFormat &&
		f.RotationMaxSize == 0 && (f.CompressionAlgorithm == "" || f.CompressionAlgorithm == "identity")
}

// bounded says whether influx_max_line_bytes is set: of a metric that has a field for which
// no line is long enough, Telegraf's serializer writes the other fields in a batch only.
func bounded(s telegraf.Serializer) bool {
	v := reflect.Indirect(reflect.ValueOf(s))
	if v.Kind() != reflect.Struct {
		return false
	}
	most := v.FieldByName("MaxLineBytes")
	return most.IsValid() && !most.IsZero()
}

// Write writes the metrics. With an error all of them are to be written again; what part of
// them is in the file already is there twice then.
func (f *File) Write(metrics []telegraf.Metric) error {
	if f.serializer == nil || len(metrics) == 0 {
		return f.File.Write(metrics)
	}
	text, err := f.serializer.SerializeBatch(metrics)
	if err != nil {
		f.Log.Errorf("Could not serialize metrics: %v", err)
	}
	if f.torn {
		text = append([]byte{'\n'}, text...) // an empty line is none
	}
	f.lines.text = text
	err = f.File.Write(metrics[:1])
	f.lines.text, f.torn = nil, err != nil
	return err
}

func init() {
	outputs.Add("file", func() telegraf.Output {
		return &File{File: file.File{CompressionLevel: -1}}
	})
}
