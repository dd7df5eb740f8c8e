package collector

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// v9Head returns the header of a NetFlow v9 datagram of source 1.
func v9Head(uptime uint32, at time.Time, sequence uint32) []byte {
	b := []byte{0, 9, 0, 1}
	for _, v := range []uint32{uptime, uint32(at.Unix()), sequence, 1} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// switchedTemplate is the template 300 of NetFlow v9: first and last switched.
var switchedTemplate = []byte{0, 0, 0, 16, 1, 44, 0, 2, 0, 22, 0, 4, 0, 21, 0, 4}

// switched is a set of template 300.
func switched(first, last uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{1, 44, 0, 12}, first)
	return binary.BigEndian.AppendUint32(b, last)
}

// TestLongFlows: a flow that began days or weeks ago, also before the count of
// milliseconds wrapped, keeps its start in every version.
func TestLongFlows(t *testing.T) {
	const day = 86400_000
	at := time.Unix(1767323045, 0)
	for _, c := range []struct {
		name         string
		uptime, past uint32 // milliseconds
	}{{"an hour", 30 * day, day / 24}, {"three days", 30 * day, 3 * day}, {"forty days", 45 * day, 40 * day},
		{"forty days, over a wrap", day, 40 * day}} {
		want := [2]flow.Time{flow.TimeOf(at) - flow.Time(c.past)*1e6, flow.TimeOf(at) - 2e9}
		var got []flow.Record
		h := Handler{Flow: func(r *flow.Record) { got = append(got, *r) }}
		d := NewDecoder(Options{})
		nine := append(append(v9Head(c.uptime, at, 1), switchedTemplate...),
			switched(c.uptime-c.past, c.uptime-2000)...)
		five := netflow.AppendV5(nil, netflow.V5Header{SysUptime: c.uptime, Seconds: uint32(at.Unix())},
			[]flow.Record{{First: want[0], Last: want[1]}})
		for _, payload := range [][]byte{nine, five} {
			if err := d.Decode(Datagram{Exporter: from, Received: at, Payload: payload}, h); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range got {
			if [2]flow.Time{r.First, r.Last} != want || r.Has(flow.TimeRepair) {
				t.Errorf("%s, %s: got %v to %v, want %v to %v", c.name, r.Version, r.First.Time(), r.Last.Time(),
					want[0].Time(), want[1].Time())
			}
		}
		if len(got) != 2 {
			t.Fatalf("got %d flows", len(got))
		}
	}
}

// TestLateSetsHaveTheirClock: a set that waited is decoded with the count and the time of
// its own datagram, whether it waited here or elsewhere, and leaves the clock as it is.
func TestLateSetsHaveTheirClock(t *testing.T) {
	then, now := time.Unix(1767323045, 0), time.Unix(1767323065, 0)
	early := append(v9Head(500_000, then, 1), switched(490_000, 495_900)...)
	late := append(v9Head(4_000, now, 2), switchedTemplate...) // the exporter has started anew
	after := append(v9Head(5_000, now.Add(time.Second), 3), switched(4_000, 4_500)...)
	want := []flow.Time{flow.TimeOf(then) - 10e9, flow.TimeOf(now)}
	for _, elsewhere := range []bool{false, true} {
		d := NewDecoder(Options{})
		var first []flow.Time
		var kept []Datagram
		h := Handler{Flow: func(r *flow.Record) { first = append(first, r.First) }}
		with := h
		if elsewhere {
			with.Missing = func(_ SetKey, dg Datagram) { kept = append(kept, dg) }
		}
		for i, payload := range [][]byte{early, late, after} {
			if i == 2 {
				for _, dg := range kept {
					if err := d.Resume(dg, h); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := d.Decode(Datagram{Exporter: from, Received: now, Payload: payload}, with); err != nil {
				t.Fatal(err)
			}
		}
		if len(first) != 2 || first[0] != want[0] || first[1] != want[1] {
			t.Errorf("elsewhere %t: got starts at %v, want %v", elsewhere, first, want)
		}
	}
}
