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

// judge is a filter that is told beside the package: what it says of a flow.
type judge func(r *flow.Record, c *Context) bool

// oracle writes filters and judges them, without a look at the package.
type oracle struct{ *rand.Rand }

// filter returns a filter and its judge. Texts of blanks, comments, operators in both spellings and
// parentheses without need are put between.
func (o oracle) filter(depth int) (string, judge) {
	if depth == 0 || o.IntN(4) == 0 {
		return o.test()
	}
	switch o.IntN(4) {
	case 0:
		text, is := o.filter(depth - 1)
		return o.pick("not ", "NOT  ", "! ", "!") + "(" + text + ")",
			func(r *flow.Record, c *Context) bool { return !is(r, c) }
	case 1:
		return o.chain(depth, "and", "&&", func(all []judge, r *flow.Record, c *Context) bool {
			return !slices.ContainsFunc(all, func(is judge) bool { return !is(r, c) })
		})
	}
	return o.chain(depth, "or", "||", func(all []judge, r *flow.Record, c *Context) bool {
		return slices.ContainsFunc(all, func(is judge) bool { return is(r, c) })
	})
}

// chain joins two to four filters. Those of "and" bind more than those of "or", so that each is in
// parentheses unless it is a test.
func (o oracle) chain(depth int, word, sign string, of func([]judge, *flow.Record, *Context) bool) (string, judge) {
	var b strings.Builder
	var all []judge
	for i := range 2 + o.IntN(3) {
		text, is := o.filter(depth - 1)
		all = append(all, is)
		if i > 0 {
			b.WriteString(o.pick(" ", "\n", "\t", " # a comment: and ) or (\n") +
				o.pick(word, sign, strings.ToUpper(word)) + " ")
		}
		if o.IntN(3) == 0 {
			text = o.pick("(", "( ", "%label (") + text + ")"
		} else {
			text = "(" + text + o.pick(")", " ) %label")
		}
		b.WriteString(text)
	}
	return b.String(), func(r *flow.Record, c *Context) bool { return of(all, r, c) }
}

// pick returns one of some texts.
func (o oracle) pick(texts ...string) string { return texts[o.IntN(len(texts))] }

// test returns a test and its judge.
func (o oracle) test() (string, judge) {
	switch n := uint64(o.IntN(4)); o.IntN(8) {
	case 0:
		return fmt.Sprint("src port ", n), func(r *flow.Record, _ *Context) bool { return uint64(r.SrcPort) == n }
	case 1:
		return fmt.Sprint("port > ", n), func(r *flow.Record, _ *Context) bool {
			return uint64(r.SrcPort) > n || uint64(r.DstPort) > n
		}
	case 2:
		return fmt.Sprint("src and dst port < ", n), func(r *flow.Record, _ *Context) bool {
			return uint64(r.SrcPort) < n && uint64(r.DstPort) < n
		}
	case 3:
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})
		return fmt.Sprint("ip ", a), func(r *flow.Record, _ *Context) bool { return r.Src == a || r.Dst == a }
	case 4:
		p := netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/%d", n, 29+o.IntN(4)))
		return fmt.Sprint("dst net ", p), func(r *flow.Record, _ *Context) bool { return p.Contains(r.Dst) }
	case 5:
		return fmt.Sprintf("bytes in [%d %d]", n, n+2), func(r *flow.Record, _ *Context) bool {
			return r.Bytes == n || r.Bytes == n+2
		}
	case 6:
		return fmt.Sprint("src vlan != ", n), func(r *flow.Record, _ *Context) bool {
			return !r.Has(flow.SrcVLAN) || uint64(r.SrcVLAN) != n
		}
	}
	if o.IntN(2) == 0 {
		return "any", func(*flow.Record, *Context) bool { return true }
	}
	return "count >= 2", func(_ *flow.Record, c *Context) bool { return c.Count >= 2 }
}

// flow returns a flow of few values.
func (o oracle) flow() (*flow.Record, *Context) {
	address := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(o.IntN(8))}) }
	r := sent(flow.Record{Src: address(), Dst: address(), SrcPort: uint16(o.IntN(5)), DstPort: uint16(o.IntN(5)),
		Proto: 6,
		Bytes: uint64(o.IntN(6)), SrcVLAN: uint16(o.IntN(4))})
	if o.IntN(2) == 0 {
		r.Present.Add(flow.SrcVLAN)
	}
	return &r, &Context{Count: uint64(o.IntN(4))}
}

// TestProgramsAreWhatTheFiltersSay compares thousands of filters with what they mean, told by Go's
// own operators, and with themselves after a second and a third negation.
func TestProgramsAreWhatTheFiltersSay(t *testing.T) {
	o := oracle{rand.New(rand.NewPCG(11, 12))}
	matches, fails := 0, 0
	for range 3000 {
		text, is := o.filter(4)
		f, err := Parse(text, Options{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		opposite := mustParse(t, "not (\n"+text+"\n)")
		for range 20 {
			r, c := o.flow()
			want := is(r, c)
			if want {
				matches++
			} else {
				fails++
			}
			if got := f.Match(r, c); got != want || opposite.Match(r, c) == want {
				t.Fatalf("%s: %v of %+v, %+v, expected %v", text, got, r, c, want)
			}
		}
	}
	if min(matches, fails) < 5000 {
		t.Errorf("%d matches and %d others: the test shows little", matches, fails)
	}
}

// TestPrecedence: "and" binds more than "or", "not" more than both, and alternatives go from the left.
func TestPrecedence(t *testing.T) {
	for text, want := range map[string]string{
		"A or B and C":         "(A or (B and C))",
		"A and B or C":         "((A and B) or C)",
		"not A and B":          "((not A) and B)",
		"not A or B":           "((not A) or B)",
		"A or not B and C":     "(A or ((not B) and C))",
		"A or B or C":          "(A or B or C)",
		"A and B and C":        "(A and B and C)",
		"A and (B or C)":       "(A and (B or C))",
		"not (A or B) and C":   "((not (A or B)) and C)",
		"A or B and C or D":    "(A or (B and C) or D)",
		"(A or B) and (C or D": "",
		"not not A or B":       "((not (not A)) or B)",
	} {
		replace := strings.NewReplacer("A", "src port 1", "B", "src port > 1", "C", "dst port 1", "D", "dst port > 1")
		f, err := Parse(replace.Replace(text), Options{})
		if want == "" {
			if err == nil {
				t.Errorf("%s is taken", text)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		explicit := mustParse(t, replace.Replace(want))
		for a := range uint16(3) {
			for b := range uint16(3) {
				r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2"), SrcPort: a, DstPort: b})
				if f.Match(&r, nil) != explicit.Match(&r, nil) {
					t.Errorf("%s is not %s, of ports %d and %d", text, want, a, b)
				}
			}
		}
	}
}

// TestDerivedNumbers: rates, lengths and durations, by the arithmetic of whole numbers, without an
// overflow and without a division by zero.
func TestDerivedNumbers(t *testing.T) {
	const most = ^uint64(0)
	for _, c := range []struct {
		first, last    uint64 // milliseconds behind base
		packets, bytes uint64
		rate           uint32
		want           string // name number, ...
	}{
		{0, 1000, 10, 1000, 0, "duration 1000 bps 8000 pps 10 bpp 100 scaled_bytes 1000 scaled_packets 10"},
		{0, 1000, 3, 1000, 100, "bps 8000 pps 3 bpp 333 scaled_bytes 100000 scaled_packets 300"},
		{0, 3, 1, 1, 1, "duration 3 bps 2666 pps 333 bpp 1 scaled_bytes 1"},
		{0, 0, 5, 500, 0, "duration 0 bps 0 pps 0 bpp 100"},
		{1000, 0, 5, 500, 0, "duration 0 bps 0 pps 0"},
		{0, 1, 0, 77, 0, "duration 1 bps 616000 pps 0 bpp 0"},
		{0, 2, most, most, 2, "bpp 1 scaled_bytes 18446744073709551615 scaled_packets 18446744073709551615"},
		{0, 2, 1, most, 0, "bps 9223372036854775807 bpp 18446744073709551615"},
		{0, 86400000, 864000, 86400, 0, "duration 86400000 bps 8 pps 10"},
	} {
		r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2"), First: base + flow.Milli(c.first), Last: base +
			flow.Milli(c.last), Packets: c.packets, Bytes: c.bytes, SamplingRate: c.rate})
		words := strings.Fields(c.want)
		for i := 0; i < len(words); i += 2 {
			words[i] = strings.ReplaceAll(words[i], "_", " ")
			if text := words[i] + " = " + words[i+1]; !mustParse(t, text).Match(&r, nil) {
				t.Errorf("%s does not match %+v", text, c)
			}
			if text := words[i] + " > " + words[i+1]; mustParse(t, text).Match(&r, nil) {
				t.Errorf("%s matches %+v", text, c)
			}
		}
	}
}

// TestBothSides: without a side either matches, "src and dst" are both, and src tos is that of a
// flow where none is asked for.
func TestBothSides(t *testing.T) {
	flows := map[string][2]uint64{"neither": {1, 1}, "source": {7, 1}, "destination": {1, 7}, "both": {7, 7}}
	for _, kind := range []string{"port", "vlan", "mask", "as", "xport", "nat port", "nport"} {
		for text, want := range map[string][]string{
			kind + " 7": {"source", "destination", "both"}, "src " + kind + " 7": {"source", "both"},
			"dst " + kind + " 7": {"destination", "both"}, "src or dst " + kind +
				" 7": {"source", "destination", "both"},
			"dst and src " + kind + " 7": {"both"}, "not " + kind + " 7": {"neither"}, kind + " != 7": {"neither"},
			"src and dst " + kind + " != 7":  {"neither", "source", "destination"},
			"src or dst " + kind + " in [7]": {"source", "destination", "both"},
		} {
			f := mustParse(t, text)
			for name, v := range flows {
				a, b := v[0], v[1]
				r := sent(flow.Record{SrcPort: uint16(a), DstPort: uint16(b), SrcVLAN: uint16(a), DstVLAN: uint16(b),
					SrcMask: uint8(a), DstMask: uint8(b), SrcAS: uint32(a), DstAS: uint32(b), XlateSPort: uint16(a),
					XlateDPort: uint16(b)}, flow.SrcVLAN, flow.DstVLAN, flow.SrcMask, flow.DstMask, flow.SrcAS,
					flow.DstAS,
					flow.XlateSPort, flow.XlateDPort)
				if got := f.Match(&r, nil); got != slices.Contains(want, name) {
					t.Errorf("%s: %v of the flow with %s", text, got, name)
				}
			}
		}
	}
}

// TestSidesOfTests: what may stand before each test, and what the message says where it may not.
func TestSidesOfTests(t *testing.T) {
	sides := []string{"src", "dst", "in", "out", "ingress", "egress", "scaled"}
	for test, may := range map[string]string{
		"ip 10.0.0.1": "src dst", "host 10.0.0.1": "src dst", "net 10.0.0.0/8": "src dst", "port 1": "src dst",
		"as 1":   "src dst",
		"vlan 1": "src dst", "mask 1": "src dst", "tos 1": "src dst", "xip 10.0.0.1": "src dst",
		"nat ip 10.0.0.1": "src dst",
		"tun ip 10.0.0.1": "src dst", "xnet 10.0.0.0/8": "src dst", "vm a": "src dst", "portgroup a": "src dst",
		"mac 00:00:5e:00:53:01": "src dst in out", "if 1": "in out", "if name a": "in out",
		"packets 1": "in out scaled",
		"bytes 1":   "in out scaled", "payload content a": "in out", "vrf 1": "ingress egress",
		"acl 1":  "ingress egress",
		"xace 1": "ingress egress", "proto tcp": "", "flags S": "", "duration 1": "", "bps 1": "",
		"next ip 10.0.0.1":   "",
		"router ip 10.0.0.1": "", "first seen 2026": "", "nat event 1": "", "asa event 1": "", "ident a": "",
		"mpls label1 1": "", "mpls exp10 1": "", "mpls eos 1": "",
		"flows 1": "", "dir 1": "", "count 1": "", "any": "", "ipv4": "", "user a": "", "exporter name a": "",
	} {
		for _, side := range sides {
			_, err := Parse(side+" "+test, Options{})
			if slices.Contains(strings.Fields(may), side) {
				if err != nil {
					t.Errorf("%s %s: %v", side, test, err)
				}
				continue
			}
			words, _, _ := strings.Cut(test, " ")
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(` has no %q`, side)) ||
				!strings.Contains(err.Error(), words) {
				t.Errorf("%s %s: got %v", side, test, err)
			} else if all := strings.ReplaceAll(may, " ", " "); may != "" &&
				!strings.Contains(err.Error(), "it has "+all) {
				t.Errorf("%s %s: it does not say that it has %s: %v", side, test, may, err)
			}
		}
	}
}
