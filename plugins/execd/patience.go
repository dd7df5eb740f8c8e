package execd

import (
	"context"
	"log"
	"time"
)

// patience is the time between the end of a context and the end of all attempts.
type patience struct {
	over   chan struct{} // closed at the end
	cancel func()
}

func newPatience(ctx context.Context, length time.Duration) *patience {
	p := &patience{over: make(chan struct{})}
	stopped, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		select {
		case <-ctx.Done():
		case <-stopped.Done():
			return
		}
		select {
		case <-time.After(length):
			close(p.over)
		case <-stopped.Done():
		}
	}()
	return p
}

func (p *patience) stop() { p.cancel() }

// badLogInterval is how often lines that cannot be read are logged.
const badLogInterval = time.Minute

// badLines counts lines that cannot be read, and logs them now and then.
type badLines struct {
	count  int
	logged time.Time
}

func (b *badLines) addError(err error) {
	b.count++
	if time.Since(b.logged) >= badLogInterval {
		b.logged = time.Now()
		log.Printf("W! %d lines of Telegraf are left out: %.300q", b.count, err.Error())
		b.count = 0
	}
}

// last logs those that have not been logged yet.
func (b *badLines) last() {
	if b.count > 0 {
		log.Printf("W! %d lines of Telegraf are left out", b.count)
	}
}
