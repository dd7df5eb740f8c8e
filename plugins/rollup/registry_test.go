package rollup

import (
	"bufio"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestServicesOfTheSystem compares the names of ports with /etc/services, where there is one: a name
// that both have is of the same ports.
func TestServicesOfTheSystem(t *testing.T) {
	file, err := os.Open("/etc/services")
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	ours := map[string][]string{}
	for entry := range strings.SplitSeq(serviceNames, "|") {
		words := strings.Fields(entry)
		ours[words[0]] = words[1:]
	}
	compared := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 || ours[words[0]] == nil {
			continue
		}
		port, network, _ := strings.Cut(words[1], "/")
		if network != "tcp" && network != "udp" {
			continue
		}
		compared++
		found := false
		for _, ours := range ours[words[0]] {
			own, only, _ := strings.Cut(ours, "/")
			found = found || own == port && (only == "" || only == network)
		}
		if !found && words[0] != "radius" && words[0] != "radius-acct" { // their first ports are from before RFC 2865
			t.Errorf("%s is %s in /etc/services, here %q", words[0], words[1], ours[words[0]])
		}
	}
	if compared < 40 {
		t.Skipf("/etc/services has %d of the names", compared)
	}
}

// TestServiceTable: each port is of one name, each name of a port, and what has none is the lower port
// and the protocol.
func TestServiceTable(t *testing.T) {
	known, s := newServices(), setOf(t, Definition{}, Options{})
	name := func(proto uint8, src, dst uint16) string {
		return known.name(s, known.of(&flow.Record{Proto: proto, SrcPort: src, DstPort: dst}))
	}
	seen := map[string]string{}
	for entry := range strings.SplitSeq(serviceNames, "|") {
		words := strings.Fields(entry)
		if len(words) < 2 || strings.ToLower(words[0]) != words[0] {
			t.Errorf("%q has no port, or large letters", entry)
		}
		for _, word := range words[1:] {
			digits, only, _ := strings.Cut(word, "/")
			port, err := strconv.ParseUint(digits, 10, 16)
			if err != nil || port == 0 {
				t.Fatalf("%q: %v", entry, err)
			}
			for network, proto := range map[string]uint8{"tcp": 6, "udp": 17} {
				if only != "" && only != network {
					continue
				}
				if other := seen[network+digits]; other != "" {
					t.Errorf("%s/%s is %s and %s", network, digits, other, words[0])
				}
				seen[network+digits] = words[0]
				if got := name(proto, uint16(port), 61001); got != words[0] {
					t.Errorf("%s/%s is %q, expected %s", network, digits, got, words[0])
				}
				if got := name(proto, 61001, uint16(port)); got != words[0] {
					t.Errorf("%s/%s as the destination is %q, expected %s", network, digits, got, words[0])
				}
			}
		}
	}
	for _, c := range []struct {
		proto    uint8
		src, dst uint16
		want     string
	}{
		{6, 61001, 61000, "6/61000"}, {17, 0, 65535, "17/0"}, {33, 443, 61000, "https"},
		{132, 61000, 61001, "132/61000"},
		{0, 80, 80, "0"}, {255, 80, 80, "255"}, {58, 0x8000, 0, "58"}, {6, 53, 443, "domain"},
		{17, 61000, 53, "domain"},
	} {
		if got := name(c.proto, c.src, c.dst); got != c.want {
			t.Errorf("protocol %d, ports %d and %d: %q, expected %q", c.proto, c.src, c.dst, got, c.want)
		}
	}
}

// TestPrivateNetworks: what the RFCs reserve for use inside, from the first to the last address, as
// net/netip says it where it knows, and not what is beside it.
func TestPrivateNetworks(t *testing.T) {
	n, err := newNetworks(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ source, before, first, last, behind string }{
		{"RFC 1918", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
		{"RFC 1918", "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
		{"RFC 1918", "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
		{"RFC 6598", "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
		{"RFC 3927", "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
		{"RFC 1122", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
		{"RFC 4193", "fbff:ffff::", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::"},
		{"RFC 4291", "fe7f:ffff::", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::"},
		{"RFC 4291", "::", "::1", "::1", "::2"},
	} {
		for text, want := range map[string]bool{c.before: false, c.first: true, c.last: true, c.behind: false} {
			a := netip.MustParseAddr(text)
			if got := n.contain(a); got != want {
				t.Errorf("%s (%s): %v", text, c.source, got)
			}
			if a.Is4() && n.contain(netip.AddrFrom16(a.As16())) != want {
				t.Errorf("%s, mapped into IPv6, is another one", text)
			}
			if known := a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast(); known && !want {
				t.Errorf("%s is private for net/netip", text)
			}
		}
	}
	if n.contain(netip.Addr{}) {
		t.Error("no address is private")
	}
	own, err := newNetworks([]netip.Prefix{netip.MustParsePrefix("203.0.113.77/24"),
		netip.MustParsePrefix("2001:db8::/32")})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"203.0.113.1": true, "203.0.114.1": false, "10.0.0.1": false,
		"2001:db8::1": true,
		"2001:db9::1": false} {
		if got := own.contain(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s in networks of one's own: %v", text, got)
		}
	}
}

// TestTextsHaveABound: texts have numbers until there are none left; what is forgotten makes room, and
// what was asked for in the last round stays.
func TestTextsHaveABound(t *testing.T) {
	var n texts
	n.init(3)
	a, b, c := n.number("a", 1), n.number("b", 2), n.number("c", 3)
	if a == 0 || a == b || b == c || n.number("a", 1) != a || n.text(b) != "b" {
		t.Fatalf("numbers %d, %d, %d", a, b, c)
	}
	if got := n.number("d", 3); got != noText {
		t.Errorf("a fourth of three is %d", got)
	}
	for _, empty := range []string{"", "\\"} {
		if got := n.number(empty, 3); got != 0 {
			t.Errorf("%q has the number %d", empty, got)
		}
	}
	n.keep(a, 3)
	n.keep(0, 9)
	n.keep(99, 9)
	n.forget(2)
	if n.text(a) != "a" || n.text(b) != "" || n.text(c) != "c" || n.text(0) != "" || n.text(99) != "" {
		t.Errorf("after round 2: %q, %q, %q", n.text(a), n.text(b), n.text(c))
	}
	if got := n.number("d", 4); got != b || n.text(b) != "d" {
		t.Errorf("the number %d is given, expected %d again", got, b)
	}
	n.forget(4)
	if len(n.ids) != 0 || len(n.list) != 0 || len(n.free) != 0 {
		t.Errorf("all are forgotten, and %+v is kept", &n)
	}
	long := strings.Repeat("\u00e9", maxTextBytes)
	if id := n.number(long, 5); len(n.text(id)) != maxTextBytes || !strings.HasPrefix(long, n.text(id)) {
		t.Errorf("a long text has %d bytes, expected %d", len(n.text(id)), maxTextBytes)
	}
	if got := clean("x" + strings.Repeat("\u20ac", 100)); len(got) != 256 || !strings.HasSuffix(got, "\u20ac") {
		t.Errorf("a text that is cut within a letter has %d bytes: %q", len(got), got[250:])
	}
	if got := clean(strings.Repeat("x", maxTextBytes-1) + `\yz`); got != strings.Repeat("x", maxTextBytes-1) {
		t.Errorf("a text that is cut behind a backslash ends with %q", got[len(got)-3:])
	}
}
