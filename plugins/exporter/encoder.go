package exporter

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// encoder writes datagrams of one protocol.
type encoder interface {
	// templates writes a datagram with the templates, nil where the protocol has
	// none.
	templates(dst []byte, now time.Time) []byte
	// data writes a datagram with as many of recs, from the first, as fit, and
	// returns how many these are.
	data(dst []byte, now time.Time, recs []flow.Record) ([]byte, int)
}

// newEncoder returns the encoder of a protocol. id tells exporters apart where the
// protocol has a place for it.
func newEncoder(o Options) (encoder, error) {
	boot := flow.Milli(uint64(time.Now().Add(-72 * time.Hour).UnixMilli()))
	id := uint32(o.ID)
	layouts := 1
	if o.Mix == Realistic {
		layouts = 0 // all
	}
	switch o.Protocol {
	case "v1":
		return &fixedEncoder{append: netflow.AppendV1, max: netflow.V1MaxCount, boot: boot}, nil
	case "v5":
		return &fixedEncoder{append: netflow.AppendV5, max: netflow.V5MaxCount, boot: boot, engine: uint8(id)}, nil
	case "v7":
		return &fixedEncoder{append: netflow.AppendV7, max: netflow.V7MaxCount, boot: boot}, nil
	case "v9":
		e := &v9Encoder{rotation: newRotation(layouts, v9Fields, v9EdgeFields, v9PeeringFields)}
		e.SourceID, e.Boot = 9+id, boot
		return e, nil
	case "ipfix":
		return newIPFIXEncoder(10+id, boot, newRotation(layouts, ipfixFields, ipfixEdgeFields, ipfixPeeringFields)), nil
	case "vmware":
		e := newIPFIXEncoder(id, boot, newRotation(layouts, vmwareFields, vmwareEdgeFields))
		e.prepare = asVirtualSwitch
		return e, nil
	case "sflow":
		agent := netip.AddrFrom4([4]byte{192, 0, 2, byte(254 - id%250)})
		return &sflowEncoder{Encoder: sflow.Encoder{Agent: agent, SubAgent: id, Boot: boot}}, nil
	}
	return nil, fmt.Errorf("protocol %q: expected %s", o.Protocol, Protocols)
}

// mustTemplate compiles a template of ours, which cannot be wrong.
func mustTemplate(id uint16, fields []ipfix.FieldSpec) *ipfix.Template {
	t, err := ipfix.NewTemplate(id, fields)
	if err != nil {
		panic(err)
	}
	return t
}

// fixedEncoder writes NetFlow v1, v5 or v7.
type fixedEncoder struct {
	append   func(dst []byte, h netflow.V5Header, recs []flow.Record) []byte
	max      int // records of a datagram
	boot     flow.Time
	engine   uint8
	sequence uint32
}

func (*fixedEncoder) templates([]byte, time.Time) []byte { return nil }

func (e *fixedEncoder) data(dst []byte, now time.Time, recs []flow.Record) ([]byte, int) {
	recs = recs[:min(len(recs), e.max)]
	dst = e.append(dst, netflow.V5Header{
		SysUptime: uint32(flow.TimeOf(now).Milli() - e.boot.Milli()),
		Seconds:   uint32(now.Unix()),
		Nanos:     uint32(now.Nanosecond()) / 1e6 * 1e6, // times are in milliseconds
		Sequence:  e.sequence,
		EngineID:  e.engine,
	}, recs)
	e.sequence += uint32(len(recs))
	return dst, len(recs)
}

// sflowRate is one packet in how many a generated agent samples.
const sflowRate = 512

// frameLen is what an Ethernet frame has around its IP packet, in bytes: the header and
// the checksum, which sFlow counts.
const frameLen = 14 + 4

// sflowInterfaces are the interfaces of the traffic, whose counters an agent sends.
const sflowInterfaces = 7

// sflowEncoder writes sFlow: a sample of one packet for every flow, and counters of
// interfaces as often as others send templates.
type sflowEncoder struct {
	sflow.Encoder
	in, out [sflowInterfaces + 1]sflowCounts // by interface
	head    []byte
}

// sflowCounts are what an interface counts of one direction.
type sflowCounts struct{ octets, packets uint64 }

// count counts a packet of the traffic that a sample stands for, and all others of it.
func (c *sflowCounts) count(size uint64) {
	c.octets += size * sflowRate
	c.packets += sflowRate
}

// templates writes the counters of the interfaces.
func (e *sflowEncoder) templates(dst []byte, now time.Time) []byte {
	e.Begin(dst, flow.TimeOf(now))
	for i := uint32(1); i <= sflowInterfaces; i++ {
		number := func(name string, v uint64) flow.Counter { return flow.Counter{Name: name, Value: v} }
		list := []flow.Counter{ // as they lie in the record: multicast, broadcast, drops and errors are between
			number("interface", uint64(i)), number("interface_type", 6), number("speed", 10e9),
			number("interface_direction", 1), number("interface_status", 3),
			number("in_bytes", e.in[i].octets), number("in_unicast_packets_total", e.in[i].packets),
			12: number("out_bytes", e.out[i].octets), 13: number("out_unicast_packets_total", e.out[i].packets),
		}
		e.Counters(i, flow.CounterRecord{Kind: "interface", Counters: list})
	}
	return e.End()
}

func (e *sflowEncoder) data(dst []byte, now time.Time, recs []flow.Record) ([]byte, int) {
	e.Begin(dst, flow.TimeOf(now))
	n := 0
	for ; n < len(recs) && (n == 0 || e.Len() < ipfix.DefaultLimit-256); n++ {
		r := &recs[n]
		asSample(r, flow.TimeOf(now))
		r.Bytes -= frameLen
		e.head = packet.Append(e.head[:0], r) // with the length of the IP packet
		r.Bytes += frameLen
		e.Flow(r, packet.ProtocolEthernet, e.head, uint32(r.Bytes))
		if r.Input <= sflowInterfaces {
			e.in[r.Input].count(r.Bytes)
		}
		if r.Output <= sflowInterfaces {
			e.out[r.Output].count(r.Bytes)
		}
	}
	return e.End(), n
}

// asSample makes a flow one packet of it, from somewhere in its midst.
func asSample(r *flow.Record, now flow.Time) {
	const smallest, largest = 60, 1500 // IPv6 with TCP, and what Ethernet carries
	r.Bytes = min(max(r.Bytes/max(r.Packets, 1), smallest), largest) + frameLen
	r.Packets, r.SamplingRate = 1, sflowRate
	if r.Proto == protoTCP {
		r.TCPFlags = tcpACK | tcpPSH
	}
	r.First, r.Last = now, now
	r.InSrcMAC, r.OutDstMAC = [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
}

// addressFields are the fields that differ between the address families.
func addressFields(v6 bool) []ipfix.FieldSpec {
	if v6 {
		return []ipfix.FieldSpec{{ID: 27, Length: 16}, {ID: 28, Length: 16}, {ID: 29, Length: 1}, {ID: 30, Length: 1}}
	}
	return []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 9, Length: 1}, {ID: 13, Length: 1}}
}

// v9Fields is a router's template.
func v9Fields(v6 bool) []ipfix.FieldSpec {
	return append(addressFields(v6),
		ipfix.FieldSpec{ID: 22, Length: 4}, ipfix.FieldSpec{ID: 21, Length: 4}, // first and last switched
		ipfix.FieldSpec{ID: 1, Length: 4}, ipfix.FieldSpec{ID: 2, Length: 4},
		ipfix.FieldSpec{ID: 10, Length: 4}, ipfix.FieldSpec{ID: 14, Length: 4}, // interfaces
		ipfix.FieldSpec{ID: 7, Length: 2}, ipfix.FieldSpec{ID: 11, Length: 2},
		ipfix.FieldSpec{ID: 4, Length: 1}, ipfix.FieldSpec{ID: 6, Length: 1}, ipfix.FieldSpec{ID: 5, Length: 1},
		ipfix.FieldSpec{ID: 61, Length: 1},
		ipfix.FieldSpec{ID: 16, Length: 4}, ipfix.FieldSpec{ID: 17, Length: 4}, // AS numbers
		// type and code of ICMP, for collectors that do not look for them in the port
		ipfix.FieldSpec{ID: 32, Length: 2},
	)
}

// nextHopFields are those of a router that says where flows went.
func nextHopFields(v6 bool) []ipfix.FieldSpec {
	if v6 {
		return []ipfix.FieldSpec{{ID: 62, Length: 16}, {ID: 63, Length: 16}}
	}
	return []ipfix.FieldSpec{{ID: 15, Length: 4}, {ID: 18, Length: 4}}
}

// linkFields are MAC addresses, VLANs and TTLs, which switches at the edge have.
func linkFields() []ipfix.FieldSpec {
	return []ipfix.FieldSpec{{ID: 56, Length: 6}, {ID: 57, Length: 6}, {ID: 58, Length: 2}, {ID: 59, Length: 2},
		{ID: 52, Length: 1}, {ID: 53, Length: 1}}
}

// The layouts that a realistic exporter has beside the usual one of its protocol.
func v9EdgeFields(v6 bool) []ipfix.FieldSpec    { return append(linkFields(), v9Fields(v6)...) }
func v9PeeringFields(v6 bool) []ipfix.FieldSpec { return append(v9Fields(v6), nextHopFields(v6)...) }
func ipfixEdgeFields(v6 bool) []ipfix.FieldSpec { return append(linkFields(), ipfixFields(v6)...) }
func ipfixPeeringFields(v6 bool) []ipfix.FieldSpec {
	return append(ipfixFields(v6), nextHopFields(v6)...)
}
func vmwareEdgeFields(v6 bool) []ipfix.FieldSpec { return append(vmwareFields(v6), linkFields()...) }

// rotation has the templates of an exporter, which it uses in turn.
type rotation struct {
	pairs [][2]*ipfix.Template // of IPv4 and of IPv6
	turn  int
}

// newRotation returns a rotation of the first n layouts, of all when n is 0.
func newRotation(n int, layouts ...func(v6 bool) []ipfix.FieldSpec) rotation {
	if n > 0 {
		layouts = layouts[:n]
	}
	var r rotation
	for i, fields := range layouts {
		id := uint16(256 + 2*i)
		r.pairs = append(r.pairs, [2]*ipfix.Template{mustTemplate(id, fields(false)), mustTemplate(id+1, fields(true))})
	}
	return r
}

// all returns the templates.
func (r *rotation) all() (list []*ipfix.Template) {
	for _, pair := range r.pairs {
		list = append(list, pair[0], pair[1])
	}
	return list
}

// longestRun is how many flows an exporter with several templates writes by one of them
// before the next has its turn.
const longestRun = 4

// addRecords adds sets of both address families, in the order of recs, until the datagram is
// full, and returns how many of recs are in it.
func (r *rotation) addRecords(w *ipfix.SetWriter, recs []flow.Record) (done int) {
	for done < len(recs) {
		family, n := recs[done].IPVersion, 0
		for done+n < len(recs) && recs[done+n].IPVersion == family && (len(r.pairs) == 1 || n < longestRun) {
			n++
		}
		t := r.pairs[r.turn][0]
		if family == 6 {
			t = r.pairs[r.turn][1]
		}
		r.turn = (r.turn + 1) % len(r.pairs)
		added := w.AddData(t, recs[done:done+n])
		done += added
		if added < n {
			break
		}
	}
	return done
}

// v9Encoder writes NetFlow v9.
type v9Encoder struct {
	netflow.V9Encoder
	rotation
}

func (e *v9Encoder) templates(dst []byte, now time.Time) []byte {
	e.Begin(dst, flow.TimeOf(now))
	e.AddTemplates(e.all()...)
	return e.End()
}

func (e *v9Encoder) data(dst []byte, now time.Time, recs []flow.Record) ([]byte, int) {
	e.Begin(dst, flow.TimeOf(now))
	n := e.addRecords(&e.SetWriter, recs)
	return e.End(), n
}

// ipfixFields is a router's template, with 64-bit counters and absolute times.
func ipfixFields(v6 bool) []ipfix.FieldSpec {
	return append(addressFields(v6),
		ipfix.FieldSpec{ID: 152, Length: 8}, ipfix.FieldSpec{ID: 153, Length: 8},
		ipfix.FieldSpec{ID: 1, Length: 8}, ipfix.FieldSpec{ID: 2, Length: 8},
		ipfix.FieldSpec{ID: 10, Length: 4}, ipfix.FieldSpec{ID: 14, Length: 4},
		ipfix.FieldSpec{ID: 7, Length: 2}, ipfix.FieldSpec{ID: 11, Length: 2},
		ipfix.FieldSpec{ID: 4, Length: 1}, ipfix.FieldSpec{ID: 6, Length: 2}, ipfix.FieldSpec{ID: 5, Length: 1},
		ipfix.FieldSpec{ID: 61, Length: 1}, ipfix.FieldSpec{ID: 136, Length: 1},
		ipfix.FieldSpec{ID: 16, Length: 4}, ipfix.FieldSpec{ID: 17, Length: 4},
	)
}

// vmwareFields is the template of a vSphere distributed switch.
func vmwareFields(v6 bool) []ipfix.FieldSpec {
	return append(addressFields(v6)[:2],
		ipfix.FieldSpec{ID: 1, Length: 8}, ipfix.FieldSpec{ID: 2, Length: 8},
		ipfix.FieldSpec{ID: 152, Length: 8}, ipfix.FieldSpec{ID: 153, Length: 8},
		ipfix.FieldSpec{ID: 7, Length: 2}, ipfix.FieldSpec{ID: 11, Length: 2},
		ipfix.FieldSpec{ID: 10, Length: 4}, ipfix.FieldSpec{ID: 14, Length: 4},
		ipfix.FieldSpec{ID: 351, Length: 8},
		ipfix.FieldSpec{ID: 4, Length: 1}, ipfix.FieldSpec{ID: 136, Length: 1}, ipfix.FieldSpec{ID: 6, Length: 1},
		ipfix.FieldSpec{ID: 5, Length: 1}, ipfix.FieldSpec{ID: 53, Length: 1}, ipfix.FieldSpec{ID: 61, Length: 1},
		ipfix.FieldSpec{PEN: ie.VMwarePEN, ID: 890, Length: 2}, // ingressInterfaceAttr
		ipfix.FieldSpec{PEN: ie.VMwarePEN, ID: 888, Length: 2}, // egressInterfaceAttr
		ipfix.FieldSpec{PEN: ie.VMwarePEN, ID: 889, Length: 1}, // vxlanExportRole
	)
}

// asVirtualSwitch makes a flow one that a virtual switch saw, always on the way out of
// the switch: what comes from outside enters by the uplink and leaves by a virtual
// machine's port, what a machine sends the other way round.
func asVirtualSwitch(r *flow.Record) {
	const uplink, vm = 1, 2
	r.IngressAttr, r.EgressAttr = vm, uplink
	if r.Input == outside {
		r.IngressAttr, r.EgressAttr = uplink, vm
	}
	r.Direction = 1
}

// ipfixEncoder writes IPFIX.
type ipfixEncoder struct {
	ipfix.Encoder
	rotation
	prepare func(*flow.Record)
}

func newIPFIXEncoder(domain uint32, boot flow.Time, r rotation) *ipfixEncoder {
	e := &ipfixEncoder{rotation: r}
	e.Domain, e.Boot = domain, boot
	return e
}

func (e *ipfixEncoder) templates(dst []byte, now time.Time) []byte {
	e.Begin(dst, flow.TimeOf(now))
	e.AddTemplates(e.all()...)
	return e.End()
}

func (e *ipfixEncoder) data(dst []byte, now time.Time, recs []flow.Record) ([]byte, int) {
	if e.prepare != nil {
		for i := range recs {
			e.prepare(&recs[i])
		}
	}
	e.Begin(dst, flow.TimeOf(now))
	n := e.addRecords(&e.SetWriter, recs)
	return e.End(), n
}
