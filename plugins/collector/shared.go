package collector

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// registry holds what the decoders of one collector know of exporters whose
// domains they divide among themselves.
type registry struct {
	seats seats

	// clock is the time by which things expire: it goes on while the process runs, whatever
	// is done to the clock of the machine, or of the one that received a datagram.
	clock func() flow.Time

	mu        sync.Mutex
	exporters map[exporterKey]*knowledge
}

// knowledge is what an exporter has told of itself under any of its domains.
type knowledge struct {
	key  exporterKey
	refs int // decoders that have domains of it; the registry's mutex guards it

	hasRates, hasLimits, hasCards, hasNames atomic.Bool
	namesSamplers                           atomic.Bool   // a template of flows has a sampler's id
	datagrams, flows                        atomic.Uint64 // received

	mu      sync.RWMutex
	rates   rates
	tellers map[limit][]domainRate // what each domain has told, the latest last
	ports   []portRates            // what each source port has told, the latest last
	names   table
	users   map[netip.Addr]string
	cards   map[uint32]uint32 // line cards, by interface
}

// maxRateDomains bounds the domains of which it is kept what they tell of one rate.
const maxRateDomains = 8

// cardSize is about what the line card of an interface takes in memory, in bytes.
const cardSize = 24

// domainRate is the rate that an observation domain tells.
type domainRate struct{ domain, rate uint32 }

// portRates are the rates that a source port has told, in whatever domain.
type portRates struct {
	port uint16
	rates
}

// hold returns what is known of an exporter, until release.
func (g *registry) hold(key exporterKey) *knowledge {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.exporters[key]
	if k == nil {
		k = &knowledge{key: key}
		g.exporters[key] = k
	}
	k.refs++
	return k
}

// release drops what is known of an exporter with its last domain.
func (g *registry) release(k *knowledge) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k.refs--; k.refs == 0 {
		delete(g.exporters, k.key)
	}
}

// setRate keeps a rate for all domains, as a domain tells it; 0 ends what that domain has
// told. What another domain has told before counts on then.
func (k *knowledge) setRate(l limit, rate uint32, domain uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := slices.DeleteFunc(k.tellers[l], func(t domainRate) bool { return t.domain == domain })
	if rate != 0 {
		if list == nil && len(k.tellers) >= maxSamplers {
			return
		}
		if len(list) >= maxRateDomains {
			list = slices.Delete(list, 0, 1)
		}
		list = append(list, domainRate{domain, rate})
		k.hasRates.Store(true)
	}
	if k.tellers == nil {
		k.tellers = map[limit][]domainRate{}
	}
	if last := len(list) - 1; last >= 0 {
		k.tellers[l], rate = list, list[last].rate
	} else {
		delete(k.tellers, l)
	}
	k.rates.set(l, rate)
	k.hasLimits.Store(len(k.rates.limited) > 0)
	k.hasCards.Store(k.rates.hasCards)
}

// setPortRate keeps a rate that a source port tells. Of the ports only the latest are kept.
func (k *knowledge) setPortRate(port uint16, l limit, rate uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := portRates{port: port}
	if at := slices.IndexFunc(k.ports, func(p portRates) bool { return p.port == port }); at >= 0 {
		p = k.ports[at]
		k.ports = slices.Delete(k.ports, at, at+1)
	} else if len(k.ports) >= maxPorts {
		k.ports = slices.Delete(k.ports, 0, 1)
	}
	p.set(l, rate)
	k.ports = append(k.ports, p)
}

// ofPort returns what a source port has told. The mutex is held.
func (k *knowledge) ofPort(port uint16) *rates {
	if len(k.ports) > 1 {
		for i := range k.ports {
			if k.ports[i].port == port {
				return &k.ports[i].rates
			}
		}
	}
	return &noRates
}

// rate returns the rate of a sampler, that which the source port has told first; 0 when
// there is none.
func (k *knowledge) rate(port uint16, id uint64) uint32 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if rate := k.ofPort(port).byID[id]; rate != 0 {
		return rate
	}
	return k.rates.byID[id]
}

// limitedRate returns the rate of some flows, as rate does.
func (k *knowledge) limitedRate(port uint16, l limit) uint32 {
	if !k.hasLimits.Load() {
		return 0
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if rate := k.ofPort(port).limited[l]; rate != 0 {
		return rate
	}
	return k.rates.limited[l]
}

// cardRate returns the rate that all line cards have, as rate does; differ says that they
// have several.
func (k *knowledge) cardRate(port uint16) (rate uint32, differ bool) {
	if !k.hasLimits.Load() {
		return 0, false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if rate, differ := k.ofPort(port).card(); rate != 0 || differ {
		return rate, differ
	}
	return k.rates.card()
}

// setCard keeps on which line card an interface is.
func (k *knowledge) setCard(iface, card uint32) (size int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, known := k.cards[iface]
	if !known && len(k.cards) >= maxTableNames {
		return 0
	}
	if k.cards == nil {
		k.cards = map[uint32]uint32{}
	}
	if k.cards[iface] = card; known {
		return 0
	}
	return cardSize
}

// card returns the line card of an interface, 0 when it is not known.
func (k *knowledge) card(iface uint32) uint32 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.cards[iface]
}

// anyRate returns the rate without a sampler's id, and, unless a flow could have
// named its sampler, that of the only sampler; as rate does.
func (k *knowledge) anyRate(port uint16, general bool) uint32 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if rate := k.ofPort(port).any(general); rate != 0 {
		return rate
	}
	return k.rates.any(general)
}

// setName keeps a name for all domains, and returns by how many bytes they have grown.
func (k *knowledge) setName(key nameKey, name []byte) (size int) {
	k.mu.Lock()
	k.names, size = k.names.set(key, name)
	k.mu.Unlock()
	k.hasNames.Store(true)
	return size
}

// name returns a name, empty when there is none.
func (k *knowledge) name(key nameKey) string {
	if !k.hasNames.Load() {
		return ""
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.names[key]
}

// setUser keeps the name of the user behind an address, within the bounds, and returns
// by how many bytes the names have grown.
func (k *knowledge) setUser(addr netip.Addr, name []byte) (size int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old, known := k.users[addr]
	if known && old == string(name) || !known && len(k.users) >= maxTableNames {
		return 0
	}
	if k.users == nil {
		k.users = map[netip.Addr]string{}
	}
	k.users[addr] = strings.ToValidUTF8(string(name), "\uFFFD")
	k.hasNames.Store(true)
	return growth(old, known, k.users[addr])
}

// user returns the name of the user behind the source of a flow, else behind its
// destination, empty when there is none.
func (k *knowledge) user(src, dst netip.Addr) string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.users == nil {
		return ""
	}
	if name := k.users[src.Unmap()]; name != "" {
		return name
	}
	return k.users[dst.Unmap()]
}

// NewDecoders returns n decoders that divide the observation domains of all
// exporters among themselves, by Shard, and share what an exporter's options tell of
// all its domains. Each is used by one goroutine at a time. The bounds of o are
// those of all decoders together.
func NewDecoders(n int, o Options) []*Decoder {
	o.setDefaults()
	divide := func(bound int) int { return (bound + n - 1) / n }
	o.MaxDomains, o.MaxBytes = divide(o.MaxDomains), divide(o.MaxBytes)
	start := time.Now()
	shared := &registry{exporters: map[exporterKey]*knowledge{}, seats: seats{limit: o.MaxExporters},
		clock: func() flow.Time { return flow.Time(time.Since(start)) }}
	list := make([]*Decoder, n)
	for i := range list {
		list[i] = newDecoder(o, shared)
		list[i].room.limit, list[i].room.share = divide(waitAll), waitExporter
		if o.MaxWaiting > 0 {
			list[i].room.limit, list[i].room.share = divide(o.MaxWaiting), divide(o.MaxWaiting)/2
		}
		list[i].maxSeries = divide(maxSeries)
	}
	return list
}
