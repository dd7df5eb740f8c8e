package report

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/flowgraf/flowgraf/outputs/query"
)

// Usage is what a query cost, for the last line of a summary.
type Usage struct {
	System, User time.Duration // CPU
	Wall         time.Duration // reading and counting
	Runtime      time.Duration // of the process
}

// averages returns the bits and packets a second, and the bytes a packet, of totals.
// nfdump 1.7.1 counts an event, which has no beginning, as one of 1970, and has no bytes a
// packet of what has taken no time.
func averages(t *query.Totals, c Compat) (bps, pps, bpp uint64) {
	first := t.First
	if c == Nfdump178 {
		first = t.FirstTraffic
	}
	seconds := float64(t.Last-min(first, t.Last)) / 1000
	if seconds == 0 && c == Nfdump171 {
		return 0, 0, 0
	}
	if seconds > 0 {
		bps = clampUint(float64(t.Bytes) * 8 / seconds)
		pps = clampUint(float64(t.Packets) / seconds)
	}
	return bps, pps, query.PerPacket(t.Bytes, t.Packets)
}

// Summary prints nfdump's four lines of sums behind a list or a table.
func Summary(w io.Writer, t *query.Totals, u Usage, opt Options) error {
	bps, pps, bpp := averages(t, opt.Compat)
	_, err := fmt.Fprintf(w,
		"Summary: total flows: %d, total bytes: %s, total packets: %s, avg bps: %s, avg pps: %s, avg bpp: %s\n",
		t.Flows, opt.count(nil, t.Bytes), opt.count(nil, t.Packets), opt.count(nil, bps), opt.count(nil, pps),
		opt.count(nil, bpp))
	if err != nil {
		return err
	}
	var rate float64
	if u.Wall > 0 {
		rate = float64(t.Read) / u.Wall.Seconds()
	}
	what := "flows"
	if opt.Compat == Nfdump178 {
		what = "records"
	}
	_, err = fmt.Fprintf(w, "Time window: %s\nTotal %s processed: %d, passed: %d, Blocks skipped: %d, Bytes read: "+
		"%d\n"+
		"Sys: %.4fs User: %.4fs Wall: %.4fs flows/second: %.1f Runtime: %.4fs\n",
		opt.window(t), what, t.Read, t.Records, t.Skipped, t.BytesRead,
		u.System.Seconds(), u.User.Seconds(), u.Wall.Seconds(), rate, u.Runtime.Seconds())
	return err
}

// clampUint converts v, which is not negative.
func clampUint(v float64) uint64 {
	if v >= math.MaxUint64 {
		return math.MaxUint64
	}
	return uint64(v)
}

// window returns the time that the files cover.
func (o *Options) window(t *query.Totals) string {
	switch {
	case !t.HasWindow:
		return "<unknown>"
	case t.WindowFirst == 0:
		return "Time Window unknown"
	}
	layout := timeLayout
	if o.Compat == Nfdump178 {
		layout += ".000"
	}
	text := func(ms uint64) string {
		return time.UnixMilli(int64(ms)).In(o.location()).Format(layout)
	}
	window := text(t.WindowFirst) + " - " + text(t.WindowLast)
	if o.Compat == Nfdump178 {
		var days Options // -N says nothing of it
		window += ", Duration:" + string(days.appendDuration(nil, t.WindowLast-min(t.WindowFirst, t.WindowLast)))
	}
	return window
}
