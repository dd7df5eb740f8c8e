package flowmetric

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// firewallFields is the template of NSX's distributed firewall.
func firewallFields() []ipfix.FieldSpec {
	fields := []ipfix.FieldSpec{{ID: 56, Length: 6}, {ID: 57, Length: 6}, {ID: 8, Length: 4}, {ID: 12, Length: 4},
		{ID: 7, Length: 2}, {ID: 11, Length: 2},
		{ID: 4, Length: 1}, {ID: 176, Length: 1}, {ID: 177, Length: 1}, {ID: 150, Length: 4}, {ID: 151, Length: 4},
		{ID: 1, Length: 8}, {ID: 2, Length: 8}, {ID: 233, Length: 1}}
	for _, f := range []struct{ id, length uint16 }{{950, 4}, {951, 16}, {952, 4}, {953, 1}, {954, 1}, {148, 8},
		{955, 8}, {956, 1}, {957, 1},
		{958, 4}, {959, 4}, {960, 16}, {961, ipfix.Variable}} {
		spec := ipfix.FieldSpec{PEN: 6876, ID: f.id, Length: f.length}
		if f.id == 148 {
			spec.PEN = 0
		}
		fields = append(fields, spec)
	}
	return fields
}

// TestDistributedFirewall sends what NSX's distributed firewall tells of a
// connection: it begins, which is an event, goes on, which is traffic, and ends.
func TestDistributedFirewall(t *testing.T) {
	tmpl, err := ipfix.NewTemplate(256, firewallFields())
	if err != nil {
		t.Fatal(err)
	}
	const exported = flow.Time(1767323044e9)
	vm := []byte("\x42\x0a\x6f\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc")
	rec := func(event uint8, size uint64) flow.Record {
		return flow.Record{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: 1024,
			DstPort: 443, Proto: 6,
			First: exported - 5e9, Last: exported - 1e9, Bytes: size, Packets: size / 100, FwEvent: event, FlowID: 77,
			Extra: []flow.Element{{PEN: 6876, ID: 950, Value: []byte{0, 0, 4, 1}}, {PEN: 6876, ID: 951, Value: vm},
				{PEN: 6876, ID: 952, Value: []byte{2}},
				{PEN: 6876, ID: 953, Value: []byte{1}}, {PEN: 6876, ID: 954, Value: []byte{2}},
				{PEN: 6876, ID: 955, Value: []byte{9}},
				{PEN: 6876, ID: 956, Value: []byte{3}}, {PEN: 6876, ID: 957, Value: []byte{4}},
				{PEN: 6876, ID: 958, Value: []byte{1, 0}},
				{PEN: 6876, ID: 959, Value: []byte{5}}, {PEN: 6876, ID: 960, Value: vm},
				{PEN: 6876, ID: 961, Value: []byte("vif-1")}}}
	}
	e := ipfix.Encoder{Domain: 1}
	e.Begin(nil, exported)
	e.AddTemplates(tmpl)
	e.AddData(tmpl, []flow.Record{rec(1, 0), rec(5, 4200), rec(2, 0), rec(3, 0)})
	var got []telegraf.Metric
	b := builder(t, Options{FlowTags: []string{"ruleId", "fw_event"}})
	h := collector.Handler{Flow: func(r *flow.Record) { got = append(got, b.Flow(r, time.Unix(0, 1))) }}
	dg := collector.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.9:1"), Received: exported.Time(),
		Payload: e.End()}
	if err := collector.NewDecoder(collector.Options{}).Decode(dg, h); err != nil || len(got) != 4 {
		t.Fatalf("got %d flows, %v", len(got), err)
	}
	for i, want := range []struct{ name, event string }{{EventMeasurement, "flow created"},
		{Measurement, "flow update"}, {EventMeasurement, "flow deleted"}, {EventMeasurement, "flow denied"}} {
		if event, _ := got[i].GetTag("fw_event"); got[i].Name() != want.name || event != want.event {
			t.Errorf("record %d: got %s, %s", i, got[i].Name(), event)
		}
	}
	const uuid = "420a6f00-1122-3344-5566-778899aabbcc"
	for name, want := range map[string]any{"vmUuid": uuid, "vifUuid": uuid, "vifId": "vif-1", "vnicIndex": uint64(2),
		"sessionFlags": uint64(1), "flowDirection": uint64(2),
		"algControlFlowId": uint64(9), "algType": uint64(3), "algFlowType": uint64(4), "averageLatency": uint64(256),
		"retransmissionCount": uint64(5),
		"in_bytes":            uint64(4200), "flow_id": uint64(77), "in_src_mac": "00:00:00:00:00:00"} {
		if v, _ := got[1].GetField(name); v != want {
			t.Errorf("%s: got %v, want %v", name, v, want)
		}
	}
	if rule, _ := got[1].GetTag("ruleId"); rule != "1025" {
		t.Errorf("tag ruleId: got %q", rule)
	}
}

// TestEventsOfCaptures decodes what an ASA sent: all of it are events.
func TestEventsOfCaptures(t *testing.T) {
	events := 0
	b := builder(t, Options{})
	d := collector.NewDecoder(collector.Options{})
	h := collector.Handler{Flow: func(r *flow.Record) {
		m := b.Flow(r, time.Unix(0, 1))
		if m.Name() == EventMeasurement && m.(*Metric).HasField("fw_event") && m.(*Metric).HasField("xlat_src") &&
			m.(*Metric).HasField("xlat_dst_port") {
			events++
		}
	}}
	for _, name := range []string{"netflow9_test_cisco_asa_1_tpl.dat", "netflow9_test_cisco_asa_1_data.dat"} {
		payload, err := os.ReadFile(filepath.Join(peers.Samples("flows"), name))
		if err != nil {
			t.Skip("no captured datagrams here: ", err)
		}
		if err := d.Decode(collector.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.9:1"),
			Received: time.Unix(1e9, 0), Payload: payload}, h); err != nil {
			t.Fatal(err)
		}
	}
	if events != 14 {
		t.Errorf("got %d events, want 14", events)
	}
}
