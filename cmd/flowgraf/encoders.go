package main

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

// newEncoder returns the encoder of a protocol, and whether it has IPv4 only.
func newEncoder(protocol string) (enc encoder, v4only bool, err error) {
	boot := flow.Milli(uint64(time.Now().Add(-72 * time.Hour).UnixMilli()))
	switch protocol {
	case "v1":
		return &fixedEncoder{append: netflow.AppendV1, max: netflow.V1MaxCount, boot: boot}, true, nil
	case "v5":
		return &fixedEncoder{append: netflow.AppendV5, max: netflow.V5MaxCount, boot: boot}, true, nil
	case "v7":
		return &fixedEncoder{append: netflow.AppendV7, max: netflow.V7MaxCount, boot: boot}, true, nil
	case "v9":
		e := &v9Encoder{v4: mustTemplate(256, v9Fields(false)), v6: mustTemplate(257, v9Fields(true))}
		e.SourceID, e.Boot = 9, boot
		return e, false, nil
	case "ipfix":
		return newIPFIXEncoder(10, boot, ipfixFields), false, nil
	case "vmware":
		e := newIPFIXEncoder(0, boot, vmwareFields)
		e.prepare = asVirtualSwitch
		return e, false, nil
	case "sflow":
		return &sflowEncoder{Encoder: sflow.Encoder{Agent: netip.AddrFrom4([4]byte{192, 0, 2, 254}), Boot: boot}}, false, nil
	}
	return nil, false, fmt.Errorf("--protocol %q: expected %s", protocol, protocols)
}

// protocols are the values of --protocol.
const protocols = "v1, v5, v7, v9, ipfix, vmware or sflow"

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
	octets, packets [sflowInterfaces + 1]uint64 // in, by interface
	head            []byte
}

// templates writes the counters of the interfaces.
func (e *sflowEncoder) templates(dst []byte, now time.Time) []byte {
	e.Begin(dst, flow.TimeOf(now))
	for i := uint32(1); i <= sflowInterfaces; i++ {
		number := func(name string, v uint64) flow.Counter { return flow.Counter{Name: name, Value: v} }
		e.Counters(i, flow.CounterRecord{Kind: "interface", Counters: []flow.Counter{
			number("interface", uint64(i)), number("interface_type", 6), number("speed", 10e9), number("interface_direction", 1), number("interface_status", 3),
			number("in_bytes", e.octets[i]), number("in_unicast_packets_total", e.packets[i]),
		}})
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
			e.octets[r.Input] += r.Bytes * sflowRate
			e.packets[r.Input] += sflowRate
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

// families splits recs at the first record of the other address family than
// the first has.
func families(recs []flow.Record) (n int, v6 bool) {
	v6 = recs[0].IPVersion == 6
	for n < len(recs) && (recs[n].IPVersion == 6) == v6 {
		n++
	}
	return n, v6
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
		ipfix.FieldSpec{ID: 32, Length: 2}, // type and code of ICMP, for collectors that do not look for them in the port
	)
}

// v9Encoder writes NetFlow v9.
type v9Encoder struct {
	netflow.V9Encoder
	v4, v6 *ipfix.Template
}

func (e *v9Encoder) templates(dst []byte, now time.Time) []byte {
	e.Begin(dst, flow.TimeOf(now))
	e.AddTemplates(e.v4, e.v6)
	return e.End()
}

func (e *v9Encoder) data(dst []byte, now time.Time, recs []flow.Record) ([]byte, int) {
	e.Begin(dst, flow.TimeOf(now))
	n := addAll(&e.SetWriter, e.v4, e.v6, recs)
	return e.End(), n
}

// addAll adds sets of both address families, in the order of recs, until the
// datagram is full.
func addAll(w *ipfix.SetWriter, v4, v6 *ipfix.Template, recs []flow.Record) (done int) {
	for done < len(recs) {
		n, six := families(recs[done:])
		t := v4
		if six {
			t = v6
		}
		added := w.AddData(t, recs[done:done+n])
		done += added
		if added < n {
			break
		}
	}
	return done
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

// asVirtualSwitch makes a flow one that a virtual switch saw: between its
// uplink and a virtual machine's port, always on the way out of the switch.
func asVirtualSwitch(r *flow.Record) {
	if r.EgressAttr != 0 {
		return
	}
	const uplink, vm = 1, 2
	r.IngressAttr, r.EgressAttr = uplink, vm
	if r.Direction == 1 {
		r.IngressAttr, r.EgressAttr = vm, uplink
	}
	r.Direction = 1
}

// ipfixEncoder writes IPFIX.
type ipfixEncoder struct {
	ipfix.Encoder
	v4, v6  *ipfix.Template
	prepare func(*flow.Record)
}

func newIPFIXEncoder(domain uint32, boot flow.Time, fields func(v6 bool) []ipfix.FieldSpec) *ipfixEncoder {
	e := &ipfixEncoder{v4: mustTemplate(256, fields(false)), v6: mustTemplate(257, fields(true))}
	e.Domain, e.Boot = domain, boot
	return e
}

func (e *ipfixEncoder) templates(dst []byte, now time.Time) []byte {
	e.Begin(dst, flow.TimeOf(now))
	e.AddTemplates(e.v4, e.v6)
	return e.End()
}

func (e *ipfixEncoder) data(dst []byte, now time.Time, recs []flow.Record) ([]byte, int) {
	if e.prepare != nil {
		for i := range recs {
			e.prepare(&recs[i])
		}
	}
	e.Begin(dst, flow.TimeOf(now))
	n := addAll(&e.SetWriter, e.v4, e.v6, recs)
	return e.End(), n
}
