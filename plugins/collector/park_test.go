package collector

import (
	"encoding/binary"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counted is a handler that notes the numbers in the payloads.
type counted struct {
	mu  sync.Mutex
	got []uint32
}

func (c *counted) handle(list []Datagram) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, dg := range list {
		if len(dg.Payload) >= 4 {
			c.got = append(c.got, binary.BigEndian.Uint32(dg.Payload[len(dg.Payload)-4:]))
		}
	}
}

func (c *counted) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// inOrder says what is wrong with the numbers from 0 in two handlers, one after the
// other.
func inOrder(t *testing.T, first, second *counted) {
	t.Helper()
	for i, n := range append(first.got, second.got...) {
		if int(n) != i {
			t.Fatalf("place %d has number %d", i, n)
		}
	}
}

// TestParkedListenerKeepsAll: what comes while a listener is parked is given to the
// handler that adopts it, in order, and nothing of it to the old one.
func TestParkedListenerKeepsAll(t *testing.T) {
	l := NewListener(ListenerOptions{Address: "udp4://127.0.0.1:0"})
	var first, second counted
	if err := l.Start(first.handle); err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	conn, err := net.Dial("udp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := 0
	send := func(n int) {
		for range n {
			if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, uint32(sent))); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
	send(50)
	eventually(t, "the first datagrams", func() bool { return first.len() == 50 })
	l.Park()
	send(70)
	eventually(t, "the parked datagrams", func() bool {
		l.gate.Lock()
		defer l.gate.Unlock()
		return len(l.kept) == 70
	})
	send(30)
	l.Adopt(1<<20, second.handle)
	send(50)
	eventually(t, "the rest", func() bool { return second.len() == 150 })
	if first.len() != 50 {
		t.Errorf("the old handler got %d datagrams after Park", first.len()-50)
	}
	inOrder(t, &first, &second)
	if l.ReadBuffer() == 0 {
		t.Error("the receive buffer is not known")
	}
	l.Park()
	send(3)
	l.Stop() // does not wait for anybody
}

// A handler that was given right before the listener is parked again is not called behind
// that: whoever parks it ends what handlers use.
func TestParkedRightBehindAdopt(t *testing.T) {
	l := NewListener(ListenerOptions{Address: "udp4://127.0.0.1:0"})
	if err := l.Start(func([]Datagram) {}); err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	l.Park()
	for range 1000 {
		l.gate.Lock()
		l.keep(make([]Datagram, 3))
		l.gate.Unlock()
		var ended, late atomic.Bool
		l.Adopt(0, func([]Datagram) { late.Store(late.Load() || ended.Load()) })
		l.Park()
		ended.Store(true)
		runtime.Gosched()
		if late.Load() {
			t.Fatal("the handler was called behind Park")
		}
	}
	if len(l.kept) != 0 {
		t.Errorf("%d datagrams were given to nobody", len(l.kept))
	}
}

// TestParkedStreamsWait: connections and what comes over them outlive parking.
func TestParkedStreamsWait(t *testing.T) {
	l := NewStreamListener(StreamOptions{Address: "tcp4://127.0.0.1:0"})
	var first, second counted
	if err := l.Start(first.handle); err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	conn, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := 0
	send := func(n int) {
		for range n {
			message := append([]byte{0, 10, 0, 20}, make([]byte, 16)...)
			binary.BigEndian.PutUint32(message[16:], uint32(sent))
			if _, err := conn.Write(message); err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
	send(50)
	eventually(t, "the first messages", func() bool { return first.len() == 50 })
	l.Park()
	send(50)
	other, err := net.Dial("tcp4", l.Addr().String()) // waits too
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if first.len() != 50 {
		t.Errorf("the old handler got %d messages after Park", first.len()-50)
	}
	l.Adopt(StreamOptions{MaxConnections: 2}, second.handle)
	send(50)
	eventually(t, "the rest", func() bool { return second.len() == 100 })
	inOrder(t, &first, &second)
	eventually(t, "the second connection", func() bool { return l.Stats().Open == 2 })
	l.Park()
	l.Stop()
}

// eventually waits until done, for at most a minute.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}
