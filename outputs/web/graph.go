package web

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// Span is a span of time: From is in it, To is not. Both are seconds since 1970.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// maxSteps bounds the points of a graph.
const maxSteps = 2000

// Graph is what the statistics of files say over time. Each list has a value for each step.
type Graph struct {
	Span
	Step    int64       `json:"step"` // seconds
	Sources []GraphLine `json:"sources"`
}

// GraphLine is one source of a Graph. Where no file that can be read covers a step, Seconds is 0 and nothing
// is known of it: a gap, not a zero.
type GraphLine struct {
	Name     string   `json:"name"`
	Seconds  []int64  `json:"seconds"` // that files cover
	Flows    []uint64 `json:"flows"`
	Packets  []uint64 `json:"packets"`
	Bytes    []uint64 `json:"bytes"`
	Failures []uint64 `json:"failures"` // of the sequence: flows or datagrams that did not come
}

// protocols are the choices of a graph: all, or a class of files' statistics.
var protocols = []string{"any", "tcp", "udp", "icmp", "other"}

// classes are how the statistics are split: all, and nffile's classes.
const numClasses = 5

// of returns the counters of a class of protocols, 0 is all.
func counters(s *nffile.Stat, class int) Counters {
	if class == 0 {
		return Counters{s.Flows, s.Packets, s.Bytes}
	}
	return Counters{s.ProtoFlows[class-1], s.ProtoPackets[class-1], s.ProtoBytes[class-1]}
}

// Counters are sums of flows.
type Counters struct {
	Flows   uint64 `json:"flows"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// addCounters adds other counters.
func (c *Counters) addCounters(o Counters) {
	c.Flows += o.Flows
	c.Packets += o.Packets
	c.Bytes += o.Bytes
}

// covered returns how many seconds a file is about; one that is being written up to when
// it was changed.
func (s *Source) covered(f *slotFile) int64 {
	if f.open {
		return min(max(f.mod/1e9-f.start, 1), s.Interval)
	}
	return s.Interval
}

// in returns the files whose slots begin in a span.
func (s *Source) in(span Span) []slotFile {
	from, _ := slices.BinarySearchFunc(s.files, span.From, bySlotStart)
	to, _ := slices.BinarySearchFunc(s.files, span.To, bySlotStart)
	return s.files[from:max(from, to)]
}

// bySlotStart compares a file with a time.
func bySlotStart(f slotFile, t int64) int {
	switch {
	case f.start < t:
		return -1
	case f.start > t:
		return 1
	}
	return 0
}

// graph draws sources for a class of protocols. The step is made such that there are no
// more than so many, and no smaller than the interval of the files.
func graph(sources []*Source, span Span, points, class int) Graph {
	step := stepOf(sources, span, points)
	g := Graph{Span: span, Step: step, Sources: []GraphLine{}}
	n := int((span.To - span.From + step - 1) / step)
	for _, s := range sources {
		l := GraphLine{Name: s.Name, Seconds: make([]int64, n), Flows: make([]uint64, n), Packets: make([]uint64, n),
			Bytes: make([]uint64, n), Failures: make([]uint64, n)}
		files, covered := s.in(span), int64(-1) // the slot that is counted
		for i := range files {
			f := &files[i]
			if f.err != nil {
				continue // a gap
			}
			at := (f.start - span.From) / step
			c := counters(&f.stat, class)
			l.Flows[at] += c.Flows
			l.Packets[at] += c.Packets
			l.Bytes[at] += c.Bytes
			l.Failures[at] += f.stat.SequenceFailures
			if f.start != covered {
				covered = f.start
				l.Seconds[at] += s.covered(f)
			}
		}
		g.Sources = append(g.Sources, l)
	}
	return g
}

// stepOf returns the length of a step, such that a span has at most so many points: a
// multiple of the longest interval of the sources.
func stepOf(sources []*Source, span Span, points int) int64 {
	interval := int64(1)
	for _, s := range sources {
		interval = max(interval, s.Interval)
	}
	points = min(max(points, 1), maxSteps)
	least := (span.To - span.From + int64(points) - 1) / int64(points)
	return max(1, (least+interval-1)/interval) * interval
}

// Table is NfSen's statistics of a span: a row for each source, and their sum.
type Table struct {
	Span
	Rows  []TableRow `json:"rows"`
	Total TableRow   `json:"total"`
}

// TableRow has the counters of one source by class of protocols: any, tcp, udp, icmp, other.
type TableRow struct {
	Name     string               `json:"name"`
	Seconds  int64                `json:"seconds"` // that files cover
	Files    int                  `json:"files"`   // that can be read
	Failures uint64               `json:"failures"`
	Counters [numClasses]Counters `json:"counters"`
}

// statistics sums the statistics of a span up.
func statistics(sources []*Source, span Span) Table {
	t := Table{Span: span, Rows: []TableRow{}, Total: TableRow{Name: "total"}}
	for _, s := range sources {
		r := TableRow{Name: s.Name}
		files, covered := s.in(span), int64(-1)
		for i := range files {
			f := &files[i]
			if f.err != nil {
				continue
			}
			if !f.gone {
				r.Files++
			}
			r.Failures += f.stat.SequenceFailures
			if f.start != covered {
				covered = f.start
				r.Seconds += s.covered(f)
			}
			for class := range r.Counters {
				r.Counters[class].addCounters(counters(&f.stat, class))
			}
		}
		t.Total.Files += r.Files
		t.Total.Failures += r.Failures
		t.Total.Seconds = max(t.Total.Seconds, r.Seconds)
		for class := range r.Counters {
			t.Total.Counters[class].addCounters(r.Counters[class])
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

// peak returns the slot of a span in which the sources together have the most of a unit,
// false when there is none.
func peak(sources []*Source, span Span, class int, unit string) (int64, bool) {
	sums := map[int64]uint64{}
	for _, s := range sources {
		files := s.in(span)
		for i := range files {
			if files[i].err != nil {
				continue
			}
			c := counters(&files[i].stat, class)
			sums[files[i].start] += c.of(unit)
		}
	}
	best, found := int64(0), false
	for at, v := range sums {
		if !found || v > sums[best] || v == sums[best] && at < best {
			best, found = at, true
		}
	}
	return best, found
}

// of returns the counter of a unit.
func (c Counters) of(unit string) uint64 {
	switch unit {
	case "flows":
		return c.Flows
	case "packets":
		return c.Packets
	}
	return c.Bytes
}

// profileOf returns the profile that a source belongs to: the directories above its own.
func profileOf(source string) string {
	if source == "." {
		return "."
	}
	return path.Dir(source)
}

// live is NfSen's profile of all sources.
const live = "live"

// choose returns the sources of names, or all of a profile; with neither those of the first
// profile, or of the one that is called live.
func (a *Archive) choose(names []string, profile string) ([]*Source, error) {
	return chooseFrom(slices.Concat(*a.sources.Load(), *a.kept.channels.Load()), names, profile)
}

// chooseFrom chooses as choose does.
func chooseFrom(all []*Source, names []string, profile string) ([]*Source, error) {
	if len(names) > 0 {
		var list []*Source
		for _, name := range names {
			i := slices.IndexFunc(all, func(s *Source) bool { return s.Name == name })
			if i < 0 {
				return nil, fmt.Errorf("there is no source %q: expected one of %s", name, sourceNames(all))
			}
			list = append(list, all[i])
		}
		return list, nil
	}
	if profile == "" && len(all) > 0 {
		profile = profileOf(all[0].Name)
		for _, s := range all {
			if p := profileOf(s.Name); p == live || strings.HasSuffix(p, "/"+live) {
				profile = p
			}
		}
	}
	var list []*Source
	for _, s := range all {
		if profileOf(s.Name) == profile {
			list = append(list, s)
		}
	}
	if len(list) == 0 && len(all) > 0 {
		return nil, &Mistake{"profile", fmt.Errorf("there is no profile %q", profile)}
	}
	return list, nil
}

// sourceNames names sources, not too many.
func sourceNames(all []*Source) string {
	const most = 10
	var names []string
	for _, s := range all[:min(len(all), most)] {
		names = append(names, s.Name)
	}
	if len(all) > most {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
