// Package execd runs Telegraf's plugins as an external process of a stock Telegraf: its
// inputs.execd, processors.execd and outputs.execd start a program and talk line protocol
// with it over standard input and output.
//
// What is promised: unsigned integers stay unsigned; a line may be long, and a string
// may have newlines; metrics go out in batches, by size and by time; several plugins of
// one direction run in one process. What an output cannot write is tried again while
// nothing more is read, so that the pipe, and Telegraf behind it, wait instead of
// losing; a batch is written, that is as durable as the output makes it, before the next
// one is taken. The process ends when its standard input does.
//
// Telegraf's own shim (plugins/common/shim) does none of these.
package execd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/influxdata/telegraf/config"
)

// Options say how Run talks to Telegraf. Zero values but for the streams are usable.
type Options struct {
	Stdin  io.Reader
	Stdout io.Writer

	// BatchInterval is how long a metric may wait for a batch to fill; 0 is 100 ms.
	BatchInterval time.Duration

	// Patience is how long, after ctx has ended, what is on its way is still read and
	// written; 0 is 4 s: Telegraf kills a process 5 s after its SIGTERM.
	Patience time.Duration

	// Prompts ask for a collection, besides newlines on Stdin; nil asks for none.
	Prompts <-chan struct{}
}

// ErrPlugins is wrapped by the errors about plugins that cannot run in one process.
var ErrPlugins = errors.New("these plugins cannot run behind one execd")

// Direction is which of Telegraf's execd plugins starts the process.
type Direction string

// The directions.
const (
	Input     Direction = "inputs"
	Processor Direction = "processors"
	Output    Direction = "outputs"
)

// DirectionOf tells which of Telegraf's execd plugins has to run the plugins of c.
func DirectionOf(c *config.Config) (Direction, error) {
	switch {
	case len(c.Aggregators) > 0:
		return "", fmt.Errorf("%w: aggregators.%s: expected no aggregator, Telegraf itself can run it",
			ErrPlugins, c.Aggregators[0].Config.Name)
	case len(c.Inputs) > 0 && len(c.Outputs) > 0:
		return "", fmt.Errorf("%w: inputs and outputs: expected a file for inputs.execd and another one for "+
			"outputs.execd", ErrPlugins)
	case len(c.Inputs) > 0:
		return Input, nil
	case len(c.Outputs) > 0:
		return Output, nil
	case len(c.Processors) > 0:
		return Processor, nil
	}
	return "", fmt.Errorf("%w: there are none: expected an [[inputs.…]], [[processors.…]] or [[outputs.…]] table",
		ErrPlugins)
}

// Run runs the plugins of c, which are initialised, until Stdin ends or ctx does. Inputs
// and outputs may have processors beside them. An error tells what was not to be had, or
// how much could not be written.
func Run(ctx context.Context, c *config.Config, o Options) error {
	direction, err := DirectionOf(c)
	if err != nil {
		return err
	}
	if o.BatchInterval <= 0 {
		o.BatchInterval = 100 * time.Millisecond
	}
	if o.Patience <= 0 {
		o.Patience = 4 * time.Second
	}
	switch direction {
	case Input:
		return o.runBounded(ctx, func() error { return runInputs(ctx, c, o) })
	case Output:
		return runOutputs(ctx, c, o)
	}
	return o.runBounded(ctx, func() error { return runProcessors(ctx, c, o) })
}

// lastWords is how long, behind Patience, what writes to Stdout may take to say that it
// could not write all.
const lastWords = 300 * time.Millisecond

// runBounded runs what writes to Stdout, but no longer than Patience behind the end of ctx:
// a Telegraf that does not read keeps whoever writes in the write. The caller is to end
// the process then.
func (o *Options) runBounded(ctx context.Context, run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	patience := newPatience(ctx, o.Patience+lastWords)
	defer patience.stop()
	select {
	case err := <-done:
		return err
	case <-patience.over:
		return fmt.Errorf("standard output was not read for %s: what Telegraf still was to have is lost", o.Patience)
	}
}
