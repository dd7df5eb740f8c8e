package flowmetric

import (
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// decoded returns the metric of one record with the given elements, of which the value
// is the last byte.
func decoded(t *testing.T, fields []ipfix.FieldSpec, values ...byte) map[string]any {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(256, fields)
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for i, f := range fields {
		data = append(append(data, make([]byte, f.Length-1)...), values[i])
	}
	var r flow.Record
	d := ipfix.RecordDecoder{Uptime: &ipfix.Uptime{}}
	d.Base.Version, d.Base.Exported = flow.IPFIX, 1767323044e9
	if _, err := d.Decode(tmpl, &r, data); err != nil {
		t.Fatal(err)
	}
	m := builder(t, Options{}).Flow(&r, time.Unix(0, 1))
	got := map[string]any{}
	for _, f := range m.FieldList() {
		if _, twice := got[f.Key]; twice {
			t.Errorf("template %v: the field %s is there twice", fields, f.Key)
		}
		got[f.Key] = f.Value
	}
	return got
}

// TestOneFieldOnce sends pairs of elements with one name, in both orders and with either
// of them zero: the name is there once, with the value that is not.
func TestOneFieldOnce(t *testing.T) {
	length := func(id uint16) uint16 {
		switch e, _ := ie.Lookup(0, id); e.Type {
		case ie.IPv4Address:
			return 4
		case ie.IPv6Address:
			return 16
		case ie.Unsigned8:
			return 1
		case ie.Unsigned16:
			return 2
		}
		return 4
	}
	for name, ids := range map[string][2]uint16{
		"exporter": {130, 131}, "collector": {211, 212}, "exporter_original_ip": {403, 404},
		"mpls_top_label_ip": {47, 140},
		"src":               {8, 27}, "dst": {12, 28}, "next_hop": {15, 62}, "bgp_next_hop": {18, 63},
		"xlat_src": {225, 281},
		"xlat_dst": {226, 282}, "src_mask": {9, 29}, "dst_mask": {13, 30}, "icmp_type": {176, 178},
		"icmp_code": {177, 179},
	} {
		for _, pair := range [][2]uint16{ids, {ids[1], ids[0]}} {
			fields := []ipfix.FieldSpec{{ID: pair[0], Length: length(pair[0])}, {ID: pair[1], Length: length(pair[1])}}
			first, second := decoded(t, fields, 7, 0), decoded(t, fields, 0, 7)
			alone := decoded(t, fields[:1], 7)[name]
			if first[name] != alone || isZero(alone) {
				t.Errorf("%s by %v: got %v, want %v", name, pair, first[name], alone)
			}
			alone = decoded(t, fields[1:], 7)[name]
			if second[name] != alone || isZero(alone) {
				t.Errorf("%s by %v, the second: got %v, want %v", name, pair, second[name], alone)
			}
		}
	}
}

// TestNoNameTwice puts every element of IANA's beside every other one of the same name.
func TestNoNameTwice(t *testing.T) {
	var all []ipfix.FieldSpec
	for _, e := range ie.All() {
		if e.PEN == 0 && e.Type < ie.BasicList {
			all = append(all, ipfix.FieldSpec{ID: e.ID, Length: uint16(typeLengths(e.Type)[0])})
		}
	}
	values := make([]byte, len(all))
	for _, v := range []byte{0, 1, 6} {
		for i := range values {
			values[i] = v
		}
		decoded(t, all, values...)
	}
}
