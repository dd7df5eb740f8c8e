package flowmetric

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestExtraFields gives elements that the record holds, that lie in Extra, a
// vendor's, and one without a name.
func TestExtraFields(t *testing.T) {
	r := record(flow.IPFIX, flow.Bytes, flow.SrcPort)
	r.Bytes, r.SrcPort = 7, 1024
	r.Extra = []flow.Element{{PEN: 6876, ID: 898, Value: []byte("port-1")}, {ID: 499, Value: []byte{1}},
		{ID: 152, Value: []byte{3}}}
	r.Names = &flow.Names{App: "https", Exporter: "edge"}
	b := builder(t, Options{
		ExtraFields: []string{"octetDeltaCount", "applicationName", "6876/virtualObsID", "type_499",
			"flowStartMilliseconds", "sourceTransportPort"},
		FlowTags: []string{"virtualObsID", "exporter_name", "sourceTransportPort"},
	})
	m := b.Flow(r, time.Unix(0, 1))
	for name, want := range map[string]any{"octetDeltaCount": uint64(7), "applicationName": "https",
		"app_name": "https", "type_499": "0x01", "flowStartMilliseconds": uint64(3)} {
		if v, _ := m.GetField(name); v != want {
			t.Errorf("%s: got %v, want %v", name, v, want)
		}
	}
	for name, want := range map[string]string{"virtualObsID": "port-1", "exporter_name": "edge",
		"sourceTransportPort": "1024"} {
		if v, _ := m.GetTag(name); v != want {
			t.Errorf("tag %s: got %q, want %q", name, v, want)
		}
	}
	for _, bad := range []string{"", "noSuchElement", "type_x", "type_1_99999", "x/virtualObsID"} {
		if _, err := NewBuilder(Options{ExtraFields: []string{bad}}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestVendorsFieldsOfV9: NetFlow v9 has no enterprise numbers, so vendors' elements
// have numbers of their own there. Types of IPFIX are never taken for them.
func TestVendorsFieldsOfV9(t *testing.T) {
	b := builder(t, Options{ExtraFields: []string{"25461/appId", "9/serverBytesNetwork", "35632/src_fragments"},
		FlowTags: []string{"appId"}})
	r := record(flow.V9)
	r.Extra = []flow.Element{{ID: 56701, Value: []byte("web-browsing\x00\x00")},
		{ID: 0x8000 + 8337, Value: []byte{1, 0}}, {ID: 57472 + 80, Value: []byte{7}}}
	m := b.Flow(r, time.Unix(0, 1))
	if v, _ := m.GetTag("appId"); v != "web-browsing" {
		t.Errorf("appId: got %q", v)
	}
	for name, want := range map[string]uint64{"serverBytesNetwork": 256, "src_fragments": 7} {
		if v, _ := m.GetField(name); v != want {
			t.Errorf("%s: got %v, want %d", name, v, want)
		}
	}
	r.Version = flow.IPFIX
	if _, ok := b.Flow(r, time.Unix(0, 2)).GetField("src_fragments"); ok {
		t.Error("IPFIX has no such numbers")
	}
}

func TestScaledCounters(t *testing.T) {
	r := record(flow.IPFIX, flow.Bytes, flow.Packets)
	r.Bytes, r.Packets, r.SamplingRate, r.SamplingSource = 1000, 2, 512, flow.RateSelector
	m := builder(t, Options{}).Flow(r, time.Unix(0, 1))
	for name, want := range map[string]any{"in_bytes": uint64(1000), "scaled_bytes": uint64(512000),
		"scaled_packets": uint64(1024), "sampling_rate": uint64(512), "sampling_source": "selector"} {
		if v, _ := m.GetField(name); v != want {
			t.Errorf("%s: got %v, want %v", name, v, want)
		}
	}
}

// TestUnknownCounters: what an sFlow agent does not count is no field; as the stock plugin has
// it, it is the highest number.
func TestUnknownCounters(t *testing.T) {
	o := &flow.CounterRecord{Exporter: netip.MustParseAddr("192.0.2.1"), Kind: "interface", Source: 3, First: true,
		Counters: []flow.Counter{{Name: "interface_status", Value: math.MaxUint32, Unknown: true},
			{Name: "in_bytes", Value: 1000}, {Name: "out_bytes", Value: math.MaxUint64, Unknown: true},
			{Name: "out_errors", Value: 0}}}
	m := builder(t, Options{}).Counters(o, time.Unix(0, 1))
	for name, want := range map[string]any{"in_bytes": uint64(1000), "out_errors": uint64(0), "out_bytes": nil,
		"status": nil, "admin_status": nil} {
		if v, _ := m.GetField(name); v != want {
			t.Errorf("%s: got %v, want %v", name, v, want)
		}
	}
	m = builder(t, Options{Stock: true}).Counters(o, time.Unix(0, 1))
	if v, _ := m.GetField("out_bytes"); v != uint64(math.MaxUint64) {
		t.Errorf("stock: got %v", v)
	}
}

func TestRoles(t *testing.T) {
	for attr, want := range map[uint16]string{1: "uplink", 2: "vm", 3: "vxlan", 9: "unknown"} {
		r := record(flow.IPFIX, flow.IngressAttr)
		r.IngressAttr = attr
		m := builder(t, Options{}).Flow(r, time.Unix(0, 1))
		if v, _ := m.GetField("ingress_role"); v != want {
			t.Errorf("%d: got %v, want %s", attr, v, want)
		}
	}
}
