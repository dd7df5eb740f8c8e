package report

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// kinds are fields that stand in one element of a file, and set them from a number.
var kinds = []struct {
	fields []flow.Field
	set    func(r *flow.Record, i int)
}{
	{[]flow.Field{flow.Input, flow.Output, flow.SrcMask, flow.DstMask, flow.Direction, flow.DstTOS, flow.EndReason},
		func(r *flow.Record, i int) {
			r.Input, r.Output, r.SrcMask, r.DstMask = uint32(i), 4294967295, uint8(i*7%33), uint8(i%25)
			r.Direction, r.DstTOS, r.BiflowDir, r.EndReason = uint8(i&1), uint8(i*3), uint8(i%5), uint8(i%7)
			if r.Src.Is6() {
				r.SrcMask, r.DstMask = uint8(i*5%129), 64
			}
		}},
	{[]flow.Field{flow.Flows, flow.RevBytes, flow.RevPackets}, func(r *flow.Record, i int) {
		r.Flows, r.RevPackets, r.RevBytes = uint64(i+1), uint64(i*100003), 999949<<(i%20)
	}},
	{[]flow.Field{flow.SrcVLAN, flow.DstVLAN}, func(r *flow.Record, i int) { r.SrcVLAN, r.DstVLAN = 4094, uint16(i) }},
	{[]flow.Field{flow.SrcAS, flow.DstAS}, func(r *flow.Record, i int) { r.SrcAS, r.DstAS = uint32(i), 4200000000 }},
	{[]flow.Field{flow.BGPNextHop}, func(r *flow.Record, i int) { r.BGPNextHop = testAddr(i, 7) }},
	{[]flow.Field{flow.NextHop}, func(r *flow.Record, i int) { r.NextHop = testAddr(i, 9) }},
	{[]flow.Field{flow.MPLS}, func(r *flow.Record, i int) {
		r.MPLS, r.MPLSDepth = [10]uint32{uint32(i<<4) | 7, 1048575<<4 | 14, 1<<4 | 1}, 3
	}},
	{[]flow.Field{flow.InSrcMAC, flow.OutDstMAC, flow.InDstMAC, flow.OutSrcMAC}, func(r *flow.Record, i int) {
		r.InSrcMAC, r.OutDstMAC = [6]byte{2, 0, 0, 0, 0xab, byte(i)}, [6]byte{2, 1}
		r.InDstMAC, r.OutSrcMAC = [6]byte{2, 2}, [6]byte{255, 255, 255, 255, 255, 255}
	}},
	{[]flow.Field{flow.NextAS, flow.PrevAS}, func(r *flow.Record, i int) { r.NextAS, r.PrevAS = uint32(i), 65551 }},
	{[]flow.Field{flow.XlateSrc, flow.XlateDst}, func(r *flow.Record, i int) {
		r.XlateSrc, r.XlateDst = testAddr(i, 3), testAddr(i, 4)
	}},
	{[]flow.Field{flow.XlateSPort, flow.XlateDPort}, func(r *flow.Record, i int) {
		r.XlateSPort, r.XlateDPort = uint16(i*1009), 443
	}},
	{[]flow.Field{flow.IngressACL, flow.EgressACL}, func(r *flow.Record, i int) {
		r.IngressACL, r.EgressACL = [12]byte{0, 0, 0, byte(i), 4: 1, 11: 5}, [12]byte{0xff, 0xff, 0xff, 0xff}
	}},
	{[]flow.Field{flow.User}, func(r *flow.Record, i int) { r.User = fmt.Appendf(nil, "user%d", i) }},
	{[]flow.Field{flow.PortBlock}, func(r *flow.Record, i int) { r.PortBlock = [4]uint16{uint16(i), 2047, 1, 1024} }},
	{[]flow.Field{flow.IngressVRF, flow.EgressVRF}, func(r *flow.Record, i int) {
		r.IngressVRF, r.EgressVRF = uint32(i), 4000000000
	}},
	{[]flow.Field{flow.ObservationPoint}, func(r *flow.Record, i int) { r.ObservationPoint = uint64(i) << 33 }},
}

// testAddr returns addresses of both families, with zeros in all places.
func testAddr(i, salt int) netip.Addr {
	switch i % 5 {
	case 0:
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 8: byte(i), 15: byte(salt)})
	case 1:
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0x12, 0x34, byte(i), 1, 0xab, 0xcd, 0, 1, 0, 2, 0xff,
			byte(salt)})
	case 2:
		return netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(salt)})
	case 3:
		return netip.AddrFrom4([4]byte{255, byte(i), 100, byte(salt)})
	}
	return netip.AddrFrom4([4]byte{10, 0, byte(salt), byte(i)})
}

// everyKind writes a file with flows that have every field, each alone and with others.
func everyKind(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(path, nffile.Options{Ident: "edge1"})
	if err != nil {
		t.Fatal(err)
	}
	start := flow.TimeOf(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))
	var r flow.Record
	for i := range 400 {
		r.Reset()
		r.Version, r.Domain, r.Exporter = flow.V9, uint32(i%3), netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i%4)})
		r.EngineType, r.EngineID = uint8(i%3), uint8(i%250)
		r.First = start + flow.Time(i)*flow.Time(time.Millisecond)*1777
		r.Last = r.First + flow.Time(i*i)*flow.Time(time.Millisecond)*1009
		r.Received = r.Last + 1e9
		r.Src, r.Dst = testAddr(i, 1), testAddr(i+5*(i%7), 2)
		r.Proto, r.SrcPort, r.DstPort = [...]uint8{6, 17, 1, 58, 47, 132, 200, 0}[i%8], uint16(i*17), uint16(i*331)
		r.TCPFlags, r.SrcTOS, r.FwdStatus = uint16(i&0xff), uint8(i), uint8(i%70)
		r.Packets, r.Bytes = uint64(i)<<(i%28), uint64(i*9)<<(i%20)
		set := func(k int) {
			kinds[k].set(&r, i)
			for _, f := range kinds[k].fields {
				r.Present.Add(f)
			}
		}
		set(i % len(kinds))
		if i > 200 {
			set(i / 3 % len(kinds))
			set(i / 7 % len(kinds))
		}
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// notCompared are tags that nfdump 1.7.1 prints nothing sensible for: it takes mpls10 for
// mpls1 and a 0.
var notCompared = map[string]bool{"ipl": true, "opl": true, "n": true, "mpls10": true}

// TestEveryFormatIsNfdumps compares every format, and every tag, with nfdump 1.7.1, on
// flows with every field.
func TestEveryFormatIsNfdumps(t *testing.T) {
	file := everyKind(t)
	opt := Options{Location: time.UTC, Compat: Nfdump171}
	for _, format := range []string{"line", "line6", "long", "extended", "biline", "bilong6", "gline", "glong", "nsel",
		"nel", "raw", "csv", "json", "pipe", "null"} {
		got, want := printed(t, file, format, opt), nfdump(t, "-r", file, "-o", format)
		compareLines(t, format, ipv6Net.ReplaceAllString(got, ""), ipv6Net.ReplaceAllString(want, ""))
	}
	opt.Plain = true
	compareLines(t, "-N", printed(t, file, "extended", opt), nfdump(t, "-r", file, "-o", "extended", "-N"))
	opt.Plain = false
	for i := range tags {
		name := tags[i].name
		if tags[i].since178 || notCompared[name] {
			continue
		}
		format := "fmt:[%" + name + "]"
		compareLines(t, format, printed(t, file, format, opt), nfdump(t, "-r", file, "-o", format))
	}
}

// TestAddressesThatAreNoKeys: what a row has in the place of an address that is none of its
// keys is of the family that its first flow has, as with nfdump.
func TestAddressesThatAreNoKeys(t *testing.T) {
	file := everyKind(t)
	for _, keys := range []string{"proto", "srctos", "srcip", "dstport", "dstip,srcport", "nextas", "next"} {
		a, err := query.ParseAggregation(keys)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"line", "line6", "fmt:%fl %sa %da %nh %nhb", "fmt:%byt %sap %dap %sn %dn",
			"fmt:%byt %xsa %xda", "csv", "pipe"} {
			opt := Options{Location: time.UTC, Quiet: true, Compat: Nfdump171}
			var out strings.Builder
			p, err := Open(&out, format, opt)
			if err != nil {
				t.Fatal(err)
			}
			in := query.Input{Files: []string{file}}
			if format == "line6" { // what decodes flows
				in.Filter, err = nffilter.Parse("engine-type < 3", nffilter.Options{})
			}
			totals, rowsErr := in.Rows(t.Context(), query.Listing{Aggregation: a}, p.Flow)
			err = errors.Join(err, rowsErr)
			if err := errors.Join(err, p.End(&totals, Usage{})); err != nil {
				t.Fatal(err)
			}
			got, want := strings.Split(out.String(), "\n"), strings.Split(nfdump(t, "-r", file, "-q", "-A", keys, "-o",
				format), "\n")
			slices.Sort(got)
			slices.Sort(want)
			compareLines(t, keys+" "+format, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// ipv6Net is a network of IPv6 in JSON, where nfdump 1.7.1 is wrong for most masks.
var ipv6Net = regexp.MustCompile(`(?m)^\t"..._net" : "[^".]*",\n`)
