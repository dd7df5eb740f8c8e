package replay

import (
	"context"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Pace is how fast is sent. Speed goes before Rate; the zero value is as fast as
// possible.
type Pace struct {
	Rate  float64       // flows, or with datagrams these, in a second
	Speed float64       // times the pace at which they came in; 1 is the original one
	Delay time.Duration // between two datagrams
}

// pacer keeps a pace. Its clock starts with the first flow.
type pacer struct {
	Pace
	started   time.Time
	first     flow.Time
	latest    flow.Time
	units     float64 // flows or datagrams so far
	datagrams time.Duration
}

// patience is how long what waits for a datagram may wait with it: before a longer pause
// it is sent.
const patience = 50 * time.Millisecond

// wait waits until what came in at a time may be sent. Before a pause it calls flush,
// which may be nil. The end of ctx is an error.
func (p *pacer) wait(ctx context.Context, at flow.Time, flush func() error) error {
	if p.started.IsZero() {
		p.started, p.first, p.latest = time.Now(), at, at
	}
	p.latest = max(p.latest, at)
	due := p.datagrams * p.Delay
	switch {
	case p.Speed > 0:
		due = max(due, time.Duration(float64(p.latest-p.first)/p.Speed))
	case p.Rate > 0:
		due = max(due, time.Duration(p.units/p.Rate*float64(time.Second)))
	}
	p.units++
	if due == 0 {
		return ctx.Err()
	}
	pause := time.Until(p.started.Add(due))
	if pause <= 0 {
		return ctx.Err()
	}
	if pause > patience && flush != nil {
		if err := flush(); err != nil {
			return err
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// sent counts a datagram.
func (p *pacer) sent() { p.datagrams++ }
