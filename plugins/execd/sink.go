package execd

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
)

// batchBytes is how much goes to Telegraf at once: what a pipe holds.
const batchBytes = 64 << 10

// sink writes metrics to Telegraf, many in one call. A metric waits for interval at most.
// While Telegraf does not read, add waits. Metrics are accepted when they are written.
type sink struct {
	to       io.Writer
	interval time.Duration
	failed   chan struct{} // closed at the first error

	mu      sync.Mutex
	buf     []byte
	pending []telegraf.Metric
	timer   *time.Timer // runs while something waits
	err     error
}

func newSink(to io.Writer, interval time.Duration) *sink {
	s := &sink{to: widen(to), interval: interval, failed: make(chan struct{})}
	s.timer = time.AfterFunc(time.Hour, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.flush()
	})
	s.timer.Stop()
	return s
}

func (s *sink) addMetric(m telegraf.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		m.Reject()
		return
	}
	first := len(s.buf) == 0
	s.buf = AppendMetric(s.buf, m)
	s.pending = append(s.pending, m)
	switch {
	case len(s.buf) >= batchBytes:
		s.flush()
	case first:
		s.timer.Reset(s.interval)
	}
}

// addLines adds metrics that are lines already. It does not keep them.
func (s *sink) addLines(lines []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if first := len(s.buf) == 0; len(s.buf)+len(lines) < batchBytes {
		s.buf = append(s.buf, lines...)
		if first {
			s.timer.Reset(s.interval)
		}
		return
	}
	s.flush()
	s.write(lines)
}

// write writes lines. The caller holds mu.
func (s *sink) write(lines []byte) {
	if len(lines) == 0 || s.err != nil {
		return
	}
	if _, err := s.to.Write(lines); err != nil {
		s.err = fmt.Errorf("writing metrics to Telegraf: %w", err)
		close(s.failed)
	}
}

// flush writes what waits. The caller holds mu.
func (s *sink) flush() {
	s.timer.Stop()
	s.write(s.buf)
	for i, m := range s.pending {
		if s.err == nil {
			m.Accept()
		} else {
			m.Reject()
		}
		s.pending[i] = nil
	}
	s.buf, s.pending = s.buf[:0], s.pending[:0]
}

// close writes the rest. It returns the first error of all.
func (s *sink) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush()
	return s.err
}
