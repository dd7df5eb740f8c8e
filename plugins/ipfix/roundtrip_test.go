package ipfix_test

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

const (
	exported = flow.Time(1482409057e9)
	boot     = exported - 60*86400e9 // past the wrap of a 32-bit count of milliseconds
)

// template compiles fields or fails the test.
func template(t testing.TB, id uint16, fields ...ipfix.FieldSpec) *ipfix.Template {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(id, fields)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// decode decodes the data sets of a message with the given template.
func decode(t testing.TB, tmpl *ipfix.Template, msg []byte, each func(*flow.Record)) {
	t.Helper()
	h, body, err := ipfix.ParseHeader(msg)
	if err != nil {
		t.Fatal(err)
	}
	var up ipfix.Uptime
	up.SetBoot(boot)
	d := ipfix.RecordDecoder{Uptime: &up}
	d.Base = flow.Record{Version: flow.IPFIX, Exported: h.ExportTime(), Domain: h.Domain}
	sets := ipfix.NewSets(body)
	var r flow.Record
	for {
		set, ok := sets.Next()
		if !ok {
			break
		}
		if set.ID != tmpl.ID {
			continue
		}
		for b := set.Body; len(b) >= tmpl.MinLength(); {
			n, err := d.Decode(tmpl, &r, b)
			if err != nil {
				t.Fatal(err)
			}
			b = b[n:]
			each(&r)
		}
	}
	if err := sets.Err(); err != nil {
		t.Fatal(err)
	}
}

// full is a record with a value in every field that an element carries.
func full() flow.Record {
	a := netip.MustParseAddr
	return flow.Record{
		First: exported - 5e9, Last: exported - 1e9,
		Src: a("192.0.2.1"), Dst: a("198.51.100.2"), SrcPort: 1234, DstPort: 443, Proto: 6, IPVersion: 4,
		TCPFlags: 0x12, SrcTOS: 3, DstTOS: 4, Bytes: 1 << 40, Packets: 77, RevBytes: 99, RevPackets: 9,
		OutBytes: 5, OutPackets: 6, Flows: 2, SamplerID: 3, Input: 1 << 20, Output: 7, SrcMask: 24, DstMask: 25,
		SrcAS: 65000, DstAS: 4200000000, NextAS: 1, PrevAS: 2, NextHop: a("203.0.113.1"), BGPNextHop: a("203.0.113.2"),
		Direction: 1, FwdStatus: 64, EndReason: 3, BiflowDir: 1, MinTTL: 60, MaxTTL: 64, FragFlags: 0x40,
		FlowID:     1 << 50,
		IngressVRF: 1, EgressVRF: 2, SrcVLAN: 100, DstVLAN: 200,
		InSrcMAC: [6]byte{1, 2, 3, 4, 5, 6}, OutDstMAC: [6]byte{6, 5, 4, 3, 2, 1}, InDstMAC: [6]byte{9},
		OutSrcMAC: [6]byte{8},
		MPLS:      [10]uint32{0: 0x123451, 1: 0xabcde0}, MPLSDepth: 2,
		EngineType: 1, EngineID: 2, AppID: []byte{3, 0, 0, 80}, User: []byte("alice"), ObservationPoint: 77,
		SegmentID: 5000,
		NATPool:   8, XlateSrc: a("203.0.113.7"), XlateDst: a("203.0.113.8"), XlateSPort: 4000, XlateDPort: 4001,
		PortBlock: [4]uint16{1024, 2047, 1, 1024},
	}
}

// fullFields is a template for full.
func fullFields() []ipfix.FieldSpec {
	lengths := []struct{ id, length uint16 }{
		{8, 4}, {12, 4}, {7, 2}, {11, 2}, {4, 1}, {60, 1}, {6, 2}, {5, 1}, {55, 1}, {1, 8}, {2, 8}, {23, 8}, {24, 4},
		{3, 4}, {48, 1}, {10, 4}, {14, 4}, {9, 1}, {13, 1}, {16, 4}, {17, 4}, {128, 4}, {129, 4}, {15, 4}, {18, 4},
		{61, 1}, {89, 1}, {136, 1}, {239, 1}, {52, 1}, {53, 1}, {197, 1}, {148, 8}, {234, 4}, {235, 4}, {58, 2},
		{59, 2},
		{56, 6}, {57, 6}, {80, 6}, {81, 6}, {70, 3}, {71, 3}, {38, 1}, {39, 1}, {95, 4}, {371, ipfix.Variable},
		{138, 8},
		{351, 8}, {283, 4}, {225, 4}, {226, 4}, {227, 2}, {228, 2}, {361, 2}, {362, 2}, {363, 2}, {364, 2}, {152, 8},
		{153, 8},
	}
	fields := []ipfix.FieldSpec{{PEN: 29305, ID: 1, Length: 8}, {PEN: 29305, ID: 2, Length: 8}}
	for _, l := range lengths {
		fields = append(fields, ipfix.FieldSpec{ID: l.id, Length: l.length})
	}
	return fields
}

func TestRoundTripOfEveryField(t *testing.T) {
	want := full()
	tmpl := template(t, 256, fullFields()...)
	e := ipfix.Encoder{Domain: 9}
	e.Boot = boot
	e.Begin(nil, exported)
	e.AddTemplates(tmpl)
	if n := e.AddData(tmpl, []flow.Record{want, want}); n != 2 {
		t.Fatalf("expected 2 records to fit, got %d", n)
	}
	seen := 0
	decode(t, tmpl, e.End(), func(r *flow.Record) {
		seen++
		got := *r
		got.Extra, got.Present = nil, flow.Set{}
		want.Version, want.Exported, want.Domain, want.TemplateID = flow.IPFIX, exported, 9, 256
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
	if seen != 2 || e.Sequence != 2 {
		t.Fatalf("expected 2 records and sequence 2, got %d and %d", seen, e.Sequence)
	}
}

func TestTemplatesRoundTrip(t *testing.T) {
	data := template(t, 300, fullFields()...)
	options := template(t, 301, ipfix.FieldSpec{ID: 143, Length: 4, Scope: true},
		ipfix.FieldSpec{PEN: 6876, ID: 898, Length: ipfix.Variable})
	var e ipfix.Encoder
	e.Begin(nil, exported)
	e.AddTemplates(options, data)
	_, body, err := ipfix.ParseHeader(e.End())
	if err != nil {
		t.Fatal(err)
	}
	sets := ipfix.NewSets(body)
	for _, want := range []*ipfix.Template{data, options} {
		set, ok := sets.Next()
		if !ok {
			t.Fatal("a set is missing")
		}
		r := ipfix.NewTemplateReader(set.Body, set.ID == ipfix.OptionsTemplateSet, nil)
		id, fields, ok := r.Next()
		if !ok || id != want.ID || !want.Equal(fields) {
			t.Fatalf("got %d %v, want %d %v (%v)", id, fields, want.ID, want.Fields, r.Err())
		}
	}
}

// TestTimes goes through the ways in which exporters tell times.
func TestTimes(t *testing.T) {
	first, last := exported-5e9, exported-1e9
	for _, c := range []struct {
		name        string
		first, last uint16
		length      uint16
	}{
		{"seconds", 150, 151, 4}, {"milliseconds", 152, 153, 8}, {"NTP microseconds", 154, 155, 8},
		{"NTP nanoseconds", 156, 157, 8}, {"delta microseconds", 158, 159, 4}, {"uptime", 22, 21, 4},
		{"start and duration", 152, 161, 4}, {"end and duration", 161, 153, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmpl := template(t, 256, ipfix.FieldSpec{ID: c.first, Length: 8},
				ipfix.FieldSpec{ID: c.last, Length: c.length})
			e := ipfix.Encoder{}
			e.Boot = boot
			e.Begin(nil, exported)
			e.AddData(tmpl, []flow.Record{{First: first, Last: last}})
			decode(t, tmpl, e.End(), func(r *flow.Record) {
				if r.First/1000 != first/1000 || r.Last/1000 != last/1000 || r.Has(flow.TimeRepair) {
					t.Errorf("got %v to %v, want %v to %v", r.First.Time(), r.Last.Time(), first.Time(), last.Time())
				}
			})
		})
	}
}
