package relay

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// mainlog keeps the lines of the default level.
type mainlog struct {
	mu    sync.Mutex
	lines []string
}

func (l *mainlog) Errorf(format string, args ...any) { l.Infof(format, args...) }
func (l *mainlog) Warnf(format string, args ...any)  { l.Infof(format, args...) }
func (l *mainlog) Debugf(string, ...any)             {}
func (l *mainlog) Infof(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// like gives the lines that match, in their order.
func (l *mainlog) like(pattern string) (found []string) {
	re := regexp.MustCompile(pattern)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if re.MatchString(line) {
			found = append(found, line)
		}
	}
	return found
}

// await waits for n lines that match.
func (l *mainlog) await(t *testing.T, pattern string, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if found := l.like(pattern); len(found) >= n {
			return found
		}
	}
	t.Fatalf("not %d lines like %s in\n%s", n, pattern, strings.Join(l.like(""), "\n"))
	return nil
}

// Each step of a mail's way is one line at the default level, no more and no less: an
// arrival, a refusal, what became of each recipient, the bounce and its delivery, the end;
// and a mail of our own likewise.
func TestEachStepIsOneLine(t *testing.T) {
	k := newSink(t, "127.0.0.1:0")
	refused := func(code int, status smtp.EnhancedCode, text string) *smtp.SMTPError {
		return &smtp.SMTPError{Code: code, EnhancedCode: status, Message: text}
	}
	k.refuse["bad@example.com"] = refused(550, smtp.EnhancedCode{5, 1, 1}, "no such user")
	k.refuse["later@example.com"] = refused(451, smtp.EnhancedCode{4, 7, 1}, "greylisted")
	log := &mainlog{}
	opts := testOptions(t, k.addr)
	opts.Monitor = monitor.New(log, nil)
	r := start(t, opts)
	c := dial(t, r)
	c.say(250, "MAIL FROM:<cron@example.com>")
	c.say(550, "RCPT TO:<x@example.net>")
	c.say(250, "RSET")
	c.say(250, "MAIL FROM:<cron@example.com>")
	for _, to := range []string{"ops", "bad", "later"} {
		c.say(250, "RCPT TO:<%s@example.com>", to)
	}
	c.say(354, "DATA")
	w := c.DotWriter()
	fmt.Fprint(w, "Subject: x\r\n\r\n")
	w.Close()
	_, id, _ := strings.Cut(c.expect(250), "id=")
	log.await(t, "^"+id+" == later", 1)
	k.mu.Lock()
	delete(k.refuse, "later@example.com")
	k.mu.Unlock()
	r.sender.Retry(id)
	log.await(t, "^"+id+" completed", 1)
	bounce, _, _ := strings.Cut(log.await(t, " <= <> ", 1)[0], " ")
	log.await(t, "^"+bounce+" completed", 1)

	env := &queue.Envelope{ID: r.NewID(), From: "alert@example.com", To: []string{"ops@example.com"},
		Received: time.Now(), Origin: queue.OriginAlert}
	if err := r.Hold(env, []byte("Subject: alert\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	r.Release(env)
	log.await(t, "^"+env.ID+" completed", 1)

	for _, want := range []string{
		`^refused RCPT H=client\.example\.com \[127\.0\.0\.1\] F=<cron@example\.com> T=<x@example\.net> ` +
			`C="550 5\.7\.1 `,
		`^` + id + ` <= cron@example\.com H=.* P=ESMTP S=\d+ for ops@example\.com bad@example\.com ` +
			`later@example\.com C="250 `,
		`^` + id + ` => ops@example\.com F=<cron@example\.com> H=127\.0\.0\.1 \[`,
		`^` + id + ` \*\* bad@example\.com F=<cron@example\.com> H=.* C="550 5\.1\.1 no such user"`,
		`^` + id + ` == later@example\.com F=<cron@example\.com> H=.* C="451 4\.7\.1 greylisted" QT=.* N=\d{4}-`,
		`^` + id + ` => later@example\.com `,
		`^` + id + ` completed QT=`,
		`^` + bounce + ` <= <> R=` + id + ` S=\d+ for cron@example\.com$`,
		`^` + bounce + ` => cron@example\.com F=<> `,
		`^` + bounce + ` completed`,
		`^` + env.ID + ` <= alert@example\.com P=alert S=\d+ for ops@example\.com$`,
		`^` + env.ID + ` => ops@example\.com F=<alert@example\.com> `,
		`^` + env.ID + ` completed`,
	} {
		if found := log.like(want); len(found) != 1 {
			t.Errorf("%d lines like %s", len(found), want)
		}
	}
	if n := len(log.like(`<=|=>|\*\*|==|completed|refused`)); n != 13 || t.Failed() {
		lines := log.like("")
		slices.Sort(lines)
		t.Errorf("%d lines of steps, want 13:\n%s", n, strings.Join(lines, "\n"))
	}
}
