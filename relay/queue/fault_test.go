//go:build unix

package queue

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// faults is for the long run of TestEveryCallFails: go test ./relay/queue -run Call -faults.
var faults = flag.Bool("faults", false, "let each single call to the file system fail")

// sickDisk is a disk of which one call fails, or all from that one on.
type sickDisk struct {
	realDisk

	mu    sync.Mutex
	calls []string // that could have failed
	at    int      // the call that fails, from 1; 0: none
	last  int      // the last one that fails
	err   error

	before func(call string) // called before each call, and amid each write; may be nil
}

type sickFile struct {
	diskFile
	disk *sickDisk
}

func (d *sickDisk) fails(call, name string) error {
	if d.before != nil {
		d.before(call + " " + filepath.Base(filepath.Dir(name)))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call+" "+filepath.Base(filepath.Dir(name)))
	if n := len(d.calls); d.at > 0 && n >= d.at && n <= d.last {
		return &os.PathError{Op: call, Path: name, Err: d.err}
	}
	return nil
}

func (d *sickDisk) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = 0
}

func (d *sickDisk) OpenFile(name string, flag int) (diskFile, error) {
	if err := d.fails("open", name); err != nil {
		return nil, err
	}
	f, err := d.realDisk.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return &sickFile{f, d}, nil
}

func (d *sickDisk) Rename(from, to string) error {
	if err := d.fails("rename", from); err != nil {
		return err
	}
	return d.realDisk.Rename(from, to)
}

func (d *sickDisk) Remove(name string) error {
	if err := d.fails("remove", name); err != nil {
		return err
	}
	return d.realDisk.Remove(name)
}

func (d *sickDisk) SyncDir(name string) error {
	if err := d.fails("syncdir", name+"/."); err != nil {
		return err
	}
	return d.realDisk.SyncDir(name)
}

func (d *sickDisk) SyncFiles(dir string, names []string) error {
	if err := d.fails("syncfiles", dir+"/."); err != nil {
		return err
	}
	return d.realDisk.SyncFiles(dir, names)
}

// WriteAt writes a part of what it should when it fails.
func (f *sickFile) WriteAt(b []byte, offset int64) (int, error) {
	if err := f.disk.fails("write", f.Name()); err != nil {
		n, _ := f.diskFile.WriteAt(b[:len(b)/2], offset)
		return n, err
	}
	if f.disk.before != nil {
		if n, err := f.diskFile.WriteAt(b[:len(b)/2], offset); err != nil {
			return n, err
		}
		f.disk.before("half a write")
	}
	return f.diskFile.WriteAt(b, offset)
}

func (f *sickFile) Truncate(size int64) error {
	if err := f.disk.fails("truncate", f.Name()); err != nil {
		return err
	}
	return f.diskFile.Truncate(size)
}

func (f *sickFile) Sync() error {
	if err := f.disk.fails("sync", f.Name()); err != nil {
		return err
	}
	return f.diskFile.Sync()
}

func (f *sickFile) ReadAt(b []byte, offset int64) (int, error) {
	if err := f.disk.fails("read", f.Name()); err != nil {
		return 0, err
	}
	return f.diskFile.ReadAt(b, offset)
}

// life is what a queue sees in a test: bodies that must be there, by id.
type life struct {
	queue  *Queue
	want   map[string]string
	gone   map[string]bool
	aside  map[string]string // must be among the failed ones
	either map[string]bool   // of want: may be there instead
	n      int
	errs   []error
}

func newLife(q *Queue) *life {
	return &life{queue: q, want: map[string]string{}, gone: map[string]bool{}, aside: map[string]string{},
		either: map[string]bool{}}
}

func (l *life) note(err error) bool {
	if err != nil {
		l.errs = append(l.errs, err)
	}
	return err == nil
}

func (l *life) addMail() (id string, ok bool) {
	l.n++
	body := strings.Repeat(fmt.Sprintf("mail %d\r\n", l.n), 50)
	env := Envelope{ID: l.queue.NewID(), From: "a@b", To: []string{"c@d", "e@f"}, Received: time.Now()}
	if !l.note(l.queue.Add(&env, []byte(body))) {
		return env.ID, false
	}
	l.want[env.ID] = body
	return env.ID, true
}

// live goes through every kind of change twice, with a turn of the segment between.
func (l *life) live() {
	q := l.queue
	for range 2 {
		l.addMail()
		if id, ok := l.addMail(); ok {
			l.note(q.Record(id, []Result{{Recipient: 0, State: Deferred}}))
			l.note(q.Record(id, []Result{{Recipient: 1, State: Delivered}}))
		}
		if id, ok := l.addMail(); ok {
			delete(l.want, id) // an error means that a crash may bring it back
			l.gone[id] = l.note(q.Remove(id))
		}
		if id, ok := l.addMail(); ok {
			l.either[id] = true // also after an error
			if l.gone[id] = l.note(q.Fail(id)); l.gone[id] {
				l.aside[id] = l.want[id]
				delete(l.want, id)
				delete(l.either, id)
			}
		}
		if id, ok := l.addMail(); ok {
			if l.note(q.SetHeld(id, true)) && !q.IsHeld(id) {
				l.errs = append(l.errs, errors.New("it is not on hold"))
			}
			l.note(q.SetHeld(id, false))
		}
		q.journal.mu.Lock()
		q.journal.keep = -1 << 40
		q.journal.seal() // its mails get files
		q.journal.mu.Unlock()
		q.journal.sealing.Wait()
	}
	l.addMail()
}

// check opens the spool and looks for what must be there and what must not.
func (l *life) check(t *testing.T, dir string) {
	t.Helper()
	q, waiting, err := Open(dir, monitor.New(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for id, body := range l.aside {
		if m, err := q.LoadFailed(id); err != nil || string(m.Body) != body {
			t.Errorf("failed mail %s: %v", id, err)
		}
	}
	for id, body := range l.want {
		m, err := q.Load(id)
		if err != nil && l.either[id] {
			m, err = q.LoadFailed(id)
		}
		if err != nil || string(m.Body) != body {
			t.Errorf("acknowledged mail %s: %v", id, err)
		}
	}
	listed := map[string]bool{}
	for _, env := range waiting {
		listed[env.ID] = true
		if l.gone[env.ID] {
			t.Errorf("mail %s is back", env.ID)
		}
	}
	for id := range l.want {
		if !listed[id] && !l.either[id] {
			t.Errorf("acknowledged mail %s is not listed", id)
		}
	}
}

// A kill before each call to the file system, and amid each write, keeps every mail
// acknowledged by then (section 8, no 1). What a kill leaves is what a copy of the spool
// has at that moment.
func TestKillAtEachCall(t *testing.T) {
	type moment struct {
		call, dir string
		life      *life
	}
	var moments []moment
	dir := t.TempDir()
	d := &sickDisk{}
	q, _, err := openOn(d, dir, monitor.New(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	l := newLife(q)
	d.before = func(call string) {
		then := newLife(nil)
		then.want, then.gone, then.aside, then.either = maps.Clone(l.want), maps.Clone(l.gone), maps.Clone(l.aside),
			maps.Clone(l.either)
		moments = append(moments, moment{call, copySpool(t, dir), then})
	}
	l.live()
	d.before = nil
	q.Close()
	if len(l.errs) > 0 || len(moments) < 50 {
		t.Fatalf("%d moments, errors %v", len(moments), l.errs)
	}
	for i, m := range moments {
		if m.life.check(t, m.dir); t.Failed() {
			t.Fatalf("killed at call %d, %s, with %d mails acknowledged", i+1, m.call, len(m.life.want))
		}
	}
	t.Logf("%d moments", len(moments))
}

// Every call to the file system fails once, and then from it on for a while, with each
// error: the queue says so, loses nothing that it has acknowledged, and takes mail
// again without a restart.
func TestEveryCallFails(t *testing.T) {
	healthy := &sickDisk{}
	dir := t.TempDir()
	q, _, err := openOn(healthy, dir, monitor.New(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	opened := len(healthy.calls)
	l := newLife(q)
	l.live()
	if len(l.errs) > 0 {
		t.Fatalf("on a healthy disk: %v", l.errs)
	}
	calls := len(healthy.calls)
	q.Close()
	l.check(t, dir)
	kinds := map[string]int{}
	for _, call := range healthy.calls[opened:] {
		kinds[call]++
	}
	t.Logf("%d calls, %v", calls-opened, kinds)
	for _, want := range []string{"write journal", "sync journal", "write queue", "rename queue", "syncfiles queue",
		"syncdir queue", "rename queue", "open journal", "syncdir journal", "remove journal", "read journal",
		"open queue"} {
		if kinds[want] == 0 {
			t.Errorf("no call %q was made", want)
		}
	}
	failures := []error{syscall.ENOSPC, syscall.EIO, syscall.EMFILE}
	step := 29
	if *faults {
		step = 1
	}
	for _, failure := range failures {
		for at := opened + 1 + int(failure.(syscall.Errno))%step; at <= calls; at += step {
			for _, length := range []int{1, 5} {
				sick := &sickDisk{at: at, last: at + length - 1, err: failure}
				dir := t.TempDir()
				mon := monitor.New(nil, nil)
				q, _, err := openOn(sick, dir, mon)
				if err != nil {
					t.Fatal(err)
				}
				l := newLife(q)
				l.live()
				sick.heal()
				for _, err := range l.errs {
					if !errors.Is(err, failure) && !errors.Is(err, os.ErrNotExist) {
						t.Errorf("%v at call %d (%s): %v", failure, at, sick.calls[at-1], err)
					}
				}
				l.errs = nil
				if _, ok := l.addMail(); !ok {
					t.Errorf("%v at call %d (%s): no mail is taken afterwards: %v", failure, at, sick.calls[at-1],
						l.errs)
				}
				for id, body := range l.want {
					if m, err := q.Load(id); err != nil || string(m.Body) != body {
						t.Errorf("%v at call %d (%s): mail %s: %v", failure, at, sick.calls[at-1], id, err)
					}
				}
				if at%2 == 0 {
					q.Close()
					l.check(t, dir)
				} else {
					l.check(t, copySpool(t, dir))
					q.Close()
				}
				if t.Failed() {
					return
				}
			}
		}
	}
}

// forgetfulDisk knows what a loss of power leaves: of a file what was synced, of a
// directory the entries that were synced.
type forgetfulDisk struct {
	realDisk
	root string

	mu      sync.Mutex
	content map[string][]byte            // by path at hand
	entries map[string]map[string]string // by directory: name to the path that content has
}

type forgetfulFile struct {
	diskFile
	disk *forgetfulDisk
	key  *string
}

func newForgetfulDisk(root string) *forgetfulDisk {
	return &forgetfulDisk{root: root, content: map[string][]byte{}, entries: map[string]map[string]string{}}
}

// inode names a file for its life, whatever it is called.
func inode(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino, " ", info.Sys().(*syscall.Stat_t).Dev), nil
}

func (d *forgetfulDisk) OpenFile(name string, flag int) (diskFile, error) {
	f, err := d.realDisk.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	key, err := inode(name)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		if info, err := f.Stat(); err == nil && info.Size() == 0 {
			delete(d.content, key) // a new file may have an old one's number
		}
	}
	return &forgetfulFile{f, d, &key}, nil
}

// Sync implements diskFile.
func (f *forgetfulFile) Sync() error {
	if err := f.diskFile.Sync(); err != nil {
		return err
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.content[*f.key] = b
	return nil
}

// SyncDir implements disk.
func (d *forgetfulDisk) SyncDir(dir string) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := map[string]string{}
	for _, entry := range all {
		if key, err := inode(filepath.Join(dir, entry.Name())); err == nil && entry.Type().IsRegular() {
			now[entry.Name()] = key
		}
	}
	d.entries[dir] = now
	return nil
}

// SyncFiles implements disk.
func (d *forgetfulDisk) SyncFiles(dir string, names []string) error {
	for _, name := range names {
		f, err := d.OpenFile(filepath.Join(dir, name), os.O_RDWR)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return err
		}
	}
	return d.SyncDir(dir)
}

// powerCut gives the spool as it is after a loss of power at this moment. What no sync
// has named is lost; as a file system may also have written it by itself, with keep
// the entries of files that were not synced are there, empty.
func (d *forgetfulDisk) powerCut(t *testing.T, keep bool) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	to := t.TempDir()
	for _, sub := range []string{".", queueDir, failedDir, corruptDir, journalDir, heldDir} {
		dir := filepath.Join(d.root, sub)
		if err := os.MkdirAll(filepath.Join(to, sub), 0o700); err != nil {
			t.Fatal(err)
		}
		entries := maps.Clone(d.entries[dir])
		if keep {
			all, _ := os.ReadDir(dir)
			for _, entry := range all {
				if key, err := inode(filepath.Join(dir, entry.Name())); err == nil && entry.Type().IsRegular() {
					if entries == nil {
						entries = map[string]string{}
					}
					entries[entry.Name()] = key
				}
			}
		}
		for name, key := range entries {
			if err := os.WriteFile(filepath.Join(to, sub, name), d.content[key], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return to
}

// A loss of power after any change keeps every acknowledged mail and every result that
// is final.
func TestPowerCut(t *testing.T) {
	root := t.TempDir()
	d := newForgetfulDisk(root)
	q, _, err := openOn(d, root, monitor.New(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	l := newLife(q)
	delivered := map[string]bool{}
	check := func() {
		t.Helper()
		for _, keep := range []bool{false, true} {
			to := d.powerCut(t, keep)
			q, waiting, err := Open(to, monitor.New(nil, nil))
			if err != nil {
				t.Fatal(err)
			}
			for id, body := range l.want {
				m, err := q.Load(id)
				if err != nil || string(m.Body) != body {
					t.Fatalf("keep %v: acknowledged mail %s: %v", keep, id, err)
				}
				if delivered[id] && m.States()[1] != Delivered {
					t.Fatalf("keep %v: mail %s has forgotten that it was delivered to one: %v", keep, id, m.States())
				}
			}
			have := ids(waiting)
			for id := range l.want {
				if !slices.Contains(have, id) {
					t.Fatalf("keep %v: mail %s is not listed", keep, id)
				}
			}
			q.Close()
		}
	}
	for round := range 12 {
		id, _ := l.addMail()
		check()
		l.note(q.Record(id, []Result{{Recipient: 0, State: Deferred}}))
		check()
		if round%2 == 0 {
			l.note(q.Record(id, []Result{{Recipient: 1, State: Delivered}}))
			delivered[id] = true
			check()
		}
		if round%3 == 0 {
			delete(l.want, id)
			l.note(q.Remove(id))
			check()
		}
		if round%4 == 1 {
			failing, _ := l.addMail()
			delete(l.want, failing)
			l.note(q.Fail(failing))
			check()
		}
		if round%3 == 1 {
			q.journal.mu.Lock()
			q.journal.keep = -1 << 40
			q.journal.seal()
			q.journal.mu.Unlock()
			q.journal.sealing.Wait()
			check()
		}
		if round == 7 { // a restart
			q.Close()
			if q, _, err = openOn(d, root, monitor.New(nil, nil)); err != nil {
				t.Fatal(err)
			}
			l.queue = q
			check()
		}
	}
	q.Close()
	check()
	if len(l.errs) > 0 {
		t.Error(l.errs)
	}
}
