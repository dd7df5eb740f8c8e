package query

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// fewValues writes a file of flows whose fields all have few values, so that each key sums some up.
func fewValues(t *testing.T, flows int) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(21, 22))
	n := func(of int) uint64 { return uint64(rng.IntN(of)) }
	path := filepath.Join(t.TempDir(), "nfcapd.202611221000")
	w, err := nffile.Create(path, nffile.Options{})
	must(t, err)
	var four bool // a file has both addresses of a pair in one family
	address := func() netip.Addr {
		if four {
			return netip.AddrFrom4([4]byte{10, byte(n(2)), byte(n(256)), byte(n(4) * 85)})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 5: byte(n(2)), 7: byte(n(256)), 15: byte(n(4) * 85)})
	}
	for range flows {
		four = rng.IntN(2) == 0
		r := flow.Record{Src: address(), Dst: address(), Proto: uint8(6 + 11*n(2)), SrcPort: uint16(n(3) * 1000),
			DstPort: uint16(n(3) * 20000), TCPFlags: uint16(n(4)), SrcTOS: uint8(n(3)), DstTOS: uint8(n(3) * 8),
			SrcMask: uint8(n(4) * 8), DstMask: uint8(24 + n(2)), SrcVLAN: uint16(n(3)), DstVLAN: uint16(4000 + n(3)),
			SrcAS: uint32(n(3) + 64500), DstAS: uint32(n(3) + 4200000000), NextAS: uint32(n(2)), PrevAS: uint32(n(3)),
			Input: uint32(n(3)), Output: uint32(n(3) + 1<<31), NextHop: address(), BGPNextHop: address(),
			InSrcMAC: [6]byte{2, 5: byte(n(3))}, OutDstMAC: [6]byte{2, 5: byte(n(2))}, InDstMAC: [6]byte{byte(n(3))},
			OutSrcMAC: [6]byte{5: byte(n(4))}, ObservationPoint: n(3) << 40, XlateSrc: address(), XlateDst: address(),
			XlateSPort: uint16(n(3)), XlateDPort: uint16(n(2)), IngressVRF: uint32(n(3)), EgressVRF: uint32(n(2)),
			MinTTL: uint8(n(3)), MaxTTL: uint8(n(2) + 254), MPLSDepth: 10, Packets: 1 + n(100), Bytes: 40 + n(100000),
			First: flow.Milli(1767225600000 + n(1000)), Exporter: netip.AddrFrom4([4]byte{192, 0, 2, byte(n(3))})}
		for i := range r.MPLS {
			r.MPLS[i] = uint32(n(3))<<4 | uint32(i/9)
		}
		r.Last = r.First + flow.Milli(n(5000))
		for f := range flow.Field(flow.NumFields) {
			switch f {
			case flow.Flows, flow.RevBytes, flow.RevPackets, flow.EventTime, flow.FwEvent, flow.NATEvent, flow.FwXEvent,
				flow.User, flow.AppID, flow.IngressACL, flow.EgressACL, flow.PortBlock:
			default:
				r.Present.Add(f)
			}
		}
		must(t, w.Append(&r))
	}
	must(t, w.Close())
	return path
}

// keyOf returns the value of a key of an aggregation, by nfdump's name of it, told beside the package.
func keyOf(name string, r *flow.Record) any {
	switch name {
	case "proto":
		return r.Proto
	case "srcip":
		return r.Src
	case "dstip":
		return r.Dst
	case "srcport":
		return r.SrcPort
	case "dstport":
		return r.DstPort
	case "srcmask":
		return r.SrcMask
	case "dstmask":
		return r.DstMask
	case "srcvlan":
		return r.SrcVLAN
	case "dstvlan":
		return r.DstVLAN
	case "srcas", "srcasn":
		return r.SrcAS
	case "dstas", "dstasn":
		return r.DstAS
	case "nextas":
		return r.NextAS
	case "prevas":
		return r.PrevAS
	case "inif":
		return r.Input
	case "outif":
		return r.Output
	case "next":
		return r.NextHop
	case "bgpnext":
		return r.BGPNextHop
	case "insrcmac":
		return r.InSrcMAC
	case "outdstmac":
		return r.OutDstMAC
	case "indstmac":
		return r.InDstMAC
	case "outsrcmac":
		return r.OutSrcMAC
	case "tos", "srctos":
		return r.SrcTOS
	case "dsttos":
		return r.DstTOS
	case "flags":
		return r.TCPFlags
	case "router":
		return r.Exporter
	case "opid":
		return r.ObservationPoint
	case "xsrcip":
		return r.XlateSrc
	case "xdstip":
		return r.XlateDst
	case "xsrcport":
		return r.XlateSPort
	case "xdstport":
		return r.XlateDPort
	case "ivrf":
		return r.IngressVRF
	case "evrf":
		return r.EgressVRF
	}
	return rareKeyOf(name, r)
}

// rareKeyOf is keyOf for labels, and for keys that are cut.
func rareKeyOf(name string, r *flow.Record) any {
	var label int
	if n, _ := fmt.Sscanf(name, "mpls%d", &label); n == 1 {
		return r.MPLS[label-1] >> 4
	}
	for _, side := range []struct {
		prefix string
		addr   netip.Addr
		mask   uint8
	}{{"src", r.Src, r.SrcMask}, {"dst", r.Dst, r.DstMask}} {
		rest, ok := strings.CutPrefix(name, side.prefix)
		if !ok {
			continue
		}
		var family, bits int
		switch n, _ := fmt.Sscanf(rest, "ip%d/%d", &family, &bits); {
		case rest == "geo":
			return someCountryOrNone(side.addr)
		case n == 2 && side.addr.Is4() != (family == 4):
			return "the other family"
		case n == 2:
			return netip.PrefixFrom(side.addr, bits).Masked()
		}
	}
	return nil
}

// someCountryOrNone is someCountry without what is no country.
func someCountryOrNone(a netip.Addr) string {
	if c := someCountry(a); len(c) == 2 {
		return c
	}
	return ""
}

// sum is what a group of flows comes to.
type sum struct {
	flows, packets, bytes uint64
	first, last           uint64 // milliseconds since 1970
}

// plus adds a flow.
func (s sum) plus(r *flow.Record) sum {
	first, last := r.First.Milli(), r.Last.Milli()
	if s.flows > 0 {
		first, last = min(first, s.first), max(last, s.last)
	}
	return sum{s.flows + 1, s.packets + r.Packets, s.bytes + r.Bytes, first, last}
}

// TestEveryKeySumsUp groups flows by every key and by many together, and compares with maps of Go's.
func TestEveryKeySumsUp(t *testing.T) {
	path := fewValues(t, 1500)
	keys := []string{"srcip4/1", "srcip4/8", "srcip4/15", "srcip4/16", "srcip4/24", "srcip4/30", "srcip4/31",
		"srcip4/32",
		"dstip4/23", "srcip6/1", "srcip6/32", "srcip6/47", "srcip6/48", "srcip6/63", "srcip6/64", "srcip6/65",
		"srcip6/127",
		"srcip6/128", "dstip6/56", "dstip6/126", "srcport,dstport,proto", "srcgeo,dstgeo", "srcgeo,srcip4/16,proto",
		"inif,outif,srcas,dstas,nextas,prevas", "insrcmac,outdstmac,indstmac,outsrcmac", "next,bgpnext,router",
		"xsrcip,xdstip,xsrcport,xdstport", "mpls1,mpls2,mpls9,mpls10,ivrf,evrf,opid",
		"tos,dsttos,flags,srcmask,dstmask,srcvlan,dstvlan,proto,srcport,dstport,inif,outif,nextas,prevas,srcas,dstas"}
	for _, name := range AggregationKeys() {
		if family := strings.ContainsAny(name, "46") && strings.Contains(name, "ip"); !family &&
			!slices.Contains([]string{"srcnet", "dstnet", "odid", "minttl", "maxttl"}, name) {
			keys = append(keys, name)
		}
	}
	for _, text := range keys {
		a, err := ParseAggregation(text)
		must(t, err)
		names := strings.Split(text, ",")
		key := func(r *flow.Record) string {
			var b strings.Builder
			for _, name := range names {
				fmt.Fprintf(&b, "%v ", keyOf(name, r))
			}
			return b.String()
		}
		want := map[string]sum{}
		_, err = Each(t.Context(), []string{path}, func(r *flow.Record) error {
			want[key(r)] = want[key(r)].plus(r)
			return nil
		})
		must(t, err)
		var got, expected []sum
		in := Input{Files: []string{path}, Country: someCountry}
		_, err = in.Rows(t.Context(), Listing{Aggregation: a}, func(f *Flow) error {
			got = append(got, sum{f.Flows, f.Packets, f.Bytes, f.First.Milli(), f.Last.Milli()})
			return nil
		})
		must(t, err)
		expected = slices.Collect(maps.Values(want))
		order := func(a, b sum) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
		slices.SortFunc(got, order)
		slices.SortFunc(expected, order)
		if len(want) < 2 || !slices.Equal(got, expected) {
			t.Errorf("%s: %d groups, expected %d, or other sums", text, len(got), len(expected))
		}
	}
}

// TestKeysAreInTheRows: what a row has of its key is what its flows have.
func TestKeysAreInTheRows(t *testing.T) {
	path := fewValues(t, 500)
	for _, name := range []string{"proto", "srcip", "dstip", "srcport", "dstport", "srcmask", "dstmask", "srcvlan",
		"dstvlan",
		"srcas", "dstas", "nextas", "prevas", "inif", "outif", "next", "bgpnext", "insrcmac", "outdstmac", "indstmac",
		"outsrcmac", "tos", "dsttos", "flags", "xsrcip", "xdstip", "xsrcport", "xdstport", "ivrf", "evrf", "opid",
		"mpls1", "mpls5", "mpls10", "srcip4/32,srcip6/128", "dstip4/32,dstip6/128"} {
		a, err := ParseAggregation(name)
		must(t, err)
		key, _, _ := strings.Cut(name, "4/")
		want := map[any]bool{}
		_, err = Each(t.Context(), []string{path}, func(r *flow.Record) error {
			want[keyOf(key, r)] = true
			return nil
		})
		must(t, err)
		got := map[any]bool{}
		_, err = Input{Files: []string{path}}.Rows(t.Context(), Listing{Aggregation: a}, func(f *Flow) error {
			got[keyOf(key, f.Record)] = true
			return nil
		})
		must(t, err)
		if !maps.Equal(got, want) {
			t.Errorf("%s: %d keys, expected %d, or others", name, len(got), len(want))
		}
	}
}

// TestWholeRowsHaveTheirFirstFlow: -a, -b and -B keep all that the first flow of a row says.
func TestWholeRowsHaveTheirFirstFlow(t *testing.T) {
	path := fewValues(t, 3000)
	a := Aggregation{Whole: true, Keys: []AggregationKey{*aggregationKey("srcport"), *aggregationKey("proto")}}
	type first struct {
		src  netip.Addr
		mpls [10]uint32
		ttl  uint8
		vrf  uint32
	}
	key := func(r *flow.Record) [2]uint16 { return [2]uint16{r.SrcPort, uint16(r.Proto)} }
	want := map[[2]uint16]first{}
	_, err := Each(t.Context(), []string{path}, func(r *flow.Record) error {
		if _, ok := want[key(r)]; !ok {
			want[key(r)] = first{r.Src, r.MPLS, r.MinTTL, r.IngressVRF}
		}
		return nil
	})
	must(t, err)
	rows := 0
	_, err = Input{Files: []string{path}}.Rows(t.Context(), Listing{Aggregation: a}, func(f *Flow) error {
		rows++
		if got := (first{f.Src, f.MPLS, f.MinTTL, f.IngressVRF}); got != want[key(f.Record)] {
			t.Errorf("the row of %v has %+v, its first flow %+v", key(f.Record), got, want[key(f.Record)])
		}
		return nil
	})
	must(t, err)
	if rows != len(want) || rows != 6 {
		t.Errorf("%d rows, expected %d", rows, len(want))
	}
}

// TestKeysThatAreNone: what is wrong with a key, and what to write instead.
func TestKeysThatAreNone(t *testing.T) {
	seventeen := strings.Join(AggregationKeys()[11:28], ",")
	for text, want := range map[string]string{
		"  ,, ":             "expected keys, as in srcip4/24,dstport",
		"srcip4/":           "srcip4/: expected a length of 1 to 32",
		"srcip4/0":          "expected a length of 1 to 32",
		"srcip4/-1":         "expected a length of 1 to 32",
		"srcip4/24/8":       "expected a length of 1 to 32",
		"dstip6/129":        "expected a length of 1 to 128",
		"dstip6":            "expected the length of the prefix, as in dstip6/24",
		"dstip/64":          "whose bits? Write dstip4/64 or dstip6/64, or both",
		"srcnet/24":         "only srcip4, srcip6, dstip4 and dstip6 take a length",
		"mpls11":            `there is no key "mpls11": expected some of proto srcip`,
		"srcip4/24,srcip":   "srcip4 and srcip are the same key",
		"srcas,srcasn":      "srcas and srcasn are the same key",
		"tos,srctos":        "tos and srctos are the same key",
		"srcip4/8,srcip4/9": "srcip4 and srcip4 are the same key",
		seventeen:           "",
	} {
		_, err := ParseAggregation(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, expected %q", text, err, want)
		}
	}
}
