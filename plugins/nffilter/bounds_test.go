package nffilter

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Each network has its first and its last address, and not those beside it.
func TestNetworksEnd(t *testing.T) {
	for _, base := range []string{"10.171.205.87", "2001:db8:5a5a:a5a5:c3c3:3c3c:9669:6996"} {
		a := ip(base)
		for bits := 1; bits <= a.BitLen(); bits++ {
			p := netip.PrefixFrom(a, bits).Masked()
			first, last := p.Addr(), lastOf(p)
			var set addressSet
			set.addPrefix(p)
			set.prepare()
			if !set.has(first) || !set.has(last) {
				t.Errorf("%s: the first or the last address is not in it", p)
			}
			if before := first.Prev(); before.IsValid() && set.has(before) {
				t.Errorf("%s: %s is before it", p, before)
			}
			if behind := last.Next(); behind.IsValid() && set.has(behind) {
				t.Errorf("%s: %s is behind it", p, behind)
			}
		}
	}
}

// lastOf returns the last address of a network, bit by bit.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// The ports of a block are those from its first to its last, where the flow has one.
func TestPortBlockEnds(t *testing.T) {
	f := mustParse(t, "src port in pblock")
	for _, c := range []struct {
		port  uint16
		block [4]uint16
		sent  bool
		want  bool
	}{
		{20000, [4]uint16{20000, 20511}, true, true}, {20511, [4]uint16{20000, 20511}, true, true},
		{20100, [4]uint16{20000, 20511}, true, true}, {19999, [4]uint16{20000, 20511}, true, false},
		{20512, [4]uint16{20000, 20511}, true, false}, {20100, [4]uint16{20000, 20511}, false, false},
		{0, [4]uint16{}, true, false}, {0, [4]uint16{0, 1}, true, true}, {1, [4]uint16{0, 1}, true, true},
		{65535, [4]uint16{65535, 65535}, true, true},
	} {
		r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2"), SrcPort: c.port, PortBlock: c.block})
		if c.sent {
			r.Present.Add(flow.PortBlock)
		}
		if got := f.Match(&r, nil); got != c.want {
			t.Errorf("port %d, block %v, sent %v: got %v", c.port, c.block, c.sent, got)
		}
	}
}

// A filter reads the fields of its tests, and no others.
func TestFieldsOfFilters(t *testing.T) {
	for text, want := range map[string]flow.Set{
		"any":                  {},
		"not any":              {},
		"src port in pblock":   flow.SetOf(flow.SrcPort, flow.PortBlock),
		"nat pblock end 7":     flow.SetOf(flow.PortBlock),
		"flags S":              flow.SetOf(flow.TCPFlags, flow.Proto),
		"bpp > 5":              flow.SetOf(flow.Bytes, flow.Packets),
		"mpls eos 5":           flow.SetOf(flow.MPLS),
		"duration > 5":         flow.SetOf(flow.FirstSeen, flow.LastSeen),
		"first seen > 2026":    flow.SetOf(flow.FirstSeen, flow.EventTime),
		"scaled bytes > 5":     flow.SetOf(flow.Bytes, flow.SamplingRate),
		"dst net 192.0.2.0/24": flow.SetOf(flow.Dst),
		"src as 5 or dst as 6": flow.SetOf(flow.SrcAS, flow.DstAS),
		"client latency > 5":   {},
		"proto tcp and any":    flow.SetOf(flow.Proto),
	} {
		fields := mustParse(t, text).Fields()
		for field := range flow.Field(flow.NumFields) {
			if fields.Has(field) != want.Has(field) {
				t.Errorf("%s: reads %s: %v", text, field.Name(), fields.Has(field))
			}
		}
	}
}

// Which bytes make words, and which nothing.
func TestWords(t *testing.T) {
	const words = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:.-/@+"
	const others = "&|=<>!()[],%" // symbols; two of & and |
	const blanks = " \t\n\r\f\v#"
	for c := range 256 {
		text := string([]byte{byte(c)})
		list, err := tokens(text)
		switch {
		case strings.Contains(words, text):
			if err != nil || len(list) != 2 || list[0].kind != wordToken || list[0].text != text {
				t.Errorf("%q is no word: %v, %v", text, list, err)
			}
		case strings.Contains(blanks, text):
			if err != nil || len(list) != 1 {
				t.Errorf("%q is no blank: %v, %v", text, list, err)
			}
		case strings.Contains(others, text) && c != '&' && c != '|':
			if err != nil || len(list) != 2 || list[0].kind == wordToken {
				t.Errorf("%q is no symbol: %v, %v", text, list, err)
			}
		case err == nil:
			t.Errorf("%q is taken as %v", text, list)
		}
	}
}

// A network behind ip is none of nfdump's, but one in a list, or behind net.
func TestHintsOfNetworks(t *testing.T) {
	for text, want := range map[string]bool{
		"ip 10.1.0.0/16": true, "src host 10.1.0.0/16": true, "ip = 10.1.0.0/16": true, "net 10.1.0.0/16": false,
		"ip in [10.1.0.0/16]": false, "ip in [10.0.0.1, 10.1.0.0/16]": false, "ip in [10.0.0.1 10.1.0.0/16]": false,
		"ip in [2001:db8::/32 10.1.0.0/16]": false,
	} {
		said := strings.Contains(strings.Join(mustParse(t, text).Hints(), "\n"), "'net'")
		if said != want {
			t.Errorf("%s: hint %v, expected %v", text, said, want)
		}
	}
}

// What a flow's first bytes are searched for: something, and found only where there are some.
func TestPayloads(t *testing.T) {
	for text, want := range map[string]string{
		"payload content GET": "8", `payload content "index HTTP"`: "8", "payload content POST": "-",
		"payload regex 'x*'": "8", "payload regex '^$'": "-", "payload regex GET": "8", "payload regex 'INDEX' i": "8",
		"not payload content GET": "1 2 3 4 5 6 7",
	} {
		if got := matching(mustParse(t, text)); got != want {
			t.Errorf("%s matches %s, expected %s", text, got, want)
		}
	}
	for _, text := range []string{"payload content", "payload content ''", "payload content (", "payload regex ''",
		"payload content = GET", "payload regex ["} {
		if _, err := Parse(text, Options{}); err == nil || !strings.Contains(err.Error(), "a text after") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// Times begin with 1970.
func TestFirstTime(t *testing.T) {
	r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2"), First: base, Last: base})
	for _, text := range []string{"first seen > 1970", "first seen >= 1970-01-01T00:00:00", "last seen > 1970-01"} {
		if !mustParse(t, text).Match(&r, nil) {
			t.Errorf("%s does not match", text)
		}
	}
	for _, text := range []string{"first seen > 1969", "first seen > 1969-12-31T23:59:59", "first seen > 0000"} {
		if _, err := Parse(text, Options{}); err == nil || !strings.Contains(err.Error(), "a time like") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

// Values up to a bound are looked up one by one; of more it is taken that one is there.
func TestManyKeysAreNotLookedUp(t *testing.T) {
	list := func(item string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, item+" ", i+1)
		}
		return b.String()
	}
	asked := 0
	none := func(Key) bool {
		asked++
		return false
	}
	for text, can := range map[string]bool{
		"port in [" + list("%d", mostKeys) + "]":             false,
		"port in [" + list("%d", mostKeys+1) + "]":           true,
		"ip in [" + list("2001:db8:%x::1", mostKeys) + "]":   false,
		"ip in [" + list("2001:db8:%x::1", mostKeys+1) + "]": true,
		"net 10.16.0.0/20":                                  false,
		"net 10.16.0.0/19":                                  true,
		"ip in [10.16.0.0/20 10.99.0.1]":                    true,
		"ip in [10.16.0.0/21 10.99.0.0/21]":                 false,
		"ip in [10.16.0.0/21 10.99.0.0/21 10.120.0.1]":      true,
		"net 2001:db8::/116":                                false,
		"net 2001:db8::/115":                                true,
		"net 2001:db8::/64":                                 true,
		"net 2001:db8::/63":                                 true,
		"ip in [2001:db8::/117 10.16.0.0/21]":               false,
		"ip in [2001:db8::/117 10.16.0.0/20]":               true,
		"ip in [2001:db8::/117 2001:db9::/117]":             false,
		"ip in [2001:db8::/117 2001:db9::/117 2001:dba::1]": true,
		"ip in [2001:db8::/116 10.16.0.1]":                  true,
		"net ffff:ffff:ffff:ffff:ffff:ffff:ffff:f000/116":   false,
		"net 255.255.240.0/20":                              false,
	} {
		asked = 0
		if got := mustParse(t, text).CanMatch(none); got != can {
			t.Errorf("%.60s…: can match %v, expected %v", text, got, can)
		}
		if strings.Count(text, ":") > mostKeys*3 && can && asked > 0 {
			t.Errorf("%.60s…: %d of too many keys asked for", text, asked)
		}
		if !can && asked != 2*mostKeys { // of source and destination
			t.Errorf("%.60s…: %d keys asked for, expected %d", text, asked, 2*mostKeys)
		}
	}
}
