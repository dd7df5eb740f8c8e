package nffilter

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// registryNames are names of values in filters, with the numbers that the registries named have
// for them.
var registryNames = []struct {
	words  string // of the test
	source string
	names  string // name number, ...
}{
	{"proto", "IANA, Assigned Internet Protocol Numbers", "hopopt 0 icmp 1 igmp 2 ggp 3 ipv4 4 st 5 tcp 6 cbt 7 " +
		"egp 8 igp 9 pup 12 chaos 16 udp 17 hmp 20 xns-idp 22 rdp 27 iso-tp4 29 dccp 33 xtp 36 ddp 37 ipv6 41 " +
		"idrp 45 rsvp 46 gre 47 dsr 48 bna 49 esp 50 ah 51 skip 57 ipv6-icmp 58 ipv6-nonxt 59 ipv6-opts 60 " +
		"vmtp 81 eigrp 88 ax.25 93 etherip 97 encap 98 pim 103 ipcomp 108 vrrp 112 l2tp 115 sctp 132 fc 133 " +
		"udplite 136 mpls-in-ip 137 hip 139 shim6 140 rohc 142"},
	{"proto", "what people and Linux call OSPFIGP, IPv6-ICMP, IP-in-IP and ISIS over IPv4",
		"ospf 89 icmp6 58 icmpv6 58 ipip 4 isis 124"},
	{"tun proto", "IANA, as above", "ipip 4 gre 47 tcp 6 udp 17"},
	{"fwdstat", "RFC 7270, section 4.12", "ukwn 0 forw 64 frag 65 notfrag 66 drop 128 acldeny 129 acldrop 130 " +
		"noroute 131 dadj 132 dfrag 133 dbadh 134 dbadtlen 135 dbadhlen 136 dbadttl 137 dpolicy 138 dwred 139 " +
		"drpf 140 dforus 141 dbadof 142 dhw 143 term 192 tadj 193 tincadj 194 tforus 195"},
	{"dir", "IANA, flowDirection (61)", "ingress 0 egress 1"},
	{"flowdir", "IANA, flowDirection (61)", "ingress 0 egress 1"},
	{"asa event", "IANA, firewallEvent (233)", "ignore 0 create 1 delete 2 denied 3 alert 4 update 5"},
	{"asa event", "nfdump's words", "add 1 del 2 term 2 deny 3"},
	{"asa event denied", "Cisco ASA NSEL, extended event codes",
		"ingress 1001 egress 1002 interface 1003 access 1003 " +
			"nosyn 1004"},
	{"nat event", "IANA, NAT Event Type (230)", "add44 4 del44 5 add64 6 del64 7 add44bib 8 del44bib 9 add64bib 10 " +
		"del64bib 11 pexhaust 12 quotaexh 13 addaddr 14 deladdr 15 addpblk 16 delpblk 17 threshld 18"},
	{"nat event", "IANA, NAT Event Type (230), values of drafts", "create 1 add 1 delete 2 exhaust 3"},
}

// TestNamesHaveTheNumbersOfRegistries writes a value by its name, in any letters, and by its number.
func TestNamesHaveTheNumbersOfRegistries(t *testing.T) {
	setters := map[string]numberTest{}
	for _, n := range numberTests {
		setters[n.words] = n
	}
	for _, c := range registryNames {
		n, ok := setters[c.words]
		if !ok {
			t.Fatalf("%s is not in numberTests", c.words)
		}
		words := strings.Fields(c.names)
		for i := 0; i < len(words); i += 2 {
			name := words[i]
			number, _ := strconv.ParseUint(words[i+1], 10, 64)
			for _, text := range []string{name, strings.ToUpper(name), "'" + name + "'", "in [" + name + "]"} {
				f, err := Parse(c.words+" "+text, Options{})
				if err != nil {
					t.Errorf("%s %s (%s): %v", c.words, text, c.source, err)
					continue
				}
				r, context := n.flowWith(number)
				other, otherContext := n.flowWith(number ^ 1)
				if !f.Match(&r, &context) || f.Match(&other, &otherContext) {
					t.Errorf("%s %s is not %d, as %s says", c.words, text, number, c.source)
				}
			}
		}
	}
}

// TestProtocolsAreThoseOfTheSystem compares with /etc/protocols, where there is one.
func TestProtocolsAreThoseOfTheSystem(t *testing.T) {
	file, err := os.Open("/etc/protocols")
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	compared := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 || words[0] == "ip" || words[0] == "ipip" { // none of IANA's; nfdump's ipip is 4, there 94
			continue
		}
		want, err := strconv.ParseUint(words[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := protocols[strings.ToLower(words[0])]; ok {
			compared++
			if got != want {
				t.Errorf("%s is %d, in /etc/protocols %d", words[0], got, want)
			}
		}
	}
	if compared == 0 {
		t.Skip("/etc/protocols has none of our names")
	}
}

// TestFlagLetters: each letter is the bit that RFC 9293, section 3.1, and RFC 3168, section 6.1,
// have for it; x is the six of RFC 793, as nfdump has it.
func TestFlagLetters(t *testing.T) {
	bits := []struct {
		letter string
		bit    uint16
	}{{"C", 0x80}, {"E", 0x40}, {"U", 0x20}, {"A", 0x10}, {"P", 0x08}, {"R", 0x04}, {"S", 0x02}, {"F", 0x01},
		{"X", 0x3f}}
	tcp := func(flags uint16) *flow.Record {
		r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2"), Proto: 6, TCPFlags: flags})
		return &r
	}
	for _, a := range bits {
		for _, b := range bits {
			mask := a.bit | b.bit
			all := mustParse(t, "flags "+a.letter+strings.ToLower(b.letter))
			none := mustParse(t, "not flags "+a.letter+b.letter)
			exact := mustParse(t, "flags = "+a.letter+b.letter)
			other := mustParse(t, "flags != "+a.letter+b.letter)
			number := mustParse(t, fmt.Sprintf("flags %d", mask))
			above := mustParse(t, "flags > "+a.letter+b.letter)
			for flags := range uint16(256) {
				r := tcp(flags)
				for what, c := range map[string][2]bool{
					"all":    {all.Match(r, nil), flags&mask == mask},
					"none":   {none.Match(r, nil), flags&mask == 0},
					"=":      {exact.Match(r, nil), flags == mask},
					"!=":     {other.Match(r, nil), flags != mask},
					"number": {number.Match(r, nil), flags == mask},
					">":      {above.Match(r, nil), flags > mask},
				} {
					if c[0] != c[1] {
						t.Errorf("%s of %s%s: of flags %#x got %v", what, a.letter, b.letter, flags, c[0])
					}
				}
			}
		}
	}
	udp := tcp(0x12)
	udp.Proto = 17
	if mustParse(t, "flags SA").Match(udp, nil) || mustParse(t, "flags = 18").Match(udp, nil) {
		t.Error("UDP has flags")
	}
	for _, bad := range []string{"flags", "flags Q", "flags SQ", "flags 256", "flags ''", "flags =", "flags (S)",
		"flags -1"} {
		if _, err := Parse(bad, Options{}); err == nil || !strings.Contains(err.Error(), "expected ") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

// TestICMPOfPorts: type and code are the two bytes of element 32, else, as Cisco's NetFlow has
// it, those of the destination port; of IPv6's ICMP as well, and of nothing else.
func TestICMPOfPorts(t *testing.T) {
	for _, c := range []struct {
		proto   uint8
		icmp    int // -1: not sent
		port    uint16
		want    string
		matches bool
	}{
		{1, -1, 0x0301, "icmp-type 3 and icmp-code 1", true}, {58, -1, 0x8000, "icmp type 128 and icmp code 0", true},
		{1, 0x0301, 0, "icmp-type 3 and icmp code 1", true}, {1, 0x0b00, 0x0301, "icmp type 11", true},
		{1, 0x0b00, 0x0301, "icmp type 3", false}, {6, -1, 0x0301, "icmp-type 3", false},
		{17, 0x0301, 0x0301, "icmp-type 3", false}, {1, -1, 0, "icmp-type 0 and icmp-code 0", true},
		{1, -1, 0xffff, "icmp-type 255 and icmp-code > 254", true}, {1, -1, 0x0301, "icmp-code >= 2", false},
	} {
		r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2"), Proto: c.proto, DstPort: c.port})
		if c.icmp >= 0 {
			r.ICMP = uint16(c.icmp)
			r.Present.Add(flow.ICMP)
		}
		if got := mustParse(t, c.want).Match(&r, nil); got != c.matches {
			t.Errorf("%s: of protocol %d, ICMP %#x, port %#x got %v", c.want, c.proto, c.icmp, c.port, got)
		}
	}
}
