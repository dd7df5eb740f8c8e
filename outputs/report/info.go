package report

import (
	"fmt"
	"io"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Info prints statistics of files as nfdump's -I does: NfSen and nfsen-ng read these
// lines.
func Info(w io.Writer, ident string, s *nffile.Stat) error {
	var b []byte
	b = fmt.Appendf(b, "Ident: %s\n", ident)
	for _, c := range []struct {
		name  string
		all   uint64
		proto [4]uint64
	}{{"Flows", s.Flows, s.ProtoFlows}, {"Packets", s.Packets, s.ProtoPackets}, {"Bytes", s.Bytes, s.ProtoBytes}} {
		b = fmt.Appendf(b, "%s: %d\n", c.name, c.all)
		for i, proto := range [...]string{"tcp", "udp", "icmp", "other"} {
			b = fmt.Appendf(b, "%s_%s: %d\n", c.name, proto, c.proto[i])
		}
	}
	b = fmt.Appendf(b, "First: %d\nLast: %d\nmsec_first: %d\nmsec_last: %d\nSequence failures: %d\n",
		s.First/1000, s.Last/1000, s.First%1000, s.Last%1000, s.SequenceFailures)
	_, err := w.Write(b)
	return err
}
