//go:build unix

package keeper

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test's own program is the helper, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "keep" {
		if err := Run(os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// helper is the command that has sockets here.
func helper() []string { return []string{os.Args[0], "keep"} }

// pair gives both ends of a connection.
func pair(t *testing.T) (client *net.TCPConn, server *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if server, err = s.(*net.TCPConn).File(); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), server
}

// Sockets come back from the helper with their notes, in their order, and what a client
// has said meanwhile is in them.
func TestSocketsOutliveTheirOwner(t *testing.T) {
	dir := t.TempDir()
	var clients []*net.TCPConn
	var sockets []Socket
	for i := range 20 {
		c, s := pair(t)
		clients = append(clients, c)
		sockets = append(sockets, Socket{s, bytes.Repeat([]byte{byte(i)}, i*1000)})
	}
	if err := Keep(dir, helper(), time.Minute, sockets); err != nil {
		t.Fatal(err)
	}
	Close(sockets)
	if info, err := os.Stat(filepath.Join(dir, socketName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the helper's socket: %v, %v", info, err)
	}
	for i, c := range clients {
		fmt.Fprintf(c, "%d\n", i)
	}
	// Who takes none of them changes nothing.
	c, err := net.Dial("unix", filepath.Join(dir, socketName))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	taken, err := Take(dir)
	if err != nil || len(taken) != len(sockets) {
		t.Fatalf("%d sockets, %v", len(taken), err)
	}
	for i, s := range taken {
		if !bytes.Equal(s.Note, sockets[i].Note) {
			t.Errorf("socket %d: the note of another one, %d octets", i, len(s.Note))
		}
		nc, err := net.FileConn(s.File)
		if err != nil {
			t.Fatal(err)
		}
		said := make([]byte, len(fmt.Sprintln(i)))
		if _, err := io.ReadFull(nc, said); err != nil || string(said) != fmt.Sprintln(i) {
			t.Errorf("socket %d: %q, %v", i, said, err)
		}
		fmt.Fprintf(nc, "answer\n")
		nc.Close()
		s.File.Close()
		if b, err := io.ReadAll(clients[i]); string(b) != "answer\n" || err != nil {
			t.Errorf("client %d: %q, %v", i, b, err)
		}
	}
	gone(t, dir)
	if again, err := Take(dir); len(again) != 0 || err != nil {
		t.Errorf("given twice: %v, %v", again, err)
	}
}

// A helper that ends late leaves the next one alone: a connection lives through restarts in
// quick succession.
func TestRestartsInQuickSuccession(t *testing.T) {
	dir := t.TempDir()
	c, s := pair(t)
	sockets := []Socket{{s, nil}}
	for i := range 100 {
		if err := Keep(dir, helper(), time.Minute, sockets); err != nil {
			t.Fatal(err)
		}
		Close(sockets)
		var err error
		if sockets, err = Take(dir); err != nil || len(sockets) != 1 {
			t.Fatalf("restart %d: %d connections, %v", i, len(sockets), err)
		}
	}
	Close(sockets)
	c.SetDeadline(time.Now().Add(time.Minute)) // a busy machine needs that for the restarts alone
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// gone waits until the helper has removed its socket, which is the last that it does.
func gone(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Lstat(filepath.Join(dir, socketName)); os.IsNotExist(err) {
			return
		}
	}
	t.Fatal("the helper still runs")
}

// When nobody comes, clients meet the end of the connection and no reset, although they
// have sent what nobody reads.
func TestNobodyTakesThem(t *testing.T) {
	dir := t.TempDir()
	c, s := pair(t)
	sockets := []Socket{{s, nil}}
	if err := Keep(dir, helper(), 200*time.Millisecond, sockets); err != nil {
		t.Fatal(err)
	}
	Close(sockets)
	fmt.Fprintf(c, "MAIL FROM:<%s>\r\n", strings.Repeat("a", 50_000))
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	gone(t, dir)
}

// What a killed helper has left behind is nothing.
func TestSocketWithoutAHelper(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if sockets, err := Take(dir); len(sockets) != 0 || err != nil {
		t.Errorf("%v, %v", sockets, err)
	}
	_, s := pair(t)
	if err := Keep(dir, helper(), time.Minute, []Socket{{s, nil}}); err != nil {
		t.Errorf("in the place of an old socket: %v", err)
	}
	if sockets, err := Take(dir); len(sockets) != 1 || err != nil {
		t.Errorf("%v, %v", sockets, err)
	}
}

// A helper that cannot be started is an error, and leaves no socket.
func TestNoHelper(t *testing.T) {
	dir := t.TempDir()
	_, s := pair(t)
	if err := Keep(dir, []string{filepath.Join(dir, "missing")}, time.Minute, []Socket{{s, nil}}); err == nil {
		t.Error("a program that does not exist was started")
	}
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
	if _, err := syscall.Dup(int(s.Fd())); err != nil {
		t.Errorf("the caller's socket was closed: %v", err)
	}
}

// The command is of no use to a person, and says so.
func TestRunWithoutOrders(t *testing.T) {
	if err := Run(strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "own use") {
		t.Errorf("%v", err)
	}
}
