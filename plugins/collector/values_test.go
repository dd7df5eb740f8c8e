package collector

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestNamesOfLongApplicationIds joins names to ids of 4, 8, 9 and 20 bytes (RFC 6759,
// section 4.1): those of engine 20 have an enterprise before the selector.
func TestNamesOfLongApplicationIds(t *testing.T) {
	for _, id := range []string{"0d000050", "1400003044000050", "140000304400003e31",
		"14000030440000000000000000000000000000ab"} {
		app, err := hex.DecodeString(id)
		if err != nil {
			t.Fatal(err)
		}
		n := uint16(len(app))
		names := compiled(t, 256, ipfix.FieldSpec{ID: ie.ApplicationId, Length: n, Scope: true},
			spec(ie.ApplicationName, 16))
		data := compiled(t, 257, spec(8, 4), spec(12, 4), spec(ie.ApplicationId, n))
		d, s := NewDecoder(Options{}), newSender()
		var got []string
		h := Handler{Flow: func(r *flow.Record) {
			name := ""
			if r.Names != nil {
				name = r.Names.App
			}
			got = append(got, name)
		}}
		other := append([]byte{}, app...)
		other[n-1]++
		s.send(t, d, h, func(e *ipfix.Encoder) {
			e.AddTemplates(names, data)
			e.AddOptions(names, []flow.OptionRecord{{Scope: []flow.Element{{ID: ie.ApplicationId, Value: app}},
				Fields: []flow.Element{{ID: ie.ApplicationName, Value: []byte("video")}}}})
			e.AddData(data, []flow.Record{{AppID: app}, {AppID: other}})
		})
		if len(got) != 2 || got[0] != "video" || got[1] != "" {
			t.Errorf("application %s: got names %q", id, got)
		}
	}
}

// TestPhysicalInterfacesAlone: where no other interfaces are told, the physical ones are
// the flow's, with their names.
func TestPhysicalInterfacesAlone(t *testing.T) {
	names := compiled(t, 256, ipfix.FieldSpec{ID: ie.IngressPhysicalInterface, Length: 4, Scope: true},
		spec(ie.InterfaceName, 8))
	alone := compiled(t, 257, spec(8, 4), spec(12, 4), spec(252, 4), spec(253, 4))
	both := compiled(t, 258, spec(10, 4), spec(14, 4), spec(252, 4), spec(253, 4))
	name := func(index byte, text string) flow.OptionRecord {
		return flow.OptionRecord{Scope: []flow.Element{{ID: 252, Value: []byte{2, 0, 0, index}}},
			Fields: []flow.Element{{ID: 82, Value: []byte(text)}}}
	}
	d, s := NewDecoder(Options{}), newSender()
	var got []flow.Record
	var labels []flow.Names
	h := Handler{Flow: func(r *flow.Record) { got, labels = append(got, *r), append(labels, *r.Names) }}
	physical := []flow.Element{{ID: 252, Value: []byte{2, 0, 0, 1}}, {ID: 253, Value: []byte{2, 0, 0, 2}}}
	s.send(t, d, h, func(e *ipfix.Encoder) {
		e.AddTemplates(names, alone, both)
		e.AddOptions(names, []flow.OptionRecord{name(1, "1/1/c1"), name(2, "1/1/c2")})
		e.AddData(alone, []flow.Record{{Extra: physical}})
		e.AddData(both, []flow.Record{{Input: 7, Output: 0, Extra: physical}})
	})
	if len(got) != 2 || got[0].Input != 0x2000001 || got[0].Output != 0x2000002 || labels[0].Input != "1/1/c1" ||
		labels[0].Output != "1/1/c2" {
		t.Errorf("alone: got %+v", got)
	}
	if got[1].Input != 7 || got[1].Output != 0 || !got[1].Has(flow.Output) {
		t.Errorf("beside others: got %d and %d", got[1].Input, got[1].Output)
	}
}

// TestNamesOfAllInterfaces: a router with a subscriber on each of 65,000 interfaces has all
// of their names; what comes beyond the bound changes none of them.
func TestNamesOfAllInterfaces(t *testing.T) {
	names := compiled(t, 256, ipfix.FieldSpec{ID: ie.IngressInterface, Length: 4, Scope: true}, spec(ie.InterfaceName, 8))
	data := compiled(t, 257, spec(8, 4), spec(12, 4), spec(10, 4))
	d, s := NewDecoder(Options{}), newSender()
	var got []string
	h := Handler{Flow: func(r *flow.Record) {
		name := ""
		if r.Names != nil {
			name = r.Names.Input
		}
		got = append(got, name)
	}}
	const step = 100
	for i := uint32(0); i < 70000; i += step {
		var list []flow.OptionRecord
		for n := i; n < i+step; n++ {
			list = append(list, flow.OptionRecord{
				Scope:  []flow.Element{{ID: ie.IngressInterface, Value: binary.BigEndian.AppendUint32(nil, n)}},
				Fields: []flow.Element{{ID: ie.InterfaceName, Value: fmt.Appendf(nil, "s%d", n)}}})
		}
		s.send(t, d, h, func(e *ipfix.Encoder) {
			e.AddTemplates(names, data)
			e.AddOptions(names, list)
		})
	}
	s.send(t, d, h, func(e *ipfix.Encoder) {
		e.AddData(data, []flow.Record{{Input: 1}, {Input: 64999}, {Input: maxTableNames - 1}, {Input: maxTableNames}})
	})
	if want := []string{"s1", "s64999", "s65535", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestVLANs: a VLAN of NetFlow v9 is the flow's by whichever element the exporter has it,
// as nfcapd takes it. IPFIX has one of its own for what Cisco sends in its place.
func TestVLANs(t *testing.T) {
	for _, c := range []struct {
		fields   []ipfix.FieldSpec
		values   string
		src, dst uint16
	}{
		{[]ipfix.FieldSpec{spec(243, 2), spec(254, 2)}, "00650066", 101, 102},
		{[]ipfix.FieldSpec{spec(243, 2), spec(58, 2)}, "00650000", 101, 0},
		{[]ipfix.FieldSpec{spec(58, 2), spec(243, 2)}, "00070065", 7, 0},
		{[]ipfix.FieldSpec{spec(59, 2), spec(254, 4)}, "000000000066", 0, 102},
	} {
		tmpl, err := ipfix.NewV9Template(256, c.fields)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(c.values)
		if err != nil {
			t.Fatal(err)
		}
		var r flow.Record
		d := ipfix.RecordDecoder{}
		if _, err := d.Decode(tmpl, &r, b); err != nil || r.SrcVLAN != c.src || r.DstVLAN != c.dst {
			t.Errorf("%v: got %d and %d, %v", c.fields, r.SrcVLAN, r.DstVLAN, err)
		}
	}
}

// TestFramesOfBiflows: the flow of the other direction has the frames turned round.
func TestFramesOfBiflows(t *testing.T) {
	mac := func(n byte) [6]byte { return [6]byte{0, 0, 0x5e, 0, 0x53, n} }
	r := flow.Record{InSrcMAC: mac(1), InDstMAC: mac(2), OutSrcMAC: mac(3), OutDstMAC: mac(4), Bytes: 1, RevBytes: 2}
	for _, c := range []struct {
		name    string
		present flow.Set
		want    [4]byte // in source, in destination, out source, out destination; 0 is not present
	}{
		{"what came in", flow.SetOf(flow.InSrcMAC, flow.InDstMAC), [4]byte{2, 1, 0, 0}},
		{"what went out", flow.SetOf(flow.OutSrcMAC, flow.OutDstMAC), [4]byte{0, 0, 4, 3}},
		{"the stations", flow.SetOf(flow.InSrcMAC, flow.OutDstMAC), [4]byte{4, 0, 0, 1}},
		{"both frames", flow.SetOf(flow.InSrcMAC, flow.InDstMAC, flow.OutSrcMAC, flow.OutDstMAC), [4]byte{4, 3, 2, 1}},
	} {
		x, rev := r, flow.Record{}
		x.Present = c.present
		split(&x, &rev)
		for i, f := range [...]flow.Field{flow.InSrcMAC, flow.InDstMAC, flow.OutSrcMAC, flow.OutDstMAC} {
			got := byte(0)
			if rev.Has(f) {
				got = rev.Octets(f)[5]
			}
			if got != c.want[i] {
				t.Errorf("%s: %s is %d, want %d", c.name, f, got, c.want[i])
			}
		}
	}
}

// TestFlawedOptionTemplates: what makes sense of an options template is read, and the flaw
// is counted.
func TestFlawedOptionTemplates(t *testing.T) {
	const (
		v9  = "0009000100000e1065537f1000000000000000c8"
		ipf = "000a000065537f100000000000000001"
	)
	for _, c := range []struct{ name, datagram string }{
		{"v9: a length of 9 for two fields", v9 + "0001001a" + "040200040009" + "00010004" + "005f0004" + "00600008" +
			"0000"},
		{"v9: a length beyond the set", v9 + "00010018" + "04020004000c" + "00010004" + "005f0004" + "00600008" +
			"0000"},
	} {
		b, err := hex.DecodeString(c.datagram)
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(Options{})
		_ = d.Decode(Datagram{Exporter: from, Received: received, Payload: fixSet(b, 20)}, Handler{})
		st := only(t, d)
		if st.Templates != 1 || st.DecodeErrors != 1 {
			t.Errorf("%s: got %d templates, %d errors", c.name, st.Templates, st.DecodeErrors)
		}
		record, _ := hex.DecodeString(v9 + "04020014" + "00000000" + "0d000050" + "646e730000000000")
		var names int
		_ = d.Decode(Datagram{Exporter: from, Received: received, Payload: record},
			Handler{Option: func(o *flow.OptionRecord) {
				if len(o.Scope) == 1 && len(o.Fields) == 2 && o.Fields[1].ID == ie.ApplicationName {
					names++
				}
			}})
		if names != 1 {
			t.Errorf("%s: the record was not read", c.name)
		}
	}
	b, _ := hex.DecodeString(ipf + "00030014" + "04020002" + "0000" + "005f0004" + "00600008" + "0000")
	b = fixSet(b, 16)
	b[2], b[3] = 0, byte(len(b))
	d := NewDecoder(Options{})
	_ = d.Decode(Datagram{Exporter: from, Received: received, Payload: b}, Handler{})
	if st := only(t, d); st.Templates != 1 || st.DecodeErrors != 1 {
		t.Errorf("no scope in IPFIX: got %d templates, %d errors", st.Templates, st.DecodeErrors)
	}
}

// fixSet gives the first set of a datagram, at an offset, the length that it has.
func fixSet(b []byte, at int) []byte {
	n := len(b) - at
	b[at+2], b[at+3] = byte(n>>8), byte(n)
	return b
}

// TestOuterView: with the outer addresses as the flow a tunnel by repeated elements has
// its outer ports, too.
func TestOuterView(t *testing.T) {
	a := netip.MustParseAddr
	fields := []ipfix.FieldSpec{spec(8, 4), spec(12, 4), spec(7, 2), spec(11, 2), spec(4, 1)}
	tmpl := compiled(t, 256, append(append([]ipfix.FieldSpec{}, fields...), fields...)...)
	rec := flow.Record{Src: a("192.0.2.1"), Dst: a("192.0.2.2"), SrcPort: 1, DstPort: 2, Proto: 6,
		TunSrc: a("198.51.100.1"), TunDst: a("198.51.100.2"), TunSrcPort: 3, TunDstPort: 4789, TunProto: 17}
	d, s := NewDecoder(Options{OuterFlows: true}), newSender()
	var got []flow.Record
	s.send(t, d, Handler{Flow: func(r *flow.Record) { got = append(got, *r) }}, func(e *ipfix.Encoder) {
		e.AddTemplates(tmpl)
		e.AddData(tmpl, []flow.Record{rec})
	})
	if r := got[0]; r.Src != rec.TunSrc || r.Dst != rec.TunDst || r.SrcPort != 3 || r.DstPort != 4789 ||
		r.Proto != 17 ||
		r.Has(flow.TunSrc) || !r.Has(flow.SrcPort) || r.IPVersion != 4 {
		t.Errorf("got %+v", r)
	}
}
