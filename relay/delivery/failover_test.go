package delivery

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// sickness is what a first server may have; the second one gets the mail, within so long.
var sicknesses = []struct {
	name, verb, answer string
	within             time.Duration
}{
	{"down", "", "", time.Second},
	{"banner 421", "banner", "421 busy", time.Second},
	{"banner 554", "banner", "554 no", time.Second},
	{"banner dropped", "banner", "", time.Second},
	{"banner hangs", "banner", stall, time.Minute},
	{"EHLO hangs", "EHLO", stall, time.Minute},
	{"MAIL 451", "MAIL", "451 4.3.0 later", time.Second},
	{"MAIL 421", "MAIL", "421 4.3.2 later", time.Second},
	{"MAIL hangs", "MAIL", stall, 6 * time.Minute},
	{"RCPT 450", "RCPT", "450 4.2.0 greylisted", time.Second},
	{"RCPT 421", "RCPT", "421 4.3.2 later", time.Second},
	{"RCPT dropped", "RCPT", "", time.Second},
	{"RCPT hangs", "RCPT", stall, 6 * time.Minute},
	{"DATA 451", "DATA", "451 4.3.0 later", time.Second},
	{"DATA dropped", "DATA", "", time.Second},
	{"dot 452", "dot", "452 4.3.1 full", time.Second},
	{"dot 421", "dot", "421 4.3.2 closing", time.Second},
	{"relay denied", "RCPT", "554 5.7.1 <x@example.com>: Relay access denied", time.Second},
	{"not logged in", "DATA", "530 5.7.0 Authentication required", time.Second},
	{"HELO refused", "RCPT", "504 5.5.2 <relay>: Helo command rejected: need fully-qualified hostname", time.Second},
}

func (b *bench) makeSick(n int, verb, answer string) {
	if verb == "" {
		b.servers[n-1].goDown()
		return
	}
	b.servers[n-1].set(verb, answer)
}

// At every step of the dialogue the next server is asked: the next smarthost, the next
// address of the same name, the next mail server of the domain, the next address of that.
func TestFailOver(t *testing.T) {
	two := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	ways := map[string]func(b *bench, o *Options){
		"smarthosts": func(*bench, *Options) {},
		"addresses": func(b *bench, o *Options) {
			o.Smarthosts = o.Smarthosts[:1]
			b.names = map[string][]netip.Addr{"h1": two}
		},
		"mail servers": func(_ *bench, o *Options) {
			o.Smarthosts = []Smarthost{{Kind: KindMX, Addr: ":25"}}
			o.Resolver = resolver{mx: []string{"mx1.", "mx2."},
				addrs: map[string][]netip.Addr{"mx1.": two[:1], "mx2.": two[1:]}}
			o.MXTLS = TLSNone
		},
		"addresses of a mail server": func(_ *bench, o *Options) {
			o.Smarthosts = []Smarthost{{Kind: KindMX, Addr: ":25"}}
			o.Resolver = resolver{mx: []string{"mx1."}, addrs: map[string][]netip.Addr{"mx1.": two}}
			o.MXTLS = TLSNone
		},
	}
	for way, set := range ways {
		for _, tt := range sicknesses {
			if tt.name == "relay denied" && way[:4] != "smar" && way != "addresses" {
				continue // its own server may say so
			}
			t.Run(way+", "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var opts *Options
					b := newBench(t, 2, func(o *Options) { opts = o })
					set(b, opts)
					opts.MXTLS = TLSNone
					b.sender = New(*opts)
					defer b.stop()
					b.makeSick(1, tt.verb, tt.answer)
					b.start()
					b.addMail("x\r\n", "x@example.com")
					time.Sleep(tt.within)
					synctest.Wait()
					b.want(0, 1)
					b.want(1, 2)
					if b.sender.Waiting() != 0 || len(b.failed()) != 0 {
						t.Errorf("%d wait, failed %v", b.sender.Waiting(), b.failed())
					}
				})
			})
		}
	}
}

// resolver is a DNS with one domain.
type resolver struct {
	mx    []string
	addrs map[string][]netip.Addr
}

func (r resolver) LookupMX(context.Context, string) ([]*net.MX, error) {
	var all []*net.MX
	for i, name := range r.mx {
		all = append(all, &net.MX{Host: name + "example.com.", Pref: uint16(i)})
	}
	return all, nil
}

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return r.addrs[host[:4]], nil
}

// Only what the first server did not take goes to the second one.
func TestFailOverOfSome(t *testing.T) {
	bubble(t, 2, nil, func(b *bench) {
		b.servers[0].set("RCPT <later@example.com>", "450 4.2.0 greylisted")
		b.servers[0].set("RCPT <bad@example.com>", "550 5.1.1 no such user")
		b.start()
		b.addMail("x\r\n", "good@example.com", "later@example.com", "bad@example.com")
		time.Sleep(time.Second)
		synctest.Wait()
		b.want(1, 1)
		b.want(1, 2)
		if n := b.servers[1].count("RCPT"); n != 1 || b.sender.Waiting() != 0 || len(b.failures()) != 1 {
			t.Errorf("%d recipients at the second one, %d wait, bounced %v", n, b.sender.Waiting(), b.failures())
		}
	})
}

// A smarthost's name that cannot be looked up delays the mail, and costs nothing when the
// addresses are known or another smarthost is there.
func TestNames(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.dns = &net.DNSError{Err: "server misbehaving", IsTemporary: true}
		b.start()
		b.addMail("one\r\n", "x@example.com")
		time.Sleep(time.Minute)
		synctest.Wait()
		b.want(0, 1)
		st := b.sender.List()
		if len(st) != 1 || len(st[0].Waits) != 1 || st[0].Waits[0].Host != "h1" ||
			st[0].Waits[0].Why != "server misbehaving" {
			t.Errorf("%+v", st)
		}
		b.mu.Lock()
		b.dns = nil
		b.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		b.want(1, 1)
		b.mu.Lock()
		b.dns = &net.DNSError{Err: "server misbehaving", IsTemporary: true}
		b.mu.Unlock()
		for range 20 {
			b.addMail("x\r\n", "x@example.com")
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		b.want(21, 1)
	})
}

// The addresses of a name may change.
func TestAddressesChange(t *testing.T) {
	bubble(t, 2, func(o *Options) { o.Smarthosts = o.Smarthosts[:1] }, func(b *bench) {
		b.start()
		b.addMail("x\r\n", "x@example.com")
		time.Sleep(time.Second)
		b.mu.Lock()
		b.names = map[string][]netip.Addr{"h1": {netip.MustParseAddr("192.0.2.2")}}
		b.mu.Unlock()
		b.servers[0].goDown()
		time.Sleep(2 * time.Minute)
		for range 2 {
			b.addMail("y\r\n", "x@example.com")
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		b.want(1, 1)
		b.want(2, 2)
	})
}

// Bounces are made as soon as they are due, each recipient's once, over restarts too.
func TestBouncesAtOnce(t *testing.T) {
	bubble(t, 1, func(o *Options) { o.ExpireAfter = 2 * time.Hour }, func(b *bench) {
		b.servers[0].set("RCPT <bad@example.com>", "550-5.1.1 no such user\r\n550 5.1.1 ask the postmaster")
		b.servers[0].set("RCPT <slow@example.com>", "450 4.2.0 greylisted")
		b.start()
		id := b.addMail("x\r\n", "bad@example.com", "slow@example.com")
		time.Sleep(time.Second)
		synctest.Wait()
		bounced := b.failures()
		if len(bounced) != 1 || bounced[0].Recipient != 0 ||
			bounced[0].Said != "550-5.1.1 no such user\n550 5.1.1 ask the postmaster" {
			t.Fatalf("bounced at once: %+v", bounced)
		}
		for range 3 {
			b.reopen()
			time.Sleep(time.Minute)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		bounced = b.failures()
		if len(bounced) != 2 || bounced[1].Recipient != 1 || bounced[1].Said != "450 4.2.0 greylisted" ||
			bounced[1].Status != expiredStatus {
			t.Fatalf("bounced in the end: %+v", bounced)
		}
		m, err := b.queue.LoadFailed(id)
		if err != nil || m.States()[0] != queue.Undeliverable || m.States()[1] != queue.Undeliverable {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

// A server that takes few recipients at a time gets them in several transactions,
// whichever code it has for that.
func TestFewerRecipients(t *testing.T) {
	for _, answer := range []string{
		"452 4.5.3 Too many recipients", "452 later", "552 Too many recipients", "552 5.5.3 Too many recipients",
		"552 no more", "550 5.5.3 Too many recipients",
	} {
		t.Run(answer, func(t *testing.T) {
			bubble(t, 1, nil, func(b *bench) {
				b.servers[0].rcptsPerMail, b.servers[0].tooMany = 3, answer
				b.start()
				var to []string
				for c := 'a'; c < 'a'+10; c++ {
					to = append(to, string(c)+"@example.com")
				}
				b.addMail("x\r\n", to...)
				time.Sleep(time.Second)
				synctest.Wait()
				b.want(4, 1)
				if b.sender.Waiting() != 0 || len(b.failed()) != 0 {
					t.Errorf("%d wait, failed %v", b.sender.Waiting(), b.failed())
				}
			})
		})
	}
}
