package queue

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// killedSpool names the spool for the child of TestKill.
const killedSpool = "FLOWGRAF_TEST_KILLED_SPOOL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedSpool); dir != "" {
		acceptUntilKilled(dir)
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// acceptUntilKilled adds mails from several goroutines and says for each, after Add
// has returned, its id and digest, and for each removed one that it is gone.
func acceptUntilKilled(dir string) {
	q, _, err := Open(dir, monitor.New(nil, nil))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var mu sync.Mutex
	for worker := range 8 {
		go func() {
			for i := 0; ; i++ {
				body := []byte(strings.Repeat(fmt.Sprintf("%d %d\r\n", worker, i), rand.IntN(1000)))
				env := &Envelope{ID: q.NewID(), From: "a@b", To: []string{"c@d"}, Received: time.Now()}
				if err := q.Add(env, body); err != nil {
					fmt.Println("error", err)
					return
				}
				sum := sha256.Sum256(body)
				mu.Lock()
				fmt.Println("has", env.ID, hex.EncodeToString(sum[:]))
				mu.Unlock()
				if i%3 == 0 {
					mu.Lock()
					fmt.Println("removes", env.ID)
					mu.Unlock()
					if err := q.Remove(env.ID); err != nil {
						fmt.Println("error", err)
					}
					mu.Lock()
					fmt.Println("removed", env.ID)
					mu.Unlock()
				}
			}
		}()
	}
	select {}
}

// Every mail that Add has acknowledged survives kill -9, octet for octet, over many
// deaths of one spool; a removed one does not come back.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	want := map[string]string{}    // must be there
	removed := map[string]bool{}   // must not be there
	undecided := map[string]bool{} // Remove had begun
	runs := 12
	if testing.Short() {
		runs = 3
	}
	for run := range runs {
		out := killChild(t, dir, time.Duration(20+rand.IntN(150))*time.Millisecond)
		for line := range strings.Lines(out) {
			if !strings.HasSuffix(line, "\n") {
				continue // cut by the kill
			}
			fields := strings.Fields(line)
			switch fields[0] {
			case "has":
				want[fields[1]] = fields[2]
			case "removes":
				undecided[fields[1]] = true
				delete(want, fields[1])
			case "removed":
				removed[fields[1]] = true
			default:
				t.Fatalf("the child says %q", line)
			}
		}
		q, waiting, err := Open(dir, monitor.New(nil, nil))
		if err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
		for _, env := range waiting {
			if removed[env.ID] {
				t.Fatalf("run %d: mail %s was removed and is back", run, env.ID)
			}
		}
		for id, digest := range want {
			m, err := q.Load(id)
			if err != nil {
				t.Fatalf("run %d: acknowledged mail %s: %v", run, id, err)
			}
			if sum := sha256.Sum256(m.Body); hex.EncodeToString(sum[:]) != digest {
				t.Fatalf("run %d: mail %s has other octets", run, id)
			}
		}
		if n := q.mon.Total(monitor.Corrupt); n > 1 {
			t.Fatalf("run %d: %d corrupt files; at most the journal's torn end expected", run, n)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d mails acknowledged and there, %d removed", len(want), len(removed))
	if len(want) == 0 {
		t.Error("the child was always killed before its first mail")
	}
}

// killChild runs the child and kills it some time after its first mail.
func killChild(t *testing.T, dir string, after time.Duration) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedSpool+"="+dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stdout)
	first, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("the child says %q, then %v", first, err)
	}
	timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
	defer timer.Stop()
	rest, _ := io.ReadAll(r)
	cmd.Wait()
	return first + string(rest)
}

func BenchmarkAdd(b *testing.B) {
	for _, sessions := range []int{1, 8, 50} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			q, _ := open(b, b.TempDir())
			body := []byte(strings.Repeat(
				"0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n", 40))
			work := make(chan struct{}, sessions)
			var wg sync.WaitGroup
			for range sessions {
				wg.Go(func() {
					for range work {
						env := &Envelope{ID: q.NewID(), From: "a@b", To: []string{"c@d"}, Received: time.Now()}
						if err := q.Add(env, body); err != nil {
							b.Error(err)
						}
						if err := q.Remove(env.ID); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
		})
	}
}
