// Package waitlog keeps on the disk the sets whose template is not known yet, so that
// a kill does not take what has been acknowledged. It is a file that grows by
// transactions, one for each batch that changes it:
//
//	"flowgraf waiting 1\n"
//	size, CRC-32C of the body (4 bytes each), kind, committed (1 byte each), body
//	…
//
// A record of kind 'T' is a transaction: the numbers of the sets that wait no longer,
// and the sets that are new. It counts once it is committed, which is one byte that
// is overwritten. A record of kind 'U' before it says how long a file of the archive
// was before sets were decoded into it; when the transaction is not committed, that
// file is cut back, and the sets wait on. So each is in the archive exactly once,
// wherever a kill strikes. All numbers are little-endian or varints.
package waitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/disk"
)

// Log is the file and what is in it. It is not safe for concurrent use.
type Log struct {
	f     *os.File
	path  string
	opt   Options
	lock  *os.File // of the directory; nil where there are no locks
	later *disk.LaterSync

	sets []Set  // committed, in the order in which they came
	next uint64 // number of the next set
	end  int64  // of the last committed transaction

	// What waits, with the transaction at hand.
	count   int
	bytes   int64 // of the datagrams
	sources map[netip.Addr]int

	// The transaction at hand.
	added    []Set
	ended    map[uint64]bool
	undone   []archive.Position
	off      int64 // end of what has been written
	commitAt int64 // where the byte committed is, 0 before prepare
}

// Options say when the log is on the disk.
type Options struct {
	Sync   bool          // Prepare and Commit wait for the disk
	Every  time.Duration // when not 0, the file is on the disk that long after a Commit
	Failed func(error)   // is told when it could not be written to the disk then
}

// Set is a datagram with one set whose template is not known.
type Set struct {
	number uint64
	Since  time.Time // when it was taken in, with the monotonic clock of this run
	Key    collector.SetKey
	off    int64 // of the payload in the file, once it is there
	size   int
	dg     collector.Datagram // with the payload only while it is not in the file
}

// The bounds of what waits: source addresses can be forged.
const (
	maxWaitingBytes  = 64 << 20 // of datagrams
	maxWaitingSource = 8 << 20  // of one address
	maxWaitingSets   = 1 << 16
)

// The parts of the file.
const (
	waitFile      = "waiting"
	waitHead      = "flowgraf waiting 1\n"
	recordHead    = 10
	maxRecordBody = 2 * maxWaitingBytes
	compactAbove  = 1 << 20 // bytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Open opens the file in a directory, makes undone what was not committed,
// and returns the log. What is not whole at its end is cut off.
func Open(dir string, opt Options) (*Log, error) {
	l := &Log{
		path: filepath.Join(dir, waitFile), opt: opt, sources: map[netip.Addr]int{}, ended: map[uint64]bool{},
		later: new(disk.LaterSync),
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if l.lock, err = disk.Lock(dir); err != nil {
		return nil, err
	}
	if l.f, err = disk.OpenOwn(l.path, os.O_CREATE, 0o600); err != nil {
		l.unlock()
		return nil, err
	}
	undo, err := l.readFile()
	if err == nil {
		err = cutBack(undo)
	}
	if err == nil {
		err = l.f.Truncate(l.end)
	}
	if err == nil {
		err = l.syncDir()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", l.path, err), l.Close())
	}
	return l, nil
}

// cutBack takes files of the archive back to the lengths that they had. One that is
// not there has been removed by somebody.
func cutBack(list []archive.Position) error {
	for _, p := range list {
		info, err := os.Lstat(p.Path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || !strings.HasPrefix(filepath.Base(p.Path), "nfcapd.") {
			return fmt.Errorf("%s: expected a file of the archive", p.Path)
		}
		if info.Size() > p.Size {
			f, err := disk.OpenOwn(p.Path, 0, 0)
			if err != nil {
				return err
			}
			if err := errors.Join(f.Truncate(p.Size), f.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

// readFile reads the file, and returns what is to be undone.
func (l *Log) readFile() ([]archive.Position, error) {
	head := make([]byte, len(waitHead))
	n, err := l.f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if n < len(head) && strings.HasPrefix(waitHead, string(head[:n])) {
		_, err := l.f.WriteAt([]byte(waitHead), 0)
		l.end, l.off = int64(len(waitHead)), int64(len(waitHead))
		return nil, err
	}
	if string(head) != waitHead {
		return nil, fmt.Errorf("expected the first line %q, got %q: move the file away, the sets in it are lost",
			waitHead, head[:n])
	}
	l.end = int64(len(waitHead))
	var undo []archive.Position
	var body []byte
	for off := l.end; ; {
		var h [recordHead]byte
		if n, err := l.f.ReadAt(h[:], off); n < recordHead {
			if err != nil && err != io.EOF {
				return nil, err
			}
			break
		}
		size := int64(binary.LittleEndian.Uint32(h[0:]))
		if size > maxRecordBody {
			break
		}
		body = slices.Grow(body[:0], int(size))[:size]
		if n, err := l.f.ReadAt(body, off+recordHead); int64(n) < size {
			if err != nil && err != io.EOF {
				return nil, err
			}
			break
		}
		if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(h[4:]) {
			break
		}
		off += recordHead + size
		switch {
		case h[8] == 'U':
			if p, ok := parseUndo(body); ok {
				undo = append(undo, p)
			}
		case h[8] == 'T' && h[9] == 1:
			l.applyTransaction(body, off-size)
			undo, l.end = nil, off
		}
	}
	l.off = l.end
	return undo, nil
}

// applyTransaction applies a committed transaction whose body begins at base.
func (l *Log) applyTransaction(body []byte, base int64) {
	r := varints{rest: body}
	gone := map[uint64]bool{}
	for range r.uint() {
		if r.failed {
			return
		}
		gone[r.uint()] = true
	}
	for s := range l.All() {
		if gone[s.number] {
			l.Finish(s)
		}
	}
	l.dropEnded()
	for range r.uint() {
		s := Set{number: r.uint(), Since: sinceThen(time.Unix(0, int64(r.uint())))}
		from, err := netip.ParseAddrPort(string(r.bytes()))
		received := time.Unix(0, int64(r.uint())).UTC()
		payload := r.bytes()
		if r.failed {
			return
		}
		s.size, s.off = len(payload), base+int64(len(body)-len(r.rest)-len(payload))
		s.dg = collector.Datagram{Exporter: from, Received: received, Payload: payload}
		key, ok := collector.Key(s.dg)
		if !ok || err != nil {
			continue
		}
		s.Key, s.dg.Payload = key, nil
		l.next = max(l.next, s.number+1)
		l.sets = append(l.sets, s)
		l.account(key.Exporter.Addr(), 1, s.size)
	}
}

// sinceThen returns a time of an earlier run as one of this run: what is done to the clock
// of the machine from now on does not change how long ago it is.
func sinceThen(t time.Time) time.Time {
	now := time.Now()
	return now.Add(-max(now.Sub(t), 0))
}

// dropEnded takes the sets that have ended out of the committed ones.
func (l *Log) dropEnded() {
	if len(l.ended) > 0 {
		l.sets = slices.DeleteFunc(l.sets, func(s Set) bool { return l.ended[s.number] })
		clear(l.ended)
	}
}

// Add lets a datagram wait, from this transaction on. It returns false when there
// is no room for it.
func (l *Log) Add(key collector.SetKey, dg collector.Datagram) bool {
	size, addr := len(dg.Payload), key.Exporter.Addr()
	if l.bytes+int64(size) > maxWaitingBytes || l.sources[addr]+size > maxWaitingSource || l.count >= maxWaitingSets {
		return false
	}
	l.account(addr, 1, size)
	l.added = append(l.added, Set{number: l.next, Since: time.Now(), Key: key, size: size, dg: dg})
	l.next++
	return true
}

// Len returns how many sets wait, with the transaction at hand.
func (l *Log) Len() int { return l.count }

// Path returns the name of the file.
func (l *Log) Path() string { return l.path }

// Waits says whether a set of an exporter waits.
func (l *Log) Waits(exporter netip.Addr) bool { return l.sources[exporter] > 0 }

// Received returns when the datagram was received.
func (s *Set) Received() time.Time { return s.dg.Received }

// Waiting says whether the set was in the log before the transaction at hand: an
// earlier Write has acknowledged it.
func (s *Set) Waiting() bool { return s.off != 0 }

// account counts sets and their bytes.
func (l *Log) account(addr netip.Addr, sets, size int) {
	l.count += sets
	l.bytes += int64(size)
	if l.sources[addr] += size; l.sources[addr] == 0 {
		delete(l.sources, addr)
	}
}

// All are the sets that wait, those of the transaction at hand included, in the order
// in which they came. The loop may end them.
func (l *Log) All() iter.Seq[*Set] {
	return func(yield func(*Set) bool) {
		for _, list := range [][]Set{l.sets, l.added} {
			for i := range list {
				if s := &list[i]; !l.ended[s.number] && !yield(s) {
					return
				}
			}
		}
	}
}

// Datagram returns the datagram of a set.
func (l *Log) Datagram(s *Set) (collector.Datagram, error) {
	dg := s.dg
	if s.off == 0 {
		return dg, nil
	}
	dg.Payload = make([]byte, s.size)
	_, err := l.f.ReadAt(dg.Payload, s.off)
	return dg, err
}

// Finish ends the waiting of a set, with the transaction at hand.
func (l *Log) Finish(s *Set) {
	l.ended[s.number] = true
	l.account(s.Key.Exporter.Addr(), -1, -s.size)
}

// Undo notes where a file of the archive ends before sets that wait are decoded into
// it. It is on the disk when undo returns.
func (l *Log) Undo(p archive.Position) error {
	if slices.ContainsFunc(l.undone, func(q archive.Position) bool { return q.Path == p.Path }) {
		return nil
	}
	body := binary.AppendUvarint(nil, uint64(len(p.Path)))
	body = append(body, p.Path...)
	body = binary.AppendUvarint(body, uint64(p.Size))
	if err := l.write('U', body); err != nil {
		return err
	}
	l.undone = append(l.undone, p)
	return nil
}

// write appends a record that is not committed.
func (l *Log) write(kind byte, body []byte) error {
	var h [recordHead]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(len(body)))
	binary.LittleEndian.PutUint32(h[4:], crc32.Checksum(body, castagnoli))
	h[8] = kind
	if _, err := l.f.WriteAt(append(h[:], body...), l.off); err != nil {
		return err
	}
	l.off += recordHead + int64(len(body))
	if l.opt.Sync {
		return l.f.Sync()
	}
	return nil
}

// Prepare writes the transaction at hand, if it has anything. After it commit has
// nothing left that can fail for want of room.
func (l *Log) Prepare() error {
	l.added = slices.DeleteFunc(l.added, func(s Set) bool {
		gone := l.ended[s.number]
		delete(l.ended, s.number)
		return gone
	})
	if len(l.added) == 0 && len(l.ended) == 0 && len(l.undone) == 0 {
		return nil
	}
	base := l.off + recordHead
	body := binary.AppendUvarint(nil, uint64(len(l.ended)))
	for number := range l.ended {
		body = binary.AppendUvarint(body, number)
	}
	body = l.appendSets(body, l.added, base)
	at := l.off
	if err := l.write('T', body); err != nil {
		return err
	}
	l.commitAt = at + recordHead - 1
	return nil
}

// appendSets appends sets to a body that begins at base, and notes where they are
// then. Their payloads must be in memory.
func (l *Log) appendSets(body []byte, sets []Set, base int64) []byte {
	body = binary.AppendUvarint(body, uint64(len(sets)))
	now := time.Now()
	for i := range sets {
		s := &sets[i]
		body = binary.AppendUvarint(body, s.number)
		body = binary.AppendUvarint(body, uint64(now.Add(-now.Sub(s.Since)).UnixNano()))
		from := s.dg.Exporter.String()
		body = binary.AppendUvarint(body, uint64(len(from)))
		body = append(body, from...)
		body = binary.AppendUvarint(body, uint64(s.dg.Received.UnixNano()))
		body = binary.AppendUvarint(body, uint64(s.size))
		s.off = base + int64(len(body))
		body = append(body, s.dg.Payload...)
	}
	return body
}

// Commit makes the transaction at hand permanent. An error is of the disk; the
// transaction is over all the same.
func (l *Log) Commit() error {
	if l.commitAt == 0 {
		return nil
	}
	_, err := l.f.WriteAt([]byte{1}, l.commitAt)
	if err == nil && l.opt.Sync {
		err = l.f.Sync()
	}
	l.later.Written(l.f, l.opt.Every, l.opt.Failed)
	l.end = l.off
	l.dropEnded()
	for i := range l.added {
		l.added[i].dg.Payload = nil
	}
	l.sets = append(l.sets, l.added...)
	l.forget()
	if err == nil {
		err = l.compact()
	}
	return err
}

// forget ends the transaction in memory.
func (l *Log) forget() {
	l.added, l.undone, l.commitAt = nil, nil, 0
	clear(l.ended)
}

// Rollback drops the transaction at hand.
func (l *Log) Rollback() {
	l.forget()
	l.count, l.bytes = 0, 0
	clear(l.sources)
	for i := range l.sets {
		l.account(l.sets[i].Key.Exporter.Addr(), 1, l.sets[i].size)
	}
	l.off = l.end
	_ = l.f.Truncate(l.end) // else the next transaction writes over it
}

// compact writes the file anew when most of it is of sets that wait no longer.
func (l *Log) compact() error {
	if l.end == int64(len(waitHead)) || len(l.sets) > 0 && (l.end < compactAbove || l.end < 4*l.bytes) {
		return nil
	}
	if len(l.sets) == 0 {
		l.end, l.off = int64(len(waitHead)), int64(len(waitHead))
		return l.f.Truncate(l.end)
	}
	return l.rewrite()
}

// Present writes the file anew when somebody has removed it, alone or with its
// directory: what would be written to it would be lost. There is no transaction at
// hand.
func (l *Log) Present() error {
	if _, err := os.Lstat(l.path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(l.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var err error
	if l.lock, err = disk.LockAgain(dir, l.lock); err != nil {
		return err
	}
	return l.rewrite()
}

// rewrite writes the file anew with what waits.
func (l *Log) rewrite() error {
	sets := slices.Clone(l.sets)
	for i := range sets {
		dg, err := l.Datagram(&sets[i])
		if err != nil {
			return err
		}
		sets[i].dg = dg
	}
	f, err := disk.Create(l.path)
	if err != nil {
		return err
	}
	next := &Log{f: f.File, off: int64(len(waitHead))}
	body := next.appendSets([]byte{0}, sets, next.off+recordHead)
	_, err = f.WriteAt([]byte(waitHead), 0)
	if err = errors.Join(err, next.write('T', body)); err == nil {
		_, err = f.WriteAt([]byte{1}, int64(len(waitHead))+recordHead-1)
	}
	if err == nil {
		err = f.Replace()
	}
	if err != nil {
		return errors.Join(err, f.Abandon())
	}
	for i := range sets {
		sets[i].dg.Payload = nil
	}
	old := l.f
	l.f, l.sets, l.end, l.off, l.later = f.File, sets, next.off, next.off, new(disk.LaterSync)
	return old.Close()
}

// syncDir waits for the disk to know the file's name, where the options say so.
func (l *Log) syncDir() error {
	if !l.opt.Sync || l.lock == nil {
		return nil
	}
	return l.lock.Sync()
}

// Close closes the file. What waits is in it.
func (l *Log) Close() error {
	l.unlock()
	return l.f.Close()
}

// unlock ends the lock of the directory.
func (l *Log) unlock() {
	if l.lock != nil {
		_ = l.lock.Close()
	}
}

// parseUndo reads the body of a record 'U'.
func parseUndo(body []byte) (archive.Position, bool) {
	r := varints{rest: body}
	p := archive.Position{Path: string(r.bytes()), Size: int64(r.uint())}
	return p, !r.failed && p.Size >= 0
}

// varints reads varints and what they count. What is behind the end is 0 and empty.
type varints struct {
	rest   []byte
	failed bool
}

func (r *varints) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || r.failed {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *varints) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}
