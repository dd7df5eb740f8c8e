package web

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
)

// slotFile is a file of a source, with what its statistics say.
type slotFile struct {
	foundFile
	stat nffile.Stat
}

// Source is a source of an archive: an exporter, a channel of a profile, or all there is.
type Source struct {
	Name     string
	Interval int64      // of its files, seconds
	files    []slotFile // in the order of their slots
}

// Archive knows the files of a tree. It looks for new ones again and again, see Watch.
type Archive struct {
	root  string
	zone  *time.Location
	store *store
	logf  func(format string, args ...any)

	sources atomic.Pointer[[]*Source] // never changed, only replaced
	serial  atomic.Uint64             // counts the changes
	ready   atomic.Bool               // the tree has been walked once
	reading atomic.Int64              // files whose statistics are still to be read

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	problem error         // of the last walk
}

// OpenArchive returns the archive in a directory. Zone is that of its files' names. What the
// store of an earlier run knows is there at once, the rest comes with Watch.
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
	a := &Archive{root: root, zone: zone, logf: logf, changed: make(chan struct{})}
	if storePath != "" {
		if a.store, err = openStore(storePath, root); err != nil {
			logf("statistics of files are not kept for the next start: %v", err)
		}
	}
	a.sources.Store(&[]*Source{})
	a.load()
	return a, nil
}

// Close closes the store.
func (a *Archive) Close() error { return a.store.close() }

// load takes what the store knows.
func (a *Archive) load() {
	var files []slotFile
	err := a.store.each(func(name string, r stored) {
		dir := filepath.Dir(name)
		if dir == "." {
			dir = ""
		}
		start, ok := slotStart(filepath.Base(name), a.zone)
		if ok {
			files = append(files, slotFile{foundFile{path: filepath.Join(a.root, name), source: sourceOf(dir),
				start: start, size: r.Size, mod: r.Mod}, r.Stat})
		}
	})
	if err != nil {
		a.logf("reading the store: %v", err)
	}
	if len(files) > 0 {
		a.publish(files)
	}
}

// publish makes files those of the archive.
func (a *Archive) publish(files []slotFile) {
	by := map[string]*Source{}
	for _, f := range files {
		s := by[f.source]
		if s == nil {
			s = &Source{Name: f.source}
			by[f.source] = s
		}
		s.files = append(s.files, f)
	}
	sources := make([]*Source, 0, len(by))
	for _, s := range by {
		slices.SortFunc(s.files, func(a, b slotFile) int {
			return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.path, b.path))
		})
		s.Interval = intervalOf(s.files)
		s.place()
		sources = append(sources, s)
	}
	slices.SortFunc(sources, func(a, b *Source) int { return cmp.Compare(a.Name, b.Name) })
	a.sources.Store(&sources)
	a.serial.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.changed)
	a.changed = make(chan struct{})
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
	slices.SortStableFunc(s.files, func(a, b slotFile) int { return cmp.Compare(a.start, b.start) })
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
	for {
		began := time.Now()
		if err := a.Refresh(ctx); err != nil && ctx.Err() == nil {
			a.logf("archive %s: %v", a.root, err)
		}
		pause := min(max(leastPause, pauseShare*time.Since(began)), mostPause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Refresh looks at the tree once, and reads the statistics of new and changed files.
func (a *Archive) Refresh(ctx context.Context) error {
	known := map[string]*slotFile{}
	for _, s := range *a.sources.Load() {
		for i := range s.files {
			known[s.files[i].path] = &s.files[i]
		}
	}
	had := len(known)
	var files []slotFile
	var fresh []int
	err := walkTree(a.root, a.zone, func(f foundFile) {
		old := known[f.path]
		if old != nil && old.size == f.size && old.mod == f.mod {
			files = append(files, slotFile{f, old.stat})
		} else {
			fresh = append(fresh, len(files))
			files = append(files, slotFile{foundFile: f})
		}
		delete(known, f.path)
	})
	a.mu.Lock()
	a.problem = err
	a.mu.Unlock()
	defer a.ready.Store(true)
	if len(fresh) == 0 && len(known) == 0 && (had > 0 || len(files) == 0) {
		return err
	}
	return errors.Join(err, a.readAll(ctx, files, fresh), a.keep(files, fresh, known))
}

// readAll reads the statistics of fresh files, and makes all known, now and then also in
// between.
func (a *Archive) readAll(ctx context.Context, files []slotFile, fresh []int) error {
	a.reading.Store(int64(len(fresh)))
	defer a.reading.Store(0)
	var next atomic.Int64
	for from := 0; from < len(fresh); from += publishEvery {
		part := fresh[from:min(len(fresh), from+publishEvery)]
		next.Store(0)
		var wg sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for i := next.Add(1) - 1; int(i) < len(part) && ctx.Err() == nil; i = next.Add(1) - 1 {
					f := &files[part[i]]
					f.stat = statOf(ctx, f.path)
					a.reading.Add(-1)
				}
			})
		}
		wg.Wait()
		if next := from + publishEvery; next < len(fresh) {
			a.publish(files[:fresh[next]])
		}
	}
	if ctx.Err() == nil {
		a.publish(files)
	}
	return ctx.Err()
}

// publishEvery is after how many files what is known so far is shown.
const publishEvery = 5000

// statOf returns the statistics of a file: those that it keeps, or counted where it keeps
// none, as one that is being written. Of a file that cannot be read they are zero.
func statOf(ctx context.Context, path string) nffile.Stat {
	f, err := nffile.OpenFile(path)
	if err != nil {
		return nffile.Stat{}
	}
	defer f.Close()
	if f.HasStat() && !f.Open() {
		return f.Stat()
	}
	tables, totals, _ := query.Input{Files: []string{path}}.Top(ctx, []query.Stat{
		{Element: query.Proto, Orders: []query.Order{query.ByFlows}}}, 0) // of damage the rest is told by a query
	if len(tables) == 0 {
		return nffile.Stat{}
	}
	stat := nffile.Stat{Flows: totals.Records, Packets: totals.Packets, Bytes: totals.Bytes, First: totals.First,
		Last: totals.Last}
	for _, r := range tables[0].Rows {
		proto, _ := r.Proto()
		class := classOf(proto)
		stat.ProtoFlows[class] += r.Flows
		stat.ProtoPackets[class] += r.InPackets
		stat.ProtoBytes[class] += r.InBytes
	}
	return stat
}

// classOf returns the class of a protocol in files' statistics.
func classOf(proto uint8) int {
	switch proto {
	case 6:
		return nffile.TCP
	case 17:
		return nffile.UDP
	case 1, 58:
		return nffile.ICMP
	}
	return nffile.Other
}

// keep writes into the store what is new, and removes what is gone.
func (a *Archive) keep(files []slotFile, fresh []int, known map[string]*slotFile) error {
	put := map[string]stored{}
	for _, i := range fresh {
		if f := &files[i]; !f.open {
			put[a.name(f.path)] = stored{f.mod, f.size, f.stat}
		}
	}
	var gone []string
	for path := range known {
		gone = append(gone, a.name(path))
	}
	return a.store.change(put, gone)
}

// name returns a path below the archive.
func (a *Archive) name(path string) string {
	name, err := filepath.Rel(a.root, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(name)
}
