package flowmetric

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// typeLengths are the lengths in bytes that an element of a type may have (RFC 7011,
// section 6: integers and floats may be shorter than their type).
func typeLengths(t ie.Type) []int {
	upTo := func(n int) []int {
		var list []int
		for i := 1; i <= n; i++ {
			list = append(list, i)
		}
		return list
	}
	switch t {
	case ie.Unsigned8, ie.Signed8, ie.Boolean:
		return upTo(1)
	case ie.Unsigned16, ie.Signed16:
		return upTo(2)
	case ie.Unsigned32, ie.Signed32:
		return upTo(4)
	case ie.Unsigned64, ie.Signed64:
		return upTo(8)
	case ie.Unsigned256:
		return upTo(32)
	case ie.Float32, ie.DateTimeSeconds, ie.IPv4Address:
		return []int{4}
	case ie.Float64:
		return []int{4, 8}
	case ie.DateTimeMilliseconds, ie.DateTimeMicroseconds, ie.DateTimeNanoseconds:
		return []int{8}
	case ie.MACAddress:
		return []int{6}
	case ie.IPv6Address:
		return []int{16}
	}
	return []int{1, 3, 7, 12, 16, 253, 254, 255, 256, 1000}
}

// typeValue returns n bytes that are a value of a type, and that value in a metric,
// told independently of the package.
func typeValue(t ie.Type, n int, rng *rand.Rand) (b []byte, want any) {
	b = make([]byte, n)
	for i := range b {
		b[i] = byte(1 + rng.IntN(255))
	}
	padded := append(make([]byte, max(0, 8-n)), b...)
	switch t {
	case ie.Unsigned8, ie.Unsigned16, ie.Unsigned32, ie.Unsigned64, ie.DateTimeSeconds, ie.DateTimeMilliseconds,
		ie.DateTimeMicroseconds, ie.DateTimeNanoseconds:
		return b, binary.BigEndian.Uint64(padded)
	case ie.Signed8, ie.Signed16, ie.Signed32, ie.Signed64:
		if b[0] >= 0x80 {
			for i := range 8 - n {
				padded[i] = 0xff
			}
		}
		return b, int64(binary.BigEndian.Uint64(padded))
	case ie.Float32, ie.Float64:
		v := rng.NormFloat64() * 1e6
		if n == 4 {
			binary.BigEndian.PutUint32(b, math.Float32bits(float32(v)))
			return b, float64(float32(v))
		}
		binary.BigEndian.PutUint64(b, math.Float64bits(v))
		return b, v
	case ie.Boolean: // 1 is true, 2 is false (RFC 7011, section 6.1.5)
		b[0] = byte(1 + rng.IntN(2))
		return b, b[0] == 1
	case ie.MACAddress:
		return b, net.HardwareAddr(b).String()
	case ie.String:
		for i := range b {
			b[i] = 'a' + b[i]%26
		}
		return b, string(b)
	case ie.IPv4Address, ie.IPv6Address:
		a, _ := netip.AddrFromSlice(b)
		return b, a.String()
	}
	return b, "0x" + hex.EncodeToString(b)
}

// lengthForm is a way to tell a field's length.
type lengthForm struct {
	name   string
	length func(n int) uint16           // in the template
	record func(n int, v []byte) []byte // of one field
}

var lengthForms = []lengthForm{
	{"fixed", func(n int) uint16 { return uint16(n) }, func(_ int, v []byte) []byte { return v }},
	{"variable", func(int) uint16 { return ipfix.Variable }, func(n int, v []byte) []byte {
		if n >= 255 {
			return append([]byte{255, byte(n >> 8), byte(n)}, v...)
		}
		return append([]byte{byte(n)}, v...)
	}},
	{"variable, long form", func(int) uint16 { return ipfix.Variable }, func(n int, v []byte) []byte {
		return append([]byte{255, byte(n >> 8), byte(n)}, v...)
	}},
}

// TestEveryElement sends every element of the registry in every length that its type
// may have, and in every form of a length: the metric must have its value under its
// name, and the record, encoded again, its bytes.
func TestEveryElement(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	all := append([]ie.Element{{ID: 60000}, {PEN: 4711, ID: 12}}, ie.All()...)
	tried := 0
	for _, e := range all {
		if e.PEN == 0 && (isList(e.ID) || e.ID == 210) {
			continue // TestLists of package ipfix has these; 210 is padding
		}
		option := fmt.Sprintf("%d/%d", e.PEN, e.ID)
		name := e.Name
		switch {
		case name == "" && e.PEN == 0:
			option = fmt.Sprintf("type_%d", e.ID)
			name = option
		case name == "":
			name = fmt.Sprintf("type_%d_%d", e.PEN, e.ID)
		case byName(e):
			option = e.Name
			if e.PEN != 0 {
				option = fmt.Sprintf("%d/%s", e.PEN, e.Name)
			}
		}
		b := builder(t, Options{ExtraFields: []string{option}})
		for _, n := range typeLengths(e.Type) {
			value, want := typeValue(e.Type, n, rng)
			if text := special(e, n); text != nil {
				value[0] |= 0x80
				want = text(value)
			}
			for _, form := range lengthForms {
				checkElement(t, b, e, form, value, name, want)
				tried++
			}
		}
	}
	if tried < 10000 {
		t.Errorf("only %d were tried", tried)
	}
}

// byName says whether an element's name leads to it: some vendors use one twice.
func byName(e ie.Element) bool {
	name := e.Name
	if e.PEN != 0 {
		name = fmt.Sprintf("%d/%s", e.PEN, e.Name)
	}
	found, err := ie.ByName(name)
	return err == nil && found == e
}

// special returns how an element is written that is not written as others of its
// type, nil for the others: VMware's UUIDs.
func special(e ie.Element, n int) func([]byte) any {
	if e.PEN != ie.VMwarePEN || e.ID != 951 && e.ID != 960 {
		return nil
	}
	return func(b []byte) any {
		if n == 16 && (b[0] < ' ' || b[0] > '~') {
			return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
}

// checkElement decodes one element behind a protocol and before a port, which must
// come through whatever it is.
func checkElement(t *testing.T, b *Builder, e ie.Element, form lengthForm, value []byte, name string, want any) {
	t.Helper()
	what := fmt.Sprintf("%d/%d %s (%s) of %d bytes, %s", e.PEN, e.ID, e.Name, e.Type, len(value), form.name)
	fields := []ipfix.FieldSpec{{PEN: e.PEN, ID: e.ID, Length: form.length(len(value))}}
	data := form.record(len(value), value)
	if e.PEN != 0 || e.ID != 499 {
		fields = append([]ipfix.FieldSpec{{ID: 499, Length: 1}}, fields...)
		data = append([]byte{7}, data...)
	}
	tmpl, err := ipfix.NewTemplate(256, fields)
	if err != nil {
		t.Fatal(what, err)
	}
	var r flow.Record
	d := ipfix.RecordDecoder{Uptime: &ipfix.Uptime{}}
	d.Base.Version, d.Base.Exported = flow.IPFIX, 1767323044e9
	if n, err := d.Decode(tmpl, &r, data); err != nil || n != len(data) {
		t.Fatalf("%s: read %d of %d bytes, %v", what, n, len(data), err)
	}
	m := b.Flow(&r, time.Unix(0, 1))
	if got, ok := m.GetField(name); !ok || got != want {
		t.Errorf("%s: got %v (%T), want %v (%T)", what, got, got, want, want)
	}
	enc := ipfix.Encoder{SetWriter: ipfix.SetWriter{Limit: 60000, Boot: 1767323044e9 - 1e9}}
	enc.Begin(nil, d.Base.Exported)
	if enc.AddData(tmpl, []flow.Record{r}) != 1 {
		t.Fatalf("%s: not encoded", what)
	}
	_, body, err := ipfix.ParseHeader(enc.End())
	if err != nil {
		t.Fatal(err)
	}
	var again flow.Record
	if _, err := d.Decode(tmpl, &again, body[4:]); err != nil {
		t.Fatalf("%s: encoded again: %v", what, err)
	}
	m = b.Flow(&again, time.Unix(0, 1))
	if got, ok := m.GetField(name); !ok || got != want {
		t.Errorf("%s, encoded again: got %v (%T), want %v (%T)", what, got, got, want, want)
	}
	if form.name == "fixed" && !bytes.Equal(body[4:4+len(data)], data) {
		t.Errorf("%s: encoded again: got %x, want %x", what, body[4:4+len(data)], data)
	}
}
