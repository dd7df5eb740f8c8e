package flow

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

// members returns the members of a Record that are fields, found by their tags: what the
// functions of the generated table must read and set.
func members(t *testing.T) map[Field]reflect.StructField {
	t.Helper()
	byConst := map[string]Field{}
	for f := range Field(NumFields) {
		byConst[f.String()] = f
	}
	list := map[Field]reflect.StructField{}
	for m := range fieldsOf(reflect.TypeFor[Record]()) {
		if m.Tag == "" {
			continue
		}
		name := m.Tag.Get("const")
		if name == "" {
			name = m.Name
		}
		f, ok := byConst[name]
		if !ok {
			t.Fatalf("%s is no field", name)
		}
		list[f] = m
	}
	return list
}

// fieldsOf yields the members of a struct.
func fieldsOf(typ reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range typ.NumField() {
			if !yield(typ.Field(i)) {
				return
			}
		}
	}
}

// random sets a member to a value that no other is likely to have.
func random(rng *rand.Rand, v reflect.Value) {
	switch v.Interface().(type) {
	case netip.Addr:
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], rng.Uint64())
		binary.BigEndian.PutUint64(b[8:], rng.Uint64())
		v.Set(reflect.ValueOf(netip.AddrFrom16(b)))
	case []byte:
		v.SetBytes(binary.BigEndian.AppendUint64(nil, rng.Uint64()))
	case Time:
		v.SetInt(rng.Int64())
	default:
		if v.Kind() != reflect.Array {
			v.SetUint(rng.Uint64() & (1<<v.Type().Bits() - 1))
			return
		}
		for i := range v.Len() {
			random(rng, v.Index(i))
		}
	}
}

// numberIn returns what a member is as a number, computed from it without the table.
func numberIn(v reflect.Value) uint64 {
	switch x := v.Interface().(type) {
	case Time:
		return uint64(time.Unix(0, int64(x)).UnixMilli())
	case [6]byte:
		return new(big.Int).SetBytes(x[:]).Uint64()
	case netip.Addr, []byte, [12]byte:
		return 0
	}
	if v.Kind() == reflect.Array {
		return v.Index(0).Uint()
	}
	return v.Uint()
}

// octetsIn returns what a member is as bytes.
func octetsIn(v reflect.Value) []byte {
	switch x := v.Interface().(type) {
	case []byte:
		return x
	case [6]byte:
		return x[:]
	case [12]byte:
		return x[:]
	}
	return nil
}

// Each field is read from the member that has its tag, whatever that holds: reflection
// reads the same.
func TestFieldsAreReadFromTheirMembers(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	fields := members(t)
	for range 20 {
		var r Record
		v := reflect.ValueOf(&r).Elem()
		for _, m := range fields {
			random(rng, v.FieldByIndex(m.Index))
		}
		for f, m := range fields {
			got, want := v.FieldByIndex(m.Index), Value{}
			want.Lo = numberIn(got)
			if r.Number(f) != want.Lo {
				t.Fatalf("%s is %d, want %d of %v", f, r.Number(f), want.Lo, got)
			}
			addr, _ := got.Interface().(netip.Addr)
			if r.Addr(f) != addr || !slices.Equal(r.Octets(f), octetsIn(got)) {
				t.Fatalf("%s is %v and %x, want %v", f, r.Addr(f), r.Octets(f), got)
			}
			if addr.IsValid() {
				b := addr.As16()
				want = Value{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
			}
			if r.Value(f) != want {
				t.Fatalf("%s has the value %x, want %x", f, r.Value(f), want)
			}
			for i := range uint8(20) {
				want := uint64(0)
				if list := got; list.Kind() == reflect.Array && list.Index(0).Kind() != reflect.Uint8 && int(i) < list.Len() {
					want = list.Index(int(i)).Uint()
				}
				if r.Item(f, i) != want {
					t.Fatalf("item %d of %s is %d, want %d", i, f, r.Item(f, i), want)
				}
			}
		}
	}
}

// Setting a field sets that member, cut to the bits that it has, and no other.
func TestFieldsAreSetAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	for f, m := range members(t) {
		for _, n := range []uint64{0, 1, 0x0123_4567_89ab_cdef, 1<<63 - 1, 1 << 63, 1<<64 - 1, rng.Uint64()} {
			var r, want Record
			r.SetNumber(f, n)
			to := reflect.ValueOf(&want).Elem().FieldByIndex(m.Index)
			switch x := to.Addr().Interface().(type) {
			case *Time:
				if ms := new(big.Int).Mul(new(big.Int).SetUint64(n), big.NewInt(1e6)); ms.IsInt64() {
					*x = Time(ms.Int64())
				}
			case *[6]byte:
				b := binary.BigEndian.AppendUint64(nil, n)
				copy(x[:], b[2:])
			case *netip.Addr, *[]byte, *[12]byte:
			default:
				if to.Kind() == reflect.Array {
					to = to.Index(0)
				}
				to.SetUint(n & (1<<to.Type().Bits() - 1))
			}
			if !reflect.DeepEqual(r, want) {
				t.Errorf("%s set to %d:\n got %+v\nwant %+v", f, n, r, want)
			}
		}
		a, b := netip.MustParseAddr("2001:db8::77"), []byte("twelve bytes")
		var r, want Record
		r.SetAddr(f, a)
		r.SetOctets(f, b)
		switch x := reflect.ValueOf(&want).Elem().FieldByIndex(m.Index).Addr().Interface().(type) {
		case *netip.Addr:
			*x = a
		case *[]byte:
			*x = b
		case *[6]byte:
			*x = [6]byte(b)
		case *[12]byte:
			*x = [12]byte(b)
		}
		if !reflect.DeepEqual(r, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", f, r, want)
		}
	}
}

// A MAC as a number is its 48 bits, the first octet the highest, as package net reads it.
func TestMACsAsNumbers(t *testing.T) {
	for text, want := range map[string]uint64{
		"00:00:00:00:00:00": 0, "00:00:00:00:00:01": 1, "01:00:00:00:00:00": 1 << 40,
		"00:00:5e:00:53:01": 0x5e00_5301, "ff:ff:ff:ff:ff:ff": 1<<48 - 1, "80:01:02:03:04:05": 0x8001_0203_0405,
	} {
		mac, err := net.ParseMAC(text)
		if err != nil {
			t.Fatal(err)
		}
		r := Record{InSrcMAC: [6]byte(mac)}
		if got := r.Number(InSrcMAC); got != want {
			t.Errorf("%s is %x, want %x", text, got, want)
		}
		r.SetNumber(OutDstMAC, want)
		if got := net.HardwareAddr(r.OutDstMAC[:]).String(); got != text {
			t.Errorf("%x is %s, want %s", want, got, text)
		}
		if r.SetNumber(OutDstMAC, want|1<<48|1<<63); [6]byte(mac) != r.OutDstMAC {
			t.Errorf("bits above the 48th of a MAC change it to %x", r.OutDstMAC)
		}
	}
}

// Turning a flow exchanges the members whose tags name each other, present or not, and
// nothing else; turned twice it is what it was.
func TestTurnExchangesPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	fields := members(t)
	pairOf := map[Field]Field{}
	for f, m := range fields {
		for other, o := range fields {
			if name := o.Tag.Get("const"); m.Tag.Get("pair") != "" && name == "" && o.Name == m.Tag.Get("pair") {
				pairOf[f] = other
			}
		}
	}
	if len(pairOf) != 2*len(pairs) {
		t.Fatalf("%d fields have tags of a pair, the table has %d pairs", len(pairOf), len(pairs))
	}
	for range 50 {
		var r Record
		v := reflect.ValueOf(&r).Elem()
		for f, m := range fields {
			random(rng, v.FieldByIndex(m.Index))
			if rng.IntN(2) == 0 {
				r.Present.Add(f)
			}
		}
		was, want := r, r
		for f, other := range pairOf {
			from := reflect.ValueOf(&was).Elem().FieldByIndex(fields[f].Index)
			reflect.ValueOf(&want).Elem().FieldByIndex(fields[other].Index).Set(from)
			if want.Present.Remove(other); was.Present.Has(f) {
				want.Present.Add(other)
			}
		}
		if r.Turn(); !reflect.DeepEqual(r, want) {
			t.Fatalf("got  %+v\nwant %+v", r, want)
		}
		if r.Turn(); !reflect.DeepEqual(r, was) {
			t.Fatalf("turned twice it is\n%+v\nand was\n%+v", r, was)
		}
	}
}

// Names of metrics are found, and what is none is not: not one in other letters, a part of
// one, or the name of the constant.
func TestFieldsByName(t *testing.T) {
	for name, want := range map[string]Field{"src": Src, "in_bytes": Bytes, "flow_start": FirstSeen,
		"mpls_label_1": MPLS, "tunnel_protocol": TunProto, "egress_interface_attr": EgressAttr} {
		if f, ok := FieldByName(name); !ok || f != want {
			t.Errorf("%q is %s, %v, want %s", name, f, ok, want)
		}
	}
	for _, name := range []string{"", "Src", "SRC", "in_byte", "in_bytes ", "none", "FirstSeen", "TimeRepair"} {
		if f, ok := FieldByName(name); ok || f != 0 {
			t.Errorf("%q is %s, %v", name, f, ok)
		}
	}
}
