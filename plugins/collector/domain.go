package collector

import (
	"container/list"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// domainKey names an observation domain.
type domainKey struct {
	addr    netip.Addr
	domain  uint32
	version flow.Version
	port    uint16 // where the exporter's ports are kept apart, else 0
	stream  bool   // over TCP or TLS; all connections of the exporter together
}

// domain is the state of one observation domain.
type domain struct {
	key       domainKey
	decoder   *Decoder
	exporter  *exporter
	stats     ExporterStats
	templates map[uint16][]entry // of an id: the newest first, one per port
	recent    [4]struct {        // what template found last, by id; none after a change
		id   uint16
		list []entry
	}
	heard        flow.Time             // its last datagram, by the registry's clock
	judged       bool                  // unlisted is known
	unlisted     bool                  // it is no series: see series.go
	entries      int                   // in templates
	bytes        int                   // of templates and option records
	options      map[optionKey][]byte  // as on the wire, the latest of each key
	exported     flow.Time             // of the last datagram
	sysUptime    uint32                // of the last datagram
	waiting      map[uint16]*list.List // sets without a template, by its id
	optionBytes  int                   // of options
	sequences    []sequence            // one per source port
	ports        [maxPorts]uint16      // the last ones that were new
	nextPort     int
	portsStay    bool // one of them has come back
	borrowers    []borrower
	uptime       ipfix.Uptime
	rates        rates
	announced    map[limit]announced // the latest of any port
	tellers      []teller            // the ports that tell rates, at most maxPorts
	turns        uint64              // rates that were told
	tellersStay  bool                // one of them has told a rate again
	contradicted bool                // two ports tell different rates
	messages     total               // as the exporter counts them
	records      total
	names        table
	missed       map[uint16]bool // template ids that have been logged as missing
	complained   bool            // an error has been logged
	again        bool            // it reports flows with running totals again
	outReverse   atomic.Bool     // what it counts as sent is the other direction
	outFewer     atomic.Int32    // records that count fewer packets as sent, less those that count as many
	doubted      bool            // a sampling rate that cannot be has been logged
	cardless     bool            // flows whose line card is not known have been logged

	account            *account
	inAccount, inOrder *list.Element // of the account, and of all domains, by last use
	isProven           bool          // its templates have described flows
}

// exporterKey names an exporter: one address may send several protocols.
type exporterKey struct {
	addr    netip.Addr
	version flow.Version
	port    uint16 // as in domainKey
}

// exporter is what the domains of one address and protocol share in a decoder.
type exporter struct {
	config      *ExporterConfig // nil when nobody has said anything of it
	known       *knowledge      // with the decoders that have other domains of it
	configured  bool            // in Options
	domains     int
	streams     int         // of these, over TCP or TLS
	waiting     int         // bytes of the sets that wait for their templates
	sets        list.List   // the sets that wait, in the order of receipt
	place       int         // in the heap of those whose sets wait
	names       int         // bytes of the names in known that came from here
	policy      flow.Policy // that came with the datagrams
	needPort    bool        // two ports define one template id differently
	severalSeen bool        // two ports that tell different rates have been logged
}

// maxPorts bounds the source ports of a domain for which sequences and versions
// of one template are kept; maxStreams does that for connections.
const (
	maxPorts   = 8
	maxStreams = 16384
)

// maxPorts returns the bound that is the domain's.
func (dom *domain) maxPorts() int {
	if dom.key.stream {
		return maxStreams
	}
	return maxPorts
}

// maxTemplates returns the bound of a domain's templates. Those of a connection never
// come again, and many connections may share an address and a domain: only
// Options.MaxBytes bounds them.
func (d *Decoder) maxTemplates(dom *domain) int {
	if dom.key.stream {
		return math.MaxInt
	}
	return d.opt.MaxTemplates
}

// key returns the key of the domain with an id.
func (d *Decoder) key(m *message, v flow.Version, id uint32) domainKey {
	k := domainKey{addr: m.addr, domain: id, version: v, stream: m.stream}
	if m.stream {
		return k
	}
	apart := k
	apart.port = m.port
	if m.policy.SeparatePorts || m.late && d.domains[apart] != nil {
		return apart
	}
	return k
}

// domain returns the domain of a key, new or known, and makes it the newest.
func (d *Decoder) domain(key domainKey) *domain {
	if dom := d.newest; dom != nil && dom.key == key {
		return dom
	}
	dom := d.domains[key]
	if dom != nil {
		d.touch(dom)
		return dom
	}
	d.makeRoom(key.addr)
	shared := exporterKey{key.addr, key.version, key.port}
	exp := d.exporters[shared]
	if exp == nil {
		d.clearSeats()
		exp = &exporter{config: d.config(key.addr), known: d.shared.hold(shared)}
		exp.configured = exp.config != nil
		d.exporters[shared] = exp
	}
	exp.domains++
	if key.stream {
		exp.streams++
	}
	dom = &domain{key: key, decoder: d, exporter: exp, account: d.open(key.addr)}
	dom.stats.Exporter, dom.stats.Version, dom.stats.Domain = key.addr, key.version, key.domain
	dom.stats.Port, dom.stats.Stream = key.port, key.stream
	if d.sat.addr == key.addr {
		dom.account.seat = d.sat.seat
	}
	d.domains[key] = dom
	d.enlist(dom)
	return dom
}

// forget drops a domain.
func (d *Decoder) forget(dom *domain) {
	d.endWaits(dom, -1)
	d.leaveSeries(dom)
	delete(d.domains, dom.key)
	d.forgotten++
	if dom.key.stream {
		dom.exporter.streams--
	}
	if dom.exporter.domains--; dom.exporter.domains == 0 {
		delete(d.exporters, exporterKey{dom.key.addr, dom.key.version, dom.key.port})
		d.charge(dom.account, -dom.exporter.names)
		d.shared.release(dom.exporter.known)
	}
	d.delist(dom)
}

// sequence returns the state of the sequence numbers from the datagram's port; of
// sFlow, those of the agent, whatever its port. An exporter that takes a new port for each
// datagram has one sequence all the same.
func (dom *domain) sequence(m *message) *sequence {
	oldest, latest := 0, 0
	for i := range dom.sequences {
		s := &dom.sequences[i]
		if s.agent == m.agent && (s.port == m.port || m.agent.IsValid()) {
			s.used = m.now
			s.run++
			return s
		}
		if s.used < dom.sequences[oldest].used {
			oldest = i
		}
		if s.used >= dom.sequences[latest].used {
			latest = i
		}
	}
	if dom.passing(m) && len(dom.sequences) > 0 {
		if s := &dom.sequences[latest]; s.run == 1 && s.agent == m.agent && s.near(m.sequence) {
			s.port, s.used = m.port, m.now
			return s
		}
	}
	if len(dom.sequences) < dom.maxPorts() {
		dom.sequences = append(dom.sequences, sequence{})
		oldest = len(dom.sequences) - 1
	} else {
		dom.sequences[oldest].forget(&dom.stats)
	}
	dom.sequences[oldest] = sequence{port: m.port, agent: m.agent, used: m.now, run: 1,
		way: rfcWay(dom.key.version)}
	return &dom.sequences[oldest]
}

// passing says whether the source ports of a domain are used once only: none of the last
// ones has come back.
func (dom *domain) passing(m *message) bool {
	if m.stream || dom.portsStay || dom.exporter.needPort {
		return false
	}
	if slices.Contains(dom.ports[:], m.port) {
		dom.portsStay = true
		for i := range dom.sequences { // which may be a mixture of those of two exporters
			dom.sequences[i].forget(&dom.stats)
		}
	}
	dom.ports[dom.nextPort%len(dom.ports)] = m.port
	dom.nextPort++
	return !dom.portsStay
}
