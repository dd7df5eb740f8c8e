package netflow_test

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

const exported = flow.Time(1482409057e9)

// v5Record is a flow with a value in every field that version 5 has.
func v5Record() flow.Record {
	return flow.Record{
		First: exported - 5e9, Last: exported - 1e9,
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.2"),
		NextHop: netip.MustParseAddr("203.0.113.1"),
		SrcPort: 1234, DstPort: 443, Proto: 6, IPVersion: 4, TCPFlags: 0x12, SrcTOS: 3, Bytes: 1 << 31, Packets: 77,
		Input: 9, Output: 10, SrcMask: 24, DstMask: 25, SrcAS: 65000, DstAS: 65001,
	}
}

// decodeV5 returns the records of a datagram.
func decodeV5(t testing.TB, b []byte) (netflow.V5Header, []flow.Record) {
	t.Helper()
	h, rest, err := netflow.ParseV5Header(b)
	if err != nil {
		t.Fatal(err)
	}
	var base flow.Record
	netflow.V5Base(&base, h)
	var list []flow.Record
	for ; len(rest) > 0; rest = rest[netflow.V5RecordLen:] {
		var r flow.Record
		netflow.Begin(&r, &base)
		netflow.DecodeV5(&r, rest)
		list = append(list, r)
	}
	return h, list
}

func TestV5RoundTrip(t *testing.T) {
	for _, uptime := range []uint32{1e6, 100, 0xffffffff} { // 100: the flow began before the count wrapped
		head := netflow.V5Header{SysUptime: uptime, Seconds: uint32(exported / 1e9), Sequence: 7, EngineType: 1,
			EngineID: 2, Sampling: 0x4064}
		want := v5Record()
		h, got := decodeV5(t, netflow.AppendV5(nil, head, []flow.Record{want, want}))
		head.Count = 2
		if h != head || h.Rate() != 100 || h.Domain() != 0x102 {
			t.Errorf("got header %+v, want %+v", h, head)
		}
		if len(got) != 2 {
			t.Fatalf("got %d records, want 2", len(got))
		}
		r := got[1]
		if !r.Has(flow.FirstSeen) || !r.Has(flow.LastSeen) || r.Has(flow.TimeRepair) || r.SamplingRate != 100 ||
			r.SamplingSource != flow.RateHeader {
			t.Errorf("uptime %d: got %+v", uptime, r)
		}
		r.Present, r.Extra = flow.Set{}, nil
		want.Version, want.Domain, want.EngineType, want.EngineID = flow.V5, 0x102, 1, 2
		want.Sequence, want.SysUptime, want.HeaderCount, want.HeaderRate = 7, uptime, 2, 0x4064
		want.Exported, want.SamplingRate, want.SamplingSource = exported, 100, flow.RateHeader
		if !reflect.DeepEqual(r, want) {
			t.Errorf("uptime %d:\n got %+v\nwant %+v", uptime, r, want)
		}
	}
}

func TestV5EncodesWhatDoesNotFit(t *testing.T) {
	r := flow.Record{Src: netip.MustParseAddr("2001:db8::1"), Bytes: 1 << 40, Packets: 1 << 33, Input: 1 << 20,
		SrcAS: 4200000000, First: exported, Last: exported}
	_, got := decodeV5(t, netflow.AppendV5(nil, netflow.V5Header{Seconds: uint32(exported / 1e9)}, []flow.Record{r}))
	g := got[0]
	if g.Src != netip.IPv4Unspecified() || g.Bytes != 1<<32-1 || g.Packets != 1<<32-1 || g.Input != 0xffff ||
		g.SrcAS != 23456 {
		t.Errorf("got %v, %d bytes, %d packets, interface %d, AS %d", g.Src, g.Bytes, g.Packets, g.Input, g.SrcAS)
	}
}

func TestV5CountAndBytesDisagree(t *testing.T) {
	b := netflow.AppendV5(nil, netflow.V5Header{}, make([]flow.Record, 3))
	b[3] = 2
	if _, rest, err := netflow.ParseV5Header(b); err != nil || len(rest) != 2*netflow.V5RecordLen {
		t.Errorf("count 2 of 3: got %d bytes, %v", len(rest), err)
	}
	b[3] = 9
	if _, rest, err := netflow.ParseV5Header(b); !errors.Is(err, wire.ErrShort) || len(rest) != 3*netflow.V5RecordLen {
		t.Errorf("count 9 of 3: got %d bytes, %v", len(rest), err)
	}
}

func v9Template(t testing.TB, id uint16, fields ...ipfix.FieldSpec) *ipfix.Template {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(id, fields)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestV9RoundTrip(t *testing.T) {
	tmpl := v9Template(t, 256, ipfix.FieldSpec{ID: 8, Length: 4}, ipfix.FieldSpec{ID: 12, Length: 4},
		ipfix.FieldSpec{ID: 1, Length: 8},
		ipfix.FieldSpec{ID: 2, Length: 3}, ipfix.FieldSpec{ID: 22, Length: 4}, ipfix.FieldSpec{ID: 21, Length: 4},
		ipfix.FieldSpec{ID: 33002, Length: 2}, ipfix.FieldSpec{ID: 40000, Length: ipfix.Variable})
	opt := v9Template(t, 257, ipfix.FieldSpec{ID: 1, Length: 4, Scope: true}, ipfix.FieldSpec{ID: 34, Length: 4})
	e := netflow.V9Encoder{SourceID: 5, Sequence: 41}
	e.Boot = exported - 60*86400e9 // the count of milliseconds has wrapped
	e.Begin([]byte("before"), exported)
	e.AddTemplates(opt, tmpl)
	rec := v5Record()
	rec.FwXEvent, rec.User = 1001, []byte("alice")
	if n := e.AddData(tmpl, []flow.Record{rec}); n != 1 {
		t.Fatalf("%d records fit, want 1", n)
	}
	if n := e.AddOptions(opt, []flow.OptionRecord{{Fields: []flow.Element{{ID: 34, Value: []byte{100}}}}}); n != 1 {
		t.Fatalf("%d option records fit, want 1", n)
	}
	msg := e.End()[len("before"):]
	h, body, err := netflow.ParseV9Header(msg)
	if err != nil || h.SourceID != 5 || h.Sequence != 41 || e.Sequence != 42 || h.Count != 4 {
		t.Fatalf("got header %+v, %v", h, err)
	}
	var ids []uint16
	var got flow.Record
	sets := ipfix.NewSets(body)
	for set, ok := sets.Next(); ok; set, ok = sets.Next() {
		ids = append(ids, set.ID)
		switch set.ID {
		case netflow.V9TemplateSet, netflow.V9OptionsTemplateSet:
			want := tmpl
			if set.ID == netflow.V9OptionsTemplateSet {
				want = opt
			}
			r := netflow.NewV9TemplateReader(set.Body, want == opt, nil)
			if id, fields, ok := r.Next(); !ok || id != want.ID || !want.Equal(fields) {
				t.Errorf("got template %d %v, want %d %v", id, fields, want.ID, want.Fields)
			}
			if _, _, ok := r.Next(); ok || r.Err() != nil {
				t.Errorf("padding after the template: %v", r.Err())
			}
		case 256:
			var up ipfix.Uptime
			up.Set(h.ExportTime(), h.SysUptime)
			d := ipfix.RecordDecoder{Uptime: &up, Base: flow.Record{Exported: h.ExportTime()}}
			if _, err := d.Decode(tmpl, &got, set.Body); err != nil {
				t.Fatal(err)
			}
		case 257:
			var o flow.OptionRecord
			if _, err := ipfix.DecodeOption(opt, &o, set.Body); err != nil || len(o.Scope) != 1 ||
				wire.Uint(o.Fields[0].Value) != 100 {
				t.Errorf("got option %+v, %v", o, err)
			}
		}
	}
	if err := sets.Err(); err != nil || !reflect.DeepEqual(ids, []uint16{0, 1, 256, 257}) {
		t.Fatalf("got sets %v, %v", ids, err)
	}
	if got.Src != rec.Src || got.Bytes != rec.Bytes || got.Packets != rec.Packets || got.First != rec.First ||
		got.Last != rec.Last ||
		got.FwXEvent != 1001 || string(got.User) != "alice" {
		t.Errorf("got %+v", got)
	}
}

// TestV9UserNames: the types that ASA and Palo Alto send user names in are users.
func TestV9UserNames(t *testing.T) {
	record := append([]byte{192, 0, 2, 1}, "alice\x00\x00\x00"...)
	for _, id := range []uint16{40000, 56702} {
		var d ipfix.RecordDecoder
		var r flow.Record
		tmpl := v9Template(t, 256, ipfix.FieldSpec{ID: 8, Length: 4}, ipfix.FieldSpec{ID: id, Length: 8})
		if n, err := d.Decode(tmpl, &r, record); err != nil || n != len(record) || !r.Has(flow.User) ||
			string(r.User) != "alice\x00\x00\x00" {
			t.Errorf("type %d: %d bytes read, user %q: %v", id, n, r.User, err)
		}
	}
}

// FuzzV5: what is written of a record is what was read, and a record that takes over
// from the one before is the same as one that begins anew.
func FuzzV5(f *testing.F) {
	one, other := v5Record(), v5Record()
	other.SrcPort, other.Bytes, other.Last = 1, 2, 1
	head := netflow.V5Header{Seconds: uint32(exported / 1e9), SysUptime: 1e6}
	f.Add(netflow.AppendV5(nil, head, []flow.Record{one}))
	head.Sampling = 0x4064
	f.Add(netflow.AppendV5(nil, head, []flow.Record{one, other, one}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, _ := netflow.ParseV5Header(b)
		var base, r, next flow.Record
		netflow.V5Base(&base, h)
		netflow.Begin(&next, &base)
		for ; len(rest) >= netflow.V5RecordLen; rest = rest[netflow.V5RecordLen:] {
			netflow.Begin(&r, &base)
			netflow.DecodeV5(&r, rest)
			netflow.DecodeV5(&next, rest)
			if !reflect.DeepEqual(r, next) {
				t.Fatalf("a record after another is %+v, want %+v", next, r)
			}
			again := netflow.AppendV5(nil, h, []flow.Record{r})
			if hex.EncodeToString(again[24:48]) != hex.EncodeToString(rest[:24]) {
				t.Fatalf("addresses and counters: got %x, want %x", again[24:48], rest[:24])
			}
			next.SamplingRate, next.SamplingSource, next.Names = 7, flow.RateConfig, new(flow.Names) // as callers do
			next.Present.Add(flow.SamplingRate)
			netflow.Continue(&next, &base)
		}
	})
}

func FuzzV9Templates(f *testing.F) {
	body, _ := hex.DecodeString("01000003000800040001000800210003")
	f.Add(body, false)
	body, _ = hex.DecodeString("0100000400040001000400220004")
	f.Add(body, true)
	f.Fuzz(func(t *testing.T, b []byte, options bool) {
		r := netflow.NewV9TemplateReader(b, options, nil)
		for {
			id, fields, ok := r.Next()
			if !ok {
				break
			}
			var tmpl *ipfix.Template
			var err error
			if options {
				tmpl, err = ipfix.NewOptionsTemplate(id, fields)
			} else {
				tmpl, err = ipfix.NewTemplate(id, fields)
			}
			if err != nil {
				continue
			}
			var e netflow.V9Encoder
			e.Begin(nil, exported)
			e.AddTemplates(tmpl)
			_, body, err := netflow.ParseV9Header(e.End())
			if err != nil {
				t.Fatal(err)
			}
			sets := ipfix.NewSets(body)
			set, _ := sets.Next()
			again := netflow.NewV9TemplateReader(set.Body, set.ID == netflow.V9OptionsTemplateSet, nil)
			if id2, fields2, ok := again.Next(); !ok || id2 != id || !tmpl.Equal(fields2) {
				t.Fatalf("got %d %v, want %d %v", id2, fields2, id, tmpl.Fields)
			}
		}
	})
}
