package decoding

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// officeFlow is a message with a flow from the office, AS 0, to AS 7 of the world.
func officeFlow(t *testing.T) collector.Datagram {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(256, []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 1, Length: 8},
		{ID: 16, Length: 4}, {ID: 17, Length: 4}})
	if err != nil {
		t.Fatal(err)
	}
	e := ipfix.Encoder{}
	e.Begin(nil, flow.TimeOf(time.Now()))
	e.AddTemplates(tmpl)
	e.AddData(tmpl, []flow.Record{{Src: netip.MustParseAddr("10.20.1.1"), Dst: netip.MustParseAddr("198.51.100.1"),
		Bytes: 100, DstAS: 7}})
	return decodingtest.Received(e.End())
}

// TestEnrichment: what a file tells of the addresses of a flow is in its metric, as fields
// and as tags, and a file that changes is read while flows come.
func TestEnrichment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks.csv")
	write := func(office string) {
		text := "prefix,name,as,country\n10.20.0.0/16," + office + ",64500,AT\n198.51.100.0/24,,64501,DE\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("office")
	p := newPool(t, func(o *Options) {
		o.Enrichment = &Enrichment{Files: []string{path}, Interval: config.Duration(time.Second)}
		o.Metrics.FlowTags = []string{"src_network", "dst_country"}
	})
	p.Start(&decodingtest.Accumulator{})
	p.Keep()
	defer p.Stop()
	one := func() telegraf.Metric {
		t.Helper()
		list := p.Decode([]collector.Datagram{officeFlow(t)})
		if len(list) != 1 {
			t.Fatalf("%d metrics, want one flow", len(list))
		}
		return list[0]
	}
	m := one()
	for tag, want := range map[string]string{"src_network": "office", "dst_country": "DE"} {
		if got, _ := m.GetTag(tag); got != want {
			t.Errorf("tag %s: %q, want %q", tag, got, want)
		}
	}
	for field, want := range map[string]any{"src_country": "AT", "bgp_src_as": uint64(64500), "bgp_dst_as": uint64(7)} {
		if got, _ := m.GetField(field); got != want {
			t.Errorf("field %s: %v, want %v", field, got, want)
		}
	}
	if m.HasTag("dst_network") || m.HasField("dst_network") {
		t.Errorf("a network without a name has one: %v", m)
	}
	write("a new office")
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if got, _ := one().GetTag("src_network"); got == "a new office" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the file has changed, and is not read again")
		}
	}
	counters := map[string]any{}
	p.Count(counters)
	if counters["enrich_reloads"] != uint64(1) || counters["enrich_errors"] != uint64(0) {
		t.Errorf("counters: %v", counters)
	}
}

// TestEnrichmentOptions: what is wrong ends the start, with the file and the line.
func TestEnrichmentOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wrong.csv")
	if err := os.WriteFile(path, []byte("10.0.0.0/8,a\n10.0.0.0/64,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		e    *Enrichment
		want string
	}{
		{&Enrichment{}, "enrich: files: expected at least one"},
		{&Enrichment{Files: []string{path}, Interval: 1}, "enrich: interval: expected at least 1s"},
		{&Enrichment{Files: []string{path}}, `wrong.csv: line 2: "10.0.0.0/64" is no prefix`},
		{&Enrichment{Files: []string{path + "x"}}, "no such file"},
	} {
		_, err := New(Options{Enrichment: c.e})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.e.Files, err, c.want)
		}
	}
}
