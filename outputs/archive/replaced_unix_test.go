//go:build unix

package archive

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestReplacedDirectory: an archive whose directory another one has taken the place of
// writes, renames and removes nothing there, not even while it is idle.
func TestReplacedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	groupOf := func() *Group {
		g, err := NewGroup(GroupOptions{Options: Options{Dir: dir, Location: time.UTC}, Limits: Limits{Size: 1}})
		must(t, err)
		return g
	}
	g := groupOf()
	must(t, g.Open())
	must(t, os.Rename(dir, dir+".old"))
	other := groupOf()
	must(t, other.Open())
	stored := filepath.Join(dir, "nfcapd.202001010000")
	slotFile(t, stored)
	slotFile(t, filepath.Join(dir, "nfcapd.202001010005"))
	current := other.single.last.Path()
	before, err := os.Stat(current)
	must(t, err)

	g.expire()
	if _, err := os.Stat(stored); err != nil {
		t.Error("what another one keeps has expired: ", err)
	}
	a := g.single
	if err := a.tick(time.Unix(a.last.slot, 0).Add(a.opt.Interval + time.Hour)); err == nil {
		t.Error("a file was begun in the directory of another one")
	}
	err = g.Write(func(b GroupBatch) error { return b.Append(&flow.Record{Received: flow.TimeOf(time.Now())}) })
	if err == nil {
		t.Error("flows were written into the directory of another one, or lost")
	}
	g.Close()
	after, err := os.Stat(current)
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("the file of another one was renamed")
	}
	must(t, other.Close())
}

// TestLinksAreNotWrittenThrough: links in the places of the file that is written, and
// of the complete one, lead nowhere for the archive.
func TestLinksAreNotWrittenThrough(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	slotFile(t, victim)
	content, err := os.ReadFile(victim)
	must(t, err)
	a, err := New(Options{Dir: dir, Location: time.UTC, Interval: time.Hour})
	must(t, err)
	slot := slotOf(time.Now(), time.Hour)
	link(t, victim, a.currentPath(slot))
	link(t, victim, filepath.Join(dir, finalName(time.Unix(slot, 0).UTC(), time.Hour)))
	must(t, a.Open())
	must(t, a.Write(func(b Batch) error { return b.Append(&flow.Record{Received: flow.TimeOf(time.Now())}) }))
	must(t, a.Close())
	if now, err := os.ReadFile(victim); err != nil || string(now) != string(content) {
		t.Errorf("what a link leads to was written: %v", err)
	}
	found, err := Selection{File: dir}.Files()
	must(t, err)
	written := 0
	for _, path := range found.Files {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			written++
			if perm := info.Mode().Perm(); perm&0o007 != 0 {
				t.Errorf("%s has mode %o, others may read it", path, perm)
			}
		}
	}
	if written != 1 {
		t.Errorf("%d files of the archive: %v", written, found.Files)
	}
}
