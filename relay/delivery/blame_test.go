package delivery

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// letter gives an envelope for one recipient.
func letter(from, to string, critical bool) *queue.Envelope {
	return &queue.Envelope{From: from, To: []string{to}, Critical: critical}
}

// What one mail provokes keeps no other mail waiting.
func TestNextMailAtOnce(t *testing.T) {
	long := "250-" + strings.Repeat("x", 2*maxReply) + "\r\n250 x"
	for _, tt := range []struct{ name, verb, answer string }{
		{"reset in the body", "body poison", ""},
		{"silence in the body", "body poison", stall},
		{"an answer without end in the body", "body poison", long},
		{"421 to a sender", "MAIL <poison@example.com>", "421 4.3.2 no"},
		{"drop at a sender", "MAIL <poison@example.com>", ""},
		{"silence at a sender", "MAIL <poison@example.com>", stall},
		{"no code for a sender", "MAIL <poison@example.com>", "what"},
		{"421 to a recipient", "RCPT <poison@example.net>", "421 4.3.2 no"},
		{"drop at a recipient", "RCPT <poison@example.net>", ""},
		{"silence at a recipient", "RCPT <poison@example.net>", stall},
	} {
		for poisons := 1; poisons <= 2; poisons++ {
			t.Run(fmt.Sprintf("%s, %d mails", tt.name, poisons), func(t *testing.T) {
				bubble(t, 1, nil, func(b *bench) {
					b.servers[0].set(tt.verb, tt.answer)
					b.start()
					for range poisons {
						b.submit(letter("poison@example.com", "poison@example.net", false), "poison\r\n")
					}
					time.Sleep(time.Second)
					b.submit(letter("a@example.com", "x@example.com", false), "good\r\n")
					b.submit(letter("a@example.com", "x@example.com", true), "urgent\r\n")
					time.Sleep(slowAfter)
					synctest.Wait()
					b.want(2, 1)
					if b.sender.Waiting() != poisons || len(b.failed()) != 0 {
						t.Errorf("%d wait, failed %v", b.sender.Waiting(), b.failed())
					}
				})
			})
		}
	}
}

// Several different mails in a row that break their connections put the server in doubt:
// it is not asked with each of many mails at once. Critical mails do not wait for that,
// and when the sickness is over everything leaves.
func TestSeveralMailsInARow(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].set("body poison", "")
		b.start()
		const mails = 100
		for i := range mails {
			b.submit(letter(fmt.Sprintf("a%d@example.com", i), "x@example.com", false), "poison\r\n")
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if n := b.servers[0].count("dial"); n < severalMails || n > severalMails+2 {
			t.Errorf("%d connections in 4 s", n)
		}
		b.submit(letter("a@example.com", "x@example.com", true), "urgent\r\n")
		synctest.Wait()
		b.want(1, 1)
		time.Sleep(10 * time.Minute)
		if n := b.servers[0].count("dial"); n > 4*mails {
			t.Errorf("%d connections in 10 min", n)
		}
		b.servers[0].clear()
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		b.want(mails+1, 1)
	})
}

// The mail that probes a server which was down is a critical one when there is one,
// although another waits for longer.
func TestCriticalProbe(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].down = true
		b.start()
		b.submit(letter("a@example.com", "x@example.com", false), "plain\r\n")
		time.Sleep(time.Second)
		b.submit(letter("a@example.com", "x@example.com", true), "urgent\r\n")
		b.servers[0].clear()
		time.Sleep(time.Hour)
		synctest.Wait()
		b.want(2, 1)
		if got := b.servers[0].got(); got[0] != "urgent\r\n" {
			t.Errorf("in this order: %q", got)
		}
	})
}

// A critical mail does not wait for a probe by another one that gets no greeting.
func TestHangingProbe(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].goDown()
		b.start()
		b.submit(letter("a@example.com", "x@example.com", false), "plain\r\n")
		time.Sleep(time.Second)
		b.servers[0].clear()
		b.servers[0].set("banner", stall)
		time.Sleep(time.Minute)
		b.servers[0].clear()
		b.submit(letter("a@example.com", "x@example.com", true), "urgent\r\n")
		time.Sleep(slowAfter)
		synctest.Wait()
		b.want(1, 1)
	})
}

// An answer that is too long for us counts: its code is at its beginning.
func TestLongAnswers(t *testing.T) {
	for _, answer := range []string{
		"250 " + strings.Repeat("x", 10*maxReplyLine),
		"250-" + strings.Repeat("x\r\n250-", 10*maxReplyLines) + "\r\n250 x",
	} {
		for _, verb := range []string{"EHLO", "MAIL", "RCPT", "dot"} {
			bubble(t, 1, nil, func(b *bench) {
				b.servers[0].set(verb, answer)
				b.start()
				b.addMail("x\r\n", "x@example.com")
				b.addMail("y\r\n", "x@example.com")
				time.Sleep(time.Second)
				synctest.Wait()
				b.want(2, 1)
				if b.sender.Waiting() != 0 || b.mon.Total(monitor.HostErrors) != 0 {
					t.Errorf("%s: %d wait, %d errors", verb, b.sender.Waiting(), b.mon.Total(monitor.HostErrors))
				}
			})
		}
	}
}

// After so many mails a server says 4xx: the same mail is tried at once on a new
// connection.
func TestNewConnectionAfterMails(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].mailsPerConn = 3
		b.start()
		for range 20 {
			b.addMail("x\r\n", "x@example.com")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		b.want(20, 1)
		if n := b.mon.Total(monitor.PutOff); n != 0 {
			t.Errorf("%d mails were put off", n)
		}
	})
}

// A server that refuses this relay on a connection that has brought mails is asked once
// more, on a fresh one, and then the mail waits.
func TestRefusalOnAnOldConnection(t *testing.T) {
	for verb, answer := range map[string]string{
		"MAIL":                 "550 5.7.1 access denied for this host",
		"RCPT <b@example.com>": "550 5.7.1 relaying denied",
		"DATA":                 "530 5.7.0 Authentication required",
	} {
		bubble(t, 1, nil, func(b *bench) {
			b.start()
			b.addMail("x\r\n", "a@example.com")
			time.Sleep(time.Second)
			b.want(1, 1)
			b.servers[0].set(verb, answer)
			b.addMail("x\r\n", "b@example.com")
			time.Sleep(time.Second)
			synctest.Wait()
			if n := b.servers[0].count("MAIL"); n != 3 { // one that was taken, and two
				t.Errorf("%s %q: MAIL was said %d times, want 3", verb, answer, n)
			}
			if n := b.servers[0].count("dial"); n != 2 {
				t.Errorf("%s %q: %d connections, want 2", verb, answer, n)
			}
			if b.sender.Waiting() != 1 || len(b.failed()) != 0 {
				t.Errorf("%s %q: %d wait, failed %v", verb, answer, b.sender.Waiting(), b.failed())
			}
		})
	}
}
