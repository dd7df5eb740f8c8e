package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Info prints statistics of files as nfdump's -I does: NfSen and nfsen-ng read these
// lines. In the formats of JSON it is an object, with the times as text too; in csv it is a
// line of names and one of values. CheckInfo says which formats there are.
func Info(w io.Writer, ident string, s *nffile.Stat, format string, opt Options) error {
	fields := infoFields(ident, s, opt)
	switch strings.TrimSuffix(format, "6") {
	case "json":
		return infoJSON(w, fields, &layout{open: "{\n  \"", next: ",\n  \"", is: "\" : ", close: "\n}\n"})
	case "ndjson", "json-log":
		return infoJSON(w, fields, &layout{open: "{\"", next: ",\"", is: "\":", close: "}\n"})
	case "csv":
		return infoCSV(w, fields, opt)
	}
	if err := CheckInfo(format); err != nil {
		return err
	}
	var b []byte
	b = fmt.Appendf(b, "Ident: %s\n", appendText(nil, ident))
	for _, c := range infoCounters(s) {
		b = fmt.Appendf(b, "%s: %d\n", c.name, c.all)
		for i, proto := range infoProtocols {
			b = fmt.Appendf(b, "%s_%s: %d\n", c.name, proto, c.proto[i])
		}
	}
	b = fmt.Appendf(b, "First: %d\nLast: %d\nmsec_first: %d\nmsec_last: %d\nSequence failures: %d\n",
		s.First/1000, s.Last/1000, s.First%1000, s.Last%1000, s.SequenceFailures)
	_, err := w.Write(b)
	return err
}

// CheckInfo says whether statistics of files are printed in a format.
func CheckInfo(format string) error {
	switch strings.TrimSuffix(format, "6") {
	case "json", "ndjson", "json-log", "csv", "raw", "null":
		return nil
	}
	if ForPeople(format) && !strings.HasPrefix(format, "fmt:") {
		return nil
	}
	return fmt.Errorf("-o %s prints flows, not the sums that files keep of themselves: -I takes line, json, ndjson "+
		"and csv", format)
}

// infoCounter is a counter of a file, of all flows and by protocol.
type infoCounter struct {
	name  string
	all   uint64
	proto [4]uint64
}

// infoProtocols are the protocols that a file counts.
var infoProtocols = [...]string{"tcp", "udp", "icmp", "other"}

// infoCounters are the counters of a file.
func infoCounters(s *nffile.Stat) []infoCounter {
	return []infoCounter{{"Flows", s.Flows, s.ProtoFlows}, {"Packets", s.Packets, s.ProtoPackets},
		{"Bytes", s.Bytes, s.ProtoBytes}}
}

// infoField is a figure of files, or a text.
type infoField struct {
	name   string
	text   []byte // nil of a figure
	figure uint64
}

// infoFields are all that is printed as fields with names.
func infoFields(ident string, s *nffile.Stat, opt Options) []infoField {
	fields := []infoField{{name: "ident", text: []byte(ident)}}
	for _, c := range infoCounters(s) {
		name := strings.ToLower(c.name)
		fields = append(fields, infoField{name: name, figure: c.all})
		for i, proto := range infoProtocols {
			fields = append(fields, infoField{name: name + "_" + proto, figure: c.proto[i]})
		}
	}
	clock := newClock(&opt)
	return append(fields, infoField{name: "first", text: clock.iso(nil, s.First)},
		infoField{name: "last", text: clock.iso(nil, s.Last)}, infoField{name: "msec_first", figure: s.First},
		infoField{name: "msec_last", figure: s.Last},
		infoField{name: "sequence_failures", figure: s.SequenceFailures})
}

// infoCSV prints fields as comma separated values (RFC 4180).
func infoCSV(w io.Writer, fields []infoField, opt Options) error {
	var names, values []string
	for _, f := range fields {
		names = append(names, f.name)
		if f.text == nil {
			f.text = strconv.AppendUint(nil, f.figure, 10)
		}
		values = append(values, string(f.text))
	}
	out := csv.NewWriter(w)
	if !opt.Quiet {
		out.Write(names)
	}
	out.Write(values)
	out.Flush()
	return out.Error()
}

// infoJSON prints fields as an object.
func infoJSON(w io.Writer, fields []infoField, l *layout) error {
	o := object{layout: l}
	for _, f := range fields {
		if f.text != nil {
			o.text(f.name, f.text)
		} else {
			o.uint(f.name, f.figure)
		}
	}
	o.close()
	_, err := w.Write(o.b)
	return err
}
