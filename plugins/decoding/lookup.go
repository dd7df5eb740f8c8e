package decoding

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/plugins/enrich"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Enrichment is which files tell what of addresses.
type Enrichment struct {
	Files    []string        `toml:"files"`
	Interval config.Duration `toml:"interval"`

	tables *enrich.Tables
	stop   chan struct{} // nil while it does not run
	wg     sync.WaitGroup
}

// enrichInterval is how often files are looked at for changes, unless Interval says.
const enrichInterval = time.Minute

// init checks the options and reads the files.
func (e *Enrichment) init() (err error) {
	if len(e.Files) == 0 {
		return errors.New("files: expected at least one, as files = [\"/etc/flowgraf/networks.csv\"]")
	}
	if e.Interval < 0 || e.Interval > 0 && time.Duration(e.Interval) < time.Second {
		return fmt.Errorf("interval: expected at least 1s, got %s", time.Duration(e.Interval))
	}
	e.tables, err = enrich.Open(e.Files)
	return err
}

// start begins to look for changes.
func (e *Enrichment) start(log telegraf.Logger) {
	stop, every := make(chan struct{}), time.Duration(e.Interval)
	if every == 0 {
		every = enrichInterval
	}
	e.stop = stop
	e.wg.Go(func() { e.tables.Watch(every, stop, func(err error) { log.Warnf("enrich: %v", err) }) })
}

// end ends what start has begun.
func (e *Enrichment) end() {
	if e.stop != nil {
		close(e.stop)
		e.wg.Wait()
		e.stop = nil
	}
}

// count adds the counters of the files.
func (e *Enrichment) count(fields map[string]interface{}) {
	fields["enrich_reloads"], fields["enrich_errors"] = e.tables.Stats()
}

// enriching returns what enriches a flow: names of a vCenter and of files, as far as there
// are any.
func enriching(v *VCenter, e *Enrichment) func(*flow.Record, *flow.Names) {
	switch {
	case v != nil && e != nil:
		return func(r *flow.Record, n *flow.Names) {
			v.enrich(r, n)
			e.tables.Enrich(r, n)
		}
	case v != nil:
		return v.enrich
	case e != nil:
		return e.tables.Enrich
	}
	return nil
}
