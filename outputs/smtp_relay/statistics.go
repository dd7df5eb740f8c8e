package smtp_relay

import (
	"sync"
	"time"

	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/relay"
)

// statistics carries the relay's counters to Telegraf's statistics of itself, where
// inputs.smtp_relay finds them: a field for each event, the reason as a tag.
type statistics struct {
	collector *selfstat.Collector // nil outside of an agent

	mu    sync.Mutex
	stats map[statKey]selfstat.Stat
}

type statKey struct {
	event  relay.Event
	reason string
}

func newStatistics(collector *selfstat.Collector) *statistics {
	return &statistics{collector: collector, stats: map[statKey]selfstat.Stat{}}
}

// addEvent counts. Reasons are words of the relay and names of alerts, so
// their number is bounded.
func (s *statistics) addEvent(event relay.Event, reason string, n int64) {
	if stat := s.get(event, reason); stat != nil {
		stat.Incr(n)
	}
}

// setWaiting publishes the length of the queue and the age of its oldest mail.
func (s *statistics) setWaiting(n int, oldest time.Duration) {
	if stat := s.get("queued", ""); stat != nil {
		stat.Set(int64(n))
	}
	if stat := s.get("oldest_s", ""); stat != nil {
		stat.Set(int64(oldest.Seconds()))
	}
}

// maxSeries bounds the series, should the hosts of deferrals be many.
const maxSeries = 1000

// get gives the statistic of an event, nil outside of an agent. The collector is
// not safe for concurrent use by itself.
func (s *statistics) get(event relay.Event, reason string) selfstat.Stat {
	if s.collector == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := statKey{event, reason}
	stat := s.stats[key]
	if stat == nil {
		if len(s.stats) >= maxSeries {
			return nil
		}
		stat = s.collector.Register("smtp_relay", string(event), event.Labels(reason))
		s.stats[key] = stat
	}
	return stat
}
