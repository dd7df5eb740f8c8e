package delivery

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
)

// hubs sends mail for hub.example.com to the second server and all other mail to the first.
func hubs(o *Options) {
	o.Routes = []Route{{
		Takes:      func(a address.Address) bool { return a.Domain == "hub.example.com" },
		Smarthosts: o.Smarthosts[1:],
	}}
	o.Smarthosts = o.Smarthosts[:1]
}

// Each recipient goes the way of its domain, also those of one mail, and a way that is
// closed holds nobody else up.
func TestRoutes(t *testing.T) {
	bubble(t, 2, hubs, func(b *bench) {
		b.start()
		b.addMail("x\r\n", "a@example.com")
		b.addMail("x\r\n", "a@hub.example.com")
		time.Sleep(time.Second)
		b.want(1, 1)
		b.want(1, 2)
		b.servers[1].goDown()
		time.Sleep(time.Minute)                                  // connections at hand are closed
		b.addMail("x\r\n", "a@example.com", "b@hub.example.com") // the second one waits
		b.addMail("x\r\n", "c@hub.example.com")
		b.addMail("x\r\n", "c@example.com")
		time.Sleep(time.Second)
		synctest.Wait()
		b.want(3, 1)
		b.want(1, 2)
		for _, status := range b.sender.List() {
			if len(status.Waits) != 1 || !strings.HasPrefix(status.Waits[0].Host, "h2[") {
				t.Errorf("%s waits for %+v, want the hub alone", status.ID, status.Waits)
			}
		}
		b.servers[1].clear()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		b.want(3, 1)
		b.want(3, 2)
		if b.sender.Waiting() != 0 || len(b.failed()) != 0 {
			t.Errorf("%d wait, failed %v", b.sender.Waiting(), b.failed())
		}
	})
}

// The refusal of one way is not the other's, and TLS is the server's own.
func TestRouteRefuses(t *testing.T) {
	bubble(t, 2, func(o *Options) {
		hubs(o)
		o.TLS = TLSRequired
		o.Routes[0].Smarthosts[0].TLS = TLSNone
	}, func(b *bench) {
		b.servers[1].set("RCPT <b@hub.example.com>", "550 5.1.1 unknown")
		b.start()
		b.addMail("x\r\n", "a@hub.example.com", "b@hub.example.com")
		b.addMail("x\r\n", "a@example.com") // the first server has no TLS
		time.Sleep(time.Second)
		synctest.Wait()
		b.want(0, 1)
		b.want(1, 2)
		if b.sender.Waiting() != 1 || len(b.failed()) != 1 {
			t.Errorf("%d wait, failed %v", b.sender.Waiting(), b.failed())
		}
	})
}
