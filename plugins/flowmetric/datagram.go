package flowmetric

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync/atomic"
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
	// Bytes leaves payloads as they are, in the field bytes: for metrics that never
	// leave the process. What writes text cannot write them.
	Bytes bool

	// Lost counts the metrics that Telegraf's outputs lose (see Metric.Reject); nil
	// counts nothing.
	Lost *atomic.Uint64

	blocks []datagramBlock
	text   strings.Builder // the payloads of several metrics
	code   []byte          // of the payload at hand
	cache  cache
	policy struct { // the last
		is   flow.Policy
		text string
	}
}

// datagramBlock is a metric with room for what a datagram has.
type datagramBlock struct {
	Metric
	fields [5]telegraf.Field
	ptrs   [5]*telegraf.Field
}

// Metric returns the metric of a datagram: tag source, and the fields port,
// received (nanoseconds since 1970), payload (base64, RFC 4648 section 4), else bytes,
// and, where they say something, resent and policy (see flow.Datagram). The datagram is copied. The
// metric's own time is unique (see Timestamp).
func (b *DatagramBuilder) Metric(dg flow.Datagram) telegraf.Metric {
	if len(b.blocks) == 0 {
		b.blocks = make([]datagramBlock, datagramBlocks)
	}
	block := &b.blocks[0]
	b.blocks = b.blocks[1:]
	m := &block.Metric
	m.Measurement, m.At, m.Kind, m.lost = DatagramMeasurement, Timestamp(dg.Received), telegraf.Untyped, b.Lost
	m.setSource(b.cache.addr(dg.Exporter.Addr()))
	fields := append(block.fields[:0],
		telegraf.Field{Key: "port", Value: b.cache.memory.number(typeUint, uint64(dg.Exporter.Port()))},
		telegraf.Field{Key: "received", Value: b.cache.memory.number(typeInt, uint64(dg.Received.UnixNano()))},
		b.payload(dg.Payload))
	if dg.Resent {
		fields = append(fields, telegraf.Field{Key: "resent", Value: true})
	}
	if dg.Policy != (flow.Policy{}) {
		if dg.Policy != b.policy.is {
			b.policy.is, b.policy.text = dg.Policy, dg.Policy.String()
		}
		fields = append(fields, telegraf.Field{Key: "policy", Value: b.policy.text})
	}
	m.FieldPtrs = point(block.ptrs[:len(fields)], fields)
	return m
}

// payload returns the field with a payload.
func (b *DatagramBuilder) payload(payload []byte) telegraf.Field {
	if b.Bytes {
		return telegraf.Field{Key: "bytes", Value: b.keep(payload)}
	}
	n := base64.StdEncoding.EncodedLen(len(payload))
	if len(b.code) < n {
		b.code = make([]byte, n)
	}
	base64.StdEncoding.Encode(b.code, payload)
	return telegraf.Field{Key: "payload", Value: b.keep(b.code[:n])}
}

// keep returns a copy in the builder's memory.
func (b *DatagramBuilder) keep(value []byte) string {
	if b.text.Cap()-b.text.Len() < len(value) {
		b.text = strings.Builder{}
		b.text.Grow(max(len(value), datagramBytes)) // which does not clear it, as make would
	}
	begin := b.text.Len()
	b.text.Write(value)
	return b.text.String()[begin:]
}

// DatagramParser reads metrics netflow_datagram. The zero value is ready. It is not
// safe for concurrent use.
type DatagramParser struct {
	payload []byte
	policy  struct { // the last
		text string
		is   flow.Policy
	}
}

// Parse returns the datagram of a metric netflow_datagram, also of one that went
// through a serialisation that knows no unsigned numbers. The payload must only be read,
// and until the next call.
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
	payload, err := p.decode(m)
	if err != nil {
		return flow.Datagram{}, err
	}
	policy, err := p.readPolicy(m)
	if err != nil {
		return flow.Datagram{}, err
	}
	resent, _ := m.GetField("resent")
	return flow.Datagram{
		Policy:   policy,
		Resent:   resent == true,
		Exporter: netip.AddrPortFrom(addr.Unmap(), uint16(port)),
		Received: time.Unix(0, received).UTC(),
		Payload:  payload,
	}, nil
}

// readPolicy returns the policy that a metric tells.
func (p *DatagramParser) readPolicy(m telegraf.Metric) (flow.Policy, error) {
	v, _ := m.GetField("policy")
	text, _ := v.(string)
	if text == "" {
		return flow.Policy{}, nil
	}
	if text != p.policy.text {
		is, err := flow.ParsePolicy(text)
		if err != nil {
			return is, fmt.Errorf("%s: field policy: %w", m.Name(), err)
		}
		p.policy.text, p.policy.is = strings.Clone(text), is
	}
	return p.policy.is, nil
}

// decode returns the payload of a metric, in the parser's memory or in the metric's.
func (p *DatagramParser) decode(m telegraf.Metric) ([]byte, error) {
	v, encoded := m.GetField("payload")
	if !encoded {
		v, _ = m.GetField("bytes")
	}
	text, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("%s: field payload: expected a string, got %T", m.Name(), v)
	}
	value := unsafe.Slice(unsafe.StringData(text), len(text))
	if !encoded {
		return value, nil
	}
	if len(value) > len(p.payload) {
		p.payload = make([]byte, max(len(value), datagramBytes))
	}
	n, err := base64.StdEncoding.Decode(p.payload, value)
	if err != nil {
		return nil, fmt.Errorf("%s: field payload: expected base64: %w", m.Name(), err)
	}
	return p.payload[:n:n], nil
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
