package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"
	"github.com/influxdata/telegraf/plugins/outputs/file"
	"github.com/influxdata/telegraf/plugins/serializers/influx"
	"github.com/influxdata/telegraf/plugins/serializers/json"
)

// output is what both outputs are.
type output interface {
	telegraf.Output
	telegraf.Initializer
	SetSerializer(telegraf.Serializer)
}

// serializer returns Telegraf's serializer of a format, as its agent has it.
func serializer(t *testing.T, format string) telegraf.Serializer {
	t.Helper()
	var s interface {
		telegraf.Serializer
		telegraf.Initializer
	} = &influx.Serializer{UintSupport: true}
	switch format {
	case "short lines":
		s, format = &influx.Serializer{UintSupport: true, MaxLineBytes: 120}, "influx"
	case "json":
		s = &json.Serializer{TimestampUnits: config.Duration(time.Second)}
	}
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	return models.NewRunningSerializer(s, &models.SerializerConfig{DataFormat: format})
}

// open starts an output.
func open(t *testing.T, o output, format string) {
	t.Helper()
	o.SetSerializer(serializer(t, format))
	if err := o.Init(); err != nil {
		t.Fatal(err)
	}
	if err := o.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
}

// batches are metrics of several kinds, among them one that has no line.
func batches() [][]telegraf.Metric {
	var all [][]telegraf.Metric
	n := 0
	for _, size := range []int{1, 0, 7, 300} {
		batch := make([]telegraf.Metric, size)
		for i := range batch {
			fields := map[string]any{"in_bytes": uint64(n), "text": strings.Repeat("a\n\" ", n%20)}
			if n == 3 {
				fields = map[string]any{}
			}
			batch[i] = metric.New("netflow", map[string]string{"source": fmt.Sprint("192.0.2.", n)}, fields,
				time.Unix(1767323045, int64(n)))
			n++
		}
		all = append(all, batch)
	}
	return all
}

// Whatever the options are, the bytes are those of Telegraf's output, in the same files.
func TestBytesAreTelegrafs(t *testing.T) {
	for name, c := range map[string]struct {
		format   string
		change   func(*file.File)
		together bool
	}{
		"lines":        {"influx", func(*file.File) {}, true},
		"identity":     {"influx", func(f *file.File) { f.CompressionAlgorithm = "identity" }, true},
		"by time":      {"influx", func(f *file.File) { f.RotationInterval = config.Duration(time.Hour) }, true},
		"in batches":   {"influx", func(f *file.File) { f.UseBatchFormat = true }, false},
		"compressed":   {"influx", func(f *file.File) { f.CompressionAlgorithm = "gzip" }, false},
		"largest size": {"influx", func(f *file.File) { f.RotationMaxSize, f.RotationMaxArchives = 20_000, -1 }, false},
		"short lines":  {"short lines", func(*file.File) {}, false},
		"json":         {"json", func(*file.File) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			all := batches()
			var written [2]string
			for i := range written {
				dir := t.TempDir()
				theirs := file.File{CompressionLevel: -1, Log: logger.New("outputs", "file", ""),
					Files: []string{filepath.Join(dir, "first"), filepath.Join(dir, "second")}}
				c.change(&theirs)
				var o output = &theirs
				if i == 0 {
					o = &File{File: theirs}
				}
				open(t, o, c.format)
				if ours, ok := o.(*File); ok && ours.together() != c.together {
					t.Errorf("written together: %v", ours.together())
				}
				for _, batch := range all {
					if err := o.Write(batch); err != nil {
						t.Fatal(err)
					}
				}
				written[i] = content(t, dir)
			}
			if written[0] != written[1] || len(written[1]) < 5000 {
				t.Errorf("%d bytes that differ from Telegraf's %d", len(written[0]), len(written[1]))
			}
		})
	}
}

// Part of a line that an output before has left stays one of its own.
func TestTornBefore(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	const torn = "netflow,source=192.0.2.1 in_by"
	if err := os.WriteFile(name, []byte(torn), 0o600); err != nil {
		t.Fatal(err)
	}
	batch := batches()[2]
	want, err := serializer(t, "influx").SerializeBatch(batch)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time all lines are whole
		f := &File{File: file.File{CompressionLevel: -1, Log: logger.New("outputs", "file", ""), Files: []string{name}}}
		open(t, f, "influx")
		if err := f.Write(batch); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != torn+"\n"+string(want)+string(want) {
		t.Errorf("%v: got %q", err, got)
	}
}

// content returns the size of each file of a directory and all that is in them. Names of
// files that were cut have a time in them, and are in its order.
func content(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s: %d bytes\n%s", strings.SplitN(filepath.Base(name), ".", 2)[0], len(text), text)
	}
	return all.String()
}
