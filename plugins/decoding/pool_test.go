package decoding

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/logger"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// newPool returns a pool of one worker that makes all metrics but those of datagrams.
func newPool(t testing.TB, change func(*Options)) *Pool {
	t.Helper()
	o := Options{Workers: 1, Wants: Wants{Flows: true, Options: true, Exporters: true},
		Log: logger.New("inputs", "netflow", "")}
	o.Decoder.Log, o.Decoder.SplitBiflows, o.Decoder.MaxExporters = o.Log.Warnf, true, defaultMaxExporters
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// decodeAll returns the metrics of datagrams, of one worker.
func (w *worker) decodeAll(list []collector.Datagram) []telegraf.Metric {
	metrics, n := w.decode(list, false)
	if n == len(list) {
		return metrics
	}
	return append(append([]telegraf.Metric(nil), metrics...), w.decodeAll(list[n:])...)
}

// TestFlippedBytesMakeMetrics flips every byte of datagrams of all protocols and
// makes metrics of what is decoded; nothing may reach the last line of defence.
func TestFlippedBytesMakeMetrics(t *testing.T) {
	n := newPool(t, func(o *Options) {
		o.Wants = Wants{Flows: true, Options: true, Datagrams: true}
		o.Metrics.FlowTags = []string{"src", "username", "in_bytes"}
	})
	var list [][]byte
	for _, l := range [][][]byte{decodingtest.V5(2), decodingtest.V9(t), decodingtest.VMware(t),
		decodingtest.Datagrams(t, 2), decodingtest.SFlow(), decodingtest.Events(t), decodingtest.V1V7()} {
		list = append(list, l...)
	}
	captured, _ := filepath.Glob(filepath.Join(peers.Samples("flows"), "*.dat"))
	for _, file := range captured {
		if b, err := os.ReadFile(file); err == nil {
			list = append(list, b)
		}
	}
	for _, b := range list {
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 0xff
			for _, m := range n.Decode([]collector.Datagram{decodingtest.Received(bad)}) {
				for _, f := range m.FieldList() {
					switch f.Value.(type) {
					case uint64, int64, float64, string, bool:
					default:
						t.Fatalf("field %s is a %T", f.Key, f.Value)
					}
				}
			}
		}
	}
	if panics := n.workers[0].panics.Load(); panics != 0 {
		t.Errorf("%d datagrams made the decoder fail", panics)
	}
}

// TestPanicCostsOneDatagram holds the last line of defence.
func TestPanicCostsOneDatagram(t *testing.T) {
	n := newPool(t, nil).workers[0]
	list := decodingtest.Datagrams(t, 19)
	n.decodeAll([]collector.Datagram{decodingtest.Received(list[0])})
	broken := n.lanes[0].builder
	n.lanes[0].builder = nil
	n.decodeAll([]collector.Datagram{decodingtest.Received(list[1])})
	if panics := n.panics.Load(); panics != 1 {
		t.Fatalf("got %d panics, want 1", panics)
	}
	n.lanes[0].builder = broken
	if got := len(n.decodeAll([]collector.Datagram{decodingtest.Received(list[1])})); got != 19 {
		t.Errorf("after a panic: got %d metrics, want 19", got)
	}
}

// started returns a pool that emits to an accumulator.
func started(t testing.TB, change func(*Options)) (*Pool, *decodingtest.Accumulator) {
	t.Helper()
	p, acc := newPool(t, change), &decodingtest.Accumulator{}
	p.Restore()
	p.Start(acc)
	p.Keep()
	t.Cleanup(p.Stop)
	return p, acc
}

// TestRefusedAreNotPassedOn: an exporter or a protocol that the configuration refuses
// gives no metric of any kind, and what it says of the others goes with their datagrams.
func TestRefusedAreNotPassedOn(t *testing.T) {
	p := newPool(t, func(o *Options) {
		o.Wants = Wants{Flows: true, Datagrams: true}
		table := ExporterOptions{Protocol: "ipfix", Unknown: "refuse", Exporters: []Exporter{
			{Address: "192.0.2.0/24", SamplingRate: 64, Sampling: "override"}, {Address: "192.0.2.7", Action: "refuse"},
		}}
		if err := table.Apply(&o.Decoder); err != nil {
			t.Fatal(err)
		}
	})
	payload := decodingtest.VMware(t)[0]
	from := func(source string, payload []byte) []telegraf.Metric {
		dg := decodingtest.Received(payload)
		dg.Exporter = netip.AddrPortFrom(netip.MustParseAddr(source), 2055)
		return p.Decode([]collector.Datagram{dg})
	}
	for name, got := range map[string][]telegraf.Metric{
		"refused": from("192.0.2.7", payload), "unknown": from("198.51.100.1", payload),
		"another protocol": from("192.0.2.1", decodingtest.V5(1)[0]),
	} {
		if len(got) != 0 {
			t.Errorf("%s: got %v", name, got)
		}
	}
	got := from("192.0.2.1", payload)
	dg, err := new(flowmetric.DatagramParser).Parse(got[0])
	if want := (flow.Policy{Rate: 64, Override: true}); err != nil || dg.Policy != want || len(got) != 3 {
		t.Errorf("%d metrics, the first with the policy %q, want 3 and %q: %v", len(got), dg.Policy, want, err)
	}
}
