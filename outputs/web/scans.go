package web

import (
	"context"
	"errors"
	"sync"
	"time"
)

// scans runs the scans: so many at once, equal questions in one, with the last answers at
// hand. A scan that nobody waits for any more ends.
type scans struct {
	places  chan struct{} // one for each that may run
	timeout time.Duration // of one scan
	waiting int           // scans at most that wait for a place

	mu    sync.Mutex
	open  map[string]*scan
	queue int                // that wait
	kept  map[string]*Answer // by key
	order []string           // of kept, the oldest first
	speed float64            // bytes of files a second
	total int                // scans begun
}

// keptAnswers is how many answers are at hand.
const keptAnswers = 32

// usualSpeed is expected of the first scan, bytes of files a second.
const usualSpeed = 100e6

// maxWaiting bounds the scans that wait.
const maxWaiting = 64

// newScans returns scans of which so many run at once, each for so long at most.
func newScans(n int, timeout time.Duration) *scans {
	return &scans{places: make(chan struct{}, n), timeout: timeout, waiting: maxWaiting, open: map[string]*scan{},
		kept: map[string]*Answer{}, speed: usualSpeed}
}

// errBusy says that too many wait.
var errBusy = errors.New("too many scans are waiting: try again when some have ended")

// scan is one scan, and those who wait for it.
type scan struct {
	cancel  context.CancelFunc
	waiters int
	ended   chan struct{}

	mu     sync.Mutex
	done   int64 // bytes
	total  int64
	answer *Answer // so far; the whole one when it has ended
	number int     // counts the answers
	err    error
}

// look returns how far the scan is.
func (s *scan) look() (done, total int64, answer *Answer, number int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done, s.total, s.answer, s.number, s.err
}

// set notes an answer.
func (s *scan) set(a *Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = a
	s.number++
}

// progress notes how far it is.
func (s *scan) progress(done, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.total = done, total
}

// waitForPlace takes a place, waiting for one; leave gives it back.
func (m *scans) waitForPlace(ctx context.Context) error {
	m.mu.Lock()
	if m.queue >= m.waiting {
		m.mu.Unlock()
		return errBusy
	}
	m.queue++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.queue--
		m.mu.Unlock()
	}()
	select {
	case m.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *scans) leave() { <-m.places }

// join returns the scan of a key, which run does if there is none yet. Who has joined
// leaves with drop.
func (m *scans) join(key string, run func(context.Context, *scan) *Answer) *scan {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.kept[key]; a != nil {
		s := &scan{ended: make(chan struct{}), cancel: func() {}, answer: a, number: 1, waiters: 1}
		close(s.ended)
		return s
	}
	if s := m.open[key]; s != nil {
		s.waiters++
		return s
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.timeout)
	s := &scan{cancel: cancel, waiters: 1, ended: make(chan struct{})}
	m.open[key] = s
	m.total++
	go m.runScan(ctx, key, s, run)
	return s
}

// runScan runs a scan when there is a place.
func (m *scans) runScan(ctx context.Context, key string, s *scan, run func(context.Context, *scan) *Answer) {
	defer s.cancel()
	defer close(s.ended)
	var answer *Answer
	err := m.waitForPlace(ctx)
	if err == nil {
		answer = run(ctx, s)
		m.leave()
		s.set(answer)
	} else {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open[key] == s {
		delete(m.open, key)
	}
	if answer == nil || !answer.Done {
		return
	}
	if answer.Elapsed > 0.05 {
		m.speed = 0.7*m.speed + 0.3*float64(answer.Bytes)/answer.Elapsed
	}
	m.kept[key] = answer
	if m.order = append(m.order, key); len(m.order) > keptAnswers {
		delete(m.kept, m.order[0])
		m.order = m.order[1:]
	}
}

// drop leaves a scan; when nobody waits for it any more it ends.
func (m *scans) drop(key string, s *scan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.waiters--; s.waiters == 0 {
		s.cancel()
		if m.open[key] == s {
			delete(m.open, key)
		}
	}
}

// state returns the speed of scans, bytes a second, and how many have been begun.
func (m *scans) state() (speed float64, begun int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(m.speed, 1e6), m.total
}
