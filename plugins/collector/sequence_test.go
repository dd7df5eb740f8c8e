package collector

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// waysOfCounting are the numbers of the next datagram, from those of one and what it and the
// next have.
var waysOfCounting = map[string]func(seq uint32, before, now sent) uint32{
	"datagrams":                  func(seq uint32, _, _ sent) uint32 { return seq + 1 },
	"records":                    func(seq uint32, b, _ sent) uint32 { return seq + b.flows + b.options },
	"records without options":    func(seq uint32, b, _ sent) uint32 { return seq + b.flows },
	"records and templates":      func(seq uint32, b, _ sent) uint32 { return seq + b.flows + b.options + b.templates },
	"records, its own included":  func(seq uint32, _, n sent) uint32 { return seq + n.flows + n.options },
	"the flows of softflowd TCP": func(seq uint32, _, n sent) uint32 { return seq + n.flows },
	"nothing, always the same":   func(seq uint32, _, _ sent) uint32 { return seq },
}

// datagramsOf returns what n datagrams have: now and then templates and options.
func datagramsOf(n int, seed uint64) (list []sent) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		c := sent{flows: 1 + rng.Uint32N(20)}
		if i%10 == 0 {
			c.templates, c.options = 2, 5
		}
		list = append(list, c)
	}
	return list
}

// TestWaysOfCounting: whatever an exporter counts, no loss is seen where there is none.
func TestWaysOfCounting(t *testing.T) {
	for name, next := range waysOfCounting {
		for seed := range uint64(50) {
			var q sequence
			var st ExporterStats
			list, seq := datagramsOf(60, seed), uint32(0)
			if name != "nothing, always the same" {
				seq = 1000
			}
			for i, c := range list {
				if i > 0 {
					seq = next(seq, list[i-1], c)
				}
				q.takeNumber(&st, seq, c)
			}
			if st != (ExporterStats{}) {
				t.Fatalf("%s, seed %d: %d gaps, %d lost, %d unsure, %d late, %d restarts", name, seed,
					st.SequenceGaps, st.SequenceLost, st.SequenceUnsure, st.SequenceLate, st.SequenceRestarts)
			}
		}
	}
}

// TestLossByWayOfCounting: once it is known how an exporter counts, what is lost is counted
// in what it counts, also what was lost before it was known.
func TestLossByWayOfCounting(t *testing.T) {
	for name, next := range waysOfCounting {
		if name == "nothing, always the same" {
			continue
		}
		for _, lost := range []int{2, 25, 50} {
			var q sequence
			var st ExporterStats
			list, seq, want := datagramsOf(60, 7), uint32(1000), uint64(0)
			for i, c := range list {
				before := seq
				if i > 0 {
					seq = next(seq, list[i-1], c)
				}
				switch name {
				case "records", "records without options", "records and templates":
					if i == lost+1 {
						want = uint64(seq - before)
					}
				default:
					if i == lost {
						want = uint64(seq - before)
					}
				}
				if i != lost {
					q.takeNumber(&st, seq, c)
				}
			}
			if st.SequenceGaps != 1 || st.SequenceLost != want || st.SequenceUnsure != 0 {
				t.Errorf("%s, datagram %d lost: %d gaps, %d lost, %d unsure, want 1 and %d", name, lost,
					st.SequenceGaps, st.SequenceLost, st.SequenceUnsure, want)
			}
		}
	}
}

// TestReceivedByWayOfCounting: what has come is counted in what is lost: where each datagram
// has as much, of ten datagrams one lost is a tenth, whatever the exporter counts.
func TestReceivedByWayOfCounting(t *testing.T) {
	for name, next := range waysOfCounting {
		if name == "nothing, always the same" {
			continue
		}
		seq, each := uint32(1000), sent{20, 5, 0, false}
		dom := &domain{sequences: []sequence{{way: rfcWay(flow.V9)}}}
		q, st := &dom.sequences[0], &dom.stats
		for i := range 1001 {
			if i%10 != 7 {
				q.takeNumber(st, seq, each)
				st.Datagrams, st.Flows, st.Options = st.Datagrams+1, st.Flows+20, st.Options+5
			}
			seq = next(seq, each, each)
		}
		share := float64(st.SequenceLost) / float64(st.SequenceLost+dom.received())
		if math.Abs(share-0.1) > 0.005 {
			t.Errorf("%s: %d lost, %d received, a share of %v", name, st.SequenceLost, dom.received(), share)
		}
	}
}

// TestPassingPorts: an exporter that takes a new source port for each datagram has one
// sequence; two that keep theirs have two.
func TestPassingPorts(t *testing.T) {
	tmpl := compiled(t, 256, spec(1, 4))
	recs := make([]flow.Record, 10)
	message := func(d *Decoder, port uint16, seq uint32) {
		e := ipfix.Encoder{Domain: 1}
		e.Sequence = seq
		e.Begin(nil, exported)
		e.AddTemplates(tmpl)
		e.AddData(tmpl, recs)
		dg := Datagram{Exporter: netip.AddrPortFrom(from.Addr(), port), Received: received, Payload: e.End()}
		if err := d.Decode(dg, Handler{}); err != nil {
			t.Fatal(err)
		}
	}
	d, lost, rng := NewDecoder(Options{}), uint64(0), rand.New(rand.NewPCG(1, 2))
	behind := uint64(0)
	for i := range uint32(400) {
		if rng.IntN(2) == 0 && i > 0 {
			behind += 10
			continue
		}
		lost, behind = lost+behind, 0
		message(d, uint16(10000+i), i*10)
	}
	if s := only(t, d); s.SequenceLost != lost || s.SequenceLate != 0 {
		t.Errorf("passing ports: %d lost, %d unsure, %d late, want %d", s.SequenceLost, s.SequenceUnsure,
			s.SequenceLate, lost)
	}
	d = NewDecoder(Options{})
	for i := range uint32(50) {
		message(d, 2055, i*10)
		message(d, 2056, 5000+i*10)
	}
	if s := only(t, d); s.SequenceLost+s.SequenceUnsure+s.SequenceLate != 0 {
		t.Errorf("two ports that stay: %d lost, %d unsure, %d late", s.SequenceLost, s.SequenceUnsure, s.SequenceLate)
	}
}

// TestLossThatLooksLikeCounting loses every second datagram of an exporter that counts
// datagrams, each of as many records as make its numbers those of one that counts records.
// It has told before that it does not.
func TestLossThatLooksLikeCounting(t *testing.T) {
	for records := uint32(1); records < 6; records++ {
		s, st := sequence{way: rfcWay(flow.V9)}, ExporterStats{}
		lost := uint64(0)
		for seq := range uint32(200) {
			if seq > 3 && seq%records != 0 {
				lost++
				continue
			}
			s.takeNumber(&st, seq, sent{flows: records})
		}
		if records == 1 {
			lost = 0
		}
		behind := uint64(199 % records) // no datagram has come after these
		if st.SequenceLost != lost-behind || st.SequenceLate+st.SequenceRestarts != 0 {
			t.Errorf("%d records: %d lost, %d unsure, %d late, %d restarts; want %d lost", records, st.SequenceLost,
				st.SequenceUnsure, st.SequenceLate, st.SequenceRestarts, lost-behind)
		}
	}
}
