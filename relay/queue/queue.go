package queue

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// ErrLocked is wrapped when another process uses the spool.
var ErrLocked = errors.New("another process uses this spool; stop it or give this one a spool of its own")

const (
	mailSuffix = ".mail"
	tmpSuffix  = ".tmp"

	queueDir   = "queue"
	failedDir  = "failed"
	corruptDir = "corrupt"
	journalDir = "journal"
)

// Queue is an open spool. Its methods may be called from many goroutines, those
// that name the same mail not at the same time.
type Queue struct {
	dir      string
	instance string
	mon      *monitor.Monitor
	disk     disk
	lock     io.Closer
	journal  *journal

	// spilling is held while a mail gets a file of its own, or loses it: a mail
	// that the journal holds has one only once it had to wait.
	spilling sync.Mutex
	spilled  map[string]bool // has a file; guarded by spilling

	mu     sync.Mutex
	lastID int64
	held   map[string]bool
}

// Open takes the spool in dir, making it when it is not there, replays its
// journal, and gives the envelopes of the mails that wait, oldest first. The error
// wraps ErrLocked when another process has the spool.
func Open(dir string, mon *monitor.Monitor) (*Queue, []Envelope, error) {
	return openOn(realDisk{}, dir, mon)
}

func openOn(d disk, dir string, mon *monitor.Monitor) (*Queue, []Envelope, error) {
	q := &Queue{dir: dir, mon: mon, disk: d, spilled: map[string]bool{}, held: map[string]bool{}}
	for _, sub := range []string{queueDir, failedDir, corruptDir, journalDir, heldDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, nil, fmt.Errorf("spool: %w", err)
		}
	}
	lock, err := storage.Lock(filepath.Join(dir, "lock"))
	if errors.Is(err, storage.ErrLocked) {
		return nil, nil, ErrLocked
	}
	if err != nil {
		return nil, nil, fmt.Errorf("spool: %w", err)
	}
	q.lock = lock
	waiting, err := q.load()
	if err != nil {
		lock.Close()
		return nil, nil, err
	}
	return q, waiting, nil
}

func (q *Queue) load() ([]Envelope, error) {
	if err := q.loadInstance(); err != nil {
		return nil, err
	}
	found, err := q.scanMails()
	if err != nil {
		return nil, err
	}
	for id := range found {
		q.spilled[id] = true
	}
	q.journal = newJournal(q.disk, q.path(journalDir), q.checkpoint)
	if err := q.replay(found); err != nil {
		q.journal.abandon()
		return nil, err
	}
	if err := q.journal.start(); err != nil {
		q.journal.abandon()
		return nil, err
	}
	if err := q.loadHeld(found); err != nil {
		q.journal.close()
		return nil, err
	}
	if err := q.resumeIDs(found); err != nil {
		q.journal.close()
		return nil, err
	}
	waiting := make([]Envelope, 0, len(found))
	for _, env := range found {
		waiting = append(waiting, env)
	}
	slices.SortFunc(waiting, func(a, b Envelope) int {
		if c := a.Received.Compare(b.Received); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return waiting, nil
}

// resumeIDs makes sure that no id is given that a mail of this spool has, although the
// clock may have been set back.
func (q *Queue) resumeIDs(found map[string]Envelope) error {
	failed, err := q.FailedIDs()
	if err != nil {
		return err
	}
	note := func(id string) {
		_, serial, _ := strings.Cut(id, "-")
		if n, err := strconv.ParseInt(serial, 16, 64); err == nil {
			q.lastID = max(q.lastID, n)
		}
	}
	for _, id := range failed {
		note(id)
	}
	for id := range found {
		note(id)
	}
	return nil
}

func (q *Queue) path(parts ...string) string {
	return filepath.Join(append([]string{q.dir}, parts...)...)
}

// loadInstance reads or makes the name of this spool, which is how a relay knows
// its own Received fields again.
func (q *Queue) loadInstance() error {
	path := q.path("instance")
	b, err := readFile(q.disk, path)
	if name := strings.TrimSpace(string(b)); err == nil && len(name) == 8 && validID(name) {
		q.instance = name
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spool: %w", err)
	}
	var random [4]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	q.instance = hex.EncodeToString(random[:])
	return writeDurably(q.disk, path, []byte(q.instance+"\n"))
}

// scanMails reads every mail file. Temporary files are remains of mails never
// acknowledged and go; corrupt ones are set aside; others are left alone.
func (q *Queue) scanMails() (map[string]Envelope, error) {
	entries, err := q.disk.ReadDir(q.path(queueDir))
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	found := make(map[string]Envelope, len(entries))
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, tmpSuffix) {
			q.disk.Remove(q.path(queueDir, name)) // or at the next Open
			continue
		}
		id, ok := strings.CutSuffix(name, mailSuffix)
		if !ok || !validID(id) || !entry.Type().IsRegular() {
			q.mon.Warnf("spool: unknown file %q in %s is left alone", name, q.path(queueDir))
			continue
		}
		m, err := q.loadFile(id)
		if errors.Is(err, ErrCorrupt) {
			if err := q.setAside(id, err); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		found[id] = m.Envelope
	}
	return found, nil
}

func (q *Queue) setAside(id string, cause error) error {
	q.mon.Count(monitor.Corrupt, "mail")
	to := q.path(corruptDir, id+mailSuffix+"."+strconv.FormatInt(time.Now().UnixNano(), 36))
	q.mon.Errorf("spool: %v; the file is set aside as %s", cause, to)
	if err := q.disk.Rename(q.path(queueDir, id+mailSuffix), to); err != nil {
		return fmt.Errorf("setting a corrupt mail aside: %w", err)
	}
	return nil
}

// replay takes over the segments of the journal and adds to found what only they
// hold. Mails that are done, and were in files all the same, go.
func (q *Queue) replay(found map[string]Envelope) error {
	entries, err := q.disk.ReadDir(q.path(journalDir))
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	failed, err := q.FailedIDs()
	if err != nil {
		return err
	}
	done := make(map[string]bool, len(failed)) // or failed
	for _, id := range failed {
		done[id] = true
	}
	var both []string // in a file, which counts, and in the journal
	for _, entry := range entries {
		stem, ok := strings.CutSuffix(entry.Name(), segmentSuffix)
		seq, err := strconv.ParseUint(stem, 16, 64)
		if !ok || err != nil {
			continue
		}
		if err := q.replaySegment(entry.Name(), seq, found, done, &both); err != nil {
			return err
		}
	}
	for id := range done {
		if q.spilled[id] {
			if err := q.disk.Remove(q.path(queueDir, id+mailSuffix)); err != nil {
				return fmt.Errorf("spool: %w", err)
			}
			delete(q.spilled, id)
		}
		delete(found, id)
	}
	// A file may not be on the disk yet, and its segment may go from now on.
	if len(both) > 0 {
		if err := q.disk.SyncFiles(q.path(queueDir), both); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
	}
	return nil
}

// replaySegment takes over one segment. A torn end is what an interrupted commit
// leaves, whose sender was not answered: it is cut off. What cannot be read, there or
// between whole records, is kept aside.
func (q *Queue) replaySegment(
	name string, seq uint64, found map[string]Envelope, done map[string]bool, both *[]string,
) error {
	f, err := q.disk.OpenFile(q.path(journalDir, name), os.O_RDWR)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s := q.journal.adopt(seq, f)
	b, err := readAll(f)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	for offset := 0; offset < len(b); {
		good, err := scanSegment(b[offset:], func(m *Mail, at, size int) {
			switch {
			case q.spilled[m.ID]:
				*both = append(*both, m.ID+mailSuffix)
				q.journal.keepCopy(m.ID, s)
			case done[m.ID]: // failed; it may be without a mark after a kill
				q.journal.keepCopy(m.ID, s)
			default:
				found[m.ID] = cloneEnvelope(&m.Envelope)
				q.journal.restore(m.ID, place{in: s, offset: int64(offset + at), length: size})
			}
		}, func(id string) {
			done[id] = true
			q.journal.forget(id)
		})
		offset += good
		if err == nil {
			break
		}
		next := nextRecord(b[offset:])
		if err := q.keepAside(name, err, b[offset:offset+next], offset); err != nil {
			return err
		}
		if offset+next == len(b) {
			if err := errors.Join(f.Truncate(int64(offset)), f.Sync()); err != nil {
				return fmt.Errorf("spool: cutting a torn end off: %w", err)
			}
		}
		offset += next
	}
	return nil
}

// keepAside copies a part of the journal that cannot be read to the corrupt files,
// once.
func (q *Queue) keepAside(segment string, cause error, part []byte, offset int) error {
	to := q.path(corruptDir, fmt.Sprintf("%s.%d", segment, offset))
	if _, err := readFile(q.disk, to); err == nil {
		return nil
	}
	q.mon.Count(monitor.Corrupt, "journal")
	q.mon.Warnf("spool: %s: %v at offset %d; the %d octets from there are set aside as %s",
		q.path(journalDir, segment), cause, offset, len(part), to)
	return writeDurably(q.disk, to, part)
}

// cloneEnvelope gives an envelope that keeps no segment in memory.
func cloneEnvelope(env *Envelope) Envelope {
	own := *env
	own.Note = slices.Clone(env.Note)
	return own
}

// checkpoint is the journal's: these mails must no longer need it.
func (q *Queue) checkpoint(ids []string) error {
	names := make([]string, len(ids))
	var err error
	for i, id := range ids {
		names[i] = id + mailSuffix
		if err = q.spill(id); err != nil {
			break
		}
	}
	if err == nil {
		err = q.disk.SyncFiles(q.path(queueDir), names)
	}
	if err != nil {
		q.mon.Count(monitor.SpoolErrors, "checkpoint")
		q.mon.Errorf("spool: %v; the journal keeps these mails", err)
	}
	return err
}

// spill gives a mail a file of its own, not synced: the journal has it. A mail that
// is done by now gets none.
func (q *Queue) spill(id string) error {
	q.spilling.Lock()
	defer q.spilling.Unlock()
	if q.spilled[id] {
		return nil
	}
	record, ok, err := q.journal.readRecord(id)
	if err != nil || !ok {
		return err
	}
	if err := writePlain(q.disk, q.path(queueDir), id+mailSuffix, record); err != nil {
		return err
	}
	q.spilled[id] = true
	return nil
}

// unspill forgets that a mail has a file and tells whether it had. The caller holds
// spilling.
func (q *Queue) unspill(id string) bool {
	had := q.spilled[id]
	delete(q.spilled, id)
	q.dropHeld(id)
	return had
}

// Close waits for the commits under way and gives the spool up. Mails that wait
// stay for the next Open, where they are.
func (q *Queue) Close() error {
	q.journal.close()
	return q.lock.Close()
}

// Instance is the name of this spool, 8 hex digits; ids begin with it.
func (q *Queue) Instance() string { return q.instance }

// NewID gives an id that this spool has never given.
func (q *Queue) NewID() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lastID = max(q.lastID+1, time.Now().UnixNano())
	return q.instance + "-" + strconv.FormatInt(q.lastID, 16)
}

// Add puts a mail on stable storage. env.ID must come from NewID. After an error
// the mail is not in the queue; IsFull tells whether it was for want of space.
func (q *Queue) Add(env *Envelope, body []byte) error {
	if !validID(env.ID) || len(env.To) == 0 {
		return fmt.Errorf("mail %q with %d recipients: an id of this spool and at least one recipient expected",
			env.ID, len(env.To))
	}
	record, err := encodeMail(env, body)
	if err != nil {
		return err
	}
	if err := q.journal.commit(env.ID, record); err != nil {
		q.mon.Count(monitor.SpoolErrors, "commit")
		return err
	}
	q.mon.Count(monitor.Stored, env.Origin)
	return nil
}

// IsFull tells whether an error of Add or Record means that space lacks.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Load reads a waiting mail and checks it. The error wraps ErrCorrupt when its
// record is damaged, and fs.ErrNotExist when it is not there.
func (q *Queue) Load(id string) (*Mail, error) {
	q.spilling.Lock()
	spilled := q.spilled[id]
	q.spilling.Unlock()
	if !spilled {
		record, ok, err := q.journal.readRecord(id)
		if ok && err == nil {
			m, _, err := decodeMail(record)
			if err != nil {
				return nil, fmt.Errorf("journal: mail %s: %w", id, err)
			}
			return m, nil
		}
	}
	return q.loadFile(id) // also when the journal gave it up meanwhile
}

func (q *Queue) loadFile(id string) (*Mail, error) { return q.loadFrom(queueDir, id) }

func (q *Queue) loadFrom(dir, id string) (*Mail, error) {
	path := q.path(dir, id+mailSuffix)
	b, err := readFile(q.disk, path)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	m, _, err := decodeFile(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.ID != id {
		return nil, fmt.Errorf("%s: %w: holds mail %q", path, ErrCorrupt, m.ID)
	}
	return m, nil
}

// SetAside moves a waiting mail that cannot be read to the corrupt ones.
func (q *Queue) SetAside(id string, cause error) error {
	if err := q.spill(id); err != nil {
		return err
	}
	q.spilling.Lock()
	defer q.spilling.Unlock()
	if err := q.setAside(id, cause); err != nil {
		return err
	}
	q.unspill(id)
	return q.journal.finish(id)
}

// Record appends results to a waiting mail. Final ones are on stable storage when
// it returns nil; deferrals alone survive a kill, not a loss of power.
func (q *Queue) Record(id string, results []Result) error {
	if err := q.spill(id); err != nil {
		q.mon.Count(monitor.SpoolErrors, "record")
		return err
	}
	f, err := q.disk.OpenFile(q.path(queueDir, id+mailSuffix), os.O_RDWR)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	var b []byte
	final := false
	for i := range results {
		if b, err = encodeResult(b, &results[i]); err != nil {
			return err
		}
		final = final || results[i].State.Final()
	}
	offset, err := resultOffset(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	if _, err := f.WriteAt(b, offset); err != nil {
		q.mon.Count(monitor.SpoolErrors, "record")
		return fmt.Errorf("recording results: %w", errors.Join(err, f.Truncate(offset)))
	}
	if final { // f and its name, or a replay would bring it back without results
		return errors.Join(f.Sync(), q.disk.SyncDir(q.path(queueDir)))
	}
	return nil
}

// resultOffset finds the end of the last whole result, so that a torn one is
// written over.
func resultOffset(f diskFile) (int64, error) {
	head := make([]byte, headSize)
	if _, err := f.ReadAt(head, 0); err != nil {
		return 0, err
	}
	e, n, err := mailSize(head)
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	start := int64(headSize + e + n + tailSize)
	if info.Size() < start {
		return 0, errShort
	}
	tail := make([]byte, info.Size()-start)
	if _, err := f.ReadAt(tail, start); len(tail) > 0 && err != nil {
		return 0, err
	}
	good := 0
	for {
		_, size, ok := decodeResult(tail[good:])
		if !ok {
			return start + int64(good), f.Truncate(start + int64(good))
		}
		good += size
	}
}

// Remove drops a mail that is delivered to all its recipients.
func (q *Queue) Remove(id string) error {
	q.spilling.Lock()
	defer q.spilling.Unlock()
	err := q.journal.finish(id)
	if q.unspill(id) {
		err = errors.Join(err, q.disk.Remove(q.path(queueDir, id+mailSuffix)))
	}
	if err != nil {
		q.mon.Count(monitor.SpoolErrors, "remove")
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Fail moves a mail to the failed ones, durably. Its file, with all results, stays
// there for a person. After an error it still waits.
func (q *Queue) Fail(id string) error {
	err := q.spill(id)
	q.spilling.Lock()
	defer q.spilling.Unlock()
	var b []byte
	if err == nil {
		b, err = readFile(q.disk, q.path(queueDir, id+mailSuffix))
	}
	if err == nil {
		err = writeDurably(q.disk, q.path(failedDir, id+mailSuffix), b)
	}
	if err != nil {
		q.mon.Count(monitor.SpoolErrors, "fail")
		return fmt.Errorf("keeping failed mail %s aside: %w", id, err)
	}
	// From here on the failed one counts, also for the next Open.
	q.unspill(id)
	err = errors.Join(q.journal.finish(id), q.disk.Remove(q.path(queueDir, id+mailSuffix)))
	if err != nil {
		q.mon.Count(monitor.SpoolErrors, "fail")
		q.mon.Warnf("spool: failed mail %s is kept aside; taking it out of the queue: %v", id, err)
	}
	return nil
}
