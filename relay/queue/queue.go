package queue

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
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
	lock     *os.File
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
	q := &Queue{dir: dir, mon: mon, spilled: map[string]bool{}, held: map[string]bool{}}
	for _, sub := range []string{queueDir, failedDir, corruptDir, journalDir, heldDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, nil, fmt.Errorf("spool: %w", err)
		}
	}
	lock, err := lockSpool(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, nil, err
	}
	q.lock = lock
	waiting, err := q.load()
	if err != nil {
		lock.Close()
		return nil, nil, err
	}
	return q, waiting, nil
}

// CheckWritable tells whether a spool could be opened in dir for writing. It leaves
// everything as it was: when dir is not there yet, the nearest directory above it
// is tried.
func CheckWritable(dir string) error {
	place, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("spool %s: %w", dir, err)
	}
	for {
		info, err := os.Stat(place)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(place) != place {
			place = filepath.Dir(place)
			continue
		}
		if err != nil {
			return fmt.Errorf("spool %s: %w", dir, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("spool %s: %s is not a directory", dir, place)
		}
		break
	}
	f, err := os.CreateTemp(place, "check-*"+tmpSuffix)
	if err != nil {
		return fmt.Errorf("spool %s is not writable: %w", dir, err)
	}
	_, err = f.WriteString("check\n")
	err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	if err != nil {
		return fmt.Errorf("spool %s is not writable: %w", dir, err)
	}
	return nil
}

func (q *Queue) load() ([]Envelope, error) {
	if err := q.loadInstance(); err != nil {
		return nil, err
	}
	found, err := q.scanMails()
	if err != nil {
		return nil, err
	}
	seq, err := q.replay(found)
	if err != nil {
		return nil, err
	}
	q.journal, err = newJournal(q.path(journalDir), seq, q.checkpoint)
	if err != nil {
		return nil, err
	}
	if err := q.loadHeld(found); err != nil {
		return nil, err
	}
	waiting := make([]Envelope, 0, len(found))
	for id, env := range found {
		waiting = append(waiting, env)
		q.spilled[id] = true
	}
	slices.SortFunc(waiting, func(a, b Envelope) int {
		if c := a.Received.Compare(b.Received); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return waiting, nil
}

func (q *Queue) path(parts ...string) string {
	return filepath.Join(append([]string{q.dir}, parts...)...)
}

// loadInstance reads or makes the name of this spool, which is how a relay knows
// its own Received fields again.
func (q *Queue) loadInstance() error {
	path := q.path("instance")
	b, err := os.ReadFile(path)
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
	return WriteFile(path, []byte(q.instance+"\n"))
}

// scanMails reads every mail file. Temporary files are remains of mails never
// acknowledged and go; corrupt ones are set aside; others are left alone.
func (q *Queue) scanMails() (map[string]Envelope, error) {
	entries, err := os.ReadDir(q.path(queueDir))
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	found := make(map[string]Envelope, len(entries))
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, tmpSuffix) {
			os.Remove(q.path(queueDir, name))
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
	if err := os.Rename(q.path(queueDir, id+mailSuffix), to); err != nil {
		return fmt.Errorf("setting a corrupt mail aside: %w", err)
	}
	return nil
}

// replay brings back what only the journal holds, adds it to found, and empties the
// journal. It gives the highest segment number seen.
func (q *Queue) replay(found map[string]Envelope) (uint64, error) {
	entries, err := os.ReadDir(q.path(journalDir))
	if err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	var seq uint64
	var segments, touched []string
	done := map[string]bool{}
	for _, pass := range []func(string) error{
		func(name string) error { return q.readSegment(name, nil, done) },
		func(name string) error {
			return q.readSegment(name, func(id string, record []byte) error {
				touched = append(touched, id+mailSuffix)
				return q.restore(id, record, found, done)
			}, nil)
		},
	} {
		segments = segments[:0]
		for _, entry := range entries {
			stem, ok := strings.CutSuffix(entry.Name(), ".wal")
			n, err := strconv.ParseUint(stem, 16, 64)
			if !ok || err != nil {
				continue
			}
			seq = max(seq, n)
			segments = append(segments, entry.Name())
			if err := pass(entry.Name()); err != nil {
				return 0, err
			}
		}
	}
	for id := range done {
		if _, ok := found[id]; ok {
			os.Remove(q.path(queueDir, id+mailSuffix))
			delete(found, id)
		}
	}
	if len(segments) == 0 {
		return seq, nil
	}
	if err := syncMany(q.path(queueDir), touched); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	for _, name := range segments {
		if err := os.Remove(q.path(journalDir, name)); err != nil {
			return 0, fmt.Errorf("spool: %w", err)
		}
	}
	return seq, syncDir(q.path(journalDir))
}

// readSegment reads one journal segment. A torn end is what an interrupted commit
// leaves, whose sender was not answered; the rest of the segment is kept aside.
func (q *Queue) readSegment(name string, mail func(string, []byte) error, done map[string]bool) error {
	path := q.path(journalDir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	var failed error
	good, err := scanSegment(b, func(id string, record []byte) {
		if mail != nil && failed == nil {
			failed = mail(id, record)
		}
	}, func(id string) {
		if done != nil {
			done[id] = true
		}
	})
	if failed != nil {
		return failed
	}
	if err == nil || mail == nil {
		return nil
	}
	q.mon.Count(monitor.Corrupt, "journal")
	q.mon.Warnf("spool: %s: %v at offset %d; the %d octets from there are set aside in %s",
		path, err, good, len(b)-good, q.path(corruptDir))
	return WriteFile(q.path(corruptDir, name), b[good:])
}

func (q *Queue) restore(id string, record []byte, found map[string]Envelope, done map[string]bool) error {
	if _, ok := found[id]; ok || done[id] {
		return nil
	}
	if _, err := os.Stat(q.path(failedDir, id+mailSuffix)); err == nil {
		return nil
	}
	m, _, err := decodeMail(record)
	if err != nil {
		return err
	}
	if err := writePlain(q.path(queueDir), id+mailSuffix, record); err != nil {
		return err
	}
	found[id] = m.Envelope
	return nil
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
		err = syncMany(q.path(queueDir), names)
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
	record, ok, err := q.journal.read(id)
	if err != nil || !ok {
		return err
	}
	if err := writePlain(q.path(queueDir), id+mailSuffix, record); err != nil {
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
// stay for the next Open.
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
// the mail is not in the queue; IsFull tells whether space is what lacks.
func (q *Queue) Add(env *Envelope, body []byte) error {
	if !validID(env.ID) || len(env.To) == 0 {
		return fmt.Errorf("mail %q with %d recipients: an id of this spool and at least one recipient expected", env.ID, len(env.To))
	}
	record, err := encodeMail(env, body)
	if err != nil {
		return err
	}
	if err := q.journal.commit(env.ID, record); err != nil {
		q.mon.Count(monitor.SpoolErrors, "commit")
		return err
	}
	q.mon.Count(monitor.Queued, env.Origin)
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
		record, ok, err := q.journal.read(id)
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
	b, err := os.ReadFile(path)
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
	f, err := os.OpenFile(q.path(queueDir, id+mailSuffix), os.O_RDWR, 0)
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
		return errors.Join(f.Sync(), syncDir(q.path(queueDir)))
	}
	return nil
}

// resultOffset finds the end of the last whole result, so that a torn one is
// written over.
func resultOffset(f *os.File) (int64, error) {
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
		err = errors.Join(err, os.Remove(q.path(queueDir, id+mailSuffix)))
	}
	if err != nil {
		q.mon.Count(monitor.SpoolErrors, "remove")
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Fail moves a mail to the failed ones, durably. Its file, with all results, stays
// there for a person.
func (q *Queue) Fail(id string) error {
	err := q.spill(id)
	q.spilling.Lock()
	defer q.spilling.Unlock()
	if err == nil {
		err = syncEach(q.path(queueDir), []string{id + mailSuffix})
	}
	if err == nil {
		err = os.Rename(q.path(queueDir, id+mailSuffix), q.path(failedDir, id+mailSuffix))
	}
	if err == nil {
		err = errors.Join(syncDir(q.path(failedDir)), syncDir(q.path(queueDir)))
	}
	if err != nil {
		q.mon.Count(monitor.SpoolErrors, "fail")
		return fmt.Errorf("keeping failed mail %s aside: %w", id, err)
	}
	q.unspill(id)
	return q.journal.finish(id)
}
