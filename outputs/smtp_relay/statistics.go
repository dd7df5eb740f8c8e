package smtp_relay

import (
	"sync"

	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// statistics carries the relay's counters to Telegraf's internal metrics:
// internal_smtp_relay, a field for each event, the reason as a tag.
type statistics struct {
	collector *selfstat.Collector // nil outside of an agent

	mu    sync.Mutex
	stats map[statKey]selfstat.Stat
}

type statKey struct {
	event  monitor.Event
	reason string
}

func newStatistics(collector *selfstat.Collector) *statistics {
	s := &statistics{collector: collector, stats: map[statKey]selfstat.Stat{}}
	for _, event := range []monitor.Event{monitor.Accepted, monitor.Delivered, monitor.Deferred} {
		s.add(event, "", 0)
	}
	return s
}

// add is a monitor's hook. Reasons are words of the relay and names of alerts, so
// their number is bounded.
func (s *statistics) add(event monitor.Event, reason string, n int64) {
	if stat := s.get(event, reason); stat != nil {
		stat.Incr(n)
	}
}

// setWaiting publishes the length of the queue.
func (s *statistics) setWaiting(n int) {
	if stat := s.get("waiting", ""); stat != nil {
		stat.Set(int64(n))
	}
}

// get gives the statistic of an event, nil outside of an agent. The collector is
// not safe for concurrent use by itself.
func (s *statistics) get(event monitor.Event, reason string) selfstat.Stat {
	if s.collector == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := statKey{event, reason}
	stat := s.stats[key]
	if stat == nil {
		var tags map[string]string
		if reason != "" {
			tags = map[string]string{"reason": reason}
		}
		stat = s.collector.Register("smtp_relay", string(event), tags)
		s.stats[key] = stat
	}
	return stat
}
