package nffile

import (
	"bytes"
	"net/netip"
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
		sieve, all, some := NewSieve(sieved, nil, matches), NewDecoder(), NewDecoder()
		some.Sift(sieve)
		before := NewSieve(sieved, nil, matches) // looks through a block before the Decoder does
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
			if (all.Err() == nil) != (some.Err() == nil) ||
				all.Err() != nil && all.Err().Error() != some.Err().Error() {
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
	if NewSieve(flow.SetOf(flow.Src, flow.MPLS), nil, nil) != nil {
		t.Error("a Sieve for labels")
	}
}

// TestSieveWithNeedles: with addresses that a flow needs, a Sieve keeps what it keeps without,
// of files that are sound and of those that are not. Each address of the files is looked for,
// those of both families at once.
func TestSieveWithNeedles(t *testing.T) {
	fields := flow.SetOf(flow.Src, flow.Dst)
	kept := func(content []byte, needles, told []flow.Value) (flows int, passed, stood uint64, err string) {
		f, failed := newFile("memory", memory{bytes.NewReader(content)}, int64(len(content)))
		if failed != nil {
			return 0, 0, 0, failed.Error()
		}
		sieve := NewSieve(fields, told, func(r *flow.Record) bool {
			return slices.Contains(needles, flow.ValueOf(r.Src)) || slices.Contains(needles, flow.ValueOf(r.Dst))
		})
		d := NewDecoder()
		d.Sift(sieve)
		var b Block
		for f.ReadBlock(&b) == nil && b.Unpack() == nil {
			for d.Next(&b) {
				flows++
			}
			if d.Err() != nil {
				err += d.Err().Error()
			}
		}
		return flows, sieve.Passed, sieve.PassedFlows, err
	}
	compare := func(name string, content []byte, needles []flow.Value) int {
		flows, passed, stood, err := kept(content, needles, nil)
		flows2, passed2, stood2, err2 := kept(content, needles, needles)
		if flows != flows2 || passed != passed2 || stood != stood2 || err != err2 {
			t.Fatalf("%s, %v: %d flows, %d (%d) passed, %q; with needles %d, %d (%d), %q", name, needles, flows, passed,
				stood, err, flows2, passed2, stood2, err2)
		}
		return flows
	}
	for name, content := range plainFiles(t) {
		addresses := addressesIn(t, content)
		found := 0
		for i := range addresses {
			found += compare(name, content, addresses[i:min(i+3, len(addresses))])
		}
		if found == 0 {
			t.Errorf("%s: nothing found", name)
		}
		eachDamage(name, content, func(name string, bad []byte) { compare(name, bad, addresses[:1]) })
	}
}

// addressesIn returns sources and destinations of a file, a few.
func addressesIn(t *testing.T, content []byte) (found []flow.Value) {
	f, err := newFile("memory", memory{bytes.NewReader(content)}, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var b Block
	d := NewDecoder()
	for f.ReadBlock(&b) == nil && b.Unpack() == nil {
		for d.Next(&b) {
			for _, a := range []netip.Addr{d.Record().Src, d.Record().Dst} {
				if v := flow.ValueOf(a); a.IsValid() && len(found) < 12 && !slices.Contains(found, v) {
					found = append(found, v)
				}
			}
		}
	}
	return found
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
