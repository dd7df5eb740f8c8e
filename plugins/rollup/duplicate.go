package rollup

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// Deduplicate says how traffic that was seen at several places is counted once.
type Deduplicate uint8

// The ways.
const (
	DeduplicateOff     Deduplicate = iota
	DeduplicateIngress             // flows that were seen going out are left out
	DeduplicateRank                // see Twins
)

var deduplicates = []string{DeduplicateOff: "off", DeduplicateIngress: "ingress", DeduplicateRank: "rank"}

// ParseDeduplicate reads a name; "" is "off".
func ParseDeduplicate(name string) (Deduplicate, error) {
	if name == "" {
		return DeduplicateOff, nil
	}
	if i := slices.Index(deduplicates, name); i >= 0 {
		return Deduplicate(i), nil
	}
	return 0, fmt.Errorf("expected 'off', 'ingress' or 'rank', got %q%s", name, nffilter.Suggestion(name, deduplicates))
}

// drops says whether a flow is left out.
func (d Deduplicate) drops(r *flow.Record, twin bool) bool {
	switch d {
	case DeduplicateIngress:
		return !flow.CountIngress.Counts(r)
	case DeduplicateRank:
		return twin
	}
	return false
}

// Twins finds flows that another observer has told of: another exporter, or the same one
// of the other direction. Of the flows of the same addresses, ports and protocol at a time
// those of one observer count, of whom the first came. Where one of a better rank tells of
// them too, its flows count from the next on: what was counted is not taken back, so that
// a flow of which each tells once is counted as who came first tells of it. It is safe for
// concurrent use.
type Twins struct {
	rank   []netip.Prefix
	seed   uint64
	shards [twinShards]twinShard
}

const (
	twinShards  = 64
	twinBuckets = 1 << 9 // of a shard
	twinWays    = 4      // entries of a bucket
)

// twinSkew is by how much the clocks of two exporters differ at most, in milliseconds: a
// second, which is what NetFlow v5 and v9 round. Flows of one packet, as of DNS, overlap in
// no other way.
const twinSkew = 1000

// twinShard is the entries whose hashes begin alike: 32 bytes each, 4 MiB in all.
type twinShard struct {
	mu      sync.Mutex
	entries []twinEntry // made when the first flow comes
}

// twinEntry is who tells of a flow.
type twinEntry struct {
	flow     uint64 // hash
	first    uint64 // begin of what was counted last, milliseconds since 1970
	last     uint64 // end of all that has been counted, likewise
	observer uint32 // hash
	rank     uint32
}

// NewTwins returns Twins that prefer some exporters, the first most.
func NewTwins(rank []netip.Prefix) *Twins { return &Twins{rank: rank, seed: rand.Uint64()} }

// mix adds a number to a hash.
func mix(h, v uint64) uint64 {
	high, low := bits.Mul64(h^v, 0x9E3779B97F4A7C15)
	return high ^ low
}

// hash returns the hash of what makes a flow.
func (t *Twins) hash(r *flow.Record) uint64 {
	src, dst := flow.ValueOf(r.Src), flow.ValueOf(r.Dst)
	h := mix(mix(t.seed, src.Hi), src.Lo+1)
	h = mix(mix(h, dst.Hi+2), dst.Lo+3)
	return mix(h, uint64(r.SrcPort)<<32|uint64(r.DstPort)<<16|uint64(r.Proto)|1<<48)
}

// observer returns the hash of who saw a flow.
func (t *Twins) observer(r *flow.Record) uint32 {
	a := flow.ValueOf(r.Exporter)
	return uint32(mix(mix(mix(t.seed, a.Hi), a.Lo+1), uint64(r.Direction)+1))
}

// rankOf returns the place of an exporter in the rank, 0 the best.
func (t *Twins) rankOf(a netip.Addr) uint32 {
	i := slices.IndexFunc(t.rank, func(p netip.Prefix) bool { return p.Contains(a) })
	if i < 0 {
		i = len(t.rank)
	}
	return uint32(i)
}

// sampleBits is one flow in how many Sample looks at, as bits.
const sampleBits = 4

// Sample says whether another observer has told of a flow, of one in 16 flows, always the
// same ones; examined is false for the others.
func (t *Twins) Sample(r *flow.Record) (twin, examined bool) {
	h := t.hash(r)
	if h>>16&(1<<sampleBits-1) != 0 {
		return false, false
	}
	return t.isHash(r, h), true
}

// is says whether another observer has told of a flow.
func (t *Twins) is(r *flow.Record) bool { return t.isHash(r, t.hash(r)) }

// isHash is is for a flow of a hash.
func (t *Twins) isHash(r *flow.Record, h uint64) bool {
	observer, rank := t.observer(r), t.rankOf(r.Exporter)
	first, last := r.First.Milli(), r.Last.Milli()
	shard := &t.shards[h>>58]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.entries == nil {
		shard.entries = make([]twinEntry, twinBuckets*twinWays)
	}
	bucket := shard.entries[h%twinBuckets*twinWays:][:twinWays]
	e := &bucket[0]
	for i := range bucket {
		if bucket[i].flow == h {
			return bucket[i].twin(observer, rank, first, last)
		}
		if bucket[i].last < e.last {
			e = &bucket[i]
		}
	}
	*e = twinEntry{h, first, last, observer, rank}
	return false
}

// twin says whether a flow is one of which the observer of e tells.
func (e *twinEntry) twin(observer, rank uint32, first, last uint64) bool {
	switch {
	case e.observer == observer:
		e.first, e.last, e.rank = first, max(e.last, last), rank
		return false
	case first > e.last && first > e.first+twinSkew: // another flow, later on
		e.observer, e.rank, e.first, e.last = observer, rank, first, last
		return false
	case rank < e.rank:
		e.observer, e.rank, e.last = observer, rank, max(e.last, last)
	}
	return true
}
