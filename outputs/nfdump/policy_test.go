package nfdump

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/decoding"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// archived returns the sums of the bytes that an archive holds of datagrams, of both
// directions of each flow.
func archived(t *testing.T, list []flow.Datagram, options func(*Nfdump)) (bytes, out uint64) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "flows")
	p := output(t, dir)
	if options != nil {
		options(p)
		must(t, p.Init())
	}
	must(t, p.Connect())
	var metrics []telegraf.Metric
	for _, dg := range list {
		metrics = append(metrics, new(flowmetric.DatagramBuilder).Metric(dg))
	}
	must(t, p.Write(metrics))
	must(t, p.Close())
	files, err := archive.Files(dir)
	must(t, err)
	_, err = query.Each(context.Background(), files, func(r *flow.Record) error {
		bytes, out = bytes+r.Bytes, out+r.RevBytes
		return nil
	})
	must(t, err)
	return bytes, out
}

// TestTotalsInTheArchive: the bytes in the files are those of the traffic, where an
// exporter's counters run on since a flow began, too.
func TestTotalsInTheArchive(t *testing.T) {
	bytes, out := archived(t, decodingtest.AllReceived(decodingtest.Totals(t)), nil)
	if bytes != 1000 || out != 100 {
		t.Errorf("%d bytes one way and %d the other are in the files, want 1000 and 100", bytes, out)
	}
}

// TestOutCountersInTheArchive: what elements 23 and 24 are, as the administrator of the
// collector says, holds behind a broker too; the archive's own table beats it.
func TestOutCountersInTheArchive(t *testing.T) {
	table := func(mode string) func(*Nfdump) {
		return func(p *Nfdump) {
			p.Exporters = []decoding.Exporter{{Address: "192.0.2.0/24", OutCounters: mode}}
		}
	}
	for _, c := range []struct {
		name    string
		along   flow.OutCounters
		options func(*Nfdump)
		reverse uint64 // bytes
	}{
		{"nothing is said: most go out in fewer packets", flow.OutLearned, nil, 40},
		{"reverse comes along", flow.OutReverse, nil, 40},
		{"same comes along", flow.OutSame, nil, 0},
		{"reverse in the archive's table", flow.OutLearned, table("reverse"), 40},
		{"the archive's table says otherwise", flow.OutReverse, table("ignore"), 0},
	} {
		list := decodingtest.AllReceived(decodingtest.BothWays(t))
		list[0].Policy.OutCounters = c.along
		bytes, reverse := archived(t, list, c.options)
		if bytes != 400 || reverse != c.reverse {
			t.Errorf("%s: %d bytes and %d the other way, want 400 and %d", c.name, bytes, reverse, c.reverse)
		}
	}
}

// TestPolicyReachesTheArchive: the bytes in the files are those of the rate that the
// datagrams bring, or of the archive's own table; what either refuses is not written.
func TestPolicyReachesTheArchive(t *testing.T) {
	for _, c := range []struct {
		name    string
		options func(*Nfdump)
		told    flow.Policy
		want    uint64 // bytes of all flows, of which there is one of 256
	}{
		{"nothing", nil, flow.Policy{}, 256},
		{"a rate that comes along", nil, flow.Policy{Rate: 4096}, 256 * 4096},
		{"a rate of the archive's table", func(p *Nfdump) {
			p.Exporters = []decoding.Exporter{{Address: "192.0.2.0/24", SamplingRate: 10}}
		}, flow.Policy{Rate: 4096}, 2560},
		{"refused", func(p *Nfdump) { p.Exporters = []decoding.Exporter{{Address: "192.0.2.254", Action: "refuse"}} },
			flow.Policy{}, 0},
		{"unknown", func(p *Nfdump) { p.Unknown = "refuse" }, flow.Policy{}, 0},
		{"another protocol", func(p *Nfdump) { p.Protocol = "netflow v5" }, flow.Policy{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dg := flow.Datagram{Exporter: exporter, Received: time.Now(), Payload: v9(true, true, 1), Policy: c.told}
			sum, _ := archived(t, []flow.Datagram{dg}, c.options)
			if sum != c.want {
				t.Errorf("%d bytes are in the files, want %d", sum, c.want)
			}
		})
	}
}
