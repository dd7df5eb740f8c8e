package keeper

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// manager does what systemd does with notifications (sd_notify(3)): it stores
// descriptors under their names, forgets them, and closes what a barrier brings.
type manager struct {
	*net.UnixConn
	mu    sync.Mutex
	store map[string]*os.File
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	m := &manager{UnixConn: c, store: map[string]*os.File{}}
	go m.serve()
	return m
}

func (m *manager) serve() {
	text, rights := make([]byte, 4096), make([]byte, 4096)
	for {
		n, k, _, _, err := m.ReadMsgUnix(text, rights)
		if err != nil {
			return
		}
		var fds []int
		if messages, _ := syscall.ParseSocketControlMessage(rights[:k]); len(messages) > 0 {
			fds, _ = syscall.ParseUnixRights(&messages[0])
		}
		m.mu.Lock()
		words := map[string]string{}
		for line := range strings.SplitSeq(string(text[:n]), "\n") {
			key, value, _ := strings.Cut(line, "=")
			words[key] = value
		}
		for _, fd := range fds {
			f := os.NewFile(uintptr(fd), words["FDNAME"])
			if words["FDSTORE"] == "1" {
				m.store[words["FDNAME"]] = f
			} else {
				f.Close()
			}
		}
		if words["FDSTOREREMOVE"] == "1" {
			delete(m.store, words["FDNAME"])
		}
		m.mu.Unlock()
	}
}

// files gives the store as the next process gets it, in an order of its own.
func (m *manager) files() (files []*os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.store {
		files = append(files, f)
	}
	return files
}

// What is stored comes to the next process with its notes; sockets of .socket units are
// told from it, and the store is empty then.
func TestStoredSocketsComeBack(t *testing.T) {
	m := newManager(t)
	var sockets []Socket
	for _, note := range []string{"one", "two", "three"} {
		_, s := pair(t)
		sockets = append(sockets, Socket{s, []byte(note)})
	}
	if err := Store(sockets); err != nil {
		t.Fatal(err)
	}
	Close(sockets)
	_, unit := pair(t)
	files := m.files()
	if len(files) != 4 {
		t.Fatalf("%d descriptors are stored", len(files))
	}
	activated, stored := inherit(append(files, unit))
	if len(activated) != 1 || activated[0] != unit {
		t.Errorf("of .socket units: %v", activated)
	}
	got := map[string]bool{}
	for _, s := range stored {
		got[string(s.Note)] = true
		c, err := net.FileConn(s.File)
		if err != nil {
			t.Errorf("%s: %v", s.Note, err)
			continue
		}
		c.Close()
	}
	if len(got) != 3 || !got["one"] || !got["two"] || !got["three"] {
		t.Errorf("stored: %v", got)
	}
	c, err := dialManager()
	if err != nil {
		t.Fatal(err)
	}
	if err := barrier(c); err != nil {
		t.Fatal(err)
	}
	if left := m.files(); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}

// Without a store the error says what to set.
func TestNoStore(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Store(nil); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "FileDescriptorStoreMax") {
		t.Errorf("%v", err)
	}
}

// A process is systemd's when systemd says that it started this one, not a parent.
func TestManaged(t *testing.T) {
	for _, c := range []struct {
		exec, notify, invocation string
		want                     bool
	}{
		{"", "", "", false},
		{"1", "/run/notify", "a", false},
		{"self", "", "", true},
		{"", "/run/notify", "", true},
		{"", "", "a", true},
	} {
		if c.exec == "self" {
			c.exec = strconv.Itoa(os.Getpid())
		}
		t.Setenv("SYSTEMD_EXEC_PID", c.exec)
		t.Setenv("NOTIFY_SOCKET", c.notify)
		t.Setenv("INVOCATION_ID", c.invocation)
		if got := Managed(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
