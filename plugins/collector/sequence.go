package collector

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// sequence watches the sequence numbers that arrive from one source port
// (specs/flow-protocols.md, Sequence numbers and loss). NetFlow v5 counts flows,
// IPFIX data and option records, NetFlow v9 datagrams; but there are exporters
// whose v9 counts records, which are recognised by their numbers.
type sequence struct {
	port    uint16
	agent   netip.Addr // of sFlow
	used    flow.Time
	known   bool
	unsure  bool // how many records the last datagram had is unknown
	last    uint32
	count   uint32 // records of the last datagram
	lateRun uint8  // late datagrams in a row
	votes   [3]uint8
}

// The ways in which v9 exporters count, as indices of votes.
const (
	countDatagrams = iota
	countBefore    // records, without those of the datagram
	countThrough   // records, with those of the datagram
)

const (
	lateDatagrams = 64      // a step back by this many datagrams is reordering
	lateRecords   = 4096    // the same in records
	restartStep   = 1 << 20 // a larger step forward is a restart
	maxLateRun    = 16      // so many late datagrams in a row are a restart
	enoughVotes   = 4       // from here on the way of counting is known
)

// records takes in a datagram whose number counts the records before it.
func (s *sequence) records(st *ExporterStats, seq, count uint32, unsure bool) {
	if s.known && !s.unsure && !s.step(st, seq, s.last+s.count, lateRecords) {
		return
	}
	s.advance(seq, count, unsure)
}

// datagrams takes in a datagram whose number counts the datagrams before it.
func (s *sequence) datagrams(st *ExporterStats, seq uint32) {
	if s.known && !s.step(st, seq, s.last+1, lateDatagrams) {
		return
	}
	s.advance(seq, 0, false)
}

// learn takes in a v9 datagram with the given number of data records.
func (s *sequence) learn(st *ExporterStats, seq, count uint32, unsure bool) {
	if !s.known {
		s.advance(seq, count, unsure)
		return
	}
	expected := [3]uint32{countDatagrams: s.last + 1, countBefore: s.last + s.count, countThrough: s.last + count}
	if s.unsure {
		expected[countBefore] = expected[countDatagrams]
	}
	if unsure {
		expected[countThrough] = expected[countDatagrams]
	}
	matches, match, total := 0, 0, 0
	for i, e := range expected {
		total += int(s.votes[i])
		if e == seq {
			matches++
			match = i
		}
	}
	if matches == 1 && s.votes[match] < 255 {
		s.votes[match]++
	}
	way := countDatagrams
	for i, v := range s.votes {
		if v > s.votes[way] {
			way = i
		}
	}
	late := int32(lateDatagrams)
	if way != countDatagrams {
		late = lateRecords
	}
	resync := way == countBefore && s.unsure || way == countThrough && unsure
	settled := total >= enoughVotes || matches == 0
	if !resync && settled && !s.step(st, seq, expected[way], late) {
		return
	}
	s.advance(seq, count, unsure)
}

// step compares a number with the expected one and counts what is missing. It
// returns false for a datagram that is late: the sequence stays where it is.
func (s *sequence) step(st *ExporterStats, seq, expected uint32, late int32) bool {
	switch diff := int32(seq - expected); {
	case diff == 0:
	case diff > restartStep:
		st.SequenceRestarts++
	case diff > 0:
		st.SequenceGaps++
		st.SequenceLost += uint64(diff)
	case diff >= -late && s.lateRun < maxLateRun:
		s.lateRun++
		st.SequenceLate++
		return false
	default:
		st.SequenceRestarts++
	}
	return true
}

// advance makes a datagram the last one.
func (s *sequence) advance(seq, count uint32, unsure bool) {
	s.known, s.last, s.count, s.unsure, s.lateRun = true, seq, count, unsure, 0
}
