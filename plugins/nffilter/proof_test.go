package nffilter

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// keysOf returns what has says of some flows, exactly.
func keysOf(flows []flow.Record) func(Key) bool {
	keys := map[Key]bool{}
	for i := range flows {
		EachKey(&flows[i], func(k Key) { keys[k] = true })
	}
	return func(k Key) bool { return keys[k] }
}

// TestCanMatch: what keys must be there for a filter.
func TestCanMatch(t *testing.T) {
	flows := []flow.Record{
		sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("192.0.2.1"), SrcPort: 1000, DstPort: 443, SrcAS: 65001,
			DstAS: 65002}, flow.SrcAS, flow.DstAS),
		sent(flow.Record{Src: ip("2001:db8::1"), Dst: ip("2001:db8::2"), SrcPort: 1001, DstPort: 53,
			XlateSrc: ip("198.51.100.1"), TunDst: ip("203.0.113.9")}, flow.XlateSrc, flow.TunDst),
	}
	for text, want := range map[string]bool{
		"ip 10.0.0.1": true, "ip 10.0.0.2": false, "src ip 192.0.2.1": true, "not ip 10.0.0.2": true,
		"not ip 10.0.0.1": true, "ip 10.0.0.1 and ip 10.0.0.2": false, "ip 10.0.0.1 or ip 10.0.0.2": true,
		"ip 10.0.0.9 or ip 10.0.0.2": false, "not (not ip 10.0.0.2)": false, "ip in [10.0.0.7 10.0.0.1]": true,
		"ip in [10.0.0.7 10.0.0.8]": false, "net 10.9.0.0/16": true, "net 10.9.0.0/30": false, "net 10.0.0.0/30": true,
		"port 443": true, "port 444": false, "port > 444": true, "port in [1 2 3]": false, "port in [1 2 53]": true,
		"src port 53": true, "not port 444": true, "as 65001": true, "src as 65003": false, "as > 1": true,
		"any": true, "proto tcp": true, "proto tcp and port 444": false, "proto tcp or port 444": true,
		"ip 2001:db8::1": true, "ip 2001:db8::9": false, "net 2001:db8::/126": true, "net 2001:db8:1::/64": true,
		"nat ip 198.51.100.1": true, "nat ip 10.0.0.1": false, "tun ip 203.0.113.9": true, "tun ip 10.0.0.1": false,
		"router ip 10.9.9.9": true, "ip != 10.0.0.1": true,
		"(ip 10.0.0.1 and port 9) or (port 443 and ip 10.0.0.5)": false,
	} {
		f := mustParse(t, text)
		if got := f.CanMatch(keysOf(flows)); got != want {
			t.Errorf("%s: %v, expected %v", text, got, want)
		}
	}
	for text, want := range map[string]bool{"ip 10.0.0.1": true, "not ip 10.0.0.1": false, "proto tcp": false,
		"proto tcp and (port 80 or as 1)": true, "port 80 or bytes > 5": false} {
		if got := mustParse(t, text).Selective(); got != want {
			t.Errorf("%s: selective %v, expected %v", text, got, want)
		}
	}
}

// randomFilter returns an expression of tests over few values.
func randomFilter(rng *rand.Rand, depth int) string {
	side := [...]string{"", "src ", "dst "}[rng.IntN(3)]
	if depth > 0 && rng.IntN(4) > 0 {
		a, b := randomFilter(rng, depth-1), randomFilter(rng, depth-1)
		switch rng.IntN(3) {
		case 0:
			return "not (" + a + ")"
		case 1:
			return "(" + a + " and " + b + ")"
		}
		return "(" + a + " or " + b + ")"
	}
	n := rng.IntN(12)
	switch rng.IntN(9) {
	case 0:
		return fmt.Sprintf("%sip 10.0.0.%d", side, n)
	case 1:
		return fmt.Sprintf("%sip 2001:db8::%d", side, n)
	case 2:
		return fmt.Sprintf("%sport %d", side, n)
	case 3:
		return fmt.Sprintf("%sport in [%d %d]", side, n, rng.IntN(12))
	case 4:
		return fmt.Sprintf("%sas %d", side, n)
	case 5:
		return fmt.Sprintf("%snet 10.0.0.%d/30", side, n)
	case 6:
		return fmt.Sprintf("%sport > %d", side, n)
	case 7:
		return fmt.Sprintf("%snat ip 10.0.0.%d", side, n)
	}
	return [...]string{"proto tcp", "bytes > 100", "any", "ipv6", "tun ip 10.0.0.3", "ip in [10.0.0.1 10.0.0.2]",
		"as in [1 2 3]", "src as != 4"}[rng.IntN(8)]
}

// randomFlow returns a flow of few values.
func randomFlow(rng *rand.Rand) flow.Record {
	address := func() netip.Addr {
		if rng.IntN(2) == 0 {
			return ip(fmt.Sprintf("10.0.0.%d", rng.IntN(12)))
		}
		return ip(fmt.Sprintf("2001:db8::%d", rng.IntN(12)))
	}
	r := flow.Record{Src: address(), Dst: address(), SrcPort: uint16(rng.IntN(12)), DstPort: uint16(rng.IntN(12)),
		Proto: uint8(6 + 11*rng.IntN(2)), Bytes: uint64(rng.IntN(200)), SrcAS: uint32(rng.IntN(6)),
		DstAS: uint32(rng.IntN(6))}
	if rng.IntN(3) == 0 {
		return sent(r)
	}
	r.XlateSrc, r.TunSrc = address(), address()
	return sent(r, flow.SrcAS, flow.DstAS, flow.XlateSrc, flow.TunSrc)
}

// Flows of which CanMatch says that none can match hold none that does, whatever the
// filter and whatever they are.
func TestWhatIsPassedOverHoldsNoMatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	passed, matches, needles := 0, 0, 0
	for range 20000 {
		text := strings.TrimSpace(randomFilter(rng, 3))
		f, err := Parse(text, Options{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		flows := make([]flow.Record, 1+rng.IntN(4))
		for i := range flows {
			flows[i] = randomFlow(rng)
		}
		can := f.CanMatch(keysOf(flows))
		if !can {
			passed++
		}
		for i := range flows {
			if !f.Match(&flows[i], nil) {
				continue
			}
			matches++
			if !can {
				t.Fatalf("%s matches %+v and is said not to", text, flows[i])
			}
			if any := f.Needles(); any != nil {
				needles++
				if !hasNeedle(f, any, &flows[i]) {
					t.Fatalf("%s matches %+v, which has none of %v", text, flows[i], any)
				}
			}
		}
	}
	if passed < 1000 || matches < 1000 || needles < 100 {
		t.Errorf("%d times nothing can match, %d flows match, %d with a needle: the test shows nothing", passed, matches,
			needles)
	}
}

// hasNeedle says whether a field that the filter reads, source or destination, is one of the
// needles.
func hasNeedle(f *Filter, needles []flow.Value, r *flow.Record) bool {
	fields := f.Fields()
	return fields.Has(flow.Src) && slices.Contains(needles, flow.ValueOf(r.Src)) ||
		fields.Has(flow.Dst) && slices.Contains(needles, flow.ValueOf(r.Dst))
}

// TestNeedles: which addresses no flow that matches can do without.
func TestNeedles(t *testing.T) {
	for text, want := range map[string][]string{
		"ip 10.0.0.1":                                          {"10.0.0.1"},
		"src ip 10.0.0.1 and port 80":                          {"10.0.0.1"},
		"port 80 and dst ip 2001:db8::1":                       {"2001:db8::1"},
		"ip 10.0.0.1 or ip 10.0.0.2":                           {"10.0.0.1", "10.0.0.2"},
		"net 10.0.0.4/31 and proto tcp":                        {"10.0.0.4", "10.0.0.5"},
		"src ip 10.0.0.1 and dst ip 10.0.0.2":                  {"10.0.0.1"},
		"ip in [10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5]": nil, // too many
		"net 10.0.0.0/8":                                       nil, "not ip 10.0.0.1": nil,
		"ip 10.0.0.1 or port 80": nil, "any": nil,
		"router ip 10.0.0.1": nil, "nat ip 10.0.0.1": nil,
	} {
		var got []string
		for _, v := range mustParse(t, text).Needles() {
			got = append(got, v.Addr().Unmap().String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, expected %v", text, got, want)
		}
	}
}
