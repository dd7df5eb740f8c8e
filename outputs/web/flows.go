package web

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/report"
)

// List asks for single flows, or for rows of flows that have something in common.
type List struct {
	Question
	Offset, Limit int
	Sort          string   // as dump's -O; "" is the order of the files
	Bidirectional bool     // -b: both directions of a connection in one row
	Columns       []string // tags, as in %sa
	UTC           bool     // times are in UTC, not in the collector's zone

	listing query.Listing
}

// The bounds of a list.
const (
	maxOffset  = 1_000_000
	maxLimit   = 10_000
	usualLimit = 100
	maxColumns = 40
)

// usualColumns are those of a list of flows.
var usualColumns = []string{"%ts", "%td", "%pr", "%sa", "%sp", "%da", "%dp", "%flg", "%tos", "%in", "%out", "%pkt",
	"%byt", "%fl"}

// listFields are the fields of a List.
var listFields = []string{"from", "to", "source", "profile", "filter", "by", "offset", "limit", "sort", "both",
	"column", "format", "zone"}

// list reads a List.
func (a *Archive) list(form url.Values, now time.Time) (*List, error) {
	v := &values{Values: form}
	v.only(listFields...)
	l := &List{
		Question: Question{Span: v.span(now), Filter: v.Get("filter"), By: v.Get("by")},
		Offset:   int(v.number("offset", 0, 0, maxOffset)), Limit: int(v.number("limit", usualLimit, 1, maxLimit)),
		Sort: v.Get("sort"), Bidirectional: v.choice("both", "false", "true") == "true", Columns: form["column"],
		UTC: v.choice("zone", "collector", "utc") == "utc",
	}
	var err error
	l.sources, err = a.choose(form["source"], v.Get("profile"))
	v.fail("source", err)
	_, err = a.filterOf(l.Filter) // its mistakes are where the user has typed them
	v.fail("filter", err)
	l.sources, l.Filter, err = a.behind(l.sources, l.Filter)
	v.fail("source", err)
	l.filter, err = a.filterOf(l.Filter)
	v.fail("filter", err)
	switch {
	case l.Bidirectional:
		l.listing.Aggregation = query.Connections()
		l.listing.Aggregation.Bidirectional = true
	case l.By != "":
		l.listing.Aggregation, err = aggregationOf(l.By)
		v.fail("by", err)
	}
	if l.Sort != "" {
		sort, err := query.ParseSort(l.Sort)
		v.fail("sort", err)
		l.listing.Sort = &sort
	}
	v.fail("column", l.chooseColumns())
	return l, v.err
}

// chooseColumns checks the columns, or takes the usual ones.
func (l *List) chooseColumns() error {
	switch {
	case len(l.Columns) > maxColumns:
		return fmt.Errorf("%d of them: expected at most %d", len(l.Columns), maxColumns)
	case len(l.Columns) > 0:
	case l.By != "" && !l.Bidirectional:
		l.Columns = append(strings.Split(tagsOf(&l.listing.Aggregation), ","), "%ts", "%td", "%pkt", "%byt", "%fl")
	case l.Bidirectional:
		l.Columns = []string{"%ts", "%td", "%pr", "%sa", "%sp", "%da", "%dp", "%flg", "%opkt", "%ipkt", "%obyt",
			"%ibyt", "%fl"}
	default:
		l.Columns = usualColumns
	}
	for _, c := range l.Columns {
		if strings.Trim(c, "abcdefghijklmnopqrstuvwxyz0123456789") != "%" {
			return fmt.Errorf("%q: expected a tag, as in %%sa", c)
		}
	}
	_, err := report.Open(io.Discard, l.format(), report.Options{})
	return err
}

// format is that of the rows.
func (l *List) format() string { return "csv:" + strings.Join(l.Columns, ",") }

// tail returns the options of dump for the list.
func (l *List) tail() []string {
	var words []string
	switch {
	case l.Bidirectional:
		words = append(words, "-b")
	case l.By != "":
		words = append(words, "-A", l.By)
	}
	if l.Sort != "" {
		words = append(words, "-O", l.Sort)
	}
	if l.Sort != "" || l.rows() {
		words = append(words, "-n", fmt.Sprint(l.Offset+l.Limit))
	} else {
		words = append(words, "-c", fmt.Sprint(l.Offset+l.Limit))
	}
	if strings.TrimSpace(l.Filter) != "" {
		words = append(words, l.Filter)
	}
	return words
}

// rows says whether flows are summed up.
func (l *List) rows() bool { return len(l.listing.Aggregation.Keys) > 0 }

// Page is a page of a List.
type Page struct {
	Cost
	Columns  []string   `json:"columns"`  // tags
	Headings []string   `json:"headings"` // of the columns
	Rows     [][]string `json:"rows"`
	Offset   int        `json:"offset"`
	More     bool       `json:"more"` // there are rows behind these
	Elapsed  float64    `json:"elapsed"`
	Problems []string   `json:"problems"`
}

// listed prepares the scan of a list.
func (a *Archive) listed(l *List, memory int64) *asking {
	k := &asking{question: &l.Question, zone: a.zone, memory: memory}
	k.files, k.cost.Bytes = l.files()
	k.cost.Files = len(k.files)
	k.cost.Command = a.command(l.sources, k.files, l.tail())
	if l.UTC {
		k.zone = time.UTC
	}
	return k
}

// hand calls fn for the flows or rows, the first n, 0 is all.
func (l *List) hand(ctx context.Context, in query.Input, n int, fn func(*query.Flow) error) error {
	if l.rows() || l.listing.Sort != nil {
		listing := l.listing
		listing.N = n
		_, err := in.Rows(ctx, listing, fn)
		return err
	}
	in.Limit = uint64(n)
	_, err := in.List(ctx, fn)
	return err
}

// page reads a page.
func (l *List) page(ctx context.Context, k *asking) (*Page, error) {
	k.begun = time.Now()
	p := &Page{Cost: k.cost, Columns: l.Columns, Offset: l.Offset}
	var b bytes.Buffer
	printer, err := report.Open(&b, l.format(), report.Options{Location: k.zone})
	if err != nil {
		return nil, err
	}
	if err := printer.Begin(); err != nil {
		return nil, err
	}
	at, most := 0, l.Offset+l.Limit
	readErr := l.hand(ctx, k.input(nil), most+1, func(f *query.Flow) error {
		at++
		switch {
		case at <= l.Offset:
			return nil
		case at > most:
			p.More = true
			return query.ErrStop
		}
		return printer.Flow(f)
	})
	if err := printer.End(&query.Totals{}, report.Usage{}); err != nil {
		return nil, err
	}
	all, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		return nil, err
	}
	p.Headings, p.Rows = all[0], all[1:]
	p.Elapsed, p.Problems = time.Since(k.begun).Seconds(), k.problems(readErr)
	return p, nil
}

// downloads are the formats of downloads, with their types and the ends of their names.
var downloads = map[string]struct{ kind, ending string }{
	"csv":     {"text/csv; charset=utf-8", "csv"},
	"json":    {"application/json", "json"},
	"ndjson":  {"application/x-ndjson", "ndjson"},
	"parquet": {"application/vnd.apache.parquet", "parquet"},
}

// download writes all flows or rows of the list.
func (l *List) download(ctx context.Context, k *asking, w io.Writer, format string) error {
	if format == "csv" && len(l.Columns) > 0 {
		format = l.format()
	}
	printer, err := report.Open(w, format, report.Options{Location: k.zone, Quiet: false})
	if err != nil {
		return err
	}
	if err := printer.Begin(); err != nil {
		return err
	}
	readErr := l.hand(ctx, k.input(nil), 0, printer.Flow)
	return errors.Join(readErr, printer.End(&query.Totals{}, report.Usage{}))
}
