// Package goflow2 measures goflow2's decoder (BSD-3-Clause) and flowgraf's on the
// same datagrams, in one run. It is a module of its own: goflow2 is no dependency of
// flowgraf.
//
//	cd tests/bench/goflow2 && go test -bench . -benchtime 2s
package goflow2

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	goflow "github.com/netsampler/goflow2/v2/decoders/netflow"
	legacy "github.com/netsampler/goflow2/v2/decoders/netflowlegacy"
	gosflow "github.com/netsampler/goflow2/v2/decoders/sflow"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

const exported = flow.Time(1767323044e9)

// records are flows as a router reports them.
func records(n int) []flow.Record {
	recs := make([]flow.Record, n)
	for i := range recs {
		recs[i] = flow.Record{
			First: exported - 9e9, Last: exported - 1e9,
			Src: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Dst: netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}),
			NextHop: netip.AddrFrom4([4]byte{10, 2, 0, 1}), SrcPort: uint16(1024 + i), DstPort: 443, Proto: 6,
			TCPFlags: 0x1b,
			Bytes:    123456, Packets: 99, Input: 3, Output: 4, SrcMask: 24, DstMask: 16, SrcAS: 64500, DstAS: 64501,
		}
	}
	return recs
}

// fields are those of a router's template.
func fields(first, last ipfix.FieldSpec) []ipfix.FieldSpec {
	return []ipfix.FieldSpec{
		{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 15, Length: 4}, {ID: 10, Length: 4}, {ID: 14, Length: 4},
		{ID: 2, Length: 8}, {ID: 1, Length: 8}, first, last, {ID: 7, Length: 2}, {ID: 11, Length: 2},
		{ID: 6, Length: 1}, {ID: 4, Length: 1}, {ID: 5, Length: 1}, {ID: 16, Length: 4}, {ID: 17, Length: 4},
		{ID: 9, Length: 1}, {ID: 13, Length: 1}, {ID: 61, Length: 1},
	}
}

// traffic is the datagrams of one protocol: templates, where it has any, and data.
type traffic struct {
	name            string
	templates, data []byte
	records         int
}

func all(t testing.TB) []traffic {
	t.Helper()
	recs := records(28)
	list := []traffic{{name: "v5", data: netflow.AppendV5(nil,
		netflow.V5Header{SysUptime: 1e6, Seconds: uint32(exported / 1e9)}, recs), records: len(recs)}}

	compile := func(f []ipfix.FieldSpec) *ipfix.Template {
		tmpl, err := ipfix.NewTemplate(256, f)
		if err != nil {
			t.Fatal(err)
		}
		return tmpl
	}
	v9, tmpl := netflow.V9Encoder{SourceID: 1},
		compile(fields(ipfix.FieldSpec{ID: 22, Length: 4}, ipfix.FieldSpec{ID: 21, Length: 4}))
	v9.Boot = exported - 1e15
	one := traffic{name: "v9"}
	v9.Begin(nil, exported)
	v9.AddTemplates(tmpl)
	one.templates = v9.End()
	v9.Begin(nil, exported)
	one.records = v9.AddData(tmpl, recs)
	one.data = v9.End()
	list = append(list, one)

	ten, tmpl := ipfix.Encoder{Domain: 1},
		compile(fields(ipfix.FieldSpec{ID: 152, Length: 8}, ipfix.FieldSpec{ID: 153, Length: 8}))
	one = traffic{name: "ipfix"}
	ten.Begin(nil, exported)
	ten.AddTemplates(tmpl)
	one.templates = ten.End()
	ten.Begin(nil, exported)
	one.records = ten.AddData(tmpl, recs)
	one.data = ten.End()
	return append(list, one, sampled())
}

// sampled is a datagram of sFlow with headers of Ethernet, IPv4 and TCP.
func sampled() traffic {
	e := sflow.Encoder{Agent: netip.MustParseAddr("192.0.2.1")}
	recs := records(10)
	e.Begin(nil, exported)
	for i := range recs {
		recs[i].SamplingRate = 512
		e.Flow(&recs[i], 1, packet.Append(nil, &recs[i]), 1500)
	}
	return traffic{name: "sflow", data: e.End(), records: len(recs)}
}

func BenchmarkFlowgraf(b *testing.B) {
	for _, c := range all(b) {
		b.Run(c.name, func(b *testing.B) {
			d, n := collector.NewDecoder(collector.Options{}), 0
			h := collector.Handler{Flow: func(*flow.Record) { n++ }}
			dg := collector.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.1:2055"),
				Received: time.Unix(1767323045, 0)}
			decode := func(payload []byte) {
				dg.Payload = payload
				if err := d.Decode(dg, h); err != nil {
					b.Fatal(err)
				}
			}
			measure(b, c, decode)
			if n != b.N*c.records {
				b.Fatalf("decoded %d records, want %d", n, b.N*c.records)
			}
		})
	}
}

func BenchmarkGoflow2(b *testing.B) {
	for _, c := range all(b) {
		b.Run(c.name, func(b *testing.B) {
			templates := goflow.CreateTemplateSystem()
			decode := func(payload []byte) {
				var err error
				switch c.name {
				case "v5":
					var p legacy.PacketNetFlowV5
					err = legacy.DecodeMessageVersion(bytes.NewBuffer(payload), &p)
				case "sflow":
					var p gosflow.Packet
					err = gosflow.DecodeMessageVersion(bytes.NewBuffer(payload), &p)
				default:
					var nine goflow.NFv9Packet
					var ten goflow.IPFIXPacket
					err = goflow.DecodeMessageVersion(bytes.NewBuffer(payload), templates, &nine, &ten)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			measure(b, c, decode)
		})
	}
}

// measure decodes templates once and data b.N times.
func measure(b *testing.B, c traffic, decode func([]byte)) {
	if c.templates != nil {
		decode(c.templates)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		decode(c.data)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.records), "ns/record")
}
