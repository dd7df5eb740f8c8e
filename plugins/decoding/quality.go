package decoding

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/rollup"
)

// quality is what is known of the exporters' flows beyond their counters, and how the
// exporters usually are.
type quality struct {
	doubts    *rollup.Twins
	exporters map[netip.Addr]*exporterQuality
	at        time.Time
	drops     uint64 // of the port, when it was looked at last
	datagrams uint64 // of all exporters, likewise
}

// exporterQuality is an exporter when it was looked at last.
type exporterQuality struct {
	stats    collector.ExporterStats // sums over its domains
	tally    tally
	rate     float64       // datagrams a second, as usual
	rounds   int           // in which it has sent something
	since    time.Duration // from the last of them
	gap      time.Duration // as usual, from one of them to the next where it sends less often than it is looked at
	quiet    bool
	ports    map[uint32]*reconciled
	explains uint64 // the sampling rate that would explain the interfaces' counters
	steady   int    // how many of their steps in a row have said so, but for a factor of two
	proposed uint64 // the sampling rate that the log proposes
}

// reconciled is an interface: the bytes that flows and that its counters have had in the
// same time.
type reconciled struct {
	counted         counted // what was looked at last
	flows           uint64  // as of then, of the directions that were counted
	counters, known float64 // sums of the differences, of which old ones fade
}

// An exporter is quiet when it has sent nothing for so many of its usual pauses, and so
// long at least.
const (
	quietPauses = 10
	quietTime   = 30 * time.Second
)

// usualRounds is how often an exporter has to have been looked at before it has a habit.
const usualRounds = 3

// steadySteps is how many steps of the counters have to say the same before a sampling rate
// is proposed: flows come late, and an agent of SNMP may tell counters of some time ago.
const steadySteps = 3

// fade is how much of older sums stays with each look at an interface's counters.
const fade = 0.9

func newQuality() *quality {
	return &quality{doubts: rollup.NewTwins(nil), exporters: map[netip.Addr]*exporterQuality{}}
}

// GatherQuality adds a metric netflow_quality for each exporter. drops are the datagrams
// that the system has dropped at the port.
func (p *Pool) GatherQuality(acc telegraf.Accumulator, now time.Time, drops uint64) {
	q := p.quality
	if q == nil {
		return
	}
	stats, all := map[netip.Addr]*collector.ExporterStats{}, uint64(0)
	for _, s := range p.Exporters() {
		sum := stats[s.Exporter]
		if sum == nil {
			sum = &collector.ExporterStats{Exporter: s.Exporter}
			stats[s.Exporter] = sum
		}
		addStats(sum, &s)
		all += s.Datagrams
	}
	seen := p.tallied()
	common := map[string]any{"loss_kernel": share(drops-min(q.drops, drops), all-min(q.datagrams, all))}
	for _, c := range p.RollupCounts() {
		folded, _ := common["series_folded"].(uint64)
		common["series_folded"] = folded + c.Folded
	}
	for _, addr := range slices.SortedFunc(maps.Keys(stats), netip.Addr.Compare) {
		e := q.exporters[addr]
		if e == nil {
			if len(q.exporters) >= maxTallies {
				continue
			}
			e = &exporterQuality{ports: map[uint32]*reconciled{}}
			q.exporters[addr] = e
		}
		t := seen[addr]
		if t == nil {
			t = &tally{}
		}
		fields := e.fields(stats[addr], t, now, now.Sub(q.at), p.opt.Log)
		maps.Copy(fields, common)
		acc.AddFields(flowmetric.QualityMeasurement, fields, map[string]string{"source": addr.String()}, now)
	}
	for addr := range q.exporters {
		if stats[addr] == nil { // the decoder has forgotten it
			delete(q.exporters, addr)
		}
	}
	q.at, q.drops, q.datagrams = now, drops, all
}

// tallied returns what all lanes have seen.
func (p *Pool) tallied() map[netip.Addr]*tally {
	all := map[netip.Addr]*tally{}
	for _, w := range p.workers {
		w.mu.Lock()
		for _, l := range w.lanes {
			for addr, t := range l.tallies.all {
				if all[addr] == nil {
					all[addr] = &tally{ports: map[uint32]*portTally{}}
				}
				all[addr].merge(t)
			}
		}
		w.mu.Unlock()
	}
	return all
}

// addStats adds the counters of a domain to those of its exporter.
func addStats(sum, s *collector.ExporterStats) {
	sum.Datagrams += s.Datagrams
	sum.Flows += s.Flows
	sum.SequenceLost += s.SequenceLost
	sum.SequenceReceived += s.SequenceReceived
	sum.ExporterDatagrams += s.ExporterDatagrams
	sum.ExporterDatagramsLost += s.ExporterDatagramsLost
	sum.ExporterFlows += s.ExporterFlows
	sum.ExporterFlowsLost += s.ExporterFlowsLost
	sum.SetsWithoutTemplate += s.SetsWithoutTemplate
	sum.SetsExpired += s.SetsExpired
	sum.SetsWaiting += s.SetsWaiting
	sum.SamplingRefused += s.SamplingRefused
	if s.LastReceived >= sum.LastReceived {
		sum.LastReceived, sum.ClockSkew = s.LastReceived, s.ClockSkew
	}
	sum.SamplingRate = max(sum.SamplingRate, s.SamplingRate)
}

// share returns which share of whole and part together a part is.
func share(part, whole uint64) float64 {
	if part == 0 {
		return 0
	}
	return float64(part) / (float64(part) + float64(whole))
}

// missing returns which share of what an exporter says it has sent since a look before has
// been lost. What was taken for lost then may have come late.
func missing(lost, lostBefore, sent, sentBefore uint64) float64 {
	if sent < sentBefore { // begun anew
		lostBefore, sentBefore = 0, 0
	}
	if lost <= lostBefore || sent == sentBefore {
		return 0
	}
	return min(1, float64(lost-lostBefore)/float64(sent-sentBefore))
}

// grown returns how much a counter has grown; all of it where it began anew.
func grown(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// fields returns the fields of netflow_quality, and keeps what they are compared with the
// next time, which is so much later than the last.
func (e *exporterQuality) fields(s *collector.ExporterStats, t *tally, now time.Time, passed time.Duration,
	log telegraf.Logger) map[string]any {
	b, before := e.stats, e.tally
	unknown, flows := grown(t.unknown, before.unknown), grown(t.flows, before.flows)
	doubled, examined := grown(t.doubled, before.doubled), grown(t.examined, before.examined)
	fields := map[string]any{
		"sampling_rate":    uint64(s.SamplingRate),
		"sampling_unknown": share(unknown, flows-min(unknown, flows)),
		"sampling_refused": s.SamplingRefused,
		"doubled":          share(doubled, examined-min(doubled, examined)),
		"long_flows":       t.long,
		"clock_skew_ms":    int64(s.ClockSkew) / int64(time.Millisecond),

		"sets_without_template": s.SetsWithoutTemplate,
		"sets_expired":          s.SetsExpired,
		"sets_waiting":          uint64(s.SetsWaiting),

		"loss_sequence": share(grown(s.SequenceLost, b.SequenceLost), grown(s.SequenceReceived, b.SequenceReceived)),
		"loss_exporter": max(
			missing(s.ExporterDatagramsLost, b.ExporterDatagramsLost, s.ExporterDatagrams, b.ExporterDatagrams),
			missing(s.ExporterFlowsLost, b.ExporterFlowsLost, s.ExporterFlows, b.ExporterFlows)),
	}
	e.habit(s, now, passed, fields)
	e.reconcile(s, t, fields, log)
	e.stats, e.tally = *s, *t
	e.tally.ports = nil
	return fields
}

// habit says whether the exporter is quiet against its own habit.
func (e *exporterQuality) habit(s *collector.ExporterStats, now time.Time, passed time.Duration,
	fields map[string]any) {
	silence := max(0, now.Sub(s.LastReceived.Time()))
	sent := grown(s.Datagrams, e.stats.Datagrams)
	e.since += passed
	if e.stats.Datagrams == 0 { // the first look
		e.since = 0
	}
	if sent > 0 && e.since > 0 {
		e.learn(float64(sent)/e.since.Seconds(), passed)
	}
	e.quiet = false
	if e.rounds >= usualRounds && e.rate > 0 {
		pause := max(e.gap, time.Duration(float64(time.Second)/e.rate))
		e.quiet = silence > max(quietTime, quietPauses*pause)
		fields["usual_datagrams_per_second"] = e.rate
	}
	fields["quiet"], fields["silence_ms"] = e.quiet, silence.Milliseconds()
}

// learn takes a round in which the exporter has sent something, at a rate, for its habit.
// Many datagrams at once have a pause before them that their rate does not tell; one in
// which it was quiet is no habit.
func (e *exporterQuality) learn(rate float64, passed time.Duration) {
	gap := e.since
	if e.since = 0; gap <= passed {
		gap = 0
	}
	if e.rounds++; e.rounds == 1 {
		e.rate, e.gap = rate, gap
	}
	e.rate += (rate - e.rate) / 8
	if !e.quiet {
		e.gap += (gap - e.gap) / 8
	}
}

// reconcile compares the bytes of flows with the counters of the interfaces.
func (e *exporterQuality) reconcile(s *collector.ExporterStats, t *tally, fields map[string]any, log telegraf.Logger) {
	var flows, counters float64
	step := false
	for index, p := range t.ports {
		c := p.counted
		seen, out := p.both()
		if !c.inOnly {
			seen += out
		}
		if c.at == 0 {
			continue
		}
		r := e.ports[index]
		switch {
		case r == nil || r.counted.inOnly != c.inOnly: // the first, or others than before
			e.ports[index] = &reconciled{counted: c, flows: seen}
			continue
		case c.at > r.counted.at && c.bytes >= r.counted.bytes:
			r.counters = fade*r.counters + float64(c.bytes-r.counted.bytes)
			r.known = fade*r.known + float64(seen-min(r.flows, seen))
			step = step || c.bytes > r.counted.bytes
		}
		if c.at > r.counted.at {
			r.counted, r.flows = c, seen
		}
		flows, counters = flows+r.known, counters+r.counters
	}
	if counters == 0 {
		return
	}
	ratio := flows / counters
	fields["flow_bytes"], fields["counter_bytes"], fields["flow_counter_ratio"] = flows, counters, ratio
	const least = 1e6 // bytes, of which something can be told
	if flows == 0 || counters < least || s.SamplingRate > 1 || ratio > 0.5 {
		return
	}
	e.propose(uint64(math.Round(1/ratio)), step, fields, log)
}

// propose tells of the sampling rate that would explain the interfaces' counters, once
// several steps of them have said so.
func (e *exporterQuality) propose(rate uint64, step bool, fields map[string]any, log telegraf.Logger) {
	apart := func(other uint64) bool { return rate > 2*other || other > 2*rate }
	if apart(e.explains) {
		e.explains, e.steady = rate, 0
	}
	if step {
		e.steady++
	}
	if e.steady < steadySteps {
		return
	}
	fields["sampling_rate_proposed"] = rate
	if log != nil && apart(e.proposed) {
		e.proposed = rate
		log.Warnf("%s: its interfaces have counted %d times the bytes of its flows, and no sampling rate is known: "+
			"if it samples, set sampling_rate for it in a table [[inputs.netflow.exporter]], to the number in its "+
			"configuration, about %d", e.stats.Exporter, rate, rate)
	}
}
