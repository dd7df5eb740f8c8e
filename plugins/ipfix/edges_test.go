package ipfix_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// rev is an element of RFC 5103: the reverse of one of IANA's.
func rev(id, length uint16) ipfix.FieldSpec {
	return ipfix.FieldSpec{PEN: 29305, ID: id, Length: length}
}

// TestEvents: a record with an event of a firewall or of NAT is no flow as long as all its
// counters are zero, those of the other direction too.
func TestEvents(t *testing.T) {
	for _, event := range []uint16{233, 230} {
		for _, counter := range []ipfix.FieldSpec{f(1, 1), f(2, 1), rev(1, 1), rev(2, 1)} {
			for value, want := range map[string]bool{"00": true, "01": false} {
				if r := one(t, flow.Record{}, "02"+value, f(event, 1), counter); r.Event != want {
					t.Errorf("event %d, element %d/%d is %s: event %v, want %v", event, counter.PEN, counter.ID, value,
						r.Event, want)
				}
			}
		}
	}
	if r := one(t, flow.Record{}, "00", f(1, 1)); r.Event {
		t.Error("a flow without bytes is an event, and no field says so")
	}
}

// TestIPVersion: it is what the record says, else that of the source, else unknown.
func TestIPVersion(t *testing.T) {
	const v4, v6 = "c0000201", "20010db8000000000000000000000001"
	for _, c := range []struct {
		record string
		fields []ipfix.FieldSpec
		want   uint8
	}{
		{"06", []ipfix.FieldSpec{f(4, 1)}, 0}, {v4, []ipfix.FieldSpec{f(8, 4)}, 4},
		{v6, []ipfix.FieldSpec{f(27, 16)}, 6}, {"04" + v6, []ipfix.FieldSpec{f(60, 1), f(27, 16)}, 4},
		{"06" + v4, []ipfix.FieldSpec{f(60, 1), f(8, 4)}, 6},
	} {
		if r := one(t, flow.Record{}, c.record, c.fields...); r.IPVersion != c.want {
			t.Errorf("%s: version %d, want %d", c.record, r.IPVersion, c.want)
		}
	}
}

// TestElseComesLast: a counter that only stands in for another does so in whatever order
// and length they come.
func TestElseComesLast(t *testing.T) {
	for n := uint16(1); n <= 8; n++ {
		number := func(v int) string { return fmt.Sprintf("%0*x", 2*n, v) }
		for _, c := range []struct{ delta, post, want int }{{0, 5, 5}, {7, 5, 7}} {
			before := one(t, flow.Record{}, number(c.post)+number(c.delta), f(23, n), f(1, n))
			after := one(t, flow.Record{}, number(c.delta)+number(c.post), f(1, n), f(23, n))
			if before.Bytes != uint64(c.want) || after.Bytes != uint64(c.want) {
				t.Errorf("%d bytes, delta %d and post %d: %d and %d octets, want %d", n, c.delta, c.post, before.Bytes,
					after.Bytes, c.want)
			}
		}
	}
}

// TestPortBesideICMP: where type and code take the place of the destination port, that port,
// and nothing else, is kept as it was sent.
func TestPortBesideICMP(t *testing.T) {
	fields := []ipfix.FieldSpec{f(4, 1), f(11, 2), f(32, 2), f(10, 4), f(7, 2)}
	r := one(t, flow.Record{}, "01"+"0007"+"0303"+"00000009"+"0005", fields...)
	if r.DstPort != 0x0303 || r.SrcPort != 5 || r.Input != 9 {
		t.Errorf("got ports %d and %d of interface %d", r.SrcPort, r.DstPort, r.Input)
	}
	if len(r.Extra) != 1 || r.Extra[0].ID != 11 || fmt.Sprintf("%x", r.Extra[0].Value) != "0007" {
		t.Errorf("kept as they were sent: %v, want the destination port", r.Extra)
	}
	if r := one(t, flow.Record{}, "11"+"0007"+"0303"+"00000009"+"0005", fields...); r.DstPort != 7 {
		t.Errorf("a flow of UDP has port %d, want 7", r.DstPort)
	}
}

// TestTotals: counters are running totals where no other element fills them.
func TestTotals(t *testing.T) {
	for _, c := range []struct {
		fields []ipfix.FieldSpec
		want   []flow.Field
	}{
		{[]ipfix.FieldSpec{f(1, 4), f(2, 4)}, nil}, {[]ipfix.FieldSpec{f(85, 4), f(2, 4)}, []flow.Field{flow.Bytes}},
		{[]ipfix.FieldSpec{f(85, 4), f(86, 4)}, []flow.Field{flow.Bytes, flow.Packets}},
		{[]ipfix.FieldSpec{f(85, 4), f(1, 4)}, nil}, {[]ipfix.FieldSpec{f(1, 4), f(85, 4)}, nil},
		{[]ipfix.FieldSpec{f(1, 4), rev(85, 4)}, []flow.Field{flow.RevBytes}},
	} {
		var want flow.Set
		for _, field := range c.want {
			want.Add(field)
		}
		tmpl := template(t, 256, c.fields...)
		if got := tmpl.Totals(); got != want || tmpl.CountsTotals() != (c.want != nil) {
			t.Errorf("%v: totals %v, want %v", c.fields, got, c.want)
		}
	}
}

// TestSetsEnd: zero fill ends a message, and any other bytes that are no set are an error.
func TestSetsEnd(t *testing.T) {
	for _, c := range []struct {
		body string
		sets int
		err  error
	}{
		{"", 0, nil}, {"\x00\x02\x00\x04", 1, nil}, {"\x00\x02\x00\x04\x00\x00\x00\x00\x00", 1, nil},
		{"\x00\x02\x00\x04\x00\x00\x00", 1, nil}, {"\x01\x00\x00\x03", 0, ipfix.ErrLength},
		{"\x00\x00\x00\x00\x01", 0, ipfix.ErrLength}, {"\x01\x00\x00\x05\x01\x00\x01\x00\x00", 1, ipfix.ErrLength},
		{"\x01\x00\x00\x06\x01", 1, ipfix.ErrLength},
	} {
		s := ipfix.NewSets([]byte(c.body))
		n := 0
		for _, ok := s.Next(); ok; _, ok = s.Next() {
			n++
		}
		if n != c.sets || !errors.Is(s.Err(), c.err) || (s.Err() == nil) != (c.err == nil) {
			t.Errorf("%x: %d sets, %v; want %d, %v", c.body, n, s.Err(), c.sets, c.err)
		}
	}
}

// TestWithdrawalAtTheEnd: a template of no fields is a withdrawal, also as the last four
// bytes of its set; three bytes are none.
func TestWithdrawalAtTheEnd(t *testing.T) {
	for body, want := range map[string]bool{"\x01\x00\x00\x00": true, "\x01\x00\x00": false,
		"\x00\x00\x00\x00": false} {
		r := ipfix.NewTemplateReader([]byte(body), false, nil)
		id, fields, ok := r.Next()
		if ok != want || len(fields) != 0 || ok && id != 256 {
			t.Errorf("%x: template %d of %d fields: %v, want %v", body, id, len(fields), ok, want)
		}
	}
}

// TestPaddingOfOptions: padding is no field of an option record.
func TestPaddingOfOptions(t *testing.T) {
	scope := f(149, 4)
	scope.Scope = true
	tmpl, err := ipfix.NewOptionsTemplate(256,
		[]ipfix.FieldSpec{scope, f(210, 3), f(41, 1), {PEN: 9, ID: 210, Length: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var o flow.OptionRecord
	n, err := ipfix.DecodeOption(tmpl, &o, []byte{0, 0, 0, 1, 9, 9, 9, 7, 8})
	if err != nil || n != 9 {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	if len(o.Scope) != 1 || len(o.Fields) != 2 || o.Fields[0].ID != 41 || o.Fields[1].PEN != 9 {
		t.Errorf("scope %v and fields %v, want 149, and 41 and 9/210", o.Scope, o.Fields)
	}
}

// TestNothingFits: a set that no record fits into is not in the message.
func TestNothingFits(t *testing.T) {
	tmpl := template(t, 256, f(1, 8), f(2, 8))
	for limit, want := range map[int]int{16 + 4 + 15: 0, 16 + 4 + 16: 1, 16 + 4 + 31: 1, 16 + 4 + 32: 2} {
		e := ipfix.Encoder{}
		e.Limit = limit
		e.Begin(nil, flow.Time(1e18))
		done := e.AddData(tmpl, make([]flow.Record, 3))
		message := e.End()
		size := 16
		if want > 0 {
			size += 4 + 16*want
		}
		if done != want || len(message) != size {
			t.Errorf("limit %d: %d records in %d bytes, want %d in %d", limit, done, len(message), want, size)
		}
	}
}
