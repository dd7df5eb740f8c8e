// Package collector turns the datagrams of many exporters into flows: it owns
// all state that outlives a datagram.
//
// A Decoder knows, per exporter address, protocol version and observation
// domain: templates, sampling rates, the exporter's clock, sequence numbers, and
// counters. One kind of decoder serves the listener, the archive, processors and
// tools. A Listener receives datagrams over UDP.
//
// Source addresses can be forged, so everything that is kept per source is
// bounded in number and in bytes; what has been idle longest goes first. A set
// that cannot be decoded costs itself only, never its neighbours, and nothing
// that a peer sends makes the package panic. Log lines are bounded too, counters
// are not.
//
// To add a protocol: give it a decoder package beside netflow and ipfix, a constant in
// flow.Version, a case in Decoder.decode, its header in versions.go, and its sequence
// rule in sequence.go.
package collector

import (
	"container/list"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// Datagram is one UDP payload and where it came from.
type Datagram = flow.Datagram

// Handler gets what a datagram holds. Members may be nil. The records are
// reused: they are valid until the call returns, and so is what they point to.
// Without Flow the data records are only counted, but for the first of each set,
// from which rates and clocks are learned: TimeRepairs then counts no others.
type Handler struct {
	Flow    func(*flow.Record)
	Option  func(*flow.OptionRecord) // not of domains that are Unlisted
	Counter func(*flow.CounterRecord)

	// Missing gets the data sets whose template is not known yet, instead of the
	// decoder keeping them for a while: see Decoder.Resume.
	Missing func(SetKey, Datagram)
}

// Options configures a Decoder. The zero value is useful.
type Options struct {
	// Protocols lists the versions to decode; others count as unsupported. None
	// is all.
	Protocols []flow.Version

	// MaxDomains bounds the observation domains of all exporters; default 16384.
	MaxDomains int

	// MaxTemplates bounds the templates of one domain, but for those of connections;
	// default 1024.
	MaxTemplates int

	// Exporters is what is known of exporters beforehand. The longest prefix
	// counts.
	Exporters []ExporterConfig

	// RefuseUnknown drops the datagrams of all others.
	RefuseUnknown bool

	// MaxExporters bounds the addresses whose datagrams are decoded. Those of one more
	// are dropped until one of these has been silent for an hour; but one that Exporters
	// names, not a network that it is in, is always decoded. 0 is only bounded by
	// MaxDomains.
	MaxExporters int

	// MaxRate is the largest sampling rate of an exporter that is believed; default
	// 1,000,000.
	MaxRate uint32

	// SplitBiflows gives a record that counts both directions (RFC 5103) to the
	// handler as two flows. It is still counted as one record.
	SplitBiflows bool

	// OuterFlows leaves the outer addresses of VMware's VXLAN records the flow; the
	// tenant's are then elements in Extra. Else the tenant's are the flow, the outer
	// ones the tunnel.
	OuterFlows bool

	// Enrich is called for every flow before the handler gets it. It may set the
	// flow's sampling rate and its source, and the names, of which n has those
	// that are known otherwise; that n goes with the flow. It must not wait, and is
	// called by every decoder that has it, and by all goroutines of a Batch at once.
	Enrich func(r *flow.Record, n *flow.Names)

	// TemplatesOnly reads templates and option records, for Known, and decodes no
	// flows and counts nothing else.
	TemplatesOnly bool

	// MaxBytes bounds the memory of all templates and option records; default 64
	// MiB.
	MaxBytes int

	// WaitTime is how long a data set waits for its template at most; default a minute.
	// MaxWaiting bounds the memory of all that wait, of which the decoders have equal parts;
	// default 16 MiB. In each decoder one exporter gets 4 MiB, of another bound half of the part.
	WaitTime   time.Duration
	MaxWaiting int

	// Log gets a line for what an administrator should know, at most about ten
	// a minute. nil is silence.
	Log func(format string, args ...any)
}

func (o *Options) setDefaults() {
	if o.MaxDomains <= 0 {
		o.MaxDomains = 16384
	}
	if o.MaxTemplates <= 0 {
		o.MaxTemplates = 1024
	}
	if o.MaxRate == 0 {
		o.MaxRate = defaultMaxRate
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	if o.WaitTime <= 0 {
		o.WaitTime = waitTime
	}
}

// ExporterStats are the counters of one observation domain of an exporter. They
// only grow, but go when the domain is forgotten. What cannot be assigned to a
// domain is under domain 0 of version 0, or of the unsupported version.
type ExporterStats struct {
	Exporter netip.Addr
	Version  flow.Version
	Domain   uint32
	Port     uint16 // source port of the exporter, where its ports are kept apart, else 0
	Stream   bool   // over TCP or TLS; all connections of the exporter together
	Unlisted bool   // one too many of its address to be a series in a database

	Datagrams uint64
	Bytes     uint64 // of the datagrams
	Flows     uint64 // data records
	Uncounted uint64 // of these, those that the exporter's count mode leaves out
	Options   uint64 // option records
	Counters  uint64 // counter samples of sFlow
	Templates uint64 // templates that were new or changed

	SequenceGaps uint64 // times that something was missing
	// what was missing, in the unit of the sequence: v5 and v7 flows, v9 and sFlow datagrams, IPFIX records
	SequenceLost     uint64
	SequenceReceived uint64 // what has come, in the same unit, as far as it is known: a gauge
	SequenceUnsure   uint64 // a gauge: what may be missing, until it is known how the exporter counts
	SequenceLate     uint64 // datagrams that came after a later one, or twice; their loss was counted before
	SequenceRestarts uint64 // times that the sequence began anew

	// What the exporter says it has sent since it first said so (elements 41, 42),
	// what of that has not been received, both as of its latest option record, and
	// what it says it could not send (element 166).
	ExporterDatagrams, ExporterDatagramsLost uint64
	ExporterFlows, ExporterFlowsLost         uint64
	ExporterFlowsUnsent                      uint64

	SetsWithoutTemplate uint64 // data sets that came before their template
	SetsResumed         uint64 // of these, those that were decoded when it came
	SetsExpired         uint64 // of these, those that waited in vain
	DecodeErrors        uint64 // datagrams, sets, templates and records that contradict themselves
	Unsupported         uint64 // datagrams of a protocol that is unknown or not wanted
	SamplingRefused     uint64 // sampling rates that cannot be
	// samples of sFlow, and records in them, that are left out because their format is not known
	UnknownFormats uint64
	TimeRepairs    uint64 // flows whose times were absurd

	// Gauges.
	TemplatesKnown int
	SetsWaiting    int       // sets that wait for their templates
	SamplingRate   uint32    // of the latest flow for which one is known
	ClockSkew      flow.Time // receipt minus export of the latest datagram
	LastReceived   flow.Time
	// receipt of the first datagram that is counted here: later than before where the domain was forgotten
	Since flow.Time
}

// Decoder decodes datagrams and keeps the state of their exporters. It is not
// safe for concurrent use: see NewDecoders.
type Decoder struct {
	opt       Options
	domains   map[domainKey]*domain
	exporters map[exporterKey]*exporter
	shared    *registry // with other decoders
	looked    struct {  // what look has found last
		addr   netip.Addr
		config *ExporterConfig
	}
	accounts  map[netip.Addr]*account
	largest   heaviest[*account]
	strangers list.List // of *domain, by last use: no flow was decoded by their templates yet
	proven    list.List // the others
	newest    *domain   // the one used last
	bytes     int       // of all templates
	forgotten uint64
	refused   uint64
	overMost  uint64
	listed    int      // domains that may be series, of all accounts
	maxSeries int      // of one account
	sat       struct { // whose seat was looked for last
		addr netip.Addr
		seat *seat
	}
	cleared  uint64 // seats that were free when their addresses were forgotten
	revision uint64
	log      logLimiter

	own     *lane
	message message // of Decode
	work    work    // of own
	batch   *Batch  // nil outside of a batch
	option  flow.OptionRecord
	scratch []ipfix.FieldSpec
	scope   []byte // of the option record at hand

	room waitingRoom

	err error // the first of the datagram at hand
}

// NewDecoder returns a Decoder without state.
func NewDecoder(o Options) *Decoder { return NewDecoders(1, o)[0] }

// newDecoder returns a Decoder that shares what it knows of exporters.
func newDecoder(o Options, shared *registry) *Decoder {
	o.Exporters = sortExporters(o.Exporters)
	d := &Decoder{
		opt:       o,
		domains:   map[domainKey]*domain{},
		accounts:  map[netip.Addr]*account{},
		exporters: map[exporterKey]*exporter{},
		shared:    shared,
		log:       logLimiter{print: o.Log},
	}
	d.own = newLane(&d.opt)
	return d
}

// Exporters calls fn with the counters of every known domain, in no order. They
// are valid until fn returns and not to be changed.
func (d *Decoder) Exporters(fn func(*ExporterStats)) {
	d.clearSeats()
	now := d.shared.clock()
	d.expire(now) // also where no datagram comes any more
	for _, dom := range d.domains {
		if dom.unlisted {
			dom.unlisted = !d.list(dom, now)
		}
		dom.stats.TemplatesKnown, dom.stats.Unlisted = dom.entries, dom.unlisted
		dom.stats.SequenceReceived = dom.received()
		fn(&dom.stats)
	}
}

// Forgotten returns how many domains have been dropped to stay within Options.
func (d *Decoder) Forgotten() uint64 { return d.forgotten }

// Refused returns how many datagrams have been dropped as their exporter is refused
// by configuration.
func (d *Decoder) Refused() uint64 { return d.refused }

// Decode decodes a datagram and calls h for every record in it. All that can be
// decoded is, also when an error is returned: the error says what was wrong
// first, for a tool to show, and is counted already. A set without a template is
// no error. What expires does so by the time that passes while the process runs, and
// not by dg.Received: a datagram can be decoded long after its receipt, and clocks may
// be set.
func (d *Decoder) Decode(dg Datagram, h Handler) error {
	d.message = message{resent: dg.Resent, past: dg.Resent, handler: h, base: &d.own.rec.Base}
	return d.decode(&d.message, dg)
}

// decode decodes a datagram.
func (d *Decoder) decode(m *message, dg Datagram) error {
	d.err = nil
	d.own.handler = m.handler
	addr := dg.Exporter.Addr().Unmap()
	if dg.Stream && len(dg.Payload) == 0 {
		d.settle()
		d.endStream(netip.AddrPortFrom(addr, dg.Exporter.Port()))
		return nil
	}
	m.addr, m.port, m.received, m.size, m.stream = addr, dg.Exporter.Port(), flow.TimeOf(dg.Received), len(dg.Payload),
		dg.Stream
	m.now = d.shared.clock()
	d.expire(m.now)
	v, config := version(dg.Payload), d.look(addr)
	if d.refuses(config) {
		d.refused++
		return nil
	}
	if !m.late && !d.seated(addr, m.now, config) {
		d.unseated(m)
		return nil
	}
	m.policy = dg.Policy
	if config != nil {
		m.policy = config.Policy
	}
	if v == 0 || len(d.opt.Protocols) > 0 && !slices.Contains(d.opt.Protocols, v) {
		return d.unsupported(m, v, dg.Payload)
	}
	if (d.opt.TemplatesOnly || m.resent) && v != flow.V9 && v != flow.IPFIX {
		return nil
	}
	switch v {
	case flow.V1:
		d.fixed(m, &fixedV1, dg.Payload)
	case flow.V5:
		d.fixed(m, &fixedV5, dg.Payload)
	case flow.V7:
		d.fixed(m, &fixedV7, dg.Payload)
	case flow.SFlow:
		d.sflow(m, dg.Payload)
	case flow.V9:
		d.v9(m, dg.Payload)
	case flow.IPFIX:
		d.ipfix(m, dg.Payload)
	}
	if d.err != nil {
		return fmt.Errorf("datagram of %s: %w", dg.Exporter, d.err)
	}
	return nil
}
