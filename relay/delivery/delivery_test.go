package delivery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// server is a scripted smarthost on a pipe: answers by verb, and when it was asked.
type server struct {
	mu   sync.Mutex
	down bool
	once bool // an answer counts for one time
	// by verb, or "RCPT <address>", "MAIL <address>", "body word"; "" drops the connection
	answers                    map[string]string
	mailsPerConn, rcptsPerMail int    // 0: any number
	tooMany                    string // the answer to more recipients
	times                      map[string][]time.Time
	mails                      []string
	lines                      []string // that it was told, but for messages
	conns                      int
}

// What a server does in the place of an answer: nothing, or an octet a second; or it
// waits first: "slow 10s 250 ok".
const (
	stall = "stall"
	drip  = "drip "
	slow  = "slow "
)

// wait cuts a delay from an answer.
func wait(answer string) (time.Duration, string) {
	rest, ok := strings.CutPrefix(answer, slow)
	if !ok {
		return 0, answer
	}
	delay, rest, _ := strings.Cut(rest, " ")
	d, err := time.ParseDuration(delay)
	if err != nil {
		panic(err)
	}
	return d, rest
}

func newServer() *server {
	return &server{answers: map[string]string{}, times: map[string][]time.Time{}}
}

func (s *server) answer(verb, standard string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times[verb] = append(s.times[verb], time.Now())
	if a, ok := s.answers[verb]; ok {
		if s.once {
			delete(s.answers, verb)
		}
		return a
	}
	return standard
}

func (s *server) set(verb, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[verb] = answer
}

func (s *server) goDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
}

func (s *server) unset(verb string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.answers, verb)
}

func (s *server) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.answers)
	s.down = false
}

// sickOf gives what the server does when a message has a line with a word that it does
// not like.
func (s *server) sickOf(line string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, ok := s.answers["body "+strings.TrimSpace(line)]
	return answer, ok
}

func (s *server) count(verb string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times[verb])
}

func (s *server) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

func (s *server) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

func (s *server) dial() (net.Conn, error) {
	s.mu.Lock()
	s.times["dial"] = append(s.times["dial"], time.Now())
	down := s.down
	s.conns++
	s.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	client, end := net.Pipe()
	go s.serve(end)
	return client, nil
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(text string) bool {
		delay, text := wait(text)
		time.Sleep(delay)
		switch text {
		case "":
			return false
		case stall:
			io.Copy(io.Discard, c)
			return false
		}
		if octets, ok := strings.CutPrefix(text, drip); ok {
			for _, b := range []byte(octets + "\r\n") {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte{b}); err != nil {
					return false
				}
			}
			return true
		}
		_, err := io.WriteString(c, text+"\r\n")
		return err == nil
	}
	if !say(s.answer("banner", "220 sink")) {
		return
	}
	mails, rcpts := 0, 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		s.mu.Lock()
		s.lines = append(s.lines, strings.TrimSpace(line))
		s.mu.Unlock()
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		ok := true
		switch verb {
		case "MAIL":
			mails, rcpts = mails+1, 0
			_, from, _ := strings.Cut(rest, ":")
			from, _, _ = strings.Cut(from, " ")
			s.mu.Lock()
			own, has := s.answers["MAIL "+from]
			s.mu.Unlock()
			switch {
			case s.mailsPerConn > 0 && mails > s.mailsPerConn:
				ok = say("451 4.7.0 too many mails on this connection")
			case has:
				ok = say(own)
			default:
				ok = say(s.answer("MAIL", "250 ok"))
			}
		case "EHLO":
			ok = say(s.answer("EHLO", "250-sink\r\n250 SIZE 1000"))
		case "RCPT":
			_, to, _ := strings.Cut(rest, ":")
			s.mu.Lock()
			own, has := s.answers["RCPT "+to]
			s.mu.Unlock()
			switch {
			case s.rcptsPerMail > 0 && rcpts >= s.rcptsPerMail:
				ok = say(s.tooMany)
			case has:
				ok = say(own)
			default:
				rcpts++
				ok = say(s.answer("RCPT", "250 ok"))
			}
		case "DATA":
			answer := s.answer("DATA", "354 go")
			ok = say(answer)
			if _, go354 := wait(answer); !strings.HasPrefix(strings.TrimPrefix(go354, drip), "354") {
				break
			}
			var body strings.Builder
			for line != ".\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					return
				}
				body.WriteString(line)
				if answer, sick := s.sickOf(line); sick && !say(answer) {
					return
				}
			}
			answer = s.answer("dot", "250 taken")
			if _, taken := wait(answer); strings.HasPrefix(strings.TrimPrefix(taken, drip), "250") {
				s.mu.Lock()
				s.mails = append(s.mails, strings.TrimSuffix(body.String(), ".\r\n"))
				s.mu.Unlock()
			}
			ok = say(answer)
		default:
			ok = say(s.answer(verb, "250 ok"))
		}
		if !ok {
			return
		}
	}
}

// bench is a sender with its queue and scripted smarthosts h1, h2, …
type bench struct {
	t       *testing.T
	dir     string
	queue   *queue.Queue
	sender  *Sender
	servers []*server
	mon     *monitor.Monitor

	mu      sync.Mutex
	ids     []string // of failed mails
	bounced []queue.Result
	names   map[string][]netip.Addr // of smarthosts; none: hN is 192.0.2.N
	dns     error                   // that looking names up gives
}

// lookUp is the DNS.
func (b *bench) lookUp(_ context.Context, name string) ([]netip.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if addrs, ok := b.names[name]; ok || b.dns != nil {
		return addrs, b.dns
	}
	addr, err := netip.ParseAddr("192.0.2." + strings.TrimPrefix(name, "h"))
	return []netip.Addr{addr}, err
}

// failures gives the results that senders were told.
func (b *bench) failures() []queue.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.bounced)
}

func (b *bench) failed() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ids)
}

func newBench(t *testing.T, hosts int, edit func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), mon: monitor.New(nil, nil)}
	var err error
	if b.queue, _, err = queue.Open(b.dir, b.mon); err != nil {
		t.Fatal(err)
	}
	opts := Options{
		Queue: b.queue, Hostname: "relay.example.com", TLS: TLSNone, Monitor: b.mon, HostConnections: 2,
		Failed: func(m *queue.Mail, failed []queue.Result) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if !slices.Contains(b.ids, m.ID) {
				b.ids = append(b.ids, m.ID)
			}
			b.bounced = append(b.bounced, failed...)
			return nil
		},
		LookupHost: b.lookUp,
		Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			var n int
			if _, err := fmt.Sscanf(addr, "192.0.2.%d:25", &n); err != nil {
				return nil, err
			}
			return b.servers[n-1].dial()
		},
	}
	for i := range hosts {
		b.servers = append(b.servers, newServer())
		opts.Smarthosts = append(opts.Smarthosts,
			Smarthost{Host: fmt.Sprintf("h%d", i+1), Addr: fmt.Sprintf("h%d:25", i+1)})
	}
	if edit != nil {
		edit(&opts)
	}
	b.sender = New(opts)
	return b
}

func (b *bench) start() { b.sender.Start(context.Background()) }

func (b *bench) stop() {
	b.sender.Stop()
	b.queue.Close()
}

func (b *bench) addMail(body string, to ...string) string {
	b.t.Helper()
	return b.submit(&queue.Envelope{From: "a@example.com", To: to}, body)
}

func (b *bench) submit(env *queue.Envelope, body string) string {
	b.t.Helper()
	env.ID, env.Received, env.Origin = b.queue.NewID(), time.Now().UTC(), queue.OriginSMTP
	if err := b.queue.Add(env, []byte(body)); err != nil {
		b.t.Fatal(err)
	}
	b.sender.Add(env)
	return env.ID
}

func (b *bench) want(n int, host int) {
	b.t.Helper()
	if got := b.servers[host-1].got(); len(got) != n {
		b.t.Fatalf("h%d has %d mails, want %d", host, len(got), n)
	}
}

// bubble runs a test with a clock of its own; the spool's goroutine must not wait
// for real time, which it does not.
func bubble(t *testing.T, hosts int, edit func(*Options), f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosts, edit)
		defer b.stop()
		f(b)
	})
}

func TestDeliver(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.start()
		const body = "Subject: x\r\n\r\n.\r\n..a\r\nlast"
		b.addMail(body, "x@example.com")
		synctest.Wait()
		b.want(1, 1)
		if got := b.servers[0].got()[0]; got != "Subject: x\r\n\r\n..\r\n...a\r\nlast\r\n" {
			t.Errorf("on the wire %q", got)
		}
		if b.sender.Waiting() != 0 {
			t.Error("the mail still waits")
		}
	})
}

// A down smarthost is paused on the schedule, by one probe at a time, and not each
// mail; when it is back, everything leaves at once.
func TestDownAndBack(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].down = true
		b.start()
		for range 50 {
			b.addMail("x\r\n", "x@example.com")
		}
		begin := time.Now()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		dials := b.servers[0].times["dial"]
		// 15 s, 30 s, 1, 2, 5 and 10 min, each 20 % more or less; the first try may be
		// made by both workers.
		if len(dials) < 6 || len(dials) > 9 {
			t.Errorf("%d tries in 30 min: %v", len(dials), dials)
		}
		for i, d := range dials {
			if i > 1 && d.Sub(dials[i-1]) < 12*time.Second {
				t.Errorf("tries %v and %v after the start", dials[i-1].Sub(begin), d.Sub(begin))
			}
		}
		b.servers[0].clear()
		time.Sleep(12 * time.Minute)
		synctest.Wait()
		b.want(50, 1)
		if b.servers[0].conns > len(dials)+3 {
			t.Errorf("%d connections for 50 mails", b.servers[0].conns-len(dials))
		}
	})
}

func TestSecondHost(t *testing.T) {
	for _, tt := range []struct {
		name, verb, answer string
	}{
		{"banner 554", "banner", "554 no"},
		{"banner 421", "banner", "421 busy"},
		{"banner dropped", "banner", ""},
		{"EHLO 550", "EHLO", "550 no"},
		{"EHLO dropped", "EHLO", ""},
		{"MAIL 550", "MAIL", "550 5.7.1 sender refused"},
		{"MAIL 451", "MAIL", "451 later"},
		{"MAIL 421", "MAIL", "421 going down"},
		{"MAIL dropped", "MAIL", ""},
		{"RCPT dropped", "RCPT", ""},
		{"DATA dropped", "DATA", ""},
		{"DATA answered 250", "DATA", "250 ok"},
		{"endless lines", "EHLO", "250-" + strings.Repeat("x\r\n250-", maxReply/7) + "x"},
		{"endless line", "EHLO", "250 " + strings.Repeat("x", maxReply)},
		{"no code", "EHLO", "hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, 2, nil, func(b *bench) {
				b.servers[0].set(tt.verb, tt.answer)
				b.start()
				b.addMail("x\r\n", "x@example.com")
				time.Sleep(time.Second)
				synctest.Wait()
				b.want(0, 1)
				b.want(1, 2)
				if len(b.failed()) != 0 || b.sender.Waiting() != 0 || b.mon.Total(monitor.HostErrors) == 0 {
					t.Errorf("failed %v, %d wait, %d errors counted", b.failed(), b.sender.Waiting(),
						b.mon.Total(monitor.HostErrors))
				}
			})
		})
	}
}

// One bad of three recipients: the others and the next mail arrive.
func TestRecipients(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].set("RCPT <bad@example.com>", "550 5.1.1 no such user")
		b.servers[0].set("RCPT <later@example.com>", "450 4.2.0 greylisted")
		b.start()
		id := b.addMail("one\r\n", "x@example.com", "bad@example.com", "later@example.com")
		b.addMail("two\r\n", "x@example.com")
		time.Sleep(time.Second)
		synctest.Wait()
		b.want(2, 1)
		m, err := b.queue.Load(id)
		if err != nil || !slices.Equal(m.States(),
			[]queue.State{queue.Delivered, queue.Undeliverable, queue.Deferred}) {
			t.Fatalf("states %v, %v", m.States(), err)
		}
		b.servers[0].clear()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		b.want(3, 1) // only to the one that waited
		if len(b.failed()) != 1 || b.sender.Waiting() != 0 {
			t.Errorf("failed %v, %d wait", b.failed(), b.sender.Waiting())
		}
		if _, err := os.Stat(filepath.Join(b.dir, "failed", id+".mail")); err != nil {
			t.Error(err)
		}
	})
}

func TestAnswersToTheMail(t *testing.T) {
	for _, tt := range []struct {
		verb, answer  string
		failed, waits int
	}{
		{"DATA", "554 5.6.0 no", 1, 0},
		{"DATA", "451 later", 0, 1},
		{"dot", "554 spam", 1, 0},
		{"dot", "452 full", 0, 1},
		{"dot", "", 0, 1},
		{"RCPT", "550 no", 1, 0},
		{"RCPT", "450 later", 0, 1},
	} {
		t.Run(tt.verb+" "+tt.answer, func(t *testing.T) {
			bubble(t, 1, nil, func(b *bench) {
				b.servers[0].set(tt.verb, tt.answer)
				b.start()
				b.addMail("x\r\n", "x@example.com")
				time.Sleep(time.Second)
				synctest.Wait()
				if len(b.failed()) != tt.failed || b.sender.Waiting() != tt.waits {
					t.Fatalf("failed %v, %d wait, want %d and %d", b.failed(), b.sender.Waiting(), tt.failed, tt.waits)
				}
				b.servers[0].clear()
				time.Sleep(time.Minute)
				synctest.Wait()
				b.want(tt.waits, 1)
			})
		})
	}
}

// A connection at hand that the server has closed meanwhile costs nothing.
func TestStaleConnection(t *testing.T) {
	bubble(t, 1, func(o *Options) { o.HostConnections = 1 }, func(b *bench) {
		b.start()
		b.addMail("one\r\n", "x@example.com")
		synctest.Wait()
		b.servers[0].once = true
		b.servers[0].set("MAIL", "")
		time.Sleep(time.Second)
		b.addMail("two\r\n", "x@example.com")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		b.want(2, 1)
	})
}

// While no server can be reached nothing expires, until four times as long.
func TestExpiry(t *testing.T) {
	bubble(t, 1, func(o *Options) { o.ExpireAfter = time.Hour }, func(b *bench) {
		b.servers[0].down = true
		b.start()
		id := b.addMail("x\r\n", "x@example.com")
		time.Sleep(4*time.Hour - time.Minute)
		synctest.Wait()
		if len(b.failed()) != 0 {
			t.Fatal("failed too early")
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if !slices.Equal(b.failed(), []string{id}) || b.sender.Waiting() != 0 {
			t.Fatalf("failed %v, want %s", b.failed(), id)
		}
	})
}

// What is put on the wire is checked again, whatever the spool holds.
func TestRecheck(t *testing.T) {
	bubble(t, 1, func(o *Options) {
		o.Allow = func(_ *queue.Envelope, to address.Address) error {
			if to.Domain != "example.com" {
				return errors.New("not allowed")
			}
			return nil
		}
	}, func(b *bench) {
		b.start()
		b.addMail("x\r\n", "x@example.com>\r\nRCPT TO:<y@example.com", "x@example.net", "good@example.com")
		synctest.Wait()
		b.want(1, 1)
		if b.servers[0].count("RCPT") != 1 || len(b.failed()) != 1 {
			t.Errorf("%d recipients on the wire, failed %v", b.servers[0].count("RCPT"), b.failed())
		}
	})
}

// A server that says nothing, or one octet a minute, is given up.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 2, nil)
		defer b.stop()
		inner := b.sender.dialer.dial
		b.sender.dialer.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "192.0.2.1:25" {
				return inner(ctx, network, addr)
			}
			client, end := net.Pipe()
			go func() {
				defer end.Close()
				for {
					if _, err := io.WriteString(end, "2"); err != nil {
						return
					}
					time.Sleep(time.Minute)
				}
			}()
			return client, nil
		}
		b.start()
		b.addMail("x\r\n", "x@example.com")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		b.want(1, 2)
	})
}

// Every sickness at every step of the dialogue: no mail is lost, none fails that the
// smarthost has not refused at the recipient or the message, and all have left half an
// hour after it is well again. Only a connection that breaks behind the final dot costs
// a second delivery.
func TestSickSmarthost(t *testing.T) {
	healthy := map[string]string{"banner": "220 x", "EHLO": "250 x", "MAIL": "250 x", "RCPT": "250 x", "DATA": "354 x",
		"dot": "250 x"}
	for verb, well := range healthy {
		for _, answer := range []string{
			"451 4.3.0 later", "421 4.3.2 closing", "554 5.6.0 no", "550 no", "521 no mail here", "", stall,
			drip + well,
			"hello", "999 what", "250", strings.Repeat("x", 3000),
			"250-" + strings.Repeat("x\r\n250-", maxReply/7) + "x",
		} {
			name := verb + " " + answer[:min(len(answer), 20)]
			t.Run(name, func(t *testing.T) {
				bubble(t, 1, nil, func(b *bench) {
					b.servers[0].set(verb, answer)
					b.start()
					const mails = 3
					for range mails {
						b.addMail("x\r\n", "x@example.com", "y@example.com")
					}
					time.Sleep(30 * time.Minute)
					final := strings.HasPrefix(answer, "5") && (verb == "RCPT" || verb == "DATA" || verb == "dot")
					if final != (len(b.failed()) == mails) || (!final && len(b.failed()) > 0) {
						t.Fatalf("failed: %v", b.failed())
					}
					b.servers[0].clear()
					time.Sleep(30 * time.Minute)
					synctest.Wait()
					if n := b.sender.Waiting(); n != 0 {
						t.Fatalf("%d mails wait", n)
					}
					want := mails
					if final {
						want = 0
					}
					if n := len(b.servers[0].got()); n != want && (verb != "dot" || n < want) {
						t.Fatalf("%d mails have arrived, want %d", n, want)
					}
				})
			})
		}
	}
}

// A mail whose time of arrival lies in the future, because the clock was set back, has
// its whole time to expire, and no age below zero.
func TestClockSetBack(t *testing.T) {
	bubble(t, 1, func(o *Options) { o.ExpireAfter = time.Hour }, func(b *bench) {
		b.servers[0].down = true
		env := &queue.Envelope{ID: b.queue.NewID(), To: []string{"x@example.com"},
			Received: time.Now().Add(48 * time.Hour)}
		if err := b.queue.Add(env, []byte("x\r\n")); err != nil {
			t.Fatal(err)
		}
		b.sender.Add(env)
		if age := b.sender.Oldest(); age != 0 {
			t.Errorf("age %v", age)
		}
		b.start()
		time.Sleep(239 * time.Minute)
		if b.sender.Waiting() != 1 || b.sender.Oldest() != 239*time.Minute {
			t.Errorf("%d wait, the oldest for %v", b.sender.Waiting(), b.sender.Oldest())
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if len(b.failed()) != 1 {
			t.Errorf("failed: %v", b.failed())
		}
	})
}

// After 30 minutes without a smarthost all that waits leaves within a minute of its
// return, or of the next probe, which is at most 12 minutes later.
func TestDrain(t *testing.T) {
	const mails = 2000
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].down = true
		b.start()
		for range mails {
			b.addMail("x\r\n", "x@example.com")
		}
		time.Sleep(30 * time.Minute)
		b.servers[0].clear()
		dials := b.servers[0].count("dial")
		for b.servers[0].count("dial") == dials {
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		b.want(mails, 1)
		if again := b.servers[0].count("dial"); again > dials+mails/100+2 {
			t.Errorf("%d connections for %d mails", again-dials, mails)
		}
		if b.mon.Total(monitor.PutOff) != 0 {
			t.Errorf("%d mails were put off", b.mon.Total(monitor.PutOff))
		}
	})
}

func TestRestart(t *testing.T) {
	bubble(t, 1, nil, func(b *bench) {
		b.servers[0].down = true
		b.start()
		b.addMail("x\r\n", "x@example.com")
		time.Sleep(time.Minute)
		b.sender.Stop()
		b.sender.Stop()
		b.queue.Close()
		b.servers[0].clear()
		q, waiting, err := queue.Open(b.dir, b.mon)
		if err != nil || len(waiting) != 1 {
			t.Fatalf("waiting %v, %v", waiting, err)
		}
		opts := b.sender.opts
		opts.Queue = q
		b.queue, b.sender = q, New(opts)
		b.sender.Add(&waiting[0])
		b.start()
		synctest.Wait()
		b.want(1, 1)
	})
}

// A bare CR or LF is never sent on, whatever the spool holds.
func TestBareLineEnds(t *testing.T) {
	for _, body := range []string{"a\nb\r\n", "a\rb\r\n", "a\r\n.\n", "a\r\r\n"} {
		bubble(t, 1, nil, func(b *bench) {
			b.start()
			b.addMail(body, "x@example.com")
			synctest.Wait()
			b.want(0, 1)
			if b.servers[0].conns != 0 || len(b.failed()) != 1 {
				t.Errorf("%q: %d connections, failed %v", body, b.servers[0].conns, b.failed())
			}
		})
	}
}

func TestParseSmarthost(t *testing.T) {
	for in, want := range map[string]string{
		"smtp://mail.example.com":      "mail.example.com:25",
		"smtp://mail.example.com:587/": "mail.example.com:587",
		"smtp://[2001:db8::1]:25":      "[2001:db8::1]:25",
		"smtps://mail.example.com":     "mail.example.com:465",
		"mx://":                        ":25",
		"mx://:2525/":                  ":2525",
		"maildir:///var/mail/{user}/":  "maildir:///var/mail/{user}/",
		"mbox:///var/mail/alerts":      "mbox:///var/mail/alerts",
		"file:///var/log/alerts.json":  "file:///var/log/alerts.json",
	} {
		if h, err := ParseSmarthost(in); err != nil || h.Addr != want {
			t.Errorf("%q gives %+v, %v", in, h, err)
		}
	}
	for _, in := range []string{"", "mail.example.com", "http://x", "maildir://mail", "mbox:///", "file://", "smtp://",
		"smtp://a@b", "smtp://a/b", "smtp://a?b", "smtp://a:b", "mx://example.com", "mx://:0", "mx://:x"} {
		if h, err := ParseSmarthost(in); err == nil {
			t.Errorf("%q gives %+v", in, h)
		}
	}
}

func TestCutStatus(t *testing.T) {
	for in, want := range map[string]string{
		"5.1.1 no such user": "5.1.1", "2.0.0": "2.0.0", "5.1 x": "", "ok": "", "3.1.1 x": "", "5.1.x y": "",
		"5..1 x": "", "": "",
	} {
		if got, _, _ := cutStatus(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

// FuzzReply reads arbitrary answers; it must end and stay within its caps.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "250\r\n", "99 x\r\n", "250-x\r\n251 y\r\n",
		"\r\n", "554 5.7.1 no\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		client, end := net.Pipe()
		defer client.Close()
		go func() {
			end.Write(b)
			end.Close()
		}()
		c := newTestClient(client)
		c.reset()
		r, err := c.reply()
		if err == nil && (r.code < 200 || r.code > 599 || len(r.lines) > maxReplyLines ||
			len(r.text()) > maxReplyText) {
			t.Fatalf("%q gives %+v", b, r)
		}
	})
}

func newTestClient(conn net.Conn) *client { return &client{conn: conn} }
