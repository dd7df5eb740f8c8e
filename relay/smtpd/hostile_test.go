package smtpd

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// idlers is for the long run of TestIdleConnections: go test ./relay/smtpd -run Idle -idle 10000.
var idlers = flag.Int("idle", 400, "connections of TestIdleConnections")

// Nothing but CRLF.CRLF ends a message, so no mail can be hidden in another: each false
// end, in DATA and BDAT, in plain text and over TLS, pipelined and not (section 8, no 9).
func TestSmuggling(t *testing.T) {
	const hidden = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: hidden\r\n\r\nx\r\n"
	cases := 0
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n\x00.\r\n",
		"\r\r\n.\r\r\n"} {
		for _, way := range []string{"DATA", "BDAT"} {
			for _, encrypted := range []bool{false, true} {
				for _, pipelined := range []bool{false, true} {
					cases++
					t.Run(fmt.Sprintf("%q %s tls=%v pipelined=%v", end, way, encrypted, pipelined), func(t *testing.T) {
						mode := Plain
						if encrypted {
							mode = ImplicitTLS
						}
						s, mails, config := serveTLS(t, mode, nil)
						p := dial(t, s)
						if encrypted {
							p.encrypt(config)
						}
						p.begin()
						body := "Subject: x\r\n\r\nfirst" + end + hidden
						commands := []string{"MAIL FROM:<a@example.com>\r\n", "RCPT TO:<b@example.com>\r\n"}
						answers := []string{"250", "250"}
						if way == "DATA" {
							commands, answers = append(commands, "DATA\r\n", body+".\r\n"),
								append(answers, "354", "554")
						} else {
							commands, answers = append(commands, fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body)),
								append(answers, "554")
						}
						if pipelined {
							p.send(strings.Join(commands, "") + "QUIT\r\n")
						}
						for i, answer := range answers {
							if !pipelined {
								p.send(commands[i])
							}
							p.expect(answer)
						}
						if !pipelined {
							p.send("QUIT\r\n")
						}
						p.expect("221")
						if got := mails.got(); len(got) != 0 {
							t.Errorf("taken: %+v", got)
						}
					})
				}
			}
		}
	}
	if cases < 7*2*2*2 {
		t.Errorf("%d cases", cases)
	}
}

// RFC 5321 section 4.5.3.1.6: a line of 998 octets and CRLF is taken; a longer one is
// refused at once, or passed on unchanged when that is wanted.
func TestLongLines(t *testing.T) {
	for _, tt := range []struct {
		length int
		relay  bool
		want   string
	}{
		{998, false, "250"}, {999, false, "554 5.6.0"}, {5000, false, "554 5.6.0"}, {999, true, "250"},
		{5000, true, "250"},
	} {
		for _, way := range []string{"DATA", "BDAT"} {
			s, mails := serve(t, func(o *Options) { o.LongLines, o.MaxMessageSize = tt.relay, 100_000 })
			p := dial(t, s)
			p.begin()
			body := "Subject: x\r\n\r\nshort\r\n" + strings.Repeat("y", tt.length) + "\r\n.dot\r\n"
			p.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n")
			p.expect("250")
			p.expect("250")
			if way == "DATA" {
				p.send("DATA\r\n")
				p.expect("354")
				p.send(strings.Replace(body, "\r\n.dot", "\r\n..dot", 1) + ".\r\n")
			} else {
				p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body))
			}
			p.expect(tt.want)
			got := mails.got()
			if taken := tt.want == "250"; taken != (len(got) == 1) || (taken && !strings.HasSuffix(got[0].body, body)) {
				t.Errorf("%s of %d: %d mails taken, or another body", way, tt.length, len(got))
			}
		}
	}
}

// A chunk that drips is cut off by the deadline of the whole message.
func TestDrippingChunk(t *testing.T) {
	s, mails := serve(t, func(o *Options) { o.DataTimeout = 100 * time.Millisecond })
	p := dial(t, s)
	p.begin()
	p.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT 900 LAST\r\n")
	p.expect("250")
	p.expect("250")
	for n := 0; ; n++ { // each octet is in time, the chunk is not
		if _, err := p.Write([]byte("x")); err != nil {
			break
		}
		if n == 900 {
			t.Fatal("the chunk was read to its end")
		}
		time.Sleep(2 * time.Millisecond)
	}
	if len(mails.got()) != 0 {
		t.Error("half a chunk was taken")
	}
}

// idlersVar makes a run of the test binary a process with idle clients: its value is
// the server's address and their number.
const idlersVar = "FLOWGRAF_SMTPD_IDLERS"

func TestMain(m *testing.M) {
	if addr, n, ok := strings.Cut(os.Getenv(idlersVar), " "); ok {
		if err := idle(addr, n); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// idle opens connections, says "ready" when all have been greeted, and holds them
// until its standard input ends.
func idle(addr, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	greeting := make([]byte, 100)
	for i := range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return fmt.Errorf("after %d connections: %w", i, err)
		}
		defer c.Close()
		if got, err := c.Read(greeting); err != nil || !strings.HasPrefix(string(greeting[:got]), "220") {
			return fmt.Errorf("connection %d: %q, %w", i, greeting[:got], err)
		}
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// Idle clients cost a bounded memory each, clients over the limit get 421 and cost
// nothing, and those who talk are served all the while. The clients are another
// process: descriptors are counted by process.
func TestIdleConnections(t *testing.T) {
	s, mails := serve(t, func(o *Options) { o.MaxConnections = *idlers + 1 })
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := memory()
	clients := exec.Command(os.Args[0])
	clients.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", idlersVar, s.Addrs()[0], *idlers))
	in, err := clients.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := clients.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		clients.Wait()
	}()
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "ready\n" {
		t.Fatalf("the clients say %q, %v", said, err)
	}
	each := (memory() - before) / uint64(*idlers)
	t.Logf("%d idle connections: %d octets of memory each", *idlers, each)
	if each > 64<<10 {
		t.Errorf("an idle connection costs %d octets", each)
	}
	p := dial(t, s)
	p.begin()
	p.data()
	p.send("Subject: x\r\n\r\n.\r\n")
	p.expect("250")
	for range 100 {
		over := dial(t, s)
		over.expect("421 4.3.2")
		over.closed()
	}
	if len(mails.got()) != 1 {
		t.Error("the client that talks was not served")
	}
}

// A large mail that finds no place within a minute is put off, told so, and counted.
func TestLargeMailWithoutAPlace(t *testing.T) {
	s, mails := serve(t, func(o *Options) { o.MaxMessageSize, o.largeWait = 4<<20, 10*time.Millisecond })
	for range largeMessages {
		s.large <- struct{}{}
	}
	p := dial(t, s)
	p.begin()
	p.data()
	go io.WriteString(p, "Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 98)+"\r\n", 3*largeMessage/100))
	p.expect("451 4.3.2 too many large messages")
	if n := s.options().Monitor.Get(monitor.Refused, "large messages"); n != 1 || len(mails.got()) != 0 {
		t.Errorf("counted %d times, %d mails taken", n, len(mails.got()))
	}
}
