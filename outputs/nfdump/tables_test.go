package nfdump

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// optionsOf returns a datagram of v9 with a sampler of that rate and the name of an
// interface.
func optionsOf(t testing.TB, rate byte, name string) []byte {
	t.Helper()
	scope := ipfix.FieldSpec{ID: 1, Length: 4, Scope: true}
	samplers, err := ipfix.NewOptionsTemplate(300, []ipfix.FieldSpec{scope, {ID: 48, Length: 1}, {ID: 50, Length: 4}})
	must(t, err)
	interfaces, err := ipfix.NewOptionsTemplate(301, []ipfix.FieldSpec{scope, {ID: 10, Length: 4}, {ID: 82, Length: 8}})
	must(t, err)
	system := []flow.Element{{ID: 1, Value: make([]byte, 4)}}
	e := netflow.V9Encoder{SourceID: 7}
	e.Begin(nil, flow.TimeOf(time.Now()))
	e.AddTemplates(samplers, interfaces)
	e.AddOptions(samplers, []flow.OptionRecord{{Scope: system,
		Fields: []flow.Element{{ID: 48, Value: []byte{2}}, {ID: 50, Value: []byte{0, 0, 0, rate}}}}})
	padded := append([]byte(name), make([]byte, 8-len(name))...)
	e.AddOptions(interfaces,
		[]flow.OptionRecord{{Scope: system, Fields: []flow.Element{{ID: 10, Value: []byte{0, 0, 0, 9}},
			{ID: 82, Value: padded}}}})
	return e.End()
}

// tablesIn returns the tables in a file.
func tablesIn(t *testing.T, path string) ([]nffile.Sampler, []nffile.Name) {
	t.Helper()
	f, err := nffile.Open(path)
	must(t, err)
	defer f.Close()
	d := nffile.NewDecoder()
	var b nffile.Block
	for f.ReadBlock(&b) == nil {
		must(t, b.Unpack())
		for d.Next(&b) {
		}
		must(t, d.Err())
	}
	return d.Samplers(), d.Names()
}

// TestTables: samplers and names are in every file, once they are told, and only
// once as long as they do not change; after a restart too.
func TestTables(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	p := output(t, dir)
	p.archive, p.RotationInterval = nil, config.Duration(time.Second)
	must(t, p.Init())
	must(t, p.Connect())
	must(t, p.Write(metricsOf(v9(true, true, 1), optionsOf(t, 100, "uplink"))))
	for range 3 {
		must(t, p.Write(metricsOf(v9(false, true, 2), optionsOf(t, 100, "uplink"))))
	}
	time.Sleep(1200 * time.Millisecond)
	must(t, p.Write(metricsOf(v9(false, true, 3))))
	must(t, p.Close())
	q := output(t, dir)
	must(t, q.Connect())
	must(t, q.Write(metricsOf(v9(false, true, 4))))
	must(t, q.Close())

	files, err := archive.Files(dir)
	must(t, err)
	checked := 0
	for _, path := range files {
		f, err := nffile.Open(path)
		must(t, err)
		empty := f.Stat().Flows == 0
		f.Close()
		if empty {
			continue
		}
		checked++
		samplers, names := tablesIn(t, path)
		want := nffile.Exporter{Addr: netip.MustParseAddr("192.0.2.254"), Version: flow.V9, Domain: 7}
		if len(samplers) != 1 || samplers[0].ID != 2 || samplers[0].Rate() != 100 || samplers[0].Exporter != want {
			t.Errorf("%s: samplers %+v", path, samplers)
		}
		if len(names) != 1 || names[0] != (nffile.Name{Kind: nffile.InterfaceName, ID: 9, Name: "uplink"}) {
			t.Errorf("%s: names %+v", path, names)
		}
		if out := nfdump(t, "-E", path); !strings.Contains(out, "192.0.2.254") {
			t.Errorf("nfdump -E %s:\n%s", path, out)
		}
		nfdump(t, "-r", path, "-o", "null")
	}
	if checked < 2 {
		t.Errorf("only %d of %d files have flows", checked, len(files))
	}
}

// TestTablesWriteChangesOnly: a name that changes again and again costs itself, not the
// thousand others that do not.
func TestTablesWriteChangesOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	p := output(t, dir)
	must(t, p.Connect())
	must(t, p.Write(metricsOf(optionsOf(t, 100, "uplink"))))
	var many []collector.TableEntry
	for i := range 1000 {
		many = append(many, collector.TableEntry{Kind: collector.InterfaceName, ID: uint64(100 + i),
			Name: "a name that stays as it is"})
	}
	for round := range 3 {
		many[0].Name = strings.Repeat("x", round+1)
		p.tables.adopt(slices.Clone(many))
	}
	w, err := nffile.Create(filepath.Join(t.TempDir(), "f"), nffile.Options{})
	must(t, err)
	everyone := func(netip.Addr) bool { return true }
	must(t, p.tables.write(w, 0, everyone))
	must(t, w.Flush())
	all := w.Size()
	must(t, p.tables.write(w, p.tables.version-1, everyone))
	must(t, w.Flush())
	if more := w.Size() - all; more > 200 || all < 20000 {
		t.Errorf("one changed name of 1000 takes %d bytes, all of them %d", more, all)
	}
	must(t, w.Close())
	must(t, p.Close())
}
