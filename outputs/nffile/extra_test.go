package nffile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// fullExtra returns an Extra with every element.
func fullExtra() *Extra {
	return &Extra{
		Has: extraElements, ClientDelay: 1500, ServerDelay: 2500, AppDelay: 3500, Selector: 7,
		Label: []byte("web"), InPayload: []byte("GET /"), OutPayload: []byte("HTTP/1.1 200"),
		FrameSize: 1500, LinkType: 1, Frame: []byte{1, 2, 3, 4, 5},
		PF: PF{Action: 1, Reason: 2, Direction: 1, Rewritten: 1, Rule: 10, Subrule: 11, UID: 12, PID: 13,
			Interface: []byte("em0")},
		Layer2: Layer2{VLAN: 101, CustomerVLAN: 102, PostVLAN: 103, PostCustomerVLAN: 104, Ingress: 5, Egress: 6,
			EtherType: 0x800, IPVersion: 4},
		NokiaIn: 21, NokiaOut: 22, NokiaText: []byte("sub-1"),
	}
}

// TestExtra writes every element, those above 37 on request, and reads them back.
func TestExtra(t *testing.T) {
	for _, extended := range []bool{false, true} {
		w := mustCreate(t, Options{Extended: extended})
		in := wideRecord(false)
		in.SegmentID, in.FlowID, in.MinTTL, in.MaxTTL = 5000, 1<<40, 60, 64
		for _, f := range []flow.Field{flow.SegmentID, flow.FlowID, flow.MinTTL, flow.MaxTTL} {
			in.Present.Add(f)
		}
		must(t, w.AppendExtra(in, fullExtra()))
		must(t, w.Append(eventRecord()))
		must(t, w.Close())
		r, err := Open(w.Path())
		must(t, err)
		defer r.Close()
		if !r.Next() {
			t.Fatal(r.Err())
		}
		want, got := fullExtra(), *r.dec.Extra()
		want.Domain, got.Domain = 77, r.dec.Extra().Domain
		if extended {
			if d := differences(r.Record(), in); d != "" {
				t.Error(d)
			}
		} else {
			want.Has &^= 1<<elLayer2 | 1<<elNokia | 1<<elNokiaText
			want.Layer2, want.NokiaIn, want.NokiaOut, want.NokiaText = Layer2{}, 0, 0, nil
			if r.Record().MinTTL != 0 || r.Record().SegmentID != 0 || r.Record().Has(flow.FlowID) {
				t.Errorf("elements above 37 are written without request: %+v", r.Record())
			}
		}
		if !reflect.DeepEqual(got, *want) {
			t.Errorf("extended %v: got\n%+v\nexpected\n%+v", extended, got, *want)
		}
		if !r.Next() || r.dec.Extra().Has != 0 || r.Record().SegmentID != 0 {
			t.Errorf("the next flow has %+v: %v", r.dec.Extra(), r.Err())
		}
	}
}

// TestExtraNfdump: nfdump takes what is written.
func TestExtraNfdump(t *testing.T) {
	w := mustCreate(t, Options{})
	must(t, w.AppendExtra(wideRecord(false), fullExtra()))
	must(t, w.Close())
	out := nfdump(t, "-r", w.Path(), "-o", "raw")
	for _, want := range []string{"cli latency  =             1.500", "srv latency  =             2.500",
		"app latency  =             3.500", "in payload"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestLongExtra: what does not fit into a record is left out, and the record is
// whole.
func TestLongExtra(t *testing.T) {
	w := mustCreate(t, Options{Extended: true})
	x := fullExtra()
	x.InPayload, x.Frame, x.NokiaText = make([]byte, 5000), make([]byte, 1000), make([]byte, 900)
	must(t, w.AppendExtra(wideRecord(true), x))
	must(t, w.Close())
	got, err := readAll(w.Path())
	if err != nil || len(got) != 1 || got[0].Exporter != wideRecord(true).Exporter {
		t.Errorf("%d flows: %v", len(got), err)
	}
}

// TestTables writes samplers and names, and reads them back; nfdump takes them.
func TestTables(t *testing.T) {
	w := mustCreate(t, Options{Compression: LZ4})
	must(t, w.Append(wideRecord(false)))
	id := Exporter{router, flow.V9, 77}
	samplers := []Sampler{{Exporter: id, ID: -1, Interval: 1, Space: 99, Algorithm: 2},
		{Exporter: id, ID: 5, Interval: 2, Space: 18}}
	for _, s := range samplers {
		must(t, w.Sampler(s))
	}
	var names []Name
	for i := range 3000 {
		names = append(names, Name{Kind: InterfaceName, ID: uint32(i), Name: fmt.Sprintf("TenGigE0/0/%d", i)})
	}
	names = append(names, Name{Kind: VRFName, ID: 9, Name: "customers"},
		Name{Kind: AppName, App: "\x03\x00\x00\x50", Name: "http", Description: "World Wide Web"},
		Name{Kind: AppName, App: "\x0d\x00\x01\x00", Name: "skype", Description: "calls"})
	must(t, w.Names(names))
	must(t, w.Append(wideRecord(false)))
	must(t, w.Close())
	r, err := Open(w.Path())
	must(t, err)
	defer r.Close()
	n := 0
	for r.Next() {
		n++
	}
	must(t, r.Err())
	if !slices.Equal(r.dec.Samplers(), samplers) || samplers[0].Rate() != 100 || samplers[1].Rate() != 10 {
		t.Errorf("samplers %+v, expected %+v", r.dec.Samplers(), samplers)
	}
	if n != 2 || !slices.Equal(r.dec.Names(), names) {
		t.Errorf("%d flows, %d names, expected 2 and %d", n, len(r.dec.Names()), len(names))
	}
	out := nfdump(t, "-r", w.Path(), "-o", "raw")
	if strings.Count(out, "Flow Record") != 2 || strings.Contains(out, "nknown record") {
		t.Errorf("nfdump says\n%s", out)
	}
	out = nfdump(t, "-E", w.Path())
	for _, want := range []string{"algorithm: 2, packet interval: 1, packet space: 99",
		"id: 5, algorithm: 0, packet interval: 2, packet space: 18"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestCompressions writes every compression, and at several levels; all come back,
// nfdump 1.7.1 reads what it knows, and what is appended keeps the compression.
func TestCompressions(t *testing.T) {
	for _, name := range []string{"none", "lzo", "lz4", "lz4:5", "lz4:9", "bz2", "bz2:1", "zstd", "zstd:1", "zstd:19"} {
		c, level, err := ParseCompression(name)
		must(t, err)
		path := writePlain(t, 2000, Options{Compression: c, Level: level, Ident: "edge1"})
		w, _, err := Resume(path, Options{Compression: LZ4, Level: 3})
		must(t, err)
		must(t, w.Append(wideRecord(true)))
		must(t, w.Close())
		got, err := readAll(path)
		must(t, err)
		if len(got) != 2001 || got[2000].Src != wideRecord(true).Src {
			t.Errorf("%s: %d flows", name, len(got))
		}
		if c == ZSTD {
			continue
		}
		out := nfdump(t, "-r", path, "-o", "null") + nfdump(t, "-v", path) + nfdump(t, "-I", "-r", path)
		for _, want := range []string{"flows processed: 2001,", "Flows: 2001\n", "Ident: edge1\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", name, want, out)
			}
		}
	}
	for _, name := range []string{"gzip", "lz4:10", "lz4:0", "lz4:x", "none:1", "lzo:2", "bz2:10", "zstd:23", ""} {
		if _, _, err := ParseCompression(name); err == nil {
			t.Errorf("compression %q is accepted", name)
		}
	}
}
