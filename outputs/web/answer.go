package web

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/index"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/report"
)

// Cost is what a scan is expected to cost.
type Cost struct {
	Files   int     `json:"files"`
	Expired int     `json:"expired"` // files of the span that are gone: their flows cannot be read
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"` // by the speed of earlier scans
	Command string  `json:"command"` // the equal flowgraf dump
}

// Answer is the answer to a Question.
type Answer struct {
	Cost
	Done     bool         `json:"done"`    // all files have been read
	Elapsed  float64      `json:"elapsed"` // seconds
	Read     uint64       `json:"read"`    // flow records
	Matched  Counters     `json:"matched"` // of the flows that match
	Series   AnswerSeries `json:"series"`
	Rankings []Ranking    `json:"rankings"`
	Unranked Counters     `json:"unranked"` // flows for whose keys there was no memory: all is approximate then
	Problems []string     `json:"problems"` // with files
}

// AnswerSeries is the graph of an Answer. Lists have a value for each step.
type AnswerSeries struct {
	Span
	Step     int64        `json:"step"`     // seconds
	Seconds  []int64      `json:"seconds"`  // of each step that files cover; 0 is a gap
	Failures []uint64     `json:"failures"` // of the sequence, of all exporters, whatever the filter
	Keys     []string     `json:"keys"`     // what lines are of
	Lines    []AnswerLine `json:"lines"`    // the largest
	Rest     AnswerLine   `json:"rest"`
	Total    AnswerLine   `json:"total"`
	Count    int          `json:"count"` // of different keys
}

// AnswerLine is a line of a graph.
type AnswerLine struct {
	Key    []string `json:"key"`
	Counts Counters `json:"counts"`

	Flows   []uint64 `json:"flows"`
	Packets []uint64 `json:"packets"`
	Bytes   []uint64 `json:"bytes"`
}

// Ranking is one statistic in one order.
type Ranking struct {
	Stat  string       `json:"stat"`
	Title string       `json:"title"`
	Order string       `json:"order"`
	Rows  []RankingRow `json:"rows"`
}

// RankingRow has the sums of the flows with one value.
type RankingRow struct {
	Key   string `json:"key"`
	Proto string `json:"proto"` // where rows are split by it
	Counters
	InPackets  uint64  `json:"in_packets"` // of the flow's direction
	InBytes    uint64  `json:"in_bytes"`
	OutPackets uint64  `json:"out_packets"` // of the reverse
	OutBytes   uint64  `json:"out_bytes"`
	First      float64 `json:"first"` // seconds since 1970
	Last       float64 `json:"last"`
}

// asking is a question on its way to the answer.
type asking struct {
	question *Question
	files    []slotFile
	cost     Cost
	zone     *time.Location
	memory   int64
	step     int64
	begun    time.Time
}

// newAsking prepares a question.
func (a *Archive) newAsking(q *Question, speed float64, memory int64) *asking {
	k := &asking{question: q, zone: a.zone, memory: memory, step: stepOf(q.sources, q.Span, q.Points)}
	k.files, k.cost.Bytes = q.files()
	k.cost.Files, k.cost.Expired = len(k.files), q.expired
	k.cost.Seconds = float64(k.cost.Bytes) / speed
	k.cost.Command = a.command(q.sources, k.files, q.tail())
	return k
}

// input returns what is scanned.
func (k *asking) input(progress func(done, total int64)) query.Input {
	in := query.Input{Filter: k.question.filter, Memory: k.memory, Progress: progress}
	for i := range k.files {
		in.Files = append(in.Files, k.files[i].path)
	}
	if guide := index.NewGuide(in.Filter, 0, 0, nil); guide != nil {
		in.Omit = guide.Omit
	}
	return in
}

// scanFiles scans, and calls partial with what has been found so far.
func (k *asking) scanFiles(ctx context.Context, progress func(done, total int64), partial func(*Answer)) *Answer {
	k.begun = time.Now()
	slots := map[string]int64{}
	for i := range k.files {
		slots[k.files[i].path] = (k.files[i].start - k.question.From) / k.step
	}
	q := k.question
	view := query.View{
		Stats: q.stats, N: q.Top,
		Series: []query.Series{{Aggregation: q.aggregation, Lines: q.Lines, By: q.order(), Peak: q.Peak,
			Slot: func(path string) int64 { return slots[path] }}},
		Every: partialEvery,
	}
	if partial != nil {
		view.Partial = func(v *query.Viewed) { partial(k.answer(v)) }
	}
	v, err := k.input(progress).View(ctx, view)
	answer := k.answer(v)
	answer.Done = ctx.Err() == nil
	answer.Problems = k.problems(err)
	return answer
}

// partialEvery is how often what has been found so far is told.
const partialEvery = time.Second

// problems returns the lines of an error, without those of an end that was asked for, and without
// those of a file that was being written and has got its name since: a change of the archive
// tells of that, and the next answer has it.
func (k *asking) problems(err error) []string {
	list := []string{}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range all.Unwrap() {
			list = append(list, k.problems(one)...)
		}
		return list
	}
	var at *fs.PathError
	if errors.As(err, &at) && errors.Is(err, fs.ErrNotExist) &&
		slices.ContainsFunc(k.files, func(f slotFile) bool { return f.open && f.path == at.Path }) {
		return list
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return list
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return append(list, "the time for a scan is over: what is shown is of the files read until then")
	}
	return append(list, strings.Split(err.Error(), "\n")...)
}

// answer makes an Answer of what has been found.
func (k *asking) answer(v *query.Viewed) *Answer {
	t := &v.Totals
	a := &Answer{
		Cost: k.cost, Elapsed: time.Since(k.begun).Seconds(), Read: t.Read,
		Matched:  Counters{t.Flows, t.Packets, t.Bytes},
		Unranked: Counters{t.Rest.Flows, t.Rest.Packets, t.Rest.Bytes},
		Rankings: []Ranking{}, Problems: []string{},
	}
	a.Series = k.series(&v.Series[0])
	for i := range v.Tables {
		a.Rankings = append(a.Rankings, ranking(&v.Tables[i]))
	}
	return a
}

// ranking makes a Ranking of a table.
func ranking(t *query.Table) Ranking {
	r := Ranking{Stat: t.Stat.Element.String(), Title: strings.TrimSpace(t.Stat.Element.Title()),
		Order: t.Order.String(), Rows: []RankingRow{}}
	for i := range t.Rows {
		row := &t.Rows[i]
		value, proto := report.ValueText(t.Stat.Element, row.Key)
		r.Rows = append(r.Rows, RankingRow{
			Key: value, Proto: proto,
			Counters:  Counters{row.Flows, row.InPackets + row.OutPackets, row.InBytes + row.OutBytes},
			InPackets: row.InPackets, InBytes: row.InBytes, OutPackets: row.OutPackets, OutBytes: row.OutBytes,
			First: float64(row.First) / 1000, Last: float64(row.Last) / 1000,
		})
	}
	return r
}

// series makes the graph.
func (k *asking) series(r *query.SeriesResult) AnswerSeries {
	q := k.question
	n := int((q.To - q.From + k.step - 1) / k.step)
	s := AnswerSeries{Span: q.Span, Step: k.step, Seconds: make([]int64, n), Failures: make([]uint64, n),
		Keys: []string{}, Lines: []AnswerLine{}, Count: r.Keys}
	g := graph(q.sources, q.Span, q.Points, 0)
	for i := range g.Sources {
		k.stretch(q.sources[i], &g.Sources[i])
		for at, seconds := range g.Sources[i].Seconds {
			s.Seconds[at] = max(s.Seconds[at], seconds)
			s.Failures[at] += g.Sources[i].Failures[at]
		}
	}
	tags := tagsOf(&q.aggregation)
	for i := range q.aggregation.Keys {
		s.Keys = append(s.Keys, q.aggregation.Keys[i].Name)
	}
	for i := range r.Lines {
		l := answerLine(&r.Lines[i], n)
		if len(tags) > 0 {
			l.Key = keyText(&r.Lines[i].Flow, tags, k.zone)
			s.Lines = append(s.Lines, l)
		}
	}
	s.Rest, s.Total = answerLine(&r.Rest, n), answerLine(&r.Total, n)
	if len(tags) == 0 {
		s.Rest = answerLine(&query.Line{}, n)
	}
	return s
}

// stretch gives a line the seconds of files that are being written as they are now: the scan has
// read what was written since the archive was looked at, and over fewer seconds its rate would
// be too high.
func (k *asking) stretch(s *Source, l *GraphLine) {
	for _, f := range s.in(k.question.Span) {
		if !f.open || f.err != nil {
			continue
		}
		before := s.covered(&f)
		if info, err := os.Stat(f.path); err == nil {
			f.mod = max(f.mod, info.ModTime().UnixNano())
		} else {
			f.mod = (f.start + s.Interval) * 1e9 // it is complete, and has got its name
		}
		l.Seconds[(f.start-k.question.From)/k.step] += s.covered(&f) - before
	}
}

// answerLine puts the sums of a line into their steps.
func answerLine(l *query.Line, n int) AnswerLine {
	a := AnswerLine{Key: []string{}, Counts: Counters{l.Flows, l.Packets, l.Bytes}, Flows: make([]uint64, n),
		Packets: make([]uint64, n), Bytes: make([]uint64, n)}
	for _, s := range l.Slots {
		if s.Slot >= 0 && s.Slot < int64(n) {
			a.Flows[s.Slot], a.Packets[s.Slot], a.Bytes[s.Slot] = s.Flows, s.Packets, s.Bytes
		}
	}
	return a
}

// tagsOf returns the tags of an aggregation's keys, each once.
func tagsOf(a *query.Aggregation) string {
	var tags []string
	for i := range a.Keys {
		tags = append(tags, a.Keys[i].Tag)
	}
	return strings.Join(tags, ",")
}

// keyText returns the values of keys as the formats of dump print them.
func keyText(f *query.Flow, tags string, zone *time.Location) []string {
	var b bytes.Buffer
	p, err := report.Open(&b, "csv:"+tags, report.Options{Location: zone, Quiet: true})
	if err == nil {
		err = errors.Join(p.Flow(f), p.End(&query.Totals{}, report.Usage{}))
	}
	if err != nil {
		return []string{err.Error()}
	}
	row, err := csv.NewReader(&b).Read()
	if err != nil {
		return []string{err.Error()}
	}
	return row
}
