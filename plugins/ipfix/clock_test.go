package ipfix_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestEstimatedStart: where an exporter counts from its start and never tells that, the
// start is the latest that no flow contradicts: no packet comes after its export. Ten minutes
// behind it the exporter has restarted.
func TestEstimatedStart(t *testing.T) {
	const x, ms = exported, flow.Time(1e6)
	both, start, end := []ipfix.FieldSpec{f(22, 4), f(21, 4)}, []ipfix.FieldSpec{f(22, 4)}, []ipfix.FieldSpec{f(21, 4)}
	var up ipfix.Uptime
	for i, c := range []struct {
		exported    flow.Time
		fields      []ipfix.FieldSpec
		counts      []uint32
		first, last flow.Time
	}{
		{x, both, []uint32{1000, 5000}, x - 4000*ms, x},
		{x, both, []uint32{500, 4000}, x - 4500*ms, x - 1000*ms},
		{x + 1000*ms, both, []uint32{5100, 5500}, x + 100*ms, x + 500*ms}, // the start stays
		{x, both, []uint32{5000, 6000}, x - 1000*ms, x},                   // it was earlier
		{x + 600_000*ms, end, []uint32{6000}, x, x},                       // as late as it may be
		{x + 600_001*ms, end, []uint32{6000}, x + 600_001*ms, x + 600_001*ms},
		{x, start, []uint32{7000}, x, x},
		{x, start, []uint32{6500}, x - 500*ms, x - 500*ms},
	} {
		record := ""
		for _, n := range c.counts {
			record += fmt.Sprintf("%08x", n)
		}
		b, _ := hex.DecodeString(record)
		d := ipfix.RecordDecoder{Base: flow.Record{Exported: c.exported}, Uptime: &up}
		tmpl := template(t, 256, c.fields...)
		if !tmpl.NeedsUptime() || !tmpl.MovesClock(&up) {
			t.Fatal("the template counts from the start")
		}
		var r flow.Record
		if _, err := d.Decode(tmpl, &r, b); err != nil || r.First != c.first || r.Last != c.last {
			t.Errorf("flow %d: %v, from %v to %v, want %v to %v", i, err, r.First.Time(), r.Last.Time(), c.first.Time(),
				c.last.Time())
		}
		if up.Known() {
			t.Fatalf("flow %d: an estimate is taken for the exporter's word", i)
		}
	}
	// The exporter tells its start: that counts, and flows move it no more.
	withStart := append([]ipfix.FieldSpec{f(160, 8)}, both...)
	b, _ := hex.DecodeString(fmt.Sprintf("%016x%08x%08x", (x - 9000*ms).Milli(), 1000, 2000))
	d := ipfix.RecordDecoder{Base: flow.Record{Exported: x}, Uptime: &up}
	var r flow.Record
	if _, err := d.Decode(template(t, 256, withStart...), &r, b); err != nil || r.First != x-8000*ms ||
		r.Last != x-7000*ms ||
		!up.Known() {
		t.Errorf("%v, from %v to %v, known %v", err, r.First.Time(), r.Last.Time(), up.Known())
	}
	if template(t, 256, both...).MovesClock(&up) || !template(t, 256, withStart...).MovesClock(&up) {
		t.Error("a start that is known is moved by the start alone")
	}
	up.SetBoot(0)
	if !up.Known() {
		t.Error("a start of 0 is no news")
	}
}

// TestHowPacketsWereSelected: the elements of RFC 5477, section 8.2, of RFC 7014, section 4,
// and the older ones of NetFlow say how; the rate (34), the sampler's id (48) and the
// selector's (302) do not. Those of enterprises are others.
func TestHowPacketsWereSelected(t *testing.T) {
	selects := map[uint16]bool{35: true, 49: true, 304: true, 305: true, 306: true, 307: true, 308: true, 309: true,
		310: true, 311: true, 329: true, 330: true, 331: true, 332: true, 390: true, 396: true, 397: true, 398: true,
		399: true}
	for id := uint16(1); id < 500; id++ {
		for _, pen := range []uint32{0, 9, ie.ReversePEN} {
			tmpl := template(t, 256, f(8, 4), ipfix.FieldSpec{PEN: pen, ID: id, Length: 4})
			if got := tmpl.Selects(); got != (pen == 0 && selects[id]) {
				t.Errorf("element %d/%d: %v", pen, id, got)
			}
		}
	}
}

// TestLengthPrefixes: one byte, or 255 and two more (RFC 7011, section 7), which may say
// fewer than 255 too.
func TestLengthPrefixes(t *testing.T) {
	fields := []ipfix.FieldSpec{{PEN: 9, ID: 12235, Length: ipfix.Variable}, f(4, 1)}
	flows := template(t, 256, fields...)
	fields[0].Scope = true
	options, err := ipfix.NewOptionsTemplate(257, fields)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("61", 255)
	for record, want := range map[string]int{ // -1: it is too short
		"00" + "06": 0, "0161" + "06": 1, "fe" + long[2:] + "06": 254, "ff00ff" + long + "06": 255, "ff0000" + "06": 0,
		"ff000161" + "06": 1, "ff0100" + long + "6106": 256, "": -1, "00": -1, "01": -1, "0161": -1, "ff": -1,
		"ff00":   -1,
		"ff0000": -1, "ff0001": -1, "ff00ff" + long: -1, "ff00ff" + long[2:]: -1,
	} {
		b, err := hex.DecodeString(record)
		if err != nil {
			t.Fatal(err)
		}
		var r flow.Record
		n, err := (&ipfix.RecordDecoder{}).Decode(flows, &r, b)
		if (err == nil) != (want >= 0) || err == nil && (n != len(b) || len(r.Extra[0].Value) != want || r.Proto != 6) {
			t.Errorf("%.20s: %d of %d bytes, %v, %d elements, want %d bytes", record, n, len(b), err, len(r.Extra),
				want)
		}
		var o flow.OptionRecord
		n, err = ipfix.DecodeOption(options, &o, b)
		if (err == nil) != (want >= 0) || err == nil && (n != len(b) || len(o.Scope[0].Value) != want ||
			o.Fields[0].Value[0] != 6) {
			t.Errorf("%.20s as an option: %d of %d bytes, %v", record, n, len(b), err)
		}
	}
}

// TestNothingBehindAPrefix: a value of no bytes is whole with its prefix.
func TestNothingBehindAPrefix(t *testing.T) {
	for _, record := range []string{"00", "ff0000"} {
		r := one(t, flow.Record{}, record, ipfix.FieldSpec{PEN: 9, ID: 12235, Length: ipfix.Variable})
		if len(r.Extra) > 1 || len(r.Extra) == 1 && len(r.Extra[0].Value) > 0 {
			t.Errorf("%s: %v", record, r.Extra)
		}
	}
}

// TestVariableFieldsArePresent: a value of variable length that fits is there as one of
// fixed length is.
func TestVariableFieldsArePresent(t *testing.T) {
	r := one(t, flow.Record{}, "0412345678"+"04c0000201"+"0106"+"00", f(1, ipfix.Variable), f(8, ipfix.Variable),
		f(4, ipfix.Variable), f(12, ipfix.Variable))
	for field, want := range map[flow.Field]bool{flow.Bytes: true, flow.Src: true, flow.Proto: true, flow.Dst: false,
		flow.SrcPort: false} {
		if r.Has(field) != want {
			t.Errorf("%s is there: %v", field, !want)
		}
	}
}

// TestFlagsOfTwoBytes: tcpControlBits may have one byte or two (RFC 7125), and a file keeps
// which.
func TestFlagsOfTwoBytes(t *testing.T) {
	for _, c := range []struct {
		record string
		length uint16
		flags  uint16
		wide   bool
	}{{"12", 1, 0x12, false}, {"0112", 2, 0x112, true}, {"0012", 2, 0x12, true},
		{"0112", ipfix.Variable, 0x12, false}, {"020112", ipfix.Variable, 0x112, true}} {
		r := one(t, flow.Record{}, c.record, f(6, c.length))
		if r.TCPFlags != c.flags || r.Has(flow.TCPFlagsWide) != c.wide {
			t.Errorf("%s: flags %#x, wide %v", c.record, r.TCPFlags, r.Has(flow.TCPFlagsWide))
		}
	}
}

// TestManyOfOneElement: the number of those before an element ends at 255.
func TestManyOfOneElement(t *testing.T) {
	fields := make([]ipfix.FieldSpec, 300)
	for i := range fields {
		fields[i] = ipfix.FieldSpec{PEN: 1, ID: 500, Length: 1}
	}
	r := one(t, flow.Record{}, strings.Repeat("07", len(fields)), fields...)
	for i, e := range r.Extra {
		if int(e.Nth) != min(i, 255) {
			t.Fatalf("element %d has %d before it", i, e.Nth)
		}
	}
	if len(r.Extra) != len(fields) {
		t.Errorf("%d elements", len(r.Extra))
	}
}

// TestPartsAreWrittenBack: what is a part of a field, or counts from another one, is encoded
// as it was decoded.
func TestPartsAreWrittenBack(t *testing.T) {
	for _, c := range []struct {
		record string
		fields []ipfix.FieldSpec
	}{
		{"010304", []ipfix.FieldSpec{f(4, 1), f(176, 1), f(177, 1)}},
		{"3a0403", []ipfix.FieldSpec{f(4, 1), f(179, 1), f(178, 1)}},
		{"3a00030004", []ipfix.FieldSpec{f(4, 1), f(178, 2), f(179, 2)}},
		{"010304", []ipfix.FieldSpec{f(4, 1), f(32, 2)}},
		{"0112", []ipfix.FieldSpec{f(6, 2)}},
	} {
		r := one(t, flow.Record{}, c.record, c.fields...)
		r.Extra = nil
		var e ipfix.Encoder
		e.Begin(nil, exported)
		e.AddData(template(t, 256, c.fields...), []flow.Record{r})
		if got := hex.EncodeToString(e.End()[20:]); !strings.HasPrefix(got, c.record) {
			t.Errorf("%v: %s became %s", c.fields, c.record, got)
		}
	}
}
