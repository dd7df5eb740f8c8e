package collector

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestResume lets the caller keep a set until its template comes: the flow is that
// which comes when the template was there, and the counters do not know of a detour
// but for that it was one.
func TestResume(t *testing.T) {
	told, data := exporterOf(t)
	var want flow.Record
	straight := NewDecoder(Options{})
	keep := func(r *flow.Record) { want = *r; want.Extra = slices.Clone(r.Extra) }
	_ = straight.Decode(Datagram{Exporter: from, Received: received, Payload: told}, Handler{})
	_ = straight.Decode(Datagram{Exporter: from, Received: received, Payload: data}, Handler{Flow: keep})

	d := NewDecoder(Options{})
	var kept []Datagram
	var got []flow.Record
	h := Handler{
		Flow:    func(r *flow.Record) { got = append(got, *r) },
		Missing: func(k SetKey, dg Datagram) { kept = append(kept, dg) },
	}
	_ = d.Decode(Datagram{Exporter: from, Received: received, Payload: data}, h)
	if len(kept) != 1 || len(got) != 0 || d.room.bytes != 0 {
		t.Fatalf("%d sets are handed out, %d flows, %d bytes wait inside", len(kept), len(got), d.room.bytes)
	}
	key, ok := Key(kept[0])
	if !ok || key != (SetKey{from, flow.V9, 7, 256}) {
		t.Fatalf("got key %v, %v", key, ok)
	}
	if d.Knows(key, received) {
		t.Error("a template is known before it came")
	}
	_ = d.Resume(kept[0], h)
	if st := only(t, d); len(got) != 0 || len(kept) != 1 || st.SetsWithoutTemplate != 1 || st.SetsResumed != 0 {
		t.Errorf("resumed too early: %d flows, %d kept, %+v", len(got), len(kept), st)
	}
	_ = d.Decode(Datagram{Exporter: from, Received: received.Add(time.Second), Payload: told}, h)
	if !d.Knows(key, received) {
		t.Fatal("the template is not known")
	}
	_ = d.Resume(kept[0], h)
	if len(got) != 1 || got[0].Bytes != want.Bytes || got[0].First != want.First || got[0].Received != want.Received ||
		got[0].SamplingRate != want.SamplingRate {
		t.Errorf("got %+v, want %+v", got, want)
	}
	st := only(t, d)
	if st.Datagrams != 2 || st.Flows != 1 || st.SetsWithoutTemplate != 1 || st.SetsResumed != 1 ||
		st.SequenceGaps != 0 || st.SequenceLost != 0 {
		t.Errorf("got %+v", st)
	}
	if _, ok := Key(Datagram{Payload: []byte{0, 9, 0, 1}}); ok {
		t.Error("a torso has a key")
	}
}

// TestKnownFile gives what one decoder knows to another by way of a file.
func TestKnownFile(t *testing.T) {
	told, data := exporterOf(t)
	path := filepath.Join(t.TempDir(), "known")
	d := NewDecoder(Options{})
	if err := d.LoadKnown(path); err != nil {
		t.Errorf("no file: %v", err)
	}
	before := d.Revision()
	_ = d.Decode(Datagram{Exporter: from, Received: received, Payload: told}, Handler{})
	learned := d.Revision()
	_ = d.Decode(Datagram{Exporter: from, Received: received, Payload: told}, Handler{})
	if learned == before || d.Revision() != learned {
		t.Errorf("revisions %d, %d with templates, %d with the same again", before, learned, d.Revision())
	}
	var list []Datagram
	d.Known(func(dg Datagram) { list = append(list, dg) })
	if err := SaveKnown(path, list); err != nil {
		t.Fatal(err)
	}
	next, rate := NewDecoder(Options{}), uint32(0)
	if err := next.LoadKnown(path); err != nil {
		t.Fatal(err)
	}
	_ = next.Decode(Datagram{Exporter: from, Received: received, Payload: data},
		Handler{Flow: func(r *flow.Record) { rate = r.SamplingRate }})
	if st := only(t, next); st.Flows != 1 || rate != 512 || st.SequenceGaps != 0 {
		t.Errorf("sampling rate %d, want 512: %+v", rate, st)
	}
}
