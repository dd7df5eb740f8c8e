package ipfix_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// frequent are the elements that templates mostly have, in the sizes that routers send them
// in, and their fields: those that the decoder reads several of at once.
var frequent = []struct {
	spec  ipfix.FieldSpec
	field flow.Field
}{
	{f(8, 4), flow.Src}, {f(12, 4), flow.Dst}, {f(27, 16), flow.Src}, {f(28, 16), flow.Dst}, {f(15, 4), flow.NextHop},
	{f(7, 2), flow.SrcPort}, {f(11, 2), flow.DstPort}, {f(4, 1), flow.Proto}, {f(6, 1), flow.TCPFlags},
	{f(6, 2), flow.TCPFlags}, {f(5, 1), flow.SrcTOS}, {f(1, 4), flow.Bytes}, {f(1, 8), flow.Bytes},
	{f(2, 4), flow.Packets}, {f(2, 8), flow.Packets}, {f(10, 2), flow.Input}, {f(10, 4), flow.Input},
	{f(14, 2), flow.Output}, {f(14, 4), flow.Output}, {f(16, 4), flow.SrcAS}, {f(17, 4), flow.DstAS},
	{f(9, 1), flow.SrcMask}, {f(13, 1), flow.DstMask}, {f(152, 8), flow.FirstSeen}, {f(153, 8), flow.LastSeen},
	{f(61, 1), flow.Direction}, {f(136, 1), flow.EndReason}, {f(60, 1), flow.IPVersion}, {f(53, 1), flow.MaxTTL},
	{f(351, 8), flow.SegmentID}, {ipfix.FieldSpec{PEN: 6876, ID: 890, Length: 2}, flow.IngressAttr},
	{ipfix.FieldSpec{PEN: 6876, ID: 888, Length: 2}, flow.EgressAttr},
}

// fused are fields that are read in one step, and the same with one in another size, or
// without one, that are not.
var fused = [][]int{{0, 1, 5, 6, 7}, {2, 3, 5, 6, 7}, {0, 3, 5, 6, 7}, {0, 1, 5, 6}, {16, 18, 19, 20, 21, 22},
	{16, 18, 19, 20, 21}, {15, 18, 19, 20, 21, 22}, {8, 10}, {9, 10}, {12, 14}, {11, 13}, {11, 14}, {12, 13}, {16, 18},
	{15, 17}, {15, 18}, {23, 24}, {23}, {24}, {25, 26}, {25}, {26}, {30, 31}, {30}, {31}}

// bigEndian reads a number as RFC 7011, section 6.1.1, has it.
func bigEndian(b []byte) uint64 { return new(big.Int).SetBytes(b).Uint64() }

// TestFieldsReadAtOnce decodes every group of fields that are read in one step, alone and
// among others, in random orders, and compares each field with its bytes.
func TestFieldsReadAtOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	for round := range 600 {
		chosen := map[flow.Field]int{}
		for _, i := range fused[round%len(fused)] {
			chosen[frequent[i].field] = i
		}
		for range rng.IntN(8) * (round / len(fused) % 2) {
			i := rng.IntN(len(frequent))
			if _, taken := chosen[frequent[i].field]; !taken {
				chosen[frequent[i].field] = i
			}
		}
		list := slices.Sorted(maps.Values(chosen))
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		var fields []ipfix.FieldSpec
		for _, i := range list {
			fields = append(fields, frequent[i].spec)
		}
		tmpl := template(t, 256, fields...)
		d := ipfix.RecordDecoder{Base: flow.Record{Exported: exported}}
		var r flow.Record
		for n := range 3 {
			b := recordOf(rng, fields)
			decodeOne := d.Next
			if n == 0 {
				decodeOne = d.Decode
			}
			if got, err := decodeOne(tmpl, &r, b); err != nil || got != len(b) {
				t.Fatalf("%v: %d bytes, %v", fields, got, err)
			}
			off := 0
			var kept []string
			for _, i := range list {
				spec := frequent[i].spec
				value := b[off : off+int(spec.Length)]
				if frequent[i].field != flow.IPVersion || value[0] != 0 { // 0 says nothing, the addresses do
					isField(t, &r, frequent[i].field, value)
				}
				if flow.Uses(spec.PEN, spec.ID)[0].Keep {
					kept = append(kept, fmt.Sprintf("%d/%d=%x", spec.PEN, spec.ID, value))
				}
				off += len(value)
			}
			for i, e := range r.Extra {
				if s := fmt.Sprintf("%d/%d=%x", e.PEN, e.ID, e.Value); i >= len(kept) || kept[i] != s {
					t.Fatalf("%v: %s is kept, want %v", fields, s, kept)
				}
			}
			if len(r.Extra) != len(kept) || r.Has(flow.TCPFlagsWide) != (chosen[flow.TCPFlags] == 9) {
				t.Fatalf("%v: %v is kept, flags of two bytes: %v", fields, r.Extra, r.Has(flow.TCPFlagsWide))
			}
			for field := range flow.Field(flow.NumFields) {
				if _, sent := chosen[field]; r.Has(field) != sent && field != flow.TCPFlagsWide {
					t.Fatalf("%v: %s is there: %v", fields, field, r.Has(field))
				}
			}
		}
	}
}

// recordOf returns a record of random bytes, with times that can be.
func recordOf(rng *rand.Rand, fields []ipfix.FieldSpec) (b []byte) {
	for _, f := range fields {
		switch f.ID {
		case 152:
			b = binary.BigEndian.AppendUint64(b, exported.Milli()-7200_000+rng.Uint64N(3600_000))
		case 153:
			b = binary.BigEndian.AppendUint64(b, exported.Milli()-rng.Uint64N(3600_000))
		default:
			for range f.Length {
				b = append(b, byte(rng.Uint32()))
			}
		}
	}
	return b
}

// isField compares a field with the bytes that were sent.
func isField(t *testing.T, r *flow.Record, field flow.Field, b []byte) {
	t.Helper()
	if field.Describe().Kind == flow.KindAddress {
		if want, _ := netip.AddrFromSlice(b); r.Addr(field) != want {
			t.Fatalf("%s is %s, want %s", field, r.Addr(field), want)
		}
		return
	}
	if got, want := r.Number(field), bigEndian(b); got != want {
		t.Fatalf("%s of %x is %d, want %d", field, b, got, want)
	}
}

// TestUptimesReadAtOnce: counts from the start of the exporter are times, read together,
// alone, and in lengths that are not read together.
func TestUptimesReadAtOnce(t *testing.T) {
	const ms = flow.Time(1e6)
	for _, c := range []struct {
		record      string
		fields      []ipfix.FieldSpec
		first, last flow.Time
	}{
		{"000003e8" + "000007d0", []ipfix.FieldSpec{f(22, 4), f(21, 4)}, boot + 1000*ms, boot + 2000*ms},
		{"000007d0" + "000003e8", []ipfix.FieldSpec{f(21, 4), f(22, 4)}, boot + 1000*ms, boot + 2000*ms},
		{"03e8" + "000007d0", []ipfix.FieldSpec{f(22, 2), f(21, 4)}, boot + 1000*ms, boot + 2000*ms},
		{"000003e8", []ipfix.FieldSpec{f(22, 4)}, boot + 1000*ms, boot + 1000*ms},
		{"000003e8", []ipfix.FieldSpec{f(21, 4)}, boot + 1000*ms, boot + 1000*ms},
	} {
		b := make([]byte, len(c.record)/2)
		for i := range b {
			v, _ := new(big.Int).SetString(c.record[2*i:2*i+2], 16)
			b[i] = byte(v.Uint64())
		}
		var up ipfix.Uptime
		up.SetBoot(boot)
		d := ipfix.RecordDecoder{Base: flow.Record{Exported: boot + 5000*ms}, Uptime: &up}
		var r flow.Record
		if _, err := d.Decode(template(t, 256, c.fields...), &r, b); err != nil || r.First != c.first || r.Last != c.last {
			t.Errorf("%v: %v, from %v to %v, want %v to %v", c.fields, err, r.First.Time(), r.Last.Time(),
				c.first.Time(), c.last.Time())
		}
	}
}
