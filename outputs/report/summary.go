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

// Summary prints nfdump's four lines of sums behind a list or a table.
func Summary(w io.Writer, t *query.Totals, u Usage, opt Options) error {
	var bps, pps uint64
	if seconds := float64(t.Last-min(t.First, t.Last)) / 1000; seconds > 0 {
		bps = clampUint(float64(t.Bytes) * 8 / seconds)
		pps = clampUint(float64(t.Packets) / seconds)
	}
	_, err := fmt.Fprintf(w,
		"Summary: total flows: %d, total bytes: %s, total packets: %s, avg bps: %s, avg pps: %s, avg bpp: %s\n",
		t.Flows, opt.count(nil, t.Bytes), opt.count(nil, t.Packets), opt.count(nil, bps), opt.count(nil, pps),
		opt.count(nil, query.PerPacket(t.Bytes, t.Packets)))
	if err != nil {
		return err
	}
	var rate float64
	if u.Wall > 0 {
		rate = float64(t.Read) / u.Wall.Seconds()
	}
	_, err = fmt.Fprintf(w, "Time window: %s\nTotal flows processed: %d, passed: %d, Blocks skipped: %d, Bytes read: "+
		"%d\n"+
		"Sys: %.4fs User: %.4fs Wall: %.4fs flows/second: %.1f Runtime: %.4fs\n",
		opt.window(t), t.Read, t.Records, t.Skipped, t.BytesRead,
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
	text := func(ms uint64) string {
		return time.UnixMilli(int64(ms)).In(o.location()).Format("2006-01-02 15:04:05")
	}
	return text(t.WindowFirst) + " - " + text(t.WindowLast)
}
