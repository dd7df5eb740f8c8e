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
		r.difference(dom, &x)
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
	x := flow.Record{Packets: 1}
	if r.difference(dom, &x); !x.Total {
		t.Error("a flow without a start is counted")
	}
}

// TestOutCounters: elements 23 and 24 are the other direction, the same packets or
// nothing, as the configuration says, else as they are learned.
func TestOutCounters(t *testing.T) {
	tmpl := compiled(t, 256, spec(8, 4), spec(12, 4), spec(2, 4), spec(24, 4), spec(1, 4), spec(23, 4))
	more := flow.Record{Packets: 6, OutPackets: 10, Bytes: 530, OutBytes: 638}
	less := flow.Record{Packets: 3, OutPackets: 2, Bytes: 265, OutBytes: 319}
	same := flow.Record{Packets: 4, OutPackets: 4, Bytes: 90, OutBytes: 90}
	for _, c := range []struct {
		name string
		mode OutCounters
		recs []flow.Record
		want []uint64 // bytes of each flow
	}{
		{"reverse", OutReverse, []flow.Record{same, more}, []uint64{90, 90, 530, 638}},
		{"same", OutSame, []flow.Record{more, same}, []uint64{530, 90}},
		{"ignore", OutIgnore, []flow.Record{more}, []uint64{530}},
		{"learned to be the other direction", OutLearned, []flow.Record{same, more, less, same},
			[]uint64{90, 530, 638, 265, 319, 90, 90}},
		{"never learned", OutLearned, []flow.Record{same, less}, []uint64{90, 265}},
	} {
		o := Options{SplitBiflows: true,
			Exporters: []ExporterConfig{{Prefix: netip.PrefixFrom(from.Addr(), 32), Out: c.mode}}}
		d, s := NewDecoder(o), newSender()
		var got []uint64
		h := Handler{Flow: func(r *flow.Record) {
			got = append(got, r.Bytes)
			if c.mode == OutIgnore && r.Has(flow.OutBytes) {
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
	if _, err := ParseOutCounters("backwards"); err == nil {
		t.Error("a mode that does not exist is taken")
	}
}
