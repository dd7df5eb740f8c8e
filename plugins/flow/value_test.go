package flow

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

// Masks leave of an address what a prefix of its length leaves: net/netip is the oracle.
func TestMasks(t *testing.T) {
	and := func(v, mask Value) Value { return Value{v.Hi & mask.Hi, v.Lo & mask.Lo} }
	for _, text := range []string{"255.255.255.255", "192.0.2.129"} {
		a := netip.MustParseAddr(text)
		for n := range 33 {
			want, _ := a.Prefix(n)
			if got := and(ValueOf(a), Mask4(n)).Addr(); got != want.Addr() {
				t.Errorf("%s/%d: %s, want %s", text, n, got, want.Addr())
			}
		}
		if Mask4(-1) != Mask4(0) || Mask4(33) != Mask4(32) {
			t.Error("lengths of IPv4 outside of 0 to 32")
		}
	}
	for _, text := range []string{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:8000:1:8000:0:0:1"} {
		a := netip.MustParseAddr(text)
		for n := range 129 {
			want, _ := a.Prefix(n)
			if got := and(ValueOf(a), Mask6(n)); got != ValueOf(want.Addr()) {
				t.Errorf("%s/%d: %s, want %s", text, n, got.Addr(), want.Addr())
			}
		}
	}
	if Mask6(-1) != (Value{}) || Mask6(129) != Mask6(128) || Mask6(128) != (Value{math.MaxUint64, math.MaxUint64}) {
		t.Error("lengths of IPv6 outside of 0 to 128")
	}
}

// An IPv4 address is counted as its IPv4-mapped one (RFC 4291, section 2.5.5.2).
func TestValues(t *testing.T) {
	for text, want := range map[string]Value{
		"192.0.2.1":        {0, 0xFFFF_C000_0201},
		"::ffff:192.0.2.1": {0, 0xFFFF_C000_0201},
		"::":               {},
		"2001:db8::1":      {0x2001_0db8_0000_0000, 1},
	} {
		a := netip.MustParseAddr(text)
		if got := ValueOf(a); got != want {
			t.Errorf("%s is %x, want %x", text, got, want)
		}
		if got := ValueOf(a).Addr(); got != a.Unmap() {
			t.Errorf("%s comes back as %s", text, got)
		}
	}
	if got := ValueOf(netip.Addr{}); got != (Value{0, 0xFFFF_0000_0000}) {
		t.Errorf("no address is %x", got)
	}
}

// Times that a Time cannot hold are unknown, the last one that it can is not.
func TestTimesAtTheEnd(t *testing.T) {
	const last = math.MaxInt64 / 1_000_000_000
	for seconds, want := range map[int64]Time{-1: 0, 0: 0, 1: 1_000_000_000, last - 1: (last - 1) * 1_000_000_000,
		last: 0, last + 1: 0} {
		if got := TimeOf(time.Unix(seconds, 0)); got != want {
			t.Errorf("%d s are %d, want %d", seconds, got, want)
		}
	}
	for at, want := range map[time.Time]Time{time.Unix(0, 5e8): 5e8, time.Unix(0, 1): 1, time.Unix(0, -1): 0,
		time.Unix(last, -1): last*1_000_000_000 - 1, {}: 0} {
		if got := TimeOf(at); got != want {
			t.Errorf("%v is %d, want %d", at, got, want)
		}
	}
	const lastMilli = math.MaxInt64 / 1_000_000
	for ms, want := range map[uint64]Time{0: 0, 1: 1_000_000, lastMilli: lastMilli * 1_000_000, lastMilli + 1: 0,
		math.MaxUint64: 0} {
		if got := Milli(ms); got != want {
			t.Errorf("%d ms are %d, want %d", ms, got, want)
		}
	}
}
