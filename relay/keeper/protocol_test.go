//go:build unix

package keeper

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// giver plays a helper that says what a test wants: it listens in a directory, and calls say
// with the first connection.
func giver(t *testing.T, dir string, say func(c *net.UnixConn)) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		say(c)
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// number is a number of four octets.
func number(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// descriptors counts what this process has open, 0 where that cannot be told.
func descriptors() int {
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}

// What a helper says that is damaged, or is none, costs the sockets behind it and no more: those
// before it are taken, the error says what was expected, and no descriptor stays open.
func TestGiversThatAreNone(t *testing.T) {
	send := func(c *net.UnixConn, head []byte, files ...*os.File) bool {
		var rights []byte
		if len(files) > 0 {
			var list []int
			for _, f := range files {
				list = append(list, int(f.Fd()))
			}
			rights = syscall.UnixRights(list...)
		}
		_, _, err := c.WriteMsgUnix(head, rights, nil)
		return err == nil
	}
	taken := func(c *net.UnixConn) { c.Read(make([]byte, 1)) }
	for _, tt := range []struct {
		name  string
		taken int
		want  string // of the error
		say   func(c *net.UnixConn, f *os.File)
	}{
		{"nothing", 0, "EOF", func(*net.UnixConn, *os.File) {}},
		{"half a number", 0, "unexpected EOF", func(c *net.UnixConn, _ *os.File) { c.Write([]byte{0, 0}) }},
		{"a number alone", 0, "EOF", func(c *net.UnixConn, _ *os.File) { c.Write(number(2)) }},
		{"a note without a socket", 0, "expected one socket with a note, got 0", func(c *net.UnixConn, _ *os.File) {
			c.Write(number(1))
			send(c, number(0))
		}},
		{"two sockets at once", 0, "expected one socket with a note, got 2", func(c *net.UnixConn, f *os.File) {
			c.Write(number(1))
			send(c, number(0), f, f)
		}},
		{"half a note's length", 0, "a note is missing or too long", func(c *net.UnixConn, f *os.File) {
			c.Write(number(1))
			send(c, number(3)[:2], f)
		}},
		{"half a note", 0, "a note is missing or too long", func(c *net.UnixConn, f *os.File) {
			c.Write(number(1))
			send(c, number(3), f)
			c.Write([]byte("ab"))
		}},
		{"a note that is too long", 0, "a note is missing or too long", func(c *net.UnixConn, f *os.File) {
			c.Write(number(1))
			send(c, number(maxNote+1), f)
		}},
		{"one, and no second", 1, "EOF", func(c *net.UnixConn, f *os.File) {
			c.Write(number(2))
			send(c, number(2), f)
			c.Write([]byte("ab"))
			taken(c)
		}},
		{"two, and what is none", 2, "expected one socket", func(c *net.UnixConn, f *os.File) {
			c.Write(number(3))
			for range 2 {
				send(c, append(number(2), "ab"...), f)
				taken(c)
			}
			send(c, number(0))
		}},
		{"all that it says", 2, "", func(c *net.UnixConn, f *os.File) {
			c.Write(number(2))
			for range 2 {
				send(c, append(number(2), "ab"...), f)
				taken(c)
			}
		}},
		{"none at all", 0, "", func(c *net.UnixConn, _ *os.File) { c.Write(number(0)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			_, server := pair(t)
			giver(t, dir, func(c *net.UnixConn) { tt.say(c, server) })
			before := descriptors()
			sockets, err := Take(dir)
			if len(sockets) != tt.taken || (err == nil) != (tt.want == "") || err != nil &&
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("%d sockets, %v, want %d, %q", len(sockets), err, tt.taken, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "%!") {
				t.Errorf("the message is %v", err)
			}
			for i, s := range sockets {
				if string(s.Note) != "ab" {
					t.Errorf("note %d is %q", i, s.Note)
				}
				if c, err := net.FileConn(s.File); err != nil {
					t.Errorf("socket %d: %v", i, err)
				} else {
					c.Close()
				}
			}
			Close(sockets)
			waitFor(t, func() bool { return descriptors() <= before })
		})
	}
}

// waitFor waits for a condition.
func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%d descriptors are open", descriptors())
			return
		}
	}
}

// Who takes them may go away at any point: what has arrived is theirs, and all others are given to
// the next who asks.
func TestTakersThatGoAway(t *testing.T) {
	for leave := range 5 {
		dir := t.TempDir()
		var sockets []Socket
		var clients []*net.TCPConn
		for i := range 4 {
			c, s := pair(t)
			clients = append(clients, c)
			sockets = append(sockets, Socket{s, fmt.Appendf(nil, "note %d", i)})
		}
		if err := Keep(dir, helper(), time.Minute, sockets); err != nil {
			t.Fatal(err)
		}
		Close(sockets)
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		var count [4]byte
		if _, err := c.Read(count[:]); err != nil || binary.BigEndian.Uint32(count[:]) != 4 {
			t.Fatalf("%x, %v", count, err)
		}
		var all []Socket
		for range leave {
			s, err := receive(c)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
			c.Write([]byte{1})
		}
		c.Close()
		rest, err := Take(dir)
		if leave == 4 && len(rest) == 0 { // nothing is left, and nobody is there any more
			err = nil
		}
		all = append(all, rest...)
		var notes []string
		for _, s := range all {
			notes = append(notes, string(s.Note))
		}
		if want := []string{"note 0", "note 1", "note 2", "note 3"}; err != nil || !slices.Equal(notes, want) {
			t.Errorf("gone behind %d: %q, %v", leave, notes, err)
		}
		for i, s := range all {
			conn, err := net.FileConn(s.File)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%d", i)
			conn.Close()
		}
		Close(all)
		for i, c := range clients {
			b := make([]byte, 2)
			if n, err := c.Read(b); n != 1 || b[0] != byte('0'+i) {
				t.Errorf("client %d: %q, %v", i, b[:n], err)
			}
		}
	}
}
