package nfdump

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/plugins/collector"
)

// of returns a datagram of v9 with another source id, so that nothing is known of
// its templates.
func of(source uint32, datagram []byte) []byte {
	binary.BigEndian.PutUint32(datagram[16:], source)
	return datagram
}

// waits returns a set that waits, of an exporter and source id.
func waits(t testing.TB, last byte, source uint32, size int) (collector.SetKey, collector.Datagram) {
	t.Helper()
	payload := of(source, v9(false, true, 1))
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
func sources(l *waitLog) (ids []uint32) {
	for s := range l.all() {
		ids = append(ids, s.key.Domain)
	}
	return ids
}

// TestSetsWaitOnDisk: flows that come before their template are in the files once,
// whether the template comes in the same batch, in a later one, or after a restart.
func TestSetsWaitOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	p := output(t, dir)
	p.TemplateWait = config.Duration(time.Hour)
	must(t, p.Connect())
	must(t, p.Write(metricsOf(of(1, v9(false, true, 1)), of(1, v9(true, false, 2)), of(2, v9(false, true, 3)), of(3, v9(false, true, 4)), of(4, v9(false, true, 5)))))
	if got := sources(p.waiting); !slices.Equal(got, []uint32{2, 3, 4}) {
		t.Errorf("sets of %v wait, expected those of 2, 3, 4", got)
	}
	must(t, p.Write(metricsOf(of(2, v9(true, false, 6)))))
	must(t, p.Close())

	p = output(t, dir)
	p.TemplateWait = config.Duration(time.Hour)
	must(t, p.Connect())
	must(t, p.Write(metricsOf(of(3, v9(true, false, 7)))))
	if got := sources(p.waiting); !slices.Equal(got, []uint32{4}) {
		t.Errorf("sets of %v wait, expected those of 4", got)
	}
	p.TemplateWait = 0
	must(t, p.Write(nil))
	if p.waiting.count != 0 {
		t.Error("a set waits longer than it may")
	}
	must(t, p.Write(metricsOf(of(4, v9(true, false, 8)))))
	must(t, p.Close())
	got := flowsOf(t, dir)
	for _, n := range []uint32{1, 3, 4} {
		if got[[2]uint32{0, n}] != 1 {
			t.Errorf("flow %d is there %d times, expected once", n, got[[2]uint32{0, n}])
		}
	}
	if len(got) != 3 {
		t.Errorf("%d flows, expected 3", len(got))
	}
	if info, err := os.Stat(filepath.Join(dir+".state", waitFile)); err != nil || info.Size() != int64(len(waitHead)) {
		t.Errorf("the log is not empty in the end: %v, %v", info, err)
	}
}

// TestStateDirectoryRemoved: what waits survives a kill also when somebody has removed
// the directory meanwhile.
func TestStateDirectoryRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	p := output(t, dir)
	p.TemplateWait = config.Duration(time.Hour)
	p.syncEvery = time.Millisecond
	must(t, p.Connect())
	must(t, p.Write(metricsOf(of(1, v9(false, true, 1)))))
	must(t, os.RemoveAll(p.stateDirectory()))
	must(t, os.WriteFile(p.stateDirectory(), nil, 0o600)) // a file is in the way
	must(t, p.Write(metricsOf(of(2, v9(false, true, 2)))))
	must(t, os.Remove(p.stateDirectory()))
	must(t, p.Write(metricsOf(of(3, v9(false, true, 3)))))
	if _, err := openWaitLog(p.stateDirectory(), false); err == nil {
		t.Error("the directory that was made anew is not locked")
	}
	must(t, p.waiting.lock.Close()) // as a kill does
	l, err := openWaitLog(p.stateDirectory(), false)
	must(t, err)
	if got := sources(l); !slices.Equal(got, []uint32{1, 2, 3}) {
		t.Errorf("sets of %v wait, expected those of 1, 2, 3", got)
	}
	must(t, l.close())
	must(t, p.Close())
}

// TestWaitLogTransactions: what is not committed is not there, in memory or after a
// kill, and what it did to a file of the archive is undone.
func TestWaitLogTransactions(t *testing.T) {
	dir := t.TempDir()
	l, err := openWaitLog(dir, true)
	must(t, err)
	for i := range uint32(4) {
		key, dg := waits(t, byte(i), i, 0)
		l.add(key, dg)
	}
	must(t, l.prepare())
	must(t, l.commit())
	file := filepath.Join(dir, "nfcapd.current.1")
	must(t, os.WriteFile(file, make([]byte, 100), 0o600))
	change := func() {
		key, dg := waits(t, 9, 9, 0)
		l.add(key, dg)
		for s := range l.all() {
			if s.key.Domain%2 == 0 {
				l.finish(s)
			}
		}
		must(t, l.undo(archive.Position{Path: file, Size: 40}))
		must(t, l.undo(archive.Position{Path: file, Size: 60}))
		if got := sources(l); !slices.Equal(got, []uint32{1, 3, 9}) {
			t.Errorf("sets of %v wait within the transaction", got)
		}
		must(t, l.prepare())
	}
	change()
	l.rollback()
	if got := sources(l); !slices.Equal(got, []uint32{0, 1, 2, 3}) || l.count != 4 {
		t.Errorf("after a rollback sets of %v wait, %d are counted", got, l.count)
	}
	change()
	must(t, l.close()) // as a kill would, before commit
	l, err = openWaitLog(dir, false)
	must(t, err)
	if got := sources(l); !slices.Equal(got, []uint32{0, 1, 2, 3}) {
		t.Errorf("after a kill sets of %v wait", got)
	}
	if info, _ := os.Stat(file); info.Size() != 40 {
		t.Errorf("the file has %d bytes, expected those before the transaction, 40", info.Size())
	}
	change()
	must(t, l.commit())
	must(t, l.close())
	must(t, os.WriteFile(file, make([]byte, 100), 0o600))
	l, err = openWaitLog(dir, false)
	must(t, err)
	if got := sources(l); !slices.Equal(got, []uint32{1, 3, 9}) {
		t.Errorf("after the commit sets of %v wait", got)
	}
	if info, _ := os.Stat(file); info.Size() != 100 {
		t.Errorf("a committed transaction was undone")
	}
	for s := range l.all() {
		_, want := waits(t, byte(s.key.Domain), s.key.Domain, 0)
		if got, err := l.datagram(s); err != nil || !bytes.Equal(got.Payload, want.Payload) || got.Exporter != want.Exporter || !got.Received.Equal(want.Received) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := openWaitLog(dir, false); err == nil {
		t.Error("a second one opens the log")
	}
	must(t, l.close())
}

// TestWaitLogBounds: one source, and all, may only take so much, and the file does
// not keep what waits no longer.
func TestWaitLogBounds(t *testing.T) {
	dir := t.TempDir()
	l, err := openWaitLog(dir, false)
	must(t, err)
	kept, refused := 0, 0
	for i := range 100 * 20 {
		key, dg := waits(t, byte(i%20), uint32(i), 60000)
		if l.add(key, dg) {
			kept++
		} else {
			refused++
		}
		if i%20 == 0 { // one source asks for more
			for range 20 {
				if !l.add(key, dg) {
					refused++
				}
			}
		}
		if i%100 == 99 {
			must(t, l.prepare())
			must(t, l.commit())
		}
	}
	if l.bytes > maxWaitingBytes || l.sources[netip.AddrFrom4([4]byte{10, 0, 0, 0})] > maxWaitingSource || refused == 0 || kept == 0 {
		t.Errorf("%d bytes wait, %d of one source; %d refused", l.bytes, l.sources[netip.AddrFrom4([4]byte{10})], refused)
	}
	left := 0
	for s := range l.all() {
		if left++; left > 20 {
			l.finish(s)
		}
	}
	must(t, l.prepare())
	must(t, l.commit())
	if info, _ := os.Stat(l.path); info.Size() > 4<<20 {
		t.Errorf("the file keeps %d bytes for %d", info.Size(), l.bytes)
	}
	must(t, l.close())
	l, err = openWaitLog(dir, false)
	must(t, err)
	if l.count != 20 {
		t.Errorf("%d sets wait, expected 20", l.count)
	}
	for s := range l.all() {
		dg, err := l.datagram(s)
		if key, ok := collector.Key(dg); err != nil || !ok || key != s.key {
			t.Errorf("%v: %v", s.key, err)
		}
	}
	must(t, l.close())
}

// waitFileOf returns a log of two transactions of two sets each.
func waitFileOf(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	l, err := openWaitLog(dir, false)
	must(t, err)
	for i := range uint32(4) {
		key, dg := waits(t, byte(i), i, 3)
		l.add(key, dg)
		if i%2 == 1 {
			must(t, l.prepare())
			must(t, l.commit())
		}
	}
	must(t, l.close())
	b, err := os.ReadFile(l.path)
	must(t, err)
	return b
}

// TestWaitLogCut: of a file that was cut anywhere, what is whole is there.
func TestWaitLogCut(t *testing.T) {
	whole := waitFileOf(t)
	for n := range len(whole) + 1 {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, waitFile), whole[:n], 0o600))
		l, err := openWaitLog(dir, false)
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
		must(t, l.close())
	}
}

// FuzzWaitLog opens anything: an error or a log that works.
func FuzzWaitLog(f *testing.F) {
	whole := waitFileOf(f)
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add([]byte(waitHead))
	f.Add([]byte("something else"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, waitFile), b, 0o600))
		l, err := openWaitLog(dir, false)
		if err != nil {
			return
		}
		for s := range l.all() {
			if dg, err := l.datagram(s); err != nil || len(dg.Payload) != s.size {
				t.Errorf("%v: %d bytes, %v", s.key, len(dg.Payload), err)
			}
		}
		before := l.count
		key, dg := waits(t, 200, 1<<31, 0)
		l.add(key, dg)
		must(t, l.prepare())
		must(t, l.commit())
		must(t, l.close())
		l, err = openWaitLog(dir, false)
		must(t, err)
		if l.count != before+1 {
			t.Errorf("%d sets after one was added to %d", l.count, before)
		}
		must(t, l.close())
	})
}
