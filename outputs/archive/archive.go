package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Options say what archive to write.
type Options struct {
	Dir         string        // created if missing
	Interval    time.Duration // of a slot: whole seconds, 0 is five minutes
	Layout      int           // sub-directories, 0 to MaxLayout
	Compression nffile.Compression
	Level       int            // of the compression, 0 is its own
	Extended    bool           // elements above 37 too, which nfdump 1.7.1 complains about
	Ident       string         // "" is nfdump's "none"
	Location    *time.Location // of names; nil is the local one
	Access      disk.Access    // of the files

	// SyncBatch lets Write return only when the flows are on the disk: they survive
	// a power cut. SyncEvery, when not 0, writes to the disk that often instead.
	SyncBatch bool
	SyncEvery time.Duration

	// Infof and Errorf take log lines; nil drops them.
	Infof, Errorf func(format string, args ...any)

	completed func(Complete) // called for each complete file, nil is not
}

// grace is how long after its end a slot stays open for what was received in it.
const grace = time.Second

// retryAfter is how long the archive waits before it tries again to make a file
// complete.
const retryAfter = time.Second

// Archive writes the files. New makes an inert one; Open and Close enclose its
// work. Write is safe for concurrent use.
type Archive struct {
	opt  Options
	lock *os.File

	mu    sync.Mutex
	files []*file // open slots, oldest first; new flows go to the last
	last  *file   // the last of files
	until flow.Time
	now   time.Time // of the current Write

	turns  *turns      // of its group, nil has none
	batch  *[]*Archive // those of the current Write of its group that are locked
	parked os.FileInfo // the directory, where it is not locked for want of descriptors

	closing chan *file // slots that are over, on their way to finisher
	stop    chan struct{}
	wg      sync.WaitGroup
	errs    error // of files that could not be made complete
}

// file is the open file of a slot.
type file struct {
	*nffile.Writer
	slot   int64
	final  string      // the name it will have
	id     os.FileInfo // tells it from another file of its name
	over   bool        // it is the finisher's, or on its way
	tables uint64      // version that it has, see GroupBatch.Tables
	linked bool        // its name is on the disk
}

// New returns an archive after checking its options. It touches nothing.
func New(opt Options) (*Archive, error) {
	if opt.Interval == 0 {
		opt.Interval = 5 * time.Minute
	}
	if opt.Location == nil {
		opt.Location = time.Local
	}
	nop := func(string, ...any) {}
	if opt.Infof == nil {
		opt.Infof = nop
	}
	if opt.Errorf == nil {
		opt.Errorf = nop
	}
	errs := []error{nffile.CheckCompression(opt.Compression, opt.Level), nffile.CheckIdent(opt.Ident)}
	if opt.Dir == "" {
		errs = append(errs, errors.New("no directory is given"))
	}
	if opt.Interval < time.Second || opt.Interval%time.Second != 0 {
		errs = append(errs, fmt.Errorf("rotation interval %s: expected whole seconds, at least one", opt.Interval))
	}
	if opt.Layout < 0 || opt.Layout > MaxLayout {
		errs = append(errs, fmt.Errorf("sub-directory layout %d: expected 0 to %d", opt.Layout, MaxLayout))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	opt.Dir = filepath.Clean(opt.Dir)
	return &Archive{opt: opt}, nil
}

// Check says why the archive could not be opened, see CheckDirectory.
func (a *Archive) Check() error { return CheckDirectory(a.opt.Dir) }

// CheckDirectory says why an archive in this directory could not be opened: it is no
// directory, cannot be created or written, or another process writes it. It leaves
// everything as it was.
func CheckDirectory(wanted string) error {
	wanted = filepath.Clean(wanted)
	dir := wanted
	info, err := os.Stat(dir)
	for errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
		info, err = os.Stat(dir)
	}
	if err != nil {
		return fmt.Errorf("directory %s: %w", wanted, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("directory %s: %s is not a directory", wanted, dir)
	}
	if err := writable(dir); err != nil {
		return fmt.Errorf("directory %s: cannot write in %s: %w", wanted, dir, err)
	}
	if dir != wanted {
		return nil // Open makes it
	}
	f, err := disk.Lock(dir)
	if f != nil {
		f.Close()
	}
	return errors.Join(err, continuable(dir))
}

// continuable tells whether the newest files of a directory could be continued, which is
// not so when another user has written them.
func continuable(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "nfcapd.*"))
	if err != nil {
		return err
	}
	for _, name := range names[max(0, len(names)-2):] {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("cannot continue a file: %w", err)
		}
		f.Close()
	}
	return nil
}

// writable says why nothing can be created in a directory. It tries: what the
// permissions say is not all there is.
func writable(dir string) error {
	probe, err := os.MkdirTemp(dir, ".check-")
	if err != nil {
		return err
	}
	return os.Remove(probe)
}

// Open takes the directory, makes whole what a kill left behind, opens the file
// of the current slot, and starts the clock that ends slots.
func (a *Archive) Open() error { return a.open(nil) }

// open is Open amid a Write of a group, for which those of batch are locked.
func (a *Archive) open(batch *[]*Archive) (err error) {
	a.batch = batch
	if err := os.MkdirAll(a.opt.Dir, 0o755); err != nil {
		return err
	}
	if err := a.takeDir(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			a.unlock()
		}
	}()
	slot := slotOf(time.Now(), a.opt.Interval)
	if err := a.noDescriptor(func() error { return a.recover(slot) }); err != nil {
		return err
	}
	if err := a.advance(slot); err != nil {
		return err
	}
	a.turns.use(a, a.locked())
	a.errs, a.batch = nil, nil
	a.closing = make(chan *file, 16)
	a.stop = make(chan struct{})
	stop := a.stop
	a.wg.Go(func() { a.keepTime(stop) })
	a.wg.Go(a.finisher)
	if a.opt.SyncEvery > 0 {
		a.wg.Go(func() { a.keepSynced(stop) })
	}
	return nil
}

// takeDir locks the directory.
func (a *Archive) takeDir() error {
	return a.noDescriptor(func() (err error) {
		a.lock, err = disk.Lock(a.opt.Dir)
		if err == nil {
			a.parked = nil
		}
		return err
	})
}

// recoverOnly makes whole what a kill left behind and unlocks the directory.
func (a *Archive) recoverOnly() (err error) {
	if a.lock, err = disk.Lock(a.opt.Dir); err != nil {
		return err
	}
	defer a.unlock()
	return a.recover(-1 << 40)
}

// keepSynced writes the open files to the disk again and again, until stop is
// closed.
func (a *Archive) keepSynced(stop <-chan struct{}) {
	ticker := time.NewTicker(a.opt.SyncEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		end := a.turns.takeTurn()
		a.mu.Lock()
		err := a.sync()
		a.mu.Unlock()
		end()
		if err != nil {
			a.opt.Errorf("writing to the disk: %v", err)
		}
	}
}

// sync waits until what was written to the open files is on the disk, with their
// names. The lock is held.
func (a *Archive) sync() error {
	for _, f := range a.files {
		if err := f.Sync(); err != nil {
			return err
		}
		if !f.linked {
			if err := a.noDescriptor(func() error { return a.syncDirs(filepath.Dir(f.Path())) }); err != nil {
				return err
			}
			f.linked = true
		}
	}
	return nil
}

// syncDirs waits until a directory of the archive, and those above it up to the
// archive's own, are on the disk.
func (a *Archive) syncDirs(dir string) error {
	if err := disk.SyncDir(dir); err != nil || dir == a.opt.Dir {
		return err
	}
	return a.syncDirs(filepath.Dir(dir))
}

// unlock ends the lock of the directory.
func (a *Archive) unlock() {
	if a.lock != nil {
		a.lock.Close()
		a.lock = nil
	}
}

// Close makes the files complete and unlocks the directory. It is safe on an
// archive that is not open. A file that could not be made complete is left for
// the next Open.
func (a *Archive) Close() error {
	if a.stop == nil {
		a.unlock()
		return nil
	}
	close(a.stop)
	a.mu.Lock()
	files := a.files
	a.files, a.last, a.until, a.stop = nil, nil, 0, nil
	a.mu.Unlock()
	for _, f := range files {
		f.over = true
		a.closing <- f
	}
	close(a.closing)
	a.wg.Wait()
	a.unlock()
	return a.errs
}

// ErrClosed says that the archive is not open.
var ErrClosed = errors.New("the archive is not open")

// Batch is what a function given to Write writes to.
type Batch struct{ a *Archive }

// Write calls fn, which appends flows to the batch, and hands them to the
// operating system. When it returns nil, all of them survive a kill of the
// process. When it returns an error, that of fn or of the disk, none of them is
// in the archive, and the whole batch can be written again.
func (a *Archive) Write(fn func(Batch) error) error {
	if err := a.begin(nil); err != nil {
		return err
	}
	err := fn(Batch{a})
	if err == nil {
		err = a.prepare()
	}
	a.end(err == nil)
	return err
}

// begin takes the lock for a batch, which end gives free. Those of batch are locked by
// the caller.
func (a *Archive) begin(batch *[]*Archive) error {
	a.mu.Lock()
	if a.last == nil {
		a.mu.Unlock()
		return ErrClosed
	}
	a.now, a.batch = time.Now(), batch
	if err := a.present(); err != nil {
		a.batch = nil
		a.mu.Unlock()
		return err
	}
	return nil
}

// present begins the open file anew when somebody has removed it, with its
// directory or alone: what is written to it would be lost. Where another directory has
// taken the place of this one, it is taken first, or left to who has it.
func (a *Archive) present() error {
	if err := a.hold(); err != nil {
		return err
	}
	if disk.Names(a.last.Path(), a.last.id) && !a.last.Replaced() {
		return nil
	}
	a.opt.Errorf("%s has been removed while it was written: beginning it anew", a.last.Path())
	gone := a.last
	if err := a.advance(gone.slot); err != nil {
		return err
	}
	a.files = slices.DeleteFunc(a.files, func(f *file) bool { return f == gone })
	return gone.Abandon()
}

// hold sees to it that the directory is there, and is the one that is locked.
func (a *Archive) hold() (err error) {
	if err := os.MkdirAll(a.opt.Dir, 0o755); err != nil {
		return err
	}
	if a.parked != nil {
		err = a.takeDir()
	} else {
		err = a.noDescriptor(func() (err error) {
			a.lock, err = disk.LockAgain(a.opt.Dir, a.lock)
			return err
		})
	}
	if err == nil {
		a.turns.use(a, a.locked())
	}
	return err
}

// held says whether the directory is still the one that was locked: in another one,
// nothing may be renamed or removed.
func (a *Archive) held() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.parked != nil {
		now, err := os.Stat(a.opt.Dir)
		return err == nil && os.SameFile(a.parked, now)
	}
	same, err := disk.Same(a.opt.Dir, a.lock)
	return same && err == nil
}

// prepare hands the batch to the operating system, and to the disk where the
// options say so.
func (a *Archive) prepare() error {
	for _, f := range a.files {
		if err := f.Prepare(); err != nil {
			return err
		}
	}
	if a.opt.SyncBatch {
		return a.sync()
	}
	return nil
}

// end makes a batch permanent or drops it, and gives the lock free.
func (a *Archive) end(commit bool) {
	for _, f := range a.files {
		if commit {
			f.Commit()
		} else {
			f.Rollback()
			f.tables = 0
		}
	}
	a.release()
	a.turns.use(a, a.locked())
	a.batch = nil
	a.mu.Unlock()
}

// release gives all open files but the last to the finisher. The lock is held.
func (a *Archive) release() {
	for len(a.files) > 1 {
		f := a.files[0]
		f.over = true
		a.turns.rest(f)
		select {
		case a.closing <- f:
			a.files = a.files[1:]
		default:
			f.over = false
			return // the finisher is behind; next time
		}
	}
}

// Append adds a flow to the file of the slot in which it was received; a flow
// that comes late goes to the slot that is open.
func (b Batch) Append(r *flow.Record) error {
	if err := b.open(r.Received); err != nil {
		return err
	}
	return b.a.last.Append(r)
}

// open opens the slot of a time, if it is a later one than the open one.
func (b Batch) open(received flow.Time) error {
	if received < b.a.until {
		return nil
	}
	return b.a.follow(received)
}

// Datagrams counts datagrams and sequence failures of an exporter.
func (b Batch) Datagrams(id nffile.Exporter, datagrams, failures uint64) {
	b.a.last.Datagrams(id, datagrams, failures)
}

// follow opens the slot of a time after the current one, but none that has not
// begun by this machine's clock.
func (a *Archive) follow(received flow.Time) error {
	slot := min(slotOf(received.Time(), a.opt.Interval), slotOf(a.now, a.opt.Interval))
	if slot <= a.last.slot {
		return nil
	}
	return a.advance(slot)
}

// advance opens the file of a slot, to which flows go from now on. The lock is
// held, or the archive is not yet open.
func (a *Archive) advance(slot int64) error {
	var f *file
	err := a.noDescriptor(func() (err error) {
		f, err = a.openSlot(slot)
		return err
	})
	if err != nil {
		return err
	}
	a.files = append(a.files, f)
	a.last = f
	a.until = flow.TimeOf(time.Unix(slot, 0).Add(a.opt.Interval))
	return nil
}

// keepTime ends slots when no flow does, until stop is closed.
func (a *Archive) keepTime(stop <-chan struct{}) {
	failing := false
	for {
		wait := retryAfter
		if !failing {
			wait = a.untilOver()
		}
		timer := time.NewTimer(wait)
		select {
		case <-stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		err := a.tick(time.Now())
		if err != nil && !failing {
			a.opt.Errorf("cannot begin a new file, trying again every %s: %v", retryAfter, err)
		}
		failing = err != nil
	}
}

// untilOver returns how long to wait for the end of the open slot, but at most a
// minute: the clock may be set.
func (a *Archive) untilOver() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		return time.Minute
	}
	return min(max(time.Until(time.Unix(a.last.slot, 0).Add(a.opt.Interval+grace)), 0), time.Minute)
}

// tick opens the next slot when the open one is over, or lies in the future by
// more than a slot because the clock was set back.
func (a *Archive) tick(now time.Time) error {
	defer a.turns.takeTurn()()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		return nil
	}
	start := time.Unix(a.last.slot, 0)
	over := !now.Before(start.Add(a.opt.Interval + grace))
	future := now.Before(start.Add(-a.opt.Interval))
	switch {
	case over:
		now = now.Add(-grace) // no slot is left out when they are short
	case !future:
		return nil
	}
	if err := a.hold(); err != nil {
		return err
	}
	if err := a.advance(slotOf(now, a.opt.Interval)); err != nil {
		return err
	}
	a.release()
	return nil
}

// finisher makes files complete, outside of the lock: it waits for the disk. What
// fails is tried again until the archive is closed.
func (a *Archive) finisher() {
	var failed []*file
	reported := false
	for {
		var again <-chan time.Time
		if len(failed) > 0 {
			again = time.After(retryAfter)
		}
		select {
		case f, ok := <-a.closing:
			if !ok {
				a.giveUp(failed)
				return
			}
			failed = append(failed, f)
		case <-again:
		}
		for len(failed) > 0 {
			err := a.finish(failed[0])
			if err != nil {
				if !reported {
					a.opt.Errorf("cannot complete %s, trying again every %s: %v", failed[0].final, retryAfter, err)
				}
				reported = true
				a.turns.rest(failed[0])
				break
			}
			failed, reported = failed[1:], false
		}
	}
}

// giveUp tries once more to complete files and leaves the others for the next
// Open.
func (a *Archive) giveUp(failed []*file) {
	for _, f := range failed {
		if err := a.finish(f); err != nil {
			f.Abandon()
			a.errs = errors.Join(a.errs, fmt.Errorf("completing %s, which is left as %s: %w", f.final, f.Path(), err))
		}
	}
}

// finish makes the file of a slot complete and gives it its name.
func (a *Archive) finish(f *file) error {
	defer a.turns.takeTurn()()
	if f.Replaced() {
		a.opt.Errorf("%s has been removed, with what was written to it", f.Path())
		return f.Abandon()
	}
	if err := f.Close(); err != nil && !errors.Is(err, nffile.ErrClosed) {
		return err
	}
	var name string
	err := os.ErrNotExist
	if disk.Names(f.Path(), f.id) { // another directory may be in the place of its own
		name, err = a.rename(f.Path(), f.final)
	}
	if errors.Is(err, os.ErrNotExist) {
		a.opt.Errorf("%s has been removed, with what was written to it", f.Path())
		return nil
	}
	if err != nil {
		return err
	}
	a.complete(name, f.slot)
	s := f.Stat()
	a.opt.Infof("%s: flows %d, packets %d, bytes %d, sequence failures %d", name, s.Flows, s.Packets, s.Bytes,
		s.SequenceFailures)
	return nil
}

// complete tells of a file that has got its name.
func (a *Archive) complete(name string, slot int64) {
	if a.opt.completed == nil {
		return
	}
	file, err := filepath.Rel(a.opt.Dir, name)
	if err != nil {
		file = name
	}
	a.opt.completed(Complete{Dir: a.opt.Dir, File: file, Slot: time.Unix(slot, 0).In(a.opt.Location),
		Ident: a.opt.Ident})
}
