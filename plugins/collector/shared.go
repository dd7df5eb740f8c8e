package collector

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
)

// registry holds what the decoders of one collector know of exporters whose
// domains they divide among themselves.
type registry struct {
	mu        sync.Mutex
	exporters map[exporterKey]*knowledge
}

// knowledge is what an exporter has told of itself under any of its domains.
type knowledge struct {
	key  exporterKey
	refs int // decoders that have domains of it; the registry's mutex guards it

	hasRates, hasLimits, hasNames atomic.Bool
	namesSamplers                 atomic.Bool   // a template of flows has a sampler's id
	datagrams, flows              atomic.Uint64 // received

	mu      sync.RWMutex
	rates   rates
	tellers map[limit]uint32 // the domains that have told the rates
	names   table
	users   map[netip.Addr]string
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
// told.
func (k *knowledge) setRate(l limit, rate uint32, domain uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if rate == 0 {
		if by, known := k.tellers[l]; !known || by != domain {
			return
		}
		delete(k.tellers, l)
	} else {
		if k.tellers == nil {
			k.tellers = map[limit]uint32{}
		}
		if _, known := k.tellers[l]; !known && len(k.tellers) >= maxSamplers {
			return
		}
		k.tellers[l] = domain
		k.hasRates.Store(true)
	}
	k.rates.set(l, rate)
	k.hasLimits.Store(len(k.rates.limited) > 0)
}

// rate returns the rate of a sampler, 0 when there is none.
func (k *knowledge) rate(id uint64) uint32 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.rates.byID[id]
}

// limitedRate returns the rate of some flows, 0 when there is none.
func (k *knowledge) limitedRate(l limit) uint32 {
	if !k.hasLimits.Load() {
		return 0
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.rates.limited[l]
}

// anyRate returns the rate without a sampler's id, and, unless a flow could have
// named its sampler, that of the only sampler.
func (k *knowledge) anyRate(general bool) uint32 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if general {
		return k.rates.general
	}
	return k.rates.any()
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
	o.MaxDomains, o.MaxBytes, o.MaxExporters = divide(o.MaxDomains), divide(o.MaxBytes), divide(o.MaxExporters)
	shared := &registry{exporters: map[exporterKey]*knowledge{}}
	list := make([]*Decoder, n)
	for i := range list {
		list[i] = newDecoder(o, shared)
		list[i].room.limit = divide(waitAll)
	}
	return list
}
