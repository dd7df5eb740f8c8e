package waitlog

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
)

// opened returns a log of a directory with sets of these source ids, committed.
func opened(t *testing.T, dir string, ids ...uint32) *Log {
	t.Helper()
	l, err := Open(dir, Options{})
	must(t, err)
	for _, id := range ids {
		key, dg := waits(t, byte(id), id, 0)
		if !l.Add(key, dg) {
			t.Fatalf("set %d finds no room", id)
		}
	}
	must(t, l.Prepare())
	must(t, l.Commit())
	return l
}

// The bounds are exact: what fills the room to its last byte is taken, and one byte more is not.
func TestRoomToTheLastByte(t *testing.T) {
	key, dg := waits(t, 1, 1, 100)
	size, addr := len(dg.Payload), key.Exporter.Addr()
	for name, tt := range map[string]struct {
		fill func(l *Log)
		want bool
	}{
		"empty":               {func(*Log) {}, true},
		"bytes, just":         {func(l *Log) { l.bytes = maxWaitingBytes - int64(size) }, true},
		"bytes":               {func(l *Log) { l.bytes = maxWaitingBytes - int64(size) + 1 }, false},
		"of the source, just": {func(l *Log) { l.sources[addr] = maxWaitingSource - size }, true},
		"of the source":       {func(l *Log) { l.sources[addr] = maxWaitingSource - size + 1 }, false},
		"of another source":   {func(l *Log) { l.sources[netip.MustParseAddr("10.9.9.9")] = maxWaitingSource }, true},
		"sets, just":          {func(l *Log) { l.count = maxWaitingSets - 1 }, true},
		"sets":                {func(l *Log) { l.count = maxWaitingSets }, false},
	} {
		l := &Log{sources: map[netip.Addr]int{}, ended: map[uint64]bool{}}
		tt.fill(l)
		bytes, count := l.bytes, l.count
		if got := l.Add(key, dg); got != tt.want {
			t.Errorf("%s: taken %v", name, got)
		}
		if tt.want != (l.bytes == bytes+int64(size)) || tt.want != (l.Len() == count+1) {
			t.Errorf("%s: %d bytes and %d sets before, %d and %d now", name, bytes, count, l.bytes, l.Len())
		}
	}
}

// What is told of a log and its sets.
func TestWhatWaits(t *testing.T) {
	dir := t.TempDir()
	l := opened(t, dir, 1, 2)
	defer l.Close()
	key, dg := waits(t, 3, 3, 0)
	l.Add(key, dg)
	if l.Len() != 3 || l.Path() != filepath.Join(dir, "waiting") {
		t.Errorf("%d sets in %s", l.Len(), l.Path())
	}
	for last, want := range map[byte]bool{1: true, 2: true, 3: true, 4: false} {
		if got := l.Waits(netip.AddrFrom4([4]byte{10, 0, 0, last})); got != want {
			t.Errorf("10.0.0.%d waits: %v", last, got)
		}
	}
	for s := range l.All() {
		if s.Waiting() != (s.Key.Domain != 3) || !s.Received().Equal(time.Unix(1_800_000_000, 0)) {
			t.Errorf("set %d was in the log before: %v, received at %v", s.Key.Domain, s.Waiting(), s.Received())
		}
		if s.Key.Domain == 1 {
			l.Finish(s)
		}
	}
	if l.Len() != 2 || l.Waits(netip.AddrFrom4([4]byte{10, 0, 0, 1})) {
		t.Errorf("%d sets wait", l.Len())
	}
	for range l.All() { // a loop may end early
		break
	}
}

// A log whose file or directory has been removed is written anew, with what waits, and kept
// from a second one as before.
func TestPresent(t *testing.T) {
	for name, remove := range map[string]func(dir string) error{
		"nothing":       func(string) error { return nil },
		"the file":      func(dir string) error { return os.Remove(filepath.Join(dir, waitFile)) },
		"the directory": os.RemoveAll,
	} {
		dir := filepath.Join(t.TempDir(), "waits")
		l := opened(t, dir, 1, 2, 3)
		must(t, remove(dir))
		must(t, l.Present())
		must(t, l.Present()) // nothing is left to do
		if other, err := Open(dir, Options{}); err == nil {
			t.Errorf("%s removed: a second log opens", name)
			other.Close()
		}
		key, dg := waits(t, 4, 4, 0)
		l.Add(key, dg)
		must(t, l.Prepare())
		must(t, l.Commit())
		must(t, l.Close())
		l, err := Open(dir, Options{})
		must(t, err)
		if got := sources(l); !slices.Equal(got, []uint32{1, 2, 3, 4}) {
			t.Errorf("%s removed: sets of %v wait", name, got)
		}
		for s := range l.All() {
			_, want := waits(t, byte(s.Key.Domain), s.Key.Domain, 0)
			if got, err := l.Datagram(s); err != nil || !bytes.Equal(got.Payload, want.Payload) {
				t.Errorf("%s removed: set %d is %x, %v", name, s.Key.Domain, got.Payload, err)
			}
		}
		must(t, l.Close())
	}
}

// Only files of an archive are cut back, and none is made longer; one that somebody has
// removed is no error.
func TestCutBack(t *testing.T) {
	dir := t.TempDir()
	file, link, other := filepath.Join(dir, "nfcapd.current.1"), filepath.Join(dir, "nfcapd.link"), filepath.Join(dir,
		"passwd")
	for _, name := range []string{file, other} {
		must(t, os.WriteFile(name, []byte("0123456789"), 0o600))
	}
	must(t, os.Symlink(other, link))
	must(t, os.Mkdir(filepath.Join(dir, "nfcapd.directory"), 0o700))
	for _, tt := range []struct {
		name  string
		size  int64
		fails bool
		left  int // bytes of file
	}{
		{file, 11, false, 10}, {file, 10, false, 10}, {file, 4, false, 4}, {file, 10, false, 4},
		{filepath.Join(dir, "nfcapd.gone"), 4, false, 4}, {other, 4, true, 4}, {link, 4, true, 4},
		{filepath.Join(dir, "nfcapd.directory"), 0, true, 4}, {file, 0, false, 0},
	} {
		err := cutBack([]archive.Position{{Path: tt.name, Size: tt.size}})
		if (err != nil) != tt.fails || err != nil && !strings.Contains(err.Error(),
			tt.name+": expected a file of the archive") {
			t.Errorf("%s to %d: %v", tt.name, tt.size, err)
		}
		if b, err := os.ReadFile(file); err != nil || len(b) != tt.left {
			t.Errorf("%s to %d: %d bytes are left, %v", tt.name, tt.size, len(b), err)
		}
	}
	if b, err := os.ReadFile(other); err != nil || len(b) != 10 {
		t.Errorf("a file of somebody else has %d bytes, %v", len(b), err)
	}
}

// A file that is none of ours is left alone, and the error says what to do; one that a kill
// has cut within its first line begins anew.
func TestForeignFiles(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		waitHead[:5]:             "",
		waitHead:                 "",
		waitHead + "x":           "",
		"flowgraf waiting 2\n":   "move the file away",
		"flowgraf waiting 1 \n":  "move the file away",
		"something else, longer": "expected the first line",
		"x":                      "expected the first line",
	} {
		dir := t.TempDir()
		name := filepath.Join(dir, waitFile)
		must(t, os.WriteFile(name, []byte(text), 0o600))
		l, err := Open(dir, Options{})
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), name)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err == nil {
			must(t, l.Close())
		}
		left := text
		if err == nil {
			left = waitHead
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != left {
			t.Errorf("%q became %q, %v", text, b, err)
		}
		if err != nil { // the lock is free again
			must(t, os.Remove(name))
			again, err := Open(dir, Options{})
			must(t, err)
			must(t, again.Close())
		}
	}
}

// The numbers and texts of a record end with it, whatever they say.
func TestVarints(t *testing.T) {
	for text, want := range map[string]struct {
		number uint64
		text   string
		failed bool
	}{
		"\x05\x02ab":   {5, "ab", false},
		"\xac\x02\x00": {300, "", false},
		"\x05\x03ab":   {5, "", true},
		"\x05":         {5, "", true},
		"":             {0, "", true},
		"\xff":         {0, "", true},
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00":     {0, "", true}, // more than 64 bits
		"\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abcd": {5, "", true},
	} {
		r := varints{rest: []byte(text)}
		if n, s := r.uint(), string(r.bytes()); n != want.number || s != want.text || r.failed != want.failed {
			t.Errorf("%q: %d, %q, failed %v, want %+v", text, n, s, r.failed, want)
		}
	}
	for body, want := range map[string]archive.Position{
		"\x01a\x05": {Path: "a", Size: 5}, "\x01a": {}, "": {},
		"\x01a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01": {}, // below 0
	} {
		if p, ok := parseUndo([]byte(body)); ok != (want.Path != "") || ok && p != want {
			t.Errorf("%q: %+v, %v", body, p, ok)
		}
	}
}

// When the last set has been decoded the file has its first line alone.
func TestEmptiedFile(t *testing.T) {
	l := opened(t, t.TempDir(), 1, 2)
	for s := range l.All() {
		l.Finish(s)
	}
	must(t, errors.Join(l.Prepare(), l.Commit()))
	b, err := os.ReadFile(l.Path())
	if err != nil || string(b) != waitHead || l.Len() != 0 || len(l.sources) != 0 || l.bytes != 0 {
		t.Errorf("%d bytes, %v; %d sets, %d bytes wait", len(b), err, l.Len(), l.bytes)
	}
	must(t, errors.Join(l.Prepare(), l.Commit(), l.Close())) // nothing is at hand
}

// Within a transaction a set has its datagram too, a file of the archive is noted once, and
// what is dropped leaves nothing behind.
func TestTransactionAtHand(t *testing.T) {
	dir := t.TempDir()
	l := opened(t, dir, 1)
	key, dg := waits(t, 2, 2, 5)
	l.Add(key, dg)
	for s := range l.All() {
		_, want := waits(t, byte(s.Key.Domain), s.Key.Domain, 5*int(s.Key.Domain-1))
		if got, err := l.Datagram(s); err != nil || !bytes.Equal(got.Payload, want.Payload) {
			t.Errorf("set %d: %x, %v", s.Key.Domain, got.Payload, err)
		}
	}
	l.Rollback()
	if l.Waits(key.Exporter.Addr()) || l.Len() != 1 || len(l.sources) != 1 {
		t.Errorf("behind a rollback %d sets of %d sources wait", l.Len(), len(l.sources))
	}
	file := filepath.Join(dir, "nfcapd.current.1")
	must(t, os.WriteFile(file, []byte("0123456789"), 0o600))
	must(t, l.Undo(archive.Position{Path: file, Size: 4}))
	noted := l.off
	must(t, l.Undo(archive.Position{Path: file, Size: 8}))
	if l.off != noted {
		t.Error("a file is noted twice")
	}
	must(t, l.Undo(archive.Position{Path: file + "2", Size: 8}))
	if l.off == noted {
		t.Error("another file is not noted")
	}
	must(t, errors.Join(l.Prepare(), l.Commit(), l.Close())) // a transaction of that alone counts
	l = opened(t, dir)
	defer l.Close()
	if b, err := os.ReadFile(file); err != nil || len(b) != 10 {
		t.Errorf("the file of a committed transaction has %d bytes, %v", len(b), err)
	}
}
