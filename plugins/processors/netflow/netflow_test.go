package netflow

import (
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/plugins/parsers/influx"
	serializer "github.com/influxdata/telegraf/plugins/serializers/influx"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/plugins/decoding"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// started returns a processor that has started.
func started(t *testing.T, n *NetFlow) (*NetFlow, *decodingtest.Accumulator) {
	t.Helper()
	n.Log, n.Workers = logger.New("processors", "netflow", ""), 1
	acc := &decodingtest.Accumulator{}
	if err := n.Init(); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(acc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return n, acc
}

// datagrams returns the metrics of datagrams as they come out of a queue: line protocol
// without unsigned numbers.
func datagrams(t *testing.T, payloads [][]byte) (list []telegraf.Metric) {
	t.Helper()
	s := &serializer.Serializer{}
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	p := &influx.Parser{}
	if err := p.Init(); err != nil {
		t.Fatal(err)
	}
	b := flowmetric.DatagramBuilder{}
	for _, dg := range decodingtest.AllReceived(payloads) {
		line, err := s.Serialize(b.Metric(dg))
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m...)
	}
	return list
}

// sum sums a field of a measurement up.
func sum(list []telegraf.Metric, measurement, field string) (sum uint64) {
	for _, m := range list {
		if v, ok := m.GetField(field); ok && m.Name() == measurement {
			sum += v.(uint64)
		}
	}
	return sum
}

// TestFlowsAndRollups: what comes out is what the exporters sent, and with metrics = []
// roll-ups alone.
func TestFlowsAndRollups(t *testing.T) {
	payloads := slices.Concat(decodingtest.Datagrams(t, 100), decodingtest.V5(20), decodingtest.V9(t))
	rollups := []decoding.Rollup{{Name: "by_dst", Tags: []string{"dst"}, Top: 3}, {Name: "total"}}
	all, acc := started(t, &NetFlow{Rollups: rollups})
	alone, accAlone := started(t, &NetFlow{Rollups: rollups, Metrics: []string{}, Datagrams: "pass"})
	for _, m := range datagrams(t, payloads) {
		for n, acc := range map[*NetFlow]*decodingtest.Accumulator{all: acc, alone: accAlone} {
			if err := n.Add(m.Copy(), acc); err != nil {
				t.Fatal(err)
			}
		}
	}
	all.Stop()
	alone.Stop()
	want := sum(acc.List(), flowmetric.Measurement, "in_bytes")
	if acc.Count(flowmetric.Measurement) < 120 || acc.Count(flowmetric.DatagramMeasurement) != 0 || want == 0 {
		t.Errorf("%d flows, %d datagrams", acc.Count(flowmetric.Measurement), acc.Count(flowmetric.DatagramMeasurement))
	}
	for _, acc := range []*decodingtest.Accumulator{acc, accAlone} {
		if a, b := sum(acc.List(), "by_dst", "bytes"), sum(acc.List(), "total", "bytes"); a != want || b != want {
			t.Errorf("the roll-ups have %d and %d bytes, the flows %d", a, b, want)
		}
	}
	if accAlone.Count(flowmetric.Measurement) != 0 || accAlone.Count(flowmetric.DatagramMeasurement) != len(payloads) {
		t.Errorf("metrics = [] gives %d flows, and passes %d of %d datagrams", accAlone.Count(flowmetric.Measurement),
			accAlone.Count(flowmetric.DatagramMeasurement), len(payloads))
	}
}

// TestDataBeforeTheirTemplate: a set waits for the template that the stream has later on.
func TestDataBeforeTheirTemplate(t *testing.T) {
	n, acc := started(t, &NetFlow{})
	list := datagrams(t, decodingtest.Datagrams(t, 40))
	list[0], list[1] = list[1], list[0]
	for _, m := range list {
		if err := n.Add(m, acc); err != nil {
			t.Fatal(err)
		}
	}
	n.Stop()
	if got := acc.Count(flowmetric.Measurement); got != 40 {
		t.Errorf("%d flows, want 40", got)
	}
}

// TestDataLongBeforeTheirTemplate: of several agents that share a stream one may be told a
// template by the fourth or the fifth time only, which is once a minute: sets of a busy
// exporter wait for it.
func TestDataLongBeforeTheirTemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, acc := started(t, &NetFlow{Rollups: []decoding.Rollup{{Name: "total"}}, Metrics: []string{}})
		list := datagrams(t, decodingtest.Datagrams(t, 38))
		const seconds, each = 300, 20
		for range seconds {
			for range each {
				for _, m := range list[1:] {
					if err := n.Add(m.Copy(), acc); err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(time.Second)
		}
		if err := n.Add(list[0], acc); err != nil {
			t.Fatal(err)
		}
		n.Stop()
		if got := sum(acc.List(), "total", "flows"); got != seconds*each*38 {
			t.Errorf("%d flows, want %d", got, seconds*each*38)
		}
	})
}

// TestOthersGoOn: what is no datagram goes on as it is, also what claims to be one.
func TestOthersGoOn(t *testing.T) {
	n, acc := started(t, &NetFlow{Metrics: []string{"exporters"}, Interval: config.Duration(time.Second),
		Statistics: selfstat.NewCollector(map[string]string{"processor": "netflow", "alias": t.Name()})})
	now, badBefore := time.Now(), n.bad.Get() // the counter is the process's
	list := []telegraf.Metric{
		metric.New("cpu", nil, map[string]any{"usage": 1.0}, now),
		metric.New(flowmetric.DatagramMeasurement, map[string]string{"source": "x"}, map[string]any{"payload": "!"},
			now),
	}
	for _, m := range list {
		if err := n.Add(m, acc); err != nil {
			t.Fatal(err)
		}
	}
	if got := acc.List(); len(got) < 2 || got[0] != list[0] || got[1] != list[1] {
		t.Errorf("got %v", got)
	}
	if bad := n.bad.Get() - badBefore; bad != 1 {
		t.Errorf("%d are counted as malformed", bad)
	}
	for acc.Count(flowmetric.ExporterMeasurement) == 0 {
		if time.Since(now) > 60*time.Second {
			t.Fatal("no netflow_exporter")
		}
		time.Sleep(10 * time.Millisecond)
	}
	n.Stop()
	before := len(acc.List())
	n.Stop()
	if len(acc.List()) != before {
		t.Error("metrics were added after Stop")
	}
}

func TestInit(t *testing.T) {
	for _, c := range []struct {
		plugin *NetFlow
		want   string
	}{
		{&NetFlow{}, ""},
		{&NetFlow{Datagrams: "keep"}, "datagrams: expected 'drop' or 'pass'"},
		{&NetFlow{Metrics: []string{"datagrams"}}, `expected datagrams = "pass"`},
		{&NetFlow{Metrics: []string{"flow"}}, "metrics: expected"},
		{&NetFlow{Interval: 1}, "exporters_interval: expected at least 1s"},
		{&NetFlow{Measurements: "x"}, "measurements: expected"},
		{&NetFlow{Rollups: []decoding.Rollup{{Name: "r", Tags: []string{"scr"}}}}, `did you mean "src"?`},
	} {
		c.plugin.Log = logger.New("processors", "netflow", "")
		err := c.plugin.Init()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		c.plugin.Stop()
	}
}

func TestSample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```toml @sample.conf\n"+sampleConfig+"```") {
		t.Error("README.md does not show sample.conf as it is")
	}
	for i, line := range strings.Split(string(readme), "\n") {
		if len([]rune(line)) > 80 && !strings.HasPrefix(line, "netflow_by") && !strings.Contains(line, "command =") {
			t.Errorf("README.md:%d is longer than 80", i+1)
		}
	}
	cfg := config.NewConfig()
	if err := cfg.LoadConfigData([]byte(sampleConfig), config.EmptySourcePath); err != nil || len(cfg.Processors) != 1 {
		t.Errorf("%v: %d processors", err, len(cfg.Processors))
	}
}

// TestDroppedSoon: an input that waits for the delivery of what it has given away hears of it,
// but not before its own call has returned, and of all of it at the latest when the plugin
// stops.
func TestDroppedSoon(t *testing.T) {
	n, acc := started(t, &NetFlow{Metrics: []string{}})
	delivered := make(chan telegraf.DeliveryInfo, 10)
	add := func() {
		m, _ := metric.WithTracking(datagrams(t, decodingtest.V5(1))[0],
			func(info telegraf.DeliveryInfo) { delivered <- info })
		n.dropping.Lock() // the plugin's own clock must wait
		defer n.dropping.Unlock()
		done := make(chan error)
		go func() { done <- n.Add(m, acc) }()
		select {
		case <-delivered:
			t.Error("the metric was dropped within the call")
		case <-time.After(10 * time.Millisecond):
		}
		n.dropping.Unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
		n.dropping.Lock()
	}
	add()
	select {
	case info := <-delivered:
		if !info.Delivered() {
			t.Error("the metric counts as not delivered")
		}
	case <-time.After(time.Minute):
		t.Fatal("the metric has not been dropped")
	}
	add()
	n.Stop()
	select {
	case <-delivered:
	default:
		t.Error("the end has not dropped the metric")
	}
}

// TestReconciliationWithSNMP: beside what inputs.snmp reads of interfaces in the same agent,
// flows of one packet in 64 propose the sampling rate that nobody has told.
func TestReconciliationWithSNMP(t *testing.T) {
	device := map[string]string{"agent_host": "10.0.0.1"}
	with := func(tags map[string]string, more ...string) map[string]string {
		all := maps.Clone(tags)
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	octets := func(in, out any) map[string]any {
		fields := map[string]any{"ifHCInOctets": in}
		if out != nil {
			fields["ifHCOutOctets"] = out
		}
		return fields
	}
	const step = uint64(64 * 1000 * 1000) // of flows of 1 MB each round, in and out
	for _, c := range []struct {
		name   string
		change func(*NetFlow)
		metric func(i uint64) (string, map[string]string, map[string]any)
		ratio  float64 // 0: nothing is compared
	}{
		{"in and out, by ifIndex", nil, func(i uint64) (string, map[string]string, map[string]any) {
			return "interface", with(device, "ifIndex", "3"), octets(i*step, uint64(7))
		}, 1. / 64},
		{"in alone, by index_as_tag", nil, func(i uint64) (string, map[string]string, map[string]any) {
			return "interface", with(device, "index", "3"), octets(i*step, nil)
		}, 1. / 64},
		{"out alone is not compared", nil, func(i uint64) (string, map[string]string, map[string]any) {
			return "interface", with(device, "index", "4"), map[string]any{"ifHCOutOctets": i * step}
		}, 0},
		{"out of the interface where they go out", nil, func(i uint64) (string, map[string]string, map[string]any) {
			return "interface", with(device, "index", "4"), octets(uint64(0), i*step)
		}, 1. / 64},
		{"numbers of a queue, index as a field", nil, func(i uint64) (string, map[string]string, map[string]any) {
			fields := octets(int64(i*step), float64(9))
			fields["ifIndex"] = int64(3)
			return "interface", map[string]string{"source": "10.0.0.1"}, fields
		}, 1. / 64},
		{"a name", func(n *NetFlow) { n.Exporters = []decoding.Exporter{{Address: "10.0.0.1", Name: "edge"}} },
			func(i uint64) (string, map[string]string, map[string]any) {
				return "interface", map[string]string{"source": "edge", "index": "3"}, octets(i*step, nil)
			}, 1. / 64},
		{"another measurement", func(n *NetFlow) { n.Interfaces = []string{"ifXTable"} },
			func(i uint64) (string, map[string]string, map[string]any) {
				return "ifXTable", with(device, "index", "3"), octets(i*step, nil)
			}, 1. / 64},
		{"a measurement that is not asked", nil, func(i uint64) (string, map[string]string, map[string]any) {
			return "ifXTable", with(device, "index", "3"), octets(i*step, nil)
		}, 0},
		{"another device", nil, func(i uint64) (string, map[string]string, map[string]any) {
			return "interface", map[string]string{"agent_host": "10.0.0.2", "index": "3"}, octets(i*step, nil)
		}, 0},
		{"an unknown name", nil, func(i uint64) (string, map[string]string, map[string]any) {
			return "interface", map[string]string{"agent_host": "core", "index": "3"}, octets(i*step, nil)
		}, 0},
		{"no index", nil, func(i uint64) (string, map[string]string, map[string]any) {
			return "interface", device, octets(i*step, nil)
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &NetFlow{Metrics: []string{"quality"}, Interval: config.Duration(time.Hour)}
			if c.change != nil {
				c.change(n)
			}
			n, acc := started(t, n)
			now := time.Now()
			for i := range uint64(10) {
				list := decodingtest.Flows(int(i)*20, 20)
				for j := range list {
					list[j].Bytes = 50000
				}
				h := netflow.V5Header{SysUptime: 1e6, Seconds: uint32(now.Unix()), Sequence: uint32(20 * i)}
				for _, m := range datagrams(t, [][]byte{netflow.AppendV5(nil, h, list)}) {
					m.AddTag("source", "10.0.0.1")
					if err := n.Add(m, acc); err != nil {
						t.Fatal(err)
					}
				}
				name, tags, fields := c.metric(i)
				if err := n.Add(metric.New(name, tags, fields, now), acc); err != nil {
					t.Fatal(err)
				}
				n.pool.GatherQuality(acc, now, 0)
				now = now.Add(10 * time.Second)
			}
			var last telegraf.Metric
			passed := 0
			for _, m := range acc.List() {
				if m.Name() == flowmetric.QualityMeasurement {
					last = m
				} else {
					passed++
				}
			}
			if passed != 10 {
				t.Errorf("%d of 10 metrics of interfaces go on", passed)
			}
			ratio, _ := last.GetField("flow_counter_ratio")
			rate, _ := last.GetField("sampling_rate_proposed")
			if got, _ := ratio.(float64); math.Abs(got-c.ratio) > 1e-9 || (c.ratio > 0) != (rate == uint64(64)) {
				t.Errorf("the ratio is %v and the rate %v proposed, want %v: %v", ratio, rate, c.ratio, last)
			}
		})
	}
}
