package index

import (
	"bytes"
	"errors"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/FastFilter/xorfilter"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// encodedFilter returns the filter of hashes as a file has it.
func encodedFilter(t testing.TB, hashes []uint64) []byte {
	t.Helper()
	var b xorfilter.BinaryFuseBuilder
	encoded, err := appendFilter([]byte("before"), &b, slices.Clone(hashes))
	if err != nil {
		t.Fatal(err)
	}
	encoded, ok := bytes.CutPrefix(encoded, []byte("before"))
	if !ok {
		t.Fatal("what stood before is gone")
	}
	return encoded
}

// What was put into a filter is found, however many there are: a filter that says no to a
// host that is there hides its flows. Of others it says yes to few, else no block is left
// out.
func TestFiltersHaveWhatWasPutIn(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	for _, n := range []int{0, 1, 2, mostListed - 1, mostListed, mostListed + 1, 100, 1000, 20000} {
		var set keySet
		want := map[uint64]bool{}
		for len(want) < n {
			h := rng.Uint64()
			if len(want) == 3 {
				h = 0 // has a place of its own
			}
			want[h] = true
			for range 1 + rng.IntN(3) {
				set.addHash(h)
			}
		}
		if len(set.hashes) != n {
			t.Fatalf("%d different hashes are kept as %d", n, len(set.hashes))
		}
		encoded := encodedFilter(t, set.hashes)
		f, err := decodeFilter(encoded)
		if err != nil {
			t.Fatalf("%d hashes: %v", n, err)
		}
		for h := range want {
			if !f.mayHave(h) {
				t.Fatalf("%d hashes: %#x is not found", n, h)
			}
		}
		wrong := 0
		const others = 20000
		for range others {
			if h := rng.Uint64(); !want[h] && f.mayHave(h) {
				wrong++
			}
		}
		if n <= mostListed && wrong > 0 || wrong > others/100 { // 8 bits: one of 256
			t.Errorf("%d hashes: %d of %d others may be there", n, wrong, others)
		}
		if size := len(encoded); n <= mostListed && size != 8+8*n || n >= 1000 && size > 24+n*3/2 {
			t.Errorf("%d hashes take %d bytes", n, size)
		}
	}
}

// The set of hashes is that of a map, behind a reset too: what is left of the block before
// would make a filter say yes for hosts that are elsewhere.
func TestSetsOfHashes(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 44))
	var set keySet
	for _, n := range []int{10, 5000, 0, 1, 3000, 511, 512, 513, 1024} {
		set.reset()
		want := map[uint64]bool{}
		for range n {
			h := rng.Uint64N(uint64(n)*2) * 0x10000000000 // of the same place in the table
			if rng.IntN(2) == 0 {
				h = rng.Uint64()
			}
			set.addHash(h)
			want[h] = true
		}
		if len(set.hashes) != len(want) {
			t.Errorf("%d different hashes are kept as %d", len(want), len(set.hashes))
		}
		for _, h := range set.hashes {
			if !want[h] {
				t.Errorf("%#x was not put in", h)
			}
			delete(want, h)
		}
		if len(want) > 0 {
			t.Errorf("%d hashes are lost", len(want))
		}
	}
}

// A filter that is damaged is refused, or answers without leaving its bytes; none panics.
// One that is cut is never taken for a whole one with other contents.
func TestDamagedFilters(t *testing.T) {
	rng := rand.New(rand.NewPCG(45, 46))
	for _, n := range []int{0, 5, mostListed, 60, 3000} {
		hashes := make([]uint64, n)
		for i := range hashes {
			hashes[i] = rng.Uint64()
		}
		encoded := encodedFilter(t, hashes)
		for cut := range len(encoded) {
			f, err := decodeFilter(encoded[:cut:cut])
			if err == nil && (n > mostListed || len(f.list)%8 != 0) || err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatalf("%d hashes, %d of %d bytes: %v", n, cut, len(encoded), err)
			}
		}
		for at := range min(len(encoded), filterHeadSize) {
			for bit := range 8 {
				bad := bytes.Clone(encoded)
				bad[at] ^= 1 << bit
				f, err := decodeFilter(bad)
				if err != nil {
					if !errors.Is(err, ErrDamaged) {
						t.Fatalf("byte %d: %v", at, err)
					}
					continue
				}
				for range 50 {
					f.mayHave(rng.Uint64())
				}
			}
		}
	}
	for what, b := range map[string][]byte{"nothing": nil, "7 bytes": make([]byte, 7), "an unknown kind": {9, 7: 0},
		"half a hash": make([]byte, 12), "a head alone": {1, 23: 0}, "no segments": {1, 4: 4, 31: 0},
		"segments of 3":      {1, 4: 3, 8: 3, 23 + 9: 0},
		"too few bytes":      {1, 4: 4, 8: 4, 23 + 11: 0},
		"one byte too many":  {1, 4: 4, 8: 4, 23 + 13: 0},
		"half a segment":     {1, 4: 4, 8: 6, 23 + 14: 0},
		"segments of none":   {1, 8: 4, 23 + 4: 0},
		"more than 4 GB say": {1, 7: 0x80, 11: 0x80, 23 + 4: 0}} {
		if _, err := decodeFilter(b); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := decodeFilter([]byte{1, 4: 4, 8: 4, 23 + 12: 0}); err != nil {
		t.Errorf("the smallest filter: %v", err)
	}
}

// Keys that are alike but for their kind or one bit have other hashes, and hashes use all
// of their bits: a host 10.0.0.80 is not taken for the port 80.
func TestHashesOfKeys(t *testing.T) {
	seen := map[uint64]nffilter.Key{}
	ones := 0
	for kind := range 4 {
		for n := range 5000 {
			for _, v := range []flow.Value{{Lo: uint64(n)}, {Hi: uint64(n) + 1},
				flow.ValueOf(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))} {
				k := nffilter.Key{Kind: nffilter.KeyKind(kind), Value: v}
				h := hash(k)
				if other, ok := seen[h]; ok && other != k {
					t.Fatalf("%+v and %+v are both %#x", k, other, h)
				}
				seen[h] = k
				ones += bits.OnesCount64(h)
			}
		}
	}
	if mean := float64(ones) / float64(len(seen)); mean < 31.5 || mean > 32.5 {
		t.Errorf("%v bits of 64 are set, on average", mean)
	}
}
