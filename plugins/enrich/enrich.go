// Package enrich tells what files of the user say about addresses: the number of the
// autonomous system, the country, and the name of a network of one's own. It reads data
// bases of MaxMind's format (MMDB, https://maxmind.github.io/MaxMind-DB/), which several
// publishers use, and CSV files of prefixes. Nothing is fetched.
package enrich

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Entry is what is known of an address. What is not known is 0 or empty.
type Entry struct {
	AS      uint32
	Country string // ISO 3166-1, two letters
	Network string // name of a network in a CSV file
}

// complete says whether nothing is left to be looked for.
func (e *Entry) complete() bool { return e.AS != 0 && e.Country != "" && e.Network != "" }

// merge takes from other what is missing.
func (e *Entry) merge(other Entry) {
	if e.AS == 0 {
		e.AS = other.AS
	}
	if e.Country == "" {
		e.Country = other.Country
	}
	if e.Network == "" {
		e.Network = other.Network
	}
}

// table answers for one file. It is safe for concurrent use.
type table interface {
	// lookup returns what the file knows of an address.
	lookup(a netip.Addr) Entry
}

// maxFile is how many bytes a file may have: all of it is in memory.
const maxFile = 1 << 30

// source is a file and what has been read of it.
type source struct {
	path    string
	table   atomic.Pointer[table]
	seen    os.FileInfo // when it was read, or refused
	missing int         // looks in a row that did not find it
}

// Tables are the files. They are safe for concurrent use.
type Tables struct {
	sources []*source

	looking         sync.Mutex // for changes
	reloads, errors atomic.Uint64
}

// Open reads files, whose kind their names tell: .mmdb or .csv. Where several know
// something of an address, that of the first file counts, value by value. An error says
// which file and which line is wrong.
func Open(paths []string) (*Tables, error) {
	t := &Tables{}
	for _, path := range paths {
		s := &source{path: path}
		if err := s.readFile(); err != nil {
			return nil, err
		}
		t.sources = append(t.sources, s)
	}
	return t, nil
}

// readFile reads the file.
func (s *source) readFile() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	s.seen = info
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: expected a file", s.path)
	case info.Size() > maxFile:
		return fmt.Errorf("%s has %d bytes: expected at most %d, as all of it is in memory", s.path, info.Size(),
			maxFile)
	}
	data, err := os.ReadFile(s.path) // not mapped: who writes into a mapped file ends the agent
	if err != nil {
		return err
	}
	var read table
	switch kind := strings.ToLower(filepath.Ext(s.path)); kind {
	case ".mmdb":
		read, err = readMMDB(data)
	case ".csv":
		read, err = readCSV(data)
	default:
		err = fmt.Errorf("files of the kind %q are not known: expected .mmdb or .csv", kind)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	s.table.Store(&read)
	return nil
}

// changed says whether the file is not the one that was read. An error says that it cannot
// be found: once, when that is so for the second time, as who replaces a file may remove it
// first.
func (s *source) changed() (bool, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		if s.missing++; s.missing == 2 {
			return false, err
		}
		return false, nil
	}
	s.missing = 0
	return !disk.Unchanged(s.seen, info), nil
}

// Reload reads the files that have changed since. One that is wrong now, or is gone, which
// it returns an error for once, leaves what was read before.
func (t *Tables) Reload() (errs []error) {
	t.looking.Lock()
	defer t.looking.Unlock()
	for _, s := range t.sources {
		changed, err := s.changed()
		if changed {
			err = s.readFile()
		}
		switch {
		case err != nil:
			t.errors.Add(1)
			errs = append(errs, fmt.Errorf("%w; what was read before stays", err))
		case changed:
			t.reloads.Add(1)
		}
	}
	return errs
}

// Watch calls Reload again and again, until stop is closed, and warn with what is wrong.
func (t *Tables) Watch(every time.Duration, stop <-chan struct{}, warn func(error)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		for _, err := range t.Reload() {
			warn(err)
		}
	}
}

// Stats are how often files have been read anew, and how often that failed.
func (t *Tables) Stats() (reloads, errors uint64) { return t.reloads.Load(), t.errors.Load() }

// Lookup returns what the files know of an address.
func (t *Tables) Lookup(a netip.Addr) (e Entry) {
	if a.Is4In6() {
		a = a.Unmap()
	}
	for _, s := range t.sources {
		e.merge((*s.table.Load()).lookup(a))
		if e.complete() {
			break
		}
	}
	return e
}

// Enrich gives a flow what the files know of its addresses: the names into n, the numbers
// of autonomous systems where the flow has none, or 0.
func (t *Tables) Enrich(r *flow.Record, n *flow.Names) {
	if r.Src.IsValid() {
		e := t.Lookup(r.Src)
		n.SrcCountry, n.SrcNetwork = e.Country, e.Network
		if r.SrcAS == 0 && e.AS != 0 {
			r.SrcAS = e.AS
			r.Present.Add(flow.SrcAS)
		}
	}
	if r.Dst.IsValid() {
		e := t.Lookup(r.Dst)
		n.DstCountry, n.DstNetwork = e.Country, e.Network
		if r.DstAS == 0 && e.AS != 0 {
			r.DstAS = e.AS
			r.Present.Add(flow.DstAS)
		}
	}
}
