package flow

import (
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// Sets are those of mathematics: a map of fields is the oracle. A field that two sets
// confuse is a field that a filter or a file does not find.
func TestSetsAgainstMaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	random := func() (s Set, m map[Field]bool) {
		m = map[Field]bool{}
		for range rng.IntN(40) {
			f := Field(rng.IntN(NumFields))
			s.Add(f)
			m[f] = true
			if rng.IntN(4) == 0 {
				f = Field(rng.IntN(NumFields))
				s.Remove(f)
				delete(m, f)
			}
		}
		return s, m
	}
	for range 500 {
		a, inA := random()
		b, inB := random()
		union, without, common := a.Union(b), a.Without(b), false
		for f := range Field(NumFields) {
			common = common || inA[f] && inB[f]
			if a.Has(f) != inA[f] || union.Has(f) != (inA[f] || inB[f]) || without.Has(f) != (inA[f] && !inB[f]) {
				t.Fatalf("%s: %v in %x, %v in %x; union %x, difference %x", f, inA[f], a, inB[f], b, union, without)
			}
		}
		if a.Meets(b) != common || b.Meets(a) != common {
			t.Fatalf("%x meets %x: %v, expected %v", a, b, a.Meets(b), common)
		}
	}
}

// An estimate is the exact product, or the largest number where that does not fit: one
// that wraps would be a small number in the place of a huge one.
func TestEstimatesAreExact(t *testing.T) {
	largest := new(big.Int).SetUint64(math.MaxUint64)
	rng := rand.New(rand.NewPCG(9, 10))
	for i := range 2000 {
		n := rng.Uint64() >> rng.IntN(64)
		r := Record{SamplingRate: rng.Uint32() >> rng.IntN(32)}
		if i%10 == 0 { // at the limit itself
			r.SamplingRate = max(r.SamplingRate, 2)
			n = math.MaxUint64/uint64(r.SamplingRate) + uint64(i/10%2)
		}
		want := new(big.Int).Mul(new(big.Int).SetUint64(n), big.NewInt(int64(max(r.SamplingRate, 1))))
		if want.Cmp(largest) > 0 {
			want = largest
		}
		if got := r.Scale(n); got != want.Uint64() {
			t.Fatalf("%d times %d is %d, want %d", n, r.SamplingRate, got, want)
		}
		if r.Event = true; r.Scale(n) != n {
			t.Fatalf("%d of an event is scaled to %d", n, r.Scale(n))
		}
	}
}

// Fields of one direction and those of the other point at each other, and are of one
// kind: else a flow that is turned would have a counter where an address was.
func TestPairsAreMutual(t *testing.T) {
	for f := range Field(NumFields) {
		d := f.Describe()
		other := d.Pair.Describe()
		if other.Pair != f || other.Kind != d.Kind || other.Size != d.Size || other.Unit != d.Unit {
			t.Errorf("%s is of kind %d (%d bytes, %q), its pair %s of kind %d (%d bytes, %q)", f, d.Kind, d.Size,
				d.Unit, d.Pair, other.Kind, other.Size, other.Unit)
		}
	}
}

// What is no field has no name and no element, and asking for it does no harm: numbers
// of fields come out of files of later versions.
func TestBeyondTheLastField(t *testing.T) {
	for _, f := range []Field{Field(NumFields), 127} {
		if f.Name() != "" || f.String() != "none" || f.Describe() != (Description{Pair: f}) {
			t.Errorf("field %d: %q, %s, %+v", f, f.Name(), f, f.Describe())
		}
		var r Record
		if v := r.Value(f); v != (Value{}) {
			t.Errorf("field %d of a flow is %v", f, v)
		}
	}
}

// The names of versions are the values of the tag "version" of Telegraf's stock input,
// those of semantics are IANA's (registry "IPFIX Structured Data Types Semantics").
func TestNamesOfNumbers(t *testing.T) {
	for v, want := range map[Version]string{V1: "NetFlowV1", V5: "NetFlowV5", V7: "NetFlowV7", V9: "NetFlowV9",
		IPFIX: "IPFIX", SFlow: "sFlowV5", 0: "unknown", 8: "unknown"} {
		if v.String() != want {
			t.Errorf("version %d is %q, want %q", v, v, want)
		}
	}
	for s, want := range map[Semantic]string{0: "noneOf", 1: "exactlyOneOf", 2: "oneOrMoreOf", 3: "allOf",
		4: "ordered", 255: "undefined", 5: "undefined"} {
		if s.String() != want {
			t.Errorf("semantic %d is %q, want %q", s, s, want)
		}
	}
}

// Two names of one network are one: exporters that configuration names are looked up by
// the address that a packet has, which is never an IPv4-mapped one.
func TestNetworksHoldTheirExporters(t *testing.T) {
	for text, c := range map[string]struct{ in, out string }{
		"192.0.2.1":             {"192.0.2.1", "192.0.2.2"},
		"192.0.2.77/24":         {"192.0.2.255", "192.0.3.0"},
		"::ffff:192.0.2.1":      {"192.0.2.1", "192.0.2.2"},
		"::ffff:192.0.2.1/128":  {"192.0.2.1", "192.0.2.2"},
		"::ffff:192.0.2.77/120": {"192.0.2.255", "192.0.3.0"},
		"::ffff:0.0.0.0/96":     {"255.255.255.255", "2001:db8::1"},
		"2001:db8::/32":         {"2001:db8:ffff::1", "2001:db9::"},
		"::/0":                  {"2001:db8::1", "192.0.2.1"},
		"0.0.0.0/0":             {"192.0.2.1", "2001:db8::1"},
		"fe80::1%eth0":          {"fe80::1", "fe80::2"},
	} {
		network, err := ParseNetwork(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if !network.Contains(netip.MustParseAddr(c.in)) || network.Contains(netip.MustParseAddr(c.out)) {
			t.Errorf("%q is %s: it must hold %s, and not %s", text, network, c.in, c.out)
		}
	}
	for _, text := range []string{"", "192.0.2.1/", "192.0.2.1/33", "/24", "192.0.2/24", "2001:db8::/129", "a/8",
		"192.0.2.1-9", "fe80::1%eth0/64"} {
		if network, err := ParseNetwork(text); err == nil {
			t.Errorf("%q is taken for %s", text, network)
		}
	}
}
