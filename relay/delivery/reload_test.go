package delivery

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// reopen is a graceful restart.
func (b *bench) reopen() {
	b.t.Helper()
	b.sender.Stop()
	if err := b.queue.Close(); err != nil {
		b.t.Fatal(err)
	}
	q, waiting, err := queue.Open(b.dir, b.mon)
	if err != nil {
		b.t.Fatal(err)
	}
	opts := b.sender.opts
	opts.Queue = q
	b.queue, b.sender = q, New(opts)
	for i := range waiting {
		b.sender.Add(&waiting[i])
	}
	b.start()
}

// addHeld adds a mail that waits for a person.
func (b *bench) addHeld(body, to string) string {
	b.t.Helper()
	env := &queue.Envelope{ID: b.queue.NewID(), From: "a@example.com", To: []string{to}, Received: time.Now().UTC()}
	if err := b.queue.Add(env, []byte(body)); err != nil {
		b.t.Fatal(err)
	}
	if err := b.queue.SetHeld(env.ID, true); err != nil {
		b.t.Fatal(err)
	}
	b.sender.Add(env)
	return env.ID
}

// drop removes a mail, also one that is being delivered at this moment.
func (b *bench) drop(id string) {
	b.t.Helper()
	err := b.sender.Drop(id)
	for tries := 0; errors.Is(err, ErrBusy) && tries < 60; tries++ {
		time.Sleep(time.Second)
		err = b.sender.Drop(id)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// Fifty reloads while some mails are put off again and again: each mail arrives once,
// removed ones not at all.
func TestReloads(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.start()
		removed := map[string]bool{}
		var held []string // they keep the journal's segments
		n := 0
		for reload := range 50 {
			for _, to := range []string{"now@example.com", "soon@example.com", "later@example.com",
				"never@example.com"} {
				id := b.addMail(fmt.Sprintf("number %d.\r\n", n), to)
				if n++; strings.HasPrefix(to, "never") {
					removed[id] = true
				}
			}
			for _, to := range []string{"soon", "later", "never"} {
				b.servers[0].set("RCPT <"+to+"@example.com>", "450 4.2.0 greylisted")
			}
			time.Sleep(5 * time.Second)
			if reload%3 == 0 { // otherwise some wait over several reloads
				b.servers[0].unset("RCPT <soon@example.com>")
			}
			if reload%10 == 9 {
				b.servers[0].unset("RCPT <later@example.com>")
			}
			held = append(held, b.addHeld(fmt.Sprintf("held %d.\r\n", reload), "held@example.com"))
			time.Sleep(20 * time.Second)
			if reload%7 == 6 {
				for id := range removed {
					b.drop(id)
				}
				clear(removed)
			}
			b.reopen()
		}
		for id := range removed {
			b.drop(id)
		}
		b.servers[0].clear()
		b.reopen()
		for _, id := range held {
			if err := b.sender.Retry(id); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		want := n/4*3 + len(held)
		copies := map[string]int{}
		for _, mail := range b.servers[0].got() {
			copies[mail]++
		}
		if len(copies) != want || b.sender.Waiting() != 0 {
			t.Errorf("%d different mails have arrived, want %d; %d wait", len(copies), want, b.sender.Waiting())
		}
		for mail, times := range copies {
			if times != 1 {
				t.Errorf("%q has arrived %d times", mail, times)
			}
		}
	})
}
