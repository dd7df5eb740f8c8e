package nffile

import (
	"math"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Protocol classes of the counters in Stat.
const (
	TCP = iota
	UDP
	ICMP // ICMP and ICMPv6
	Other
)

// Stat is the statistics record of a file: what `nfdump -I` prints. Counters are
// as nfcapd 1.7.1 keeps them: every record is one flow; Packets and Bytes include
// the reverse direction, the counters per protocol do not.
type Stat struct {
	Flows, Bytes, Packets uint64

	ProtoFlows, ProtoBytes, ProtoPackets [4]uint64 // TCP, UDP, ICMP, Other

	First, Last      uint64 // milliseconds since 1970; First is 0 when no flow is in the file
	SequenceFailures uint64
}

// noFirst is nfdump's mark for a file without flows.
const noFirst = math.MaxInt64

// protoClass has the class of each protocol number: a table, as no branch could be
// foretold.
var protoClass = func() (class [256]uint8) {
	for i := range class {
		class[i] = Other
	}
	class[6], class[17], class[1], class[58] = TCP, UDP, ICMP, ICMP
	return class
}()

// AddRecord counts the record of one flow, as the writer of a file does.
func (s *Stat) AddRecord(r *flow.Record) {
	s.addFlow(r.Proto, r.First.Milli(), r.Last.Milli(), r.Packets, r.Bytes, r.RevPackets, r.RevBytes)
}

// AddBrief counts the record of one flow that was read in brief, likewise.
func (s *Stat) AddBrief(f *Brief) {
	s.addFlow(f.Proto, f.First, f.Last, f.Packets, f.Bytes, f.RevPackets, f.RevBytes)
}

// addFlow counts one flow record.
func (s *Stat) addFlow(proto uint8, first, last, packets, bytes, outPackets, outBytes uint64) {
	if s.Flows == 0 || first < s.First {
		s.First = first
	}
	if last > s.Last {
		s.Last = last
	}
	s.Flows++
	s.Packets += packets + outPackets
	s.Bytes += bytes + outBytes
	c := protoClass[proto]
	s.ProtoFlows[c]++
	s.ProtoPackets[c] += packets
	s.ProtoBytes[c] += bytes
}

// encode writes the stat record into b, which has statSize bytes.
func (s *Stat) encode(b []byte) {
	le.PutUint16(b, recordStat)
	le.PutUint16(b[2:], statSize)
	for i, v := range s.words() {
		le.PutUint64(b[4+8*i:], *v)
	}
}

// decode reads a stat record of statSize bytes.
func (s *Stat) decode(b []byte) {
	for i, v := range s.words() {
		*v = le.Uint64(b[4+8*i:])
	}
	if s.First == noFirst {
		s.First = 0
	}
}

// words lists the counters in the order of the file.
func (s *Stat) words() [18]*uint64 {
	return [18]*uint64{
		&s.Flows, &s.Bytes, &s.Packets,
		&s.ProtoFlows[TCP], &s.ProtoFlows[UDP], &s.ProtoFlows[ICMP], &s.ProtoFlows[Other],
		&s.ProtoBytes[TCP], &s.ProtoBytes[UDP], &s.ProtoBytes[ICMP], &s.ProtoBytes[Other],
		&s.ProtoPackets[TCP], &s.ProtoPackets[UDP], &s.ProtoPackets[ICMP], &s.ProtoPackets[Other],
		&s.First, &s.Last, &s.SequenceFailures,
	}
}

// Add adds the counters of o, and takes its time in.
func (s *Stat) Add(o Stat) {
	if o.First != 0 && (s.First == 0 || o.First < s.First) {
		s.First = o.First
	}
	s.Last = max(s.Last, o.Last)
	first, last := s.First, s.Last
	to, from := s.words(), o.words()
	for i := range to {
		*to[i] += *from[i]
	}
	s.First, s.Last = first, last
}
