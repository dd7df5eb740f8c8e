package collector

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// listStream are the datagrams of an exporter that sends RFC 6313's lists: the
// template of the records in them, that of the flows, and a flow.
func listStream(t testing.TB) (inner, outer, data []byte) {
	t.Helper()
	four, err := ipfix.NewTemplate(300, []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 7, Length: 2}})
	if err != nil {
		t.Fatal(err)
	}
	flows := mustTemplate(t, []ipfix.FieldSpec{{ID: 1, Length: 4}, {ID: ipfix.SubTemplateList, Length: ipfix.Variable}})
	recs := []flow.Record{{Src: netip.MustParseAddr("192.0.2.1"), SrcPort: 53},
		{Src: netip.MustParseAddr("192.0.2.2"), SrcPort: 54}}
	list := ipfix.AppendSubTemplateList(nil, flow.AllOf, four, recs, exported, 0)
	var e ipfix.Encoder
	message := func(add func()) []byte {
		e.Begin(nil, exported)
		add()
		return e.End()
	}
	inner = message(func() { e.AddTemplates(four) })
	outer = message(func() { e.AddTemplates(flows) })
	data = message(func() {
		e.AddData(flows, []flow.Record{{Bytes: 7, Extra: []flow.Element{{ID: ipfix.SubTemplateList, Value: list}}}})
	})
	return inner, outer, data
}

// TestNestedTemplates finds the templates of records in lists among the exporter's,
// and keeps the flow when they are missing.
func TestNestedTemplates(t *testing.T) {
	inner, outer, data := listStream(t)
	d := NewDecoder(Options{})
	var nested []int
	h := Handler{Flow: func(r *flow.Record) {
		if r.Bytes != 7 {
			t.Errorf("got %d bytes", r.Bytes)
		}
		nested = append(nested, len(r.Nested))
	}}
	_ = d.Decode(datagram(outer), h)
	if err := d.Decode(datagram(data), h); err == nil {
		t.Error("a list of unknown records is no error")
	}
	for _, b := range [][]byte{inner, data} {
		if err := d.Decode(datagram(b), h); err != nil {
			t.Error(err)
		}
	}
	other := Datagram{Exporter: netip.MustParseAddrPort("192.0.2.9:1"), Received: received}
	for _, b := range [][]byte{outer, data} {
		other.Payload = b
		_ = d.Decode(other, h)
	}
	if len(nested) != 3 || nested[0] != 0 || nested[1] != 4 || nested[2] != 0 {
		t.Errorf("got %v elements, want 0, 4, and 0 of another exporter", nested)
	}
}
