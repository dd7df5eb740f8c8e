package nfdump

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/outputs/waitlog"
)

// of returns a datagram of v9 with another source id, so that nothing is known of
// its templates.
func of(source uint32, datagram []byte) []byte {
	binary.BigEndian.PutUint32(datagram[16:], source)
	return datagram
}

// sources returns the source ids of what waits.
func sources(l *waitlog.Log) (ids []uint32) {
	for s := range l.All() {
		ids = append(ids, s.Key.Domain)
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
	must(t, p.Write(metricsOf(of(1, v9(false, true, 1)), of(1, v9(true, false, 2)), of(2, v9(false, true, 3)),
		of(3, v9(false, true, 4)), of(4, v9(false, true, 5)))))
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
	if p.waiting.Len() != 0 {
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
	if info, err := os.Stat(filepath.Join(dir+".state", "waiting")); err != nil || info.Size() > 100 {
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
	if _, err := waitlog.Open(p.stateDirectory(), waitlog.Options{}); err == nil {
		t.Error("the directory that was made anew is not locked")
	}
	must(t, p.waiting.Close()) // as a kill does
	l, err := waitlog.Open(p.stateDirectory(), waitlog.Options{})
	must(t, err)
	if got := sources(l); !slices.Equal(got, []uint32{1, 2, 3}) {
		t.Errorf("sets of %v wait, expected those of 1, 2, 3", got)
	}
	must(t, l.Close())
	p.waiting = nil
	must(t, p.Close())
}
