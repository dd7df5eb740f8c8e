// Package rollup sums flows up, as they come, into a bounded number of series: traffic by
// interface, by service, by network, in windows that close by the clock.
//
// It promises that sums are exact: over all series of a roll-up and all its windows,
// bytes, packets and flows are those of the flows that matched its filter, whatever the
// bounds. What has no series of its own, as it is not among the top, or as there are more
// than MaxSeries, is in the series whose tags are all Other. Past MaxSeries weighted
// Space-Saving keeps the heavy ones, and ErrorBound says how much of Other may be theirs.
//
// A Set has the roll-ups that see the same flows. Each goroutine that has flows has a
// Feeder of it:
//
//	s, err := rollup.New(definitions, rollup.Options{})
//	f := s.NewFeeder()
//	…
//	s.Begin()
//	f.Add(r) // for each flow
//	f.Flush()
//	s.End()
//
// and one goroutine calls Close, or Run, which gives the points of windows that are over.
// No flow costs an allocation where its series are known already.
//
// To add a tag, see derivedTags in tag.go.
package rollup

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// Other is the value of all tags of the series for what has none of its own.
const Other = "other"

// The defaults of a Definition.
const (
	DefaultInterval  = time.Minute
	DefaultMaxSeries = 10000
	DefaultIPv4Net   = 24
	DefaultIPv6Net   = 48
)

// The bounds of a Definition.
const (
	MinInterval  = time.Second
	MaxInterval  = 24 * time.Hour
	MostSeries   = 10_000_000
	maxOpen      = 64 // windows of a roll-up that are open at a time
	maxTags      = 32
	maxTextBytes = 256 // of the value of a tag
)

// Definition is what a roll-up is to be. The zero value of an option is its default.
type Definition struct {
	Name      string        // of the measurement
	Tags      []string      // what has a series of its own: see TagNames
	Filter    string        // nfdump's language; "" is all flows
	Interval  time.Duration // length of a window
	Top       int           // series that are reported, the heaviest; 0 is all
	By        Weight        // what is heavy
	MaxSeries int           // series that are kept in a window
	Distinct  bool          // count sources and destinations

	// Spread keeps windows open that long, so that a flow longer than the interval is
	// divided among the windows that it covers; 0 puts a flow where it comes.
	Spread time.Duration

	// Deduplicate says how what several exporters or interfaces have seen is counted once.
	Deduplicate Deduplicate

	IPv4Net, IPv6Net int // bits of src_net and dst_net
}

// Weight is what series are ranked by.
type Weight uint8

// The weights.
const (
	ByBytes   Weight = iota // scaled
	ByPackets               // scaled
	ByFlows
)

// weights are the names of the configuration.
var weights = []string{ByBytes: "bytes", ByPackets: "packets", ByFlows: "flows"}

// ParseWeight reads a name; "" is "bytes".
func ParseWeight(name string) (Weight, error) {
	if name == "" {
		return ByBytes, nil
	}
	if i := slices.Index(weights, name); i >= 0 {
		return Weight(i), nil
	}
	return 0, fmt.Errorf("expected 'bytes', 'packets' or 'flows', got %q%s", name, nffilter.Suggestion(name, weights))
}

// Options are what the roll-ups of a Set have in common.
type Options struct {
	// Internal are the networks that src_class and dst_class call internal; nil is
	// PrivateNetworks.
	Internal []netip.Prefix

	// Rank are the exporters that Deduplicate prefers, the first most.
	Rank []netip.Prefix

	// Text returns the value of a field as it stands in a tag; nil writes numbers in
	// decimal and bytes in hex. It is called by one goroutine at a time.
	Text func(r *flow.Record, f flow.Field) string
}

// Set is roll-ups that see the same flows.
type Set struct {
	mu       sync.RWMutex // held for reading while flows are added, for writing to close windows
	rollups  []*rollup
	twins    *Twins      // nil where no roll-up asks
	closing  sync.Mutex  // held while windows are closed and told of
	scratch  flow.Record // of Close
	distinct bool        // a roll-up counts addresses
	seed     uint64      // of their hashes

	textMu sync.Mutex
	text   func(r *flow.Record, f flow.Field) string
}

// rollup is one of them.
type rollup struct {
	Definition
	tags   []tag
	words  int // of a key
	filter *nffilter.Filter
	texts  texts

	mu      sync.Mutex          // held while what a feeder has gathered is added
	windows []*window           // open ones, the oldest first
	round   uint64              // how many windows were opened
	set     int                 // how often the clock was set back
	before  map[string]struct{} // keys that were told of when the last window closed, as bytes
	counts  Counts
}

// New checks the definitions. The error joins one for each option that is wrong, which
// says of which roll-up, and what was expected.
func New(definitions []Definition, o Options) (*Set, error) {
	s := &Set{text: o.Text, seed: rand.Uint64()}
	if s.text == nil {
		s.text = plainText
	}
	internal, err := newNetworks(o.Internal)
	if err != nil {
		return nil, err
	}
	known := newServices()
	var errs []error
	for i, d := range definitions {
		r, wrong := newRollup(d, internal, known)
		if slices.ContainsFunc(definitions[:i], func(b Definition) bool { return d.Name != "" && b.Name == d.Name }) {
			wrong = append(wrong, fmt.Errorf("name: expected another one than that of a roll-up before it, got %q", d.Name))
		}
		for _, err := range wrong {
			errs = append(errs, fmt.Errorf("rollup %d (%q): %w", i+1, d.Name, err))
		}
		if wrong != nil {
			continue
		}
		s.rollups, s.distinct = append(s.rollups, r), s.distinct || d.Distinct
		if d.Deduplicate == DeduplicateRank && s.twins == nil {
			s.twins = NewTwins(o.Rank)
		}
	}
	return s, errors.Join(errs...)
}

// newRollup checks a definition, and returns all that is wrong with it.
func newRollup(d Definition, internal *networks, known *services) (r *rollup, wrong []error) {
	r = &rollup{Definition: d}
	wrong = r.defaults()
	for i, name := range d.Tags {
		t, err := parseTag(name)
		if err == nil && slices.Contains(d.Tags[:i], name) {
			err = fmt.Errorf("expected each once, got %q again", name)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("tags: %w", err))
			continue
		}
		t.internal, t.known, t.at = internal, known, r.words+1
		t.bits4, t.bits6 = r.IPv4Net, r.IPv6Net
		t.mask4, t.mask6 = flow.Mask4(t.bits4), flow.Mask6(t.bits6)
		r.words += t.words()
		r.tags = append(r.tags, t)
	}
	r.words++ // which of them a flow has
	if d.Filter != "" {
		f, err := nffilter.Parse(d.Filter, nffilter.Options{Location: time.UTC, Countries: true})
		switch {
		case err != nil:
			wrong = append(wrong, filterError(d.Filter, err))
		case f.NeedsContext():
			wrong = append(wrong,
				fmt.Errorf("filter: expected one that asks for what flows on the wire have, got %q", d.Filter))
		}
		r.filter = f
	}
	if wrong == nil {
		r.texts.init(r.MaxSeries * max(1, len(r.tags)))
	}
	return r, wrong
}

// filterError returns an error of a filter in one line, as those of the configuration are.
func filterError(filter string, err error) error {
	e, ok := errors.AsType[*nffilter.Error](err)
	if !ok {
		return fmt.Errorf("filter: %w", err)
	}
	text := fmt.Sprintf("filter: %s, at %d:%d of %q", e.Message, max(e.Line, 1), max(e.Column, 1), filter)
	if e.Suggestion != "" {
		text += "; " + e.Suggestion
	}
	return errors.New(text)
}

// defaults sets the numbers of a definition that are not given, and returns what is wrong
// with the others.
func (r *rollup) defaults() (wrong []error) {
	set := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	set(&r.MaxSeries, DefaultMaxSeries)
	set(&r.IPv4Net, DefaultIPv4Net)
	set(&r.IPv6Net, DefaultIPv6Net)
	if r.Interval == 0 {
		r.Interval = DefaultInterval
	}
	expect := func(right bool, format string, args ...any) bool {
		if !right {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
		return right
	}
	control := func(c rune) bool { return c < ' ' || c == 0x7f }
	expect(r.Name != "", "name: expected that of a measurement, got none")
	expect(!strings.ContainsFunc(r.Name, control), "name: expected no control characters, got %q", r.Name)
	expect(len(r.Tags) <= maxTags, "tags: expected at most %d, got %d", maxTags, len(r.Tags))
	if expect(r.Interval >= MinInterval && r.Interval <= MaxInterval, "interval: expected %s to %s, got %q", MinInterval,
		MaxInterval, r.Interval) &&
		expect(r.Interval%time.Second == 0, "interval: expected whole seconds, got %q", r.Interval) {
		most := (maxOpen - 1) * r.Interval
		expect(r.Spread >= 0 && r.Spread <= most, "spread: expected 0s to %s, %d times the interval, got %q", most,
			maxOpen-1, r.Spread)
	}
	if expect(r.MaxSeries >= 1 && r.MaxSeries <= MostSeries, "max_series: expected 1 to %d, got %d", MostSeries,
		r.MaxSeries) {
		expect(r.Top <= r.MaxSeries, "top: expected at most max_series, %d, got %d", r.MaxSeries, r.Top)
	}
	expect(r.Top >= 0, "top: expected a number above 0, or 0 for all, got %d", r.Top)
	expect(r.IPv4Net >= 1 && r.IPv4Net <= 32, "ipv4_net: expected 1 to 32 bits, got %d", r.IPv4Net)
	expect(r.IPv6Net >= 1 && r.IPv6Net <= 128, "ipv6_net: expected 1 to 128 bits, got %d", r.IPv6Net)
	return wrong
}

// Counts are what a roll-up counts of itself, since the start.
type Counts struct {
	Name    string
	Flows   uint64 // that matched
	Late    uint64 // flows that came after their window, and are in the next
	Twins   uint64 // flows that were left out as others have told of them
	Folded  uint64 // series that are in Other, in whole or in part, each window's counted
	Evicted uint64 // of these, because there were more than MaxSeries
	Windows uint64 // that have closed with flows
	Points  uint64 // series that have been told of, each window's counted
	Series  uint64 // of the open windows
}

// Counts returns the counts of all roll-ups, in their order.
func (s *Set) Counts() []Counts {
	s.mu.RLock() // no window closes meanwhile
	defer s.mu.RUnlock()
	list := make([]Counts, 0, len(s.rollups))
	for _, r := range s.rollups {
		r.mu.Lock()
		c := r.counts
		for _, w := range r.windows {
			c.Series += uint64(w.table.Len())
		}
		r.mu.Unlock()
		c.Name = r.Name
		list = append(list, c)
	}
	return list
}
