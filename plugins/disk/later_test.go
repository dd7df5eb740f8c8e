package disk

import (
	"os"
	"testing"
	"time"
)

// TestLaterSync: what is written to often is written to the disk once, and again
// after that. Of a pipe, the system says that it cannot: that tells the calls.
func TestLaterSync(t *testing.T) {
	r, w, err := os.Pipe()
	if err := err; err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var l LaterSync
	calls := make(chan error, 10)
	failed := func(err error) { calls <- err }
	for range 2 {
		for range 5 {
			l.Written(w, 20*time.Millisecond, failed)
		}
		if err := <-calls; err == nil {
			t.Error("a pipe is on the disk")
		}
	}
	l.Written(w, 0, failed)
	l.Written(w, time.Millisecond, failed)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if n := len(calls); n > 0 {
		t.Errorf("%d further calls", n)
	}
}
