package nffilter

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// numberTest is a test of a number: its words, the highest number that its information element,
// or its place in nfdump's files, can have, and how a flow gets one.
type numberTest struct {
	words   string
	most    uint64
	ordered bool // < and > make sense
	set     func(r *flow.Record, c *Context, v uint64)
}

// has makes a field present.
func has(r *flow.Record, f flow.Field) { r.Present.Add(f) }

// numberTests are the tests of numbers, each side by itself.
var numberTests = []numberTest{
	{"proto", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.Proto = uint8(v) }},
	{"tun proto", 255, true,
		func(r *flow.Record, _ *Context, v uint64) { r.TunProto = uint8(v); has(r, flow.TunProto) }},
	{"src port", 65535, true, func(r *flow.Record, _ *Context, v uint64) { r.SrcPort = uint16(v) }},
	{"dst port", 65535, true, func(r *flow.Record, _ *Context, v uint64) { r.DstPort = uint16(v) }},
	{"src_port", 65535, true, func(r *flow.Record, _ *Context, v uint64) { r.SrcPort = uint16(v) }},
	{"tos", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.SrcTOS = uint8(v) }},
	{"src tos", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.SrcTOS = uint8(v) }},
	{"dst tos", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.DstTOS = uint8(v); has(r, flow.DstTOS) }},
	{"src vlan", 65535, false,
		func(r *flow.Record, _ *Context, v uint64) { r.SrcVLAN = uint16(v); has(r, flow.SrcVLAN) }},
	{"dst vlan", 65535, false,
		func(r *flow.Record, _ *Context, v uint64) { r.DstVLAN = uint16(v); has(r, flow.DstVLAN) }},
	{"src mask", 255, false, func(r *flow.Record, _ *Context, v uint64) { r.SrcMask = uint8(v); has(r, flow.SrcMask) }},
	{"dst mask", 255, false, func(r *flow.Record, _ *Context, v uint64) { r.DstMask = uint8(v); has(r, flow.DstMask) }},
	{"min ttl", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.MinTTL = uint8(v); has(r, flow.MinTTL) }},
	{"max ttl", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.MaxTTL = uint8(v); has(r, flow.MaxTTL) }},
	{"ttl", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.MaxTTL = uint8(v); has(r, flow.MaxTTL) }},
	{"ethertype", 65535, false, func(r *flow.Record, _ *Context, v uint64) { element(r, 256, 2, v) }},
	{"flowlabel", 1<<20 - 1, false, func(r *flow.Record, _ *Context, v uint64) { element(r, 31, 4, v) }},

	{"packets", math.MaxUint64, true, func(r *flow.Record, _ *Context, v uint64) { r.Packets = v }},
	{"in packets", math.MaxUint64, true, func(r *flow.Record, _ *Context, v uint64) { r.Packets = v }},
	{"out packets", math.MaxUint64, true, func(r *flow.Record, _ *Context, v uint64) { r.RevPackets = v }},
	{"bytes", math.MaxUint64, true, func(r *flow.Record, _ *Context, v uint64) { r.Bytes = v }},
	{"in bytes", math.MaxUint64, true, func(r *flow.Record, _ *Context, v uint64) { r.Bytes = v }},
	{"out bytes", math.MaxUint64, true, func(r *flow.Record, _ *Context, v uint64) { r.RevBytes = v }},
	{"flows", math.MaxUint64, true, func(r *flow.Record, _ *Context, v uint64) { r.Flows = v; has(r, flow.Flows) }},
	{"count", math.MaxUint64, true, func(_ *flow.Record, c *Context, v uint64) { c.Count = v }},
	{"client latency", math.MaxUint64, true, func(_ *flow.Record, c *Context, v uint64) { c.ClientLatency = v }},
	{"server latency", math.MaxUint64, true, func(_ *flow.Record, c *Context, v uint64) { c.ServerLatency = v }},
	{"app latency", math.MaxUint64, true, func(_ *flow.Record, c *Context, v uint64) { c.AppLatency = v }},

	{"in if", math.MaxUint32, false,
		func(r *flow.Record, _ *Context, v uint64) { r.Input = uint32(v); has(r, flow.Input) }},
	{"out if", math.MaxUint32, false,
		func(r *flow.Record, _ *Context, v uint64) { r.Output = uint32(v); has(r, flow.Output) }},
	{"src as", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { r.SrcAS = uint32(v); has(r, flow.SrcAS) }},
	{"dst as", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { r.DstAS = uint32(v); has(r, flow.DstAS) }},
	{"next as", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { r.NextAS = uint32(v); has(r, flow.NextAS) }},
	{"prev as", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { r.PrevAS = uint32(v); has(r, flow.PrevAS) }},
	{"previous as", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { r.PrevAS = uint32(v); has(r, flow.PrevAS) }},
	{"fwdstat", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.FwdStatus = uint8(v) }},
	{"flowdir", 1, false,
		func(r *flow.Record, _ *Context, v uint64) { r.Direction = uint8(v); has(r, flow.Direction) }},
	{"dir", 1, false, func(r *flow.Record, _ *Context, v uint64) { r.Direction = uint8(v); has(r, flow.Direction) }},
	{"engine-type", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.EngineType = uint8(v) }},
	{"engine type", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.EngineType = uint8(v) }},
	{"engine-id", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.EngineID = uint8(v) }},
	{"engine id", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.EngineID = uint8(v) }},
	{"sysid", math.MaxUint32, false, func(_ *flow.Record, c *Context, v uint64) { c.SysID = uint32(v) }},
	{"exporter id", math.MaxUint32, false, func(_ *flow.Record, c *Context, v uint64) { c.SysID = uint32(v) }},
	{"exporter sysid", math.MaxUint32, false, func(_ *flow.Record, c *Context, v uint64) { c.SysID = uint32(v) }},
	{"observation domain id", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { r.Domain = uint32(v) }},
	{"observation point id", math.MaxUint64, true,
		func(r *flow.Record, _ *Context, v uint64) { r.ObservationPoint = v; has(r, flow.ObservationPoint) }},
	{"ingress vrf", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { r.IngressVRF = uint32(v); has(r, flow.IngressVRF) }},
	{"egress vrf", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { r.EgressVRF = uint32(v); has(r, flow.EgressVRF) }},
	{"ingress acl", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { setACL(r, &r.IngressACL, 0, v) }},
	{"ingress ace", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { setACL(r, &r.IngressACL, 4, v) }},
	{"ingress xace", math.MaxUint32, true,
		func(r *flow.Record, _ *Context, v uint64) { setACL(r, &r.IngressACL, 8, v) }},
	{"egress acl", math.MaxUint32, true, func(r *flow.Record, _ *Context, v uint64) { setACL(r, &r.EgressACL, 0, v) }},
	{"egress ace", math.MaxUint32, true, func(r *flow.Record, _ *Context, v uint64) { setACL(r, &r.EgressACL, 4, v) }},
	{"egress xace", math.MaxUint32, true, func(r *flow.Record, _ *Context, v uint64) { setACL(r, &r.EgressACL, 8, v) }},

	{"asa event", 255, true, func(r *flow.Record, _ *Context, v uint64) { r.FwEvent = uint8(v); has(r, flow.FwEvent) }},
	{"asa event denied", 65535, false, setXEvent},
	{"asa denied", 65535, false, setXEvent},
	{"asa xevent", 65535, true, setXEvent},
	{"nat event", 255, true,
		func(r *flow.Record, _ *Context, v uint64) { r.NATEvent = uint8(v); has(r, flow.NATEvent) }},
	{"src xport", 65535, true, setXlateSPort},
	{"dst xport", 65535, true, setXlateDPort},
	{"src nport", 65535, true, setXlateSPort},
	{"dst nat port", 65535, true, setXlateDPort},
	{"pblock start", 65535, true, func(r *flow.Record, _ *Context, v uint64) { setBlock(r, 0, v) }},
	{"pblock end", 65535, true, func(r *flow.Record, _ *Context, v uint64) { setBlock(r, 1, v) }},
	{"pblock step", 65535, true, func(r *flow.Record, _ *Context, v uint64) { setBlock(r, 2, v) }},
	{"pblock size", 65535, true, func(r *flow.Record, _ *Context, v uint64) { setBlock(r, 3, v) }},
	{"nat pblock start", 65535, true, func(r *flow.Record, _ *Context, v uint64) { setBlock(r, 0, v) }},
	{"nat pblock end", 65535, true, func(r *flow.Record, _ *Context, v uint64) { setBlock(r, 1, v) }},
	{"nat pblock step", 65535, true, func(r *flow.Record, _ *Context, v uint64) { setBlock(r, 2, v) }},
	{"nat pblock size", 65535, true, func(r *flow.Record, _ *Context, v uint64) { setBlock(r, 3, v) }},
}

// element appends an element of IANA's that no field has.
func element(r *flow.Record, id uint16, size int, v uint64) {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(v >> (8 * (size - 1 - i)))
	}
	r.Extra = append(r.Extra, flow.Element{ID: id, Value: b})
}

// setACL puts one of the three numbers of an access list (NSEL's elements 33000 and 33001).
func setACL(r *flow.Record, list *[12]byte, at int, v uint64) {
	list[at], list[at+1], list[at+2], list[at+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
	has(r, flow.IngressACL)
	has(r, flow.EgressACL)
}

func setBlock(r *flow.Record, at int, v uint64) {
	r.PortBlock[at] = uint16(v)
	has(r, flow.PortBlock)
}

func setXEvent(r *flow.Record, _ *Context, v uint64) {
	r.FwXEvent = uint16(v)
	has(r, flow.FwXEvent)
}

func setXlateSPort(r *flow.Record, _ *Context, v uint64) {
	r.XlateSPort = uint16(v)
	has(r, flow.XlateSPort)
}

func setXlateDPort(r *flow.Record, _ *Context, v uint64) {
	r.XlateDPort = uint16(v)
	has(r, flow.XlateDPort)
}

// allNumberTests returns numberTests and those of the label stack, whose entries have 20 bits of
// label and 3 of experimental use (RFC 3032, section 2.1).
func allNumberTests() []numberTest {
	list := numberTests
	for i := range 10 {
		label := func(shift int) func(*flow.Record, *Context, uint64) {
			return func(r *flow.Record, _ *Context, v uint64) {
				r.MPLS[i], r.MPLSDepth = uint32(v)<<shift, uint8(i+1)
				has(r, flow.MPLS)
			}
		}
		list = append(list, numberTest{fmt.Sprintf("mpls label%d", i+1), 1<<20 - 1, true, label(4)},
			numberTest{fmt.Sprintf("mpls exp%d", i+1), 7, true, label(1)})
		if i == 4 {
			list = append(list, numberTest{"mpls eos", 1<<20 - 1, true, label(4)})
		}
	}
	return list
}

// flowWith returns a flow with a number, and what a file says besides.
func (n *numberTest) flowWith(v uint64) (flow.Record, Context) {
	r, c := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2")}), Context{}
	n.set(&r, &c, v)
	return r, c
}

// TestNumbersCompare tries each comparison of each test with numbers around that of the flow.
func TestNumbersCompare(t *testing.T) {
	compare := map[string]func(a, b uint64) bool{
		"": equals64, "= ": equals64, "== ": equals64, "eq ": equals64,
		"!= ": func(a, b uint64) bool { return a != b }, "ne ": func(a, b uint64) bool { return a != b },
		"< ": func(a, b uint64) bool { return a < b }, "lt ": func(a, b uint64) bool { return a < b },
		"> ": func(a, b uint64) bool { return a > b }, "GT ": func(a, b uint64) bool { return a > b },
		"<= ": func(a, b uint64) bool { return a <= b }, "le ": func(a, b uint64) bool { return a <= b },
		">= ": func(a, b uint64) bool { return a >= b }, "ge ": func(a, b uint64) bool { return a >= b },
	}
	for _, n := range allNumberTests() {
		numbers := []uint64{1, n.most/2 + 1, n.most} // 0 may be what is missing
		for sign, holds := range compare {
			for _, b := range append(numbers, 0) {
				text := fmt.Sprintf("%s %s%d", n.words, sign, b)
				f, err := Parse(text, Options{})
				if order := strings.ContainsAny(strings.ToLower(sign), "<>lg"); order && !n.ordered {
					if err == nil || !strings.Contains(err.Error(), "has no order: only '=' and '!=' make sense") {
						t.Errorf("%s: got %v", text, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", text, err)
					continue
				}
				for _, a := range numbers {
					if r, c := n.flowWith(a); f.Match(&r, &c) != holds(a, b) {
						t.Errorf("%s: of a flow with %d got %v", text, a, !holds(a, b))
					}
				}
			}
		}
	}
}

func equals64(a, b uint64) bool { return a == b }

// TestNumbersInLists looks numbers up in lists that are not sorted and have some of them twice.
func TestNumbersInLists(t *testing.T) {
	for _, n := range allNumberTests() {
		f := mustParse(t, fmt.Sprintf("%s in [%d, 1 0x0 1 %d]", n.words, n.most, n.most))
		for _, v := range []uint64{1, n.most / 2, n.most} {
			r, c := n.flowWith(v)
			if want := v <= 1 || v == n.most; f.Match(&r, &c) != want && v != 0 {
				t.Errorf("%s: of %d got %v", n.words, v, !want)
			}
		}
	}
}

// TestNumbersEnd takes the highest number of each test, and refuses the next with its bound.
func TestNumbersEnd(t *testing.T) {
	for _, n := range allNumberTests() {
		for _, form := range []string{"%s %s", "%s != %s", "%s in [0 %s]"} {
			if _, err := Parse(fmt.Sprintf(form, n.words, fmt.Sprint(n.most)), Options{}); err != nil {
				t.Errorf("%s: %v", n.words, err)
			}
			next := new(big.Int).Add(new(big.Int).SetUint64(n.most), big.NewInt(1))
			text := fmt.Sprintf(form, n.words, next)
			want := fmt.Sprintf("expected a number from 0 to %d after '", n.most)
			if n.most == math.MaxUint64 {
				want = "expected a number after '"
			}
			_, err := Parse(text, Options{})
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ", got ") {
				t.Errorf("%s: expected %q, got %v", text, want, err)
			}
		}
	}
}

// TestWhatIsMissingMatchesNothing: a flow without a field is not one with 0, but where nfdump's
// files have a place for it in every flow.
func TestWhatIsMissingMatchesNothing(t *testing.T) {
	always := []string{"proto", "src port", "dst port", "src_port", "tos", "src tos", "packets", "in packets",
		"out packets", "bytes", "in bytes", "out bytes", "fwdstat", "engine-type", "engine type", "engine-id",
		"engine id", "observation domain id"}
	r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2")})
	for _, n := range allNumberTests() {
		want := n.words == "flows" // 1 without an element
		for _, words := range always {
			want = want || n.words == words
		}
		zero := mustParse(t, n.words+" in [0 1]")
		if got := zero.Match(&r, nil); got != want {
			t.Errorf("%s 0: of a flow without it got %v", n.words, got)
		}
		if other := mustParse(t, "not "+n.words+" in [0 1]"); other.Match(&r, nil) == want {
			t.Errorf("not %s 0: of a flow without it got %v", n.words, want)
		}
	}
}

// TestParseNumberIsThatOfBigNumbers compares with math/big, which has no bound.
func TestParseNumberIsThatOfBigNumbers(t *testing.T) {
	thousand := big.NewInt(1000)
	rng := rand.New(rand.NewPCG(7, 8))
	most := new(big.Int).SetUint64(math.MaxUint64)
	digits := []string{"0", "1", "18446744073709551615", "18446744073709551616", "18446744073709551",
		"18446744073709552", "18446744073709", "18446744073710", "18446744073", "18446744074", "18446744", "18446745",
		"00012", "999999999999999999999999999"}
	for range 200 {
		digits = append(digits, fmt.Sprint(rng.Uint64()>>rng.IntN(64)))
	}
	for _, d := range digits {
		for power, suffix := range []string{"", "k", "m", "g", "t"} {
			for _, s := range []string{d + suffix, d + strings.ToUpper(suffix)} {
				want, _ := new(big.Int).SetString(d, 10)
				for range power {
					want.Mul(want, thousand)
				}
				got, ok := parseNumber(s)
				if ok != (want.Cmp(most) <= 0) || ok && got != want.Uint64() {
					t.Errorf("%s: got %d, %v, expected %s", s, got, ok, want)
				}
			}
		}
		hex, _ := new(big.Int).SetString(d, 16)
		if got, ok := parseNumber("0X" + d); ok != (hex.Cmp(most) <= 0) || ok && got != hex.Uint64() {
			t.Errorf("0X%s: got %d, %v, expected %s", d, got, ok, hex)
		}
	}
	for _, bad := range []string{"", "k", "K", "0x", "0xg", "-1", "+1", "1.5", "1e3", "1kk", "1_000", " 1", "1 ", "t1",
		"0b1", "1p", "12x", "0xfk"} {
		if v, ok := parseNumber(bad); ok {
			t.Errorf("%q is taken for %d", bad, v)
		}
	}
}
