package ipfix_test

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestFlowInsideAnother encodes and decodes records whose elements come twice: the first
// header is the tunnel, the last the flow. A record without an inner header is a plain one.
func TestFlowInsideAnother(t *testing.T) {
	a := netip.MustParseAddr
	in4 := []ipfix.FieldSpec{f(8, 4), f(12, 4)}
	ports := []ipfix.FieldSpec{f(7, 2), f(11, 2), f(4, 1)}
	in6 := []ipfix.FieldSpec{f(27, 16), f(28, 16)}
	proto := []ipfix.FieldSpec{f(4, 1)}
	counts := []ipfix.FieldSpec{f(1, 4), f(2, 4)}
	join := func(lists ...[]ipfix.FieldSpec) (all []ipfix.FieldSpec) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	outer6, outer4 := [2]netip.Addr{a("2001:db8:91::1"), a("2001:db8:90::")},
		[2]netip.Addr{a("198.51.100.1"), a("198.51.100.2")}
	inner6, inner4 := [2]netip.Addr{a("2001:db8::1"), a("2001:db8::2")}, [2]netip.Addr{a("192.0.2.13"), a("192.0.2.12")}
	for _, c := range []struct {
		name         string
		fields       []ipfix.FieldSpec
		outer, inner [2]netip.Addr
		proto        uint8
		once         bool // the ports come once
	}{
		{"SRv6, IPv4 inside", join(in6, ports, counts, in4, ports), outer6, inner4, 4, false},
		{"SRv6, IPv6 inside", join(in6, ports, counts, in6, ports), outer6, inner6, 41, false},
		{"IP in IP", join(in4, ports, in4, ports, counts), outer4, inner4, 4, false},
		{"6in4", join(in4, ports, in6, ports, counts), outer4, inner6, 41, false},
		{"only the addresses come again", join(in4, in4, ports, counts), outer4, inner4, 0, true},
		{"the ports come once, behind", join(in4, proto, counts, in4, ports), outer4, inner4, 4, true},
		{"the ports come once, before", join(in6, ports, counts, in4, proto), outer6, inner4, 43, true},
		{"the ports come once, behind a transport's", join(in4, proto, in4, ports, counts), outer4, inner4, 17, true},
		{"either family inside", join(in6, ports, counts, in4, in6, ports), outer6, inner4, 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tunnelled := flow.Record{Src: c.inner[0], Dst: c.inner[1], SrcPort: 1111, DstPort: 2222, Proto: 17,
				Bytes: 1000, Packets: 10,
				TunSrc: c.outer[0], TunDst: c.outer[1], TunSrcPort: 3333, TunDstPort: 4444, TunProto: c.proto}
			plain := flow.Record{Src: c.outer[0], Dst: c.outer[1], SrcPort: 5, DstPort: 6, Proto: 6, Bytes: 7,
				Packets: 8}
			tmpl := template(t, 256, c.fields...)
			var e ipfix.Encoder
			e.Begin(nil, exported)
			if n := e.AddData(tmpl, []flow.Record{tunnelled, plain, tunnelled}); n != 3 {
				t.Fatalf("%d of 3 records fit", n)
			}
			var got []flow.Record
			decode(t, tmpl, e.End(), func(r *flow.Record) { got = append(got, *r) })
			if c.once {
				tunnelled.TunSrcPort, tunnelled.TunDstPort = 0, 0
			}
			for i, want := range []flow.Record{tunnelled, plain, tunnelled} {
				r := &got[i]
				if r.Src != want.Src || r.Dst != want.Dst || r.SrcPort != want.SrcPort || r.DstPort != want.DstPort ||
					r.Proto != want.Proto ||
					r.TunSrc != want.TunSrc || r.TunDst != want.TunDst || r.TunProto != want.TunProto ||
					r.Bytes != want.Bytes ||
					r.Has(flow.TunSrc) != want.TunSrc.IsValid() {
					t.Errorf("record %d:\n got %+v\nwant %+v", i, *r, want)
				}
				if r.TunSrcPort != want.TunSrcPort || r.TunDstPort != want.TunDstPort {
					t.Errorf("record %d: outer ports %d and %d, want %d and %d", i, r.TunSrcPort, r.TunDstPort,
						want.TunSrcPort, want.TunDstPort)
				}
				if wantVersion := uint8(6); r.Src.Is4() && r.IPVersion != 4 || !r.Src.Is4() &&
					r.IPVersion != wantVersion {
					t.Errorf("record %d of %s: IP version %d", i, r.Src, r.IPVersion)
				}
			}
		})
	}
}

// TestFramesOfATunnel holds that the addresses of layer 2 are of the same header as those
// of layer 3.
func TestFramesOfATunnel(t *testing.T) {
	mac := func(s string) string { return "00005e0053" + s }
	r := one(t, flow.Record{}, mac("01")+mac("02")+"c6336401"+"c6336402"+mac("03")+mac("04")+"c0000201"+"c0000202",
		f(56, 6), f(80, 6), f(8, 4), f(12, 4), f(56, 6), f(80, 6), f(8, 4), f(12, 4))
	if r.Src != netip.MustParseAddr("192.0.2.1") || r.InSrcMAC[5] != 3 || r.InDstMAC[5] != 4 ||
		r.TunSrc != netip.MustParseAddr("198.51.100.1") {
		t.Errorf("got %+v", r)
	}
}

// TestWhatATunnelTellsOnce holds whose the protocol and the ports are that a record with
// two headers has once: of what stands before the inner addresses the protocol decides.
func TestWhatATunnelTellsOnce(t *testing.T) {
	outer, inner := "c6336401c6336402", "c0000201c0000202"
	addrs := []ipfix.FieldSpec{f(8, 4), f(12, 4)}
	head := append(append([]ipfix.FieldSpec{}, addrs...), f(4, 1), f(7, 2), f(11, 2))
	for _, c := range []struct {
		name           string
		proto          string
		port, tunPort  uint16
		want, tunProto uint8
	}{
		{"TCP carries no tunnel", "06", 1111, 0, 6, 0},
		{"nor does ICMP", "01", 1111, 0, 1, 0},
		{"IP in IP has no ports", "04", 1111, 0, 0, 4},
		{"a routing header neither", "2b", 1111, 0, 0, 43},
		{"UDP carries tunnels", "11", 0, 1111, 0, 17},
	} {
		r := one(t, flow.Record{}, outer+c.proto+"0457"+"08ae"+inner, append(head, addrs...)...)
		if r.Src != netip.MustParseAddr("192.0.2.1") || r.TunSrc != netip.MustParseAddr("198.51.100.1") ||
			r.SrcPort != c.port || r.TunSrcPort != c.tunPort || r.Proto != c.want || r.TunProto != c.tunProto ||
			r.Has(flow.Proto) != (c.want != 0) || r.Has(flow.TunProto) != (c.tunProto != 0) {
			t.Errorf("%s: got %+v", c.name, r)
		}
	}
}
