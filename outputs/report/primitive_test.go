package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// numbers are those at which digits, signs and scales change, and random ones.
func numbers() []uint64 {
	all := []uint64{0, 1, 9, 10, 99, 100, 101, 999, 1000, 1001, 9999, 10000, math.MaxUint32, math.MaxUint64}
	for n := uint64(10); n < 1e19; n *= 10 {
		all = append(all, n-1, n, n+1)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		all = append(all, rng.Uint64()>>rng.IntN(64))
	}
	return all
}

// Numbers stand in their columns as C's printf puts them there, which is what scripts cut
// out of nfdump's lines: package fmt is the oracle.
func TestNumbersInColumns(t *testing.T) {
	check := func(what string, v uint64, got []byte, want string) {
		t.Helper()
		if string(got) != want {
			t.Errorf("%s of %d: %q, want %q", what, v, got, want)
		}
	}
	for _, v := range numbers() {
		for _, width := range []int{0, 1, 5, 8, 10, 16, 70} {
			check("a number", v, appendUint([]byte("x"), v, width), fmt.Sprintf("x%*d", width, v))
			check("hexadecimal", v, appendHex([]byte("x"), v, width), fmt.Sprintf("x%0*x", width, v))
			text := strconv.FormatUint(v, 10)
			check("right", v, appendRight([]byte("x"), []byte(text), width), fmt.Sprintf("x%*s", width, text))
			check("right text", v, appendRightText([]byte("x"), text, width), fmt.Sprintf("x%*s", width, text))
			check("left", v, appendLeft([]byte("x"), text, width), fmt.Sprintf("x%-*s", width, text))
			check("left from", v, appendLeftFrom([]byte("abc"+text), 3, width), fmt.Sprintf("abc%-*s", width, text))
		}
		check("seconds", v, appendSeconds(nil, v, 16), fmt.Sprintf("%12d.%03d", v/1000, v%1000))
		check("latency", v, appendMilliseconds(nil, v), fmt.Sprintf("%5d.%03d", v/1000, v%1000))
		for n := 1; n < 20; n++ {
			text := fmt.Sprintf("%020d", v)
			check("digits", v, appendDigits(nil, v, n), text[20-n:])
		}
		if digits(v) != len(strconv.FormatUint(v, 10)) {
			t.Errorf("%d has %d digits", v, digits(v))
		}
	}
}

// Counters are scaled by thousands from a million on, with one digit: what nfdump prints
// for these, and -N prints them plain.
func TestCountersAreScaled(t *testing.T) {
	for v, want := range map[uint64]string{0: "0", 999_999: "999999", 1_000_000: "1.0 M", 1_049_999: "1.0 M",
		1_050_001: "1.1 M", 999_949_999: "999.9 M", 999_999_999: "1000.0 M", 1_000_000_000: "1.0 G",
		1_500_000_000_000: "1.5 T", 12_345_678_901_234: "12.3 T", math.MaxUint64: "18446744.1 T"} {
		var o Options
		if got := string(o.count(nil, v)); got != want {
			t.Errorf("%d is %q, want %q", v, got, want)
		}
		if got := string(o.appendCount(nil, v, 10)); got != fmt.Sprintf("%10s", want) {
			t.Errorf("%d is %q in 10 columns", v, got)
		}
		o.Plain = true
		if got := string(o.appendCount(nil, v, 10)); got != fmt.Sprintf("%10d", v) {
			t.Errorf("%d is %q in plain numbers", v, got)
		}
	}
}

// Durations are days, hours, minutes and seconds: time.Duration is the oracle.
func TestDurations(t *testing.T) {
	for _, v := range numbers() {
		ms := v % (99 * 24 * 3600 * 1000)
		d := time.Duration(ms) * time.Millisecond
		days, rest := int(d.Hours())/24, d%(24*time.Hour)
		want := fmt.Sprintf("%02d:%02d:%02d.%03d", int(rest.Hours()), int(rest.Minutes())%60, int(rest.Seconds())%60,
			rest.Milliseconds()%1000)
		if days > 0 {
			want = fmt.Sprintf("%2dd %s", days, want)
		}
		var o Options
		if got := string(o.appendDuration(nil, ms)); got != fmt.Sprintf("%16s", want) {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// Addresses are those of net/netip; of a long one of IPv6 the middle is left out, so that
// its ends and all behind it stay in their columns.
func TestAddressesInColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	all := []netip.Addr{netip.MustParseAddr("::"), netip.MustParseAddr("255.255.255.255"),
		netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("1.10.100.9"), netip.MustParseAddr("2001:db8::1"),
		netip.MustParseAddr("2001:db8:aaaa:b::1"), netip.MustParseAddr("2001:db8:aaaa:bb::1")}
	for range 300 {
		var a [16]byte
		for i := range a {
			a[i] = byte(rng.Uint32()) * byte(rng.IntN(2))
		}
		all = append(all, netip.AddrFrom16(a), netip.AddrFrom4([4]byte(a[:4])))
	}
	for _, a := range all {
		text := a.String()
		if got := string(appendPlainAddr([]byte("x"), a)); got != "x"+text {
			t.Errorf("%s is %q", a, got)
		}
		long := Options{LongIPv6: true}
		if got := string(long.appendAddr(nil, a, long.addrWidth())); got != fmt.Sprintf("%39s", text) {
			t.Errorf("%s is %q in full", a, got)
		}
		var short Options
		want := text
		if len(text) > 16 {
			want = text[:7] + ".." + text[len(text)-7:]
		}
		if got := string(short.appendAddr([]byte("x"), a, short.addrWidth())); got != fmt.Sprintf("x%16s", want) {
			t.Errorf("%s is %q in 16 columns, want %q", a, got, want)
		}
		linked := Options{TagAddrs: true}
		if got := string(linked.appendAddr(nil, a, 16)); got != "\x01"+fmt.Sprintf("%16s", want) {
			t.Errorf("%s is %q with a tag before it", a, got)
		}
		sep := ":"
		if a.Is6() {
			sep = "."
		}
		if got := string(appendSeparator(nil, a)); got != sep {
			t.Errorf("%q stands between %s and its port", got, a)
		}
	}
	var o Options
	if got := string(o.appendAddr(nil, netip.Addr{}, 16)); got != "         0.0.0.0" {
		t.Errorf("no address is %q", got)
	}
	if got := string(appendAddrOrZero(nil, netip.Addr{})); got != "0.0.0.0" {
		t.Errorf("no address is %q", got)
	}
	for _, mac := range []string{"00:00:00:00:00:00", "01:23:45:67:89:ab", "fe:dc:ba:98:76:50"} {
		hw, err := net.ParseMAC(mac)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendMAC(nil, [6]byte(hw))); got != mac {
			t.Errorf("%s is %q", mac, got)
		}
	}
}

// The network of an address has the bits that its mask says: net/netip is the oracle, but
// for the masks of no bits, which nfdump reads in its own way.
func TestNetworksOfAddresses(t *testing.T) {
	four, six := netip.MustParseAddr("198.51.100.255"), netip.MustParseAddr("2001:db8:ffff:ffff:ffff::ffff")
	for bits := range uint8(255) {
		want := four
		if bits > 0 && bits <= 32 {
			want = netip.PrefixFrom(four, int(bits)).Masked().Addr()
		}
		if got := network(four, bits); got != want {
			t.Errorf("%s/%d is in %s, want %s", four, bits, got, want)
		}
		want = netip.PrefixFrom(six, min(int(bits), 128)).Masked().Addr()
		if bits == 0 {
			want = netip.PrefixFrom(six, 64).Masked().Addr()
		}
		if got := network(six, bits); got != want {
			t.Errorf("%s/%d is in %s, want %s", six, bits, got, want)
		}
	}
	if got := network(netip.Addr{}, 24); got.IsValid() {
		t.Errorf("no address is in %s", got)
	}
}

// Times are those of package time, in every location, at the changes of summer time, and
// in any order of flows: the texts of minutes are kept from flow to flow.
func TestTimesOfEveryLocation(t *testing.T) {
	locations := []*time.Location{time.UTC, time.FixedZone("half", 5*3600+30*60), time.FixedZone("odd", -3*3600-17),
		time.FixedZone("west", -11*3600)}
	for _, name := range []string{"Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Africa/Monrovia"} {
		if l, err := time.LoadLocation(name); err == nil {
			locations = append(locations, l)
		}
	}
	changes := []time.Time{time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
		time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC), time.Date(1972, 1, 7, 0, 44, 30, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 0, 0, time.UTC), time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)}
	rng := rand.New(rand.NewPCG(3, 3))
	for _, location := range locations {
		c := newClock(&Options{Location: location})
		for range 4000 {
			at := changes[rng.IntN(len(changes))].Add(time.Duration(rng.IntN(7200_000)) * time.Millisecond)
			ms := uint64(at.UnixMilli())
			local := at.In(location)
			if got, want := string(c.seconds(nil, ms)), local.Format("2006-01-02 15:04:05"); got != want {
				t.Fatalf("%s: %q, want %q", location, got, want)
			}
			if got, want := string(c.time([]byte("x"), ms)), local.Format("x2006-01-02 15:04:05.000"); got != want {
				t.Fatalf("%s: %q, want %q", location, got, want)
			}
			if local.Year() > 9999 {
				continue
			}
			if got, want := string(c.iso([]byte("x"), ms)), local.Format("x2006-01-02T15:04:05.000"); got != want {
				t.Fatalf("%s: %q, want %q", location, got, want)
			}
		}
	}
}

// Events have the names of IANA's registry of natEvent (element 230) and of Cisco's
// description of its firewalls' events; what they do not know is no other event.
func TestNamesOfEvents(t *testing.T) {
	for v, want := range map[uint8]string{1: "NAT translation create", 2: "NAT translation delete",
		3: "NAT Addresses exhausted", 4: "NAT44 session create", 5: "NAT44 session delete",
		6: "NAT64 session create", 7: "NAT64 session delete", 8: "NAT44 BIB create", 9: "NAT44 BIB delete",
		10: "NAT64 BIB create", 11: "NAT64 BIB delete", 12: "NAT ports exhausted", 13: "Quota Exceeded",
		14: "Address binding create", 15: "Address binding delete", 16: "Port block allocation",
		17: "Port block de-allocation", 18: "Threshold Reached", 19: "Unassigned", 255: "Unassigned"} {
		short, long := natEvent(v)
		if !strings.EqualFold(long, want) || len(short) > 8 {
			t.Errorf("NAT event %d is %q (%s), want %q", v, long, short, want)
		}
	}
	for v, want := range map[uint8]string{0: "IGNORE", 1: "CREATE", 2: "DELETE", 3: "DENIED", 4: "ALERT", 5: "UPDATE",
		6: "UNKNOW", 255: "UNKNOW"} {
		if got := firewallEvent(v); got != want {
			t.Errorf("firewall event %d is %q, want %q", v, got, want)
		}
	}
	for v, want := range map[uint16]string{0: "Ignore", 1001: "I-ACL", 1002: "E-ACL", 1003: "Adap", 1004: "No Syn",
		1000: "1000", 1005: "1005", 2048: "2048"} {
		if got := extendedEventText(v); got != want {
			t.Errorf("extended event %d is %q, want %q", v, got, want)
		}
	}
}

// Protocols have the numbers of IANA's registry.
func TestNamesOfProtocols(t *testing.T) {
	for proto, want := range map[uint8]string{1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 33: "DCCP", 41: "IPv6",
		46: "RSVP", 47: "GRE", 50: "ESP", 51: "AH", 58: "ICMP6", 88: "EIGRP", 89: "OSPF", 103: "PIM", 112: "VRRP",
		115: "L2TP", 132: "SCTP", 137: "MPLS", 0: "0", 138: "138", 254: "254", 255: "255"} {
		if got := protoText(proto); got != want {
			t.Errorf("protocol %d is %q, want %q", proto, got, want)
		}
		var o Options
		if got := string(o.appendProto(nil, proto)); got != fmt.Sprintf("%-5s", want) {
			t.Errorf("protocol %d is %q in 5 columns", proto, got)
		}
		o.Plain = true
		if got := string(o.appendProto(nil, proto)); got != fmt.Sprintf("%-5d", proto) {
			t.Errorf("protocol %d is %q as a number", proto, got)
		}
	}
	for proto, name := range protoNames {
		if len(name) > 5 {
			t.Errorf("protocol %d is %q, wider than its column", proto, name)
		}
	}
}

// TCP's flags stand in the order of the header: RFC 9293, section 3.1.
func TestFlagsInTheirPlaces(t *testing.T) {
	for v, want := range map[uint8]string{0: "........", 0x01: ".......F", 0x02: "......S.", 0x04: ".....R..",
		0x08: "....P...", 0x10: "...A....", 0x20: "..U.....", 0x40: ".E......", 0x80: "C.......", 0x1b: "...AP.SF",
		0xff: "CEUAPRSF"} {
		if got := string(appendFlags(nil, v)); got != want {
			t.Errorf("flags %#x are %q, want %q", v, got, want)
		}
	}
	for _, c := range []struct {
		frag uint8
		want string
	}{{0, "    "}, {2, "DF  "}, {4, "MF  "}, {6, "DFMF"}, {1, "    "}} {
		f := row{&query.Flow{Record: &flow.Record{FragFlags: c.frag}, Extra: &noExtra}}
		if got := string(fragment(nil, nil, f)); got != c.want {
			t.Errorf("fragment flags %d are %q, want %q", c.frag, got, c.want)
		}
	}
}

// Rates are those that a calculator gives; a flow that took no time has none, and one
// that is too fast for 64 bits has the largest.
func TestRatesOfFlows(t *testing.T) {
	for _, c := range []struct {
		first, last            flow.Time
		bytes, packets         uint64
		perSecond, per, bytes1 uint64 // bits and packets a second, bytes a packet
	}{
		{0, 1e9, 1000, 10, 8000, 10, 100},
		{0, 8e9, 1001, 3, 1001, 0, 333},
		{0, 280e6, 7, 7, 200, 25, 1},
		{5e9, 5e9, 1000, 10, 0, 0, 100},
		{5e9, 4e9, 1000, 10, 0, 0, 100}, // ends before it begins
		{0, 1e9, 0, 0, 0, 0, 0},
		{0, 1e9, 1500, 0, 12000, 0, 0},
	} {
		r := &flow.Record{First: c.first, Last: c.last, Bytes: c.bytes, Packets: c.packets}
		f := row{&query.Flow{Record: r, Extra: &noExtra}}
		// In binary fractions of seconds, as nfdump's, one may be missing.
		if got := f.perSecond(r.Bytes * 8); got != c.perSecond && got+1 != c.perSecond {
			t.Errorf("%d bytes in %v are %d bits a second, want %d", c.bytes, time.Duration(c.last-c.first), got,
				c.perSecond)
		}
		if got := f.perSecond(r.Packets); got != c.per && got+1 != c.per {
			t.Errorf("%d packets in %v are %d a second, want %d", c.packets, time.Duration(c.last-c.first), got, c.per)
		}
		if got := f.bytesPerPacketOf(); got != c.bytes1 {
			t.Errorf("%d bytes in %d packets are %d each, want %d", c.bytes, c.packets, got, c.bytes1)
		}
	}
	if got := clampUint(1e30); got != math.MaxUint64 {
		t.Errorf("1e30 is %d", got)
	}
	if got := clampUint(0.9); got != 0 {
		t.Errorf("0.9 is %d", got)
	}
}

// A text of an exporter cannot move the cursor, end the line or hide in C1 controls;
// letters of all languages stay.
func TestTextsOfExporters(t *testing.T) {
	for in, want := range map[string]string{"Gi0/1": "Gi0/1", "\x1b[31mred": "?[31mred", "a\nb\r": "a?b?",
		"\x7f": "?", "\u0085\u009b2J": "??2J", "Zürich": "Zürich", "東京": "東京", "\u00a0": "\u00a0", "": ""} {
		if got := string(appendText(nil, in)); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
		if got := string(appendText(nil, []byte(in))); got != want {
			t.Errorf("%q is %q as bytes, want %q", in, got, want)
		}
	}
}
