package collector

import (
	"fmt"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// pass lets time pass for a decoder, and all that share with it, as at does.
func pass(d *Decoder, at *time.Time) {
	d.shared.clock = func() flow.Time { return flow.TimeOf(*at) }
}

// TestClockSteps sets the clock that datagrams are received by forward and back: no
// template, waiting set, or seat goes, no grace is over before its time, and the log goes on.
func TestClockSteps(t *testing.T) {
	for _, step := range []time.Duration{time.Minute, time.Hour, 48 * time.Hour, 40 * 24 * time.Hour, -time.Minute,
		-time.Hour, -48 * time.Hour, -40 * 24 * time.Hour} {
		lines := 0
		d := NewDecoder(Options{MaxExporters: 1, Log: func(string, ...any) { lines++ }})
		now := received
		pass(d, &now)
		s, stepped := newSender(), newSender()
		stepped.at = s.at.Add(step)
		var got []uint64
		h := Handler{Flow: func(r *flow.Record) { got = append(got, r.Bytes) }}
		known, late := compiled(t, 256, spec(1, 4), spec(2, 4)), compiled(t, 257, spec(1, 4), spec(2, 4))
		data := func(tmpl *ipfix.Template, bytes uint64) func(*ipfix.Encoder) {
			return func(e *ipfix.Encoder) { e.AddData(tmpl, []flow.Record{{Bytes: bytes}}) }
		}
		s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(known) })
		s.send(t, d, h, data(known, 1))
		s.send(t, d, h, data(late, 2)) // waits for its template
		s.port = 9
		s.send(t, d, h, data(known, 3)) // waits for a template of its own port
		now = now.Add(time.Second)
		stepped.send(t, d, h, data(known, 4))
		stepped.port = 9
		stepped.send(t, d, h, data(known, 5)) // still waits
		stepped.port = 2055
		stepped.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(late) })
		if want := []uint64{1, 4, 2}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: flows %v are decoded, want %v", step, got, want)
		}
		if st := only(t, d); st.SetsExpired != 0 || st.SetsWaiting != 2 {
			t.Errorf("%v: %d sets expired, %d wait", step, st.SetsExpired, st.SetsWaiting)
		}
		dg := Datagram{Exporter: address(1), Received: stepped.at, Payload: unknownSet(1, 300, 8)}
		if d.Screen(&dg) {
			t.Errorf("%v: an exporter has lost its seat to another one", step)
		}
		before := lines
		for i := range uint32(20) {
			now, stepped.at = now.Add(10*time.Second), stepped.at.Add(10*time.Second)
			dg := datagram(unknownSet(100+i, 300, 8))
			dg.Received = stepped.at
			_ = d.Decode(dg, h)
		}
		if lines-before != 20 {
			t.Errorf("%v: %d lines in the log after it, want 20", step, lines-before)
		}
	}
}
