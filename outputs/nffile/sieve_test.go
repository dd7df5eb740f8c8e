package nffile

import (
	"bytes"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestSieve: a Sieve sees of each flow what a Decoder reads of it, and a Decoder that has
// it hands out the flows that match, of files that are sound and of those that are not.
func TestSieve(t *testing.T) {
	check := func(name string, content []byte) {
		f, err := newFile("memory", memory{bytes.NewReader(content)}, int64(len(content)))
		if err != nil {
			return
		}
		matches := func(r *flow.Record) bool { return (r.Bytes^uint64(r.SrcPort))&1 == 0 }
		sieve, all, some := NewSieve(sieved, matches), NewDecoder(), NewDecoder()
		some.Sift(sieve)
		before := NewSieve(sieved, matches) // looks through a block before the Decoder does
		var block Block
		nth := 0
		for f.ReadBlock(&block) == nil && block.Unpack() == nil {
			again := Block{file: f, off: block.off, data: block.data, Records: block.Records, maps: block.maps,
				raw: block.raw, compression: block.compression, why: block.why}
			flows, stood, kept := uint64(0), uint64(0), 0
			for all.Next(&block) {
				flows++
				stood += flowsOf(all.Record())
				if o := sieve.x.outline(block.rec); o != nil && le.Uint16(block.rec) == recordFlow {
					sieve.matches(o, o.values, block.rec)
					compareSieved(t, name, &sieve.rec, all.Record())
				}
				if matches(all.Record()) {
					kept++
				}
			}
			sieve.Passed, sieve.PassedFlows = 0, 0
			got, gotFlows, gotStood := 0, uint64(0), uint64(0)
			if nth++; nth%2 == 0 {
				before.Sift(&again)
			}
			for some.Next(&again) {
				gotFlows++
				gotStood += flowsOf(some.Record())
				if matches(some.Record()) {
					got++
				}
			}
			if (all.Err() == nil) != (some.Err() == nil) || all.Err() != nil && all.Err().Error() != some.Err().Error() {
				t.Fatalf("%s: %v, with a sieve %v", name, all.Err(), some.Err())
			}
			if got != kept || gotFlows+sieve.Passed != flows || gotStood+sieve.PassedFlows != stood {
				t.Fatalf("%s: %d of %d flows match, with a sieve %d of %d and %d", name, kept, flows, got, gotFlows,
					sieve.Passed)
			}
		}
	}
	for name, content := range plainFiles(t) {
		check(name, content)
		eachDamage(name, content, func(name string, bad []byte) { check(name, bad) })
	}
	if NewSieve(flow.SetOf(flow.Src, flow.MPLS), nil) != nil {
		t.Error("a Sieve for labels")
	}
}

// flowsOf returns how many flows a record stands for.
func flowsOf(r *flow.Record) uint64 {
	if r.Has(flow.Flows) {
		return r.Flows
	}
	return 1
}

// compareSieved compares the fields that a Sieve knows.
func compareSieved(t *testing.T, name string, got, want *flow.Record) {
	t.Helper()
	for f := range flow.Field(flow.NumFields) {
		if !sieved.Has(f) {
			continue
		}
		if got.Has(f) != want.Has(f) || got.Value(f) != want.Value(f) {
			t.Fatalf("%s: field %s is %v, %v, expected %v, %v", name, f, got.Has(f), got.Value(f), want.Has(f),
				want.Value(f))
		}
	}
	for _, a := range [][2]bool{{got.Src == want.Src, got.Dst == want.Dst}, {got.NextHop == want.NextHop,
		got.BGPNextHop == want.BGPNextHop}} {
		if slices.Contains(a[:], false) {
			t.Fatalf("%s: %s > %s, expected %s > %s", name, got.Src, got.Dst, want.Src, want.Dst)
		}
	}
}
