package flowmetric

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"github.com/influxdata/telegraf"
	"github.com/segmentio/asm/base64"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// The pieces of memory that a DatagramBuilder takes.
const (
	datagramBlocks = 32
	datagramBytes  = 64 << 10
)

// DatagramBuilder makes metrics netflow_datagram. It takes memory for many at a
// time; a piece is free when the last metric in it is. The zero value is ready. It
// is not safe for concurrent use, its metrics are.
type DatagramBuilder struct {
	blocks []datagramBlock
	text   strings.Builder // the payloads of several metrics
	code   []byte          // of the payload at hand
	cache  cache
}

// datagramBlock is a metric with room for what a datagram has.
type datagramBlock struct {
	Metric
	fields [4]telegraf.Field
	ptrs   [4]*telegraf.Field
}

// Metric returns the metric of a datagram: tag source, and the fields port,
// received (nanoseconds since 1970), payload (base64, RFC 4648 section 4) and,
// where it is true, resent (see flow.Datagram). The datagram is copied. The metric's
// own time is unique (see Timestamp).
func (b *DatagramBuilder) Metric(dg flow.Datagram) telegraf.Metric {
	if len(b.blocks) == 0 {
		b.blocks = make([]datagramBlock, datagramBlocks)
	}
	block := &b.blocks[0]
	b.blocks = b.blocks[1:]
	m := &block.Metric
	m.Measurement, m.At, m.Kind = DatagramMeasurement, Timestamp(dg.Received), telegraf.Untyped
	m.setSource(b.cache.addr(dg.Exporter.Addr()).(string))
	fields := append(block.fields[:0],
		telegraf.Field{Key: "port", Value: b.cache.uint(uint64(dg.Exporter.Port()))},
		telegraf.Field{Key: "received", Value: dg.Received.UnixNano()},
		telegraf.Field{Key: "payload", Value: b.encode(dg.Payload)})
	if dg.Resent {
		fields = append(fields, telegraf.Field{Key: "resent", Value: true})
	}
	m.FieldPtrs = fill(fields, block.ptrs[:len(fields)], fields)
	return m
}

// encode returns base64 in the builder's memory.
func (b *DatagramBuilder) encode(payload []byte) string {
	n := base64.StdEncoding.EncodedLen(len(payload))
	if len(b.code) < n {
		b.code = make([]byte, n)
	}
	base64.StdEncoding.Encode(b.code, payload)
	if b.text.Cap()-b.text.Len() < n {
		b.text = strings.Builder{}
		b.text.Grow(max(n, datagramBytes)) // which does not clear it, as make would
	}
	begin := b.text.Len()
	b.text.Write(b.code[:n])
	return b.text.String()[begin:]
}

// DatagramParser reads metrics netflow_datagram. The zero value is ready. It is not
// safe for concurrent use.
type DatagramParser struct{ payload []byte }

// Parse returns the datagram of a metric netflow_datagram, also of one that went
// through a serialisation that knows no unsigned numbers. The payload is valid until
// the next call.
func (p *DatagramParser) Parse(m telegraf.Metric) (flow.Datagram, error) {
	source, ok := m.GetTag("source")
	if !ok {
		return flow.Datagram{}, fmt.Errorf("%s: expected a tag source", m.Name())
	}
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return flow.Datagram{}, fmt.Errorf("%s: tag source: expected an address, got %q", m.Name(), source)
	}
	port, err := intField(m, "port", math.MaxUint16)
	if err != nil {
		return flow.Datagram{}, err
	}
	received, err := intField(m, "received", math.MaxInt64)
	if err != nil {
		return flow.Datagram{}, err
	}
	v, _ := m.GetField("payload")
	text, ok := v.(string)
	if !ok {
		return flow.Datagram{}, fmt.Errorf("%s: field payload: expected a string, got %T", m.Name(), v)
	}
	if n := base64.StdEncoding.DecodedLen(len(text)); n > len(p.payload) {
		p.payload = make([]byte, max(n, datagramBytes))
	}
	n, err := base64.StdEncoding.Decode(p.payload, unsafe.Slice(unsafe.StringData(text), len(text)))
	if err != nil {
		return flow.Datagram{}, fmt.Errorf("%s: field payload: expected base64: %w", m.Name(), err)
	}
	resent, _ := m.GetField("resent")
	return flow.Datagram{
		Resent:   resent == true,
		Exporter: netip.AddrPortFrom(addr.Unmap(), uint16(port)),
		Received: time.Unix(0, received).UTC(),
		Payload:  p.payload[:n:n],
	}, nil
}

// intField returns a field that is a number from 0 to most.
func intField(m telegraf.Metric, name string, most int64) (int64, error) {
	v, _ := m.GetField(name)
	n := int64(-1)
	switch v := v.(type) {
	case int64:
		n = v
	case uint64:
		if v <= uint64(most) {
			n = int64(v)
		}
	case float64:
		if v >= 0 && v < 1<<63 {
			n = int64(v)
		}
	}
	if n < 0 || n > most {
		return 0, fmt.Errorf("%s: field %s: expected a number from 0 to %d, got %v", m.Name(), name, most, v)
	}
	return n, nil
}
