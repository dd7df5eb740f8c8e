package web

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// Question is what is asked about the flows of an archive: a graph over time, and rankings.
type Question struct {
	Span
	sources []*Source
	expired int // files of the span that are gone
	filter  *nffilter.Filter
	Filter  string   // as it was typed
	By      string   // keys of the lines of the graph, as in srcip,dstport; "" is one line
	Lines   int      // of the graph, at most
	Unit    string   // what the largest are found by: bytes, packets or flows
	Peak    bool     // by the largest step, not by the sum
	Points  int      // of the graph, at most
	Stats   []string // rankings, as nfdump's -s has them
	Top     int      // rows of each

	aggregation query.Aggregation
	stats       []query.Stat
}

// The bounds of a question.
const (
	maxFilter  = 64 << 10 // bytes
	maxLines   = 100
	maxTop     = 1000
	maxStats   = 12
	usualLines = 10
	usualTop   = 10
	usualSteps = 300
)

// Mistake is what is wrong with a request: of its field, "" when it is of none.
type Mistake struct {
	Field string
	Err   error
}

// Error says which field is wrong, and how.
func (m *Mistake) Error() string {
	text := m.Err.Error()
	if m.Field == "" || strings.HasPrefix(text, m.Field+": ") { // as nffilter's errors begin
		return text
	}
	return m.Field + ": " + text
}

// Unwrap returns the error.
func (m *Mistake) Unwrap() error { return m.Err }

// values reads the fields of a request; the first mistake is kept.
type values struct {
	url.Values
	err error
}

// fail keeps a mistake; one that names its field already is kept as it is.
func (v *values) fail(field string, err error) {
	if v.err != nil || err == nil {
		return
	}
	if v.err = err; !errors.As(err, new(*Mistake)) {
		v.err = &Mistake{field, err}
	}
}

// only says which fields there are.
func (v *values) only(fields ...string) {
	for field := range v.Values {
		if !slices.Contains(fields, field) {
			v.fail(field, fmt.Errorf("there is no such field: expected some of %s", strings.Join(fields, ", ")))
		}
	}
}

// number reads a number from least to most, usual when there is none.
func (v *values) number(field string, usual, least, most int64) int64 {
	text := v.Get(field)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		v.fail(field, fmt.Errorf("%q: expected a number from %d to %d", text, least, most))
		return usual
	}
	return n
}

// choice reads one of several words, of which the first is the usual one.
func (v *values) choice(field string, words ...string) string {
	text := v.Get(field)
	if text == "" {
		return words[0]
	}
	if !slices.Contains(words, text) {
		v.fail(field, fmt.Errorf("%q: expected one of %s", text, strings.Join(words, ", ")))
		return words[0]
	}
	return text
}

// maxTime is the end of the year 9999, in seconds since 1970.
const maxTime = 253402300799

// span reads from and to; the last day when there are none.
func (v *values) span(now time.Time) Span {
	to := v.number("to", now.Unix()+1, 1, maxTime)
	from := v.number("from", to-86400, 0, maxTime)
	if from >= to {
		v.fail("from", fmt.Errorf("%d: expected a time before %d, the end", from, to))
	}
	return Span{from, to}
}

// filterOf reads a filter; nil is all flows. Names are not looked up, no file is read.
func (a *Archive) filterOf(text string) (*nffilter.Filter, error) {
	if len(text) > maxFilter {
		return nil, fmt.Errorf("a filter of %d bytes: expected at most %d", len(text), maxFilter)
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	return nffilter.Parse(text, nffilter.Options{Location: a.zone})
}

// questionFields are the fields of a Question.
var questionFields = []string{"from", "to", "source", "profile", "filter", "by", "lines", "unit", "peak", "points",
	"stat", "top"}

// question reads a Question.
func (a *Archive) question(form url.Values, now time.Time) (*Question, error) {
	v := &values{Values: form}
	v.only(questionFields...)
	q := &Question{
		Span: v.span(now), Filter: v.Get("filter"), By: v.Get("by"),
		Unit:   v.choice("unit", "bytes", "packets", "flows"),
		Lines:  int(v.number("lines", usualLines, 1, maxLines)),
		Peak:   v.choice("peak", "false", "true") == "true",
		Points: int(v.number("points", usualSteps, 1, maxSteps)),
		Top:    int(v.number("top", usualTop, 1, maxTop)),
		Stats:  form["stat"],
	}
	var err error
	q.sources, err = a.choose(form["source"], v.Get("profile"))
	v.fail("source", err)
	_, err = a.filterOf(q.Filter) // its mistakes are where the user has typed them
	v.fail("filter", err)
	q.sources, q.Filter, err = a.behind(q.sources, q.Filter)
	q.sources, q.expired = present(q.sources, q.Span)
	v.fail("source", err)
	q.filter, err = a.filterOf(q.Filter)
	v.fail("filter", err)
	if q.By != "" {
		q.aggregation, err = aggregationOf(q.By)
		v.fail("by", err)
	}
	if len(q.Stats) > maxStats {
		v.fail("stat", fmt.Errorf("%d of them: expected at most %d", len(q.Stats), maxStats))
	}
	for _, text := range q.Stats[:min(len(q.Stats), maxStats)] {
		stat, err := query.ParseStat(text)
		if err == nil && stat.Element == query.Record {
			err = errors.New("record is asked for by the list of flows, with keys")
		}
		if err == nil && stat.Element.Kind() == query.KindCountry {
			err = errNoCountries
		}
		v.fail("stat", err)
		q.stats = append(q.stats, stat)
	}
	return q, v.err
}

// errNoCountries refuses what would be counted by countries.
var errNoCountries = errors.New("the countries of addresses are not known here: expected another key")

// aggregationOf reads the keys of rows.
func aggregationOf(text string) (query.Aggregation, error) {
	a, err := query.ParseAggregation(text)
	if err == nil && a.NeedsCountries() {
		err = errNoCountries
	}
	return a, err
}

// present returns sources without the files that have expired, and how many of these are of a span:
// the flows of those that are there can be read.
func present(sources []*Source, span Span) (list []*Source, expired int) {
	for _, s := range sources {
		if slices.ContainsFunc(s.files, func(f slotFile) bool { return f.gone }) {
			for _, f := range s.in(span) {
				if f.gone {
					expired++
				}
			}
			rest := *s
			rest.files = slices.DeleteFunc(slices.Clone(s.files), func(f slotFile) bool { return f.gone })
			s = &rest
		}
		list = append(list, s)
	}
	return list, expired
}

// files returns the files of the question, in the order of their slots, and their size.
func (q *Question) files() (files []slotFile, bytes int64) {
	for _, s := range q.sources {
		files = append(files, s.in(q.Span)...)
	}
	slices.SortStableFunc(files, func(a, b slotFile) int { return bySlotStart(a, b.start) })
	for i := range files {
		bytes += files[i].size
	}
	return files, bytes
}

// order returns what lines are compared by.
func (q *Question) order() query.Order {
	switch q.Unit {
	case "flows":
		return query.ByFlows
	case "packets":
		return query.ByPackets
	}
	return query.ByBytes
}

// key is what is equal of equal questions: fields and files, as they are.
func (q *Question) key(files []slotFile) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d %q %q %d %q %v %d %q %d\n", q.From, q.To, q.Filter, q.By, q.Lines, q.Unit, q.Peak, q.Points,
		q.Stats, q.Top)
	for i := range files {
		fmt.Fprintf(&b, "%s %d %d\n", files[i].path, files[i].size, files[i].mod)
	}
	return b.String()
}
