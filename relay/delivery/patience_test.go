package delivery

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A server may take as long as RFC 5321 section 4.5.3.2 says, and the mail arrives once;
// meanwhile other mail goes on another connection.
func TestSlowServer(t *testing.T) {
	for verb, tt := range map[string]struct{ delay, answer string }{
		"banner": {"4m50s", "220 x"},
		"EHLO":   {"4m50s", "250 x"},
		"MAIL":   {"4m50s", "250 x"},
		"RCPT":   {"4m50s", "250 x"},
		"DATA":   {"1m50s", "354 x"},
		"dot":    {"9m50s", "250 x"},
		"late":   {"25m", "250 x"},
	} {
		t.Run(verb, func(t *testing.T) {
			bubble(t, 1, nil, func(b *bench) {
				b.servers[0].set(strings.Replace(verb, "late", "dot", 1), slow+tt.delay+" "+tt.answer)
				b.start()
				for range 3 {
					b.addMail("slow\r\n", "x@example.com")
				}
				time.Sleep(time.Minute)
				b.servers[0].clear()
				if verb != "banner" && verb != "EHLO" {
					b.addMail("quick\r\n", "x@example.com")
					time.Sleep(time.Second)
					synctest.Wait()
					if got := b.servers[0].got(); len(got) == 0 || got[len(got)-1] != "quick\r\n" {
						t.Errorf("other mail waits: %q", got)
					}
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				slows := 0
				for _, m := range b.servers[0].got() {
					if m == "slow\r\n" {
						slows++
					}
				}
				if slows != 3 || b.sender.Waiting() != 0 || len(b.failed()) != 0 {
					t.Errorf("%d arrived, want 3; %d wait, failed %v", slows, b.sender.Waiting(), b.failed())
				}
			})
		})
	}
}

// A mail that is older than its time is tried when the smarthost comes back, and given up
// only when that attempt fails too.
func TestAgeAloneExpiresNothing(t *testing.T) {
	for _, answer := range []string{"250 ok", "451 4.3.0 no"} {
		bubble(t, 1, func(o *Options) { o.ExpireAfter = time.Hour }, func(b *bench) {
			b.servers[0].goDown()
			b.start()
			for range 20 {
				b.addMail("x\r\n", "x@example.com")
			}
			time.Sleep(3 * time.Hour)
			synctest.Wait()
			if b.sender.Waiting() != 20 {
				t.Fatalf("%d wait", b.sender.Waiting())
			}
			b.servers[0].clear()
			b.servers[0].set("RCPT", answer)
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			failed := 0
			if answer[0] == '4' {
				failed = 20
			}
			b.want(20-failed, 1)
			if len(b.failed()) != failed || b.sender.Waiting() != 0 {
				t.Errorf("%s: %d failed, %d wait", answer, len(b.failed()), b.sender.Waiting())
			}
			for _, r := range b.failures() {
				if !strings.Contains(r.Text, `the last answer was h1[192.0.2.1]:25: 451 "no"`) || r.Code != 451 {
					t.Errorf("bounced %+v", r)
				}
			}
		})
	}
}

// A mail on hold does not expire; when it is let go it is tried, and has its whole time
// again.
func TestHeldDoesNotExpire(t *testing.T) {
	bubble(t, 1, func(o *Options) { o.ExpireAfter = time.Hour }, func(b *bench) {
		b.start()
		id := b.addHeld("x\r\n", "x@example.com")
		time.Sleep(100 * time.Hour)
		b.servers[0].set("RCPT", "450 4.2.0 greylisted")
		if err := b.sender.Retry(id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.servers[0].count("RCPT") == 0 || b.sender.Waiting() != 1 || len(b.failed()) != 0 {
			t.Fatalf("%d tries, %d wait, failed %v", b.servers[0].count("RCPT"), b.sender.Waiting(), b.failed())
		}
		b.servers[0].clear()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		b.want(1, 1)
	})
}

// Retry while an attempt is made is another attempt, at once behind it.
func TestRetryBehindAnAttempt(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].set("RCPT", "slow 5s 450 4.2.0 greylisted")
		b.start()
		id := b.addMail("x\r\n", "x@example.com")
		time.Sleep(time.Second)
		synctest.Wait()
		b.servers[0].set("RCPT", "250 ok")
		if err := b.sender.Retry(id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		b.want(1, 1)
	})
}

// Retry asks the smarthost at once, whatever pause it has.
func TestRetryTries(t *testing.T) {
	bubble(t, 1, func(o *Options) { o.ExpireAfter = time.Hour }, func(b *bench) {
		b.servers[0].goDown()
		b.start()
		id := b.addMail("x\r\n", "x@example.com")
		time.Sleep(3 * time.Hour)
		b.servers[0].clear()
		if err := b.sender.Retry(id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.want(1, 1)
	})
}

// However often Retry finds the smarthost down, it is asked again as soon as without:
// 15 seconds after the failure, 20 % more or less.
func TestRetryMakesNoPauseLonger(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].goDown()
		b.start()
		id := b.addMail("x\r\n", "x@example.com")
		synctest.Wait()
		for range 10 {
			if err := b.sender.Retry(id); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		b.servers[0].clear()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		b.want(1, 1)
	})
}

// While the smarthost's name cannot be looked up, Retry asks for it at once. However often
// that fails, it is asked again as soon as without: 15 seconds after the failure, 20 % more
// or less.
func TestRetryLooksUpAgain(t *testing.T) {
	setDNS := func(b *bench, err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.dns = err
	}
	retry := func(b *bench, id string) {
		if err := b.sender.Retry(id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	}
	noAnswer := &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	bubble(t, 1, nil, func(b *bench) {
		setDNS(b, noAnswer)
		b.start()
		id := b.addMail("x\r\n", "x@example.com")
		time.Sleep(3 * time.Hour)
		setDNS(b, nil)
		retry(b, id)
		b.want(1, 1)
	})
	bubble(t, 1, nil, func(b *bench) {
		setDNS(b, noAnswer)
		b.start()
		id := b.addMail("x\r\n", "x@example.com")
		synctest.Wait()
		for range 10 {
			retry(b, id)
			time.Sleep(time.Second)
		}
		setDNS(b, nil)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		b.want(1, 1)
	})
}

// What is bounced when no server was there says so.
func TestUnreachedIsTold(t *testing.T) {
	bubble(t, 1, func(o *Options) { o.ExpireAfter = time.Hour }, func(b *bench) {
		b.servers[0].set("RCPT", "451 4.3.0 later")
		b.start()
		b.addMail("x\r\n", "x@example.com")
		time.Sleep(time.Minute)
		b.servers[0].clear()
		b.servers[0].goDown()
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		bounced := b.failures()
		if len(bounced) != 1 || !strings.Contains(bounced[0].Text, "no server could be reached") ||
			!strings.Contains(bounced[0].Text, "connection refused") ||
			!strings.Contains(bounced[0].Text, `451 "later"`) {
			t.Errorf("bounced %+v", bounced)
		}
	})
}

// A reload while the smarthost takes its time to answer the final dot waits for that
// answer: breaking it off would make two mails of one.
func TestReloadDuringTheDot(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].set("dot", "slow 10s 250 taken")
		b.start()
		b.addMail("x\r\n", "x@example.com")
		time.Sleep(time.Second)
		b.reopen()
		time.Sleep(time.Hour)
		synctest.Wait()
		b.want(1, 1)
	})
}
