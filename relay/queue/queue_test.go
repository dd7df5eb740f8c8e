package queue

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

func open(t testing.TB, dir string) (*Queue, []Envelope) {
	t.Helper()
	q, waiting, err := Open(dir, monitor.New(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q, waiting
}

func addMail(t testing.TB, q *Queue, body string) Envelope {
	t.Helper()
	env := Envelope{ID: q.NewID(), From: "a@example.com", To: []string{"b@example.com", "c@example.com"},
		Received: time.Now().UTC(), Origin: OriginSMTP}
	if err := q.Add(&env, []byte(body)); err != nil {
		t.Fatal(err)
	}
	return env
}

func ids(envs []Envelope) []string {
	out := make([]string, len(envs))
	for i, e := range envs {
		out[i] = e.ID
	}
	slices.Sort(out)
	return out
}

func TestLife(t *testing.T) {
	dir := t.TempDir()
	q, waiting := open(t, dir)
	if len(waiting) != 0 {
		t.Fatalf("a new spool has %v", waiting)
	}
	first, second, third := addMail(t, q, "1"), addMail(t, q, "2"), addMail(t, q, "3")
	m, err := q.Load(second.ID)
	if err != nil || string(m.Body) != "2" || m.From != "a@example.com" || len(m.To) != 2 {
		t.Fatalf("loaded %+v, %v", m, err)
	}
	now := time.Now().UTC()
	if err := q.Record(second.ID, []Result{{Recipient: 0, State: Deferred, Time: now, Code: 451}}); err != nil {
		t.Fatal(err)
	}
	if err := q.Record(second.ID,
		[]Result{{Recipient: 1, State: Delivered, Time: now, Host: "h:25", Code: 250, Text: "ok"}}); err != nil {
		t.Fatal(err)
	}
	if err := q.Remove(first.ID); err != nil {
		t.Fatal(err)
	}
	if err := q.Fail(third.ID); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q, waiting = open(t, dir)
	if got := ids(waiting); !slices.Equal(got, []string{second.ID}) {
		t.Fatalf("waiting %v, want only %s", got, second.ID)
	}
	m, err = q.Load(second.ID)
	if err != nil || !slices.Equal(m.States(), []State{Deferred, Delivered}) || m.Results[1].Text != "ok" {
		t.Fatalf("loaded %+v, %v", m, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, failedDir, third.ID+mailSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if m, _, err := decodeFile(b); err != nil || string(m.Body) != "3" {
		t.Fatalf("failed mail %+v, %v", m, err)
	}
}

func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, _, err := Open(dir, nil); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second Open gives %v, want ErrLocked", err)
	}
}

// copySpool gives the spool as a crash would leave it: while it is open.
func copySpool(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// After a loss of power the mail files may be empty, short or gone; the journal has
// them.
func TestJournalRestores(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func(path string) error
	}{
		{"nothing", func(string) error { return nil }},
		{"gone", os.Remove},
		{"empty", func(path string) error { return os.Truncate(path, 0) }},
		{"short", func(path string) error { return os.Truncate(path, 50) }},
		{"zeros", func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, make([]byte, info.Size()), 0o600)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			q, _ := open(t, dir)
			var want []string
			bodies := map[string]string{}
			for i := range 20 {
				body := strings.Repeat("x", i*100) + fmt.Sprint(i)
				env := addMail(t, q, body)
				if i%3 == 0 {
					if err := q.Remove(env.ID); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if i%3 == 1 && i > 10 {
					if err := q.Fail(env.ID); err != nil {
						t.Fatal(err)
					}
					continue
				}
				want = append(want, env.ID)
				bodies[env.ID] = body
				if err := q.spill(env.ID); err != nil {
					t.Fatal(err)
				}
			}
			crashed := copySpool(t, dir)
			for _, id := range want {
				if err := tt.harm(filepath.Join(crashed, queueDir, id+mailSuffix)); err != nil {
					t.Fatal(err)
				}
			}
			q, waiting := open(t, crashed)
			slices.Sort(want)
			if got := ids(waiting); !slices.Equal(got, want) {
				t.Fatalf("waiting %v, want %v", got, want)
			}
			for _, id := range want {
				if m, err := q.Load(id); err != nil || string(m.Body) != bodies[id] {
					t.Errorf("mail %s: %v", id, err)
				}
			}
		})
	}
}

// A mail file cut at every length, or with any octet flipped, is set aside and
// kept, and the others are there.
func TestCorruptFiles(t *testing.T) {
	record, err := encodeMail(&Envelope{ID: "0-1", To: []string{"b@example.com"}},
		[]byte("Subject: x\r\n\r\nhello\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	var harmed [][]byte
	for n := range record {
		harmed = append(harmed, record[:n])
		flipped := bytes.Clone(record)
		flipped[n] ^= 0x20
		harmed = append(harmed, flipped)
	}
	dir := t.TempDir()
	q, _ := open(t, dir)
	good := addMail(t, q, "good")
	q.Close()
	for i, b := range harmed {
		if err := os.WriteFile(filepath.Join(dir, queueDir, fmt.Sprintf("0-%x%s", i, mailSuffix)), b,
			0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"README", "x.mail", "0-1.mail.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, queueDir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, waiting := open(t, dir)
	if got := ids(waiting); !slices.Equal(got, []string{good.ID}) {
		t.Fatalf("waiting %v, want only %s", got, good.ID)
	}
	aside, _ := os.ReadDir(filepath.Join(dir, corruptDir))
	if len(aside) != len(harmed) {
		t.Errorf("%d files set aside, want %d", len(aside), len(harmed))
	}
	left, _ := os.ReadDir(filepath.Join(dir, queueDir))
	if len(left) != 2 { // the two that are no mails; the journal has the good one
		t.Errorf("left in the queue: %v", left)
	}
}

// A journal cut at any length loses no mail in front of the cut, and Open succeeds.
func TestCutJournal(t *testing.T) {
	dir := t.TempDir()
	q, _ := open(t, dir)
	var sizes []int64
	var names []string
	for i := range 4 {
		names = append(names, addMail(t, q, fmt.Sprint("mail ", i)).ID)
		info, err := q.journal.current.file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
	}
	for cut := int64(0); cut <= sizes[3]; cut += 7 {
		crashed := copySpool(t, dir)
		os.RemoveAll(filepath.Join(crashed, queueDir))
		if err := os.Truncate(filepath.Join(crashed, journalDir, segmentName(1)), cut); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for whole < 4 && sizes[whole] <= cut {
			whole++
		}
		q, waiting := open(t, crashed)
		if got := ids(waiting); !slices.Equal(got, names[:whole]) {
			t.Fatalf("cut at %d: waiting %v, want %v", cut, got, names[:whole])
		}
		q.Close()
	}
}

// A torn result record is written over.
func TestTornResult(t *testing.T) {
	dir := t.TempDir()
	q, _ := open(t, dir)
	env := addMail(t, q, "x")
	if err := q.spill(env.ID); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, queueDir, env.ID+mailSuffix)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := encodeResult(nil, &Result{Recipient: 1, State: Delivered, Text: strings.Repeat("long", 50)})
	f.Write(b[:len(b)-3])
	f.Close()
	if m, err := q.Load(env.ID); err != nil || len(m.Results) != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := q.Record(env.ID, []Result{{Recipient: 0, State: Delivered}}); err != nil {
		t.Fatal(err)
	}
	m, err := q.Load(env.ID)
	if err != nil || !slices.Equal(m.States(), []State{Delivered, ""}) {
		t.Fatalf("%+v, %v", m, err)
	}
}

// Segments are deleted when full, and what waits is still there.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	q, _ := open(t, dir)
	q.journal.keep = 0
	body := strings.Repeat("x", 1<<20)
	var want []string
	for i := range 100 {
		env := addMail(t, q, body)
		if i%10 == 0 {
			want = append(want, env.ID)
			continue
		}
		if err := q.Remove(env.ID); err != nil {
			t.Fatal(err)
		}
	}
	q.journal.sealing.Wait()
	segments, _ := os.ReadDir(filepath.Join(dir, journalDir))
	if len(segments) > 1 {
		t.Errorf("%d segments are left", len(segments))
	}
	crashed := copySpool(t, dir)
	_, waiting := open(t, crashed)
	if got := ids(waiting); !slices.Equal(got, want) {
		t.Errorf("waiting %v, want %v", got, want)
	}
}

func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	q, _ := open(t, dir)
	var mu sync.Mutex
	var want []string
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range 20 {
				env := Envelope{ID: q.NewID(), To: []string{"a@b"}, Received: time.Now()}
				if err := q.Add(&env, []byte("x")); err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					if err := q.Remove(env.ID); err != nil {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				want = append(want, env.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	_, waiting := open(t, copySpool(t, dir))
	if got := ids(waiting); !slices.Equal(got, want) {
		t.Errorf("%d wait, want %d", len(got), len(want))
	}
}

// A spool that takes no writes gives an error, and takes mails again afterwards.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	q, _ := open(t, dir)
	kept := addMail(t, q, "kept")
	q.journal.mu.Lock()
	q.journal.current.file.Close() // the next write and sync fail
	q.journal.mu.Unlock()
	env := Envelope{ID: q.NewID(), To: []string{"a@b"}}
	if err := q.Add(&env, []byte("x")); err == nil {
		t.Fatal("no error although the journal cannot be written")
	}
	after := addMail(t, q, "after")
	q.Close()
	if err := q.Add(&env, []byte("x")); err == nil {
		t.Fatal("no error after Close")
	}
	_, waiting := open(t, dir)
	if got := ids(waiting); !slices.Equal(got, []string{kept.ID, after.ID}) {
		t.Errorf("waiting %v, want %v and %v", got, kept.ID, after.ID)
	}
	bad := []Envelope{{ID: "../x", To: []string{"a@b"}}, {ID: "0-1"}, {To: []string{"a@b"}}}
	for _, env := range bad {
		if err := q.Add(&env, nil); err == nil {
			t.Errorf("%+v was taken", env)
		}
	}
}

func TestNewIDsDiffer(t *testing.T) {
	q, _ := open(t, t.TempDir())
	seen := map[string]bool{}
	for range 10_000 {
		id := q.NewID()
		if seen[id] || !validID(id) || !strings.HasPrefix(id, q.Instance()+"-") {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

// With the clock set back, no id is given twice.
func TestClockSetBack(t *testing.T) {
	for _, keep := range []func(q *Queue, id string) error{
		func(*Queue, string) error { return nil },
		func(q *Queue, id string) error { return q.spill(id) },
		func(q *Queue, id string) error { return q.Fail(id) },
	} {
		dir := t.TempDir()
		q, _ := open(t, dir)
		q.lastID = time.Now().Add(24 * time.Hour).UnixNano()
		future := addMail(t, q, "from tomorrow")
		if err := keep(q, future.ID); err != nil {
			t.Fatal(err)
		}
		q.Close()
		q, _ = open(t, dir)
		if id := q.NewID(); id <= future.ID {
			t.Errorf("id %s after %s", id, future.ID)
		}
	}
}

func FuzzDecodeFile(f *testing.F) {
	record, _ := encodeMail(&Envelope{ID: "0-1", From: "a@b", To: []string{"c@d"}}, []byte("body\r\n"))
	f.Add(record)
	withResult, _ := encodeResult(bytes.Clone(record), &Result{State: Delivered})
	f.Add(withResult)
	f.Add(record[:30])
	f.Add([]byte(mailMagic + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, good, err := decodeFile(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v, want ErrCorrupt", err)
			}
			return
		}
		if good > len(b) || !validID(m.ID) || len(m.States()) != len(m.To) {
			t.Fatalf("%+v, %d", m, good)
		}
	})
}

func FuzzScanSegment(f *testing.F) {
	record, _ := encodeMail(&Envelope{ID: "0-1", From: "a@b", To: []string{"c@d"}}, []byte("body\r\n"))
	f.Add(slices.Concat(record, encodeDone("0-1"), record))
	f.Add(encodeDone("0-1")[:9])
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		good, err := scanSegment(b, func(_ *Mail, at, size int) { total += size },
			func(id string) { total += 14 + len(id) })
		if good != total || good > len(b) || (err == nil) != (good == len(b)) {
			t.Fatalf("good %d, records of %d, input of %d, %v", good, total, len(b), err)
		}
	})
}

// On a full disk Add says so, nothing acknowledged is lost, and when mails have left
// the queue takes new ones without a restart.
func TestFullDisk(t *testing.T) {
	small := smallDir(t)
	dir, err := os.MkdirTemp(small, "spool")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	q, _ := open(t, dir)
	body := bytes.Repeat([]byte("x"), 50<<10)
	var kept []string
	var full error
	for range 10_000 {
		env := Envelope{ID: q.NewID(), To: []string{"a@b"}, Received: time.Now()}
		if full = q.Add(&env, body); full != nil {
			break
		}
		kept = append(kept, env.ID)
	}
	if !IsFull(full) || len(kept) == 0 {
		t.Fatalf("after %d mails: %v, want ENOSPC", len(kept), full)
	}
	for range 1000 { // a storm of refused mails must not eat inodes
		env := Envelope{ID: q.NewID(), To: []string{"a@b"}, Received: time.Now()}
		if err := q.Add(&env, body); !IsFull(err) {
			t.Fatalf("%v, want ENOSPC", err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, journalDir)); len(entries) > 2 {
		t.Errorf("%d journal segments", len(entries))
	}
	for _, id := range kept {
		if m, err := q.Load(id); err != nil || len(m.Body) != len(body) {
			t.Fatalf("acknowledged mail %s: %v", id, err)
		}
		if err := q.Remove(id); err != nil {
			t.Logf("removing %s: %v", id, err)
		}
	}
	q.journal.mu.Lock()
	size := q.journal.current.size
	q.journal.mu.Unlock()
	t.Logf("%d mails fitted; the segment has %d octets", len(kept), size)
	env := Envelope{ID: q.NewID(), To: []string{"a@b"}, Received: time.Now()}
	if err := q.Add(&env, body); err != nil {
		t.Errorf("after all mails have left: %v", err)
	}
}
