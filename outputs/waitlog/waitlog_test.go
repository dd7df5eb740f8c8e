package waitlog

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/plugins/collector"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// v9 returns a datagram of NetFlow v9 of a source id, with a set of one record.
func v9(source uint32) []byte {
	b := []byte{0, 9, 0, 1, 0, 0, 0, 1, 0x67, 0, 0, 0, 0, 0, 0, 1}
	b = binary.BigEndian.AppendUint32(b, source)
	return append(b, 1, 0, 0, 16, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 1, 0)
}

// waits returns a set that waits, of an exporter and source id.
func waits(t testing.TB, last byte, source uint32, size int) (collector.SetKey, collector.Datagram) {
	t.Helper()
	payload := v9(source)
	payload = append(payload, make([]byte, size)...)
	binary.BigEndian.PutUint16(payload[22:], uint16(16+size))
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), 2055)
	dg := collector.Datagram{Exporter: from, Received: time.Unix(1_800_000_000, 0).UTC(), Payload: payload}
	key, ok := collector.Key(dg)
	if !ok {
		t.Fatal("the datagram has no set")
	}
	return key, dg
}

// sources returns the source ids of what waits.
func sources(l *Log) (ids []uint32) {
	for s := range l.All() {
		ids = append(ids, s.Key.Domain)
	}
	return ids
}

// TestLogTimes: how long a set has waited goes on over a restart; one that came when the
// clock was ahead begins anew.
func TestLogTimes(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	must(t, err)
	ages := []time.Duration{48 * time.Hour, 20 * time.Minute, 0, -time.Minute, -40 * 24 * time.Hour}
	for i, age := range ages {
		key, dg := waits(t, byte(i), uint32(i), 0)
		l.Add(key, dg)
		l.added[i].Since = time.Now().Add(-age).Round(0)
	}
	must(t, l.Prepare())
	must(t, l.Commit())
	must(t, l.Close())
	l, err = Open(dir, Options{})
	must(t, err)
	i := 0
	for s := range l.All() {
		if got, want := time.Since(s.Since), max(ages[i], 0); got < want || got > want+time.Hour {
			t.Errorf("a set that came %v ago has waited %v", ages[i], got)
		}
		if !strings.Contains(s.Since.String(), " m=") {
			t.Errorf("a set that came %v ago expires by the clock of the machine", ages[i])
		}
		i++
	}
	if i != len(ages) {
		t.Errorf("%d sets wait", i)
	}
	must(t, l.Close())
}

// TestLogTransactions: what is not committed is not there, in memory or after a
// kill, and what it did to a file of the archive is undone.
func TestLogTransactions(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{Sync: true})
	must(t, err)
	for i := range uint32(4) {
		key, dg := waits(t, byte(i), i, 0)
		l.Add(key, dg)
	}
	must(t, l.Prepare())
	must(t, l.Commit())
	file := filepath.Join(dir, "nfcapd.current.1")
	must(t, os.WriteFile(file, make([]byte, 100), 0o600))
	change := func() {
		key, dg := waits(t, 9, 9, 0)
		l.Add(key, dg)
		for s := range l.All() {
			if s.Key.Domain%2 == 0 {
				l.Finish(s)
			}
		}
		must(t, l.Undo(archive.Position{Path: file, Size: 40}))
		must(t, l.Undo(archive.Position{Path: file, Size: 60}))
		if got := sources(l); !slices.Equal(got, []uint32{1, 3, 9}) {
			t.Errorf("sets of %v wait within the transaction", got)
		}
		must(t, l.Prepare())
	}
	change()
	l.Rollback()
	if got := sources(l); !slices.Equal(got, []uint32{0, 1, 2, 3}) || l.count != 4 {
		t.Errorf("after a rollback sets of %v wait, %d are counted", got, l.count)
	}
	change()
	must(t, l.Close()) // as a kill would, before commit
	l, err = Open(dir, Options{})
	must(t, err)
	if got := sources(l); !slices.Equal(got, []uint32{0, 1, 2, 3}) {
		t.Errorf("after a kill sets of %v wait", got)
	}
	if info, _ := os.Stat(file); info.Size() != 40 {
		t.Errorf("the file has %d bytes, expected those before the transaction, 40", info.Size())
	}
	change()
	must(t, l.Commit())
	must(t, l.Close())
	must(t, os.WriteFile(file, make([]byte, 100), 0o600))
	l, err = Open(dir, Options{})
	must(t, err)
	if got := sources(l); !slices.Equal(got, []uint32{1, 3, 9}) {
		t.Errorf("after the commit sets of %v wait", got)
	}
	if info, _ := os.Stat(file); info.Size() != 100 {
		t.Errorf("a committed transaction was undone")
	}
	for s := range l.All() {
		_, want := waits(t, byte(s.Key.Domain), s.Key.Domain, 0)
		if got, err := l.Datagram(s); err != nil || !bytes.Equal(got.Payload, want.Payload) ||
			got.Exporter != want.Exporter || !got.Received.Equal(want.Received) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := Open(dir, Options{}); err == nil {
		t.Error("a second one opens the log")
	}
	must(t, l.Close())
}

// TestLogBounds: one source, and all, may only take so much, and the file does
// not keep what waits no longer.
func TestLogBounds(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	must(t, err)
	kept, refused := 0, 0
	for i := range 100 * 20 {
		key, dg := waits(t, byte(i%20), uint32(i), 60000)
		if l.Add(key, dg) {
			kept++
		} else {
			refused++
		}
		if i%20 == 0 { // one source asks for more
			for range 20 {
				if !l.Add(key, dg) {
					refused++
				}
			}
		}
		if i%100 == 99 {
			must(t, l.Prepare())
			must(t, l.Commit())
		}
	}
	if l.bytes > maxWaitingBytes || l.sources[netip.AddrFrom4([4]byte{10, 0, 0, 0})] > maxWaitingSource ||
		refused == 0 || kept == 0 {
		t.Errorf("%d bytes wait, %d of one source; %d refused", l.bytes, l.sources[netip.AddrFrom4([4]byte{10})],
			refused)
	}
	left := 0
	for s := range l.All() {
		if left++; left > 20 {
			l.Finish(s)
		}
	}
	must(t, l.Prepare())
	must(t, l.Commit())
	if info, _ := os.Stat(l.path); info.Size() > 4<<20 {
		t.Errorf("the file keeps %d bytes for %d", info.Size(), l.bytes)
	}
	must(t, l.Close())
	l, err = Open(dir, Options{})
	must(t, err)
	if l.count != 20 {
		t.Errorf("%d sets wait, expected 20", l.count)
	}
	for s := range l.All() {
		dg, err := l.Datagram(s)
		if key, ok := collector.Key(dg); err != nil || !ok || key != s.Key {
			t.Errorf("%v: %v", s.Key, err)
		}
	}
	must(t, l.Close())
}

// waitFileOf returns a log of two transactions of two sets each.
func waitFileOf(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	must(t, err)
	for i := range uint32(4) {
		key, dg := waits(t, byte(i), i, 3)
		l.Add(key, dg)
		if i%2 == 1 {
			must(t, l.Prepare())
			must(t, l.Commit())
		}
	}
	must(t, l.Close())
	b, err := os.ReadFile(l.path)
	must(t, err)
	return b
}

// TestLogCut: of a file that was cut anywhere, what is whole is there.
func TestLogCut(t *testing.T) {
	whole := waitFileOf(t)
	for n := range len(whole) + 1 {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, waitFile), whole[:n], 0o600))
		l, err := Open(dir, Options{})
		must(t, err)
		want := 0
		if n == len(whole) {
			want = 4
		} else if n >= len(waitHead)+(len(whole)-len(waitHead))/2 {
			want = 2
		}
		if l.count != want {
			t.Errorf("%d of %d bytes: %d sets, expected %d", n, len(whole), l.count, want)
		}
		must(t, l.Close())
	}
}

// FuzzLog opens anything: an error or a log that works.
func FuzzLog(f *testing.F) {
	whole := waitFileOf(f)
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add([]byte(waitHead))
	f.Add([]byte("something else"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, waitFile), b, 0o600))
		l, err := Open(dir, Options{})
		if err != nil {
			return
		}
		for s := range l.All() {
			if dg, err := l.Datagram(s); err != nil || len(dg.Payload) != s.size {
				t.Errorf("%v: %d bytes, %v", s.Key, len(dg.Payload), err)
			}
		}
		before := l.count
		key, dg := waits(t, 200, 1<<31, 0)
		l.Add(key, dg)
		must(t, l.Prepare())
		must(t, l.Commit())
		must(t, l.Close())
		l, err = Open(dir, Options{})
		must(t, err)
		if l.count != before+1 {
			t.Errorf("%d sets after one was added to %d", l.count, before)
		}
		must(t, l.Close())
	})
}
