package nffile

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

var addr = netip.MustParseAddr

// wideRecord returns a flow with every field that a file can hold, for IPv4 or
// IPv6, as the reader gives it back.
func wideRecord(v6 bool) *flow.Record {
	r := &flow.Record{
		Exporter: router, Version: flow.V9, Domain: 77, EngineType: 3, EngineID: 4,
		First: slot + 1e9, Last: slot + 2e9, Received: slot + 3e9,
		Src: addr("10.1.2.3"), Dst: addr("192.0.2.10"), SrcPort: 51234, DstPort: 443, Proto: 6, IPVersion: 4,
		TCPFlags: 0x1b, SrcTOS: 184, DstTOS: 46, FwdStatus: 64,
		Packets: 10, Bytes: 5000, RevPackets: 8, RevBytes: 700, Flows: 3,
		Input: 70000, Output: 7, SrcMask: 24, DstMask: 16, Direction: 1, BiflowDir: 2, EndReason: 3, FragFlags: 0x40,
		SrcVLAN: 101, DstVLAN: 202, SrcAS: 64500, DstAS: 4200000001, NextAS: 65010, PrevAS: 65020,
		NextHop: addr("198.51.100.1"), BGPNextHop: addr("198.51.100.2"),
		MPLS: [10]uint32{100<<4 | 3<<1, 200 << 4, 300<<4 | 1}, MPLSDepth: 3,
		InSrcMAC: [6]byte{1, 2, 3, 4, 5, 6}, OutDstMAC: [6]byte{11, 2, 3, 4, 5, 6},
		InDstMAC: [6]byte{21, 2, 3, 4, 5, 6}, OutSrcMAC: [6]byte{31, 2, 3, 4, 5, 6},
		XlateSrc: addr("203.0.113.1"), XlateDst: addr("203.0.113.2"), XlateSPort: 1000, XlateDPort: 2000,
		AppID: []byte{3, 0, 0, 80}, ObservationPoint: 1 << 40, IngressVRF: 9, EgressVRF: 8,
		TunSrc: addr("10.10.10.10"), TunDst: addr("11.11.11.11"), TunProto: 4,
		PortBlock: [4]uint16{20000, 20511, 1, 512},
	}
	if v6 {
		r.Src, r.Dst, r.IPVersion = addr("2001:db8::1"), addr("2001:db8:ffff::2"), 6
		r.Exporter = addr("2001:db8:cafe::1")
		r.NextHop, r.BGPNextHop = addr("fe80::1"), addr("fe80::2")
		r.XlateSrc, r.XlateDst = addr("2001:db8:1::1"), addr("2001:db8:2::1")
		r.TunSrc, r.TunDst = addr("2001:db8:3::1"), addr("2001:db8:4::1")
	}
	for id, fields := range elementFields {
		if id != elNSEL && id != elNAT && id != elACL && id != elUser && id < elLayer2 {
			for _, f := range fields {
				r.Present.Add(f)
			}
		}
	}
	r.Present.Add(flow.FragFlags)
	return r
}

// eventRecord returns an event of a firewall and an address translator.
func eventRecord() *flow.Record {
	r := &flow.Record{
		Exporter: router, Version: flow.V9, Domain: 77, Event: true,
		First: slot + 5e9, Last: slot + 5e9, EventTime: slot + 5e9, Received: slot + 6e9,
		Src: addr("10.9.9.9"), Dst: addr("203.0.113.7"), SrcPort: 1234, DstPort: 80, Proto: 6, IPVersion: 4, Bytes: 500,
		FlowID: 123456, FwEvent: 3, FwXEvent: 1001, NATEvent: 4, NATPool: 5,
		IngressACL: [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, EgressACL: [12]byte{12, 11, 10},
		User: []byte("alice"),
	}
	for _, id := range []int{elGeneric, elIPv4, elNSEL, elNAT, elACL, elUser} {
		for _, f := range elementFields[id] {
			r.Present.Add(f)
		}
	}
	return r
}

// readAll reads a file and returns copies of its flows.
func readAll(path string) ([]flow.Record, error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []flow.Record
	for r.Next() {
		c := *r.Record()
		c.AppID, c.User = bytes.Clone(c.AppID), bytes.Clone(c.User)
		c.Extra = nil
		all = append(all, c)
	}
	return all, r.Err()
}

// differences names the fields in which two records differ.
func differences(a, b *flow.Record) string {
	var out []string
	va, vb := reflect.ValueOf(*a), reflect.ValueOf(*b)
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			out = append(out, fmt.Sprintf("%s: %v, expected %v", va.Type().Field(i).Name, va.Field(i), vb.Field(i)))
		}
	}
	return strings.Join(out, "; ")
}

// TestRoundTrip writes flows with all fields, alone and between others, and reads
// them back: no field is lost, and none stays from the flow before.
func TestRoundTrip(t *testing.T) {
	plain := func() *flow.Record {
		r := &flow.Record{}
		plainFlow(r, 7)
		r.IPVersion = 4
		for _, id := range []int{elGeneric, elIPv4, elMisc, elAS, elNext4} {
			for _, f := range elementFields[id] {
				r.Present.Add(f)
			}
		}
		r.Present.Remove(flow.EngineType)
		r.Present.Remove(flow.EngineID)
		return r
	}
	flows := []*flow.Record{wideRecord(false), plain(), wideRecord(true), eventRecord(), plain(), wideRecord(false),
		wideRecord(true), wideRecord(false), eventRecord(), wideRecord(true)}
	for _, c := range []Compression{None, LZ4} {
		w := mustCreate(t, Options{Compression: c})
		for range 30 { // enough for a large block
			for _, r := range flows {
				must(t, w.Append(r))
			}
		}
		must(t, w.Close())
		got, err := readAll(w.Path())
		must(t, err)
		if len(got) != 30*len(flows) {
			t.Fatalf("%d flows, expected %d", len(got), 30*len(flows))
		}
		for i := range got {
			if d := differences(&got[i], flows[i%len(flows)]); d != "" {
				t.Fatalf("%s, flow %d: %s", c, i, d)
			}
		}
	}
}

// TestOddFlows: what is missing, mixed or absurd is written as something that can
// be read.
func TestOddFlows(t *testing.T) {
	for name, c := range map[string]struct {
		in    flow.Record
		check func(*flow.Record) bool
	}{
		"nothing at all": {flow.Record{}, func(r *flow.Record) bool { return !r.Src.IsValid() && r.Packets == 0 }},
		"last before first": {flow.Record{First: slot + 1e9, Last: slot},
			func(r *flow.Record) bool { return r.Last == r.First && r.First == slot+1e9 }},
		"one address": {flow.Record{Dst: addr("192.0.2.1")},
			func(r *flow.Record) bool { return r.Src == addr("0.0.0.0") && r.Dst == addr("192.0.2.1") }},
		"mixed addresses": {flow.Record{Src: addr("192.0.2.1"), Dst: addr("2001:db8::1")},
			func(r *flow.Record) bool { return r.Src.Unmap() == addr("192.0.2.1") && r.Dst == addr("2001:db8::1") }},
		"event, no element": {flow.Record{Event: true, First: slot, EventTime: slot + 1e9}, func(r *flow.Record) bool {
			return r.Event && r.EventTime == slot+1e9 && r.First == slot+1e9 && r.Last == r.First
		}},
		"sampled": {flow.Record{Packets: 2, Bytes: 100, RevBytes: 7, SamplingRate: 1000}, func(r *flow.Record) bool {
			return r.Packets == 2000 && r.Bytes == 100000 && r.RevBytes == 7000 && r.Rate() == 1
		}},
		"overflow": {flow.Record{Bytes: 1 << 60, SamplingRate: 1 << 20},
			func(r *flow.Record) bool { return r.Bytes == 1<<64-1 }},
		"after the router": {flow.Record{OutBytes: 5, OutPackets: 5},
			func(r *flow.Record) bool { return r.RevBytes == 0 && !r.Has(flow.RevBytes) }},
		"long user": {flow.Record{User: bytes.Repeat([]byte("u"), 100), Present: flow.SetOf(flow.User)},
			func(r *flow.Record) bool { return len(r.User) == maxUser }},
		"long application": {flow.Record{AppID: make([]byte, 60000), Present: flow.SetOf(flow.AppID)},
			func(r *flow.Record) bool { return r.AppID == nil }},
		"IPv4-mapped": {flow.Record{Src: addr("::ffff:192.0.2.1"), Dst: addr("::")},
			func(r *flow.Record) bool { return r.Src == addr("::ffff:192.0.2.1") }},
		"present, no value": {flow.Record{Present: flow.SetOf(flow.NextHop, flow.XlateSrc, flow.TunSrc, flow.User,
			flow.AppID)}, func(r *flow.Record) bool { return !r.NextHop.IsValid() && r.User == nil }},
		"IPv6 icmp": {flow.Record{Src: addr("::1"), Proto: 58, DstPort: 0x8000},
			func(r *flow.Record) bool { return r.ICMP == 0x8000 && r.Has(flow.ICMP) }},
		"one aggregated": {flow.Record{Flows: 1}, func(r *flow.Record) bool { return !r.Has(flow.Flows) }},
		"sFlow, no exporter": {flow.Record{Version: flow.SFlow},
			func(r *flow.Record) bool { return r.Version == flow.SFlow && !r.Exporter.IsValid() }},
	} {
		w := mustCreate(t, Options{})
		must(t, w.Append(&c.in))
		must(t, w.Close())
		got, err := readAll(w.Path())
		if err != nil || len(got) != 1 || !c.check(&got[0]) {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
}

// TestSampledFlag: the flag says that counters are estimates.
func TestSampledFlag(t *testing.T) {
	w := mustCreate(t, Options{})
	must(t, w.Append(&flow.Record{SamplingRate: 1}))
	must(t, w.Append(&flow.Record{SamplingRate: 2}))
	must(t, w.Close())
	r, err := Open(w.Path())
	must(t, err)
	defer r.Close()
	for _, want := range []bool{false, true} {
		if !r.Next() || r.Sampled() != want {
			t.Errorf("Sampled is %t, expected %t", r.Sampled(), want)
		}
	}
}

// TestStat: the statistics count as nfcapd does.
func TestStat(t *testing.T) {
	w := mustCreate(t, Options{Ident: "edge1"})
	add := func(proto uint8, packets, bytes, revPackets, revBytes, flows uint64, first, last flow.Time) {
		must(t, w.Append(&flow.Record{Proto: proto, Packets: packets, Bytes: bytes, RevPackets: revPackets,
			RevBytes: revBytes,
			Flows:    flows, First: first, Last: last}))
	}
	add(6, 1, 100, 2, 20, 5, slot+5e6, slot+7e6)
	add(17, 3, 300, 0, 0, 0, slot, slot+2e6)
	add(1, 4, 400, 0, 0, 0, slot+1e6, slot+9e6)
	add(58, 5, 500, 0, 0, 0, slot+1e6, slot+1e6)
	add(47, 6, 600, 0, 0, 0, slot+1e6, slot+1e6)
	w.Datagrams(Exporter{Addr: router, Version: flow.V9, Domain: 1}, 3, 2)
	must(t, w.Close())
	f, err := OpenFile(w.Path())
	must(t, err)
	defer f.Close()
	want := Stat{
		Flows: 5, Bytes: 1920, Packets: 21,
		ProtoFlows: [4]uint64{1, 1, 2, 1}, ProtoBytes: [4]uint64{100, 300, 900, 600},
		ProtoPackets: [4]uint64{1, 3, 9, 6},
		First:        slot.Milli(), Last: slot.Milli() + 9, SequenceFailures: 2,
	}
	if f.Stat() != want || f.Ident() != "edge1" {
		t.Errorf("ident %q, %+v, expected %+v", f.Ident(), f.Stat(), want)
	}
}

// TestEmptyFile has the times of its slot.
func TestEmptyFile(t *testing.T) {
	start := slot.Time()
	w := mustCreate(t, Options{Compression: LZ4, SlotStart: start, SlotEnd: start.Add(5 * time.Minute)})
	must(t, w.Close())
	out := nfdump(t, "-I", "-r", w.Path())
	for _, want := range []string{"Ident: none", "Flows: 0", fmt.Sprintf("First: %d", start.Unix()),
		fmt.Sprintf("Last: %d", start.Unix()+300)} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := nfdump(t, "-r", w.Path(), "-o", "line"); !strings.Contains(out, "No matching flows") {
		t.Errorf("nfdump says\n%s", out)
	}
}

// TestExporters: numbers are consecutive, unique per address, version and domain,
// and survive a rollback.
func TestExporters(t *testing.T) {
	w := mustCreate(t, Options{})
	put := func(last byte, version flow.Version, domain uint32) {
		must(t, w.Append(&flow.Record{Exporter: netip.AddrFrom4([4]byte{192, 0, 2, last}), Version: version,
			Domain: domain}))
	}
	put(1, flow.V9, 1)
	must(t, w.Flush())
	put(2, flow.V9, 1)
	w.Rollback()
	put(3, flow.IPFIX, 1)
	put(1, flow.V9, 2)
	put(3, flow.IPFIX, 1)
	must(t, w.Append(&flow.Record{Exporter: addr("2001:db8::9"), Version: flow.SFlow}))
	w.Datagrams(Exporter{netip.AddrFrom4([4]byte{192, 0, 2, 3}), flow.IPFIX, 1}, 2, 1)
	must(t, w.Close())
	got := nfdump(t, "-E", w.Path())
	for _, want := range []string{
		"SysID: 1, IP:        192.0.2.1, version: 9, ID:  1, Sequence failures: 0, packets: 0, flows: 1",
		"SysID: 2, IP:        192.0.2.3, version: 10, ID:  1, Sequence failures: 1, packets: 2, flows: 2",
		"SysID: 3, IP:        192.0.2.1, version: 9, ID:  2, Sequence failures: 0, packets: 0, flows: 1",
		"SysID: 4, IP:                              2001:db8::9, version: 9999, ID:  0, Sequence failures: 0, " +
			"packets: 0, flows: 1",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if f := w.Stat().Flows; f != 5 {
		t.Errorf("%d flows, expected 5", f)
	}
}

// TestManyExporters: forged sources cannot make a file that nfdump refuses.
func TestManyExporters(t *testing.T) {
	w := mustCreate(t, Options{Compression: LZ4})
	var r flow.Record
	for i := range MaxExporters + 1000 {
		r = flow.Record{Exporter: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Version: flow.V9, Packets: 1}
		must(t, w.Append(&r))
	}
	must(t, w.Close())
	out := nfdump(t, "-r", w.Path(), "-o", "null")
	if !strings.Contains(out, fmt.Sprintf("Total flows processed: %d,", MaxExporters+1000)) {
		t.Errorf("nfdump says\n%s", out)
	}
	if n := strings.Count(nfdump(t, "-E", w.Path()), "SysID:"); n != MaxExporters {
		t.Errorf("%d exporters, expected %d", n, MaxExporters)
	}
}

// TestAllocs: neither writing nor reading allocates per flow.
func TestAllocs(t *testing.T) {
	w := mustCreate(t, Options{Compression: LZ4})
	flows := []*flow.Record{wideRecord(false), wideRecord(true), eventRecord(), {}}
	plainFlow(flows[3], 1)
	for _, r := range flows {
		must(t, w.Append(r))
	}
	if n := testing.AllocsPerRun(20000, func() {
		for _, r := range flows {
			if err := w.Append(r); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("Append allocates %v times for %d flows", n, len(flows))
	}
	must(t, w.Close())
	r, err := Open(w.Path())
	must(t, err)
	defer r.Close()
	for range 20000 { // the first blocks make the buffers
		r.Next()
	}
	if n := testing.AllocsPerRun(40000, func() {
		if !r.Next() {
			t.Fatal(r.Err())
		}
	}); n != 0 {
		t.Errorf("Next allocates %v times", n)
	}
}

// TestIdent: what nfdump would refuse is refused before.
func TestIdent(t *testing.T) {
	for ident, ok := range map[string]bool{"": true, "edge-1_a": true, "two words": false, "tab\t": false, "ä": false,
		strings.Repeat("x", MaxIdent): true, strings.Repeat("x", MaxIdent+1): false} {
		path := filepath.Join(t.TempDir(), "f")
		w, err := Create(path, Options{Ident: ident})
		if (err == nil) != ok {
			t.Errorf("ident %q: %v", ident, err)
		}
		if err != nil {
			continue
		}
		must(t, w.Close())
		if ident == "" {
			ident = "none"
		}
		if out := nfdump(t, "-I", "-r", path); !strings.HasPrefix(out, "Ident: "+ident+"\n") {
			t.Errorf("nfdump reads the ident %q as\n%s", ident, out)
		}
	}
}
