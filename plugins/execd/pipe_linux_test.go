package execd

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newPipe returns a pipe, and what the sink writes into it with.
func newPipe(t *testing.T) (r, w *os.File, wide *pipe) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	s := newSink(w, time.Minute)
	wide, ok := s.to.(*pipe)
	if limit, err := os.ReadFile("/proc/sys/fs/pipe-max-size"); err == nil {
		if n, _ := strconv.Atoi(strings.TrimSpace(string(limit))); n < pipeBytes {
			t.Skipf("no pipe may hold more than %d bytes here", n)
		}
	}
	if !ok {
		t.Fatal("the pipe was not made large")
	}
	return r, w, wide
}

// The pipe to Telegraf holds a batch: whoever writes one into it waits for nobody.
func TestPipeIsMadeLarge(t *testing.T) {
	r, w, wide := newPipe(t)
	if n, err := unix.FcntlInt(r.Fd(), unix.F_GETPIPE_SZ, 0); err != nil || n < pipeBytes {
		t.Errorf("the pipe holds %d bytes: %v", n, err)
	}
	batch := bytes.Repeat([]byte("0123456789abcde\n"), 50_000)
	if n, err := wide.Write(batch); n != len(batch) || err != nil { // nobody reads
		t.Errorf("written are %d of %d: %v", n, len(batch), err)
	}
	if n := wide.unread(); n != len(batch) {
		t.Errorf("%d bytes are unread, want %d", n, len(batch))
	}
	w.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, batch) {
		t.Errorf("read are %d bytes of %d: %v", len(got), len(batch), err)
	}
}

// More than the pipe holds goes through it whole and in order, to a reader that takes a
// little at a time and pauses for longer than a full pipe is looked at.
func TestPipeFillsUp(t *testing.T) {
	r, w, wide := newPipe(t)
	want := make([]byte, 2*pipeBytes+4711)
	for i := range want {
		want[i] = byte(i>>16) ^ byte(i*7)
	}
	failed := make(chan error, 1)
	go func() {
		for left := want; len(left) > 0; {
			n := min(len(left), 300_001)
			if written, err := wide.Write(left[:n]); err != nil || written != n {
				failed <- err
				break
			}
			left = left[n:]
		}
		failed <- nil
		w.Close()
	}()
	time.Sleep(3 * pipeWait / 2)
	var got bytes.Buffer
	for buf := make([]byte, 16<<10); ; {
		n, err := r.Read(buf)
		got.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("read are %d bytes, want %d, or others", got.Len(), len(want))
	}
}

// Whoever waits for room in a full pipe is told when its reader has gone.
func TestPipeLosesItsReader(t *testing.T) {
	r, _, wide := newPipe(t)
	if _, err := wide.Write(make([]byte, wide.size)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := wide.Write(make([]byte, wide.size))
		done <- err
	}()
	time.Sleep(pipeWait / 4)
	r.Close()
	select {
	case err := <-done:
		if !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the write ended with %v, want a broken pipe", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the write waits for a reader that has gone")
	}
}

// What is no pipe is written to as it is.
func TestOtherStreamsStayAsTheyAre(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "lines"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got := widen(file); got != io.Writer(file) {
		t.Errorf("a file is written to with a %T", got)
	}
	if got := widen(io.Discard); got != io.Discard {
		t.Errorf("a writer is written to with a %T", got)
	}
}
