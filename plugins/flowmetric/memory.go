package flowmetric

import (
	"math"
	"unsafe"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/line"
)

// What a piece of memory has room for: about five flows. A piece is free when the last metric
// in it is: one that is kept for long keeps its neighbours, some 20 KiB where each has 24 fields.
const (
	pieceMetrics = 8
	pieceFields  = 128
	pieceTexts   = 32
	pieceBytes   = 512
)

// addressBytes is more than an address takes as text, and what line writes behind it while
// it does so.
const addressBytes = 64

// memory is where metrics lie, with their fields and the values of these. It is taken for
// several at a time: to put a number or a text into an interface costs an allocation
// otherwise, and a flow has some twenty. The zero value is ready.
type memory struct {
	metrics []Metric
	fields  []telegraf.Field
	ptrs    []*telegraf.Field
	numbers []uint64 // also the bits of others
	texts   []string
	bytes   []byte // of texts; what is in use lies below its length
}

// take returns n elements that nobody else has, all zero, from a piece or a new one.
func take[T any](piece *[]T, n, size int) []T {
	if len(*piece) < n {
		*piece = make([]T, max(n, size))
	}
	taken := (*piece)[:n:n]
	*piece = (*piece)[n:]
	return taken
}

// metric returns a metric with n fields, and these, which are still to be set.
func (m *memory) metric(n int) (*Metric, []telegraf.Field) {
	out := &take(&m.metrics, 1, pieceMetrics)[0]
	fields := take(&m.fields, n, pieceFields)
	out.FieldPtrs = point(take(&m.ptrs, n, pieceFields), fields)
	return out, fields
}

// box returns a value in an interface, nil for none.
func (c *cache) box(v *value) any {
	m := &c.memory
	switch v.form {
	case formBoxed:
		return v.boxed
	case formUint:
		return m.number(typeUint, v.bits)
	case formInt:
		return m.number(typeInt, v.bits)
	case formFloat:
		return m.number(typeFloat, v.bits)
	case formAddr4:
		return m.text(line.AppendIPv4(m.room(addressBytes), uint32(v.bits)))
	case formAddr6:
		return m.text(v.addr().AppendTo(m.room(addressBytes)))
	case formText:
		text := c.bytes(v)
		return m.text(append(m.room(len(text)), text...))
	}
	return nil
}

// inInterface is how Go holds any in memory (src/runtime/runtime2.go, eface): the type,
// and where the value lies, which nobody writes to any more.
type inInterface struct{ kind, value unsafe.Pointer }

// The types of values.
var (
	typeUint  = typeOf(uint64(math.MaxUint64))
	typeInt   = typeOf(int64(math.MaxInt64))
	typeFloat = typeOf(math.Pi)
	typeText  = typeOf("text")
)

// typeOf returns the type of a value, as an interface has it.
func typeOf(v any) unsafe.Pointer { return (*inInterface)(unsafe.Pointer(&v)).kind }

// number returns the bits of a number of a type in an interface.
func (m *memory) number(kind unsafe.Pointer, bits uint64) (v any) {
	at := &take(&m.numbers, 1, pieceFields)[0]
	*at = bits
	*(*inInterface)(unsafe.Pointer(&v)) = inInterface{kind, unsafe.Pointer(at)}
	return v
}

// room returns where a text of at most n bytes may be appended.
func (m *memory) room(n int) []byte {
	if cap(m.bytes)-len(m.bytes) < n {
		m.bytes = make([]byte, 0, max(n, pieceBytes))
	}
	return m.bytes[len(m.bytes):]
}

// text returns what was appended to room in an interface.
func (m *memory) text(b []byte) (v any) {
	if len(b) == 0 {
		return ""
	}
	m.bytes = m.bytes[:len(m.bytes)+len(b)]
	at := &take(&m.texts, 1, pieceTexts)[0]
	*at = unsafe.String(unsafe.SliceData(b), len(b))
	*(*inInterface)(unsafe.Pointer(&v)) = inInterface{typeText, unsafe.Pointer(at)}
	return v
}
