package archive

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// turns lets the archives of a group have descriptors in turns where the process may
// not open as many files as there are archives. Each needs two, of its directory and of
// its file. At the first error of that kind half of the archives give theirs back, and
// from then on no more than the other half have them at a time; what remains is for
// the rest of the process. Flows that wait for their file are in memory.
type turns struct {
	busy sync.Mutex   // held by who opens files, once there is a bound
	most atomic.Int64 // archives with descriptors, 0 is without a bound

	mu    sync.Mutex
	awake []*Archive // those with descriptors; with a bound, the one used last at the end

	bounded func(most int) // is called when the bound is set, or lowered
}

// none forgets all archives, and the bound.
func (t *turns) none() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.awake = nil
	t.most.Store(0)
}

// takeTurn waits for the turn of the caller, who may hold no lock of an archive, and returns
// what ends it. Without a bound all may open files at once.
func (t *turns) takeTurn() (end func()) {
	if t == nil || t.most.Load() == 0 {
		return func() {}
	}
	t.busy.Lock()
	return t.busy.Unlock
}

// use notes that an archive has descriptors, and parks those that have not been used
// for longest while there are too many. The caller holds the locks of the archive and
// of those of batch.
func (t *turns) use(a *Archive, batch []*Archive) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(t.awake, a)
	most := int(t.most.Load())
	if at >= 0 && (most == 0 || at == len(t.awake)-1) {
		return
	}
	if at >= 0 {
		t.awake = slices.Delete(t.awake, at, at+1)
	}
	t.awake = append(t.awake, a)
	if most > 0 {
		t.park(most, a, batch)
	}
}

// fewer is called where no file can be opened for an archive, of which the caller
// holds the lock, as of those of batch. It parks half of the others and says whether
// it could park one.
func (t *turns) fewer(a *Archive, batch []*Archive) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	most := max(1, len(t.awake)/2)
	if !t.park(most, a, batch) {
		return false
	}
	if old := int(t.most.Load()); old == 0 || most < old {
		t.most.Store(int64(most))
		t.bounded(most)
	}
	return true
}

// park parks archives, but not a certain one, until at most so many are awake, and says
// whether there was one. Those that somebody else is working with stay awake.
func (t *turns) park(most int, but *Archive, batch []*Archive) (parked bool) {
	for i := 0; i < len(t.awake) && len(t.awake) > most; {
		a := t.awake[i]
		if a == but || !a.tryPark(slices.Contains(batch, a)) {
			i++
			continue
		}
		t.awake = slices.Delete(t.awake, i, i+1)
		parked = true
	}
	return parked
}

// rest parks a file that is not used for now, where there is a bound.
func (t *turns) rest(f *file) {
	if t != nil && t.most.Load() > 0 {
		f.Park() // what cannot be closed is closed in the end
	}
}

// locked returns the archives that the caller of a locked one has locked besides.
func (a *Archive) locked() []*Archive {
	if a.batch == nil {
		return nil
	}
	return *a.batch
}

// noDescriptor calls open, and again as long as that finds that the process may not
// open more files and others can be parked. The lock of the archive is held, or it is
// not open.
func (a *Archive) noDescriptor(open func() error) error {
	err := open()
	for nffile.NoDescriptors(err) && a.makeRoom() {
		err = open()
	}
	return err
}

// makeRoom parks others. The lock of the archive is held.
func (a *Archive) makeRoom() bool { return a.turns.fewer(a, a.locked()) }

// makeRoomFor parks others for a file of the archive.
func (a *Archive) makeRoomFor(f *file) bool {
	if f.over {
		return a.turns.fewer(nil, nil) // the finisher has no lock
	}
	return a.makeRoom()
}

// tryPark gives the descriptors of an archive back, unless somebody else has its lock.
// An archive whose lock the caller has is locked.
func (a *Archive) tryPark(locked bool) bool {
	if !locked {
		if !a.mu.TryLock() {
			return false
		}
		defer a.mu.Unlock()
	}
	if a.last == nil {
		return true // it is closed
	}
	for _, f := range a.files {
		if err := f.Park(); err != nil {
			a.opt.Errorf("closing %s for a while: %v", f.Path(), err)
		}
	}
	if a.lock != nil {
		info, err := a.lock.Stat()
		if err != nil {
			return false
		}
		a.unlock()
		a.parked = info
	}
	return true
}
