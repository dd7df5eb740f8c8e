package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/plugins/exporter"
)

// maxSeries bounds the memory of the series that metricsTail remembers.
const maxSeries = 100_000

// metricsTail follows the file of metrics in line protocol that the demo's
// agent writes, and counts what it finds.
type metricsTail struct {
	file   string
	offset int64
	rest   []byte // an unfinished line

	flows  uint64 // flow metrics
	series map[string]struct{}
	lost   map[string]uint64 // by series of netflow_exporter: the newest figure
}

// readMetrics counts what has been written since the last call.
func (t *metricsTail) readMetrics() error {
	f, err := os.Open(t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, t.offset, 64<<20))
	if err != nil {
		return err
	}
	t.offset += int64(len(data))
	data = append(t.rest, data...)
	for {
		line, rest, found := bytes.Cut(data, []byte("\n"))
		if !found {
			break
		}
		t.count(line)
		data = rest
	}
	t.rest = bytes.Clone(data)
	return nil
}

// count takes one line. The demo's tags and measurements have no blanks, so the
// first one ends the series, the second the fields.
func (t *metricsTail) count(line []byte) {
	key, rest, _ := bytes.Cut(line, []byte(" "))
	if t.series == nil {
		t.series, t.lost = map[string]struct{}{}, map[string]uint64{}
	}
	if len(t.series) < maxSeries {
		t.series[string(key)] = struct{}{}
	}
	name, _, _ := bytes.Cut(key, []byte(","))
	switch string(name) {
	case "netflow":
		if bytes.Contains(rest, []byte("in_bytes=")) {
			t.flows++
		}
	case "netflow_exporter":
		var lost uint64
		for _, field := range lossFields {
			lost += uintField(rest, field)
		}
		t.lost[string(key)] = lost
	}
}

// lossFields are the fields of netflow_exporter that count what did not arrive.
var lossFields = []string{"sequence_lost=", "kernel_drops=", "sets_without_template="}

// uintField returns the unsigned integer behind name ("field="), or 0.
func uintField(fields []byte, name string) uint64 {
	for field := range bytes.SplitSeq(fields, []byte(",")) {
		value, ok := bytes.CutPrefix(field, []byte(name))
		if !ok {
			continue
		}
		end := bytes.IndexFunc(value, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			value = value[:end]
		}
		n, _ := strconv.ParseUint(string(value), 10, 64)
		return n
	}
	return 0
}

// loss returns how much all exporters lost, in flows, datagrams and sets.
func (t *metricsTail) loss() (sum uint64) {
	for _, n := range t.lost {
		sum += n
	}
	return sum
}

// watch shows what happens until ctx is done, nobody reads it any more, or the agent ends.
func (d *demo) watch(ctx context.Context, out io.Writer) error {
	screen := &liveLines{out: out, live: isTerminal(out), width: terminalWidth}
	every := time.Second
	if !screen.live {
		every = 5 * time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	rate := rateOver{window: rateWindow}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.agentEnded:
			d.agent = nil
			return fmt.Errorf("the agent ended by itself (%v); its log is %s", err, filepath.Join(d.dir, "agent.log"))
		case <-tick.C:
		}
		if err := d.metrics.readMetrics(); err != nil {
			return err
		}
		err := screen.show(d.status(rate.addCount(time.Now(), d.metrics.flows)))
		if errors.Is(err, syscall.EPIPE) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("showing what happens: %w", err)
		}
	}
}

// rateWindow is what a rate is the mean of: metrics come in batches, and waves.
const rateWindow = 10 * time.Second

// rateOver gives the growth of a count a second, over a window that ends now.
type rateOver struct {
	window time.Duration
	times  []time.Time
	counts []uint64
}

func (r *rateOver) addCount(now time.Time, count uint64) (perSecond float64) {
	r.times, r.counts = append(r.times, now), append(r.counts, count)
	for len(r.times) > 2 && now.Sub(r.times[1]) >= r.window {
		r.times, r.counts = r.times[1:], r.counts[1:]
	}
	if elapsed := now.Sub(r.times[0]).Seconds(); elapsed > 0 {
		return float64(count-r.counts[0]) / elapsed
	}
	return 0
}

// sent returns how many flows the exporters have sent.
func (d *demo) sent() (n uint64) {
	for _, g := range d.generators {
		n += g.sums().Flows
	}
	return n
}

// status returns the lines of the display.
func (d *demo) status(rate float64) []string {
	files, size, newest := archiveStatus(filepath.Join(d.dir, "archive"))
	mails, subject, at := d.mailbox.last()
	last := "none yet"
	if mails > 0 {
		last = fmt.Sprintf("%d, %s %s", mails, at.Format("15:04:05"), subject)
	}
	surge := ""
	if d.surge.Load() {
		surge = "   (surge on)"
	}
	return []string{
		fmt.Sprintf("running   %s%s", time.Since(d.started).Truncate(time.Second), surge),
		fmt.Sprintf("flows     %.0f/s, %d sent, %d as metrics", rate, d.sent(), d.metrics.flows),
		fmt.Sprintf("series    %d, each a name and its tags: what InfluxDB keeps an index of", len(d.metrics.series)),
		fmt.Sprintf("loss      %d", d.metrics.loss()),
		fmt.Sprintf("archive   %d files, %s%s", files, sizeOf(float64(size)), newest),
		"mail      " + last,
	}
}

// archiveStatus counts the finished files of an archive.
func archiveStatus(dir string) (files int, size int64, newest string) {
	paths, _ := archive.Files(dir) // what cannot be read is not shown
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			files++
			size += info.Size()
			newest = ", newest " + filepath.Base(path)
		}
	}
	return files, size, newest
}

func (d *demo) printStart(out io.Writer) {
	fmt.Fprintf(out, "flowgraf demo: everything is below\n  %s\n\n", d.dir)
	for i, e := range demoExporters {
		fmt.Fprintf(out, "  %-7s exporter %s\n", e.protocol, d.generators[i].source())
	}
	fmt.Fprintf(out, "\n  flows to %s, mail to %s; Ctrl-C ends it\n\n  watch them at %s\n\n", d.flowAddr, d.relayAddr,
		d.page.address())
}

func (d *demo) printEnd(out io.Writer) {
	var sums exporter.Totals
	for _, g := range d.generators {
		s := g.sums()
		sums.Flows += s.Flows
		sums.Bytes += s.Bytes
	}
	if err := d.metrics.readMetrics(); err != nil {
		fmt.Fprintln(out, "reading the metrics:", err)
	}
	files, _, _ := archiveStatus(filepath.Join(d.dir, "archive"))
	mails, _, _ := d.mailbox.last()
	fmt.Fprintf(out, `
%d flows of %s were sent; %d became metrics, in %d series; loss %d.

D=%s
  $D/metrics.influx   metrics in line protocol
  $D/archive          %d nfdump files
  $D/mail             %d mails
  $D/telegraf.conf    the configuration
  $D/agent.log        the agent's log

Try, after the line D=… above:
  %[9]s dump -R $D/archive -s srcip/bytes -n 5
  nfdump -R $D/archive -s srcip/bytes -n 5
  %[9]s agent --config $D/telegraf.conf
  rm -r $D
`, sums.Flows, sizeOf(float64(sums.Bytes)), d.metrics.flows, len(d.metrics.series), d.metrics.loss(), d.dir,
		files, mails, commandName())
}

// commandName returns how the user called this program: go run leaves no
// binary to call again.
func commandName() string {
	self, err := os.Executable()
	if err != nil || strings.HasPrefix(filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(self)))), "go-build") {
		return "go run ./cmd/flowgraf"
	}
	return os.Args[0]
}

// liveLines shows lines: in place on a terminal, one after the other elsewhere. On a
// terminal a line is cut at the width, 0 for not known: one that goes on in the next
// row would leave a row behind each time that the lines are shown anew.
type liveLines struct {
	out   io.Writer
	live  bool
	width func() int
	shown int
}

func (l *liveLines) show(lines []string) error {
	var text strings.Builder
	if !l.live {
		fmt.Fprintln(&text, strings.Join(lines, " | "))
		lines = nil
	}
	if l.shown > 0 {
		fmt.Fprintf(&text, "\x1b[%dA", l.shown)
	}
	width := l.width()
	for _, line := range lines {
		if r := []rune(line); width > 1 && len(r) > width {
			line = string(r[:width-1]) + "…"
		}
		fmt.Fprintf(&text, "\r\x1b[K%s\n", line)
	}
	l.shown = len(lines)
	_, err := io.WriteString(l.out, text.String())
	return err
}

// isTerminal says whether out is a terminal.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
