package execd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/models"
)

// runInputs runs inputs until Stdin ends.
func runInputs(ctx context.Context, c *config.Config, o Options) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newSink(o.Stdout, o.BatchInterval)
	defer func() { err = errors.Join(err, s.close()) }()
	first, stopChain, err := chain(c.Processors, s.addMetric)
	if err != nil {
		return err
	}
	defer stopChain()
	running, err := startInputs(c, first, s)
	defer stopInputs(running)
	if err != nil {
		return err
	}
	var gatherers []*gatherer
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, input := range running {
		g := newGatherer(c, input, first)
		gatherers = append(gatherers, g)
		wg.Go(func() { g.gatherUntil(ctx) })
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewReader(o.Stdin); ; {
			if _, err := lines.ReadSlice('\n'); err == nil {
				promptAll(gatherers)
			} else if !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	}()
	for {
		select {
		case <-o.Prompts:
			promptAll(gatherers)
		case <-ended:
			return nil
		case <-ctx.Done():
			return nil
		case <-s.failed:
			return nil // close has the error
		}
	}
}

// startInputs starts the service inputs. It returns those that have to be stopped, also
// with an error.
func startInputs(
	c *config.Config, to func(telegraf.Metric), s *sink,
) (running []*models.RunningInput, err error) {
	for _, input := range c.Inputs {
		input.SetDefaultTags(c.Tags)
		acc := &accumulator{maker: input, to: to, precision: time.Nanosecond, lines: newLineSink(s, c, input)}
		if input.Config.Precision > 0 {
			acc.precision = input.Config.Precision
		}
		err := input.Start(acc)
		switch behaviour := input.Config.StartupErrorBehavior; {
		case err == nil:
			running = append(running, input)
		case behaviour == "ignore" || behaviour == "probe":
			input.Log().Errorf("It is not used: %v", err)
		default:
			return running, fmt.Errorf("%s: %w", input.LogName(), err)
		}
	}
	if len(running) == 0 {
		return nil, errors.New("none of the inputs could start")
	}
	return running, nil
}

func stopInputs(running []*models.RunningInput) {
	for _, input := range running {
		input.Stop()
	}
}

// gatherer collects one input's metrics: at its interval, or, once Telegraf has asked
// for it, whenever it asks (the option signal of inputs.execd).
type gatherer struct {
	input    *models.RunningInput
	acc      *accumulator
	interval time.Duration
	prompts  chan struct{}
}

func newGatherer(c *config.Config, input *models.RunningInput, to func(telegraf.Metric)) *gatherer {
	g := &gatherer{input: input, interval: time.Duration(c.Agent.Interval), prompts: make(chan struct{}, 1)}
	if input.Config.Interval > 0 {
		g.interval = input.Config.Interval
	}
	precision := time.Duration(c.Agent.Precision)
	if input.Config.Precision > 0 {
		precision = input.Config.Precision
	}
	g.acc = &accumulator{maker: input, to: to, precision: precisionOf(precision, g.interval)}
	return g
}

// precisionOf gives what Telegraf rounds the times of an input to that is asked at an
// interval.
func precisionOf(precision, interval time.Duration) time.Duration {
	if precision > 0 {
		return precision
	}
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if interval >= unit {
			return unit
		}
	}
	return time.Nanosecond
}

func (g *gatherer) gatherUntil(ctx context.Context) {
	own := time.NewTicker(max(g.interval, time.Millisecond))
	defer own.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-own.C:
		case <-g.prompts:
			own.Stop()
		}
		if err := g.input.Gather(g.acc); err != nil {
			g.acc.AddError(err)
		}
	}
}

// promptAll asks for a collection of every input, unless one is due already.
func promptAll(list []*gatherer) {
	for _, g := range list {
		select {
		case g.prompts <- struct{}{}:
		default:
		}
	}
}

// runProcessors runs what stands between Stdin and Stdout.
func runProcessors(ctx context.Context, c *config.Config, o Options) (err error) {
	s := newSink(o.Stdout, o.BatchInterval)
	first, stopChain, err := chain(c.Processors, s.addMetric)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- readAll(o.Stdin, first) }()
	patience := newPatience(ctx, o.Patience)
	defer patience.stop()
	select {
	case err = <-ended:
		stopChain()
	case <-s.failed:
	case <-patience.over:
		err = errors.New("standard input has not ended: what Telegraf still has is not processed")
	}
	return errors.Join(err, s.close())
}

// readAll gives all metrics of a stream to a function. Lines that are none are counted
// and logged.
func readAll(from io.Reader, to func(telegraf.Metric)) error {
	r := newReader(from)
	var bad badLines
	defer bad.last()
	for {
		m, err := r.next()
		switch {
		case err == nil:
			to(m)
		case errors.Is(err, errLine):
			bad.addError(err)
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}
