//go:build unix

package queue

import (
	"slices"
	"syscall"
	"testing"
)

// The mark for which there was no space is written when there is some again.
func TestMarkWithoutSpace(t *testing.T) {
	dir := t.TempDir()
	d := &sickDisk{err: syscall.ENOSPC}
	q, _, err := openOn(d, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone, stays := addMail(t, q, "gone"), addMail(t, q, "stays")
	d.mu.Lock()
	d.at, d.last = len(d.calls)+1, len(d.calls)+1
	d.mu.Unlock()
	if err := q.Remove(gone.ID); err == nil {
		t.Fatal("the mark could be written")
	}
	d.heal()
	q.Close()
	q, waiting := open(t, dir)
	defer q.Close()
	if got := ids(waiting); !slices.Equal(got, []string{stays.ID}) {
		t.Fatalf("waiting %v, want only %s", got, stays.ID)
	}
}
