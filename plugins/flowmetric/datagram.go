package flowmetric

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Datagram returns the metric netflow_datagram of a datagram: tag source, and the
// fields port, received (nanoseconds since 1970), payload (base64, RFC 4648) and,
// where it is true, resent (see flow.Datagram).
// The metric's own time is unique (see Timestamp).
func Datagram(dg flow.Datagram) telegraf.Metric {
	m := &Metric{Measurement: DatagramMeasurement, At: Timestamp(dg.Received), Kind: telegraf.Untyped}
	m.AddTag("source", dg.Exporter.Addr().Unmap().String())
	fields := []telegraf.Field{
		{Key: "port", Value: uint64(dg.Exporter.Port())},
		{Key: "received", Value: dg.Received.UnixNano()},
		{Key: "payload", Value: base64.StdEncoding.EncodeToString(dg.Payload)},
	}
	if dg.Resent {
		fields = append(fields, telegraf.Field{Key: "resent", Value: true})
	}
	m.setFields(fields)
	return m
}

// ParseDatagram returns the datagram of a metric netflow_datagram, also of one
// that went through a serialisation that knows no unsigned numbers. The datagram
// is a copy.
func ParseDatagram(m telegraf.Metric) (flow.Datagram, error) {
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
	payload, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return flow.Datagram{}, fmt.Errorf("%s: field payload: expected base64: %w", m.Name(), err)
	}
	resent, _ := m.GetField("resent")
	return flow.Datagram{
		Resent:   resent == true,
		Exporter: netip.AddrPortFrom(addr.Unmap(), uint16(port)),
		Received: time.Unix(0, received).UTC(),
		Payload:  payload,
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
