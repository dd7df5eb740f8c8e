package delivery

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/queue"
)

// asking is a mail whose sender wants to hear of everything.
func asking(to ...string) *queue.Envelope {
	env := &queue.Envelope{From: "a@example.com", To: to, Origin: queue.OriginSMTP, Return: "HDRS", EnvelopeID: "QQ1",
		Notify: map[string]queue.Notify{}}
	for _, a := range to {
		env.Notify[a] = queue.Notify{On: "SUCCESS,FAILURE,DELAY", Original: "rfc822;orig@example.com"}
	}
	return env
}

// A server that sends notifications itself is told what the sender wants; for another one
// the sender is told here that the mail was handed over, once for each recipient.
func TestSuccessIsTold(t *testing.T) {
	for extension, want := range map[string]int64{"DSN": 0, "SIZE 1000": 2} {
		var reached atomic.Int64 // recipients
		bubble(t, 1, func(o *Options) {
			o.Reached = func(_ *queue.Mail, results []queue.Result) error {
				reached.Add(int64(len(results)))
				return nil
			}
		}, func(b *bench) {
			b.servers[0].set("EHLO", "250-sink\r\n250 "+extension)
			b.start()
			b.submit(asking("x@example.com", "y@example.com"), "x\r\n")
			b.addMail("x\r\n", "z@example.com") // nobody has asked
			time.Sleep(time.Second)
			synctest.Wait()
			b.want(2, 1)
			lines := b.servers[0].said()
			passed := slices.Contains(lines, "MAIL FROM:<a@example.com> RET=HDRS ENVID=QQ1") &&
				slices.Contains(lines,
					"RCPT TO:<x@example.com> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;orig@example.com")
			if passed != (extension == "DSN") || reached.Load() != want {
				t.Errorf("%s: %d recipients are told of; the server heard %q", extension, reached.Load(), lines)
			}
		})
	}
}

// A sender is told once that the mail waits, also over a restart, for those recipients of
// which he wants to hear.
func TestDelayIsTold(t *testing.T) {
	var mu sync.Mutex
	var delayed []queue.Result
	var until time.Time
	delays := func() ([]queue.Result, time.Time) {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(delayed), until
	}
	edit := func(o *Options) {
		o.DelayAfter, o.ExpireAfter = time.Hour, 10*time.Hour
		o.Delayed = func(_ *queue.Mail, results []queue.Result, at time.Time) error {
			mu.Lock()
			defer mu.Unlock()
			delayed, until = append(delayed, results...), at
			return nil
		}
	}
	bubble(t, 1, edit, func(b *bench) {
		b.servers[0].goDown()
		begin := time.Now()
		env := asking("x@example.com", "y@example.com")
		env.Notify["y@example.com"] = queue.Notify{On: "FAILURE"}
		b.start()
		id := b.submit(env, "x\r\n")
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if list, _ := delays(); len(list) != 0 {
			t.Fatal("the sender is told too early")
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if list, at := delays(); len(list) != 1 || list[0].Recipient != 0 || !at.Equal(begin.Add(10*time.Hour)) {
			t.Fatalf("told are %+v, until %v", list, at)
		}
		b.sender.mu.Lock()
		b.sender.known[id].delayKnown = false // as after a restart
		b.sender.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if list, _ := delays(); len(list) != 1 {
			t.Errorf("the sender is told again: %+v", list)
		}
		b.servers[0].clear()
		time.Sleep(time.Hour)
		synctest.Wait()
		b.want(1, 1)
	})
}
