package delivery

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// Every step of a mail's way is a line of the log: who could not be asked, who put the
// mail off and until when, who took it, who refused it, and its end.
func TestLog(t *testing.T) {
	log := &record{}
	bubble(t, 2, func(o *Options) { o.Monitor = monitor.New(log, nil) }, func(b *bench) {
		b.servers[0].down = true
		b.servers[1].set("RCPT <bad@example.com>", "550 5.1.1 no such user")
		b.servers[1].set("RCPT <later@example.com>", "450 4.2.0 greylisted")
		b.start()
		id := b.addMail("Subject: x\r\n\r\n", "x@example.com", "bad@example.com", "later@example.com")
		time.Sleep(time.Second)
		b.servers[1].clear()
		time.Sleep(time.Minute)
		synctest.Wait()
		text := strings.ReplaceAll(log.all(), id, "ID")
		for _, want := range []string{
			`I ID == x@example.com F=<a@example.com> H=h1 \[192\.0\.2\.1:25\] S=14 C="connect: connection refused"`,
			`I ID => x@example.com F=<a@example.com> H=h2 \[192\.0\.2\.2:25\] S=14 C="250 taken"`,
			`I ID \*\* bad@example.com F=<a@example.com> H=h2 \[192\.0\.2\.2:25\] S=14 C="550 5\.1\.1 no such user"`,
			`I ID == later@example.com F=<a@example.com> H=h2 \[192\.0\.2\.2:25\] S=14 C="450 4\.2\.0 greylisted" ` +
				`.*N=\d{4}-\d\d-\d\dT`,
			`I ID => later@example.com F=<a@example.com> H=h[12] .* C="250 taken" QT=1[0-9]\.`,
			`I ID completed QT=1[0-9]\.`,
		} {
			if n := len(regexp.MustCompile(want).FindAllString(text, -1)); n != 1 {
				t.Errorf("%d lines like %s in\n%s", n, want, text)
			}
		}
	})
}
