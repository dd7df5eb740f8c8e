package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
)

// slotFile is a file of a source, with what its statistics say.
type slotFile struct {
	foundFile
	stat  nffile.Stat
	known bool  // stat has been read
	err   error // why it cannot be: of its time nothing is known
	gone  bool  // it has expired: what its statistics said is kept, its flows are not there any more
}

// Source is a source of an archive: an exporter, a channel of a profile, or all there is.
type Source struct {
	Name     string
	Interval int64      // of its files, seconds
	files    []slotFile // in the order of their slots
	channel  *Channel   // of a profile that was made in the page; nil of what is in directories
}

// Archive knows the files of a tree. It looks for new ones again and again, see Watch.
type Archive struct {
	root  string
	zone  *time.Location
	store *store
	logf  func(format string, args ...any)

	sources atomic.Pointer[[]*Source] // never changed, only replaced
	serial  atomic.Uint64             // counts the changes
	kept    kept
	loaded  bool         // what the store knows has been taken, by the first Refresh
	ready   atomic.Bool  // the tree has been walked once
	found   atomic.Int64 // files that the store, and then the first walk, has come upon
	reading atomic.Int64 // files whose statistics are still to be read
	toRead  atomic.Int64 // and how many there were at first

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	problem error         // of the last walk
	unread  unread

	retried time.Time // when files that cannot be read were tried last
}

// unread are the complete files that cannot be read.
type unread struct {
	files int
	first error // of the oldest
}

// OpenArchive returns the archive in a directory. Zone is that of its files' names. It is
// empty until the first Refresh, which Watch makes at once: it begins with what the store of
// an earlier run knows. Where the store's path leads to another file the error is ErrNotStore.
func OpenArchive(root, storePath string, zone *time.Location, logf func(string, ...any)) (*Archive, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &os.PathError{Op: "archive", Path: root, Err: errors.New("expected a directory of flow files")}
	}
	if root, err = filepath.Abs(root); err != nil {
		return nil, err
	}
	a := &Archive{root: root, zone: zone, logf: logf, changed: make(chan struct{}),
		kept: kept{profiles: map[string]*Profile{}, counted: map[string]*counted{}, wake: make(chan struct{}, 1)}}
	a.kept.channels.Store(&[]*Source{})
	if storePath != "" {
		a.store, err = openStore(storePath, root, logf)
		if errors.Is(err, ErrNotStore) {
			return nil, err
		}
		if err != nil {
			logf("statistics of files are not kept for the next start: %v", err)
		}
	}
	a.sources.Store(&[]*Source{})
	return a, nil
}

// Close closes the store.
func (a *Archive) Close() error { return a.store.close() }

// load takes what the store knows.
func (a *Archive) load() {
	var files []slotFile
	dir, below, source := "", "", ""
	begin := func() { files, dir = files[:0], "" }
	err := a.store.each(begin, func(in string, r *stored) {
		if in != dir {
			dir, below, source = in, filepath.Join(a.root, in)+string(filepath.Separator), sourceOf(in)
		}
		if start, ok := slotStart(r.name, a.zone); ok {
			f := foundFile{path: below + r.name, source: source, start: start, size: r.size, mod: r.mod}
			files = append(roomier(files), slotFile{foundFile: f, stat: r.stat, known: true})
			a.found.Store(int64(len(files)))
		}
	})
	if err != nil {
		a.logf("reading the store: %v", err)
	}
	if len(files) > 0 {
		a.publish(files)
	}
}

// roomier returns files with room for one more: made twice as large when there is none.
func roomier(files []slotFile) []slotFile {
	if len(files) == cap(files) {
		return slices.Grow(files, len(files)+leastPart)
	}
	return files
}

// publish makes files those of the archive.
func (a *Archive) publish(files []slotFile) {
	by := map[string]*Source{}
	var s *Source
	var wrong unread
	for i := range files {
		wrong.addFile(&files[i])
		a.settle(&files[i])
		if s == nil || s.Name != files[i].source {
			if s = by[files[i].source]; s == nil {
				s = &Source{Name: files[i].source}
				by[s.Name] = s
			}
		}
		s.files = append(s.files, files[i])
	}
	sources := make([]*Source, 0, len(by))
	for _, s := range by {
		if !slices.IsSortedFunc(s.files, byStart) {
			slices.SortFunc(s.files, byStart)
		}
		s.Interval = intervalOf(s.files)
		s.place()
		sources = append(sources, s)
	}
	slices.SortFunc(sources, func(a, b *Source) int { return cmp.Compare(a.Name, b.Name) })
	a.sources.Store(&sources)
	a.mu.Lock()
	a.unread = wrong
	a.mu.Unlock()
	a.announce()
}

// settle puts a file right whose name is of an hour that is there twice, when clocks are put back:
// the flows tell which one it is. A name that has its distance from UTC is of one hour alone.
func (a *Archive) settle(f *slotFile) {
	const hour = 3600
	if !f.known || f.open || f.err != nil || f.stat.First == 0 || strings.ContainsAny(filepath.Base(f.path), "+-") {
		return
	}
	first := int64(f.stat.First / 1000)
	if off := first - f.start; off > -hour/2 && off < hour/2 {
		return
	}
	const wall = "15:04:05"
	for _, other := range []int64{f.start - hour, f.start + hour} {
		if max(first-other, other-first) < max(first-f.start, f.start-first) &&
			time.Unix(other, 0).In(a.zone).Format(wall) == time.Unix(f.start, 0).In(a.zone).Format(wall) {
			f.start = other
			return
		}
	}
}

// addFile counts a file that cannot be read. One that is being written may have nothing to be
// read yet.
func (u *unread) addFile(f *slotFile) {
	if f.err == nil || f.open {
		return
	}
	if u.files++; u.first == nil {
		u.first = f.err
	}
}

// problems tells what of the archive cannot be read, "" when all can, and how many files.
func (a *Archive) problems() (text string, files int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var parts []string
	if a.problem != nil {
		parts = append(parts, a.problem.Error())
	}
	switch n := a.unread.files; {
	case n == 1:
		parts = append(parts, "1 file has no numbers: "+a.unread.first.Error())
	case n > 1:
		parts = append(parts, fmt.Sprintf("%d files have no numbers, the first: %v", n, a.unread.first))
	}
	return strings.Join(parts, "; "), a.unread.files
}

// announce says that something has changed.
func (a *Archive) announce() {
	a.serial.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.changed)
	a.changed = make(chan struct{})
}

// byStart orders files by their slots, those of one by their names.
func byStart(a, b slotFile) int {
	if a.start != b.start {
		return cmp.Compare(a.start, b.start)
	}
	return cmp.Compare(a.path, b.path)
}

// defaultInterval is nfcapd's, seconds.
const defaultInterval = 300

// intervalOf returns the distance that most files have from the next.
func intervalOf(files []slotFile) int64 {
	counts := map[int64]int{}
	for i := max(1, len(files)-intervalSample); i < len(files); i++ {
		if d := files[i].start - files[i-1].start; d > 0 && !files[i].open && files[i-1].start > 0 {
			counts[d]++
		}
	}
	best := int64(defaultInterval)
	for d, n := range counts {
		if n > counts[best] || n == counts[best] && d < best {
			best = d
		}
	}
	return best
}

// intervalSample is how many of the newest files tell the interval.
const intervalSample = 500

// place gives files that are being written, and do not tell their slot, the one in which
// they were changed last, and puts them where they belong.
func (s *Source) place() {
	for i := range s.files {
		f := &s.files[i]
		if !f.open || f.start > 0 {
			continue
		}
		f.start = f.mod / 1e9 / s.Interval * s.Interval
		if last := &s.files[len(s.files)-1]; f.start <= last.start && last != f {
			f.start = last.start + s.Interval
		}
	}
	byTime := func(a, b slotFile) int { return cmp.Compare(a.start, b.start) }
	if !slices.IsSortedFunc(s.files, byTime) {
		slices.SortStableFunc(s.files, byTime)
	}
}

// Changed returns a channel that is closed at the next change, and the number of changes
// up to now.
func (a *Archive) Changed() (<-chan struct{}, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed, a.serial.Load()
}

// The times between two looks at the tree: a look may take a fiftieth of all time.
const (
	leastPause = time.Second
	mostPause  = time.Minute
	pauseShare = 50
)

// Watch looks for new and changed files until the context ends.
func (a *Archive) Watch(ctx context.Context) {
	told := ""
	for {
		began := time.Now()
		text := ""
		if err := a.Refresh(ctx); err != nil && ctx.Err() == nil {
			text = err.Error()
		}
		if text != told && text != "" {
			a.logf("archive %s: %s", a.root, text)
		}
		told = text
		pause := time.After(min(max(leastPause, pauseShare*time.Since(began)), mostPause))
		if !a.pause(ctx, pause) {
			return
		}
	}
}

// buildTime is how long profiles are built before somebody looks whether there is anything
// else to do.
const buildTime = time.Second

// pause builds profiles until a pause is over, and says whether the context has not ended.
func (a *Archive) pause(ctx context.Context, over <-chan time.Time) bool {
	for more := true; ; {
		more = a.build(ctx, buildTime)
		for !more {
			select {
			case <-ctx.Done():
				return false
			case <-over:
				return true
			case <-a.kept.wake:
				more = true
			}
		}
		select {
		case <-over:
			return true
		default:
		}
	}
}

// retryPause is after what time files that cannot be read are tried again although they look
// as before: who may read a file can change without it.
const retryPause = time.Minute

// refill puts all that is known into the store when that had to be replaced.
func (a *Archive) refill() {
	if a.store == nil || !a.store.replaced.CompareAndSwap(true, false) {
		return
	}
	var files []slotFile
	for _, s := range *a.sources.Load() {
		files = append(files, s.files...)
	}
	paths := make([]string, len(files))
	for i := range files {
		paths[i] = files[i].path
	}
	if err := errors.Join(a.keep(files, paths), a.keepProfiles()); err != nil {
		a.logf("the store that has been made anew: %v", err)
	}
}

// Refresh looks at the tree once, and reads the statistics of new and changed files.
func (a *Archive) Refresh(ctx context.Context) error {
	defer a.refill()
	if !a.loaded {
		a.load()
		a.loadProfiles()
		a.loaded = true
	}
	if err := readable(a.root); err != nil { // what is known stays: it may come back, as a disk does
		a.setProblem(err)
		a.ready.Store(true)
		return err
	}
	gone := map[string]*slotFile{}
	for _, s := range *a.sources.Load() {
		for i := range s.files {
			gone[s.files[i].path] = &s.files[i]
		}
	}
	again := time.Since(a.retried) >= retryPause
	if again {
		a.retried = time.Now()
	}
	had := len(gone)
	files := make([]slotFile, 0, had+had/64)
	var fresh []int
	back := false // one that was gone is there again
	err := walkTree(a.root, a.zone, func(f foundFile) {
		old := gone[f.path]
		if old != nil && old.known && old.size == f.size && old.mod == f.mod && (old.err == nil || !again) {
			files = append(roomier(files), slotFile{foundFile: f, stat: old.stat, known: true, err: old.err})
			back = back || old.gone
		} else {
			fresh = append(fresh, len(files))
			files = append(roomier(files), slotFile{foundFile: f})
		}
		delete(gone, f.path)
		if n := int64(len(files)); !a.ready.Load() && n > a.found.Load() {
			a.found.Store(n)
		}
	})
	a.setProblem(err)
	a.found.Store(int64(len(files)))
	defer a.ready.Store(true)
	old, news := outlived(gone, files)
	files = append(old, files...)
	for i := range fresh {
		fresh[i] += len(old)
	}
	if len(fresh) == 0 && len(gone) == 0 && !news && !back && (had > 0 || len(files) == 0) {
		return err
	}
	removed := make([]string, 0, len(gone))
	for path := range gone {
		removed = append(removed, path)
	}
	return errors.Join(err, a.keep(files, removed), a.readAll(ctx, files, fresh))
}

// historyDays is how long statistics outlive their files: the year before this one is shown too.
const historyDays = 800

// outlived returns what is kept of files that are gone, in order, and takes them out of these:
// those that are older than all that their source has, as expiry leaves them, and that can still be
// of use. News says whether one of them was there at the last look.
func outlived(gone map[string]*slotFile, files []slotFile) (list []slotFile, news bool) {
	oldest := map[string]int64{}
	for i := range files {
		f := &files[i]
		if first, ok := oldest[f.source]; !f.open && (!ok || f.start < first) {
			oldest[f.source] = f.start
		}
	}
	least := time.Now().AddDate(0, 0, -historyDays).Unix()
	for path, f := range gone {
		first, ok := oldest[f.source]
		if !ok || f.start >= first || f.start < least || !f.known || f.open || f.err != nil {
			continue
		}
		news = news || !f.gone
		f := *f
		f.gone = true
		list = append(list, f)
		delete(gone, path)
	}
	slices.SortFunc(list, func(a, b slotFile) int { return cmp.Or(cmp.Compare(a.source, b.source), byStart(a, b)) })
	return list, news
}

// readable says why a directory cannot be read.
func readable(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err = d.Readdirnames(1); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// setProblem notes what the last walk could not read, and announces another one.
func (a *Archive) setProblem(err error) {
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	a.mu.Lock()
	changed := text(a.problem) != text(err)
	a.problem = err
	a.mu.Unlock()
	if changed {
		a.announce()
	}
}

// readAll reads the statistics of fresh files, the newest first, and makes all known, now and
// then also in between.
func (a *Archive) readAll(ctx context.Context, files []slotFile, fresh []int) error {
	a.toRead.Store(int64(len(fresh)))
	a.reading.Store(int64(len(fresh)))
	defer a.reading.Store(0)
	slices.SortStableFunc(fresh, func(i, j int) int { return cmp.Compare(files[j].start, files[i].start) })
	for n := leastPart; len(fresh) > 0 && ctx.Err() == nil; n *= 2 {
		part := fresh[:min(n, len(fresh))]
		fresh = fresh[len(part):]
		a.readPart(ctx, files, part)
		if ctx.Err() != nil {
			break
		}
		var paths []string // of complete files: the others are not in the store
		for _, at := range part {
			if !files[at].open {
				paths = append(paths, files[at].path)
			}
		}
		if err := a.keep(files, paths); err != nil {
			a.logf("statistics of files are not kept for the next start: %v", err)
		}
		if len(fresh) > 0 {
			a.publish(slices.DeleteFunc(slices.Clone(files), func(f slotFile) bool { return !f.known }))
		}
	}
	if ctx.Err() == nil {
		a.publish(files)
	}
	return ctx.Err()
}

// leastPart is after how many files what is known so far is shown first, then after twice as
// many, and so on: a day of two sources.
const leastPart = 576

// readPart reads the statistics of some files, on all cores.
func (a *Archive) readPart(ctx context.Context, files []slotFile, part []int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(part) && ctx.Err() == nil; i = next.Add(1) - 1 {
				f := &files[part[i]]
				f.stat, f.err = statOf(ctx, f.path)
				if info, err := os.Stat(f.path); f.open && err == nil { // what has been read is as new as that
					f.mod = info.ModTime().UnixNano()
				}
				f.known = ctx.Err() == nil
				a.reading.Add(-1)
			}
		})
	}
	wg.Wait()
}

// statOf returns the statistics of a file. It is an error when no flow can be read; of damage
// behind the first the rest is told by a query.
func statOf(ctx context.Context, path string) (nffile.Stat, error) {
	_, stat, err := query.FileStat(ctx, path)
	if stat.Flows > 0 {
		return stat, nil
	}
	return stat, err
}

// keep writes into the store what is known of the directories of some paths.
func (a *Archive) keep(files []slotFile, changed []string) error {
	if a.store == nil || len(changed) == 0 {
		return nil
	}
	dirs := map[string][]stored{}
	for _, path := range changed {
		dir, _ := a.split(path)
		dirs[dir] = nil
	}
	last, wanted := "", false
	for i := range files {
		f := &files[i]
		dir, name := a.split(f.path)
		if dir != last || i == 0 {
			last = dir
			_, wanted = dirs[dir]
		}
		if wanted && f.known && f.err == nil && !f.open {
			dirs[dir] = append(dirs[dir], stored{name: name, mod: f.mod, size: f.size, stat: f.stat})
		}
	}
	return a.store.change(dirs)
}

// split returns the directory of a file below the archive, "." for its own, and its name.
func (a *Archive) split(path string) (dir, name string) {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, a.root), string(filepath.Separator))
	at := strings.LastIndexByte(rest, filepath.Separator)
	if at < 0 {
		return ".", rest
	}
	return filepath.ToSlash(rest[:at]), rest[at+1:]
}

// name returns a path below the archive.
func (a *Archive) name(path string) string {
	name, err := filepath.Rel(a.root, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(name)
}
