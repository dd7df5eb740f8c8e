package collector

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// listenStream starts a listener that decodes, and returns what it has decoded.
func listenStream(t *testing.T, o StreamOptions) (*StreamListener, *streamed) {
	t.Helper()
	o.Address = "tcp://127.0.0.1:0"
	l := NewStreamListener(o)
	return l, startStream(t, l)
}

// startStream starts a listener, and returns what is decoded.
func startStream(t *testing.T, l *StreamListener) *streamed {
	t.Helper()
	s := &streamed{d: NewDecoder(Options{})}
	if err := l.Start(s.takeDatagrams); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return s
}

// awaitStats waits until a listener has counted something.
func awaitStats(l *StreamListener, done func(StreamStats) bool) (got StreamStats) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if got = l.Stats(); done(got) || time.Now().After(deadline) {
			return got
		}
	}
}

// streamed is what a listener's decoder makes of the messages.
type streamed struct {
	mu    sync.Mutex
	d     *Decoder
	bytes []uint64 // of the flows
	ends  int
}

func (s *streamed) takeDatagrams(list []Datagram) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dg := range list {
		if len(dg.Payload) == 0 {
			s.ends++
		}
		_ = s.d.Decode(dg, Handler{Flow: func(r *flow.Record) { s.bytes = append(s.bytes, r.Bytes) }})
	}
}

// await waits until so many flows and ends of connections have come.
func (s *streamed) await(t *testing.T, flows, ends int) (stats []ExporterStats) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		gotFlows, gotEnds := len(s.bytes), s.ends
		if gotFlows >= flows && gotEnds >= ends {
			s.d.Exporters(func(e *ExporterStats) { stats = append(stats, *e) })
			s.mu.Unlock()
			return stats
		}
		s.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("got %d flows and %d ends, want %d and %d", gotFlows, gotEnds, flows, ends)
		}
	}
}

// awaitDatagrams waits until the first domain has got so many datagrams.
func (s *streamed) awaitDatagrams(t *testing.T, n uint64) ExporterStats {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		stats := s.await(t, 0, 0)
		if len(stats) > 0 && stats[0].Datagrams >= n {
			return stats[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %d datagrams: %+v", n, stats)
		}
	}
}

// connect opens a connection.
func connect(t *testing.T, l *StreamListener) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ended waits until the listener has closed a connection.
func ended(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := conn.Read(make([]byte, 1))
	if e, ok := err.(net.Error); err == nil || ok && e.Timeout() {
		t.Fatalf("the connection was not closed: %v", err)
	}
}

// streamMessages is what an exporter with two templates sends.
func streamMessages(t testing.TB) (list [][]byte, flows int) {
	t.Helper()
	e := ipfix.Encoder{Domain: 7}
	tmpl := compiled(t, 256, spec(1, 4), spec(2, 4))
	add := func(fill func()) {
		e.Begin(nil, exported)
		fill()
		list = append(list, e.End())
	}
	add(func() { e.AddTemplates(tmpl) })
	for i := range 50 {
		add(func() { flows += e.AddData(tmpl, []flow.Record{{Bytes: uint64(i), Packets: 1}}) })
	}
	return list, flows
}

// TestStreamFraming cuts the stream of messages anywhere.
func TestStreamFraming(t *testing.T) {
	list, want := streamMessages(t)
	for _, size := range []int{1, 7, 100, 1 << 20} {
		l, s := listenStream(t, StreamOptions{})
		conn := connect(t, l)
		for whole := bytes.Join(list, nil); len(whole) > 0; {
			k := min(size, len(whole))
			if _, err := conn.Write(whole[:k]); err != nil {
				t.Fatal(err)
			}
			whole = whole[k:]
		}
		conn.Close()
		stats := s.await(t, want, 1)
		got := stats[0]
		if len(stats) != 1 || got.Datagrams != uint64(len(list)) || got.Flows != uint64(want) ||
			got.SequenceLost+got.SequenceRestarts+got.DecodeErrors != 0 ||
			!got.Stream || got.TemplatesKnown != 0 {
			t.Errorf("in pieces of %d: %+v", size, stats)
		}
		for i, v := range s.bytes {
			if v != uint64(i) {
				t.Fatalf("in pieces of %d: flow %d has %d bytes", size, i, v)
			}
		}
	}
}

// TestStreamTemplatesEndWithTheConnection holds RFC 7011, section 10.4.3: a template
// belongs to its transport session, sessions do not see each other's, and a
// withdrawal counts.
func TestStreamTemplatesEndWithTheConnection(t *testing.T) {
	l, s := listenStream(t, StreamOptions{})
	a, b := connect(t, l), connect(t, l)
	e := ipfix.Encoder{Domain: 7}
	first, second := compiled(t, 256, spec(1, 4), spec(2, 4)), compiled(t, 256, spec(2, 4), spec(1, 4))
	recs := []flow.Record{{Bytes: 10, Packets: 20}}
	send := func(conn net.Conn, fill func()) {
		t.Helper()
		e.Begin(nil, exported)
		fill()
		if _, err := conn.Write(e.End()); err != nil {
			t.Fatal(err)
		}
	}
	send(a, func() { e.AddTemplates(first); e.AddData(first, recs) })
	s.await(t, 1, 0)
	e.Sequence = 0
	send(b, func() { e.AddData(first, recs) }) // which is a's template, not b's
	send(b, func() { e.AddTemplates(second); e.AddData(second, recs) })
	stats := s.await(t, 3, 0) // with the set that waited, in b's own layout
	if stats[0].SetsWithoutTemplate != 1 || s.bytes[1]+s.bytes[2] != 20+10 {
		t.Errorf("templates cross connections: %v %+v", s.bytes, stats[0])
	}
	e.Sequence = 1
	send(a, func() { e.Withdraw(256) })
	send(a, func() { e.AddData(first, recs) })
	send(b, func() { e.AddData(second, recs) })
	if got := s.awaitDatagrams(t, 6); got.SetsWaiting != 1 || got.Flows != 4 {
		t.Errorf("a withdrawn template is still used: %+v", got)
	}
	send(b, func() { e.Withdraw(ipfix.TemplateSet) }) // all
	b.Close()
	a.Close()
	stats = s.await(t, 4, 2)
	if got := stats[0]; len(stats) != 1 || got.TemplatesKnown != 0 || got.SetsWaiting != 0 || got.SetsExpired != 1 ||
		got.Flows != 4 {
		t.Errorf("after the connections: %+v", got)
	}
}

// TestStreamIdle: a connection that is silent for long is closed, and its templates go.
func TestStreamIdle(t *testing.T) {
	l, s := listenStream(t, StreamOptions{IdleTimeout: 100 * time.Millisecond})
	silent := connect(t, l)
	list, _ := streamMessages(t)
	if _, err := silent.Write(bytes.Join(list[:1], nil)); err != nil {
		t.Fatal(err)
	}
	ended(t, silent)
	s.await(t, 0, 1)
	got := awaitStats(l, func(got StreamStats) bool { return got.Open == 0 && got.Idle == 1 })
	if want := (StreamStats{Accepted: 1, Idle: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestStreamBounds holds the bounds: of connections, and of patience with what is no
// IPFIX.
func TestStreamBounds(t *testing.T) {
	var mu sync.Mutex
	var warned []string
	warn := func(format string, _ ...any) { mu.Lock(); warned = append(warned, format); mu.Unlock() }
	list, _ := streamMessages(t)
	l := NewStreamListener(StreamOptions{Address: "tcp://127.0.0.1:0", MaxConnections: 1, Warn: warn})
	l.places = newPlaces(time.Hour) // nobody makes room for another one
	s := startStream(t, l)
	first := connect(t, l)
	if _, err := first.Write(bytes.Join(list[:2], nil)); err != nil {
		t.Fatal(err)
	}
	s.await(t, 1, 0)
	for range 3 {
		ended(t, connect(t, l))
	}
	awaitStats(l, func(got StreamStats) bool { return got.Refused == 3 })
	first.Close()
	s.await(t, 1, 1)
	awaitStats(l, func(got StreamStats) bool { return got.Open == 0 })
	bad := connect(t, l)
	_, _ = bad.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	ended(t, bad)
	got := awaitStats(l, func(got StreamStats) bool { return got.Open == 0 && got.Failed == 1 })
	if want := (StreamStats{Accepted: 2, Refused: 3, Failed: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(warned) != 2 || !strings.Contains(warned[0], "refused") || !strings.Contains(warned[1], "closed") {
		t.Errorf("warnings: %q", warned)
	}
}

// TestManyStreamsOfOneAddress: the connections of one address and domain keep all their
// templates, which never come again, until they end or the memory does.
func TestManyStreamsOfOneAddress(t *testing.T) {
	const connections, templates = 600, 4
	d := NewDecoder(Options{})
	flows := 0
	h := Handler{Flow: func(*flow.Record) { flows++ }}
	send := func(port int, fill func(e *ipfix.Encoder)) {
		e := ipfix.Encoder{Domain: 1}
		e.Begin(nil, exported)
		fill(&e)
		dg := Datagram{Exporter: netip.AddrPortFrom(from.Addr(), uint16(port)), Received: received, Payload: e.End(),
			Stream: true}
		if err := d.Decode(dg, h); err != nil {
			t.Fatal(err)
		}
	}
	var list []*ipfix.Template
	for i := range uint16(templates) {
		list = append(list, compiled(t, 256+i, spec(1, 4), spec(8, 4)))
	}
	for port := range connections {
		send(port, func(e *ipfix.Encoder) { e.AddTemplates(list...) })
	}
	for port := range connections {
		send(port, func(e *ipfix.Encoder) { e.AddData(list[port%templates], []flow.Record{{Bytes: 1}}) })
	}
	if s := only(t, d); flows != connections || s.SetsWithoutTemplate != 0 ||
		s.TemplatesKnown != connections*templates {
		t.Errorf("%d flows of %d, %d sets without a template, %d templates", flows, connections, s.SetsWithoutTemplate,
			s.TemplatesKnown)
	}
	small := NewDecoder(Options{MaxBytes: 1 << 20})
	for port := range 1500 {
		e := ipfix.Encoder{Domain: 1}
		e.Begin(nil, exported)
		e.AddTemplates(list...)
		_ = small.Decode(Datagram{Exporter: netip.AddrPortFrom(from.Addr(), uint16(port)), Received: received,
			Payload: e.End(), Stream: true}, h)
	}
	if small.bytes > 1<<20 {
		t.Errorf("%d bytes of templates", small.bytes)
	}
}

func TestStreamRefusesAnExporter(t *testing.T) {
	d := NewDecoder(Options{RefuseUnknown: true})
	l, _ := listenStream(t, StreamOptions{Allow: func(a netip.Addr) bool { return d.Allows(a) }})
	ended(t, connect(t, l))
	if got := l.Stats(); got.Refused != 1 {
		t.Errorf("got %+v", got)
	}
}

// TestStopHandsOverWhatAConnectionHolds stops while messages lie in the kernel.
func TestStopHandsOverWhatAConnectionHolds(t *testing.T) {
	list, want := streamMessages(t)
	hold, held := make(chan struct{}), make(chan struct{}, 100)
	s := &streamed{d: NewDecoder(Options{})}
	l := NewStreamListener(StreamOptions{Address: "tcp://127.0.0.1:0"})
	if err := l.Start(func(list []Datagram) { held <- struct{}{}; <-hold; s.takeDatagrams(list) }); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, l)
	for _, b := range list {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	<-held // else the connection may not have been accepted yet
	stopped := make(chan struct{})
	go func() { l.Stop(); close(stopped) }()
	time.Sleep(50 * time.Millisecond)
	close(hold)
	<-stopped
	if len(s.bytes) != want || s.ends != 1 {
		t.Errorf("got %d flows of %d, %d ends", len(s.bytes), want, s.ends)
	}
	l.Stop()
	NewStreamListener(StreamOptions{}).Stop() // without Start
}

// FuzzStream takes bytes as what a connection sends, with every option that makes
// more of a record. After its end nothing of the connection may be left.
func FuzzStream(f *testing.F) {
	list, _ := streamMessages(f)
	f.Add(bytes.Join(list, nil))
	for _, s := range streams(f) {
		f.Add(bytes.Join([][]byte{s.templates, s.data}, nil))
	}
	e := ipfix.Encoder{Domain: 1}
	e.Begin(nil, exported)
	e.AddTemplates(compiled(f, 256, ipfix.FieldSpec{PEN: ie.VMwarePEN, ID: 881, Length: 4},
		ipfix.FieldSpec{PEN: ie.VMwarePEN, ID: 896, Length: 2}, spec(8, 4)))
	e.Withdraw(256, ipfix.TemplateSet)
	f.Add(e.End())
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &session{from: from, buf: b, have: len(b)}
		used, _ := s.cut(received)
		if used > len(b) {
			t.Fatalf("used %d of %d bytes", used, len(b))
		}
		d := NewDecoder(Options{OuterFlows: true, SplitBiflows: true, MaxTemplates: 50, MaxBytes: 1 << 20})
		sum := 0
		for _, dg := range s.list {
			_ = d.Decode(dg, use(&sum))
		}
		_ = d.Decode(Datagram{Exporter: from, Received: received, Stream: true}, Handler{})
		templates, waiting := 0, 0
		d.Exporters(func(s *ExporterStats) { templates, waiting = templates+s.TemplatesKnown, waiting+s.SetsWaiting })
		if templates != 0 || waiting != 0 || d.room.bytes != 0 || d.bytes != 0 {
			t.Fatalf("after the connection: %d templates, %d sets, %d and %d bytes", templates, waiting, d.bytes,
				d.room.bytes)
		}
	})
}
