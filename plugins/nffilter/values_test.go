package nffilter

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// flowAt returns a flow that begins and ends at a time.
func flowAt(t time.Time) *flow.Record {
	r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2"), First: flow.TimeOf(t), Last: flow.TimeOf(t)})
	return &r
}

// TestTimesAreThoseOfTheirZone compares the beginning and the end of each form of a time with what
// package time says, also where a day has 23 or 25 hours.
func TestTimesAreThoseOfTheirZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	for _, zone := range []*time.Location{time.UTC, berlin, time.FixedZone("", -(9*3600 + 1800))} {
		date := func(y int, m time.Month, d, h, min, s, ms int) time.Time {
			return time.Date(y, m, d, h, min, s, ms*1e6, zone)
		}
		for _, c := range []struct {
			text       string
			begin, end time.Time // the end is no part of it
		}{
			{"2026", date(2026, 1, 1, 0, 0, 0, 0), date(2027, 1, 1, 0, 0, 0, 0)},
			{"2026-02", date(2026, 2, 1, 0, 0, 0, 0), date(2026, 3, 1, 0, 0, 0, 0)},
			{"2024-02-29", date(2024, 2, 29, 0, 0, 0, 0), date(2024, 3, 1, 0, 0, 0, 0)},
			{"2026-03-29", date(2026, 3, 29, 0, 0, 0, 0), date(2026, 3, 30, 0, 0, 0, 0)},
			{"2026-10-25", date(2026, 10, 25, 0, 0, 0, 0), date(2026, 10, 26, 0, 0, 0, 0)},
			{"2026-12-31T23", date(2026, 12, 31, 23, 0, 0, 0), date(2027, 1, 1, 0, 0, 0, 0)},
			{"2026-06-30t13:59", date(2026, 6, 30, 13, 59, 0, 0), date(2026, 6, 30, 14, 0, 0, 0)},
			{"2026-06-30T13:59:59", date(2026, 6, 30, 13, 59, 59, 0), date(2026, 6, 30, 14, 0, 0, 0)},
			{"2026-06-30T13:59:59.999", date(2026, 6, 30, 13, 59, 59, 999), date(2026, 6, 30, 14, 0, 0, 0)},
			{"2026-06-30T13:59:59.5", date(2026, 6, 30, 13, 59, 59, 500), date(2026, 6, 30, 13, 59, 59, 501)},
			{"'2026-06-30'", date(2026, 6, 30, 0, 0, 0, 0), date(2026, 7, 1, 0, 0, 0, 0)},
		} {
			for _, what := range []string{"first seen", "last seen"} {
				for sign, want := range map[string][4]bool{ // before it, at its begin, at its end, behind it
					"": {false, true, true, false}, "=": {false, true, true, false}, "!=": {true, false, false, true},
					"<": {true, false, false, false}, ">=": {false, true, true, true}, ">": {false, false, true, true},
					"<=": {true, true, false, false},
				} {
					f, err := Parse(what+" "+sign+" "+c.text, Options{Location: zone})
					if err != nil {
						t.Errorf("%s %s %s: %v", what, sign, c.text, err)
						continue
					}
					for i, at := range []time.Time{c.begin.Add(-time.Millisecond), c.begin,
						c.end.Add(-time.Millisecond), c.end} {
						if one := c.end.Sub(c.begin) == time.Millisecond; one && i == 2 {
							continue // its begin is its end
						}
						if got := f.Match(flowAt(at), nil); got != want[i] {
							t.Errorf("%s %s %s in %s: %v of a flow at %s", what, sign, c.text, zone, got, at)
						}
					}
				}
			}
		}
	}
}

// TestTimesThatAreNone are refused with an example of one.
func TestTimesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "yesterday", "2026-13", "2026-02-30", "2026-1-1", "26", "2026-01-01T24",
		"2026-01-01T10:60", "2026-01-01T10:00:60", "2026-01-01T10.5", "20260101", "2026-01-01T10:00:00Z", "1767225600",
		"(2026)", "[2026]", "2026/01/01", "10000"} {
		_, err := Parse("first seen > "+text, Options{Location: time.UTC})
		if err == nil || !strings.Contains(err.Error(), "expected a time like 2026-11-28T13:30:00, or less of it") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// TestNetworksAreThoseOfNetip compares networks in each notation with net/netip's.
func TestNetworksAreThoseOfNetip(t *testing.T) {
	addresses := []string{"0.0.0.0", "9.255.255.255", "10.0.0.0", "10.1.0.0", "10.1.2.3", "10.1.255.255", "10.2.0.0",
		"10.255.255.255", "11.0.0.0", "192.0.2.127", "192.0.2.128", "255.255.255.255", "::", "::1", "2001:db8::",
		"2001:db8:ffff:ffff::", "2001:db9::", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
	for text, prefix := range map[string]string{
		"10/8": "10.0.0.0/8", "10.1/16": "10.1.0.0/16", "10.1.2/24": "10.1.2.0/24", "10.1.2.3/8": "10.0.0.0/8",
		"10.1.2.3/32": "10.1.2.3/32", "0.0.0.0/0": "0.0.0.0/0", "0/0": "0.0.0.0/0", "192.0.2.128/25": "192.0.2.128/25",
		"10.1.2.3/15": "10.0.0.0/15", "::/0": "::/0", "2001:db8::/32": "2001:db8::/32",
		"2001:db8::1/33": "2001:db8::/33",
		"::1/128":        "::1/128", "fe80::/10": "fe80::/10", "2000::/3": "2000::/3",
		"10.0.0.0 255.0.0.0": "10.0.0.0/8", "10.1.2.3 255.255.0.0": "10.1.0.0/16",
		"192.0.2.200 255.255.255.128": "192.0.2.128/25", "10.1.2.3 255.255.255.255": "10.1.2.3/32",
		"10.1.2.3 0.0.0.0":           "0.0.0.0/0",
		"::ffff:10.1.0.0/112":        "10.1.0.0/16",
		"::ffff:0:0/96":              "0.0.0.0/0",
		"::ffff:10.1.2.3/128":        "10.1.2.3/32",
		"2001:db8::255.255.0.0/112":  "2001:db8::ffff:0/112",
		"2001:DB8:FFFF:FFFF::/64":    "2001:db8:ffff:ffff::/64",
		"255.255.255.255/32":         "255.255.255.255/32",
		"255.255.255.254/31":         "255.255.255.254/31",
		"8000::/1":                   "8000::/1",
		"fe80:0000:0000:0000::1/128": "fe80::1/128",
	} {
		want := netip.MustParsePrefix(prefix)
		for side, of := range map[string]func(src, dst bool) bool{
			"": func(src, dst bool) bool { return src || dst }, "src ": func(src, _ bool) bool { return src },
			"src and dst ": func(src, dst bool) bool { return src && dst },
		} {
			f, err := Parse(side+"net "+text, Options{})
			if err != nil {
				t.Errorf("%snet %s: %v", side, text, err)
				continue
			}
			for i, a := range addresses {
				b := addresses[(i+3)%len(addresses)]
				r := sent(flow.Record{Src: ip(a), Dst: ip(b)})
				if got := f.Match(&r, nil); got != of(want.Contains(ip(a)), want.Contains(ip(b))) {
					t.Errorf("%snet %s: %v of a flow from %s to %s", side, text, got, a, b)
				}
			}
		}
	}
}

// TestNetworksThatAreNone are refused: what is expected is told.
func TestNetworksThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"net 10.0.0.0/33":            "a length from 0 to 32 after the slash, got \"33\"",
		"net 10/256":                 "a length from 0 to 32",
		"net 10.0.0.0/":              "a length from 0 to 32 after the slash, got \"\"",
		"net 10.0.0.0/-1":            "a length from 0 to 32",
		"net 2001:db8::/129":         "a length from 0 to 128",
		"net 10.0.0.0.0/8":           "a network like 192.0.2.0/24",
		"net 10.256/16":              "a network like",
		"net a.b/16":                 "a network like",
		"net /8":                     "a network like",
		"net 10.0.0.0/8/8":           "a length from 0 to 32",
		"net 10.0.0.0 255.0.255.0":   "its ones and zeros alternate",
		"net 10.0.0.0 0.255.255.255": "its ones and zeros alternate",
		"net 10.0.0.0":               "the mask of the network, like 255.255.255.0, or a length as in 10.0.0.0/24",
		"net 10.0.0.0 16":            "the mask of the network",
		"net 2001:db8:: ffff::":      "the mask of the network",
		"net www 255.0.0.0":          "a network like",
		"net":                        "an address after 'net', the filter ends here",
		"net (10.0.0.0/8)":           "an address after 'net', got \"(\"",
		"ip 10.0.0":                  "an IPv4 or IPv6 address",
		"ip 10.0.0.1.2":              "an IPv4 or IPv6 address",
		"ip 2001:db8::g":             "an IPv4 or IPv6 address",
		"ip 010.0.0.1":               "an IPv4 or IPv6 address",
		"ip in [10.0.0.1 nonsense]":  "an IPv4 or IPv6 address",
		"ip > 10.0.0.1":              "has no order",
		"next ip <= 10.0.0.1":        "has no order",
		"src ip in 10.0.0.1":         "an IPv4 or IPv6 address, got \"in\"",
	} {
		_, err := Parse(text, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: expected %q, got %v", text, want, err)
		}
	}
}

// TestMACsAreThoseOfNet reads six bytes with colons, in any letters.
func TestMACsAreThoseOfNet(t *testing.T) {
	for _, text := range []string{"00:00:5e:00:53:01", "FF:FF:FF:FF:FF:FF", "02:aB:cD:00:00:00", "00:00:00:00:00:01"} {
		hw, err := net.ParseMAC(text)
		if err != nil {
			t.Fatal(err)
		}
		for side, of := range map[string]flow.Field{"in src": flow.InSrcMAC, "out dst": flow.OutDstMAC,
			"in dst":  flow.InDstMAC,
			"out src": flow.OutSrcMAC} {
			r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2")}, of)
			*map[flow.Field]*[6]byte{flow.InSrcMAC: &r.InSrcMAC, flow.OutDstMAC: &r.OutDstMAC,
				flow.InDstMAC:  &r.InDstMAC,
				flow.OutSrcMAC: &r.OutSrcMAC}[of] = [6]byte(hw)
			words := strings.Fields(side)
			for _, prefix := range append(words, side, "") {
				if !mustParse(t, prefix+" mac "+text).Match(&r, nil) ||
					!mustParse(t, prefix+" mac = "+text).Match(&r, nil) {
					t.Errorf("%s mac %s does not match a flow that has it as %s", prefix, text, side)
				}
			}
			for other := range map[string]bool{"in": true, "out": true, "src": true, "dst": true} {
				if other != words[0] && other != words[1] && mustParse(t, other+" mac "+text).Match(&r, nil) {
					t.Errorf("%s mac %s matches a flow that has it as %s", other, text, side)
				}
			}
			r.Present = flow.SetOf(flow.Src, flow.Dst)
			if mustParse(t, "mac "+text).Match(&r, nil) {
				t.Error("a flow without a MAC address matches")
			}
		}
	}
	for _, bad := range []string{"", "00:00:5e:00:53", "00:00:5e:00:53:01:02", "00:00:5e:00:53:0g", "0000.5e00.5301",
		"00-00-5e-00-53-01", "00:00:5e:00:53:01:02:03", "'00:00:5e:00:53:01'", "(", "5"} {
		if _, err := Parse("mac "+bad, Options{}); err == nil ||
			!strings.Contains(err.Error(), "expected a MAC address like 00:00:5e:00:53:01") {
			t.Errorf("mac %s: got %v", bad, err)
		}
	}
}

// TestTextsOfNames: each name is asked for by its own words, exactly, and is not that of another.
func TestTextsOfNames(t *testing.T) {
	names := map[string]func(n *flow.Names){
		"exporter name": func(n *flow.Names) { n.Exporter = "x 1" },
		"in if name":    func(n *flow.Names) { n.Input = "x 1" },
		"out if name":   func(n *flow.Names) { n.Output = "x 1" }, "src vm": func(n *flow.Names) { n.InputVM = "x 1" },
		"dst vm":        func(n *flow.Names) { n.OutputVM = "x 1" },
		"src portgroup": func(n *flow.Names) { n.InputPortgroup = "x 1" },
		"dst portgroup": func(n *flow.Names) { n.OutputPortgroup = "x 1" },
		"esxi host":     func(n *flow.Names) { n.Host = "x 1" },
		"app":           func(n *flow.Names) { n.App = "x 1" }, "user": func(n *flow.Names) { n.User = "x 1" },
	}
	for words, set := range names {
		r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2"), Names: &flow.Names{}})
		set(r.Names)
		for other := range names {
			if got := mustParse(t, other+` "x 1"`).Match(&r, nil); got != (other == words) {
				t.Errorf("%s: %v of a flow whose %s it is", other, got, words)
			}
		}
		for text, want := range map[string]bool{" 'x 1'": true, " = 'x 1'": true, " != 'x 1'": false, " 'X 1'": false,
			" x": false, " 'x 1 '": false, " ne y": true} {
			if got := mustParse(t, words+text).Match(&r, nil); got != want {
				t.Errorf("%s%s: got %v", words, text, got)
			}
		}
		for _, bad := range []string{"", " ''", " =", " (x)", " > x", " [x]"} {
			if _, err := Parse(words+bad, Options{}); err == nil {
				t.Errorf("%s%s is taken", words, bad)
			}
		}
		r.Names = nil
		if mustParse(t, words+" 'x 1'").Match(&r, nil) {
			t.Errorf("%s: a flow without names has one", words)
		}
	}
}

// TestTestsThatAreNotThere are those of nfdump's that are refused, by their names.
func TestTestsThatAreNotThere(t *testing.T) {
	for _, text := range []string{"payload ja3 defined", "payload ja4 defined", "payload dns 'x'",
		"payload ssl defined",
		"payload tls 1.3", "pf action pass", "pf reason 1", "pf rule 3", "pf dir in", "pf interface em0",
		"host tor 10.0.0.1"} {
		words := strings.Join(strings.Fields(text)[:2], " ")
		_, err := Parse("any and "+text, Options{})
		if err == nil ||
			!strings.Contains(err.Error(), "'"+words+"' is a test of nfdump's that is not supported here") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// TestBoundsOfFilters: text, nesting and files within files end where their messages say.
func TestBoundsOfFilters(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("(", n) + "any" + strings.Repeat(")", n) }
	chain := func(n int) Options {
		return Options{Include: func(name string) (string, error) {
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i > n {
				return "", errors.New("no such file")
			} else if i == n {
				return "any", nil
			}
			return fmt.Sprintf("@include %d", i+1), nil
		}}
	}
	grow := Options{Include: func(string) (string, error) { return strings.Repeat(" ", maxText/2), nil }}
	for name, c := range map[string]struct {
		text string
		o    Options
		want string // "" is none
	}{
		"as long as may be": {strings.Repeat(" ", maxText-3) + "any", Options{}, ""},
		"a byte longer": {strings.Repeat(" ", maxText-2) + "any", Options{},
			"at most 1048576 bytes, this one has 1048577"},
		"as deep as may be":    {deep(maxDepth - 1), Options{}, ""},
		"a parenthesis deeper": {deep(maxDepth), Options{}, "nested more than 200 deep"},
		"negations":            {strings.Repeat("not ", maxDepth-1) + "any", Options{}, ""},
		"a negation more":      {strings.Repeat("!", maxDepth) + "any", Options{}, "nested more than 200 deep"},
		"ten files":            {"@include 1", chain(10), ""},
		"eleven files":         {"@include 1", chain(11), `"11" is included more than 10 deep`},
		"no file":              {"@include x", chain(3), `@include "x": no such file`},
		"two that are long together": {"@include a\n@include b\n", grow,
			"with what it includes the filter is longer than 1048576"},
		"a name in quotes":   {`@include "1"`, chain(1), ""},
		"not the first word": {"any @include 1", chain(1), "expected 'and', 'or' or the end"},
	} {
		_, err := Parse(c.text, c.o)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: expected %q, got %.200v", name, c.want, err)
		}
	}
}
