package delivery

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// A held mail is not tried and is listed as such, until it is let go; one that is dropped or
// returned is gone, and the sender of the latter alone hears of it.
func TestHoldDropBounce(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].goDown()
		b.start()
		held := b.addMail("held\r\n", "x@example.com")
		dropped := b.addMail("dropped\r\n", "x@example.com")
		returned := b.addMail("returned\r\n", "x@example.com", "y@example.com")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if err := errors.Join(b.sender.Hold(held), b.sender.Drop(dropped), b.sender.Bounce(returned)); err != nil {
			t.Fatal(err)
		}
		b.servers[0].clear()
		time.Sleep(time.Hour)
		synctest.Wait()
		b.want(0, 1)
		list := b.sender.List()
		if len(list) != 1 || list[0].ID != held || !list[0].Held || list[0].Busy || len(list[0].Waits) > 0 {
			t.Errorf("the queue has %+v", list)
		}
		if got := b.failed(); len(got) != 1 || got[0] != returned {
			t.Errorf("returned are %q", got)
		}
		for i, r := range b.failures() {
			if r.Recipient != i || r.State != queue.Undeliverable || r.Status != "5.0.0" ||
				r.Text != "returned by the administrator of the relay" {
				t.Errorf("recipient %d: %+v", i, r)
			}
		}
		if n := len(b.failures()); n != 2 {
			t.Errorf("%d recipients are returned, want 2", n)
		}
		if err := b.sender.Hold(held); err != nil { // again
			t.Error(err)
		}
		if err := b.sender.Retry(held); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.want(1, 1)
		if b.sender.Waiting() != 0 || b.sender.Oldest() != 0 {
			t.Errorf("%d mails wait, the oldest for %s", b.sender.Waiting(), b.sender.Oldest())
		}
	})
}

// Held mails can be dropped and returned too; of a recipient that has the mail already
// nothing is returned.
func TestBounceOfTheRest(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].set("RCPT <y@example.com>", "450 4.2.0 later")
		b.start()
		returned := b.addMail("returned\r\n", "x@example.com", "y@example.com")
		dropped := b.addMail("dropped\r\n", "y@example.com")
		synctest.Wait()
		if err := errors.Join(b.sender.Hold(returned), b.sender.Hold(dropped)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.sender.Bounce(returned), b.sender.Drop(dropped)); err != nil {
			t.Fatal(err)
		}
		got := b.failures()
		if len(got) != 1 || got[0].Recipient != 1 || b.sender.Waiting() != 0 {
			t.Errorf("returned %+v, %d mails wait", got, b.sender.Waiting())
		}
	})
}

// What is asked of a mail that is not there, or that is on the wire, is refused.
func TestAdministrationRefused(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].set("dot", stall)
		b.start()
		busy := b.addMail("busy\r\n", "x@example.com")
		synctest.Wait()
		for name, ask := range map[string]func(string) error{"hold": b.sender.Hold, "drop": b.sender.Drop,
			"bounce": b.sender.Bounce} {
			if err := ask("0000000a-1"); !errors.Is(err, ErrUnknown) {
				t.Errorf("%s of no mail: %v", name, err)
			}
			if err := ask(busy); !errors.Is(err, ErrBusy) {
				t.Errorf("%s of a mail on the wire: %v", name, err)
			}
		}
		if list := b.sender.List(); len(list) != 1 || !list[0].Busy || list[0].Asking != "h1[192.0.2.1]:25" {
			t.Errorf("the queue has %+v", list)
		}
	})
}

// The list says when a mail is tried at the earliest: when the pause of its server ends.
func TestDueInTheList(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].goDown()
		b.start()
		first := b.addMail("one\r\n", "x@example.com")
		time.Sleep(time.Second)
		second := b.addMail("two\r\n", "x@example.com")
		synctest.Wait()
		list := b.sender.List()
		if len(list) != 2 || list[0].ID != first || list[1].ID != second {
			t.Fatalf("the queue has %+v", list)
		}
		for _, st := range list {
			if len(st.Waits) != 1 || !st.Due.Equal(st.Waits[0].Until) || !st.Due.After(time.Now()) || st.Busy ||
				st.Held {
				t.Errorf("%s is due at %v, its server waits %+v", st.ID, st.Due, st.Waits)
			}
		}
	})
}
