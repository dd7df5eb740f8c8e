package collector

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// exporterOf is a v9 exporter with a sampler table: its datagrams of templates and
// options, and of data.
func exporterOf(t testing.TB) (told, data []byte) {
	t.Helper()
	tmpl := compiled(t, 256, spec(8, 4), spec(1, 4), spec(2, 4), spec(48, 1), spec(21, 4), spec(22, 4))
	options := compiledOptions(t, 300, ipfix.FieldSpec{ID: 1, Length: 4, Scope: true}, spec(48, 1), spec(50, 4))
	e := netflow.V9Encoder{SourceID: 7, Sequence: 100}
	e.Boot = exported - 3600e9
	e.Begin(nil, exported)
	e.AddTemplates(tmpl, options)
	e.AddOptions(options, []flow.OptionRecord{
		{Scope: []flow.Element{{ID: 1, Value: []byte{0, 0, 0, 0}}},
			Fields: []flow.Element{{ID: 48, Value: []byte{1}}, {ID: 50, Value: []byte{0, 0, 1, 0}}}},
		{Scope: []flow.Element{{ID: 1, Value: []byte{0, 0, 0, 0}}},
			Fields: []flow.Element{{ID: 48, Value: []byte{2}}, {ID: 50, Value: []byte{0, 0, 2, 0}}}},
	})
	told = e.End()
	e.Begin(nil, exported)
	e.AddData(tmpl, []flow.Record{{Src: netip.MustParseAddr("192.0.2.1"), Bytes: 7, Packets: 1, SamplerID: 2,
		First: exported - 2e9, Last: exported - 1e9}})
	return told, e.End()
}

func compiledOptions(t testing.TB, id uint16, fields ...ipfix.FieldSpec) *ipfix.Template {
	t.Helper()
	tmpl, err := ipfix.NewOptionsTemplate(id, fields)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// TestKnownMakesAnotherDecoderWhole gives what one decoder knows to another.
func TestKnownMakesAnotherDecoderWhole(t *testing.T) {
	told, data := exporterOf(t)
	for _, o := range []Options{{}, {TemplatesOnly: true}} {
		a, b := NewDecoder(o), NewDecoder(Options{})
		if err := a.Decode(datagram(told), Handler{}); err != nil {
			t.Fatal(err)
		}
		n := 0
		a.Known(func(dg Datagram) {
			if !dg.Resent || dg.Exporter != from {
				t.Errorf("got %+v", dg)
			}
			n++
			if err := b.Decode(dg, Handler{Option: func(*flow.OptionRecord) {
				t.Error("what was sent again counts as new")
			}}); err != nil {
				t.Error(err)
			}
		})
		var got flow.Record
		if err := b.Decode(datagram(data), Handler{Flow: func(r *flow.Record) { got = *r }}); err != nil {
			t.Fatal(err)
		}
		if s := only(t, b); n != 2 || got.SamplingRate != 512 || got.Bytes != 7 || got.Last != exported-1e9 ||
			s.Datagrams != 1 || s.SequenceGaps != 0 || s.Options != 0 {
			t.Errorf("%d datagrams; got %+v\n%+v", n, got, s)
		}
	}
}

// TestKnownOptionsOfAnotherPort: options that come from another port than their
// template are known, too; each record is counted in the headers, and padding is none.
func TestKnownOptionsOfAnotherPort(t *testing.T) {
	tmpl := compiledOptions(t, 300, ipfix.FieldSpec{ID: 1, Length: 0, Scope: true}, spec(48, 1), spec(49, 1))
	e := netflow.V9Encoder{SourceID: 7}
	e.Begin(nil, exported)
	e.AddTemplates(tmpl)
	a, b := NewDecoder(Options{}), NewDecoder(Options{})
	_ = a.Decode(datagram(e.End()), Handler{})
	e.Begin(nil, exported)
	e.AddRecord(tmpl, []byte{5, 1})
	e.AddRecord(tmpl, []byte{6, 2})
	dg := datagram(e.End())
	dg.Exporter = netip.AddrPortFrom(from.Addr(), 4000)
	if err := a.Decode(dg, Handler{}); err != nil {
		t.Fatal(err)
	}
	var counts []uint16
	a.Known(func(dg Datagram) {
		if dg.Exporter != from {
			t.Errorf("known from %s", dg.Exporter)
		}
		h, _, err := netflow.ParseV9Header(dg.Payload)
		if err != nil {
			t.Error(err)
		}
		counts = append(counts, h.Count)
		if err := b.Decode(dg, Handler{}); err != nil {
			t.Error(err)
		}
	})
	if !slices.Equal(counts, []uint16{1, 2}) || len(b.newest.options) != 2 {
		t.Errorf("datagrams of %v records; %d option records are known", counts, len(b.newest.options))
	}
	again := compiledOptions(t, 300, ipfix.FieldSpec{ID: 1, Length: 0, Scope: true}, spec(48, 1), spec(50, 2))
	e.Begin(nil, exported)
	e.AddTemplates(again)
	_ = a.Decode(datagram(e.End()), Handler{})
	if dom := a.newest; len(dom.options) != 0 || dom.optionBytes != 0 || dom.bytes != a.bytes {
		t.Errorf("after a redefinition: %d records, %d bytes", len(dom.options), dom.optionBytes)
	}
}

// TestKnownSplitsAndOrders keeps datagrams small, and templates before options.
func TestKnownSplitsAndOrders(t *testing.T) {
	d, s := NewDecoder(Options{}), newSender()
	for id := range uint16(200) {
		tmpl := compiled(t, 256+id, spec(1, 4), spec(2, 4), spec(8, 4), spec(12, 4))
		s.send(t, d, Handler{}, func(e *ipfix.Encoder) { e.AddTemplates(tmpl) })
	}
	b := NewDecoder(Options{})
	d.Known(func(dg Datagram) {
		if len(dg.Payload) > ipfix.DefaultLimit {
			t.Errorf("a datagram of %d bytes", len(dg.Payload))
		}
		if err := b.Decode(dg, Handler{}); err != nil {
			t.Error(err)
		}
	})
	if got := only(t, b).TemplatesKnown; got != 200 {
		t.Errorf("got %d templates", got)
	}
}

// TestOptionRecordsAreBounded sends ever new option records.
func TestOptionRecordsAreBounded(t *testing.T) {
	d, s := NewDecoder(Options{}), newSender()
	tmpl := compiled(t, 256, ipfix.FieldSpec{ID: 10, Length: 4, Scope: true}, spec(82, 200))
	s.send(t, d, Handler{}, func(e *ipfix.Encoder) { e.AddTemplates(tmpl) })
	for i := range uint32(5000) {
		rec := flow.OptionRecord{Scope: []flow.Element{{ID: 10,
			Value: []byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}}}}
		s.send(t, d, Handler{}, func(e *ipfix.Encoder) { e.AddOptions(tmpl, []flow.OptionRecord{rec}) })
	}
	dom := d.newest
	if len(dom.options) > maxOptions || dom.optionBytes > maxOptionBytes || len(dom.options) < 1000 {
		t.Errorf("%d records, %d bytes", len(dom.options), dom.optionBytes)
	}
	again := compiled(t, 256, ipfix.FieldSpec{ID: 10, Length: 4, Scope: true}, spec(83, 200))
	s.send(t, d, Handler{}, func(e *ipfix.Encoder) { e.AddTemplates(again) })
	if len(dom.options) != 0 || dom.optionBytes != 0 || dom.bytes != d.bytes {
		t.Errorf("after a redefinition: %d records, %d bytes, %d of %d", len(dom.options), dom.optionBytes, dom.bytes,
			d.bytes)
	}
}

// TestSetsWait sends data before its template, within and beyond the bounds.
func TestSetsWait(t *testing.T) {
	var times []flow.Time
	h := Handler{Flow: func(r *flow.Record) { times = append(times, r.Received) }}
	d, s := NewDecoder(Options{}), newSender()
	pass(d, &s.at)
	tmpl := compiled(t, 256, spec(1, 4), spec(2, 4))
	data := func(e *ipfix.Encoder) { e.AddData(tmpl, []flow.Record{{Bytes: 1}, {Bytes: 2}}) }
	first := s.at
	s.send(t, d, h, data)
	s.at = s.at.Add(40 * time.Second)
	s.send(t, d, h, data)
	s.at = s.at.Add(30 * time.Second) // the first one is too old now
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(tmpl) })
	if len(times) != 2 || times[0] != flow.TimeOf(first.Add(40*time.Second)) {
		t.Errorf("got flows received at %v", times)
	}
	if st := only(t, d); st.SetsWithoutTemplate != 2 || st.SetsResumed != 1 || st.SetsExpired != 1 ||
		st.SetsWaiting != 0 || d.room.bytes != 0 {
		t.Errorf("got %+v, %d bytes", st, d.room.bytes)
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(compiled(t, 300, spec(1, 4)), []flow.Record{{Bytes: 1}}) })
	s.at = s.at.Add(2 * time.Minute) // nothing else waits, and nobody sends any more
	if st := only(t, d); st.SetsExpired != 2 || st.SetsWaiting != 0 || d.room.bytes != 0 {
		t.Errorf("got %+v, %d bytes", st, d.room.bytes)
	}
	for i := range uint32(100000) {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if i%2 == 0 {
			addr = from.Addr()
		}
		e := ipfix.Encoder{Domain: 1}
		e.Begin(nil, exported)
		data(&e)
		_ = d.Decode(Datagram{Exporter: netip.AddrPortFrom(addr, 1), Received: s.at, Payload: e.End()}, h)
	}
	total, own := 0, 0
	for e := d.room.all.Front(); e != nil; e = e.Next() {
		w := e.Value.(*waiting)
		total += w.size()
		if w.dom.key.addr == from.Addr() {
			own += w.size()
		}
	}
	if total != d.room.bytes || total > waitAll || own > waitExporter {
		t.Errorf("%d bytes wait (%d counted), of one exporter %d", total, d.room.bytes, own)
	}
}
