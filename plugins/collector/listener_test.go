package collector

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// listen starts a listener and returns what it receives.
func listen(t *testing.T, o ListenerOptions) (*Listener, chan Datagram) {
	t.Helper()
	l := NewListener(o)
	got := make(chan Datagram, 100)
	err := l.Start(func(list []Datagram) {
		for _, dg := range list {
			dg.Payload = bytes.Clone(dg.Payload)
			got <- dg
		}
	})
	if err != nil {
		if strings.Contains(err.Error(), "address family not supported") ||
			strings.Contains(err.Error(), "cannot assign") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l, got
}

// sendTo sends one datagram.
func sendTo(t *testing.T, address string, b []byte) {
	t.Helper()
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Skip(err)
	}
	defer conn.Close()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestListener(t *testing.T) {
	for _, c := range []struct{ address, to, from string }{
		{"udp://127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"udp4://:0", "127.0.0.1", "127.0.0.1"},
		{"udp6://[::1]:0", "::1", "::1"},
		{"udp://:0", "127.0.0.1", "127.0.0.1"}, // never ::ffff:127.0.0.1
		{"udp://:0", "::1", "::1"},
	} {
		t.Run(c.address+" from "+c.from, func(t *testing.T) {
			l, got := listen(t, ListenerOptions{Address: c.address})
			_, port, err := net.SplitHostPort(l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			before := time.Now()
			sendTo(t, net.JoinHostPort(c.to, port), []byte("hello"))
			select {
			case dg := <-got:
				if dg.Exporter.Addr().String() != c.from || string(dg.Payload) != "hello" {
					t.Errorf("got %q from %s", dg.Payload, dg.Exporter)
				}
				if dg.Received.Before(before) || dg.Received.After(time.Now()) {
					t.Errorf("received at %v", dg.Received)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("nothing received")
			}
		})
	}
}

func TestListenerStops(t *testing.T) {
	l := NewListener(ListenerOptions{Address: "udp://127.0.0.1:0"})
	l.Stop() // before Start
	n := 0
	if err := l.Start(func([]Datagram) { n++ }); err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Stop()
	l.Stop()
	sendTo(t, address, []byte("late"))
	if n != 0 {
		t.Error("received after Stop")
	}
	again := NewListener(ListenerOptions{Address: "udp://" + address})
	if err := again.Start(func([]Datagram) {}); err != nil {
		t.Errorf("the port is not free after Stop: %v", err)
	}
	defer again.Stop()
	third := NewListener(ListenerOptions{Address: "udp://" + address})
	if err := third.Start(func([]Datagram) {}); err == nil {
		t.Error("two listeners on one port")
	}
}

// TestStopHandsOverWhatTheKernelHolds stops while the handler is busy.
func TestStopHandsOverWhatTheKernelHolds(t *testing.T) {
	hold := make(chan struct{})
	var got atomic.Int64
	l := NewListener(ListenerOptions{Address: "udp://127.0.0.1:0"})
	err := l.Start(func(list []Datagram) {
		<-hold
		got.Add(int64(len(list)))
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const sent = 80 // fits the smallest buffer a system grants
	for i := range sent {
		if _, err := conn.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	stopped := make(chan struct{})
	go func() {
		l.Stop()
		close(stopped)
	}()
	time.Sleep(300 * time.Millisecond)
	close(hold)
	<-stopped
	if n := got.Load(); n != sent {
		t.Errorf("got %d datagrams of %d", n, sent)
	}
	_, _ = conn.Write([]byte("late"))
	time.Sleep(20 * time.Millisecond)
	if n := got.Load(); n != sent {
		t.Error("received after Stop")
	}
}

// TestStopEndsUnderTraffic stops while an exporter never pauses.
func TestStopEndsUnderTraffic(t *testing.T) {
	l := NewListener(ListenerOptions{Address: "udp://127.0.0.1:0"})
	if err := l.Start(func([]Datagram) { time.Sleep(time.Millisecond) }); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := conn.Write(make([]byte, 100)); errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(50 * time.Microsecond)
		}
	}()
	time.Sleep(50 * time.Millisecond)
	before := time.Now()
	l.Stop()
	if took := time.Since(before); took > drainLimit+2*time.Second {
		t.Errorf("Stop took %s", took)
	}
	conn.Close()
	<-done
}

// TestListenerCountsDrops fills a small buffer while nobody reads: what is sent either
// arrives or is counted.
func TestListenerCountsDrops(t *testing.T) {
	const sent = 500
	hold := make(chan struct{})
	l := NewListener(ListenerOptions{Address: "udp://127.0.0.1:0", ReadBuffer: 4096})
	var got atomic.Uint64
	if err := l.Start(func(list []Datagram) { <-hold; got.Add(uint64(len(list))) }); err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	if _, ok := l.socket.drops(); !ok {
		t.Skip("the system does not tell")
	}
	conn, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range sent {
		if _, err := conn.Write(make([]byte, 1400)); err != nil {
			t.Fatal(err)
		}
	}
	drops := l.Drops()
	if drops == 0 {
		t.Error("nothing was dropped")
	}
	close(hold)
	for deadline := time.Now().Add(time.Minute); got.Load()+drops != sent; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d datagrams came and %d were dropped, want %d together", got.Load(), drops, sent)
		}
	}
}

// TestBothWaysToCountDropsAgree compares SO_MEMINFO with what SO_RXQ_OVFL tells
// with a datagram that is queued after the drops.
func TestBothWaysToCountDropsAgree(t *testing.T) {
	hold := make(chan struct{})
	l := NewListener(ListenerOptions{Address: "udp://127.0.0.1:0", ReadBuffer: 4096})
	var got atomic.Int64
	if err := l.Start(func(list []Datagram) { <-hold; got.Add(int64(len(list))) }); err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	if _, ok := l.socket.drops(); !ok {
		t.Skip("the system does not tell")
	}
	conn, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 200 {
		if _, err := conn.Write(make([]byte, 1400)); err != nil {
			t.Fatal(err)
		}
	}
	if l.Drops() == 0 {
		t.Error("nothing was dropped")
	}
	close(hold)
	// A datagram that asks may itself be dropped, so both counts are read anew.
	for deadline := time.Now().Add(time.Minute); uint64(l.reported.Load()) != l.Drops(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("SO_RXQ_OVFL says %d, SO_MEMINFO %d", l.reported.Load(), l.Drops())
		}
		_, _ = conn.Write([]byte("next"))
	}
}

func TestListenerWarnsOfASmallBuffer(t *testing.T) {
	var warning string
	o := ListenerOptions{Address: "udp://127.0.0.1:0", ReadBuffer: 1 << 30,
		Warn: func(format string, args ...any) { warning = format }}
	l, _ := listen(t, o)
	if (l.ReadBuffer() < 1<<30) != (warning != "") {
		t.Errorf("granted %d, warning %q", l.ReadBuffer(), warning)
	}
}

func TestParseAddress(t *testing.T) {
	for _, bad := range []string{"", "unix://:2055", "udp://198.168.1.290:la", "udp://:99999", "udp://", ":2055",
		"udp://host"} {
		if _, _, err := ParseAddress(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if network, host, err := ParseAddress("udp6://[::1]:2055"); err != nil || network != "udp6" ||
		host != "[::1]:2055" {
		t.Errorf("got %q, %q, %v", network, host, err)
	}
}

func TestReadBufferFor(t *testing.T) {
	usual := [2]int{DefaultReadBuffer, FairReadBuffer}
	for size, want := range map[int][2]int{-1: usual, 0: usual, 1 << 20: {1 << 20, 1 << 20},
		DefaultReadBuffer: {DefaultReadBuffer, DefaultReadBuffer}} {
		if asked, enough := ReadBufferFor(size); asked != want[0] || enough != want[1] {
			t.Errorf("for %d it is %d, and enough are %d", size, asked, enough)
		}
	}
}

// TestGathering: datagrams wait in the kernel only while it has room for all that can come
// meanwhile, and only for so long.
func TestGathering(t *testing.T) {
	const (
		small = 32 << 20 // as the kernel counts: room for 16 MiB of payload
		large = 4 * small
		share = 4 << 20 // is read at once
	)
	for _, c := range []struct {
		held, size  int
		gathered    time.Duration
		wait, whole time.Duration // 0 is none
	}{
		{0, small, gatherFirst, 0, gatherFirst}, // nothing comes: the reader waits for the next datagram
		{1, small, gatherFirst, 53 * time.Millisecond, gatherLong},
		{1, large, gatherFirst, 214 * time.Millisecond, gatherLong},
		{1, large, 300 * time.Millisecond, 100 * time.Millisecond, gatherLong},
		{1, large, gatherLong, 0, gatherLong},
		{1, large, 2 * gatherLong, 0, gatherLong},
		{share / 2, large, gatherFirst, gatherFirst, 2 * gatherFirst}, // as much again is a share
		{share / 2, small, gatherFirst, gatherFirst - time.Millisecond/2, 2 * gatherFirst},
		{share, large, gatherFirst, 0, gatherFirst},
		{share, large, 3 * gatherFirst, 0, 3 * gatherFirst},
		{2 * share, large, 4 * gatherFirst, 0, 2 * gatherFirst}, // it was too long
		{large, large, gatherFirst, 0, gatherFirst},
		{1 << 10, 1 << 20, gatherFirst, time.Millisecond, gatherLong},
		{0, 0, gatherFirst, 0, gatherFirst}, // a system that tells nothing
	} {
		wait, whole := furtherWait(c.held, c.size, c.gathered)
		if whole != c.whole || (wait > 0) != (c.wait > 0) || (wait-c.wait).Abs() > time.Millisecond {
			t.Errorf("with %d of %d bytes after %s it goes on for %s of %s, not %s of %s", c.held, c.size, c.gathered,
				wait, whole, c.wait, c.whole)
		}
		if came := wait.Seconds() * 2.5e9 / 8; came > float64(c.size-c.held)/2 {
			t.Errorf("with %d of %d bytes %.0f more may come in %s", c.held, c.size, came, wait)
		}
	}
	if wait := gatherWait(DefaultReadBuffer); wait < 4*gatherFirst || wait > gatherLong {
		t.Errorf("a wait for the usual buffer lasts %s", wait)
	}
}
