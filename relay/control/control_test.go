package control

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDialogue(t *testing.T) {
	dir := t.TempDir()
	if _, err := Do(dir, Request{Command: List}); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("without a socket: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, socketName), nil, 0o600); err != nil { // left by a crash
		t.Fatal(err)
	}
	s, err := Serve(dir, func(r Request) Response { return Response{Done: append(r.IDs, r.Command)} })
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, socketName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info.Mode(), err)
	}
	got, err := Do(dir, Request{Command: Hold, IDs: []string{"1"}})
	if err != nil || len(got.Done) != 2 || got.Done[1] != Hold {
		t.Errorf("%+v, %v", got, err)
	}
	c, err := net.Dial("unix", filepath.Join(dir, socketName))
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("no json\n"))
	var response Response
	if err := json.NewDecoder(c).Decode(&response); err != nil || len(response.Errors) != 1 {
		t.Errorf("%+v, %v", response, err)
	}
	c.Close()
	s.Close()
	if _, err := Do(dir, Request{Command: List}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after Close: %v", err)
	}
	var none *Server
	none.Close()
}

// The error names what stands in the socket's place, and the spool.
func TestSocketThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	handle := func(Request) Response { return Response{} }
	_, err := Serve(filepath.Join(dir, "none"), handle)
	if err == nil || !strings.Contains(err.Error(), "control socket") {
		t.Errorf("without a spool: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, socketName, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Serve(dir, handle); err == nil || !strings.Contains(err.Error(), "control socket") {
		t.Errorf("a directory in its place: %v", err)
	}
	if _, err := Do(dir, Request{Command: List}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("asking a directory: %v", err)
	}
}

// A relay that ends in the middle of an answer is an error, and not the one of an absent relay:
// the command may have been carried out.
func TestAnswerThatBreaksOff(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, socketName))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = json.NewDecoder(c).Decode(&Request{})
		_, _ = c.Write([]byte(`{"done": ["1"`))
	}()
	_, err = Do(dir, Request{Command: Remove, IDs: []string{"1"}})
	if err == nil || errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "the relay's answer") {
		t.Errorf("%v", err)
	}
}
