package rollup

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/axiomhq/hyperloglog"
)

// reference is a sketch of package hyperloglog that has got hashes by its own InsertHash.
func reference(t testing.TB, hashes ...uint64) uint64 {
	t.Helper()
	s, err := hyperloglog.NewSketch(precision, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hashes {
		s.InsertHash(h)
	}
	return s.Estimate()
}

// TestSketches: however addresses get into a set, one after the other or with another set,
// with repeats, its number is what package hyperloglog makes of them all.
func TestSketches(t *testing.T) {
	random := rand.New(rand.NewPCG(17, 1))
	for round := range 200 {
		var s sketches
		var all [2][]uint64
		var sets [2][2]uint64
		for i := range sets {
			hosts := make([]uint64, 1+random.IntN(1<<random.IntN(15))) // up to no register being 0
			for j := range hosts {
				hosts[j] = random.Uint64() >> random.IntN(60) // registers with high values too
			}
			for range random.IntN(3 * len(hosts)) {
				h := max(1, hosts[random.IntN(len(hosts))])
				all[i] = append(all[i], h)
				s.addHash(sets[i][:], h)
			}
		}
		check := func(what string, set []uint64, hashes []uint64) {
			p := Point{Distinct: true}
			s.addTo(&p.sources, &p.Sources, set)
			p.estimate()
			if want := reference(t, hashes...); p.Sources != want {
				t.Fatalf("round %d, %s: %d hashes are %d addresses, want %d", round, what, len(hashes), p.Sources, want)
			}
		}
		check("one set", sets[0][:], all[0])
		check("another set", sets[1][:], all[1])
		both := append(all[0], all[1]...)
		var p Point
		for i := range sets {
			s.addTo(&p.sources, &p.Sources, sets[i][:])
		}
		p.estimate()
		s.join(sets[0][:], sets[1][:])
		check("both", sets[0][:], both)
		check("what was joined", sets[1][:], nil)
		if want := reference(t, both...); p.Sources != want {
			t.Fatalf("round %d: the sets of two rows are %d addresses, want %d", round, p.Sources, want)
		}
	}
}

// TestSketchesAreGivenBack: past max_series each flow may take the place of a series, and
// what that counted addresses with is used again.
func TestSketchesAreGivenBack(t *testing.T) {
	s := setOf(t, Definition{Tags: []string{"src_net"}, MaxSeries: 50, Distinct: true}, Options{})
	f := s.NewFeeder()
	for i := range 6000 {
		src := netip.AddrFrom4([4]byte{byte(i >> 12), byte(i >> 4), byte(i), 1})
		for host := range 3 { // a list, and of every tenth registers
			bytes := uint64(1)
			if host == 0 { // more than each before: it has to have a series
				bytes = uint64(100 * (i + 1))
			}
			r := tcp("10.0.0.1", "10.0.0.2", 80, bytes, 0, time.Second)
			r.Src, r.Dst = src, netip.AddrFrom4([4]byte{10, byte(i), byte(i >> 8), byte(host)})
			feed(s, f, r)
		}
		for host := 0; i%10 == 0 && host < 200; host++ {
			r := tcp("10.0.0.1", "10.0.0.2", 80, 1, 0, time.Second)
			r.Src, r.Dst = src, netip.AddrFrom4([4]byte{10, 1, 1, byte(host)})
			feed(s, f, r)
		}
	}
	w := s.rollups[0].windows[0]
	if n := w.beyond.estimate(); n < 5000 || w.table.Len() < 30 {
		t.Fatalf("%d of 6000 series were displaced, and %d are left", n, w.table.Len())
	}
	// Two for a series, and two for each part of the rest.
	if most := uint64(2 * (50 + 8)); w.addresses.lists.size > most || w.addresses.dense.size > most {
		t.Errorf("50 series have %d lists and %d sketches, want %d at most", w.addresses.lists.size,
			w.addresses.dense.size, most)
	}
}

// TestSketchesAreApart: no two sets share memory, in chunks of their own, in those that are
// made at once, and where values are given back.
func TestSketchesAreApart(t *testing.T) {
	const series = 3 * arenaSlab / numRegisters
	var a arena[registers]
	numbers := make([]uint64, series)
	take := func(i int) {
		numbers[i] = a.takeValue()
		r := a.at(numbers[i])
		if *r != (registers{}) {
			t.Fatalf("value %d is not empty", numbers[i])
		}
		r[0], r[numRegisters-1] = uint8(i), uint8(i>>8)
	}
	for i := range series {
		take(i)
	}
	for i := 0; i < series; i += 7 {
		a.give(numbers[i])
	}
	for i := 0; i < series; i += 7 {
		take(i)
	}
	if a.size != series {
		t.Errorf("%d values were made, want %d", a.size, series)
	}
	for i, n := range numbers {
		if r := a.at(n); r[0] != uint8(i) || r[numRegisters-1] != uint8(i>>8) {
			t.Fatalf("value %d is that of another set", n)
		}
	}
}
