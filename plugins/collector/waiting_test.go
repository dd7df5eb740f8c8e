package collector

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// unknownSet returns an IPFIX message with a set of size bytes whose template nobody
// has sent.
func unknownSet(domain uint32, id uint16, size int) []byte {
	b := make([]byte, ipfix.HeaderLen+4+size)
	binary.BigEndian.PutUint16(b, ipfix.Version)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint32(b[4:], uint32(exported/1e9))
	binary.BigEndian.PutUint32(b[12:], domain)
	binary.BigEndian.PutUint16(b[ipfix.HeaderLen:], id)
	binary.BigEndian.PutUint16(b[ipfix.HeaderLen+2:], uint16(4+size))
	return b
}

// address returns one of many addresses.
func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 2055)
}

// TestGreedyWaitersGoFirst lets a hundred exporters fill all the room there is: what a
// modest one has waiting stays, and is decoded when its template comes.
func TestGreedyWaitersGoFirst(t *testing.T) {
	d, s := NewDecoder(Options{}), newSender()
	flows := 0
	h := Handler{Flow: func(*flow.Record) { flows++ }}
	tmpl := compiled(t, 256, spec(1, 4), spec(2, 4))
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(tmpl, []flow.Record{{Bytes: 1}, {Bytes: 2}}) })
	for i := range 100 * 40 {
		_ = d.Decode(Datagram{Exporter: address(i % 100), Received: s.at, Payload: unknownSet(0, 256, 8000)}, h)
	}
	if d.room.bytes > waitAll || d.room.bytes < waitAll/2 {
		t.Errorf("%d bytes wait, expected nearly %d", d.room.bytes, waitAll)
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(tmpl) })
	if flows != 2 {
		t.Errorf("%d flows of the modest exporter are decoded, expected 2", flows)
	}
}

// TestWaitingRoomAgrees sends, in many orders, sets and templates, and compares the
// lists with each other.
func TestWaitingRoomAgrees(t *testing.T) {
	d, s := NewDecoder(Options{MaxExporters: 20}), newSender()
	tmpl := compiled(t, 300, spec(1, 4))
	for i := range 3000 {
		payload := unknownSet(uint32(i%3), uint16(300+i%5), 4*(1+i%300))
		if i%11 == 0 {
			e := ipfix.Encoder{Domain: uint32(i % 3)}
			e.Begin(nil, exported)
			e.AddTemplates(tmpl)
			payload = e.End()
		}
		_ = d.Decode(Datagram{Exporter: address(i * 7 % 31), Received: s.at, Payload: payload}, Handler{})
		s.at = s.at.Add(1e8)
	}
	total, sets := 0, 0
	for _, exp := range d.exporters {
		own := 0
		for e := exp.sets.Front(); e != nil; e = e.Next() {
			own += e.Value.(*waiting).size()
			sets++
		}
		if own != exp.waiting || own > 0 && d.room.greedy[exp.place] != exp {
			t.Errorf("an exporter's sets have %d bytes, counted are %d", own, exp.waiting)
		}
		total += own
	}
	byTemplate := 0
	for _, dom := range d.domains {
		for _, same := range dom.waiting {
			byTemplate += same.Len()
		}
	}
	if total != d.room.bytes || sets != d.room.all.Len() || sets != byTemplate || sets == 0 {
		t.Errorf("%d bytes and %d sets by exporter, %d by template, %d bytes and %d sets in all",
			total, sets, byTemplate, d.room.bytes, d.room.all.Len())
	}
}

// BenchmarkWait lets one exporter's sets wait while all the room is taken by others',
// under one domain and under ever new ones.
func BenchmarkWait(b *testing.B) {
	for _, c := range []struct {
		name    string
		domains int
	}{{"one domain", 1}, {"new domains", 8000}} {
		b.Run(c.name, func(b *testing.B) {
			d, s := NewDecoder(Options{}), newSender()
			for i := range 2 * waitAll / waitOverhead {
				_ = d.Decode(Datagram{Exporter: address(i % 15000), Received: s.at, Payload: unknownSet(0, 256, 12)},
					Handler{})
			}
			b.ResetTimer()
			for i := range b.N {
				payload := unknownSet(uint32(i%c.domains), 256, 12)
				_ = d.Decode(Datagram{Exporter: address(1 << 20), Received: s.at, Payload: payload}, Handler{})
			}
		})
	}
}
