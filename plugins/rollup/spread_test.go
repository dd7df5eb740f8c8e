package rollup

import (
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestPartsAreProportions compares the part of a flow up to a time with exact arithmetic, over all
// magnitudes of counters and times.
func TestPartsAreProportions(t *testing.T) {
	rng := rand.New(rand.NewPCG(81, 82))
	for range 20000 {
		v := value{first: rng.Uint64N(1 << 42), bytes: rng.Uint64() >> rng.IntN(64),
			packets: rng.Uint64() >> rng.IntN(64)}
		v.last = v.first + 1 + rng.Uint64N(1<<rng.IntN(40))
		v.scaledBytes, v.scaledPackets = math.MaxUint64, v.bytes
		at := v.first + rng.Uint64N(v.last-v.first+1)
		part := v.until(at)
		of := func(n uint64) uint64 {
			exact := new(big.Int).Mul(new(big.Int).SetUint64(n), new(big.Int).SetUint64(at-v.first))
			return exact.Div(exact, new(big.Int).SetUint64(v.last-v.first)).Uint64()
		}
		if part.bytes != of(v.bytes) || part.packets != of(v.packets) || part.scaledBytes != of(v.scaledBytes) ||
			part.scaledPackets != of(v.scaledPackets) {
			t.Fatalf("%+v until %d: %+v", v, at, part)
		}
		if whole := v.until(v.last + rng.Uint64N(5)); whole != v {
			t.Fatalf("%+v until its end: %+v", v, whole)
		}
	}
}

// TestSpreadKeepsEverything: whatever a flow's times and counters are, its parts are the whole, each
// window has its share to within a byte for each window before it, and the flow counts once.
func TestSpreadKeepsEverything(t *testing.T) {
	rng := rand.New(rand.NewPCG(91, 92))
	for range 300 {
		s := setOf(t, Definition{Spread: 10 * time.Minute, Interval: time.Minute}, Options{})
		s.Close(day.Add(9*time.Minute), func(*Point) {}) // ten windows are open
		first := time.Duration(rng.Int64N(int64(12*time.Minute))) - time.Minute
		last := first + time.Duration(rng.Int64N(int64(11*time.Minute)))
		r := tcp("10.0.0.1", "10.0.0.2", 80, rng.Uint64N(1<<40), first, last)
		r.Packets, r.SamplingRate = rng.Uint64N(1000), uint32(rng.IntN(3)*100)
		feed(s, s.NewFeeder(), r)
		var sum Point
		begin, end := float64(r.First.Milli()), float64(r.Last.Milli())
		for i, p := range points(s, day.Add(time.Hour)) {
			sum.Flows, sum.Packets, sum.Bytes = sum.Flows+p.Flows, sum.Packets+p.Packets, sum.Bytes+p.Bytes
			sum.ScaledBytes, sum.ScaledPackets = sum.ScaledBytes+p.ScaledBytes, sum.ScaledPackets+p.ScaledPackets
			from, to := float64(p.Begin.UnixMilli()), float64(p.End.UnixMilli())
			if p.Begin.Equal(day) {
				from = math.Inf(-1) // what was before is in the oldest
			}
			if p.End.Equal(day.Add(10 * time.Minute)) {
				to = math.Inf(1) // what will be is in the newest
			}
			if end-begin <= 60000 {
				continue // no longer than a window: in that of its end
			}
			share := max(0, min(end, to)-max(begin, from)) / (end - begin)
			if want := share * float64(r.Bytes); math.Abs(want-float64(p.Bytes)) > float64(i+2)+want*1e-9 {
				t.Errorf("%s to %s: %s has %d bytes, expected %.1f", first, last, p.Begin.Sub(day), p.Bytes, want)
			}
		}
		if sum.Bytes != r.Bytes || sum.Packets != r.Packets || sum.Flows != 1 || sum.ScaledBytes != r.Scale(r.Bytes) ||
			sum.ScaledPackets != r.Scale(r.Packets) {
			t.Errorf("%s to %s: the windows have %+v of %d bytes, %d packets", first, last, sum, r.Bytes, r.Packets)
		}
	}
}

// TestDefinitionsAtTheirBounds: each number is taken up to its bounds, and what is beyond is refused
// with them; all mistakes are told at once.
func TestDefinitionsAtTheirBounds(t *testing.T) {
	manyTags := TagNames()[:maxTags+1]
	for name, c := range map[string]struct {
		d    Definition
		want string // "" is right
	}{
		"nothing but a name":    {Definition{Name: "n"}, ""},
		"no name":               {Definition{}, "name: expected that of a measurement, got none"},
		"a control character":   {Definition{Name: "a\nb"}, `name: expected no control characters, got "a\nb"`},
		"the shortest interval": {Definition{Name: "n", Interval: time.Second}, ""},
		"a shorter one": {Definition{Name: "n", Interval: time.Second - 1},
			"interval: expected 1s to 24h0m0s"},
		"the longest interval": {Definition{Name: "n", Interval: 24 * time.Hour}, ""},
		"a longer one": {Definition{Name: "n", Interval: 24*time.Hour + 1},
			"interval: expected 1s to 24h0m0s"},
		"below 0": {Definition{Name: "n", Interval: -time.Minute}, "interval: expected 1s to 24h0m0s"},
		"a half second": {Definition{Name: "n", Interval: 90500 * time.Millisecond},
			"interval: expected whole seconds"},
		"the longest spread": {Definition{Name: "n", Spread: 63 * time.Minute}, ""},
		"a longer spread": {Definition{Name: "n", Spread: 63*time.Minute + 1},
			"spread: expected 0s to 1h3m0s, 63 times"},
		"a spread below 0": {Definition{Name: "n", Spread: -1}, "spread: expected 0s to 1h3m0s"},
		"one series":       {Definition{Name: "n", MaxSeries: 1}, ""},
		"series below 1":   {Definition{Name: "n", MaxSeries: -1}, "max_series: expected 1 to 10000000, got -1"},
		"the most series":  {Definition{Name: "n", MaxSeries: MostSeries, Tags: []string{"src"}}, ""},
		"a series more": {Definition{Name: "n", MaxSeries: MostSeries + 1},
			"max_series: expected 1 to 10000000"},
		"top as all series": {Definition{Name: "n", MaxSeries: 5, Top: 5}, ""},
		"top beyond them": {Definition{Name: "n", MaxSeries: 5, Top: 6},
			"top: expected at most max_series, 5, got 6"},
		"top below 0": {Definition{Name: "n", Top: -1},
			"top: expected a number above 0, or 0 for all, got -1"},
		"a bit of IPv4":       {Definition{Name: "n", IPv4Net: 1}, ""},
		"all bits":            {Definition{Name: "n", IPv4Net: 32, IPv6Net: 128}, ""},
		"bits of IPv4 beyond": {Definition{Name: "n", IPv4Net: 33}, "ipv4_net: expected 1 to 32 bits, got 33"},
		"bits of IPv6 beyond": {Definition{Name: "n", IPv6Net: 129}, "ipv6_net: expected 1 to 128 bits, got 129"},
		"bits below 0": {Definition{Name: "n", IPv4Net: -1, IPv6Net: -1},
			"ipv6_net: expected 1 to 128 bits, got -1"},
		"as many tags as may be": {Definition{Name: "n", Tags: manyTags[:maxTags]}, ""},
		"a tag more":             {Definition{Name: "n", Tags: manyTags}, "tags: expected at most 32, got 33"},
		"a tag twice": {Definition{Name: "n", Tags: []string{"src", "dst", "src"}},
			`tags: expected each once, got "src" again`},
		"no tag": {Definition{Name: "n", Tags: []string{"sorce"}}, `did you mean "source"?`},
		"no filter": {Definition{Name: "n", Filter: "prot tcp"},
			`filter: "prot" is no test that a filter knows, at 1:1 of "prot tcp"; did you mean "proto"?`},
		"a filter of files": {Definition{Name: "n", Filter: "ident x"},
			"filter: expected one that asks for what flows on the wire have"},
		"a filter that ends soon": {Definition{Name: "n", Filter: "proto tcp and"}, "the filter ends here, at 1:14"},
	} {
		_, err := New([]Definition{c.d}, Options{})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, expected %q", name, err, c.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "rollup 1 (") {
			t.Errorf("%s: the error does not say of which roll-up: %v", name, err)
		}
	}
	_, err := New([]Definition{{Name: "a", Top: -1, IPv4Net: 40}, {Name: "b"}, {Name: "b", Tags: []string{"x"}}},
		Options{})
	for _, want := range []string{`rollup 1 ("a"): top: `, `rollup 1 ("a"): ipv4_net: `,
		`rollup 3 ("b"): name: expected another`,
		`rollup 3 ("b"): tags: `} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if _, err := New(nil, Options{Internal: []netip.Prefix{{}}}); err == nil ||
		!strings.Contains(err.Error(), "networks: expected an address and its bits") {
		t.Errorf("a network that is none: %v", err)
	}
}

// TestNamesOfOptions: the words of the configuration, and what is said of others.
func TestNamesOfOptions(t *testing.T) {
	for name, want := range map[string]Weight{"": ByBytes, "bytes": ByBytes, "packets": ByPackets, "flows": ByFlows} {
		if got, err := ParseWeight(name); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for name, want := range map[string]Deduplicate{"": DeduplicateOff, "off": DeduplicateOff,
		"ingress": DeduplicateIngress,
		"rank":    DeduplicateRank} {
		if got, err := ParseDeduplicate(name); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{"byte": `; did you mean "bytes"?`, "BYTES ": `got "BYTES "`,
		"rate": `got "rate"`} {
		if _, err := ParseWeight(name); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.HasPrefix(err.Error(), "expected 'bytes', 'packets' or 'flows', got ") {
			t.Errorf("%q: %v, expected %q", name, err, want)
		}
	}
	for name, want := range map[string]string{"ingres": `; did you mean "ingress"?`, "egress": `got "egress"`} {
		if _, err := ParseDeduplicate(name); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.HasPrefix(err.Error(), "expected 'off', 'ingress' or 'rank', got ") {
			t.Errorf("%q: %v, expected %q", name, err, want)
		}
	}
}

// TestSampleOfTwins looks at about one flow in sixteen, always the same ones, and says of them what a
// look at all would.
func TestSampleOfTwins(t *testing.T) {
	twins := NewTwins(nil)
	const flows = 8000
	examined := 0
	for i := range flows {
		r := tcp("10.0.0.1", "10.0.0.2", uint16(i), 100, 0, time.Second)
		r.SrcPort = uint16(i >> 3)
		twin, first := twins.Sample(r)
		if twin {
			t.Fatalf("flow %d is said to be told of, and is the first", i)
		}
		other := *r
		other.Exporter = netip.MustParseAddr("2001:db8::2")
		again, second := twins.Sample(&other)
		if first != second || again != first {
			t.Fatalf("flow %d by another exporter: twin %v, examined %v and %v", i, again, first, second)
		}
		if own, _ := twins.Sample(r); own {
			t.Fatalf("flow %d by the first exporter again is said to be a twin", i)
		}
		if first {
			examined++
		}
	}
	if want := flows / 16; examined < want*8/10 || examined > want*12/10 {
		t.Errorf("%d of %d flows are looked at, expected about %d", examined, flows, want)
	}
}
