package nffile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// spot is where a number lies in the payload of an element.
type spot struct {
	at, size int
	field    flow.Field
}

// spots are the numbers of the elements, by the table of FORMAT.md, section 4.
var spots = map[int][]spot{
	elGeneric: {{0, 8, flow.FirstSeen}, {8, 8, flow.LastSeen}, {24, 8, flow.Packets}, {32, 8, flow.Bytes},
		{40, 2, flow.SrcPort}, {42, 2, flow.DstPort}, {44, 1, flow.Proto}, {45, 1, flow.TCPFlags},
		{46, 1, flow.FwdStatus}, {47, 1, flow.SrcTOS}},
	elMisc: {{0, 4, flow.Input}, {4, 4, flow.Output}, {8, 1, flow.SrcMask}, {9, 1, flow.DstMask}, {10, 1, flow.Direction},
		{11, 1, flow.DstTOS}, {12, 1, flow.BiflowDir}, {13, 1, flow.EndReason}, {15, 1, flow.FragFlags}},
	elCount:       {{0, 8, flow.Flows}, {8, 8, flow.RevPackets}, {16, 8, flow.RevBytes}},
	elVLAN:        {{0, 4, flow.SrcVLAN}, {4, 4, flow.DstVLAN}},
	elAS:          {{0, 4, flow.SrcAS}, {4, 4, flow.DstAS}},
	elMAC:         {{0, 8, flow.InSrcMAC}, {8, 8, flow.OutDstMAC}, {16, 8, flow.InDstMAC}, {24, 8, flow.OutSrcMAC}},
	elASAdjacent:  {{0, 4, flow.NextAS}, {4, 4, flow.PrevAS}},
	elNSEL:        {{0, 8, flow.EventTime}, {8, 4, flow.FlowID}, {12, 2, flow.FwXEvent}, {14, 1, flow.FwEvent}},
	elXlatePort:   {{0, 2, flow.XlateSPort}, {2, 2, flow.XlateDPort}},
	elNAT:         {{0, 8, flow.EventTime}, {8, 4, flow.NATPool}, {12, 1, flow.NATEvent}},
	elObservation: {{0, 8, flow.ObservationPoint}},
	elVRF:         {{0, 4, flow.EgressVRF}, {4, 4, flow.IngressVRF}},
	elLayer2:      {{16, 8, flow.SegmentID}},
	elFlowID:      {{0, 8, flow.FlowID}},
	elIPInfo:      {{1, 1, flow.FragFlags}, {2, 1, flow.MinTTL}, {3, 1, flow.MaxTTL}},
}

// addressSpots are the addresses: the fields of the elements of IPv4 and IPv6, of one or two.
var addressSpots = map[int][]flow.Field{
	elIPv4: {flow.Src, flow.Dst}, elIPv6: {flow.Src, flow.Dst}, elBGPNext4: {flow.BGPNextHop},
	elBGPNext6: {flow.BGPNextHop},
	elNext4:    {flow.NextHop}, elNext6: {flow.NextHop}, elXlate4: {flow.XlateSrc, flow.XlateDst},
	elXlate6: {flow.XlateSrc, flow.XlateDst}, elTunnel4: {flow.TunSrc, flow.TunDst}, elTunnel6: {flow.TunSrc, flow.TunDst},
	elReceived4: {flow.Router}, elReceived6: {flow.Router},
}

// sixes are the elements of IPv6 addresses.
var sixes = []int{elIPv6, elBGPNext6, elNext6, elXlate6, elTunnel6, elReceived6}

// little reads a number as FORMAT.md has them.
func little(b []byte) (v uint64) {
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// addressAt reads an address in host order.
func addressAt(b []byte, six bool) netip.Addr {
	if !six {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(little(b[:4])))))
	}
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, little(b[:8])),
		little(b[8:16]))))
}

// eachRecord walks over the records of all blocks of a file without compression.
func eachRecord(t *testing.T, content []byte, fn func(kind int, rec []byte)) {
	t.Helper()
	blocks, appendix := int(little(content[36:40])), int(little(content[24:32]))
	at, seen := 40, 0
	for at < len(content) {
		records, size, kind := int(little(content[at:at+4])), int(little(content[at+4:at+8])), little(content[at+8:at+10])
		if kind != 3 || little(content[at+10:at+12]) != 0 || at+12+size > len(content) {
			t.Fatalf("block at %d: %d bytes of type %d", at, size, kind)
		}
		if at == appendix {
			if seen != blocks || at+12+size != len(content) || little(content[18:20]) != 1 {
				t.Fatalf("%d blocks before the appendix, the header says %d", seen, blocks)
			}
		}
		for rest := content[at+12 : at+12+size]; len(rest) > 0; records-- {
			n := int(little(rest[2:4]))
			fn(int(little(rest[:2])), rest[:n])
			rest = rest[n:]
		}
		if records != 0 {
			t.Fatalf("block at %d says %d records too many", at, records)
		}
		at, seen = at+12+size, seen+1
	}
}

// randomFlow returns a flow with values in a random choice of the fields that files have.
func randomFlow(rng *rand.Rand, six bool) *flow.Record {
	r := &flow.Record{Exporter: router, Version: flow.V9, Domain: 77, EngineType: uint8(rng.Uint32()),
		EngineID: uint8(rng.Uint32())}
	if six {
		r.Exporter = addr("2001:db8:cafe::1")
	}
	address := func(f flow.Field) {
		a := netip.AddrFrom4([4]byte(le.AppendUint32(nil, rng.Uint32())))
		if six {
			a = netip.AddrFrom16([16]byte(le.AppendUint64([]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 1}, rng.Uint64())))
		}
		r.SetAddr(f, a)
		r.Present.Add(f)
	}
	for id, list := range spots {
		if rng.IntN(2) == 0 && id != elGeneric {
			continue
		}
		for _, s := range list {
			r.SetNumber(s.field, rng.Uint64())
			r.Present.Add(s.field)
		}
	}
	for _, fields := range addressSpots {
		if rng.IntN(2) == 0 || fields[0] == flow.Src {
			for _, f := range fields {
				if f != flow.Router {
					address(f)
				}
			}
		}
	}
	r.TCPFlags &= 0xff
	r.First = slot + flow.Time(rng.Int64N(1e12))/1e6*1e6
	r.Last, r.Received = r.First+flow.Time(rng.Int64N(1e6))*1e6, slot+flow.Time(rng.Int64N(1e6))*1e6
	r.EventTime = 0
	if r.Has(flow.EventTime) {
		r.EventTime = slot + flow.Time(rng.Int64N(1e6))*1e6
	}
	r.FlowID &= 1<<32 - 1 // where it is a firewall's connection
	r.Flows = max(r.Flows, 1)
	r.TunProto = uint8(rng.Uint32())
	r.SamplingRate = 0
	return r
}

// TestFilesByTheirOffsets writes random flows, and reads the file by nothing but the tables of
// FORMAT.md: each number and address lies where these say, each element is there once, and
// those that there must be are.
func TestFilesByTheirOffsets(t *testing.T) {
	rng := rand.New(rand.NewPCG(101, 102))
	w := mustCreate(t, Options{Extended: true, Ident: "edge1"})
	var want []*flow.Record
	for i := range 400 {
		r := randomFlow(rng, i%3 == 0)
		want = append(want, r)
		must(t, w.Append(r))
		if i%97 == 0 {
			must(t, w.Flush())
		}
	}
	must(t, w.Close())
	content, err := os.ReadFile(w.Path())
	must(t, err)
	if little(content[:2]) != 0xA50C || little(content[2:4]) != 2 || little(content[4:8]) != 0x01070100 ||
		content[16] != 0 {
		t.Fatalf("header %x", content[:40])
	}
	n, exporters := 0, map[int][]byte{}
	ident, stat := "", []byte(nil)
	eachRecord(t, content, func(kind int, rec []byte) {
		switch kind {
		case 7:
			exporters[int(little(rec[26:28]))] = rec
		case 11:
			isFlow(t, rec, want[n], exporters)
			n++
		case 0x8001:
			ident = string(rec[4:])
		case 0x8002:
			stat = rec
		}
	})
	if n != len(want) || strings.TrimRight(ident, "\x00") != "edge1" || len(stat) != 148 {
		t.Fatalf("%d flows of %d, ident %q, statistics of %d bytes", n, len(want), ident, len(stat))
	}
	isStat(t, stat, want)
}

// isFlow compares a record with the flow that it was made of.
func isFlow(t *testing.T, rec []byte, r *flow.Record, exporters map[int][]byte) {
	t.Helper()
	x := exporters[int(little(rec[8:10]))]
	six := r.Exporter.Is6()
	if x == nil || little(x[4:8]) != 9 || little(x[28:32]) != 77 || six != (little(x[24:26]) == 10) ||
		six && addressAt(x[8:24], true) != r.Exporter || !six && addressAt(x[16:20], false) != r.Exporter {
		t.Fatalf("the exporter is %x, want %s", x, r.Exporter)
	}
	if rec[6] != r.EngineType || rec[7] != r.EngineID || rec[11] != 9 {
		t.Fatalf("head %x of %+v", rec[:12], r)
	}
	seen := map[int]bool{}
	for rest := rec[12:]; len(rest) > 0; {
		id, size := int(little(rest[:2])), int(little(rest[2:4]))
		p := rest[4:size]
		if seen[id] {
			t.Fatalf("element %d stands twice", id)
		}
		seen[id], rest = true, rest[size:]
		for _, s := range spots[id] {
			wantNumber := r.Number(s.field) & (1<<(8*s.size) - 1)
			if s.field == flow.EventTime && r.EventTime == 0 {
				wantNumber = r.First.Milli()
			}
			if s.field == flow.FirstSeen && r.Event || s.field == flow.LastSeen && r.Event {
				continue
			}
			if got := little(p[s.at : s.at+s.size]); got != wantNumber {
				t.Fatalf("element %d: %s is %d, want %d", id, s.field, got, wantNumber)
			}
		}
		for i, f := range addressSpots[id] {
			width := map[bool]int{false: 4, true: 16}[slices.Contains(sixes, id)]
			want := r.Addr(f)
			if f == flow.Router {
				want = r.Exporter
			}
			if got := addressAt(p[i*width:], width == 16); got != want {
				t.Fatalf("element %d: %s is %s, want %s", id, f, got, want)
			}
		}
		if id == elTunnel4 && little(p[8:12]) != uint64(r.TunProto) || id == elTunnel6 &&
			little(p[32:40]) != uint64(r.TunProto) {
			t.Fatalf("element %d: protocol %x, want %d", id, p, r.TunProto)
		}
		if id == elGeneric && little(p[16:24]) != r.Received.Milli() || id == elObservation && little(p[8:16]) != 77 {
			t.Fatalf("element %d: %x", id, p)
		}
	}
	if len(seen) != int(little(rec[4:6])) {
		t.Fatalf("%d elements, the head says %d", len(seen), little(rec[4:6]))
	}
	for _, e := range fieldsOf {
		id := e.id
		if six && slices.Contains(sixes, id+1) {
			id++
		}
		wanted := r.Present.Meets(e.fields) && !(e.id == elFlowID && r.Has(flow.FwEvent))
		if seen[id] != wanted {
			t.Fatalf("element %d is there: %v, want %v", id, seen[id], wanted)
		}
	}
	if !seen[elGeneric] || seen[elCount] != (r.Flows > 1 || r.RevBytes|r.RevPackets != 0) {
		t.Fatalf("elements %v of %d flows", seen, r.Flows)
	}
}

// isStat compares the statistics with the sums of the flows.
func isStat(t *testing.T, rec []byte, flows []*flow.Record) {
	t.Helper()
	var want [18]uint64
	want[15] = 1 << 63
	for _, r := range flows {
		class := map[uint8]int{6: 0, 17: 1, 1: 2, 58: 2}
		c, known := class[r.Proto]
		if !known {
			c = 3
		}
		want[0]++
		want[1] += r.Bytes + r.RevBytes
		want[2] += r.Packets + r.RevPackets
		want[3+c]++
		want[7+c] += r.Bytes
		want[11+c] += r.Packets
		want[15], want[16] = min(want[15], r.First.Milli()), max(want[16], r.Last.Milli())
	}
	for i, n := range want {
		if got := little(rec[4+8*i : 12+8*i]); got != n {
			t.Errorf("counter %d of the statistics is %d, want %d", i, got, n)
		}
	}
}

// TestNamesOfAnyLength writes names at the bounds of what a record holds, many and long ones;
// each comes back, cut where it is too long, and what is behind them is read.
func TestNamesOfAnyLength(t *testing.T) {
	for _, n := range []int{0, 1, 3, 4, 5, 255, 256, 1 << 12, 1<<12 + 1, 1<<15 - 1, 1 << 15, 1<<16 - 30, 1 << 16,
		1<<16 + 5, 200_000} {
		name := strings.Repeat("n", n)
		w := mustCreate(t, Options{})
		must(t, w.Append(wideRecord(false)))
		must(t, w.Names([]Name{{Kind: InterfaceName, ID: 7, Name: "eth7"}, {Kind: InterfaceName, ID: 8, Name: name},
			{Kind: InterfaceName, ID: 9, Name: "eth9"}}))
		must(t, w.Names([]Name{{Kind: AppName, App: "\x03\x00\x00\x50", Name: "http", Description: name},
			{Kind: AppName, App: "\x03\x00\x00\x51", Name: name}}))
		must(t, w.Names([]Name{{Kind: VRFName, ID: 1, Name: name}}))
		must(t, w.Append(wideRecord(true)))
		must(t, w.Close())
		r, err := Open(w.Path())
		must(t, err)
		flows := 0
		for r.Next() {
			flows++
		}
		if r.Err() != nil || flows != 2 {
			t.Errorf("names of %d bytes: %d flows of 2, %v", n, flows, r.Err())
		}
		got := map[string]string{}
		for _, name := range r.dec.Names() {
			got[fmt.Sprint(name.Kind, name.ID, name.App)] = name.Name
		}
		if want := name[:min(n, longestName)]; got["1 7"] != "eth7" || got["1 9"] != "eth9" || got["1 8"] != want ||
			got["2 1"] != want || len(got) != 6 {
			t.Errorf("names of %d bytes: %d came back, that of interface 8 has %d bytes", n, len(got), len(got["1 8"]))
		}
		must(t, r.Close())
	}
}

// TestStatisticsAddUp: those of two files together are those of all their flows in one; of a
// file without flows nothing changes.
func TestStatisticsAddUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(103, 104))
	for range 200 {
		var parts [2]Stat
		var all Stat
		for range rng.IntN(30) {
			r := randomFlow(rng, false)
			r.Proto = []uint8{1, 6, 17, 58, 47}[rng.IntN(5)]
			parts[rng.IntN(2)].AddRecord(r)
			all.AddRecord(r)
		}
		sum := parts[0]
		sum.Add(parts[1])
		sum.Add(Stat{})
		if sum != all {
			t.Fatalf("%+v and %+v are %+v, want %+v", parts[0], parts[1], sum, all)
		}
		var b [statSize]byte
		var again Stat
		all.encode(b[:])
		if again.decode(b[:]); again != all {
			t.Fatalf("%+v is read as %+v", all, again)
		}
	}
	var b [statSize]byte
	(&Stat{First: noFirst}).encode(b[:])
	var s Stat
	if s.decode(b[:]); s != (Stat{}) {
		t.Errorf("nfdump's mark of no flow is read as %+v", s)
	}
}

// TestLostFlows: what the statistics count more than was read is lost, whether they count records,
// as nfcapd does, or the flows that these stand for, as nfdump -w.
func TestLostFlows(t *testing.T) {
	for _, c := range []struct{ says, records, flows, want uint64 }{
		{0, 0, 0, 0}, {5, 5, 5, 0}, {5, 4, 4, 1}, {5, 0, 0, 5}, {9, 3, 9, 0}, {9, 2, 6, 3}, {3, 3, 9, 0}, {3, 2, 6, 1},
		{4, 5, 5, 0}, {4, 5, 50, 0}, {6, 2, 6, 0}, {7, 2, 6, 1}, {5, 2, 6, 3},
	} {
		f := &File{path: "x", haveStat: true, stat: Stat{Flows: c.says}}
		if got := f.lostFlows(c.records, c.flows); got != c.want {
			t.Errorf("%+v: %d are lost", c, got)
		}
		err := f.CompareFlows(c.records, c.flows)
		if wantErr := c.says != c.records && c.says != c.flows; (err != nil) != wantErr || err != nil &&
			!strings.Contains(err.Error(), fmt.Sprintf("the statistics say %d flows, there are %d", c.says,
				map[bool]uint64{true: c.says - c.want, false: c.records}[c.want > 0])) {
			t.Errorf("%+v: %v", c, err)
		}
		f.open = true
		if err := f.CompareFlows(c.records, c.flows); err != nil {
			t.Errorf("%+v of a file that is written: %v", c, err)
		}
	}
}

// TestNamesOfCompressions: what may be written, with which levels, and what is said of others.
func TestNamesOfCompressions(t *testing.T) {
	for text, want := range map[string]string{"none": "none 0", "lzo": "lzo 0", "lz4": "lz4 0", "lz4:1": "lz4 1",
		"lz4:9": "lz4 9", "bz2": "bz2 0", "bz2:1": "bz2 1", "bz2:9": "bz2 9", "zstd": "zstd 0", "zstd:1": "zstd 1",
		"zstd:22": "zstd 22",
		"lz4:10":  "!level 10 of lz4: expected 1 to 9", "bz2:10": "!level 10 of bz2: expected 1 to 9",
		"zstd:23": "!level 23 of zstd: expected 1 to 22", "none:1": "!compression none has no levels, got 1",
		"lzo:3": "!compression lzo has no levels, got 3", "lz4:": "!expected a level behind the colon",
		"lz4:0": "!expected a level behind the colon", "lz4:-1": "!expected a level behind the colon",
		"lz4:fast": `!compression "lz4:fast": expected a level behind the colon, as in "lz4:9"`,
		"LZ4":      `!unknown compression "LZ4": expected "lz4", "none", "lzo", "bz2" or "zstd"`,
		"":         `!unknown compression ""`,
		"gzip":     `!unknown compression "gzip"`, "compression 5": `!unknown compression "compression 5"`} {
		c, level, err := ParseCompression(text)
		wrong, refused := strings.CutPrefix(want, "!")
		if refused != (err != nil) || refused && !strings.Contains(err.Error(), wrong) || !refused &&
			fmt.Sprint(c, level) != want {
			t.Errorf("%q: %v %d, %v, want %q", text, c, level, err, want)
		}
	}
	if err := CheckCompression(ZSTD+1, 0); err == nil || !strings.Contains(err.Error(), "compression 5 is unknown") {
		t.Errorf("%v", err)
	}
}

// TestHeadersAtEveryLength: a file that ends within its header says where, and with what it
// begins.
func TestHeadersAtEveryLength(t *testing.T) {
	good, _ := smallFile(t, None)
	for n := range headerSize {
		_, err := OpenFile(write(t, good[:n]))
		want := fmt.Sprintf("not an nfdump file at offset %d: ends within the file header of 40 bytes", n)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v, want %q", n, err, want)
		}
	}
	for _, c := range []struct {
		at    int
		bytes string
		want  string
	}{
		{0, "\x0d\xa5", "magic 0xa50d, expected 0xa50c"}, {0, "\xa5\x0c", "written on a big-endian machine"},
		{2, "\x00\x00", "layout 0, expected 1, 2 or 3"}, {2, "\x04\x00", "layout 4, expected 1, 2 or 3"},
		{2, "\x02\x01", "layout 258, expected 1, 2 or 3"}, {16, "\x05", "compression 5 is unknown"},
		{17, "\x01", "encrypted (1)"},
	} {
		bad := slices.Clone(good)
		copy(bad[c.at:], c.bytes)
		_, err := OpenFile(write(t, bad))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), fmt.Sprintf("offset %d: ",
			c.at)) {
			t.Errorf("%q at %d: %v, want %q", c.bytes, c.at, err, c.want)
		}
	}
	if !bytes.Equal(good[32:36], make([]byte, 4)) {
		t.Errorf("the size of blocks is %x", good[32:36])
	}
}
