package collector

import (
	"math"
	"math/bits"
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// sequence watches the sequence numbers that arrive from one source port, and learns how
// the exporter counts. NetFlow v5 should count flows, v9 datagrams (RFC 3954, section
// 5.1), IPFIX data records (RFC 7011, section 3.1); but there are exporters that count
// otherwise in each of them. What is missing is lost once all ways of counting that have
// fitted best say so; until then it is unsure.
type sequence struct {
	port    uint16
	agent   netip.Addr // of sFlow
	used    flow.Time
	run     uint32 // datagrams from the port
	known   bool
	last    uint32
	counts  sent   // of the last datagram
	lateRun uint8  // late datagrams in a row
	way     uint8  // of the protocol's RFC
	misses  uint32 // datagrams whose number did not fit
	votes   [numWays]uint32
	refuted [numWays]uint8  // fits of a way that do not count, as numbers were below what it expects
	pending [numWays]uint64 // what is missing, by the ways of counting; not yet counted as lost
	gaps    uint64          // times
	unsure  uint64          // part of ExporterStats.SequenceUnsure
}

// sent is what a datagram has that its exporter may have counted.
type sent struct {
	flows, options, templates uint32
	unsure                    bool // sets were not decoded
}

// The ways in which exporters count.
const (
	countDatagrams    = iota
	countRecords      // data and option records, without those of the datagram
	countFlows        // without option records
	countTemplates    // template records too
	countThrough      // records, with those of the datagram
	countFlowsThrough // flows, with those of the datagram
	numWays
)

// rfcWay returns how a protocol's RFC wants exporters to count.
func rfcWay(v flow.Version) uint8 {
	if v == flow.V9 || v == flow.SFlow {
		return countDatagrams
	}
	return countRecords
}

const (
	lateDatagrams = 64      // a step back by this many datagrams is reordering
	lateRecords   = 4096    // the same in records
	restartStep   = 1 << 20 // a larger step forward is a restart
	maxLateRun    = 16      // so many late datagrams in a row are a restart
	manyMisses    = 32      // without any that fits: the way of the protocol's RFC is believed
	mostVotes     = 16      // of the leading way, so that another one can overtake it
	refutation    = 64      // fits that one number below what a way expects weighs
)

// expect returns the numbers that a datagram has by the ways of counting, and a bit for
// each way that can tell.
func (s *sequence) expect(now sent) (numbers [numWays]uint32, ways uint8) {
	before := s.counts
	numbers = [numWays]uint32{
		countDatagrams:    s.last + 1,
		countRecords:      s.last + before.flows + before.options,
		countFlows:        s.last + before.flows,
		countTemplates:    s.last + before.flows + before.options + before.templates,
		countThrough:      s.last + now.flows + now.options,
		countFlowsThrough: s.last + now.flows,
	}
	ways = 1 << countDatagrams
	if !before.unsure {
		ways |= 1<<countRecords | 1<<countFlows | 1<<countTemplates
	}
	if !now.unsure {
		ways |= 1<<countThrough | 1<<countFlowsThrough
	}
	return numbers, ways
}

// leaders returns a bit for each way that has fitted best, and whether any has fitted.
func (s *sequence) leaders() (ways uint8, any bool) {
	most := uint32(0)
	for _, v := range s.votes {
		most = max(most, v)
	}
	for i, v := range s.votes {
		if v == most {
			ways |= 1 << i
		}
	}
	return ways, most > 0
}

// vote gives a vote to each of some ways.
func (s *sequence) vote(ways uint8) {
	most := uint32(0)
	for i := range s.votes {
		if ways&(1<<i) != 0 {
			s.votes[i]++
		}
		most = max(most, s.votes[i])
	}
	for i := range s.votes {
		if most > mostVotes {
			s.votes[i] -= min(s.votes[i], most-mostVotes)
		}
	}
}

// takeNumber takes a datagram with a number.
func (s *sequence) takeNumber(st *ExporterStats, seq uint32, now sent) {
	if s.known && !s.compare(st, seq, now) {
		return // late: the sequence stays where it is
	}
	s.known, s.last, s.counts, s.lateRun = true, seq, now, 0
}

// countsBy returns the way in which the exporter counts, as far as that is known, else that
// of the protocol's RFC.
func (s *sequence) countsBy() uint8 {
	if ways, any := s.leaders(); any && ways&(1<<s.way) == 0 {
		return uint8(bits.TrailingZeros8(ways))
	}
	return s.way
}

// received returns how much has come of what the exporter counts. Templates, which hardly
// any exporter counts, are left out.
func (dom *domain) received() uint64 {
	s := &sequence{way: rfcWay(dom.key.version)}
	for i := range dom.sequences {
		if dom.sequences[i].used >= s.used {
			s = &dom.sequences[i]
		}
	}
	switch s.countsBy() {
	case countDatagrams:
		return dom.stats.Datagrams
	case countFlows, countFlowsThrough:
		return dom.stats.Flows
	}
	return dom.stats.Flows + dom.stats.Options
}

// compare compares the number of a datagram with those expected. It returns false for one
// that is late.
func (s *sequence) compare(st *ExporterStats, seq uint32, now sent) bool {
	numbers, can := s.expect(now)
	leaders, any := s.leaders()
	fit := uint8(0)
	for i, n := range numbers {
		if can&(1<<i) != 0 && n == seq {
			fit |= 1 << i
		}
	}
	s.refute(seq, numbers, can)
	fit = s.believed(fit, leaders)
	switch {
	case fit&leaders != 0:
		s.vote(fit)
		s.settle(st)
		return true
	case !any && seq == s.last || leaders&^can != 0:
		return true // a number that is always the same tells nothing; nor what was not decoded
	case fit != 0:
		s.vote(fit)
		s.miss(st, seq, numbers, can)
		return true
	}
	least := s.last
	if any {
		least = s.least(numbers, leaders&can)
	}
	late := int32(lateRecords)
	if leaders&(1<<countDatagrams) != 0 && any {
		late = lateDatagrams
	}
	switch diff := int32(seq - least); {
	case diff > restartStep:
		s.restart(st)
	case diff >= 0:
		s.miss(st, seq, numbers, can)
		if s.misses++; s.misses == manyMisses && !any { // every second datagram is lost
			s.vote(1 << s.way)
			s.settle(st)
		}
		if any {
			s.settle(st)
		}
	case diff >= -late && s.lateRun < maxLateRun:
		s.lateRun++
		st.SequenceLate++
		return false
	default:
		s.restart(st)
	}
	return true
}

// refute notes the ways that expect a larger number than a datagram has: loss makes numbers
// larger, never smaller.
func (s *sequence) refute(seq uint32, numbers [numWays]uint32, can uint8) {
	step := int32(seq - s.last)
	if step <= 0 || step > restartStep {
		return // late, or begun anew
	}
	for i, n := range numbers {
		if can&(1<<i) != 0 && int32(n-seq) > 0 {
			s.refuted[i] = uint8(min(int(s.refuted[i])+refutation, math.MaxUint8))
		}
	}
}

// believed returns those ways that fit and are believed: one that has been refuted may fit
// by chance, as where every second datagram is lost, unless it has fitted best until now.
func (s *sequence) believed(fit, leaders uint8) uint8 {
	for i := range s.refuted {
		if bit := uint8(1) << i; fit&bit != 0 && s.refuted[i] > 0 && (s.votes[i] == 0 || leaders&bit == 0) {
			s.refuted[i]--
			fit &^= bit
		}
	}
	return fit
}

// least returns the smallest of the numbers of some ways.
func (s *sequence) least(numbers [numWays]uint32, ways uint8) uint32 {
	least := int32(math.MaxInt32)
	for i, n := range numbers {
		if ways&(1<<i) != 0 {
			least = min(least, int32(n-s.last))
		}
	}
	return s.last + uint32(least)
}

// restart counts that the exporter's numbers begin anew.
func (s *sequence) restart(st *ExporterStats) {
	st.SequenceRestarts++
	s.refuted = [numWays]uint8{}
	s.forget(st)
}

// miss notes what is missing by each way of counting.
func (s *sequence) miss(st *ExporterStats, seq uint32, numbers [numWays]uint32, can uint8) {
	s.gaps++
	for i, n := range numbers {
		if diff := int32(seq - n); can&(1<<i) != 0 && diff > 0 && diff <= restartStep {
			s.pending[i] += uint64(diff)
		}
	}
	s.tell(st)
}

// settle counts as lost what is missing, where the ways that fit best agree.
func (s *sequence) settle(st *ExporterStats) {
	if s.gaps == 0 {
		return
	}
	leaders, _ := s.leaders()
	lost, first := uint64(0), true
	for i, n := range s.pending {
		if leaders&(1<<i) == 0 {
			continue
		}
		if !first && n != lost {
			return
		}
		lost, first = n, false
	}
	if lost > 0 {
		st.SequenceGaps += s.gaps
		st.SequenceLost += lost
	}
	s.forget(st)
}

// forget forgets what is missing.
func (s *sequence) forget(st *ExporterStats) {
	s.pending, s.gaps = [numWays]uint64{}, 0
	s.tell(st)
}

// tell sets what the sequence adds to what is unsure: the least that may be missing by the
// ways that fit best.
func (s *sequence) tell(st *ExporterStats) {
	unsure := uint64(0)
	if s.gaps > 0 {
		unsure = math.MaxUint64
		leaders, _ := s.leaders()
		for i, n := range s.pending {
			if leaders&(1<<i) != 0 {
				unsure = min(unsure, n)
			}
		}
	}
	st.SequenceUnsure += unsure - s.unsure
	s.unsure = unsure
}

// datagrams takes a datagram of a protocol that counts those before it without exception:
// sFlow.
func (s *sequence) datagrams(st *ExporterStats, seq uint32) {
	if !s.known {
		s.votes[countDatagrams] = mostVotes
	}
	s.takeNumber(st, seq, sent{unsure: true})
}

// near says whether a number may be the next one after some loss.
func (s *sequence) near(seq uint32) bool {
	step := int32(seq - s.last)
	return s.known && step >= 0 && step < 1<<16
}

// end ends a datagram: its sequence number is checked once its records are decoded.
func (d *Decoder) end(m *message) {
	if d.batch == nil {
		d.checkSequence(m)
		return
	}
	d.batch.ended = append(d.batch.ended, m)
}

// checkSequence compares the sequence number of a datagram, whose records are decoded,
// with what the exporter has sent before.
func (d *Decoder) checkSequence(m *message) {
	dom := m.dom
	if dom.key.version == flow.IPFIX {
		dom.exporter.known.flows.Add(uint64(m.flows))
	}
	if d.opt.TemplatesOnly || m.past {
		return
	}
	if dom.key.version == flow.V1 { // which has no sequence numbers
		return
	}
	s, stats := dom.sequence(m), &dom.stats
	switch dom.key.version {
	case flow.V5, flow.V7:
		s.takeNumber(stats, m.sequence, sent{flows: m.announced})
	case flow.V9, flow.IPFIX:
		s.takeNumber(stats, m.sequence, sent{m.flows, m.options, m.templates, m.unsure})
	case flow.SFlow:
		s.datagrams(stats, m.sequence)
	}
}
