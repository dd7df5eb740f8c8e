package execd

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/models"
)

// Pauses between attempts at an output, and how often its failure is logged.
const (
	firstPause  = 200 * time.Millisecond
	longestWait = 5 * time.Second
	logInterval = 30 * time.Second
)

// runOutputs writes what comes on Stdin until it ends.
func runOutputs(ctx context.Context, c *config.Config, o Options) (err error) {
	connected, err := connect(c.Outputs)
	defer func() {
		for _, out := range connected {
			out.Close()
		}
	}()
	if err != nil {
		return err
	}
	p := newPatience(ctx, o.Patience)
	defer p.stop()
	b := newBatch(connected, o.BatchInterval, p.over)
	first, stopChain, err := chain(c.Processors, b.addMetric)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		err := readAll(o.Stdin, first)
		stopChain()
		b.close()
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-p.over:
		select { // an attempt that was under way ends now, a read may not
		case err = <-ended:
		case <-time.After(time.Second / 2):
			err = errors.New("standard input has not ended: what Telegraf still has is not written")
		}
	}
	return errors.Join(err, b.unwritten())
}

// connect opens the outputs. It returns those that are open, also with an error.
func connect(list []*models.RunningOutput) (connected []*models.RunningOutput, err error) {
	for _, out := range list {
		err := out.Connect()
		switch {
		case err == nil:
			connected = append(connected, out)
		case out.Config.StartupErrorBehavior == "ignore":
			out.Log().Errorf("It is not used: %v", err)
		default:
			return connected, fmt.Errorf("%s: %w", out.LogName(), err)
		}
	}
	if len(connected) == 0 {
		return nil, errors.New("none of the outputs could start")
	}
	return connected, nil
}

// batch gathers metrics and writes them to the outputs. While it writes, add waits:
// there is never more than one batch under way, and none is given up before giveUp is
// closed.
type batch struct {
	outputs  []*models.RunningOutput
	size     int
	interval time.Duration
	giveUp   <-chan struct{}

	mu      sync.Mutex
	metrics []telegraf.Metric
	timer   *time.Timer // runs while something waits
}

func newBatch(outputs []*models.RunningOutput, interval time.Duration, giveUp <-chan struct{}) *batch {
	b := &batch{outputs: outputs, size: outputs[0].MetricBatchSize, interval: interval, giveUp: giveUp}
	for _, out := range outputs { // the buffers must hold a batch, else they drop of it
		b.size = max(1, min(b.size, out.MetricBatchSize, out.MetricBufferLimit))
	}
	b.timer = time.AfterFunc(time.Hour, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.flush()
	})
	b.timer.Stop()
	return b
}

func (b *batch) addMetric(m telegraf.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.metrics = append(b.metrics, m)
	switch len(b.metrics) {
	case b.size:
		b.flush()
	case 1:
		b.timer.Reset(b.interval)
	}
}

// close writes the rest.
func (b *batch) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
}

// flush writes what waits to all outputs, as often as it takes. The caller holds mu.
func (b *batch) flush() {
	b.timer.Stop()
	if len(b.metrics) == 0 || b.givenUp() {
		return
	}
	var wg sync.WaitGroup
	for i, out := range b.outputs {
		for _, m := range b.metrics {
			if i < len(b.outputs)-1 {
				out.AddMetric(m)
			} else {
				out.AddMetricNoCopy(m)
			}
		}
	}
	clear(b.metrics)
	b.metrics = b.metrics[:0]
	for _, out := range b.outputs {
		wg.Go(func() { b.write(out) })
	}
	wg.Wait()
}

func (b *batch) givenUp() bool {
	select {
	case <-b.giveUp:
		return true
	default:
		return false
	}
}

// write has an output write what it has, again and again until it does.
func (b *batch) write(out *models.RunningOutput) {
	pause := firstPause
	var logged time.Time
	for attempts := 1; ; attempts++ {
		err := out.Write()
		if err == nil && out.BufferLength() == 0 {
			if !logged.IsZero() {
				log.Printf("I! %s writes again", out.LogName())
			}
			return
		}
		if err != nil && time.Since(logged) >= logInterval {
			logged = time.Now()
			log.Printf("E! %s does not write, attempt %d; until it does nothing more is read: %v",
				out.LogName(), attempts, err)
		}
		if err == nil {
			continue // there was more than one batch
		}
		select {
		case <-b.giveUp:
			return
		case <-time.After(pause):
			pause = min(2*pause, longestWait)
		}
	}
}

// unwritten is an error that tells what the outputs have not written, nil when they have
// written all.
func (b *batch) unwritten() error {
	var errs []error
	for _, out := range b.outputs {
		if n := out.BufferLength(); n > 0 {
			errs = append(errs, fmt.Errorf("%s: %d metrics are not written", out.LogName(), n))
		}
	}
	if b.mu.TryLock() {
		defer b.mu.Unlock()
		if n := len(b.metrics); n > 0 {
			errs = append(errs, fmt.Errorf("%d metrics that were read are not written", n))
		}
	}
	return errors.Join(errs...)
}
