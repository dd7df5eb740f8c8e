package report

import (
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// ourFile writes a file with counters, times, protocols and addresses of all
// magnitudes.
func ourFile(t *testing.T, compression nffile.Compression) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd.202611221000")
	w, err := nffile.Create(path, nffile.Options{Compression: compression, Ident: "edge1"})
	if err != nil {
		t.Fatal(err)
	}
	start := flow.TimeOf(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
	var r flow.Record
	for i := range 3000 {
		r.Reset()
		for _, f := range []flow.Field{flow.Input, flow.SrcAS, flow.SrcVLAN, flow.NextHop, flow.BGPNextHop,
			flow.NextAS} {
			r.Present.Add(f)
		}
		r.Exporter, r.Version, r.Domain = netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i%5)}), flow.V9, uint32(i%3)
		r.First = start + flow.Time(i*97)*1e6
		r.Last = r.First + flow.Time(math.Pow(1.9, float64(i%36)))*1e6
		r.Received = r.Last
		r.Src, r.Dst = netip.AddrFrom4([4]byte{10, 0, byte(i % 3), byte(i % 11)}),
			netip.AddrFrom4([4]byte{198, 51, 100, byte(i % 7)})
		if i%4 == 0 {
			r.Src = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(i % 3), 2, 0, 3, 0, 4, 0, 5, 0,
				byte(i % 13)})
			r.Dst = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i % 5)})
		}
		r.Proto, r.SrcPort, r.DstPort = uint8(i%150), uint16(i%97), uint16(i*31)
		r.Packets = uint64(math.Pow(10, float64(i%13)))
		r.Bytes = r.Packets * uint64(40+i%1400)
		if i%6 == 0 {
			r.RevPackets, r.RevBytes, r.Flows = 7, 999950, uint64(i%4)
		}
		r.SrcTOS, r.DstTOS, r.TCPFlags = uint8(i%9), uint8(i%8), uint16(i&0xff)
		r.Input, r.Output, r.SrcMask, r.DstMask, r.Direction = uint32(i%6), uint32(i%7), 24, uint8(i%33), uint8(i&1)
		r.SrcAS, r.DstAS, r.NextAS, r.PrevAS = 64500+uint32(i%6), 4200000000+uint32(i%6), uint32(i%2), uint32(i%3)
		r.SrcVLAN, r.DstVLAN = uint16(i%4), uint16(i%5)
		r.NextHop, r.BGPNextHop = netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 3)}),
			netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 4)})
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// notIn171 are elements that nfdump 1.7.1 does not know, or prints otherwise: it counts
// one MAC for inmac and outmac, its percentages of mask, srcmac and dstmac overflow, and it
// prints events of firewalls in its own words, those of translators as if they were such.
var notIn171 = []string{"flags", "mac", "inmac", "outmac", "srcmac", "dstmac", "mask", "sysid", "natip", "natport",
	"tunproto", "ethertype", "minttl", "maxttl", "record", "event", "nevent",
	"srcgeo", "dstgeo", "geo"} // without a data base 1.7.1 prints two octets of 0

// TestOursInNfdump: nfdump and this package print the same of a file that this
// project has written: every flow, every statistic.
func TestOursInNfdump(t *testing.T) {
	for _, c := range []nffile.Compression{nffile.None, nffile.LZ4} {
		file := ourFile(t, c)
		for _, format := range []string{"line", "line6"} {
			opt := Options{Location: time.UTC, LongIPv6: format == "line6"}
			compareLines(t, format, list(t, file, opt), nfdump(t, "-r", file, "-o", format))
		}
		compareLines(t, "line -N", list(t, file, Options{Location: time.UTC, Plain: true}),
			nfdump(t, "-r", file, "-o", "line", "-N"))
		for _, e := range query.Elements() {
			if c == nffile.None || slices.Contains(notIn171, e) {
				continue
			}
			for _, spec := range []string{e + "/bytes", e + ":p/flows", e + "/ibps"} {
				compareLines(t, spec, sortRows(stat(t, file, 0, spec)),
					sortRows(nfdump(t, "-r", file, "-n", "0", "-s", spec)))
			}
		}
	}
}

// compareLines reports the first line that differs.
func compareLines(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("%s, line %d:\n%s\nexpected\n%s", what, i+1, g[i], w[i])
			return
		}
	}
	t.Errorf("%s: %d lines, expected %d", what, len(g), len(w))
}
