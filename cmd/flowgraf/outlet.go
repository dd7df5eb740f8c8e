package main

import (
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/models"

	"github.com/flowgraf/flowgraf/outputs/nfdump"
)

// How long the agent waits for one call of an output when it stops or reloads, and
// between attempts at an output that could not be opened after a reload.
const (
	stopPatience   = 10 * time.Second
	reloadPatience = time.Second
	reconnectPause = 5 * time.Second
)

// outletState says what an outlet does with metrics.
type outletState int

const (
	outletOpen     outletState = iota // writes them
	outletStopping                    // writes them, and gives up a call that does not return
	outletHanding                     // keeps them for its successor
)

var (
	errNoAnswer   = errors.New("the output does not answer")
	errKeptOnDisk = errors.New("the metrics stay in buffer_directory for the new configuration")
)

// outlet stands between Telegraf's agent and an output, so that an output that hangs
// holds up neither the end of the agent nor a reload, and so that a reload loses nothing
// of what is not written yet: what the agent flushes then goes to the outlet of the same
// output in the new configuration. Delivery is at least once: what a call was writing
// when it was given up is written again. What a consumer of a broker has read counts as
// delivered once it is handed over.
type outlet struct {
	telegraf.Output
	running *models.RunningOutput

	turn chan struct{} // has a token while a call of the output is under way
	left chan struct{} // closed when the state changes
	late bool          // opened after a reload

	mu       sync.Mutex
	state    outletState
	patience time.Duration // for one call, since left
	hangs    bool          // a call was given up
	err      error         // of the last Write

	writing   sync.Mutex // held by Write and by catchUp
	connected bool
	backlog   *models.RunningOutput // what came before the reload; nil is none
}

// wrapOutputs puts an outlet in front of every output of c, the archive's first. They
// take over the backlog of the outlets before, if there were any.
func wrapOutputs(c *config.Config, before []*outlet) []*outlet {
	c.Outputs = archivesFirst(c.Outputs)
	heirs := map[string][]*outlet{}
	for _, o := range before {
		heirs[o.running.Config.ID] = append(heirs[o.running.Config.ID], o)
	}
	var list []*outlet
	for _, running := range c.Outputs {
		if !wrappable(running.Output) {
			continue
		}
		o := &outlet{
			Output: running.Output, running: running, late: before != nil,
			turn: make(chan struct{}, 1), left: make(chan struct{}),
		}
		if same := heirs[running.Config.ID]; len(same) > 0 {
			heirs[running.Config.ID] = same[1:]
			o.inherit(same[0])
		}
		running.Output = o
		list = append(list, o)
	}
	return list
}

// archivesFirst returns the outputs with those in front that keep files: what they have
// is on disk before anything waits for a server.
func archivesFirst(outputs []*models.RunningOutput) []*models.RunningOutput {
	var archives, others []*models.RunningOutput
	for _, r := range outputs {
		if _, ok := r.Output.(*nfdump.Nfdump); ok {
			archives = append(archives, r)
		} else {
			others = append(others, r)
		}
	}
	return append(archives, others...)
}

// wrappable says whether an output has no more methods than an outlet passes on.
func wrappable(out telegraf.Output) bool {
	_, aggregates := out.(telegraf.AggregatingOutput)
	_, stateful := out.(telegraf.StatefulPlugin)
	return !aggregates && !stateful
}

// Init passes on what the output has.
func (o *outlet) Init() error {
	if p, ok := o.Output.(telegraf.Initializer); ok {
		return p.Init()
	}
	return nil
}

// ID passes on what the output has, else Telegraf's own.
func (o *outlet) ID() string {
	if p, ok := o.Output.(telegraf.PluginWithID); ok {
		return p.ID()
	}
	return o.running.Config.ID
}

// Connect opens the output. After a reload an output that cannot be opened, or whose
// place is still held by the one before, is opened later: a reload never ends an agent
// that was running.
func (o *outlet) Connect() error {
	if !o.late {
		err := o.call(o.Output.Connect)
		o.connected = err == nil
		return err
	}
	opened := make(chan struct{})
	go o.catchUp(opened)
	select {
	case <-opened:
	case <-time.After(reloadPatience):
	}
	return nil
}

// catchUp opens the output and writes the backlog, until that is done or the agent ends.
// It closes opened after the first attempt to open it.
func (o *outlet) catchUp(opened chan struct{}) {
	for tries := 0; ; tries++ {
		o.writing.Lock()
		err := o.open()
		if tries == 0 {
			close(opened)
		}
		if err == nil {
			err = o.writeBacklog()
		}
		o.writing.Unlock()
		if err == nil || errors.Is(err, errNoAnswer) {
			return
		}
		if tries == 0 {
			log.Printf("E! [%s] After the reload: %v; it is tried again", o.running.LogName(), err)
		}
		select {
		case <-o.left:
			return
		case <-time.After(reconnectPause):
		}
	}
}

// open opens the output if it is not open.
func (o *outlet) open() error {
	if o.connected {
		return nil
	}
	if err := o.call(o.Output.Connect); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	o.connected = true
	return nil
}

// writeBacklog writes what came before the reload, if there is something.
func (o *outlet) writeBacklog() error {
	if o.backlog == nil {
		return nil
	}
	if err := o.backlog.Write(); errors.Is(err, errNoAnswer) {
		return errNoAnswer
	} else if err != nil { // not wrapped: it may tell Telegraf which metrics of the backlog are to be kept
		return fmt.Errorf("writing what came before the reload: %v", err)
	}
	o.backlog = nil
	return nil
}

// write writes metrics, behind the backlog.
func (o *outlet) write(metrics []telegraf.Metric) error {
	if err := o.open(); err != nil {
		return err
	}
	if err := o.writeBacklog(); err != nil {
		return err
	}
	return o.call(func() error { return o.Output.Write(metrics) })
}

// call calls the output. While the outlet is open it waits for the return, after that
// only as long as the outlet has patience. Calls are one after the other, also those
// that nobody waits for any more.
func (o *outlet) call(f func() error) error {
	if o.hanging() {
		return errNoAnswer
	}
	done := make(chan error, 1)
	go func() {
		o.turn <- struct{}{}
		err := f()
		<-o.turn
		done <- err
	}()
	return o.wait(done)
}

// wait waits for the end of a call, as long as the outlet has patience.
func (o *outlet) wait(done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-o.left:
	}
	o.mu.Lock()
	patience := o.patience
	o.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		o.mu.Lock()
		o.hangs = true
		o.mu.Unlock()
		return errNoAnswer
	}
}

func (o *outlet) hanging() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hangs
}

// Write writes metrics, or keeps them when the agent is reloading.
func (o *outlet) Write(metrics []telegraf.Metric) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	err := errNoAnswer
	if o.is() != outletHanding {
		err = o.write(metrics)
	}
	handing := o.is() == outletHanding
	switch {
	case handing && o.running.Config.BufferStrategy == "disk_write_through":
		if err != nil {
			err = errKeptOnDisk
		}
	case handing && errors.Is(err, errNoAnswer):
		o.keep(metrics)
		err = nil
	}
	o.note(err)
	return err
}

// keep adds copies of metrics to the backlog: a call that was given up may still read them.
func (o *outlet) keep(metrics []telegraf.Metric) {
	if o.backlog == nil {
		if o.backlog = o.newBacklog(); o.backlog == nil {
			return
		}
	}
	for _, m := range metrics {
		o.backlog.AddMetric(m)
	}
}

// newBacklog returns an empty backlog. Telegraf's own buffer of an output holds it, so
// the same bound is its bound, and what an output rejects goes.
func (o *outlet) newBacklog() *models.RunningOutput {
	r := o.running
	c := &models.OutputConfig{Name: r.Config.Name, Alias: r.Config.Alias, ID: r.Config.ID + "-reload"}
	backlog, err := models.NewRunningOutput(&backlogWriter{}, c, r.MetricBatchSize, r.MetricBufferLimit)
	if err != nil { // only buffers on disk can fail
		log.Printf("E! [%s] %v", r.LogName(), err)
		return nil
	}
	backlog.Output = &backlogWriter{o}
	_ = backlog.Connect()
	return backlog
}

// inherit takes over the backlog of the outlet before.
func (o *outlet) inherit(before *outlet) {
	before.writing.Lock()
	defer before.writing.Unlock()
	if o.backlog = before.backlog; o.backlog != nil {
		o.backlog.Output = &backlogWriter{o}
	}
	before.backlog = nil
}

// backlogWriter is the output of a backlog.
type backlogWriter struct{ outlet *outlet }

func (*backlogWriter) SampleConfig() string { return "" }
func (*backlogWriter) Connect() error       { return nil }
func (*backlogWriter) Close() error         { return nil }

// Write writes what is from the backlog.
func (w *backlogWriter) Write(metrics []telegraf.Metric) error {
	return w.outlet.call(func() error { return w.outlet.Output.Write(metrics) })
}

// leave changes the state, for good.
func (o *outlet) leave(state outletState, patience time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outletOpen {
		return
	}
	o.state, o.patience = state, patience
	close(o.left)
}

func (o *outlet) is() outletState {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state
}

// Close closes the output; one that hangs, when it returns.
func (o *outlet) Close() error {
	if o.is() == outletStopping {
		o.writing.Lock()
		if o.connected {
			if err := o.writeBacklog(); err != nil {
				o.note(err)
			}
		}
		o.writing.Unlock()
	}
	done := make(chan error, 1)
	go func() {
		o.turn <- struct{}{}
		done <- o.Output.Close()
		<-o.turn
	}()
	if o.hanging() {
		return nil // what it has not written is told by unwritten
	}
	return o.wait(done)
}

// note keeps the error of the last Write.
func (o *outlet) note(err error) {
	o.mu.Lock()
	o.err = err
	o.mu.Unlock()
}

// unwritten returns how many metrics were not written, whether they are on disk, and
// why.
func (o *outlet) unwritten() (n int, onDisk bool, why error) {
	n = o.running.BufferLength()
	o.writing.Lock()
	defer o.writing.Unlock()
	if o.backlog != nil {
		n += o.backlog.BufferLength()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return n, o.running.Config.BufferStrategy == "disk_write_through", o.err
}

// unwrittenError says what outlets have not written, nil when nothing is lost. What is
// on disk is only logged.
func unwrittenError(outlets []*outlet) error {
	var errs []error
	for _, o := range outlets {
		n, onDisk, why := o.unwritten()
		switch {
		case n == 0:
		case onDisk:
			log.Printf("W! [%s] %d metrics are not written yet (%v); they are kept in buffer_directory for the next "+
				"start",
				o.running.LogName(), n, why)
		default:
			errs = append(errs, fmt.Errorf("%s: %d metrics were not written and are lost: %w", o.running.LogName(), n,
				why))
		}
	}
	return errors.Join(errs...)
}
