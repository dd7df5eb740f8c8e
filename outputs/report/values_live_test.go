package report

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// fileOf writes a file of flows that set makes, by their numbers.
func fileOf(t *testing.T, flows int, set func(r *flow.Record, i int)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(path, nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := flow.TimeOf(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))
	for i := range flows {
		r := flow.Record{Version: flow.V9, Exporter: netip.MustParseAddr("192.0.2.1"), First: start, Last: start,
			Received: start, Src: netip.MustParseAddr("192.0.2.7"), Dst: netip.MustParseAddr("198.51.100.9"), Proto: 6}
		set(&r, i)
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// edges are numbers at which digits and scales change, up to a bound.
func edges(most uint64) (list []uint64) {
	for n := uint64(1); n <= most/10; n *= 10 {
		list = append(list, n-1, n, n+1, n*5-1, n*5, n*9+n/2)
	}
	return append(list, most)
}

// TestValuesAreNfdumps writes each value that a column can have, or those at which its text changes,
// and compares the column with that of nfdump 1.7.1.
func TestValuesAreNfdumps(t *testing.T) {
	bytes, ports := edges(1<<62), edges(65535)
	hosts := []string{"0.0.0.0", "255.255.255.255", "1.2.3.4", "100.10.1.0", "::1", "::", "2001:db8::", "2001:db8::1",
		"2001:db8:1:2:3:4:5:6", "fe80::1", "ff02::1:ff00:0", "2001:db8:0:0:1::", "2001:0:0:1::1", "1:2:3:4:5:6:7:8",
		"abcd:ef01:2345:6789:abcd:ef01:2345:6789"}
	for _, c := range []struct {
		formats string // separated by |
		flows   int
		set     func(r *flow.Record, i int)
	}{
		{"%pr|%pr %sap", 256, func(r *flow.Record, i int) { r.Proto = uint8(i) }},
		{"%flg", 256, func(r *flow.Record, i int) { r.TCPFlags = uint16(i) }},
		{"%flg|%dp|%dap", 256, func(r *flow.Record, i int) {
			r.TCPFlags, r.Proto, r.DstPort = uint16(i), 17,
				uint16(i)
		}},
		{"%tos|%stos|%fwd", 256, func(r *flow.Record, i int) { r.SrcTOS, r.FwdStatus = uint8(i), uint8(255-i) }},
		{"%dp|%it|%ic|%dap", 256, func(r *flow.Record, i int) {
			r.Proto, r.DstPort, r.ICMP = 1, uint16(i<<8|255-i), uint16(i<<8|255-i)
		}},
		{"%dp|%dap", 256, func(r *flow.Record, i int) {
			r.Proto, r.Src, r.Dst = 58, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
			r.DstPort = uint16(255 - i | i<<8)
		}},
		{"%byt|%ibyt|%bps|%pps", len(bytes), func(r *flow.Record, i int) {
			r.Bytes, r.Packets = bytes[i], 1
			r.Last = r.First + flow.Time(time.Second)
		}},
		{"%bpp", len(edges(1<<32 - 1)), func(r *flow.Record, i int) { // of more nfdump has the last 32 bits
			r.Bytes, r.Packets = edges(1<<32 - 1)[i], uint64(1+i%3)
		}},
		{"%pkt|%ipkt", len(bytes), func(r *flow.Record, i int) { r.Packets, r.Bytes = bytes[i], 1 }},
		{"%sp|%dp|%sap|%dap", len(ports), func(r *flow.Record, i int) {
			r.SrcPort, r.DstPort = uint16(ports[i]), uint16(ports[len(ports)-1-i])
		}},
		{"%td|%tds|%te|%ts|%tsr", len(edges(40_000_000_000)), func(r *flow.Record, i int) {
			r.Last = r.First + flow.Milli(edges(40_000_000_000)[i])
		}},
		{"%sa|%da|%sap|%dap", len(hosts) * len(hosts), func(r *flow.Record, i int) {
			a, b := netip.MustParseAddr(hosts[i%len(hosts)]), netip.MustParseAddr(hosts[i/len(hosts)])
			if a.Is4() == b.Is4() {
				r.Src, r.Dst = a, b
			}
			r.SrcPort, r.DstPort = uint16(i), 443
		}},
		{"%in|%out|%smk|%dmk|%dtos|%dir|%sn|%dn", 256, func(r *flow.Record, i int) {
			r.Input, r.Output, r.SrcMask, r.DstMask = uint32(i)<<24, uint32(i), uint8(i%33), uint8((i+7)%33)
			r.DstTOS, r.Direction = uint8(i), uint8(i&1)
			for _, f := range []flow.Field{flow.Input, flow.Output, flow.SrcMask, flow.DstMask, flow.DstTOS,
				flow.Direction} {
				r.Present.Add(f)
			}
		}},
		{"%sas|%das", len(edges(1<<32 - 1)), func(r *flow.Record, i int) {
			list := edges(1<<32 - 1)
			r.SrcAS, r.DstAS = uint32(list[i]), uint32(list[len(list)-1-i])
			r.Present.Add(flow.SrcAS)
			r.Present.Add(flow.DstAS)
		}},
	} {
		file := fileOf(t, c.flows, c.set)
		for format := range strings.SplitSeq(c.formats, "|") {
			for _, plain := range []bool{false, true} {
				for _, long := range []bool{false, true} {
					opt := Options{Location: time.UTC, Compat: Nfdump171, Plain: plain, LongIPv6: long, Quiet: true}
					args := []string{"-r", file, "-q", "-o", "fmt:[" + format + "]"}
					if plain {
						args = append(args, "-N")
					}
					if long {
						args = append(args, "-6")
					}
					compareLines(t, strings.Join(args[3:], " "), printed(t, file, "fmt:["+format+"]", opt),
						nfdump(t, args...))
				}
			}
		}
	}
}
