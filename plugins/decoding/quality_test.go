package decoding

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/logger"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// observed is a pool that only looks at the quality, and what it tells at a time.
type observed struct {
	*Pool
	t   *testing.T
	now time.Time
}

func observe(t *testing.T, change func(*Options)) *observed {
	p := newPool(t, func(o *Options) {
		o.Wants = Wants{Quality: true}
		if change != nil {
			change(o)
		}
	})
	return &observed{p, t, time.Unix(1767323045, 0)}
}

// takePayloads decodes datagrams of an exporter that come now.
func (o *observed) takePayloads(exporter string, payloads ...[]byte) {
	for _, b := range payloads {
		o.Decode([]collector.Datagram{{Exporter: netip.AddrPortFrom(netip.MustParseAddr(exporter), 2055),
			Received: o.now, Payload: b}})
	}
}

// look lets time pass and returns the fields of netflow_quality, by exporter.
func (o *observed) look(passed time.Duration, drops uint64) map[string]map[string]any {
	o.t.Helper()
	o.now = o.now.Add(passed)
	acc, all := &decodingtest.Accumulator{}, map[string]map[string]any{}
	o.GatherQuality(acc, o.now, drops)
	for _, m := range acc.List() {
		if m.Name() != flowmetric.QualityMeasurement {
			o.t.Fatalf("got a metric %s", m.Name())
		}
		all[m.Tags()["source"]] = m.Fields()
	}
	return all
}

// v5 returns a datagram of NetFlow v5 with flows, as sent at a time.
func v5(at time.Time, sequence uint32, list ...flow.Record) []byte {
	for i := range list {
		if list[i].First == 0 {
			list[i].First, list[i].Last = flow.TimeOf(at.Add(-2*time.Second)), flow.TimeOf(at.Add(-time.Second))
		}
	}
	h := netflow.V5Header{SysUptime: 1e7, Seconds: uint32(at.Unix()), Sequence: sequence}
	return netflow.AppendV5(nil, h, list)
}

// TestExporterGoesQuiet: an exporter that always sends is quiet after a while without;
// one that seldom sends is not.
func TestExporterGoesQuiet(t *testing.T) {
	o := observe(t, nil)
	for i := range 60 {
		if i < 40 {
			o.takePayloads("192.0.2.1", v5(o.now, uint32(i), decodingtest.Flows(i, 1)...))
		}
		if i%10 == 0 {
			o.takePayloads("192.0.2.2", v5(o.now, uint32(i/10), decodingtest.Flows(i, 1)...))
		}
		got := o.look(10*time.Second, 0)
		silence := 10 * (i - 38) // seconds
		if quiet := got["192.0.2.1"]["quiet"]; quiet != (i >= 40 && silence > 100) {
			t.Errorf("round %d: quiet is %v after %d seconds", i, quiet, silence)
		}
		if got["192.0.2.2"]["quiet"] != false {
			t.Errorf("round %d: one that seldom sends is quiet: %v", i, got["192.0.2.2"])
		}
	}
}

// TestSeldomIsNotQuiet: of an exporter that sends less often than it is looked at, the habit
// is how often it sends.
func TestSeldomIsNotQuiet(t *testing.T) {
	o := observe(t, nil)
	for i := range 300 {
		if i%25 == 0 {
			o.takePayloads("192.0.2.1", v5(o.now, uint32(i/25), decodingtest.Flows(i, 1)...))
		}
		got := o.look(10*time.Second, 0)["192.0.2.1"]
		if got["quiet"] != false {
			t.Fatalf("round %d: quiet after %v ms", i, got["silence_ms"])
		}
		if rate, ok := got["usual_datagrams_per_second"].(float64); ok && math.Abs(rate*250-1) > 0.1 {
			t.Fatalf("round %d: %v datagrams a second, want one in 250", i, rate)
		}
	}
	for range 226 { // ten pauses, from the last datagram on
		o.look(10*time.Second, 0)
	}
	if got := o.look(10*time.Second, 0)["192.0.2.1"]; got["quiet"] != true {
		t.Errorf("after ten pauses: %v", got)
	}
}

// TestBurstsAreNotQuiet: of an exporter that sends many datagrams at once, and then none for a
// minute, the minute is a pause; an hour in which it was away is none.
func TestBurstsAreNotQuiet(t *testing.T) {
	o := observe(t, nil)
	send := func(i int) {
		for j := range 40 {
			o.takePayloads("192.0.2.1", v5(o.now, uint32(40*i+j), decodingtest.Flows(i, 1)...))
		}
	}
	habit := func(from int) {
		for i := range 60 {
			if i%6 == 0 {
				send(from + i/6)
			}
			if got := o.look(10*time.Second, 0)["192.0.2.1"]; got["quiet"] != false {
				t.Fatalf("round %d: quiet after %v ms", from+i, got["silence_ms"])
			}
		}
	}
	habit(0)
	for range 2 {
		var got map[string]any
		for range 360 {
			got = o.look(10*time.Second, 0)["192.0.2.1"]
		}
		if got["quiet"] != true {
			t.Errorf("quiet is %v after %v ms", got["quiet"], got["silence_ms"])
		}
		habit(10)
	}
	for range 56 {
		o.look(10*time.Second, 0)
	}
	if got := o.look(10*time.Second, 0)["192.0.2.1"]; got["quiet"] != true {
		t.Errorf("quiet is %v after %v ms", got["quiet"], got["silence_ms"])
	}
}

// TestQualityOfFlows: rates that nobody told, doubled flows, long flows, skewed clocks.
func TestQualityOfFlows(t *testing.T) {
	o := observe(t, nil)
	list := decodingtest.Flows(1, 2000)
	for i := range list {
		list[i].Src = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		list[i].Bytes, list[i].First, list[i].Last = 1000, 0, 0
	}
	list[0].First, list[0].Last = flow.TimeOf(o.now.Add(-time.Hour)), flow.TimeOf(o.now)
	for at := 0; at < len(list); at += 20 {
		o.takePayloads("192.0.2.1", v5(o.now.Add(-5*time.Second), uint32(at), list[at:at+20]...))
		if at < 1000 {
			o.takePayloads("192.0.2.2", v5(o.now.Add(-5*time.Second), uint32(at), list[at:at+20]...))
		}
	}
	got := o.look(10*time.Second, 0)
	one, two := got["192.0.2.1"], got["192.0.2.2"]
	if one["sampling_unknown"] != 1.0 || one["long_flows"] != uint64(1) || one["clock_skew_ms"] != int64(5000) {
		t.Errorf("got %v", one)
	}
	if one["doubled"] != 0.0 || two["doubled"] != 1.0 {
		t.Errorf("doubled is %v of the first and %v of the second, want 0 and 1", one["doubled"], two["doubled"])
	}
	if again := o.look(10*time.Second, 0)["192.0.2.2"]; again["doubled"] != 0.0 {
		t.Errorf("without flows doubled is %v", again["doubled"])
	}
}

// TestQualityOfTemplatesAndLoss: sets without a template, and loss by the port, by sequence
// and by the exporter's books.
func TestQualityOfTemplatesAndLoss(t *testing.T) {
	o := observe(t, func(o *Options) { withRollups(t, o, Rollup{Name: "r", Tags: []string{"src"}, Top: 1}) })
	acc := &decodingtest.Accumulator{}
	o.Start(acc)
	list := decodingtest.Datagrams(t, 100)
	o.takePayloads("192.0.2.1", list[1], list[0], list[2], list[4])
	o.rollups.set.Finish(time.Now(), o.addPoint)
	got := o.look(10*time.Second, 1)["192.0.2.1"]
	if got["sets_without_template"] != uint64(1) || got["loss_kernel"] != 0.2 {
		t.Errorf("got %v, want one set without a template and a fifth lost", got)
	}
	if loss := got["loss_sequence"].(float64); math.Abs(loss-0.25) > 0.02 { // 19 of 76
		t.Errorf("loss_sequence is %v, want 19 of 76", loss)
	}
	if got["series_folded"].(uint64) < 50 {
		t.Errorf("series_folded is %v", got["series_folded"])
	}
	e := &exporterQuality{ports: map[uint32]*reconciled{}}
	s := &collector.ExporterStats{ExporterDatagrams: 100, ExporterDatagramsLost: 10, SamplingRefused: 3, SetsExpired: 4}
	got = e.fields(s, &tally{}, o.now, 0, nil)
	if got["loss_exporter"] != 0.1 || got["sampling_refused"] != uint64(3) || got["sets_expired"] != uint64(4) {
		t.Errorf("got %v", got)
	}
	for _, c := range []struct {
		sent, lost uint64
		want       float64
	}{{200, 60, 0.3}, {300, 110, 0.5}, {400, 108, 0}, {500, 133, 0.25}, {500, 133, 0}, {10, 1, 0.1}} {
		// Two that were taken for lost come late; in the end the exporter begins anew.
		s = &collector.ExporterStats{ExporterFlows: c.sent, ExporterFlowsLost: c.lost}
		if got := e.fields(s, &tally{}, o.now, 0, nil); got["loss_exporter"] != c.want {
			t.Errorf("%d of %d lost: loss_exporter is %v, want %v", c.lost, c.sent, got["loss_exporter"], c.want)
		}
	}
	o.Stop()
}

// TestLossBySequence: one datagram of ten is lost, which is a tenth of what NetFlow v9
// counts, datagrams, of many flows each.
func TestLossBySequence(t *testing.T) {
	o := observe(t, nil)
	e := netflow.V9Encoder{SourceID: 1}
	tmpl, err := ipfix.NewTemplate(256, decodingtest.Fields()[:7])
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		e.Begin(nil, flow.TimeOf(o.now))
		e.AddTemplates(tmpl)
		e.AddData(tmpl, decodingtest.Flows(20*i, 20))
		if b := e.End(); i%10 != 7 {
			o.takePayloads("192.0.2.1", b)
		}
	}
	got := o.look(10*time.Second, 0)["192.0.2.1"]
	if loss := got["loss_sequence"].(float64); math.Abs(loss-0.1) > 0.002 {
		t.Errorf("loss_sequence is %v, want a tenth", loss)
	}
}

// TestReconciliation: flows of one packet in 512, without a word of that, beside the
// counters of their interfaces, propose the rate; with the rate both agree.
func TestReconciliation(t *testing.T) {
	for _, configured := range []int64{0, 512} {
		log := &warnings{Logger: logger.New("inputs", "netflow", "")}
		o := observe(t, func(o *Options) {
			o.Log = log
			table := ExporterOptions{Exporters: []Exporter{{Address: "192.0.2.1", SamplingRate: configured}}}
			if err := table.Apply(&o.Decoder); err != nil {
				t.Fatal(err)
			}
		})
		var got map[string]any
		var counted uint64
		for i := range 20 {
			list := decodingtest.Flows(i*20, 20)
			for j := range list {
				list[j].Bytes, list[j].First, list[j].Last = 100000, 0, 0
				counted += 512 * list[j].Bytes
			}
			o.takePayloads("192.0.2.1", v5(o.now, uint32(20*i), list...), countersOf(o.now, counted))
			got = o.look(10*time.Second, 0)["192.0.2.1"]
			if i < steadySteps && (got["sampling_rate_proposed"] != nil || len(log.list) > 0) {
				t.Errorf("after %d steps: %v, warned %v", i, got, log.list)
			}
		}
		ratio, _ := got["flow_counter_ratio"].(float64)
		warned := strings.Count(strings.Join(log.list, "\n"), "in its configuration, about 512") == 1
		switch {
		case configured == 0 && (math.Abs(ratio*512-1) > 0.01 || !warned ||
			got["sampling_rate_proposed"] != uint64(512)):
			t.Errorf("without a rate: %v, warned %v", got, log.list)
		case configured > 0 && (math.Abs(ratio-1) > 0.01 || got["sampling_rate_proposed"] != nil || warned):
			t.Errorf("with the rate: %v, warned %v", got, log.list)
		}
	}
}

// TestReconciliationOfDirections: whichever flows a router tells of, those that come in at
// its interfaces, those that go out, both, or both of one interface only, as many bytes as
// its counters have are not counted as fewer or more.
func TestReconciliationOfDirections(t *testing.T) {
	for name, ports := range map[string][2][]uint32{
		"coming in":            {{3, 4}, nil},
		"going out":            {nil, {3, 4}},
		"both":                 {{3, 4}, {3, 4}},
		"both of one of these": {{3}, {3}},
	} {
		o := observe(t, nil)
		tmpl, err := ipfix.NewTemplate(256, decodingtest.Fields())
		if err != nil {
			t.Fatal(err)
		}
		e := ipfix.Encoder{Domain: 1}
		var got map[string]any
		for i := range uint64(6) {
			var list []flow.Record
			for direction, seen := range ports {
				for _, port := range seen {
					for _, r := range decodingtest.Flows(int(i)*2, 2) {
						r.Bytes, r.Direction = 1e6, uint8(direction)
						r.Input, r.Output = port, 7-port // of these two interfaces
						if direction == 1 {
							r.Input, r.Output = 7-port, port
						}
						list = append(list, r)
					}
				}
			}
			e.Begin(nil, flow.TimeOf(o.now))
			e.AddTemplates(tmpl)
			e.AddData(tmpl, list)
			counters := map[uint32][2]uint64{3: {i * 2e6, i * 2e6}}
			if slices.Contains(slices.Concat(ports[0], ports[1]), 4) {
				counters[4] = counters[3]
			}
			o.takePayloads("192.0.2.1", e.End(), interfaceCounters(o.now, counters))
			got = o.look(10*time.Second, 0)["192.0.2.1"]
		}
		if ratio, _ := got["flow_counter_ratio"].(float64); math.Abs(ratio-1) > 0.001 {
			t.Errorf("flows %s: %v", name, got)
		}
	}
}

// TestInterfaceOfOneDirection: where sFlow counts both directions of an interface, what
// somebody else has read of one of them changes nothing.
func TestInterfaceOfOneDirection(t *testing.T) {
	o := observe(t, nil)
	var got map[string]any
	for i := range uint64(3) {
		list := decodingtest.Flows(int(i)*20, 20)
		for j := range list {
			list[j].Bytes = 100000
		}
		o.takePayloads("192.0.2.1", v5(o.now, uint32(20*i), list...), countersOf(o.now, i*2e6))
		for _, index := range []uint32{2, 3, 4} { // sFlow does not count 2
			o.Interface(netip.MustParseAddr("192.0.2.1"), index, i*1e9, 0, false, o.now)
		}
		got = o.look(10*time.Second, 0)["192.0.2.1"]
	}
	// Of two steps the former counts nine tenths.
	if got["flow_bytes"] != 1.9*(2e6+2e6) || got["counter_bytes"] != 1.9*(1e9+2e6+2e6) {
		t.Errorf("got %v", got)
	}
}

// TestUnknownCounters: an agent that does not count what goes out, or nothing, says so with
// all bits set. Flows are compared with what is counted.
func TestUnknownCounters(t *testing.T) {
	const unknown = ^uint64(0)
	o := observe(t, nil)
	var got map[string]any
	for i := range uint64(4) {
		list := decodingtest.Flows(int(i)*10, 10)
		for j := range list {
			list[j].Bytes, list[j].Input, list[j].Output = 200000, 3, 3
		}
		o.takePayloads("192.0.2.1", v5(o.now, uint32(10*i), list...),
			interfaceCounters(o.now, map[uint32][2]uint64{3: {i * 2e6, unknown}, 4: {unknown, unknown}}))
		got = o.look(10*time.Second, 0)["192.0.2.1"]
	}
	if got["flow_counter_ratio"] != 1.0 {
		t.Errorf("got %v", got)
	}
}

// countersOf returns a datagram of sFlow with counters of interfaces 3, where flows of
// decodingtest come in, and 4, where they go out.
func countersOf(at time.Time, bytes uint64) []byte {
	return interfaceCounters(at, map[uint32][2]uint64{3: {bytes, 0}, 4: {0, bytes}})
}

// interfaceCounters returns a datagram of sFlow with the bytes of interfaces, in and out.
func interfaceCounters(at time.Time, bytes map[uint32][2]uint64) []byte {
	e := sflow.Encoder{Agent: netip.MustParseAddr("192.0.2.1"), Boot: decodingtest.Exported - 1e12}
	e.Begin(nil, flow.TimeOf(at))
	for index, both := range bytes {
		list := make([]flow.Counter, 19)
		list[0].Value, list[5].Value, list[12].Value = uint64(index), both[0], both[1] // as they lie in the record
		e.Counters(index, flow.CounterRecord{Kind: "interface", Counters: list})
	}
	return e.End()
}

// warnings keeps what is logged as warnings.
type warnings struct {
	telegraf.Logger
	list []string
}

func (w *warnings) Warnf(format string, args ...any) {
	w.list = append(w.list, fmt.Sprintf(format, args...))
}
