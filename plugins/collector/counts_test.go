package collector

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestRunningTotals: of a flow that is reported again with all that it has counted so far,
// the difference counts; a late report counts nothing, a flow that begins anew all.
func TestRunningTotals(t *testing.T) {
	tmpl := compiled(t, 256, spec(8, 4), spec(12, 4), spec(7, 2), spec(85, 8), spec(86, 8), spec(152, 8), spec(153, 8))
	d, s := NewDecoder(Options{}), newSender()
	var bytes, packets []uint64
	h := Handler{Flow: func(r *flow.Record) {
		if r.Total {
			t.Error("a flow that can be followed is marked")
		}
		bytes, packets = append(bytes, r.Bytes), append(packets, r.Packets)
	}}
	report := func(port uint16, start flow.Time, total uint64) flow.Record {
		return flow.Record{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: port,
			Bytes: 100 * total, Packets: total, First: exported - start*1e9, Last: exported - 1e9}
	}
	s.send(t, d, h, func(e *ipfix.Encoder) {
		e.AddTemplates(tmpl)
		e.AddData(tmpl, []flow.Record{report(1, 90, 100), report(2, 90, 7)})
	})
	s.send(t, d, h, func(e *ipfix.Encoder) {
		e.AddData(tmpl, []flow.Record{report(1, 90, 400), report(1, 90, 656), report(1, 90, 400), report(1, 10, 5),
			report(2, 90, 7)})
	})
	want := []uint64{100, 7, 300, 256, 0, 5, 0}
	if len(packets) != len(want) {
		t.Fatalf("got %v", packets)
	}
	for i := range want {
		if packets[i] != want[i] || bytes[i] != 100*want[i] {
			t.Errorf("report %d: %d packets, %d bytes; want %d packets", i, packets[i], bytes[i], want[i])
		}
	}
}

// TestRunningTotalsAreBounded: when flows of an exporter that reports them again had to be
// forgotten, one that is not known is marked instead of counted; so is one without a start.
func TestRunningTotalsAreBounded(t *testing.T) {
	var r running
	dom := &domain{}
	report := func(n int) flow.Record {
		x := flow.Record{Src: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), First: 1e9, Bytes: 5,
			Packets: 1}
		x.Present.Add(flow.FirstSeen)
		r.difference(dom, &x, flow.SetOf(flow.Bytes, flow.Packets))
		return x
	}
	report(0)
	if x := report(0); x.Packets != 0 || !dom.again {
		t.Fatalf("got %+v", x)
	}
	for n := range 2*maxRunning - 2 {
		if x := report(n + 1); x.Total || x.Packets != 1 {
			t.Fatalf("flow %d: got %+v", n, x)
		}
	}
	report(1 << 20)
	report(1<<20 + 1)
	if len(r.young)+len(r.old) > 2*maxRunning {
		t.Errorf("%d flows are kept", len(r.young)+len(r.old))
	}
	if x := report(1 << 22); !x.Total {
		t.Error("a flow that may have been forgotten is counted")
	}
	x := flow.Record{Packets: 1, Bytes: 9}
	x.Present = flow.SetOf(flow.Bytes, flow.Packets)
	if r.difference(dom, &x, flow.SetOf(flow.Packets)); !x.Total || x.Packets != 0 || x.Has(flow.Packets) ||
		x.Bytes != 9 {
		t.Errorf("a flow without a start is counted: %+v", x)
	}
}

// TestKindsOfTotals: every element that counts since a flow began is made a difference, of
// whatever direction and place; those that count since the last report stay.
func TestKindsOfTotals(t *testing.T) {
	reverse := func(id uint16) ipfix.FieldSpec { return ipfix.FieldSpec{PEN: 29305, ID: id, Length: 8} }
	yaf := func(id uint16) ipfix.FieldSpec { return ipfix.FieldSpec{PEN: 6871, ID: id, Length: 8} }
	for _, c := range []struct {
		name   string
		fields []ipfix.FieldSpec
		total  flow.Set
	}{
		{"deltas", []ipfix.FieldSpec{spec(1, 8), spec(2, 8), spec(23, 8), spec(24, 8), reverse(1), reverse(2)},
			flow.Set{}},
		{"of an initiator and a responder", []ipfix.FieldSpec{spec(231, 8), spec(298, 8), spec(232, 8), spec(299, 8)},
			flow.Set{}},
		{"both directions", []ipfix.FieldSpec{spec(85, 8), spec(86, 8), reverse(85), reverse(86)},
			flow.SetOf(flow.Bytes, flow.Packets, flow.RevBytes, flow.RevPackets)},
		{"both directions, before RFC 5103", []ipfix.FieldSpec{spec(85, 8), spec(86, 8), yaf(12), yaf(13)},
			flow.SetOf(flow.Bytes, flow.Packets, flow.RevBytes, flow.RevPackets)},
		{"octets alone", []ipfix.FieldSpec{spec(85, 8), spec(2, 8)}, flow.SetOf(flow.Bytes)},
		{"behind the device alone", []ipfix.FieldSpec{spec(171, 8), spec(172, 8)},
			flow.SetOf(flow.Bytes, flow.Packets, flow.OutBytes, flow.OutPackets)},
		{"behind the device, deltas before it", []ipfix.FieldSpec{spec(1, 8), spec(2, 8), spec(171, 8), spec(172, 8)},
			flow.SetOf(flow.OutBytes, flow.OutPackets)},
		{"deltas beside totals", []ipfix.FieldSpec{spec(85, 8), spec(86, 8), spec(1, 8), spec(2, 8)}, flow.Set{}},
		{"frames", []ipfix.FieldSpec{spec(353, 8), spec(431, 8)}, flow.SetOf(flow.Bytes, flow.Packets)},
		{"frames, deltas", []ipfix.FieldSpec{spec(352, 8), spec(430, 8)}, flow.Set{}},
		{"frames of both directions", []ipfix.FieldSpec{spec(353, 8), reverse(353), reverse(431)},
			flow.SetOf(flow.Bytes, flow.RevBytes, flow.RevPackets)},
	} {
		checkTotals(t, c.name, c.fields, c.total)
	}
}

// checkTotals reports a flow three times with rising counters, once without a start.
func checkTotals(t *testing.T, name string, counters []ipfix.FieldSpec, total flow.Set) {
	t.Helper()
	key := []ipfix.FieldSpec{spec(8, 4), spec(12, 4), spec(153, 8)}
	tmpl := compiled(t, 256, append(append(key, spec(152, 8)), counters...)...)
	noStart := compiled(t, 257, append(key, counters...)...)
	var got []flow.Record
	d, s := NewDecoder(Options{Exporters: []ExporterConfig{{Prefix: netip.PrefixFrom(from.Addr(), 32),
		Policy: flow.Policy{OutCounters: flow.OutSame}}}}), newSender()
	h := Handler{Flow: func(r *flow.Record) { got = append(got, *r) }}
	report := func(n uint64) flow.Record {
		r := flow.Record{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
			First: exported - 90e9, Last: exported - 1e9}
		for i, f := range counters {
			r.Extra = append(r.Extra, flow.Element{PEN: f.PEN, ID: f.ID, Value: number(1, 8, n*uint64(i+1)).Value})
		}
		return r
	}
	s.send(t, d, h, func(e *ipfix.Encoder) {
		e.AddTemplates(tmpl, noStart)
		e.AddData(tmpl, []flow.Record{report(10), report(40), report(100)})
		e.AddData(noStart, []flow.Record{report(100)})
	})
	if len(got) != 4 {
		t.Fatalf("%s: %d flows", name, len(got))
	}
	for _, f := range ipfix.Counters {
		step := got[0].Number(f) / 10
		if want := total.Has(f); step == 0 && want {
			t.Errorf("%s: there is no %v", name, f)
		} else if more, most := got[1].Number(f), got[2].Number(f); want && (more != 30*step || most != 60*step) ||
			!want && (more != 40*step || most != 100*step) {
			t.Errorf("%s: %v is %d, then %d, then %d", name, f, 10*step, more, most)
		}
		if last := &got[3]; total.Has(f) && (last.Has(f) || last.Number(f) != 0 || !last.Total) ||
			!total.Has(f) && last.Number(f) != 100*step {
			t.Errorf("%s: without a start %v is %d, total %t", name, f, last.Number(f), last.Total)
		}
	}
}

// TestOutCounters: elements 23 and 24 are the other direction, the same packets or
// nothing, as the configuration says, else as they are learned.
func TestOutCounters(t *testing.T) {
	tmpl := compiled(t, 256, spec(8, 4), spec(12, 4), spec(2, 4), spec(24, 4), spec(1, 4), spec(23, 4))
	more := flow.Record{Packets: 6, OutPackets: 10, Bytes: 530, OutBytes: 638}
	less := flow.Record{Packets: 3, OutPackets: 2, Bytes: 265, OutBytes: 319}
	same := flow.Record{Packets: 4, OutPackets: 4, Bytes: 90, OutBytes: 90}
	large := flow.Record{Packets: 10, OutPackets: 8, Bytes: 600, OutBytes: 9000} // a download
	tunnel := flow.Record{Packets: 2, OutPackets: 2, Bytes: 120, OutBytes: 220}  // 50 bytes are added to each
	for _, c := range []struct {
		name string
		mode flow.OutCounters
		recs []flow.Record
		want []uint64 // bytes of each flow
	}{
		{"reverse", flow.OutReverse, []flow.Record{same, more}, []uint64{90, 90, 530, 638}},
		{"same", flow.OutSame, []flow.Record{more, same}, []uint64{530, 90}},
		{"ignore", flow.OutIgnore, []flow.Record{more}, []uint64{530}},
		{"learned to be the other direction", flow.OutLearned, []flow.Record{same, more, less, same},
			[]uint64{90, 530, 638, 265, 319, 90, 90}},
		{"some are dropped", flow.OutLearned, []flow.Record{same, less, same, tunnel, less},
			[]uint64{90, 265, 90, 120, 265}},
		{"most are fewer", flow.OutLearned, []flow.Record{less, same, less, less}, []uint64{265, 319, 90, 265, 319,
			265, 319}},
		{"more bytes than headers explain", flow.OutLearned, []flow.Record{same, same, large, same},
			[]uint64{90, 90, 600, 9000, 90, 90}},
	} {
		o := Options{SplitBiflows: true,
			Exporters: []ExporterConfig{{Prefix: netip.PrefixFrom(from.Addr(), 32),
				Policy: flow.Policy{OutCounters: c.mode}}}}
		d, s := NewDecoder(o), newSender()
		var got []uint64
		h := Handler{Flow: func(r *flow.Record) {
			got = append(got, r.Bytes)
			if c.mode == flow.OutIgnore && r.Has(flow.OutBytes) {
				t.Errorf("%s: there still are counters", c.name)
			}
		}}
		s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(tmpl); e.AddData(tmpl, c.recs) })
		if len(got) != len(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
				break
			}
		}
	}
}
