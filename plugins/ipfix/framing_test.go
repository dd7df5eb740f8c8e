package ipfix_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// header returns the header of a message that claims to have so many bytes.
func header(length int) []byte {
	b := binary.BigEndian.AppendUint16(nil, 10)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	return append(b, 0x69, 0x57, 0x33, 0x20, 0, 0, 0, 7, 0, 0, 0, 9)
}

// TestHeaders reads headers that are too short, of another version, and with another
// message behind them.
func TestHeaders(t *testing.T) {
	set := []byte{1, 0, 0, 8, 192, 0, 2, 1}
	message := append(header(24), set...)
	for _, c := range []struct {
		name string
		b    []byte
		sets int    // bytes of them
		want string // of the error, "" for none
	}{
		{"whole", message, 8, ""},
		{"only a header", header(16), 0, ""},
		{"15 bytes", header(16)[:15], 0, "ipfix: header: expected 16 bytes, got 15"},
		{"no byte", nil, 0, "ipfix: header: expected 16 bytes, got 0"},
		{"version 9", append([]byte{0, 9}, message[2:]...), 0, "ipfix: header: expected version 10, got 9"},
		{"version 2560", append([]byte{10, 0}, message[2:]...), 0, "ipfix: header: expected version 10, got 2560"},
		{"a length of 2 less", append(header(22), set...), 8, ""},
		{"a length of 2 more", append(header(26), set...), 8, ""},
		{"a length of 0", append(header(0), set...), 8, ""},
		{"two messages", slices.Concat(message, message), 8, "ipfix: expected one message, got another one at byte 24 of 48"},
		{"a header behind", slices.Concat(message, header(16)), 8, "another one at byte 24 of 40"},
		{"a header behind a header", slices.Concat(header(16), header(16)), 0, "another one at byte 16 of 32"},
		{"most of a header behind", slices.Concat(message, header(16)[:15]), 23, ""},
		{"zeros behind", slices.Concat(message, make([]byte, 16)), 24, ""},
		{"a length below the header's, and 10 there", slices.Concat(header(12)[:12], []byte{0, 10, 0, 0}, make([]byte, 16)),
			16, ""},
	} {
		h, sets, err := ipfix.ParseHeader(c.b)
		if len(sets) != c.sets || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d bytes of sets, %v; want %d, %q", c.name, len(sets), err, c.sets, c.want)
		}
		if strings.Contains(c.want, "another one") != errors.Is(err, ipfix.ErrLength) ||
			strings.Contains(c.want, "bytes, got") != errors.Is(err, wire.ErrShort) {
			t.Errorf("%s: %v is of another kind", c.name, err)
		}
		if len(c.b) >= 16 && c.b[1] == 10 && (h.Exported != 0x69573320 || h.Sequence != 7 ||
			h.ExportTime() != flow.Time(0x69573320)*1_000_000_000) {
			t.Errorf("%s: %+v", c.name, h)
		}
	}
}

// A message that is cut at any byte gives the sets before the cut whole, and of that in
// which it lies what is there.
func TestSetsCutAtEveryByte(t *testing.T) {
	var body []byte
	var ends []int
	for i, n := range []int{4, 0, 9, 1, 20} {
		set := binary.BigEndian.AppendUint16(nil, uint16(256+i))
		set = binary.BigEndian.AppendUint16(set, uint16(4+n))
		body = append(append(body, set...), bytes.Repeat([]byte{byte(i + 1)}, n)...)
		ends = append(ends, len(body))
	}
	for cut := range len(body) + 1 {
		s := ipfix.NewSets(body[:cut])
		n, whole := 0, 0
		for set, ok := s.Next(); ok; set, ok = s.Next() {
			if set.ID != uint16(256+n) || !bytes.Equal(set.Body, bytes.Repeat([]byte{byte(n + 1)}, len(set.Body))) {
				t.Fatalf("cut at %d: set %d of %x", cut, set.ID, set.Body)
			}
			if n++; ends[n-1] <= cut {
				whole++
			}
		}
		wantWhole, begin := 0, 0
		for _, end := range ends {
			if end <= cut {
				wantWhole, begin = wantWhole+1, end
			}
		}
		part := cut - begin
		if wantN := wantWhole + min(part/4, 1); whole != wantWhole || n != wantN {
			t.Errorf("cut at %d: %d sets, %d whole, want %d and %d", cut, n, whole, wantN, wantWhole)
		}
		wantErr := part > 0
		if err := s.Err(); (err != nil) != wantErr || wantErr &&
			!strings.Contains(err.Error(), fmt.Sprintf("at byte %d: expected", begin)) {
			t.Errorf("cut at %d, %d bytes into a set: %v", cut, part, err)
		}
		if _, ok := s.Next(); ok {
			t.Errorf("cut at %d: a set behind the last", cut)
		}
	}
}

// TestSetsWithoutEnd: a set whose length is below that of its header ends the walk there and
// then, and the walk does not go on.
func TestSetsWithoutEnd(t *testing.T) {
	for n := range 4 {
		body := []byte{1, 0, 0, 4, 1, 1, 0, byte(n), 1, 2, 0, 4}
		s := ipfix.NewSets(body)
		if set, ok := s.Next(); !ok || set.ID != 256 {
			t.Fatalf("%+v, %v", set, ok)
		}
		for range 3 {
			if set, ok := s.Next(); ok {
				t.Fatalf("length %d: set %d", n, set.ID)
			}
		}
		want := fmt.Sprintf("set 257 at byte 4: expected a length of at least 4, got %d", n)
		if err := s.Err(); !errors.Is(err, ipfix.ErrLength) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// spec is a field specifier as RFC 7011, section 3.2, draws it.
func spec(s ipfix.FieldSpec) []byte {
	b := binary.BigEndian.AppendUint16(nil, s.ID)
	b = binary.BigEndian.AppendUint16(b, s.Length)
	if s.PEN != 0 {
		b[0] |= 0x80
		b = binary.BigEndian.AppendUint32(b, s.PEN)
	}
	return b
}

// described is a template of a random set: its id, fields and where its bytes end.
type described struct {
	id     uint16
	fields []ipfix.FieldSpec
	end    int
}

// randomTemplates returns the body of a set of templates and what is in it.
func randomTemplates(rng *rand.Rand, options bool) (body []byte, list []described) {
	for range 1 + rng.IntN(4) {
		d := described{id: uint16(256 + rng.IntN(1<<16-256))}
		n := 1 + rng.IntN(5)
		scopes := 1 + rng.IntN(n)
		body = binary.BigEndian.AppendUint16(body, d.id)
		body = binary.BigEndian.AppendUint16(body, uint16(n))
		if options {
			body = binary.BigEndian.AppendUint16(body, uint16(scopes))
		}
		for i := range n {
			s := ipfix.FieldSpec{ID: uint16(rng.IntN(1 << 15)), Length: uint16(rng.Uint32()), Scope: options && i < scopes}
			if rng.IntN(3) == 0 {
				s.PEN = rng.Uint32() | 1
			}
			d.fields, body = append(d.fields, s), append(body, spec(s)...)
		}
		d.end = len(body)
		list = append(list, d)
	}
	return body, list
}

// Sets of templates, whole and cut at every byte, give the templates that are whole, and an
// error of the one that is not.
func TestTemplatesCutAtEveryByte(t *testing.T) {
	rng := rand.New(rand.NewPCG(45, 46))
	for round := range 40 {
		options := round%2 == 1
		body, list := randomTemplates(rng, options)
		for cut := range len(body) + 1 {
			r := ipfix.NewTemplateReader(body[:cut:cut], options, nil)
			n := 0
			for id, fields, ok := r.Next(); ok; id, fields, ok = r.Next() {
				if n == len(list) || id != list[n].id || !slices.Equal(fields, list[n].fields) || list[n].end > cut {
					t.Fatalf("cut at %d: template %d of %v, want %+v", cut, id, fields, list)
				}
				n++
			}
			begin := 0
			if n > 0 {
				begin = list[n-1].end
			}
			if n < len(list) && list[n].end <= cut {
				t.Fatalf("cut at %d: %d of the templates %+v", cut, n, list)
			}
			rest := cut - begin
			if err := r.Err(); (err != nil) != (rest >= 4) || err != nil && (!errors.Is(err, ipfix.ErrTemplate) ||
				!errors.Is(err, wire.ErrShort) || !strings.Contains(err.Error(), fmt.Sprintf("%d of %d fields", list[n].id,
				len(list[n].fields)))) {
				t.Fatalf("cut at %d, %d bytes into %+v: %v", cut, rest, list[n], err)
			}
		}
	}
}

// TestScopesThatCannotBe: an options template of IPFIX has at least one scope field (RFC
// 7011, section 3.4.2.2), and no more than fields. It is read all the same, and the error
// tells of the first.
func TestScopesThatCannotBe(t *testing.T) {
	for scopes, c := range map[uint16]struct {
		want string
		n    int // scope fields
	}{
		0: {"invalid template 300: expected 1 to 2 scope fields, got 0", 0}, 1: {"", 1}, 2: {"", 2},
		3: {"invalid template 300: expected 1 to 2 scope fields, got 3", 2}, 65535: {"got 65535", 2},
	} {
		body := []byte{1, 44, 0, 2, byte(scopes >> 8), byte(scopes), 0, 149, 0, 4, 0, 34, 0, 4}
		body = append(body, 1, 45, 0, 1, 0, 9, 0, 34, 0, 4) // one that is wrong too
		r := ipfix.NewTemplateReader(body, true, nil)
		id, fields, ok := r.Next()
		got := 0
		for _, f := range fields {
			if f.Scope {
				got++
			}
		}
		if !ok || id != 300 || len(fields) != 2 || got != c.n {
			t.Errorf("%d scopes: template %d of %v, %v", scopes, id, fields, ok)
		}
		if err := r.Err(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d scopes: %v, want %q", scopes, err, c.want)
		}
		if id, fields, ok = r.Next(); !ok || id != 301 || len(fields) != 1 || r.Err() == nil ||
			c.want != "" && !strings.Contains(r.Err().Error(), c.want) {
			t.Errorf("%d scopes: then template %d of %v, %v, %v", scopes, id, fields, ok, r.Err())
		}
		if scratch := r.Scratch(); len(scratch) != 0 || cap(scratch) < 2 {
			t.Errorf("%d fields of scratch, room for %d", len(scratch), cap(scratch))
		}
	}
}

// TestRecordsCutAtEveryByte: a record of fixed or variable size that is cut is an error that
// says of which template, where, and how many bytes there are; nothing of it is read.
func TestRecordsCutAtEveryByte(t *testing.T) {
	variable := ipfix.FieldSpec{PEN: 9, ID: 12235, Length: ipfix.Variable}
	scope := f(149, 4)
	scope.Scope = true
	flows := template(t, 400, f(8, 4), variable, f(1, 8), variable)
	fixed := template(t, 401, f(8, 4), f(1, 8))
	options, err := ipfix.NewOptionsTemplate(402, []ipfix.FieldSpec{scope, variable, f(34, 4)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tmpl   *ipfix.Template
		record string
	}{
		{flows, "\xc0\x00\x02\x01" + "\x03abc" + "\x00\x00\x00\x00\x00\x00\x01\x00" + "\xff\x00\x02de"},
		{fixed, "\xc0\x00\x02\x01" + "\x00\x00\x00\x00\x00\x00\x01\x00"},
		{options, "\x00\x00\x00\x01" + "\x03abc" + "\x00\x00\x00\x64"},
	} {
		for cut := range len(c.record) + 1 {
			var r flow.Record
			var o flow.OptionRecord
			decode := func(b []byte) (int, error) { return (&ipfix.RecordDecoder{}).Decode(c.tmpl, &r, b) }
			if c.tmpl.Options() {
				decode = func(b []byte) (int, error) { return ipfix.DecodeOption(c.tmpl, &o, b) }
			}
			n, err := decode([]byte(c.record[:cut]))
			if cut == len(c.record) {
				if err != nil || n != cut || max(r.TemplateID, o.TemplateID) != c.tmpl.ID {
					t.Errorf("template %d: %d bytes, %v of template %d and %d", c.tmpl.ID, n, err, r.TemplateID,
						o.TemplateID)
				}
				continue
			}
			if n != 0 || !errors.Is(err, wire.ErrShort) || !strings.Contains(err.Error(), fmt.Sprintf("record of template %d: ",
				c.tmpl.ID)) || !strings.Contains(err.Error(), fmt.Sprintf(" of %d: ", cut)) {
				t.Errorf("template %d cut at %d: %d bytes, %v", c.tmpl.ID, cut, n, err)
			}
		}
	}
}

// TestWhatATemplateSays: names and numbers of its fields, for messages.
func TestWhatATemplateSays(t *testing.T) {
	for want, f := range map[string]ipfix.FieldSpec{"0/1 octetDeltaCount(8)": f(1, 8),
		"6876/898 virtualObsID(65535)": {PEN: 6876, ID: 898, Length: 65535}, "4711/5 (2)": {PEN: 4711, ID: 5, Length: 2}} {
		if f.String() != want {
			t.Errorf("%q, want %q", f, want)
		}
	}
	fixed, variable := template(t, 256, f(1, 8), f(2, 4)), template(t, 257, f(371, ipfix.Variable), f(1, 8))
	if !fixed.FixedSize() || variable.FixedSize() || fixed.MinLength() != 12 || variable.MinLength() != 9 {
		t.Errorf("%v of %d bytes, %v of %d", fixed.FixedSize(), fixed.MinLength(), variable.FixedSize(), variable.MinLength())
	}
	fields := []ipfix.FieldSpec{f(1, 8), f(2, 4)}
	if tmpl := template(t, 256, fields...); !tmpl.Equal(fields) || tmpl.Equal(fields[:1]) ||
		tmpl.Equal([]ipfix.FieldSpec{f(1, 8), f(2, 5)}) {
		t.Error("a template is not equal to its fields alone")
	} else if fields[0].Length = 4; tmpl.Fields[0].Length != 8 {
		t.Error("a template changes with the fields that it was made of")
	}
}

// TestSizeIsThatInMemory: what a template says that it takes is within a factor of three of
// what it does take, so that a bound on the sum of them bounds memory.
func TestSizeIsThatInMemory(t *testing.T) {
	const n = 200
	for _, count := range []int{1, 20, 300} {
		fields := make([]ipfix.FieldSpec, count)
		for i := range fields {
			fields[i] = f(uint16(1+i), 4)
		}
		kept := make([]*ipfix.Template, n)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range kept {
			kept[i] = template(t, 256, fields...)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		real := int(after.HeapAlloc-before.HeapAlloc) / n
		if said := kept[0].Size(); real > 3*said || said > 3*real {
			t.Errorf("a template of %d fields says %d bytes and takes %d", count, said, real)
		}
		runtime.KeepAlive(kept)
	}
}

// TestMessagesFollowEachOther: one encoder writes message after message, each with its own count of
// records, and sequence numbers that go on.
func TestMessagesFollowEachOther(t *testing.T) {
	tmpl := template(t, 0x1234, f(8, 4), f(4, 1))
	e := ipfix.Encoder{Domain: 3, Sequence: 1<<32 - 2}
	for i, sequence := range []uint32{1<<32 - 2, 0, 2} {
		e.Begin(nil, exported)
		if e.Records() != 0 || e.Exported() != exported || e.Len() != 16 {
			t.Errorf("message %d begins with %d records, %d bytes", i, e.Records(), e.Len())
		}
		if n := e.AddData(tmpl, make([]flow.Record, 2)); n != 2 || e.Records() != 2 {
			t.Fatalf("%d records of 2, %d in all", n, e.Records())
		}
		length := e.Len()
		b := e.End()
		h, sets, err := ipfix.ParseHeader(b)
		if err != nil || h != (ipfix.Header{Length: uint16(len(b)), Exported: uint32(exported / 1e9), Sequence: sequence,
			Domain: 3}) || length != len(b) {
			t.Errorf("message %d: %+v, %v", i, h, err)
		}
		want := []byte{0x12, 0x34, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // two records and padding
		if !bytes.Equal(sets, want) {
			t.Errorf("message %d: %x, want %x", i, sets, want)
		}
	}
}

// TestTemplatesArePadded: every set of templates ends at a multiple of four bytes, as Cisco's
// collectors expect, and RFC 7011, section 3.3.1, allows.
func TestTemplatesArePadded(t *testing.T) {
	scope := f(149, 4)
	scope.Scope = true
	options := template(t, 300, scope, f(34, 4))
	data := template(t, 301, f(8, 4), ipfix.FieldSpec{PEN: 6876, ID: 888, Length: 2})
	var e ipfix.Encoder
	e.Begin(nil, exported)
	e.AddTemplates(options, data)
	b := e.End()[16:]
	want := []byte{0, 2, 0, 20, 1, 45, 0, 2, 0, 8, 0, 4, 0x83, 0x78, 0, 2, 0, 0, 0x1a, 0xdc,
		0, 3, 0, 20, 1, 44, 0, 2, 0, 1, 0, 149, 0, 4, 0, 34, 0, 4, 0, 0}
	if !bytes.Equal(b, want) {
		t.Errorf("got\n%x, want\n%x", b, want)
	}
	e.Begin(nil, exported)
	if e.AddTemplates(); len(e.End()) != 16 {
		t.Error("a set without templates is in the message")
	}
}

// TestEveryBitOfARecord flips each bit of a record: only the field in whose bytes it lies
// changes.
func TestEveryBitOfARecord(t *testing.T) {
	fields := []ipfix.FieldSpec{f(8, 4), f(12, 4), f(7, 2), f(11, 2), f(4, 1), f(6, 2), f(5, 1), f(1, 8), f(2, 8),
		f(10, 4), f(14, 4), f(16, 4), f(17, 4), f(9, 1), f(13, 1), f(56, 6), f(58, 2), f(70, 3), f(71, 3), f(61, 1),
		f(234, 4)}
	tmpl := template(t, 256, fields...)
	plain := make([]byte, tmpl.MinLength())
	for i := range plain {
		plain[i] = byte(i*37 + 1)
	}
	decodeOne := func(b []byte) (r flow.Record) {
		d := ipfix.RecordDecoder{Base: flow.Record{Exported: exported}}
		if n, err := d.Decode(tmpl, &r, b); err != nil || n != len(b) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		return r
	}
	want := decodeOne(plain)
	off := 0
	for _, f := range fields {
		use := flow.Uses(f.PEN, f.ID)[0]
		for bit := range 8 * int(f.Length) {
			b := slices.Clone(plain)
			b[off+bit/8] ^= 0x80 >> (bit % 8)
			r := decodeOne(b)
			if r.Value(use.Field) == want.Value(use.Field) && use.Form != flow.FormItem {
				t.Errorf("bit %d of %s makes no difference", bit, f)
			}
			switch {
			case use.Form == flow.FormItem:
				r.SetItem(use.Field, use.Index, want.Item(use.Field, use.Index))
			case use.Field.Describe().Kind == flow.KindAddress:
				r.SetAddr(use.Field, want.Addr(use.Field))
			default:
				r.SetNumber(use.Field, want.Number(use.Field))
			}
			if !reflect.DeepEqual(r, want) {
				t.Errorf("bit %d of %s changes another field:\n%+v\n%+v", bit, f, r, want)
			}
		}
		off += int(f.Length)
	}
}
