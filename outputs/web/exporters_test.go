package web

import (
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// Flows that are told of as ingress and as egress, or by a second exporter, are twice in the
// sums, and the list of exporters says how many are.
func TestDoubledFlows(t *testing.T) {
	dir := t.TempDir()
	start := time.Now().Unix()/slotSeconds*slotSeconds - slotSeconds
	name := "nfcapd." + time.Unix(start, 0).UTC().Format("200601021504")
	w, err := nffile.Create(filepath.Join(dir, name), nffile.Options{})
	must(t, err)
	add := func(exporter string, port, direction int) {
		r := flow.Record{Version: flow.IPFIX, Src: netip.MustParseAddr("192.0.2.1"),
			Dst:     netip.MustParseAddr("192.0.2.2"),
			SrcPort: uint16(port), DstPort: 443, Proto: 6, Packets: 1, Bytes: 100,
			First: flow.Milli(uint64(start) * 1000),
			Last:  flow.Milli(uint64(start) * 1000), Exporter: netip.MustParseAddr(exporter)}
		r.Present = flow.SetOf(flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto, flow.Packets, flow.Bytes,
			flow.FirstSeen, flow.LastSeen)
		if direction >= 0 {
			r.Direction = uint8(direction)
			r.Present.Add(flow.Direction)
		}
		must(t, w.Append(&r))
	}
	for i := range 100 {
		add("198.51.100.1", 1000+i, 0)
		if i < 40 {
			add("198.51.100.1", 1000+i, 1) // left by another interface
		} else {
			add("198.51.100.1", 1000+i, 0) // a long one, told of twice
		}
		add("198.51.100.2", 2000+i, -1)
		if i < 10 {
			add("198.51.100.1", 2000+i, 0) // seen by the other router too
		}
	}
	must(t, w.Close())
	_, h := serve(t, dir, Options{})
	list := ask[Exporters](t, h, "exporters").Exporters
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	for _, e := range list {
		want := map[string]float64{"198.51.100.1": 0.4, "198.51.100.2": 0.1}[e.Address.String()]
		if math.Abs(e.Doubled-want) > 1e-9 {
			t.Errorf("%s: %g of its flows are there twice, want %g", e.Address, e.Doubled, want)
		}
	}
}

// tellFile writes a file of an IPFIX exporter's flows, which came lag after their end, and the
// state file of an agent that has its templates and the name of interface 2.
func tellFile(t *testing.T, dir, exporterAddr string, lag time.Duration) (state string) {
	t.Helper()
	addr := netip.MustParseAddr(exporterAddr)
	start := time.Now().Unix()/slotSeconds*slotSeconds - slotSeconds
	w, err := nffile.Create(filepath.Join(dir, "nfcapd."+time.Unix(start, 0).UTC().Format("200601021504")),
		nffile.Options{})
	must(t, err)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		var r flow.Record
		fixtureFlow(rnd, start, exporterAddr, &r)
		r.Received = r.Last + flow.Time(lag+time.Duration(i)*time.Second)
		must(t, w.Append(&r))
	}
	must(t, w.Close())
	d := collector.NewDecoder(collector.Options{})
	var e ipfix.Encoder
	now := time.Now()
	learn := func(fill func()) {
		e.Begin(nil, flow.TimeOf(now))
		fill()
		must(t, d.Decode(collector.Datagram{Exporter: netip.AddrPortFrom(addr, 4739), Received: now, Payload: e.End()},
			collector.Handler{}))
	}
	flows, err := ipfix.NewTemplate(256, []ipfix.FieldSpec{{ID: ie.SourceIPv4Address, Length: 4},
		{ID: ie.DestinationIPv4Address, Length: 4}, {ID: ie.OctetDeltaCount, Length: 8}})
	must(t, err)
	names, err := ipfix.NewTemplate(257, []ipfix.FieldSpec{{ID: ie.IngressInterface, Length: 4, Scope: true},
		{ID: ie.InterfaceName, Length: 6}})
	must(t, err)
	learn(func() { e.AddTemplates(flows, names); e.AddRecord(names, []byte("\x00\x00\x00\x02ge-0/2")) })
	var known []collector.Datagram
	d.Known(func(dg collector.Datagram) { known = append(known, dg) })
	state = filepath.Join(t.TempDir(), "netflow.state")
	must(t, collector.SaveKnown(state, known))
	return state
}

// The list of exporters has their clocks by their flows, their templates and names of interfaces by
// the agent's state, and what the inventory says, also when that has changed; a mistake in it is
// told, and what was known stays.
func TestExportersTell(t *testing.T) {
	dir := t.TempDir()
	state := tellFile(t, dir, "198.51.100.1", -7*time.Second)
	inventory := filepath.Join(t.TempDir(), "inventory")
	write := func(text string) {
		must(t, os.WriteFile(inventory, []byte(text), 0o644))
	}
	write("# ours\nhost 10.0.0.1 web1\n\ninterface 198.51.100.1 1 2.5G uplink to the provider\n" +
		"interface 198.51.100.1 2 - \n")
	s, h := serve(t, dir, Options{State: state, Inventory: inventory})
	list := ask[Exporters](t, h, "exporters")
	if len(list.Exporters) != 1 || len(list.Problems) > 0 {
		t.Fatalf("%+v", list)
	}
	e := list.Exporters[0]
	if e.Lag == nil || *e.Lag != -7 {
		t.Errorf("a clock that is ahead by 7 s: %v", e.Lag)
	}
	if len(e.Templates) != 2 || e.Templates[0].ID != 256 || e.Templates[0].Fields != 3 || e.Templates[0].Options ||
		!e.Templates[1].Options || time.Now().Unix()-e.Templates[0].Used > 600 {
		t.Errorf("templates %+v", e.Templates)
	}
	for _, u := range e.Inputs {
		want := map[uint32]Line{1: {"uplink to the provider", 2.5e9}, 2: {"ge-0/2", 0}}[u.Index]
		if u.Name != want.Name || u.Speed != want.Speed {
			t.Errorf("interface %d is %q of %d bit/s, want %v", u.Index, u.Name, u.Speed, want)
		}
	}
	names := func() string {
		return strings.Join(ask[AddressNames](t, h, "name?address=10.0.0.1").Names, " ")
	}
	if got := names(); got != "web1" {
		t.Errorf("10.0.0.1 is %q", got)
	}
	again := func() { s.inventory.tried = time.Time{} }
	write("host 10.0.0.1 web2\n")
	if again(); names() != "web2" {
		t.Errorf("after a change 10.0.0.1 is %q", names())
	}
	write("host 10.0.0.1\n")
	again()
	if list = ask[Exporters](t, h, "exporters"); len(list.Problems) != 1 || !strings.Contains(list.Problems[0],
		"line 1: host 10.0.0.1: expected a name") || names() != "web2" {
		t.Errorf("%q, and 10.0.0.1 is %q", list.Problems, names())
	}
}

// Mistakes of an inventory say where and what was expected.
func TestInventoryMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"host 10.0.0.1 a\nhost x y":                  "line 2: \"host x\": expected host ADDRESS NAME",
		"vm 10.0.0.1 a":                              "expected host ADDRESS NAME, or interface",
		"interface 10.0.0.1 eth0 1G a":               "number that SNMP has",
		"interface 10.0.0.1 1 fast a":                "bits a second, as 100M",
		"interface 10.0.0.1 1":                       "bits a second, as 100M",
		"interface 10.0.0.1 1 -5M a":                 "bits a second, as 100M",
		"interface 10.0.0.1 1 1e3M a":                "bits a second, as 100M",
		"host 10.0.0.1 " + strings.Repeat("x", 2000): "line 1: ",
		"host 10.0.0.1 \xff":                         "UTF-8",
	} {
		if _, err := ParseInventory(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// What an inventory says is bounded, whatever the file has.
func FuzzInventory(f *testing.F) {
	f.Add("host 10.0.0.1 a\ninterface 2001:db8::1 4294967295 2.5G b c\n# x\n\n")
	f.Add("interface ::ffff:10.0.0.1 1 .5T\nhost\tfe80::1%eth0\tz")
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := ParseInventory(strings.NewReader(text))
		if err != nil {
			return
		}
		for key, line := range inv.interfaces {
			if line.Speed > 1e16 || key.exporter.Is4In6() || inv.line(key.exporter, key.index) != line {
				t.Errorf("%v: %v", key, line)
			}
		}
		for addr, name := range inv.hosts {
			if name == "" || inv.host(addr) != name {
				t.Errorf("%v: %q", addr, name)
			}
		}
	})
}

// The exporters' page shows all of that; an interface leads to the explorer in percent of its speed.
func TestBrowserExportersTell(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	dir := t.TempDir()
	state := tellFile(t, dir, "198.51.100.1", -7*time.Second)
	inventory := filepath.Join(t.TempDir(), "inventory")
	must(t, os.WriteFile(inventory, []byte("interface 198.51.100.1 1 2.5G uplink\nhost 10.0.0.1 web1\n"), 0o644))
	_, h := serve(t, dir, Options{State: state, Inventory: inventory})
	b.open(h.URL+"/#/exporters", "exporters")
	b.wait("a clock that is ahead", `[...document.querySelectorAll(".badge")].some(e => e.textContent === "ahead 7.0 s")`)
	b.click("templates", `document.querySelector("tbody tr td:last-child button[aria-expanded]")`)
	b.wait("two templates", `document.querySelectorAll(".templates tbody tr").length === 2 &&
		document.querySelector(".templates").textContent.includes("options")`)
	b.click("interfaces", `document.querySelector("tbody tr td:nth-last-child(2) button[aria-expanded]")`)
	b.wait("names and speeds", `document.querySelector(".interfaces")?.textContent.includes("ge-0/2") &&
		document.querySelector(".interfaces").textContent.includes("2.50 Gbit/s") &&
		document.querySelector(".interfaces").textContent.includes("%")`)
	b.picture("exporters-told-light")
	b.dark(true)
	b.picture("exporters-told-dark")
	b.dark(false)
	b.click("explore", `document.querySelector(".interfaces a")`)
	b.wait("in percent", `location.hash.includes("unit=speed") && location.hash.includes("speed=2.5G") &&
		document.querySelector('input[aria-label="speed of the line"]')?.value === "2.5G"`)
	b.open(h.URL+"/#/host?v=1&address=10.0.0.1", "host")
	b.wait("the name of the host", `document.querySelector("h2 small")?.textContent === "web1"`)
	b.complained()
}

// An exporter that is not in the newest two files of a source is told of as silent, with what the
// newest file had that has it; one that misses one file only is not.
func TestExporterFallsSilent(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Unix() / slotSeconds * slotSeconds
	slot := func(n int64, exporters ...string) {
		start := now - n*slotSeconds
		w, err := nffile.Create(filepath.Join(dir, "nfcapd."+time.Unix(start, 0).UTC().Format("200601021504")),
			nffile.Options{})
		must(t, err)
		rnd := rand.New(rand.NewPCG(uint64(n), 1))
		for _, exporter := range exporters {
			for range n {
				var r flow.Record
				fixtureFlow(rnd, start, exporter, &r)
				must(t, w.Append(&r))
			}
			w.Datagrams(nffile.Exporter{Addr: netip.MustParseAddr(exporter), Version: flow.IPFIX}, 1, 0)
		}
		must(t, w.Close())
	}
	const stays, ends, pauses, old = "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"
	slot(20, stays, old)
	for n := int64(14); n > 4; n-- {
		slot(n, stays, ends, pauses)
	}
	slot(4, stays, pauses)
	slot(3, stays, pauses)
	slot(2, stays, pauses)
	s, h := serve(t, dir, Options{})
	check := func(what string, silent map[string]int64) {
		t.Helper()
		got := map[string]int64{}
		for _, e := range ask[Exporters](t, h, "exporters").Exporters {
			if got[e.Address.String()] = 0; e.Silent {
				got[e.Address.String()] = e.Start
			}
		}
		if !maps.Equal(got, silent) {
			t.Errorf("%s: %v, want %v", what, got, silent)
		}
	}
	check("at first", map[string]int64{stays: 0, pauses: 0, ends: now - 5*slotSeconds})
	slot(1, stays)
	must(t, s.archive.Refresh(t.Context()))
	check("one file without it", map[string]int64{stays: 0, pauses: 0, ends: now - 5*slotSeconds})
	slot(0, stays)
	must(t, s.archive.Refresh(t.Context()))
	check("two files without it", map[string]int64{stays: 0, pauses: now - 2*slotSeconds, ends: now - 5*slotSeconds})
}
