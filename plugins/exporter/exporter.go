// Package exporter plays exporters of flows: it makes traffic, and encodes it as NetFlow
// v1, v5, v7 or v9, as IPFIX, as IPFIX of a vSphere distributed switch, or as sFlow. It is
// what flowgraf generate and flowgraf demo send; it sends nothing itself.
//
// The same seed makes the same flows, but for their times. What is encoded is what
// decoders of other projects read: tests/ compares it with tshark and nfcapd, field by
// field.
package exporter

import (
	"fmt"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Protocols are the protocols that New knows, as a user may be told them.
const Protocols = "v1, v5, v7, v9, ipfix, vmware or sflow"

// Mix is a kind of traffic.
type Mix string

// The mixes. Plain has one template per address family, a few interfaces and flows of the
// last two seconds. Realistic has three layouts of templates in turn (two of a virtual
// switch), IPv4 and IPv6 mixed, 200,000 hosts with a Zipf tail, random ports of clients,
// counters, interfaces and AS numbers, and flows that end within the last minute.
const (
	Plain     Mix = "plain"
	Realistic Mix = "realistic"
)

// Options say what an exporter sends.
type Options struct {
	Protocol string // one of Protocols
	Mix      Mix    // empty is Plain
	Seed     uint64

	// ID tells exporters apart: it is added to the observation domain of v9 and IPFIX,
	// and is the engine of v5 and the sub-agent of sFlow.
	ID int
}

// Exporter makes the flows of one exporter and encodes them. It is not safe for
// concurrent use.
type Exporter struct {
	traffic *traffic
	encoder encoder
	seconds bool // its clock has whole seconds only
	records []flow.Record
}

// New returns an exporter, or an error that says which values of Protocol and Mix there
// are.
func New(o Options) (*Exporter, error) {
	if o.Mix == "" {
		o.Mix = Plain
	}
	if o.Mix != Plain && o.Mix != Realistic {
		return nil, fmt.Errorf("mix %q: expected %s or %s", o.Mix, Plain, Realistic)
	}
	enc, err := newEncoder(o)
	if err != nil {
		return nil, err
	}
	v4only := o.Protocol == "v1" || o.Protocol == "v5" || o.Protocol == "v7"
	return &Exporter{
		traffic: newTraffic(o.Seed+uint64(o.ID)<<32, v4only, o.Mix),
		encoder: enc,
		seconds: o.Protocol == "v9" || o.Protocol == "ipfix" || o.Protocol == "vmware",
	}, nil
}

// Flows returns the next n flows, of which none ends after the exporter's clock at now:
// that of NetFlow v9 and of IPFIX has whole seconds. They are valid until the next call.
func (e *Exporter) Flows(n int, now time.Time) []flow.Record {
	if e.seconds {
		now = now.Truncate(time.Second)
	}
	for len(e.records) < n {
		e.records = append(e.records, flow.Record{})
	}
	recs := e.records[:n]
	for i := range recs {
		e.traffic.next(&recs[i], now)
	}
	return recs
}

// Templates appends a datagram with the exporter's templates to dst: with sFlow one with
// the counters of its interfaces, with NetFlow v1, v5 and v7 nothing.
func (e *Exporter) Templates(dst []byte, now time.Time) []byte {
	return e.encoder.templates(dst, now)
}

// Data appends a datagram with as many of recs, from the first, as fit, and returns how
// many these are. It may change recs to what is sent of them: a packet of the flow with
// sFlow, the roles of ports with a virtual switch.
func (e *Exporter) Data(dst []byte, now time.Time, recs []flow.Record) ([]byte, int) {
	return e.encoder.data(dst, now, recs)
}
