package ipfix_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// known are the templates that records inside lists are of.
type known map[uint16]*ipfix.Template

func (k known) Nested(id uint16) *ipfix.Template { return k[id] }

// listFields is a template with a list of every kind, and one list twice.
var listFields = []ipfix.FieldSpec{f(4, 1), f(ipfix.BasicList, ipfix.Variable),
	f(ipfix.SubTemplateList, ipfix.Variable),
	f(ipfix.SubTemplateMultiList, ipfix.Variable), f(ipfix.BasicList, ipfix.Variable), f(5, 1)}

// listRecord is the bytes of a record of listFields.
func listRecord(values ...[]byte) []byte {
	b := []byte{6}
	for _, v := range values {
		b = append(append(b, 255, byte(len(v)>>8), byte(len(v))), v...)
	}
	return append(b, 7)
}

// decodeLists decodes a record of listFields.
func decodeLists(t testing.TB, templates known, b []byte) (*ipfix.RecordDecoder, flow.Record) {
	t.Helper()
	d := &ipfix.RecordDecoder{Templates: templates}
	var r flow.Record
	n, err := d.Decode(template(t, 256, listFields...), &r, b)
	if err != nil || n != len(b) || r.Proto != 6 || r.SrcTOS != 7 {
		t.Fatalf("read %d of %d bytes, %v: %+v", n, len(b), err, r)
	}
	return d, r
}

// text writes elements of lists as depth.list.row semantic element=value.
func text(list []flow.Nested) string {
	var b strings.Builder
	for _, e := range list {
		value := fmt.Sprintf("%x", e.Value)
		if e.PEN == 0 && e.ID >= ipfix.BasicList && e.ID <= ipfix.SubTemplateMultiList {
			value = "…"
		}
		fmt.Fprintf(&b, "%d.%d.%d %s %d: %d/%d=%s\n", e.Depth, e.List, e.Row, e.Semantic, e.Holder, e.PEN, e.ID, value)
	}
	return b.String()
}

// TestLists encodes lists of all kinds, one in another, and decodes them.
func TestLists(t *testing.T) {
	four, six := template(t, 300, f(8, 4), f(7, 2)),
		template(t, 301, f(27, 16), f(1, ipfix.Variable), f(ipfix.BasicList, ipfix.Variable))
	vendor := ipfix.FieldSpec{PEN: 6876, ID: 898, Length: ipfix.Variable}
	interfaces := ipfix.AppendBasicList(nil, flow.AllOf, f(14, 4), []byte{0, 0, 0, 1}, []byte{0, 0, 0, 4})
	ports := ipfix.AppendBasicList(nil, flow.ExactlyOneOf, vendor, []byte("a"), nil, bytes.Repeat([]byte("b"), 300))
	a4, a6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	recs4 := []flow.Record{{Src: a4, SrcPort: 1}, {Src: a4, SrcPort: 2}}
	recs6 := []flow.Record{{Src: a6, Bytes: 300, Extra: []flow.Element{{ID: ipfix.BasicList, Value: interfaces}}}}
	list := ipfix.AppendSubTemplateList(nil, flow.Ordered, four, recs4, exported, boot)
	multi := ipfix.AppendSubTemplateMultiList(nil, flow.OneOrMoreOf, exported, boot,
		ipfix.Sublist{Template: four, Records: recs4[:1]}, ipfix.Sublist{Template: six, Records: recs6})
	d, r := decodeLists(t, known{300: four, 301: six}, listRecord(interfaces, list, multi, ports))
	if d.ListErr() != nil {
		t.Error(d.ListErr())
	}
	want := `1.0.0 allOf 291: 0/14=00000001
1.0.1 allOf 291: 0/14=00000004
1.1.0 ordered 292: 0/8=c0000201
1.1.0 ordered 292: 0/7=0001
1.1.1 ordered 292: 0/8=c0000201
1.1.1 ordered 292: 0/7=0002
1.2.0 oneOrMoreOf 293: 0/8=c0000201
1.2.0 oneOrMoreOf 293: 0/7=0001
1.2.1 oneOrMoreOf 293: 0/27=20010db8000000000000000000000001
1.2.1 oneOrMoreOf 293: 0/1=012c
1.2.1 oneOrMoreOf 293: 0/291=…
2.3.0 allOf 291: 0/14=00000001
2.3.1 allOf 291: 0/14=00000004
1.4.0 exactlyOneOf 291: 6876/898=61
1.4.1 exactlyOneOf 291: 6876/898=
1.4.2 exactlyOneOf 291: 6876/898=` + strings.Repeat("62", 300) + "\n"
	if got := text(r.Nested); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var values [][]byte
	for _, e := range r.Extra {
		values = append(values, e.Value)
	}
	if !bytes.Equal(listRecord(values...), listRecord(interfaces, list, multi, ports)) {
		t.Error("Extra does not have the lists as they came")
	}
}

// TestBadLists gives lists that contradict themselves: the record stays whole, and
// what came before the contradiction is there.
func TestBadLists(t *testing.T) {
	four := template(t, 300, f(8, 4), f(371, ipfix.Variable))
	deep := ipfix.AppendBasicList(nil, flow.AllOf, f(14, 1), []byte{1})
	for range ipfix.MaxListDepth {
		deep = ipfix.AppendBasicList(nil, flow.AllOf, f(ipfix.BasicList, ipfix.Variable), deep)
	}
	many := ipfix.AppendBasicList(nil, flow.AllOf, f(4, 1), bytes.Split(bytes.Repeat([]byte{9}, 2000), nil)...)
	for _, c := range []struct {
		name   string
		values [4][]byte
		want   int
	}{
		{"no bytes are no list", [4][]byte{}, 0},
		{"cut basicList", [4][]byte{{3, 0, 14}}, 0},
		{"cut element", [4][]byte{{3, 0, 14, 0, 4, 0, 0, 0, 1, 0, 0}}, 1},
		{"element of no bytes", [4][]byte{{3, 0, 14, 0, 0, 1}}, 0},
		{"variable length too long", [4][]byte{{3, 0, 14, 255, 255, 1, 7, 9, 1}}, 1},
		{"no template", [4][]byte{nil, {3, 1, 45, 1, 2, 3, 4}}, 0},
		{"cut record", [4][]byte{nil, {3, 1, 44, 192, 0, 2, 1, 9}}, 1},
		{"length of a sublist too short", [4][]byte{nil, nil, {3, 1, 44, 0, 3}}, 0},
		{"length of a sublist too long", [4][]byte{nil, nil, {3, 1, 44, 0, 13, 1, 2, 3, 4, 0}}, 0},
		{"too deep", [4][]byte{deep}, ipfix.MaxListDepth},
		{"too many", [4][]byte{many}, ipfix.MaxNested},
	} {
		d, r := decodeLists(t, known{300: four}, listRecord(c.values[:]...))
		if len(r.Nested) != c.want || (d.ListErr() == nil) != (c.name == "no bytes are no list") ||
			d.ListErr() != nil && !errors.Is(d.ListErr(), ipfix.ErrList) {
			t.Errorf("%s: got %d elements, %v; want %d", c.name, len(r.Nested), d.ListErr(), c.want)
		}
	}
}

// TestLabelsInAList takes a stack of MPLS labels from a basicList.
func TestLabelsInAList(t *testing.T) {
	labels := ipfix.AppendBasicList(nil, flow.Ordered, f(70, 3), []byte{1, 2, 0x30}, []byte{1, 2, 0x41})
	_, r := decodeLists(t, nil, listRecord(labels, nil, nil, nil))
	if !r.Has(flow.MPLS) || r.MPLSDepth != 2 || r.MPLS[0] != 0x010230 || r.MPLS[1] != 0x010241 {
		t.Errorf("got %d labels: %x", r.MPLSDepth, r.MPLS)
	}
}

// TestListsDoNotAllocate holds the budget of what a sender can let be decoded.
func TestListsDoNotAllocate(t *testing.T) {
	four := template(t, 300, f(8, 4), f(7, 2))
	list := ipfix.AppendSubTemplateList(nil, flow.AllOf, four, make([]flow.Record, 10), exported, boot)
	b := listRecord(nil, list, nil, nil)
	tmpl := template(t, 256, listFields...)
	d := ipfix.RecordDecoder{Templates: known{300: four}}
	var r flow.Record
	if n := testing.AllocsPerRun(100, func() { _, _ = d.Decode(tmpl, &r, b) }); n != 0 || len(r.Nested) != 20 {
		t.Errorf("%v allocations, %d elements", n, len(r.Nested))
	}
}

// FuzzLists decodes three lists with templates that may hold lists again.
func FuzzLists(f *testing.F) {
	four := template(f, 300, ipfix.FieldSpec{ID: 8, Length: 4}, ipfix.FieldSpec{ID: 7, Length: 2})
	loop := template(f, 301, ipfix.FieldSpec{ID: 292, Length: ipfix.Variable},
		ipfix.FieldSpec{ID: 291, Length: ipfix.Variable})
	list := ipfix.AppendSubTemplateList(nil, flow.AllOf, four, make([]flow.Record, 2), exported, boot)
	inner := ipfix.AppendSubTemplateList(nil, flow.Ordered, loop,
		[]flow.Record{{Extra: []flow.Element{{ID: 292, Value: list}}}}, exported, boot)
	f.Add(ipfix.AppendBasicList(nil, flow.AllOf, ipfix.FieldSpec{ID: 14, Length: 4}, make([]byte, 4)), inner,
		ipfix.AppendSubTemplateMultiList(nil, flow.Undefined, exported, boot,
			ipfix.Sublist{Template: four, Records: make([]flow.Record, 1)}))
	f.Add([]byte{3, 0x80, 14, 255, 255, 0, 0, 26, 220, 1, 1}, []byte{3, 1, 45, 0, 0}, []byte{0, 1, 44, 0, 4})
	f.Fuzz(func(t *testing.T, basic, list, multi []byte) {
		if len(basic)+len(list)+len(multi) > 60000 {
			return
		}
		d, r := decodeLists(t, known{300: four, 301: loop}, listRecord(basic, list, multi, nil))
		if len(r.Nested) > ipfix.MaxNested {
			t.Fatalf("%d elements", len(r.Nested))
		}
		for i, e := range r.Nested {
			if e.Depth < 1 || e.Depth > ipfix.MaxListDepth || i > 0 && e.Depth > r.Nested[i-1].Depth+1 {
				t.Fatalf("element %d at depth %d: %v", i, e.Depth, d.ListErr())
			}
		}
	})
}
