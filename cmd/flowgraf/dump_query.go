package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/report"
	"github.com/flowgraf/flowgraf/plugins/enrich"
)

// queryOptions are the flags that say what is made of the flows.
type queryOptions struct {
	connections, both, client bool   // -a -b -B
	keys                      string // -A
	order                     string // -O
	post                      string // -P
	memory                    memorySize

	listing query.Listing
	stats   []query.Stat
}

// addQueryFlags adds the flags to the command.
func (o *dumpOptions) addQueryFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&o.query.connections, "aggregate", "a", false, "sum flows up by protocol, addresses and ports")
	f.StringVarP(&o.query.keys, "aggregate-by", "A", "", "sum flows up by these `keys`, as srcip4/24,dstport")
	f.BoolVarP(&o.query.both, "bidirectional", "b", false, "as -a, with both directions of a connection in one row")
	f.BoolVarP(&o.query.client, "client", "B", false, "as -b, with the side of the service as destination")
	f.StringVarP(&o.query.order, "order", "O", "", "sort by this `order`, most first; with :a least first")
	f.StringVarP(&o.query.post, "post-filter", "P", "", "of rows, those that match this `filter`, sums included")
	o.query.memory = 4e9
	f.Var(&o.query.memory, "memory",
		"how much memory rows and sorted flows may take, 0 is all there is; as `size`, 512MB")
	f.BoolVarP(&o.explain, "explain", "X", false, "only tell how the filter is understood")
	f.StringVarP(&o.verify, "verify", "v", "", "only tell whether this `file` is whole: flowgraf verify")
	f.StringVarP(&o.exporters, "exporters", "E", "", "only list the exporters and samplers of this `file`")
	f.BoolVarP(&o.report.TagAddrs, "tag", "T", false, "a byte 1 before addresses, for NfSen's links")
	f.StringVarP(&o.geo, "geo", "G", "", "countries and AS numbers of addresses, from this .mmdb or .csv `file`")
	f.StringVarP(&o.tor, "tor", "H", "", "nfdump's data base of Tor nodes: only 'none'")
	f.MarkHidden("tor")
}

// memorySize is a flag for bytes.
type memorySize int64

// String returns the size.
func (m *memorySize) String() string { return strconv.FormatInt(int64(*m)/1e6, 10) + "MB" }

// Type returns what a value is.
func (m *memorySize) Type() string { return "size" }

// Set reads a size.
func (m *memorySize) Set(text string) error {
	var size config.Size
	if err := size.UnmarshalText([]byte(text)); err != nil || text == "" || size < 0 || size > 0 && size < minMemory {
		return fmt.Errorf("expected a size of at least %dMB, as 512MB or 8GB, or 0 for no bound", int(minMemory/1e6))
	}
	*m = memorySize(size)
	return nil
}

// minMemory is the least memory for a query.
const minMemory = 1e6

// flowCount is a flag for a number of flows.
type flowCount uint64

// String returns the number.
func (n *flowCount) String() string { return strconv.FormatUint(uint64(*n), 10) }

// Type returns what a value is.
func (n *flowCount) Type() string { return "number" }

// Set reads a number.
func (n *flowCount) Set(text string) error {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return errors.New("expected a number of flows, or 0 for all")
	}
	*n = flowCount(v)
	return nil
}

// prepareQuery reads the flags; n and output say whether -n and -o are among them.
func (o *dumpOptions) prepareQuery(n, output bool, warnings io.Writer) error {
	q := &o.query
	if o.tor != "" && o.tor != "none" {
		return errors.New("-H: nfdump's data bases of Tor nodes are not read")
	}
	if err := o.openPlaces(); err != nil {
		return err
	}
	for _, s := range o.stats {
		stat, err := query.ParseStat(s)
		if err != nil {
			return fmt.Errorf("-s: %w", err)
		}
		q.stats = append(q.stats, stat)
	}
	if err := o.habits.limit(q.stats); err != nil {
		return err
	}
	if o.top < 0 {
		return fmt.Errorf("-n is %d: expected a number of rows, or 0 for all", o.top)
	}
	if len(q.stats) == 0 && !n {
		o.top = 0
	}
	if err := o.prepareListing(warnings); err != nil {
		return err
	}
	if !output {
		o.output = o.defaultOutput()
	}
	return o.checkModes()
}

// openPlaces reads the file of -G.
func (o *dumpOptions) openPlaces() error {
	if o.geo == "" || o.geo == "none" {
		return nil
	}
	tables, err := enrich.Open([]string{o.geo})
	if err != nil {
		return fmt.Errorf("-G: %w (nfdump's own data bases are not read: expected one in MaxMind's format, .mmdb, or "+
			"a .csv of prefixes, countries and AS numbers)", err)
	}
	o.report.Country = func(a netip.Addr) string { return tables.Lookup(a).Country }
	o.systems = func(a netip.Addr) uint32 { return tables.Lookup(a).AS }
	return nil
}

// prepareListing reads the flags of aggregations and of sorting.
func (o *dumpOptions) prepareListing(warnings io.Writer) error {
	q := &o.query
	l := &q.listing
	var err error
	switch {
	case q.keys != "":
		if l.Aggregation, err = query.ParseAggregation(q.keys); err != nil {
			return fmt.Errorf("-A: %w", err)
		}
		l.Aggregation.Mapped = o.report.Compat == report.Nfdump171
	case q.connections || q.both || q.client:
		l.Aggregation = query.Connections()
		l.Aggregation.Bidirectional, l.Aggregation.Client = q.both || q.client, q.client
	}
	for i := range q.stats {
		q.stats[i].Rows = l.Aggregation
	}
	if q.order != "" {
		sort, err := query.ParseSort(q.order)
		if err != nil {
			return fmt.Errorf("-O: %w", err)
		}
		l.Sort = &sort
	}
	l.N = o.top
	if q.post != "" {
		if l.Post, err = readFilter([]string{q.post}, "", o.report.Location, false, warnings); err != nil {
			return fmt.Errorf("-P: %w", err)
		}
	}
	return nil
}

// rows says whether flows are listed otherwise than as they are.
func (q *queryOptions) rows() bool {
	return len(q.listing.Aggregation.Keys) > 0 || q.listing.Sort != nil
}

// defaultOutput is the format where -o names none.
func (o *dumpOptions) defaultOutput() string {
	a := &o.query.listing.Aggregation
	switch {
	case o.query.keys != "":
		return "fmt:" + a.Format()
	case a.Bidirectional:
		return "biline"
	}
	return "line"
}

// checkModes says which flags do not go together.
func (o *dumpOptions) checkModes() error {
	q := &o.query
	ranked, records, tables := len(q.stats) > 0, 0, 0
	for _, s := range q.stats {
		tables += len(s.Orders)
		if s.Element == query.Record {
			records++
		}
	}
	if option := q.needsCountries(); option != "" && o.report.Country == nil {
		return fmt.Errorf("%s: expected -G with a file of the countries of addresses, for srcgeo, dstgeo and geo",
			option)
	}
	switch {
	case records > 0 && tables > 1 && !report.ForPeople(o.output):
		return fmt.Errorf("-s record with -o %s: expected one order, and no other statistic beside it", o.output)
	case records > 0 && q.order != "":
		return errors.New("-O with -s record: expected no -O, as nfdump does: the orders of -s stand behind a '/', " +
			"as in -s record/bytes")
	case ranked && q.post != "":
		return errors.New("-P filters rows of -a, -A, -b, -B and -O: there are none with -s")
	case q.post != "" && !q.rows():
		return errors.New("-P filters rows of -a, -A, -b, -B and -O: a list is filtered by the filter behind the " +
			"options")
	}
	return nil
}

// needsCountries returns the option that asks for countries, "" when none does.
func (q *queryOptions) needsCountries() string {
	switch {
	case q.listing.Aggregation.NeedsCountries():
		return "-A"
	case slices.ContainsFunc(q.stats, func(s query.Stat) bool { return s.Element.Kind() == query.KindCountry }):
		return "-s"
	}
	return ""
}

// showProgress makes a query that takes long show on warnings, when that is a terminal, how
// far it is, and returns what ends that.
func (o *dumpOptions) showProgress(in *query.Input, out, warnings io.Writer) (done func()) {
	f, ok := warnings.(*os.File)
	if !ok || !isTerminal(f) || isTerminal(out) && len(o.query.stats) == 0 && !o.query.rows() && o.write == "" {
		return func() {}
	}
	bar := (*progressbar.ProgressBar)(nil)
	started := time.Now()
	in.Progress = func(done, total int64) {
		if bar == nil && time.Since(started) > progressAfter {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(f), progressbar.OptionShowBytes(true),
				progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionSetDescription("reading"))
		}
		if bar != nil {
			bar.Set64(done)
		}
	}
	return func() {
		if bar != nil {
			bar.Clear()
		}
	}
}

// runQuery reads the flows and prints or writes what is asked for.
func (o *dumpOptions) runQuery(ctx context.Context, out, warnings io.Writer, in query.Input,
	opt nffile.Options) error {
	defer context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })() // the second ends at once
	done := o.showProgress(&in, out, warnings)
	in.Limit, in.Memory = uint64(o.count), int64(o.query.memory)
	started := time.Now()
	var totals query.Totals
	var err error
	switch {
	case o.write != "":
		if o.query.rows() {
			totals, err = in.WriteRows(ctx, o.query.listing, o.write, opt)
		} else {
			totals, err = in.Write(ctx, o.write, opt)
		}
		done()
	case len(o.query.stats) > 0:
		var tables []query.Table
		tables, totals, err = in.Top(ctx, o.query.stats, o.top)
		done()
		if err == nil || totals.Read > 0 || totals.HasWindow {
			if report.ForPeople(o.output) {
				sayLimits(out, &o.query.stats[0])
			}
			err = errors.Join(report.Tables(out, tables, &totals, usage(started), o.output, o.report), err)
		}
	default:
		totals, err = o.list(ctx, out, in, started, done)
	}
	o.noteRest(warnings, &totals)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted: what is printed is of the flows read until then")
	}
	return err
}

// noteRest says that a result is approximate.
func (o *dumpOptions) noteRest(warnings io.Writer, t *query.Totals) {
	if t.Rest.Flows > 0 {
		fmt.Fprintf(warnings, "flowgraf: approximate: --memory %s has no room for more rows; "+
			"%d flows of %d bytes with other keys are in none\n", &o.query.memory, t.Rest.Flows, t.Rest.Bytes)
	}
}

// list prints flows or rows. Nothing is printed when nothing can be read.
func (o *dumpOptions) list(ctx context.Context, out io.Writer, in query.Input, started time.Time,
	done func()) (query.Totals, error) {
	p, err := report.Open(out, o.output, o.report)
	if err != nil {
		return query.Totals{}, err
	}
	begun := false
	print := func(f *query.Flow) error {
		if !begun {
			begun = true
			done()
			if err := p.Begin(); err != nil {
				return err
			}
		}
		return p.Flow(f)
	}
	var totals query.Totals
	var readErr error
	if o.query.rows() {
		totals, readErr = in.Rows(ctx, o.query.listing, print)
	} else {
		totals, readErr = in.List(ctx, print)
	}
	done()
	if !begun {
		if readErr != nil && !totals.HasWindow {
			return totals, readErr
		}
		if err := p.Begin(); err != nil {
			return totals, err
		}
	}
	return totals, errors.Join(p.End(&totals, usage(started)), readErr)
}

// listExporters prints the exporters of a file, as nfdump's -E does.
func listExporters(out io.Writer, path string) error {
	r, err := nffile.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	for r.Next() {
	}
	fmt.Fprint(out, "Exporters:\n\n")
	stats := r.ExporterStats()
	for i, e := range r.Exporters() {
		if !e.Addr.IsValid() {
			continue
		}
		fmt.Fprintf(out, "SysID: %d, IP: %16s, version: %d, ID: %2d", i+1, e.Addr, e.Version, e.Domain)
		if s := stats[i]; s.Flows == 0 {
			fmt.Fprint(out, " - no flows sent\n")
		} else {
			fmt.Fprintf(out, ", Sequence failures: %d, packets: %d, flows: %d\n", s.Failures, s.Datagrams, s.Flows)
		}
		for _, s := range r.Samplers() {
			if s.Exporter == e {
				fmt.Fprintf(out, "\tSampler: id: %s, rate: 1:%d\n", samplerID(s.ID), s.Rate())
			}
		}
	}
	return r.Err()
}

// samplerID names a sampler that has an id or is for all of an exporter.
func samplerID(id int64) string {
	switch id {
	case -1:
		return "of the exporter"
	case -2:
		return "default"
	case -3:
		return "enforced"
	}
	return strconv.FormatInt(id, 10)
}

// explainFilter prints how the filter was understood.
func explainFilter(out io.Writer, words []string, file string, warnings io.Writer) error {
	f, err := readFilter(words, file, nil, true, warnings)
	if err != nil {
		return err
	}
	text := "any\n"
	if f != nil {
		text = f.Explain()
	}
	_, err = io.WriteString(out, text)
	return err
}
