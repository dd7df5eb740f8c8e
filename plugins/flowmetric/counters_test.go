package flowmetric

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// counterRecord returns a record of counters of an agent.
func counterRecord(kind string, counters ...flow.Counter) *flow.CounterRecord {
	return &flow.CounterRecord{Exporter: netip.MustParseAddr("192.0.2.9"), Agent: netip.MustParseAddr("2001:db8::9"),
		Domain: 3, Uptime: 1000, Sequence: 7, Source: 12, First: true, Kind: kind, Counters: counters}
}

// TestCountersOfAgents: each form of a counter is a field of its type, with the tags that tell the
// record; one that the agent does not have is none.
func TestCountersOfAgents(t *testing.T) {
	every := map[string]any{"agent_ip": "2001:db8::9", "agent_subid": uint64(3), "sys_uptime": uint64(1000),
		"seq_number": uint64(7)}
	status := func(v uint64) flow.Counter { return flow.Counter{Name: "interface_status", Value: v} }
	for name, c := range map[string]struct {
		kind     string
		counters []flow.Counter
		want     map[string]any
	}{
		"a number": {"interface", []flow.Counter{{Name: "in_octets", Value: 1 << 63}},
			map[string]any{"in_octets": uint64(1 << 63)}},
		"unknown": {"interface", []flow.Counter{{Name: "in_octets", Value: 1<<64 - 1, Unknown: true}}, nil},
		"a real number": {"host_cpu", []flow.Counter{{Name: "load_one", Real: true, Float: 0.25}},
			map[string]any{"load_one": 0.25}},
		"text": {"port_name", []flow.Counter{{Name: "port_name", Text: []byte("Gi0/1\x00")}},
			map[string]any{"port_name": "Gi0/1"}},
		"no UTF-8": {"port_name", []flow.Counter{{Name: "port_name", Text: []byte("a\xff")}},
			map[string]any{"port_name": "a\uFFFD"}},
		"an empty text": {"host_descr", []flow.Counter{{Name: "hostname", Text: []byte{}}},
			map[string]any{"hostname": ""}},
		"a MAC address": {"lag", []flow.Counter{{Name: "actor", Text: []byte{0, 0, 0x5e, 0, 0x53, 1}}},
			map[string]any{"actor": "00:00:5e:00:53:01"}},
		"a UUID": {"host_descr", []flow.Counter{{Name: "uuid", Text: []byte{0xde, 0xad, 0xbe, 0xef}}},
			map[string]any{"uuid": "deadbeef"}},
		"Ethernet": {"ethernet", []flow.Counter{{Name: "errors_fcs", Value: 5}},
			map[string]any{"errors_fcs": uint64(5), "type": "IEEE 802.3"}},
		"both up": {"interface", []flow.Counter{status(3)},
			map[string]any{"status": "up", "admin_status": "up", "oper_status": "up"}},
		"only asked for": {"interface", []flow.Counter{status(1)},
			map[string]any{"status": "up", "admin_status": "up", "oper_status": "down"}},
		"only running": {"interface", []flow.Counter{status(2)},
			map[string]any{"status": "up", "admin_status": "down", "oper_status": "up"}},
		"down": {"interface", []flow.Counter{status(0)},
			map[string]any{"status": "down", "admin_status": "down", "oper_status": "down"}},
		"twice": {"interface", []flow.Counter{{Name: "a", Value: 1}, {Name: "a", Value: 2}},
			map[string]any{"a": uint64(2)}},
	} {
		want := maps.Clone(every)
		maps.Copy(want, c.want)
		m := builder(t, Options{}).Counters(counterRecord(c.kind, c.counters...), time.Unix(5, 6))
		if !maps.Equal(m.Fields(), want) || m.Name() != CounterMeasurement || !m.Time().Equal(time.Unix(5, 6)) {
			t.Errorf("%s: %s %v, expected %v", name, m.Name(), m.Fields(), want)
		}
		if tags := m.Tags(); !maps.Equal(tags, map[string]string{"source": "192.0.2.9", "version": "sFlowV5",
			"kind":  c.kind,
			"index": "12"}) {
			t.Errorf("%s: the tags are %v", name, tags)
		}
	}
	bare := counterRecord("interface")
	bare.Agent = netip.Addr{}
	if m := builder(t, Options{}).Counters(bare, time.Unix(5, 6)); m.HasField("agent_ip") {
		t.Errorf("no agent has the address %v", m.Fields())
	}
}

// TestCountersOfTheStockPlugin: its metric is that of a sample, to which later records add; other kinds
// it does not have, and what is unknown is the highest number.
func TestCountersOfTheStockPlugin(t *testing.T) {
	b := builder(t, Options{Stock: true})
	at := time.Unix(5, 6)
	first := counterRecord("interface", flow.Counter{Name: "in_octets", Value: 9},
		flow.Counter{Name: "out_octets", Value: 1<<64 - 1, Unknown: true},
		flow.Counter{Name: "interface_direction", Value: 1},
		flow.Counter{Name: "interface_status", Value: 2})
	m := b.Counters(first, at)
	if m == nil {
		t.Fatal("no metric of the first record")
	}
	second := counterRecord("ethernet", flow.Counter{Name: "errors_fcs", Value: 5},
		flow.Counter{Name: "in_octets", Value: 8})
	third := counterRecord("port_name", flow.Counter{Name: "port_name", Text: []byte("Gi0/1")})
	other := counterRecord("host_cpu", flow.Counter{Name: "load_one", Real: true, Float: 1})
	for _, later := range []*flow.CounterRecord{second, other, third} {
		later.First = false
		if again := b.Counters(later, at); again != nil {
			t.Errorf("%s: a metric of its own: %v", later.Kind, again)
		}
	}
	want := map[string]any{"ip_version": "IPv6", "in_snmp": uint64(12), "agent_ip": "2001:db8::9",
		"agent_subid": uint64(3),
		"sys_uptime":  uint64(1000), "seq_number": uint64(7), "in_octets": uint64(8), "out_octets": uint64(1<<64 - 1),
		"status": "up", "errors_fcs": uint64(5), "type": "IEEE 802.3", "port_name": "Gi0/1"}
	if !maps.Equal(m.Fields(), want) || m.Name() != "netflow" || len(m.Tags()) != 2 {
		t.Errorf("%s %v %v, expected %v", m.Name(), m.Tags(), m.Fields(), want)
	}
	for sourceType, name := range map[uint8]string{0: "in_snmp", 1: "in_vlan_id", 2: "in_phy_interface", 3: ""} {
		r := counterRecord("interface")
		r.SourceType, r.Agent = sourceType, netip.MustParseAddr("192.0.2.9")
		got := b.Counters(r, at)
		if got == nil || got == m {
			t.Fatalf("source type %d: the next sample has no metric of its own", sourceType)
		}
		for _, one := range []string{"in_snmp", "in_vlan_id", "in_phy_interface"} {
			if v, there := got.GetField(one); there != (one == name) || there && v != uint64(12) {
				t.Errorf("source type %d: %s is %v", sourceType, one, v)
			}
		}
		if v, _ := got.GetField("ip_version"); v != "IPv4" {
			t.Errorf("an agent of IPv4 is %v", v)
		}
	}
	foreign := counterRecord("host_cpu")
	if got := b.Counters(foreign, at); got != nil {
		t.Errorf("a kind that the stock plugin does not have: %v", got)
	}
	late := counterRecord("interface")
	late.First = false // what came before it was of no kind that it has
	if got := b.Counters(late, at); got == nil {
		t.Error("the first record that the stock plugin has is no metric")
	}
}

// TestTypesOfEthernet are those of IANA's registry of IEEE 802 numbers, by the stock plugin's names.
func TestTypesOfEthernet(t *testing.T) {
	b := builder(t, Options{})
	for v, want := range map[uint16]string{0x0800: "IPv4", 0x0806: "ARP", 0x86dd: "IPv6", 0x8100: "Dot1Q",
		0x88a8: "QinQ",
		0x8847: "MPLSUnicast", 0x8848: "MPLSMulticast", 0x8864: "PPPoESession", 0x88cc: "LinkLayerDiscovery",
		0:      "0x0000",
		0x0801: "0x0801", 0xffff: "0xffff", 0x8863: "0x8863"} {
		value := b.etherType(v)
		if got := b.cache.box(&value); got != want {
			t.Errorf("%#04x is %v, expected %s", v, got, want)
		}
	}
	names := []string{"unknown", "ETHERNET-ISO8023", "ISO88024-TOKENBUS", "ISO88025-TOKENRING", "FDDI", "FRAME-RELAY",
		"X25",
		"PPP", "SMDS", "AAL5", "AAL5-IP", "IPv4", "IPv6", "MPLS", "unknown"} // header_protocol of sFlow version 5
	for v, want := range names {
		if got := headerProtocol(uint32(v)); got != want {
			t.Errorf("protocol %d is %v, expected %s", v, got, want)
		}
	}
	if got := headerProtocol(1<<32 - 1); got != "unknown" {
		t.Errorf("the last protocol is %v", got)
	}
}
