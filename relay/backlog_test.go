package relay

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// backlog is for the long run of TestBacklog: go test ./relay -run Backlog -backlog 100000.
var backlog = flag.Int("backlog", 3000, "mails that wait in TestBacklog")

// heap gives the octets in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Many waiting mails of 3 kB slow nothing down and fill no memory: not while they come,
// not at the end nor at the start of the relay; and all leave once the smarthost is
// there. Times and memory are logged.
func TestBacklog(t *testing.T) {
	r, opts := downRelay(t, 0)
	opts.Monitor = monitor.New(nil, nil)
	r.Stop()
	r = start(t, opts)
	body := []byte("Subject: backlog\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 42))
	empty, begin := heap(), time.Now()
	tenth := *backlog / 10
	var times []string
	for part := range 10 {
		began := time.Now()
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for n := worker; n < tenth; n += 8 {
					env := &queue.Envelope{
						ID: r.NewID(), From: "a@example.com", To: []string{fmt.Sprintf("ops%d@example.com", part)},
						Received: time.Now().UTC(), Origin: queue.OriginSMTP, Client: "127.0.0.1",
					}
					if err := r.Submit(env, body); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		times = append(times, time.Since(began).Round(time.Millisecond).String())
	}
	n := tenth * 10
	t.Logf("%d mails taken in %v, each tenth in %v", n, time.Since(begin).Round(time.Millisecond), times)
	t.Logf("%d octets of memory a waiting mail", (heap()-empty)/uint64(n))
	if r.Waiting() != n {
		t.Fatalf("%d mails wait, want %d", r.Waiting(), n)
	}
	begin = time.Now()
	r.Stop()
	t.Logf("stopped in %v", time.Since(begin).Round(time.Millisecond))
	if files, _ := os.ReadDir(filepath.Join(opts.Spool, "queue")); len(files) > n/100 {
		t.Errorf("%d files were made for %d mails at the stop", len(files), n)
	}
	begin = time.Now()
	r = start(t, opts)
	t.Logf("started in %v", time.Since(begin).Round(time.Millisecond))
	if r.Waiting() != n {
		t.Fatalf("%d mails wait after the restart, want %d", r.Waiting(), n)
	}
	dial(t, r).mail("a@example.com", "ops@example.com", "Subject: another\r\n\r\n")
	r.Stop()
	k := newSink(t, opts.Smarthosts[0][len("smtp://"):])
	begin = time.Now()
	r = start(t, opts)
	for r.Waiting() > 0 && time.Since(begin) < 5*time.Minute {
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("delivered in %v, %.0f a second", time.Since(begin).Round(time.Millisecond),
		float64(n)/time.Since(begin).Seconds())
	if got := len(k.got()); got != n+1 {
		t.Errorf("%d mails have arrived, want %d", got, n+1)
	}
	r.Stop()
	left, _ := filepath.Glob(filepath.Join(opts.Spool, "*", "*.*"))
	if len(left) > 0 {
		t.Errorf("left in the spool: %q", left)
	}
}
