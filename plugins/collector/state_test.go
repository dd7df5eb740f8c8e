package collector

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// only returns the counters of the decoder's only domain.
func only(t testing.TB, d *Decoder) ExporterStats {
	t.Helper()
	var list []ExporterStats
	d.Exporters(func(s *ExporterStats) { list = append(list, *s) })
	if len(list) != 1 {
		t.Fatalf("got %d domains, want 1: %+v", len(list), list)
	}
	return list[0]
}

// sender makes IPFIX messages.
type sender struct {
	e      ipfix.Encoder
	port   uint16
	at     time.Time
	stream bool // over TCP
}

func newSender() *sender {
	s := &sender{port: 2055, at: received}
	s.e.Domain = 1
	return s
}

// send decodes one message that fill writes.
func (s *sender) send(t testing.TB, d *Decoder, h Handler, fill func(e *ipfix.Encoder)) {
	t.Helper()
	s.e.Begin(nil, exported)
	fill(&s.e)
	dg := Datagram{Exporter: netip.AddrPortFrom(from.Addr(), s.port), Received: s.at, Payload: s.e.End(),
		Stream: s.stream}
	if err := d.Decode(dg, h); err != nil {
		t.Fatal(err)
	}
}

// spec is a field of IANA's.
func spec(id, length uint16) ipfix.FieldSpec { return ipfix.FieldSpec{ID: id, Length: length} }

// compiled compiles a template with an id.
func compiled(t testing.TB, id uint16, fields ...ipfix.FieldSpec) *ipfix.Template {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(id, fields)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// bytesOf is a handler that keeps the bytes of the last flow.
func bytesOf(v *uint64, n *int) Handler {
	return Handler{Flow: func(r *flow.Record) { *v = r.Bytes; *n++ }}
}

func TestTemplateLifecycle(t *testing.T) {
	var v uint64
	var n int
	h := bytesOf(&v, &n)
	d, s := NewDecoder(Options{}), newSender()
	pass(d, &s.at)
	first := compiled(t, 256, spec(1, 4), spec(2, 4))
	second := compiled(t, 256, spec(2, 4), spec(1, 4))
	recs := []flow.Record{{Bytes: 7, Packets: 9}}
	data := func(tmpl *ipfix.Template) func(*ipfix.Encoder) {
		return func(e *ipfix.Encoder) { e.AddData(tmpl, recs) }
	}
	s.send(t, d, h, data(first))
	if n != 0 || only(t, d).SetsWithoutTemplate != 1 {
		t.Fatal("a set was decoded without its template")
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(first) })
	s.send(t, d, h, data(first))
	if n != 2 || v != 7 { // the set that came before its template, too
		t.Fatalf("got %d flows, bytes %d", n, v)
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(first) })
	if got := only(t, d).Templates; got != 1 {
		t.Errorf("an identical refresh counts as a new template: %d", got)
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(second) })
	s.send(t, d, h, data(second))
	if n != 3 || v != 7 {
		t.Errorf("after a redefinition: %d flows, bytes %d", n, v)
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.Withdraw(256, ipfix.TemplateSet) })
	s.send(t, d, h, data(second))
	if n != 4 {
		t.Error("a withdrawal over UDP was not ignored")
	}
	s.at = s.at.Add(23 * time.Hour)
	s.send(t, d, h, data(second))
	if n != 5 {
		t.Error("a template expired within a day of its last use")
	}
	s.at = s.at.Add(25 * time.Hour)
	s.send(t, d, h, data(second))
	if n != 5 {
		t.Error("a template lives on after more than a day without use")
	}
}

// TestTemplateFromAnotherPort covers exporters that send templates and data from
// different ports, and address translation, where ports are different exporters.
func TestTemplateFromAnotherPort(t *testing.T) {
	var v uint64
	var n int
	h := bytesOf(&v, &n)
	d, s := NewDecoder(Options{}), newSender()
	a := compiled(t, 256, spec(1, 4), spec(2, 4))
	b := compiled(t, 256, spec(2, 4), spec(1, 4))
	recs := []flow.Record{{Bytes: 7, Packets: 9}}
	s.port = 1000
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(a) })
	s.port = 2000
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(a, recs) })
	if n != 1 || v != 7 {
		t.Fatalf("data from another port: %d flows, bytes %d", n, v)
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(b); e.AddData(b, recs) })
	s.port = 1000
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(a, recs) })
	if n != 3 || v != 7 {
		t.Fatalf("each port must keep its own template: %d flows, bytes %d", n, v)
	}
	s.port = 3000
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(a, recs) })
	if n != 3 {
		t.Fatal("ports contradict each other, and a third one was given one's template")
	}
}

// TestIdleTemplateGivesWayToAnotherPorts: a port whose own template was idle for a day
// uses the one that another port has sent since.
func TestIdleTemplateGivesWayToAnotherPorts(t *testing.T) {
	var v uint64
	var n int
	h := bytesOf(&v, &n)
	d, s := NewDecoder(Options{}), newSender()
	pass(d, &s.at)
	a := compiled(t, 256, spec(1, 4), spec(2, 4))
	tell := func(e *ipfix.Encoder) { e.AddTemplates(a) }
	s.send(t, d, h, tell)
	s.at, s.port = s.at.Add(25*time.Hour), 1000
	s.send(t, d, h, tell)
	s.port = 2055
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(a, []flow.Record{{Bytes: 7}}) })
	if n != 1 || v != 7 {
		t.Errorf("%d flows, bytes %d", n, v)
	}
}

// TestExporterComesBackOnAnotherPort covers a restart with a new configuration of
// an exporter that sends templates and data from different ports.
func TestExporterComesBackOnAnotherPort(t *testing.T) {
	var v uint64
	var n int
	h := bytesOf(&v, &n)
	d, s := NewDecoder(Options{}), newSender()
	a, b := compiled(t, 256, spec(1, 4), spec(2, 4)), compiled(t, 256, spec(2, 4), spec(1, 4))
	recs := []flow.Record{{Bytes: 7, Packets: 9}}
	for i, tmpl := range []*ipfix.Template{a, b, a} {
		s.port = uint16(1000 + i)
		s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(tmpl) })
		s.port = uint16(2000 + i)
		s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(tmpl, recs) })
		if n != i+1 || v != 7 {
			t.Fatalf("start %d: got %d flows, bytes %d", i+1, n, v)
		}
	}
}

func TestSequences(t *testing.T) {
	type counts struct{ gaps, lost, late, restarts uint64 }
	for _, c := range []struct {
		name string
		seqs []uint32 // of IPFIX messages with 10 records each
		want counts
	}{
		{"in order", []uint32{0, 10, 20, 30}, counts{}},
		{"wrap", []uint32{math.MaxUint32 - 9, 0, 10}, counts{}},
		{"gap", []uint32{0, 10, 50, 60}, counts{gaps: 1, lost: 30}},
		{"reordering", []uint32{0, 20, 10, 30}, counts{gaps: 1, lost: 10, late: 1}},
		{"restart", []uint32{1e6, 1e6 + 10, 0, 10}, counts{restarts: 1}},
		{"far ahead", []uint32{0, 10, 1 << 30, 1<<30 + 10}, counts{restarts: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q sequence
			var st ExporterStats
			for _, seq := range c.seqs {
				q.takeNumber(&st, seq, sent{flows: 10})
			}
			got := counts{st.SequenceGaps, st.SequenceLost, st.SequenceLate, st.SequenceRestarts}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSequenceAfterShortRestart(t *testing.T) {
	var q sequence
	var st ExporterStats
	for _, seq := range []uint32{2000, 2010, 2020} {
		q.takeNumber(&st, seq, sent{flows: 10})
	}
	for seq := range uint32(50) {
		q.takeNumber(&st, seq*10, sent{flows: 10})
	}
	if st.SequenceRestarts != 1 || st.SequenceGaps != 0 {
		t.Errorf("got %+v, want one restart", st)
	}
	st = ExporterStats{}
	q.takeNumber(&st, 900, sent{flows: 10})
	if st.SequenceLost != 400 {
		t.Errorf("after the restart: lost %d, want 400", st.SequenceLost)
	}
}

// TestSequenceUnsure leaves out the comparison after a set without a template.
func TestSequenceUnsure(t *testing.T) {
	var q sequence
	var st ExporterStats
	q.takeNumber(&st, 100, sent{flows: 5, unsure: true})
	q.takeNumber(&st, 130, sent{flows: 5})
	q.takeNumber(&st, 135, sent{flows: 5})
	q.takeNumber(&st, 150, sent{flows: 5})
	if st.SequenceGaps != 1 || st.SequenceLost != 10 {
		t.Errorf("got %d gaps, %d lost, want 1 and 10", st.SequenceGaps, st.SequenceLost)
	}
}

// TestSequenceOfV9 learns how an exporter counts.
func TestSequenceOfV9(t *testing.T) {
	counts := []uint32{7, 3, 12, 5, 9, 20, 4, 6, 11, 8, 2, 13}
	for _, c := range []struct {
		name string
		next func(seq, before, now uint32) uint32
	}{
		{"datagrams", func(seq, before, now uint32) uint32 { return seq + 1 }},
		{"records before", func(seq, before, now uint32) uint32 { return seq + before }},
		{"records through", func(seq, before, now uint32) uint32 { return seq + now }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q sequence
			var st ExporterStats
			seq := uint32(1000)
			for i, n := range counts {
				if i > 0 {
					seq = c.next(seq, counts[i-1], n)
				}
				q.takeNumber(&st, seq, sent{flows: n})
			}
			if st.SequenceGaps != 0 {
				t.Fatalf("%d gaps in a sequence without", st.SequenceGaps)
			}
			for range 2 {
				seq = c.next(seq, 13, 13) // the first of these is lost
			}
			q.takeNumber(&st, seq, sent{flows: 13})
			if st.SequenceGaps != 1 || st.SequenceLost == 0 {
				t.Errorf("got %d gaps, %d lost, want 1 gap", st.SequenceGaps, st.SequenceLost)
			}
		})
	}
}

// TestLossOfV5 loses a datagram of 30 flows.
func TestLossOfV5(t *testing.T) {
	d := NewDecoder(Options{})
	h := netflow.V5Header{SysUptime: 1e6, Seconds: uint32(exported / 1e9)}
	for i := range uint32(5) {
		h.Sequence = i * 30
		if i == 2 {
			continue
		}
		if err := d.Decode(datagram(netflow.AppendV5(nil, h, streamRecords(30))), Handler{}); err != nil {
			t.Fatal(err)
		}
	}
	if s := only(t, d); s.SequenceGaps != 1 || s.SequenceLost != 30 || s.Flows != 120 || s.Datagrams != 4 {
		t.Errorf("got %+v", s)
	}
}

func TestSampling(t *testing.T) {
	const cannot = 1 << 40 // a template without element 48
	f64 := func(v float64) []byte { return binary.BigEndian.AppendUint64(nil, math.Float64bits(v)) }
	el := func(id uint16, v ...byte) flow.Element { return flow.Element{ID: id, Value: v} }
	for _, c := range []struct {
		name    string
		fields  []flow.Element
		sampler uint64
		want    uint32
		source  flow.RateSource
	}{
		{"34", []flow.Element{el(34, 0, 100), el(35, 1)}, 0, 100, flow.RateDomain},
		{"48 and 50, flow names it", []flow.Element{el(48, 3), el(49, 2), el(50, 0, 0, 4, 0)}, 3, 1024,
			flow.RateSelector},
		{"48 and 50, flow names none", []flow.Element{el(48, 3), el(50, 4, 0)}, 0, 0, flow.RateUnknown},
		{"48 and 50, flow cannot name it", []flow.Element{el(48, 3), el(50, 4, 0)}, cannot, 1024, flow.RateDomain},
		{"302, 305, 306", []flow.Element{el(302, 9), el(305, 1), el(306, 3, 0xe7)}, 9, 1000, flow.RateSelector},
		{"309, 310", []flow.Element{el(309, 2), el(310, 8)}, 0, 4, flow.RateDomain},
		{"311", []flow.Element{{ID: 311, Value: f64(0.001)}}, 0, 1000, flow.RateDomain},
		{"nothing", []flow.Element{el(82, 'e')}, 0, 0, flow.RateUnknown},
		{"space without packets", []flow.Element{el(305, 0), el(306, 9)}, 0, 0, flow.RateUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, s := NewDecoder(Options{}), newSender()
			specs := []ipfix.FieldSpec{{ID: 149, Length: 4, Scope: true}}
			for _, f := range c.fields {
				specs = append(specs, spec(f.ID, uint16(len(f.Value))))
			}
			opt := compiled(t, 300, specs...)
			tmpl := compiled(t, 256, spec(1, 4), spec(48, 1))
			if c.sampler == cannot {
				tmpl = compiled(t, 256, spec(1, 4))
			}
			var got flow.Record
			h := Handler{Flow: func(r *flow.Record) { got = *r }}
			s.send(t, d, h, func(e *ipfix.Encoder) {
				e.AddTemplates(opt, tmpl)
				e.AddOptions(opt, []flow.OptionRecord{{Fields: c.fields}})
			})
			s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(tmpl, []flow.Record{{Bytes: 5, SamplerID: c.sampler}}) })
			if got.SamplingRate != c.want || got.SamplingSource != c.source || got.Bytes != 5 {
				t.Errorf("got rate %d from %d, bytes %d, want %d from %d", got.SamplingRate, got.SamplingSource,
					got.Bytes, c.want, c.source)
			}
		})
	}
}

// TestSamplingOfAnotherDomain covers exporters whose options come under another
// source id than the data, and NSEL, which is never scaled.
func TestSamplingOfAnotherDomain(t *testing.T) {
	d, s := NewDecoder(Options{}), newSender()
	opt := compiled(t, 300, ipfix.FieldSpec{ID: 149, Length: 4, Scope: true}, spec(34, 4))
	tmpl, nsel := compiled(t, 256, spec(1, 4)), compiled(t, 257, spec(1, 4), spec(233, 1))
	var got flow.Record
	h := Handler{Flow: func(r *flow.Record) { got = *r }}
	s.e.Domain = 77
	s.send(t, d, h, func(e *ipfix.Encoder) {
		e.AddTemplates(opt)
		e.AddOptions(opt, []flow.OptionRecord{{Fields: []flow.Element{{ID: 34, Value: []byte{0, 0, 0, 10}}}}})
	})
	s.e.Domain = 1
	s.send(t, d, h, func(e *ipfix.Encoder) {
		e.AddTemplates(tmpl, nsel)
		e.AddData(tmpl, []flow.Record{{Bytes: 5}})
	})
	if got.SamplingRate != 10 {
		t.Errorf("got rate %d, want 10", got.SamplingRate)
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(nsel, []flow.Record{{Bytes: 5, FwEvent: 2}}) })
	if got.Rate() != 1 || got.Event {
		t.Errorf("a teardown with bytes: rate %d, event %t, want 1 and false", got.Rate(), got.Event)
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(nsel, []flow.Record{{FwEvent: 1}}) })
	if got.Rate() != 1 || !got.Event {
		t.Errorf("a creation: rate %d, event %t, want 1 and true", got.Rate(), got.Event)
	}
}

// TestUptimeBase covers IPFIX flows whose times count from the exporter's start:
// told by option data, or not at all.
func TestUptimeBase(t *testing.T) {
	tmpl := compiled(t, 256, spec(22, 4), spec(21, 4))
	opt := compiled(t, 300, ipfix.FieldSpec{ID: 143, Length: 4, Scope: true}, spec(160, 8))
	boot := exported - 70*86400e9
	recs := []flow.Record{{First: exported - 60e9, Last: exported - 2e9},
		{First: exported - 30e9, Last: exported - 10e9}}
	for _, told := range []bool{true, false} {
		d, s := NewDecoder(Options{}), newSender()
		s.e.Boot = boot
		var got []flow.Record
		h := Handler{Flow: func(r *flow.Record) { got = append(got, *r) }}
		s.send(t, d, h, func(e *ipfix.Encoder) {
			e.AddTemplates(opt, tmpl)
			if told {
				ms := binary.BigEndian.AppendUint64(nil, boot.Milli())
				e.AddOptions(opt, []flow.OptionRecord{{Fields: []flow.Element{{ID: 160, Value: ms}}}})
			}
			e.AddData(tmpl, recs)
		})
		slack := flow.Time(0)
		if !told {
			slack = 2e9 // the first flow's age at export is not known
		}
		for i, r := range got {
			if r.Last-recs[i].Last != slack || r.First-recs[i].First != slack || r.Has(flow.TimeRepair) {
				t.Errorf("told %t, flow %d: got %v to %v, want %v to %v", told, i, r.First.Time(), r.Last.Time(),
					recs[i].First.Time(), recs[i].Last.Time())
			}
		}
		if len(got) != 2 {
			t.Fatalf("got %d flows, want 2", len(got))
		}
	}
}

func TestUnsupportedIsLoggedOnce(t *testing.T) {
	var lines []string
	d := NewDecoder(Options{Log: func(format string, args ...any) { lines = append(lines, args[0].(string)) }})
	d.opt.Protocols = []flow.Version{flow.V5}
	sflow := make([]byte, 28)
	sflow[3] = 5
	for range 5 {
		if err := d.Decode(datagram(sflow), Handler{}); err == nil {
			t.Fatal("sFlow was decoded")
		}
	}
	s := only(t, d)
	if s.Version != flow.SFlow || s.Unsupported != 5 || s.Datagrams != 5 {
		t.Errorf("got %+v", s)
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "sFlowV5") {
		t.Errorf("got the lines %q, want one that says sFlowV5", lines)
	}
}

func TestProtocolsNarrow(t *testing.T) {
	d := NewDecoder(Options{Protocols: []flow.Version{flow.V5}})
	for _, s := range streams(t) {
		n := 0
		for _, b := range [][]byte{s.templates, s.data} {
			_ = d.Decode(datagram(b), Handler{Flow: func(*flow.Record) { n++ }})
		}
		if (n > 0) != (s.name == "v5") {
			t.Errorf("%s: got %d flows", s.name, n)
		}
	}
}
