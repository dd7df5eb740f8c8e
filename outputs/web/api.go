package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/report"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// packed are the assets that have been asked for, compressed: of all servers, as the assets are.
var packed sync.Map // name to []byte

// pack compresses an asset, once.
func pack(name string, data []byte) []byte {
	if p, ok := packed.Load(name); ok {
		return p.([]byte)
	}
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is one
	w.Write(data)                                         // a buffer takes all
	w.Close()
	packed.Store(name, b.Bytes())
	return b.Bytes()
}

// Status is what the page asks for first.
type Status struct {
	Version  string  `json:"version"`
	Archive  string  `json:"archive"`
	Zone     string  `json:"zone"`   // of the archive
	Offset   int     `json:"offset"` // of the zone from UTC now, seconds
	Now      float64 `json:"now"`
	Login    bool    `json:"login"` // users have to log in
	User     string  `json:"user"`
	Known    bool    `json:"known"`   // this user may read
	Ready    bool    `json:"ready"`   // all files have been found, and what they have is known
	Found    int64   `json:"found"`   // files so far
	Reading  int64   `json:"reading"` // files whose statistics are still to be read
	ToRead   int64   `json:"toread"`  // and how many there were at first
	Serial   uint64  `json:"serial"`  // of changes of the archive
	Problem  string  `json:"problem"` // what of the archive cannot be read
	Unread   int     `json:"unread"`  // complete files that cannot be read
	Names    bool    `json:"names"`   // names of addresses can be asked for, of the inventory or the DNS
	Profiles bool    `json:"profiles"`
	Relay    bool    `json:"relay"`  // alerts and mails of a relay are shown
	Rights   []Right `json:"rights"` // of this user, besides looking
}

// getStatus tells what is served; strangers learn only that they have to log in.
func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	user, known := s.guard.user(r)
	st := Status{Login: len(s.opt.Access.Users) > 0, User: user, Known: known, Rights: s.allRights(r)}
	if !known {
		return give(w, st)
	}
	a := s.archive
	now := time.Now()
	st.Version, st.Archive, st.Zone, st.Now = s.opt.Version, a.root, zoneName(a.zone), float64(now.UnixMilli())/1000
	_, st.Offset = now.In(a.zone).Zone()
	st.Ready, st.Reading, st.Serial = a.ready.Load(), a.reading.Load(), a.serial.Load()
	st.Found, st.ToRead = a.found.Load(), a.toRead.Load()
	st.Names, st.Profiles = s.opt.Names || s.opt.Inventory != "", s.opt.Profiles != ""
	st.Relay = s.opt.Spool != ""
	st.Problem, st.Unread = a.problems()
	return give(w, st)
}

// zoneName returns the name of a zone as browsers know it; where the local one has none here
// they go by its distance from UTC.
func zoneName(zone *time.Location) string {
	if zone != time.Local {
		return zone.String()
	}
	if name := os.Getenv("TZ"); name != "" {
		if _, err := time.LoadLocation(name); err == nil {
			return name
		}
	}
	target, err := os.Readlink("/etc/localtime")
	if _, name, ok := strings.Cut(target, "zoneinfo/"); err == nil && ok {
		return name
	}
	return zone.String()
}

// getOpenAPI serves the description of the API.
func (s *Server) getOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	data, err := embedded.ReadFile("openapi.json")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(data)
	return ignoreGone(err)
}

// SourceInfo is what there is of a source.
type SourceInfo struct {
	Name     string `json:"name"`
	Profile  string `json:"profile"`
	Channel  bool   `json:"channel"` // of a profile that was made in the page: its files are those of others
	Interval int64  `json:"interval"`
	Files    int    `json:"files"`
	Expired  int    `json:"expired"` // files that are gone, whose statistics are kept
	Bytes    int64  `json:"bytes"`
	First    int64  `json:"first"`   // start of the first file
	Last     int64  `json:"last"`    // start of the newest file
	Changed  int64  `json:"changed"` // when the newest file was written to last
	Flows    uint64 `json:"flows"`
	Failures uint64 `json:"failures"`
}

// getSources lists the sources.
func (s *Server) getSources(w http.ResponseWriter, _ *http.Request) error {
	list := []SourceInfo{}
	for _, src := range slices.Concat(*s.archive.sources.Load(), *s.archive.kept.channels.Load()) {
		info := SourceInfo{Name: src.Name, Profile: profileOf(src.Name), Interval: src.Interval,
			Channel: src.channel != nil}
		for i := range src.files {
			f := &src.files[i]
			if f.gone {
				info.Expired++
				continue
			}
			if info.Files++; info.Files == 1 {
				info.First = f.start
			}
			info.Bytes += f.size
			info.Flows += f.stat.Flows
			info.Failures += f.stat.SequenceFailures
			info.Changed = max(info.Changed, f.mod/1e9)
		}
		if len(src.files) > 0 { // else none of a channel has been read yet
			info.Last = src.files[len(src.files)-1].start
		}
		list = append(list, info)
	}
	return give(w, list)
}

// asked reads what all requests about files' statistics have.
func (s *Server) asked(r *http.Request, more ...string) (*values, []*Source, Span, int, error) {
	v := &values{Values: r.URL.Query()}
	v.only(append([]string{"from", "to", "source", "profile", "protocol"}, more...)...)
	span := v.span(time.Now())
	sources, err := s.archive.choose(v.Values["source"], v.Get("profile"))
	v.fail("source", err)
	return v, sources, span, slices.Index(protocols, v.choice("protocol", protocols...)), v.err
}

// getGraph draws the statistics of files.
func (s *Server) getGraph(w http.ResponseWriter, r *http.Request) error {
	v, sources, span, class, err := s.asked(r, "points")
	points := v.number("points", usualSteps, 1, maxSteps)
	if err = errors.Join(err, v.err); err != nil {
		return v.err
	}
	return give(w, graph(sources, span, int(points), class))
}

// getStatistics sums the statistics of files up.
func (s *Server) getStatistics(w http.ResponseWriter, r *http.Request) error {
	_, sources, span, _, err := s.asked(r)
	if err != nil {
		return err
	}
	return give(w, statistics(sources, span))
}

// Slot is a slot of files.
type Slot struct {
	Span
	Found bool `json:"found"`
}

// getPeak finds the slot with the most.
func (s *Server) getPeak(w http.ResponseWriter, r *http.Request) error {
	v, sources, span, class, err := s.asked(r, "unit")
	unit := v.choice("unit", "bytes", "packets", "flows")
	if err = errors.Join(err, v.err); err != nil {
		return v.err
	}
	at, found := peak(sources, span, class, unit)
	return give(w, Slot{Span{at, at + stepOf(sources, Span{at, at + 1}, 1)}, found})
}

// getCost says what a query would cost.
func (s *Server) getCost(w http.ResponseWriter, r *http.Request) error {
	q, err := s.archive.question(r.URL.Query(), time.Now())
	if err != nil {
		return err
	}
	speed, _ := s.scans.state()
	return give(w, s.archive.newAsking(q, speed, s.opt.Memory).cost)
}

// getQuery answers a Question: at once, or with the events cost, progress, partial and
// answer where the client takes these.
func (s *Server) getQuery(w http.ResponseWriter, r *http.Request) error {
	q, err := s.archive.question(r.URL.Query(), time.Now())
	if err != nil {
		return err
	}
	speed, _ := s.scans.state()
	asking := s.archive.newAsking(q, speed, s.opt.Memory)
	key := q.key(asking.files)
	scan := s.scans.join(key, func(ctx context.Context, scan *scan) *Answer {
		return asking.scanFiles(ctx, scan.progress, scan.set)
	})
	defer s.scans.drop(key, scan)
	if r.Header.Get("Accept") == "text/event-stream" {
		return s.stream(w, r, asking.cost, scan)
	}
	controller := http.NewResponseController(w)
	controller.SetWriteDeadline(time.Now().Add(s.opt.Timeout + writeTimeout))
	select {
	case <-scan.ended:
	case <-r.Context().Done():
		return nil
	}
	_, _, answer, _, err := scan.look()
	if err != nil {
		return err
	}
	return give(w, answer)
}

// events writes server-sent events.
type events struct {
	w          http.ResponseWriter
	controller *http.ResponseController
}

// newEvents begins a stream of events.
func newEvents(w http.ResponseWriter) *events {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	return &events{w, http.NewResponseController(w)}
}

// send sends an event.
func (e *events) send(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	e.controller.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprintf(e.w, "event: %s\ndata: %s\n\n", name, data); err != nil {
		return err
	}
	return e.controller.Flush()
}

// progressEvery is how often the progress of a scan is told.
const progressEvery = 200 * time.Millisecond

// Progress is how far a scan is.
type Progress struct {
	Done  int64 `json:"done"` // bytes
	Total int64 `json:"total"`
}

// stream sends the events of a scan, until it has ended or the client has gone.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, cost Cost, scan *scan) error {
	e := newEvents(w)
	if e.send("cost", cost) != nil {
		return nil
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	sent := 0
	for {
		ended := false
		select {
		case <-r.Context().Done():
			return nil
		case <-scan.ended:
			ended = true
		case <-tick.C:
		}
		done, total, answer, number, err := scan.look()
		switch {
		case ended && err != nil:
			err = e.send("failure", failureOf(err))
		case ended:
			err = e.send("answer", answer)
		case number > sent && answer != nil:
			sent = number
			err = e.send("partial", answer)
		default:
			err = e.send("progress", Progress{done, total})
		}
		if ended || err != nil {
			return nil // who is gone is told nothing
		}
	}
}

// getFlows lists a page of flows.
func (s *Server) getFlows(w http.ResponseWriter, r *http.Request) error {
	l, err := s.archive.list(r.URL.Query(), time.Now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opt.Timeout)
	defer cancel()
	if err := s.scans.waitForPlace(ctx); err != nil {
		return err
	}
	defer s.scans.leave()
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opt.Timeout + writeTimeout))
	page, err := l.page(ctx, s.archive.listed(l, s.opt.Memory))
	if err != nil {
		return err
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	return give(w, page)
}

// patient is a writer that gives its reader time anew with each write.
type patient struct {
	io.Writer
	controller *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	p.controller.SetWriteDeadline(time.Now().Add(writeTimeout))
	return p.Writer.Write(b)
}

// getDownload writes all flows of a list as a file.
func (s *Server) getDownload(w http.ResponseWriter, r *http.Request) error {
	form := r.URL.Query()
	l, err := s.archive.list(form, time.Now())
	if err != nil {
		return err
	}
	v := &values{Values: form}
	format := v.choice("format", "csv", "json", "ndjson", "parquet")
	if v.err != nil {
		return v.err
	}
	if err := s.scans.waitForPlace(r.Context()); err != nil {
		return err
	}
	defer s.scans.leave()
	d := downloads[format]
	w.Header().Set("Content-Type", d.kind)
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="flows-%d-%d.%s"`, l.From, l.To, d.ending))
	out := patient{w, http.NewResponseController(w)}
	if err := l.download(r.Context(), s.archive.listed(l, s.opt.Memory), out, format); err != nil {
		s.opt.Logf("download: %v", err)
		if r.Context().Err() == nil {
			panic(http.ErrAbortHandler) // the file is not whole, and must not look so
		}
	}
	return nil
}

// FilterResult says what a filter is, or what is wrong with it and where.
type FilterResult struct {
	OK         bool     `json:"ok"`
	Message    string   `json:"message,omitempty"`
	Suggestion string   `json:"suggestion,omitempty"`
	Line       int      `json:"line,omitempty"`   // from 1
	Column     int      `json:"column,omitempty"` // from 1, in characters
	Width      int      `json:"width,omitempty"`
	Hints      []string `json:"hints,omitempty"`   // what nfdump does otherwise
	Explain    string   `json:"explain,omitempty"` // how it is understood
}

// filterResult makes a FilterResult.
func filterResult(f *nffilter.Filter, err error) *FilterResult {
	var e *nffilter.Error
	switch {
	case errors.As(err, &e):
		return &FilterResult{Message: e.Message, Suggestion: e.Suggestion, Line: e.Line, Column: e.Column,
			Width: e.Width}
	case err != nil:
		return &FilterResult{Message: err.Error()}
	case f == nil:
		return &FilterResult{OK: true, Explain: "any\n"}
	}
	return &FilterResult{OK: true, Hints: f.Hints(), Explain: f.Explain()}
}

// getFilter checks a filter.
func (s *Server) getFilter(w http.ResponseWriter, r *http.Request) error {
	v := &values{Values: r.URL.Query()}
	if v.only("filter"); v.err != nil {
		return v.err
	}
	return give(w, filterResult(s.archive.filterOf(v.Get("filter"))))
}

// Completions are the words that may stand at the end of a filter.
type Completions struct {
	From  int                   `json:"from"` // where the word begins that they replace, in bytes
	Words []nffilter.Completion `json:"words"`
}

// getComplete completes a filter.
func (s *Server) getComplete(w http.ResponseWriter, r *http.Request) error {
	v := &values{Values: r.URL.Query()}
	if v.only("filter"); v.err != nil {
		return v.err
	}
	text := v.Get("filter")
	if len(text) > maxFilter {
		return &Mistake{"filter", fmt.Errorf("%d bytes: expected at most %d", len(text), maxFilter)}
	}
	words, from := nffilter.Complete(text)
	if words == nil {
		words = []nffilter.Completion{}
	}
	return give(w, Completions{from, words})
}

// Words are what questions can be made of.
type Words struct {
	Keys     []string         `json:"keys"`     // of lines and rows
	Elements []string         `json:"elements"` // of rankings
	Columns  []report.TagInfo `json:"columns"`  // of lists
	Usual    []string         `json:"usual"`    // of them, the usual ones
}

// getWords lists what questions can be made of.
func (s *Server) getWords(w http.ResponseWriter, _ *http.Request) error {
	ofCountries := func(name string) bool { return strings.HasSuffix(name, "geo") } // see errNoCountries
	return give(w, Words{slices.DeleteFunc(query.AggregationKeys(), ofCountries),
		slices.DeleteFunc(query.Elements(), ofCountries), report.Tags(), usualColumns})
}

// Exporters is what the newest files tell of exporters.
type Exporters struct {
	Exporters []ExporterInfo `json:"exporters"`
	Problems  []string       `json:"problems"`
}

// getExporters lists the exporters.
func (s *Server) getExporters(w http.ResponseWriter, r *http.Request) error {
	v := &values{Values: r.URL.Query()}
	v.only("source", "profile")
	sources, err := s.archive.choose(v.Values["source"], v.Get("profile"))
	if v.fail("source", err); v.err != nil {
		return v.err
	}
	if err := s.scans.waitForPlace(r.Context()); err != nil {
		return err
	}
	defer s.scans.leave()
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opt.Timeout))
	list, problems := s.archive.exporters(r.Context(), &s.exporters, sources)
	list, more := s.tellMore(list)
	return give(w, Exporters{list, append(problems, more...)})
}

// beatEvery is how often a stream without news says that it lives.
const beatEvery = 15 * time.Second

// getEvents tells of each change of the archive.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	e := newEvents(w)
	last := ^uint64(0)
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		changed, serial := s.archive.Changed()
		name := "beat"
		if serial != last {
			name, last = "change", serial
		}
		if e.send(name, map[string]uint64{"serial": serial}) != nil {
			return nil
		}
		if _, ok := s.guard.user(r); !ok {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-changed:
		case <-beat.C:
		}
	}
}
