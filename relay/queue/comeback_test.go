package queue

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A mail that had a file of its own at the last Open leaves for good, in whichever way,
// while another mail keeps the segment that has its record too.
func TestNoComeback(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave func(q *Queue, id string) error
	}{
		{"delivered or removed", (*Queue).Remove},
		{"failed", (*Queue).Fail},
		{"failed and removed", func(q *Queue, id string) error {
			if err := q.Fail(id); err != nil {
				return err
			}
			return q.RemoveFailed(id)
		}},
		{"set aside", func(q *Queue, id string) error { return q.SetAside(id, ErrCorrupt) }},
	} {
		for opens := 1; opens <= 3; opens++ {
			t.Run(tt.name, func(t *testing.T) {
				dir := t.TempDir()
				q, _ := open(t, dir)
				leaves, stays := addMail(t, q, "leaves"), addMail(t, q, "stays")
				if err := q.Record(leaves.ID, []Result{{State: Deferred, Time: time.Now(), Code: 451}}); err != nil {
					t.Fatal(err)
				}
				for range opens {
					q.Close()
					q, _ = open(t, dir)
				}
				if err := tt.leave(q, leaves.ID); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					q.Close()
					var waiting []Envelope
					q, waiting = open(t, dir)
					if got := ids(waiting); !slices.Equal(got, []string{stays.ID}) {
						t.Fatalf("waiting %v, want only %s", got, stays.ID)
					}
				}
			})
		}
	}
}

// A mail that failed at the moment of a kill is without a mark in the journal. Removed
// by a person, it does not come back either.
func TestNoComebackOfFailed(t *testing.T) {
	dir := t.TempDir()
	q, _ := open(t, dir)
	env, stays := addMail(t, q, "fails"), addMail(t, q, "stays")
	if err := q.Record(env.ID, []Result{{State: Undeliverable, Time: time.Now(), Code: 550}}); err != nil {
		t.Fatal(err)
	}
	killed := copySpool(t, dir)
	b, err := os.ReadFile(filepath.Join(killed, queueDir, env.ID+mailSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(killed, failedDir, env.ID+mailSuffix), b, 0o600); err != nil {
		t.Fatal(err)
	}
	q, _ = open(t, killed)
	if err := q.RemoveFailed(env.ID); err != nil {
		t.Fatal(err)
	}
	q.Close()
	q, waiting := open(t, killed)
	defer q.Close()
	if got := ids(waiting); !slices.Equal(got, []string{stays.ID}) {
		t.Fatalf("waiting %v, want only %s", got, stays.ID)
	}
}
