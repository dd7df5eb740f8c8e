package netflow

import (
	"os"
	"slices"
	"strings"
	"testing"
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
		m, _ := metric.WithTracking(datagrams(t, decodingtest.V5(1))[0], func(info telegraf.DeliveryInfo) { delivered <- info })
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
