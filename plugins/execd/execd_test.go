package execd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/outputs"
	_ "github.com/influxdata/telegraf/plugins/processors/rename"
)

// limit is how long a test waits for what is to happen.
const limit = time.Minute

// ticking is an input that counts how often it was asked, and adds while it runs.
type ticking struct {
	Name  string `toml:"name"`
	asked uint64
}

func (*ticking) SampleConfig() string { return "" }

func (i *ticking) Start(acc telegraf.Accumulator) error {
	if i.Name == "broken" {
		return errors.New("the port is taken")
	}
	acc.AddFields(i.Name, map[string]any{"started": true}, nil)
	return nil
}

func (i *ticking) Gather(acc telegraf.Accumulator) error {
	i.asked++
	acc.AddFields(i.Name, map[string]any{"asked": i.asked}, map[string]string{"a": "b"})
	return nil
}

func (*ticking) Stop() {}

// failing is an output that writes nothing while it is shut.
type failing struct {
	mu      sync.Mutex
	shut    bool
	calls   int
	written []string
}

// theFailing is the one that the test at hand has.
var theFailing *failing

func (*failing) SampleConfig() string { return "" }
func (*failing) Connect() error       { return nil }
func (*failing) Close() error         { return nil }

func (o *failing) Write(metrics []telegraf.Metric) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	if o.shut {
		return errors.New("the disk is full")
	}
	for _, m := range metrics {
		o.written = append(o.written, m.Name())
	}
	return nil
}

func (o *failing) count() (calls, written int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls, len(o.written)
}

func init() {
	inputs.Add("ticking", func() telegraf.Input { return &ticking{} })
	outputs.Add("failing", func() telegraf.Output { return theFailing })
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	c := config.NewConfig()
	c.Agent.OmitHostname = true
	if err := c.LoadConfigData([]byte(text), "plugin.conf"); err != nil {
		t.Fatal(err)
	}
	if err := c.LoadAll(); err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Inputs {
		if err := p.Init(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range c.Processors {
		if err := p.Init(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range c.Outputs {
		if err := p.Init(); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// start runs c and returns its standard input, and what Run returns.
func start(ctx context.Context, c *config.Config, stdout io.Writer, o Options) (*io.PipeWriter, <-chan error) {
	r, w := io.Pipe()
	o.Stdin, o.Stdout = r, stdout
	done := make(chan error, 1)
	go func() { done <- Run(ctx, c, o) }()
	return w, done
}

func wait(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatal("it does not end")
	}
	return nil
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}

// safeBuffer is written and read at the same time.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Several inputs of one file run; each collects when a line comes on standard input, or a
// signal; they end with it. Processors stand behind them.
func TestInputs(t *testing.T) {
	c := load(t, `
[agent]
  interval = "1h"
[[inputs.ticking]]
  name = "one"
[[inputs.ticking]]
  name = "two"
  [inputs.ticking.tags]
    site = "north"
[[processors.rename]]
  [[processors.rename.replace]]
    measurement = "two"
    dest = "second"
`)
	var out safeBuffer
	prompts := make(chan struct{})
	stdin, done := start(t.Context(), c, &out, Options{Prompts: prompts, BatchInterval: time.Millisecond})
	eventually(t, "both to start", func() bool {
		return strings.Contains(out.String(), "one started=true ") &&
			strings.Contains(out.String(), "second,site=north ")
	})
	if _, err := stdin.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first collection", func() bool {
		return strings.Contains(out.String(), "one,a=b asked=1u ") &&
			strings.Contains(out.String(), "second,a=b,site=north asked=1u ")
	})
	prompts <- struct{}{}
	eventually(t, "the second collection", func() bool { return strings.Contains(out.String(), "one,a=b asked=2u ") })
	stdin.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
}

// Without being asked an input collects at its interval.
func TestInputsCollectThemselves(t *testing.T) {
	var out safeBuffer
	c := load(t, "[[inputs.ticking]]\n name = \"one\"\n interval = \"1ms\"")
	stdin, done := start(t.Context(), c, &out, Options{BatchInterval: time.Millisecond})
	eventually(t, "three collections", func() bool { return strings.Contains(out.String(), "asked=3u") })
	stdin.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
}

// brokenPipe is Telegraf's end of the pipe after a kill.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestInputsEndWhenTelegrafDoes(t *testing.T) {
	c := load(t, "[[inputs.ticking]]\n name = \"one\"\n interval = \"1ms\"")
	_, done := start(t.Context(), c, brokenPipe{}, Options{BatchInterval: time.Millisecond})
	if err := wait(t, done); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestInputThatCannotStart(t *testing.T) {
	c := load(t, "[[inputs.ticking]]\n name = \"one\"\n[[inputs.ticking]]\n name = \"broken\"")
	_, done := start(t.Context(), c, io.Discard, Options{})
	if err := wait(t, done); err == nil || !strings.Contains(err.Error(), "inputs.ticking: the port is taken") {
		t.Errorf("got %v", err)
	}
}

func TestProcessors(t *testing.T) {
	c := load(t, "[[processors.rename]]\n[[processors.rename.replace]]\n field = \"x\"\n dest = \"y\"")
	var out safeBuffer
	stdin, done := start(t.Context(), c, &out, Options{})
	fmt.Fprint(stdin, "m,a=b x=18446744073709551615u 7\nno line protocol\nm x=\"two\nlines\" 8\n")
	stdin.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	if want := "m,a=b y=18446744073709551615u 7\nm y=\"two\nlines\" 8\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

const failingConfig = "[agent]\n metric_batch_size = 10\n[[outputs.failing]]"

// While the output does not write, nothing more is read than a batch and the decoder's
// buffer; when it does, all comes in order and nothing twice.
func TestOutputHoldsBack(t *testing.T) {
	theFailing = &failing{shut: true}
	stdin, done := start(t.Context(), load(t, failingConfig), io.Discard, Options{BatchInterval: time.Millisecond})
	const most = 20_000
	line := " x=\"" + strings.Repeat("x", 100) + "\" 1\n"
	sent := make(chan int, most)
	go func() {
		defer stdin.Close()
		for n := range most {
			if _, err := fmt.Fprintf(stdin, "m%d%s", n, line); err != nil {
				return
			}
			sent <- n
		}
	}()
	eventually(t, "attempts", func() bool { calls, _ := theFailing.count(); return calls >= 3 })
	if n := len(sent); n > 2000 {
		t.Errorf("%d metrics are read while the output does not write", n)
	}
	theFailing.mu.Lock()
	theFailing.shut = false
	theFailing.mu.Unlock()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	if len(theFailing.written) != most {
		t.Fatalf("%d metrics are written, want %d", len(theFailing.written), most)
	}
	for i, name := range theFailing.written {
		if name != fmt.Sprint("m", i) {
			t.Fatalf("metric %d is %s", i, name)
		}
	}
}

// A metric does not wait for a batch to fill.
func TestOutputBatchByTime(t *testing.T) {
	theFailing = &failing{}
	stdin, done := start(t.Context(), load(t, failingConfig), io.Discard, Options{BatchInterval: time.Millisecond})
	for n := range 3 {
		fmt.Fprint(stdin, "m x=1 1\n")
		eventually(t, "the metric", func() bool { _, written := theFailing.count(); return written == n+1 })
	}
	stdin.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
}

// An output that never writes is given up some time after the process is to end, and how
// much is lost is told.
func TestOutputIsGivenUp(t *testing.T) {
	theFailing = &failing{shut: true}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdin, done := start(ctx, load(t, failingConfig), io.Discard,
		Options{BatchInterval: time.Hour, Patience: 10 * time.Millisecond})
	for range 10 {
		fmt.Fprint(stdin, "m x=1 1\n")
	}
	eventually(t, "an attempt", func() bool { calls, _ := theFailing.count(); return calls > 0 })
	cancel()
	err := wait(t, done)
	if err == nil || !strings.Contains(err.Error(), "outputs.failing: 10 metrics are not written") {
		t.Errorf("got %v", err)
	}
}

// A signal does not end an output before its input has: Telegraf flushes then.
func TestOutputReadsToTheEnd(t *testing.T) {
	theFailing = &failing{}
	ctx, cancel := context.WithCancel(t.Context())
	stdin, done := start(ctx, load(t, failingConfig), io.Discard, Options{Patience: limit})
	cancel()
	for range 25 {
		fmt.Fprint(stdin, "m x=1 1\n")
	}
	stdin.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	if _, n := theFailing.count(); n != 25 {
		t.Errorf("%d metrics are written, want 25", n)
	}
}

func TestPluginsOfOneDirection(t *testing.T) {
	theFailing = &failing{}
	for text, want := range map[string]string{
		"": "there are none",
		"[[inputs.ticking]]\n[[outputs.failing]]": "a file for inputs.execd and another one for outputs.execd",
	} {
		if _, err := DirectionOf(load(t, text)); !errors.Is(err, ErrPlugins) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// A line without end ends the run, not the memory.
func TestLineWithoutEnd(t *testing.T) {
	b := &bounded{from: &repeating{line: []byte("m x=\"" + strings.Repeat("x", 1<<20))}}
	n, err := io.Copy(io.Discard, b)
	if err == nil || !strings.Contains(err.Error(), "a line has more than") || n < maxLine || n > 2*maxLine {
		t.Errorf("%d bytes are read, then %v", n, err)
	}
}

func TestLog(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	const log = `2026-11-22T10:00:00Z I! [inputs.netflow] Listening
2026-11-22T10:00:00+01:00 W! careful
second line of it
2026-11-22T10:00:00Z D! more
and more
`
	for direction, want := range map[Direction]string{
		Input:  "I! [inputs.netflow] Listening\nW! careful\nW! second line of it\nD! more\nD! and more\nE! failed x",
		Output: "W! careful\nW! second line of it\nE! failed x",
	} {
		var told, errs bytes.Buffer
		relayLog(direction, strings.NewReader(log+"2026-11-22T10:00:00Z E! failed "+long+"\n"), &told, &errs)
		if !strings.HasPrefix(errs.String(), want) || errs.Len() > 2*longestLog {
			t.Errorf("%s: got %.200q, want %.200q", direction, errs.String(), want)
		}
		if direction == Output && told.String() != "[inputs.netflow] Listening\nmore\nand more\n" {
			t.Errorf("told %q", told.String())
		}
	}
}

// A plugin that is to end does so also while Telegraf reads nothing of what it writes.
func TestEndsWhileNobodyReads(t *testing.T) {
	for name, table := range map[string]string{
		"input":     "[[inputs.ticking]]\n  name = \"a\"\n",
		"processor": "[[processors.rename]]\n",
	} {
		ctx, cancel := context.WithCancel(context.Background())
		r, stdout := io.Pipe()
		o := Options{BatchInterval: time.Millisecond, Patience: time.Millisecond}
		stdin, done := start(ctx, load(t, table), stdout, o)
		go func() { _, _ = io.WriteString(stdin, "m a=1 1\n") }()
		if _, err := r.Read(make([]byte, 1)); err != nil { // the rest of its first line nobody reads
			t.Fatal(err)
		}
		cancel()
		if err := wait(t, done); err == nil || !strings.Contains(err.Error(), "was not read") {
			t.Errorf("%s: it ended with %v", name, err)
		}
		stdin.Close()
		r.Close()
	}
}
