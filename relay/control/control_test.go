package control

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
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
