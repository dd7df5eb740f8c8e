package nffilter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// What each filter matches of testFlows. Where nfdump has the test too, it matches the
// same flows in a file of them (see TestRecordedResults).
var matches = []struct{ filter, want string }{
	{"", "1 2 3 4 5 6 7 8"},
	{"any", "1 2 3 4 5 6 7 8"},
	{"not any", "-"},
	{"# a comment alone\n", "1 2 3 4 5 6 7 8"},
	{"ipv6 # and a comment", "5"},
	{"inet", "1 2 3 4 6 7 8"},
	{"inet6", "5"},
	{"ipv4", "1 2 3 4 6 7 8"},
	{"PROTO Tcp", "1 2 5 6 7 8"},
	{"proto 6 or proto 17", "1 2 3 5 6 7 8"},
	{"tcp", "1 2 5 6 7 8"},
	{"tcp and port 80", "1 6 8"},
	{"proto ipv6-icmp", "-"},
	{"tun proto ipip", "8"},
	{"not not proto tcp", "1 2 5 6 7 8"},
	{"not proto tcp and port 53", "3"},
	{"proto tcp && port 80 || port 53", "1 3 6 8"},
	{"port 53 or proto tcp and port 80", "1 3 6 8"},
	{"proto tcp and (port 80 or port 53)", "1 6 8"},
	{"%web (proto tcp and port 80)", "1 6 8"},
	{"(proto tcp and port 80) %web", "1 6 8"},

	{"ip 10.1.2.3", "1 4"},
	{"dst host 10.1.2.3", "4"},
	{"src or dst ip 10.1.2.3", "1 4"},
	{"dst or src ip 10.1.2.3", "1 4"},
	{"src and dst ip 10.1.2.3", "-"},
	{"src and dst net 10.0.0.0/7", "-"},
	{"ip in [10.1.2.3 192.0.2.80]", "1 4 8"},
	{"ip in [ 10.1.0.0/16, 2001:db8::/32 ]", "1 2 4 5"},
	{"ip in [10.0.0.0/8 10.1.0.0/16 10.1.2.3]", "1 2 3 4 6 8"},
	{"ip 10.1.2.3/32", "1 4"},
	{"host 2001:db8::/32", "5"},
	{"ip != 10.1.2.3", "2 3 5 6 7 8"},
	{"ip ::ffff:10.1.2.3", "1 4"},
	{"net 10.1.2.3/16", "1 2 4"},
	{"net 10.1/16", "1 2 4"},
	{"net 10/8", "1 2 3 4 6 8"},
	{"net 10.1.0.0 255.255.0.0", "1 2 4"},
	{"net ::/0", "5"},
	{"net 0.0.0.0/0", "1 2 3 4 6 7 8"},
	{"src net 10.0.0.0/8 and not dst net 10.0.0.0/8", "1 2 3 6 8"},
	{"next ip 10.0.0.1", "7"},
	{"next ip in [fe80::1 10.0.0.1]", "5 7"},
	{"bgpnext ip 10.0.0.2", "7"},
	{"bgp next ip 10.0.0.2", "7"},
	{"router ip 127.0.0.1", "7"},
	{"exporter ip 127.0.0.1", "7"},

	{"port=80", "1 6 8"},
	{"port EQ 80", "1 6 8"},
	{"port 0x50", "1 6 8"},
	{"port http", "1 6 8"},
	{"src port != 443", "1 3 4 5 6 7 8"},
	{"port in [80,443]", "1 2 6 7 8"},
	{"src port > 1024 and src port < 50000", "3 6 7 8"},
	{"icmp-type 8 and icmp code 0", "4"},
	{"icmp-code 0", "4"},
	{"flags S", "1 2 8"},
	{"flags AS", "2 8"},
	{"flags =S", "1"},
	{"flags eq S", "1"},
	{"flags ge S", "1 2 5 8"},
	{"flags 18", "2"},
	{"flags > 16", "2 5 8"},
	{"flags E", "5"},
	{"flags 0", "6 7"},
	{"not flags SA", "3 4 6 7"},
	{"not (flags SA)", "3 4 6 7"},
	{"not flags = 18", "1 3 4 5 6 7 8"},
	{"flags S and not flags AFRPU", "1"},
	{"tos 46", "3"},
	{"dst tos 16", "3"},
	{"fwdstat 64", "2"},
	{"fwdstat forw", "2"},
	{"in if 5", "1 2"},
	{"if 7", "1 3"},
	{"in_snmp 5", "1 2"},
	{"protocol udp", "3"},
	{"bgp_src_as > 64000", "1"},
	{"next_hop fe80::1", "5"},
	{"in_src_mac 0a:0b:0c:0d:0e:0f", "5"},
	{"username alice", "6"},
	{"vlan 202", "5"},
	{"vlan_src 101", "5"},
	{"mask 24", "1 2"},
	{"flowdir egress", "3"},
	{"dir ingress", "1 2"},
	{"min ttl 2", "5"},
	{"ttl >= 3", "5"},
	{"ttl > 3", "-"},
	{"nfversion 9 and proto udp", "3"},

	{"packets > 9", "1 2 5"},
	{"bytes > 1K", "2 5"},
	{"bytes >= 1k and bytes < 1m", "1 2"},
	{"out bytes 77", "5"},
	{"out packets > 7k", "5"},
	{"flows > 1", "5"},
	{"flows 1", "1 2 3 4 6 7 8"},
	{"bps > 1k", "1 2 4 5 8"},
	{"pps > 1", "1 2 5 8"},
	{"bpp = 100", "1"},
	{"scaled bytes 60000", "8"},
	{"scaled packets 500", "8"},
	{"duration 5000", "1 2"},
	{"duration < 1", "3 6 7"},
	{"count > 3", "4 5 6 7 8"},
	{"first seen > 2023-11-14T22:13:20", "3 4 6 7"},
	{"first seen 2023-11-14T22:13:20", "1 2 5 8"},
	{"first seen != 2023-11-14", "-"},
	{"last seen < 2030", "1 2 3 4 5 6 7 8"},
	{"last seen <= 2023-11-14T22:13:21.000", "3 5"},

	{"as 64500", "1"},
	{"dst as in [64501 64502]", "1"},
	{"as > 64000", "1"},
	{"next as 65010", "5"},
	{"previous as 65020", "5"},
	{"mac 0a:0b:0c:0d:0e:0f", "5"},
	{"in src mac 0a:0b:0c:0d:0e:0f", "5"},
	{"out src mac 0a:0b:0c:0d:0e:0f", "-"},
	{"out mac 02:00:00:00:00:01", "5"},
	{"src mac 02:00:00:00:00:03", "5"},
	{"mpls label1 74565", "5"},
	{"mpls label3 = 153", "5"},
	{"mpls eos 153", "5"},
	{"mpls any 100", "5"},
	{"mpls any = 101", "-"},
	{"mpls exp1 0", "5"},
	{"mpls exp1 5", "-"},
	{"engine-type 1 and engine id = 77", "7"},
	{"sysid 2", "7"},
	{"exporter id 2", "7"},
	{"observation domain id = 6 and observation point id 5", "8"},
	{"ingress vrf 9", "6"},
	{"vrf 8", "6"},
	{"ingress ACL 7", "6"},
	{"egress ace 11", "6"},
	{"xace in [9 99]", "6"},

	{"asa event deny", "6"},
	{"asa event > 2", "6"},
	{"asa event denied ingress", "6"},
	{"asa event denied", "6"}, // as nfdump 1.7.8 has it
	{"(asa event denied) and proto tcp", "6"},
	{"asa event denied and port 80", "6"},
	{"asa event denied or port 53", "3 6"},
	{"asa event denied && asa event denied = 1001", "6"},
	{"asa event denied in [1001 1002]", "6"},
	{"asa event denied != 1001", "1 2 3 4 5 7 8"},
	{"asa denied ingress", "6"},
	{"asa xevent 1001", "6"},
	{"asa user alice", "6"},
	{"user alice", "6"},
	{"nat event add44", "7"},
	{"nat event > 1", "7"},
	{"xip 198.51.100.9", "6"},
	{"src nat ip 198.51.100.9", "6"},
	{"nip in [198.51.100.9 198.51.100.10]", "6 7"},
	{"xnet 198.51.100.0/24", "6 7"},
	{"src xport 55555", "6"},
	{"nat port 55555", "6"},
	{"pblock start 20000", "7"},
	{"nat pblock end 20511", "7"},
	{"src port in nat pblock", "7"},
	{"port in pblock", "7"},
	{"tunip 10.10.10.10", "8"},
	{"dst tun ip 11.11.11.11", "8"},
	{"payload content 'GET'", "8"},
	{"payload regex 'get|post' i", "8"},
	{"payload regex 'get'", "-"},
	{"client latency > 500", "8"},
	{"app latency 3000", "8"},
	{"ident router1", "1 2 3 4 5 6 7 8"},
	{"ident 'router 1'", "-"},
	{"in if name 'Gi0/1'", "8"},
	{"src vm 'web 1'", "8"},
	{"exporter name core", "8"},
	{"app http", "8"},
}

func TestMatches(t *testing.T) {
	for _, c := range matches {
		if got := matching(mustParse(t, c.filter)); got != c.want {
			t.Errorf("%q matches %s, expected %s", c.filter, got, c.want)
		}
	}
}

// What is refused, where, and what is said.
var refused = []struct {
	filter string
	line   int
	column int
	text   string
}{
	{"port", 1, 5, "the filter ends here"},
	{"proto tcp or", 1, 13, "the filter ends here"},
	{"and proto tcp", 1, 1, `"and" is no test`},
	{"()", 1, 2, "a filter in the parentheses"},
	{"( proto tcp", 1, 1, "this '(' has no ')'"},
	{"proto tcp )", 1, 11, "this ')' has no '('"},
	{"foo bar", 1, 1, `"foo" is no test`},
	{"proto tcp proto udp", 1, 11, "write 'and' before"},
	{"src ip 10.1.2.3 dst port 80", 1, 17, "write 'and' before"},
	{"udp port 53", 1, 5, "write 'and' before"},
	{"port in []", 1, 10, "an item of the list"},
	{"port in [80", 1, 12, "']' at the end of the list"},
	{"ip in []", 1, 8, "an item of the list"},
	{"port -1", 1, 6, "a number after 'port'"},
	{"port 70000", 1, 6, "from 0 to 65535"},
	{"port => 443", 1, 7, "a number after 'port'"},
	{"bytes > 1.5k", 1, 9, "a number after 'bytes'"},
	{"bytes > 10 k", 1, 12, "'and', 'or' or the end"},
	{"bytes > 99999999999999999999", 1, 9, "a number after 'bytes'"},
	{"bytes > 99999999t", 1, 9, "a number after 'bytes'"},
	{"vlan > 100", 1, 6, "has no order"},
	{"if > 3", 1, 4, "has no order"},
	{"in port 80", 1, 1, `"port" has no "in"`},
	{"src src port 80", 1, 5, "twice"},
	{"src in src mac 0a:0b:0c:0d:0e:0f", 1, 8, "twice"},
	{"src and src port 80", 1, 5, `"and" is no test`},
	{"src and in port 80", 1, 5, `"and" is no test`},
	{"in src and dst port 80", 1, 8, `"and" is no test`},
	{"host 10.1", 1, 6, "an IPv4 or IPv6 address"},
	{"host 10.1.2.256", 1, 6, "an IPv4 or IPv6 address"},
	{"host localhost", 1, 6, "an IPv4 or IPv6 address"},
	{"net 10.1.0.0/33", 1, 5, "a length from 0 to 32"},
	{"net 10.1.0.0", 1, 13, "the mask of the network"},
	{"net 10.1.0.0 255.0.255.0", 1, 14, "is no mask"},
	{"net in [10.0.0.0/8]", 1, 5, "a network like"},
	{"proto 300", 1, 7, "from 0 to 255"},
	{"src_port > 70000", 1, 12, "from 0 to 65535"},
	{"proto icpm", 1, 7, `did you mean "icmp"?`},
	{"prot tcp", 1, 1, `did you mean "proto"?`},
	{"any\nand\nsrc prot 80", 3, 5, `did you mean`},
	{"mac 0a0b.0c0d.0e0f", 1, 5, "a MAC address like"},
	{"mac 0a-0b-0c-0d-0e-0f", 1, 5, "a MAC address like"},
	{"first seen 14.11.2023", 1, 12, "a time like"},
	{"payload regex '('", 1, 15, "no regular expression"},
	{"payload content 'GET", 1, 17, "has no end"},
	{"geo CH", 1, 1, "asks for the countries of addresses"},
	{"port 80 ; any", 1, 9, "has no meaning"},
	{"@include other", 0, 0, "not allowed"},
	{strings.Repeat("(", 300) + "any" + strings.Repeat(")", 300), 1, 201, "nested more than"},
}

func TestRefuses(t *testing.T) {
	for _, c := range refused {
		_, err := Parse(c.filter, Options{})
		var bad *Error
		if !errors.As(err, &bad) {
			t.Errorf("%q is taken, expected an error: %v", c.filter, err)
			continue
		}
		if bad.Line != c.line || bad.Column != c.column || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%q: expected %d:%d and %q, got %d:%d\n%v", c.filter, c.line, c.column, c.text, bad.Line,
				bad.Column, err)
		}
	}
}

func TestErrorHasACaret(t *testing.T) {
	_, err := Parse("proto tcp and\n\tport 70000", Options{})
	want := "filter: line 2, column 7: expected a number from 0 to 65535 after 'port', got 70000\n" +
		"   port 70000\n" +
		"        ^^^^^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nexpected\n%s", err, want)
	}
}

func TestHints(t *testing.T) {
	f := mustParse(t, "tcp and not flags SA and src port != 443 and port https")
	for _, want := range []string{"proto tcp", "none of the flags", "'!='", "443"} {
		if !slices.ContainsFunc(f.Hints(), func(h string) bool { return strings.Contains(h, want) }) {
			t.Errorf("no hint has %q: %q", want, f.Hints())
		}
	}
	if f := mustParse(t, "proto tcp and port 80"); len(f.Hints()) > 0 {
		t.Errorf("nfdump knows this, the hints are %q", f.Hints())
	}
}

func TestFieldsAreThoseThatAreRead(t *testing.T) {
	f := mustParse(t, "proto tcp and (src net 10.0.0.0/8 or in if 5) and bpp > 100")
	fields := f.Fields()
	for _, field := range []flow.Field{flow.Proto, flow.Src, flow.Input, flow.Bytes, flow.Packets} {
		if !fields.Has(field) {
			t.Errorf("%s is read and not listed", field.Name())
		}
	}
	for _, field := range []flow.Field{flow.Dst, flow.Output, flow.DstPort, flow.SrcAS} {
		if fields.Has(field) {
			t.Errorf("%s is listed and not read", field.Name())
		}
	}
	if f.NeedsContext() || !mustParse(t, "any and not count < 5").NeedsContext() {
		t.Error("NeedsContext is wrong")
	}
	for text, want := range map[string]bool{"nfversion 9": true, "any and not ethertype 0x800": true, "vm web1": true,
		"duration > 5 and icmp-type 8 and mpls eos 3 and observation domain id 6": false, "count 5": false, "any": false} {
		if got := mustParse(t, text).NeedsRecord(); got != want {
			t.Errorf("%q: NeedsRecord is %v, expected %v", text, got, want)
		}
	}
}

func TestInclude(t *testing.T) {
	files := map[string]string{"web": "port 80 or\n@include more", "more": "port 443", "loop": "@include loop"}
	o := Options{Include: func(name string) (string, error) {
		text, ok := files[name]
		if !ok {
			return "", fmt.Errorf("no file %q", name)
		}
		return text, nil
	}}
	f, err := Parse("proto tcp and (\n@include 'web'\n)", o)
	if err != nil {
		t.Fatal(err)
	}
	if got := matching(f); got != "1 2 6 7 8" {
		t.Errorf("matches %s", got)
	}
	for _, c := range []struct{ filter, text string }{{"@include loop", "deep"}, {"@include none", "no file"}} {
		if _, err := Parse(c.filter, o); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%q: expected an error with %q, got %v", c.filter, c.text, err)
		}
	}
}

func TestLookup(t *testing.T) {
	o := Options{Lookup: func(name string) ([]netip.Addr, error) {
		if name != "www.example.com" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{ip("10.1.2.4"), ip("2001:db8::1")}, nil
	}}
	f, err := Parse("src host www.example.com", o)
	if err != nil {
		t.Fatal(err)
	}
	if got := matching(f); got != "2 5" {
		t.Errorf("matches %s, expected 2 5", got)
	}
	if _, err := Parse("host mail.example.com", o); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("got %v", err)
	}
	none := Options{Lookup: func(string) ([]netip.Addr, error) { return nil, nil }}
	if _, err := Parse("host www.example.com", none); err == nil || !strings.Contains(err.Error(), "has no address") {
		t.Errorf("a name without an address: %v", err)
	}
}

// TestAddressSet compares the search with a look at each network.
func TestAddressSet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var set addressSet
		var all []netip.Prefix
		for range random.IntN(20) {
			p := randomPrefix(random)
			all = append(all, p)
			set.addPrefix(p)
		}
		set.prepare()
		for range 200 {
			a := randomPrefix(random).Addr()
			if len(all) > 0 && random.IntN(2) == 0 {
				a = all[random.IntN(len(all))].Addr()
			}
			want := slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
			if set.has(a) != want {
				t.Fatalf("%v has %v: expected %v", all, a, want)
			}
		}
	}
	if (&addressSet{}).has(netip.Addr{}) {
		t.Error("no address is in an empty set")
	}
}

func randomPrefix(random *rand.Rand) netip.Prefix {
	var b [16]byte
	for i := range b {
		b[i] = byte(random.IntN(4)) << 6
	}
	if random.IntN(2) == 0 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), random.IntN(33)).Masked()
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), random.IntN(129)).Masked()
}

func TestMatchDoesNotAllocate(t *testing.T) {
	f := mustParse(t, "proto tcp and (port in [80 443] or net 192.0.2.0/24) and bps > 1k and not src vlan 5 "+
		"and ident router1")
	flows := testFlows()
	if n := testing.AllocsPerRun(100, func() {
		for i := range flows {
			f.Match(&flows[i].record, &flows[i].context)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// samples is a table of filters and what nfdump 1.7.1 and 1.7.8 answer for a file with
// flows like testFlows: " | " between the columns. It is not part of the repository.
func samples(t *testing.T) string {
	dir := os.Getenv("FLOWGRAF_SAMPLES")
	if dir == "" {
		t.Skip("FLOWGRAF_SAMPLES is not set")
	}
	text, err := os.ReadFile(dir + "/nfdump/filter-results.txt")
	if err != nil {
		t.Skip(err)
	}
	return string(text)
}

// better are the filters that are answered otherwise than by both releases, and why.
var better = map[string]string{
	"dir ingress":                        "only flows that say so; 1.7.1 takes what is missing for 0",
	"fwdstat Forw":                       "names have the numbers of RFC 7270",
	"egress acl 10":                      "1.7.1 refuses it, 1.7.8 swaps its bytes",
	"port in pblock":                     "1.7.1 takes a port of 0 for within no block",
	"src port in pblock":                 "1.7.1 takes a port of 0 for within no block",
	"payload ja3 defined":                "refused, instead of silence",
	"geo CH":                             "refused, instead of silence",
	"src geo CH":                         "refused, instead of silence",
	"# only a comment":                   "everything, as without a filter",
	"host localhost":                     "names are not looked up without Options.Lookup",
	"payload regex 'GET|POST'":           "nfdump dies of it",
	"ip in [10.1.0.0/16, 2001:db8::/32]": "1.7.8 forgets networks of IPv6 behind those of IPv4",
}

func TestRecordedResults(t *testing.T) {
	compared := 0
	for line := range strings.Lines(samples(t)) {
		columns := strings.Split(strings.TrimRight(line, "\n"), " | ")
		n := len(columns)
		if n < 3 || strings.HasPrefix(line, "# expression") {
			continue
		}
		filter := strings.TrimSpace(strings.Join(columns[:n-2], " | "))
		if better[filter] != "" {
			continue
		}
		compared++
		got := "error"
		if f, err := Parse(filter, Options{}); err == nil {
			got = matching(f)
		}
		old, current := recorded(columns[n-2]), recorded(columns[n-1])
		extension := old == "error" && current == "error" && got != "error"
		if got != old && got != current && !extension {
			t.Errorf("%q: %s, nfdump 1.7.1 %s, 1.7.8 %s", filter, got, old, current)
		}
	}
	if compared < 250 {
		t.Errorf("only %d filters were compared", compared)
	}
}

var tunnelLine = regexp.MustCompile(`4,8$`)

// recorded returns an answer as matching does.
func recorded(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "ERR") || strings.HasPrefix(s, "RUNERR") {
		return "error"
	}
	return strings.ReplaceAll(tunnelLine.ReplaceAllString(s, "8"), ",", " ")
}

func FuzzParse(f *testing.F) {
	for _, c := range matches {
		f.Add(c.filter)
	}
	for _, c := range refused {
		f.Add(c.filter)
	}
	flows := testFlows()
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := Parse(text, Options{})
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if strings.TrimSpace(text) == "" || strings.Contains(strings.ToLower(text), "flags") {
			return
		}
		twice, err := Parse("not (not (\n"+text+"\n))", Options{})
		if err != nil {
			if !strings.Contains(err.Error(), "nested") && !strings.Contains(text, "#") {
				t.Fatalf("%q is taken, but not in parentheses: %v", text, err)
			}
			return
		}
		for i := range flows {
			r, c := &flows[i].record, &flows[i].context
			if filter.Match(r, c) != twice.Match(r, c) {
				t.Fatalf("%q: its double negation is not the same for flow %d", text, i+1)
			}
			filter.Match(r, nil)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, filter := range []string{
		"any",
		"proto tcp",
		"dst port in [80 443 8080 8443]",
		"host 10.1.2.3",
		"proto tcp and (src net 10.0.0.0/8 or dst net 192.0.2.0/24) and bytes > 1k",
	} {
		b.Run(filter, func(b *testing.B) {
			f := mustParse(b, filter)
			flows := testFlows()
			for i := range b.N {
				t := &flows[i&7]
				f.Match(&t.record, &t.context)
			}
		})
	}
}
