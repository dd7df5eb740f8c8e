package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Info prints statistics of files as nfdump's -I does: NfSen and nfsen-ng read these
// lines. In the formats of JSON it is an object, with the times as text too.
func Info(w io.Writer, ident string, s *nffile.Stat, format string, opt Options) error {
	switch format {
	case "json":
		return infoJSON(w, ident, s, &layout{open: "{\n  \"", next: ",\n  \"", is: "\" : ", close: "\n}\n"}, opt)
	case "ndjson", "json-log":
		return infoJSON(w, ident, s, &layout{open: "{\"", next: ",\"", is: "\":", close: "}\n"}, opt)
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

// infoJSON prints statistics of files as an object.
func infoJSON(w io.Writer, ident string, s *nffile.Stat, l *layout, opt Options) error {
	o := object{layout: l}
	o.text("ident", []byte(ident))
	for _, c := range infoCounters(s) {
		name := strings.ToLower(c.name)
		o.uint(name, c.all)
		for i, proto := range infoProtocols {
			o.uint(name+"_"+proto, c.proto[i])
		}
	}
	clock := newClock(&opt)
	o.plain("first", string(clock.iso(nil, s.First)))
	o.plain("last", string(clock.iso(nil, s.Last)))
	o.uint("msec_first", s.First)
	o.uint("msec_last", s.Last)
	o.uint("sequence_failures", s.SequenceFailures)
	o.close()
	_, err := w.Write(o.b)
	return err
}
