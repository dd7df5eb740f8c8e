package collector

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestPlaces fills the places of a listener with connections of three addresses and
// looks at which has to go for the next.
func TestPlaces(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	addr := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), uint16(1000+i))
	}
	fill := func(counts ...int) (*places, map[int][]*place) {
		s, by := newPlaces(time.Minute), map[int][]*place{}
		for i, n := range counts {
			for k := range n {
				p := s.addConn(nil, addr(i), start.Add(time.Duration(k)*time.Second))
				by[i] = append(by[i], p)
			}
		}
		return &s, by
	}
	late := start.Add(time.Hour)

	s, _ := fill(6, 3)
	if victim, refused := s.makeRoom(addr(1).Addr(), late, 10, 7); victim != nil || refused != "" {
		t.Error("there is a place free, and yet one has to go")
	}
	s, by := fill(6, 4)
	by[0][0].heard(late)
	victim, refused := s.makeRoom(addr(2).Addr(), late, 10, 7)
	if victim != by[0][1] || refused != "" {
		t.Errorf("expected the connection of the greediest that was silent longest, got %v, %q", victim, refused)
	}
	if s.leave(victim); s.open != 9 {
		t.Errorf("%d are open, expected 9", s.open)
	}
	for _, p := range by[0] {
		p.heard(late)
	}
	s.addConn(nil, addr(3), late)
	if victim, refused = s.makeRoom(addr(2).Addr(), late, 10, 7); victim != nil || refused == "" {
		t.Errorf("none of the greediest is silent, and yet %v goes", victim)
	}
	s, by = fill(7, 1)
	if victim, _ = s.makeRoom(addr(0).Addr(), late, 10, 7); victim != by[0][0] {
		t.Errorf("one more of an address with its share: expected its own oldest to go, got %v", victim)
	}
	if victim, refused = s.makeRoom(addr(0).Addr(), start, 10, 7); victim != nil || refused == "" {
		t.Errorf("none is silent, and yet %v goes", victim)
	}
	s.leave(by[0][0])
	s.leave(by[0][0]) // twice is once
	if s.open != 7 {
		t.Errorf("%d are open, expected 7", s.open)
	}
}

// TestStreamReplacesSilentConnections opens connections that say nothing until there is
// no place left: one that speaks gets a place.
func TestStreamReplacesSilentConnections(t *testing.T) {
	l, s := listenStream(t, StreamOptions{MaxConnections: 20, MaxPerAddress: 20})
	l.mu.Lock()
	l.places.silentAfter = 0
	l.mu.Unlock()
	first := connect(t, l)
	for range 19 {
		connect(t, l)
	}
	for deadline := time.Now().Add(time.Minute); l.Stats().Open < 20; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are open, expected 20", l.Stats().Open)
		}
	}
	list, flows := streamMessages(t)
	conn := connect(t, l)
	for _, b := range list {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	s.await(t, flows, 0)
	ended(t, first)
	if got := l.Stats(); got.Replaced != 1 || got.Refused != 0 || got.Idle != 0 || got.Broken != 0 {
		t.Errorf("got %+v", got)
	}
}

// TestTrickleHasADeadline sends a byte now and then: the time for the first message runs
// all the same.
func TestTrickleHasADeadline(t *testing.T) {
	l, _ := listenStream(t, StreamOptions{IdleTimeout: 300 * time.Millisecond})
	list, _ := streamMessages(t)
	conn := connect(t, l)
	if _, err := conn.Write(list[0]); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil; i++ {
		if i == len(list[1])-1 {
			t.Fatal("a whole message came a byte at a time, and the connection lives")
		}
		_, err = conn.Write(list[1][i : i+1])
		time.Sleep(50 * time.Millisecond)
	}
	if got := l.Stats(); got.Idle != 1 {
		t.Errorf("got %+v", got)
	}
}

// BenchmarkShortConnections decodes what connections say that have a message each,
// while others' domains are as many as are kept.
func BenchmarkShortConnections(b *testing.B) {
	for _, domains := range []int{1, 16000} {
		b.Run(fmt.Sprint(domains), func(b *testing.B) {
			d, s := NewDecoder(Options{}), newSender()
			e := ipfix.Encoder{}
			for i := range domains {
				e.Begin(nil, exported)
				_ = d.Decode(Datagram{Exporter: address(i), Received: s.at, Payload: e.End()}, Handler{})
			}
			tmpl, err := ipfix.NewTemplate(256, []ipfix.FieldSpec{spec(1, 4)})
			if err != nil {
				b.Fatal(err)
			}
			e.Begin(nil, exported)
			e.AddTemplates(tmpl)
			e.AddData(tmpl, []flow.Record{{Bytes: 1}})
			payload := e.End()
			b.ResetTimer()
			for i := range b.N {
				from := netip.AddrPortFrom(address(1<<20).Addr(), uint16(i))
				_ = d.Decode(Datagram{Exporter: from, Received: s.at, Payload: payload, Stream: true}, Handler{})
				_ = d.Decode(Datagram{Exporter: from, Received: s.at, Stream: true}, Handler{})
			}
		})
	}
}
