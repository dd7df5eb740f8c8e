package decodingtest

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// V1V7 returns a datagram of NetFlow v1 and one of v7.
func V1V7() [][]byte {
	h := netflow.V5Header{SysUptime: 1e6, Seconds: uint32(Exported / 1e9)}
	list := Flows(0, 2)
	list[1].Extra = []flow.Element{{ID: 130, Value: []byte{10, 9, 9, 9}}}
	return [][]byte{netflow.AppendV1(nil, h, list), netflow.AppendV7(nil, h, list)}
}

// SFlow returns a sampled packet in a VLAN, and counters of an interface.
func SFlow() [][]byte {
	r := Flows(0, 2)[1]
	r.SrcVLAN, r.SamplingRate, r.MaxTTL = 7, 400, 63
	e := sflow.Encoder{Agent: netip.MustParseAddr("192.0.2.254"), SubAgent: 1, Boot: Exported - 1e12}
	e.Begin(nil, Exported)
	e.Flow(&r, packet.ProtocolEthernet, packet.Append(nil, &r), 1234)
	one := func(names ...string) (list []flow.Counter) {
		for i, name := range names {
			list = append(list, flow.Counter{Name: name, Value: uint64(i + 1)})
		}
		return list
	}
	e.Counters(3,
		flow.CounterRecord{Kind: "interface",
			Counters: one("interface", "interface_type", "speed", "interface_direction", "interface_status",
				"in_bytes")},
		flow.CounterRecord{Kind: "ethernet", Counters: one("errors_alignment")})
	e.Counters(1, flow.CounterRecord{Kind: "host_cpu",
		Counters: []flow.Counter{{Name: "load_1m", Real: true, Float: 0.5}}})
	return [][]byte{e.End()}
}

// Events returns NSEL, a NAT event, and a flow of a firewall that adds its
// last event.
func Events(t testing.TB) [][]byte {
	t.Helper()
	compile := func(id uint16, fields ...ipfix.FieldSpec) *ipfix.Template {
		tmpl, err := ipfix.NewTemplate(id, fields)
		if err != nil {
			t.Fatal(err)
		}
		return tmpl
	}
	five := []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 7, Length: 2}, {ID: 11, Length: 2},
		{ID: 4, Length: 1}}
	nsel := compile(256, append(five, ipfix.FieldSpec{ID: 323, Length: 8}, ipfix.FieldSpec{ID: 233, Length: 1},
		ipfix.FieldSpec{ID: 231, Length: 4})...)
	nel := compile(257, append(five, ipfix.FieldSpec{ID: 323, Length: 8}, ipfix.FieldSpec{ID: 230, Length: 1},
		ipfix.FieldSpec{ID: 225, Length: 4})...)
	counted := compile(258, append(five, ipfix.FieldSpec{ID: 1, Length: 4}, ipfix.FieldSpec{ID: 2, Length: 4},
		ipfix.FieldSpec{ID: 233, Length: 1})...)
	r := Flows(0, 2)[1]
	r.EventTime, r.FwEvent, r.NATEvent, r.XlateSrc = Exported-1e9, 2, 1, netip.MustParseAddr("203.0.113.7")
	e := netflow.V9Encoder{SourceID: 1}
	e.Boot = Exported - 1e12
	e.Begin(nil, Exported)
	e.AddTemplates(nsel, nel, counted)
	for _, tmpl := range []*ipfix.Template{nsel, nel, counted} {
		e.AddData(tmpl, []flow.Record{r})
	}
	return [][]byte{e.End()}
}
