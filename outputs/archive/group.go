package archive

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Source is the exporters that have an archive of their own.
type Source struct {
	Ident    string // "" is that of Options
	Dir      string
	Prefixes []netip.Prefix
}

// GroupOptions say how flows are divided among archives.
type GroupOptions struct {
	Options // of the archive for all that goes to no other

	// PerAddress gives every exporter's address a directory below Dir, named after
	// it with dots and colons as dashes, as nfcapd's -M.
	PerAddress bool
	Sources    []Source
	Limits     Limits   // of all archives together
	Also       []string // directories with other files that the limits include

	// AlsoHeld, which may be nil, says whether those are still the ones that were taken:
	// nothing is removed from others.
	AlsoHeld func() bool

	// Dots leaves the dots of an IPv4 address in the name of its directory, as nfcapd
	// 1.7.8 does it.
	Dots bool

	// Completed, which may be nil, is called for every file that is complete, from
	// several goroutines.
	Completed func(Complete)
}

// maxArchives bounds the archives of a group: addresses can be forged.
const maxArchives = 1024

// otherDir has the flows of exporters beyond maxArchives, and of none.
const otherDir = "other"

// Group is a set of archives that are written together, all or none. Write is not
// safe for concurrent use.
type Group struct {
	opt      GroupOptions
	lock     *os.File // of Dir with PerAddress: the archives lie below it
	single   *Archive
	sources  []*Archive // in the order of opt.Sources
	byAddr   map[netip.Addr]*Archive
	byDir    map[string]*Archive
	open     []*Archive
	batch    []*Archive // begun in the current Write
	turns    turns
	expiring sync.Mutex
	locking  sync.Mutex // of lock
}

// NewGroup returns a Group after checking its options. It touches nothing.
func NewGroup(opt GroupOptions) (*Group, error) {
	g := &Group{opt: opt}
	var err error
	g.single, err = g.archive(opt.Dir, opt.Ident)
	if err = errors.Join(opt.Limits.Check(), err); err != nil {
		return nil, err
	}
	g.opt.Location = g.single.opt.Location
	g.turns.bounded = g.bounded
	dirs := []string{filepath.Clean(opt.Dir)}
	for _, s := range opt.Sources {
		dir := filepath.Clean(s.Dir)
		for _, other := range dirs {
			if s.Dir == "" || within(dir, other) || within(other, dir) {
				return nil, fmt.Errorf("directory %q of source %q and directory %q: one lies in the other, give each "+
					"one beside the others", s.Dir, s.Ident, other)
			}
		}
		if len(s.Prefixes) == 0 {
			return nil, fmt.Errorf("source %q has no addresses", s.Ident)
		}
		ident := s.Ident
		if ident == "" {
			ident = opt.Ident
		}
		a, err := g.archive(dir, ident)
		if err != nil {
			return nil, fmt.Errorf("source %q: %w", s.Ident, err)
		}
		dirs = append(dirs, dir)
		g.sources = append(g.sources, a)
	}
	return g, nil
}

// bounded tells that archives have descriptors in turns.
func (g *Group) bounded(most int) {
	if g.opt.Errorf != nil {
		g.opt.Errorf("%s: the process may open too few files for all archives, %d of them have theirs open at a time: "+
			"allow more (LimitNOFILE of the service, ulimit -n)", g.opt.Dir, most)
	}
}

// archive returns an archive of the group after checking its options.
func (g *Group) archive(dir, ident string) (*Archive, error) {
	a, err := New(g.options(dir, ident))
	if err != nil {
		return nil, err
	}
	a.turns = &g.turns
	return a, nil
}

// within says whether dir is other or lies below it.
func within(dir, other string) bool {
	rel, err := filepath.Rel(other, dir)
	return err == nil && filepath.IsLocal(rel)
}

// options returns the options of one archive.
func (g *Group) options(dir, ident string) Options {
	o := g.opt.Options
	o.Dir, o.Ident = dir, ident
	o.completed = g.completed
	return o
}

// completed passes a complete file on, and makes room.
func (g *Group) completed(c Complete) {
	if g.opt.Completed != nil {
		g.opt.Completed(c)
	}
	g.expire()
}

// expire makes room.
func (g *Group) expire() {
	g.expiring.Lock()
	defer g.expiring.Unlock()
	done, err := Expire(g.heldDirs(), g.opt.Limits, g.opt.Location, time.Now())
	if done.Files > 0 && g.opt.Infof != nil {
		g.opt.Infof("%d files with %d bytes have expired", done.Files, done.Bytes)
	}
	if err != nil && g.opt.Errorf != nil {
		g.opt.Errorf("removing expired files: %v", err)
	}
}

// makeRoom removes what has expired before an archive is open that finds the disk full.
func (g *Group) makeRoom(a *Archive) {
	var err error
	if a.lock, err = disk.Lock(a.opt.Dir); err != nil {
		return // opening says it again
	}
	g.expire()
	a.unlock()
}

// heldDirs returns the directories of the group that are still those that were taken.
func (g *Group) heldDirs() (dirs []string) {
	g.locking.Lock()
	same, err := disk.Same(g.opt.Dir, g.lock)
	g.locking.Unlock()
	if same && err == nil && (g.opt.PerAddress || g.single.held()) {
		dirs = append(dirs, filepath.Clean(g.opt.Dir))
	}
	for _, a := range g.sources {
		if a.held() {
			dirs = append(dirs, a.opt.Dir)
		}
	}
	if g.opt.AlsoHeld == nil || g.opt.AlsoHeld() {
		dirs = append(dirs, g.opt.Also...)
	}
	return dirs
}

// Dirs returns the directories of the group.
func (g *Group) Dirs() []string {
	dirs := []string{filepath.Clean(g.opt.Dir)}
	for _, s := range g.opt.Sources {
		dirs = append(dirs, filepath.Clean(s.Dir))
	}
	return append(dirs, g.opt.Also...)
}

// Check says why the group could not be opened. It leaves everything as it was.
func (g *Group) Check() error {
	var errs []error
	for _, a := range append([]*Archive{g.single}, g.sources...) {
		errs = append(errs, a.Check())
	}
	return errors.Join(errs...)
}

// Open takes the directories and makes whole what a kill left behind. When it
// fails, nothing stays open.
func (g *Group) Open() error {
	g.byAddr, g.byDir, g.open = map[netip.Addr]*Archive{}, map[string]*Archive{}, nil
	g.turns.none()
	archives := g.sources
	if !g.opt.PerAddress {
		archives = append(slices.Clone(archives), g.single)
	} else if err := g.openDir(); err != nil {
		return errors.Join(err, g.Close())
	}
	for _, a := range archives {
		err := a.Open()
		if disk.Full(err) { // what is old makes room, as when a write finds the disk full
			g.makeRoom(a)
			err = a.Open()
		}
		if err != nil {
			return errors.Join(err, g.Close())
		}
		g.open = append(g.open, a)
	}
	return nil
}

// openDir takes the directory that has those of addresses, and makes whole what a
// kill left behind in them.
func (g *Group) openDir() (err error) {
	if err := os.MkdirAll(g.opt.Dir, 0o755); err != nil {
		return err
	}
	if g.lock, err = disk.Lock(g.opt.Dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(g.opt.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(g.opt.Dir, e.Name())
		info, err := os.Stat(dir) // a source may be a link
		if err != nil || !info.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		a, err := g.archive(dir, g.opt.Ident)
		if err == nil {
			err = a.recoverOnly()
		}
		if disk.Full(err) { // what is old makes room, as when a write finds the disk full
			g.expire()
			err = a.recoverOnly()
		}
		switch linked := e.Type()&os.ModeSymlink != 0; {
		case err == nil || errors.Is(err, os.ErrPermission): // that is no archive of this user
		case linked: // it may be another output's
			if g.opt.Errorf != nil {
				g.opt.Errorf("%s: %v", dir, err)
			}
		default:
			return err
		}
	}
	return nil
}

// Close makes all files complete and gives the directories free.
func (g *Group) Close() error {
	var errs []error
	for _, a := range g.open {
		errs = append(errs, a.Close())
	}
	if g.lock != nil {
		errs = append(errs, g.lock.Close())
	}
	g.open, g.byAddr, g.byDir, g.lock = nil, nil, nil, nil
	return errors.Join(errs...)
}

// GroupBatch is what a function given to Group.Write writes to.
type GroupBatch struct{ g *Group }

// Write calls fn, which appends flows, and hands them to the operating system, or
// to the disk where Options say so. When it returns nil, all of them are kept; when
// it returns an error, none of them is in any archive.
//
// On a full disk no file can be completed, after which older ones go: they go then.
func (g *Group) Write(fn func(GroupBatch) error) error {
	if g.byDir == nil {
		return ErrClosed
	}
	err := g.write(fn)
	if disk.Full(err) {
		g.expire()
	}
	return err
}

func (g *Group) write(fn func(GroupBatch) error) error {
	g.batch = g.batch[:0]
	defer g.turns.takeTurn()()
	if err := g.beginDir(); err != nil {
		return err
	}
	err := fn(GroupBatch{g})
	for i := 0; i < len(g.batch) && err == nil; i++ {
		err = g.batch[i].prepare()
		g.turns.use(g.batch[i], g.batch)
	}
	for last := len(g.batch) - 1; last >= 0; last-- {
		a := g.batch[last]
		g.batch = g.batch[:last]
		a.end(err == nil)
	}
	return err
}

// beginDir takes the archive for all that goes to no other into the current Write,
// or sees to it that the directory with those of addresses is there and held.
func (g *Group) beginDir() (err error) {
	if !g.opt.PerAddress {
		return g.begin(g.single)
	}
	if err := os.MkdirAll(g.opt.Dir, 0o755); err != nil {
		return err
	}
	g.locking.Lock()
	defer g.locking.Unlock()
	g.lock, err = disk.LockAgain(g.opt.Dir, g.lock)
	return err
}

// begin takes an archive into the current Write.
func (g *Group) begin(a *Archive) error {
	if slices.Contains(g.batch, a) {
		return nil
	}
	if err := a.begin(&g.batch); err != nil {
		return err
	}
	g.batch = append(g.batch, a)
	return nil
}

// of returns the archive of an exporter, open and begun.
func (g *Group) of(addr netip.Addr) (*Archive, error) {
	a, known := g.byAddr[addr]
	if !known {
		var err error
		if a, err = g.find(addr); err != nil {
			return nil, err
		}
		if len(g.byAddr) < 16*maxArchives {
			g.byAddr[addr] = a
		}
	}
	return a, g.begin(a)
}

// find returns the archive that an address belongs to; it is opened when it is new.
func (g *Group) find(addr netip.Addr) (*Archive, error) {
	for i, s := range g.opt.Sources {
		for _, p := range s.Prefixes {
			if p.Contains(addr) {
				return g.sources[i], nil
			}
		}
	}
	if !g.opt.PerAddress {
		return g.single, nil
	}
	name := otherDir
	if addr.IsValid() && len(g.byDir) < maxArchives {
		name = g.dirName(addr)
	}
	if a := g.byDir[name]; a != nil {
		return a, nil
	}
	a, err := g.archive(filepath.Join(g.opt.Dir, name), g.opt.Ident)
	if err != nil {
		return nil, err
	}
	if err := a.open(&g.batch); err != nil {
		return nil, err
	}
	g.byDir[name] = a
	g.open = append(g.open, a)
	return a, nil
}

// dirName returns the name of an address's directory.
func (g *Group) dirName(addr netip.Addr) string {
	name := strings.NewReplacer(":", "-", "%", "-").Replace(addr.String())
	if !g.opt.Dots {
		name = strings.ReplaceAll(name, ".", "-")
	}
	return name
}

// Append adds a flow to the archive of its exporter.
func (b GroupBatch) Append(r *flow.Record) error {
	a := b.g.single
	if b.g.opt.PerAddress || len(b.g.sources) > 0 {
		var err error
		if a, err = b.g.of(r.Exporter); err != nil {
			return err
		}
	}
	err := Batch{a}.Append(r)
	if b.g.turns.most.Load() > 0 {
		b.g.turns.use(a, b.g.batch) // it may have written a block
	}
	return err
}

// Datagrams counts datagrams and sequence failures of an exporter.
func (b GroupBatch) Datagrams(id nffile.Exporter, datagrams, failures uint64) {
	if a, err := b.g.of(id.Addr); err == nil {
		Batch{a}.Datagrams(id, datagrams, failures)
	}
}

// Position is a file of an archive and how long it was before the current Write.
type Position struct {
	Path string
	Size int64 // bytes
}

// Position returns where the next flow of an exporter goes that was received at
// that time. To cut the file back to it undoes the Write.
func (b GroupBatch) Position(exporter netip.Addr, received flow.Time) (Position, error) {
	a, err := b.g.of(exporter)
	if err == nil {
		err = Batch{a}.open(received)
	}
	if err != nil {
		return Position{}, err
	}
	return Position{a.last.Path(), a.last.Kept()}, nil
}

// Tables calls write for every file of the current Write that does not have this
// version of what write puts there: it has the version since, 0 is nothing; belongs says whether an
// exporter's flows go into it.
func (b GroupBatch) Tables(version uint64, write func(w *nffile.Writer, since uint64,
	belongs func(netip.Addr) bool) error) error {
	for _, a := range b.g.batch {
		if a.last.tables == version {
			continue
		}
		belongs := func(addr netip.Addr) bool {
			other, known := b.g.byAddr[addr]
			return other == a || !known && a == b.g.single
		}
		if err := write(a.last.Writer, a.last.tables, belongs); err != nil {
			return err
		}
		a.last.tables = version
	}
	return nil
}
