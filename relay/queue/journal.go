package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// segmentSize is the size in octets from which a segment is closed.
const segmentSize = 32 << 20

// keepSealed is how many closed segments, in octets, may be kept for what waits in
// them, besides twice what waits. Beyond that the mails of the oldest get files of
// their own, so that few mails do not keep many segments.
const keepSealed = 8 * segmentSize

const segmentSuffix = ".wal"

// journal is the write-ahead log: one goroutine writes what the callers of commit
// bring and answers all of them after one sync.
type journal struct {
	disk       disk
	dir        string
	checkpoint func(ids []string) error // brings mails to the disk otherwise

	requests chan commitRequest
	done     chan struct{}

	mu        sync.Mutex // guards what follows
	current   *segment   // nil after a failure, until a new one could be made
	seq       uint64
	live      map[string]place
	copies    map[string]*segment // who has a mail's record although the mail no longer needs it
	unmarked  []string            // mails that are done, while there was no space to say so
	sealed    []*segment          // closed for writing, oldest first
	kept      int64               // octets of them
	waiting   int64               // octets of mails not done
	keep      int64               // see keepSealed
	closed    bool
	sealing   sync.WaitGroup
	releasing sync.Mutex // one release at a time
}

// segment is one file of the log.
type segment struct {
	seq  uint64
	file diskFile
	size int64
	live int  // mails that need it
	gone bool // deleted
}

// place is where the log has a mail.
type place struct {
	in     *segment
	offset int64
	length int
}

type commitRequest struct {
	id     string
	record []byte
	result chan error
}

var errClosed = errors.New("the spool is closed")

// newJournal makes a log; it takes over what adopt and restore bring, and begins with
// start. checkpoint must bring the mails with these ids to the disk by other means;
// their segment is deleted then.
func newJournal(d disk, dir string, checkpoint func(ids []string) error) *journal {
	return &journal{
		disk: d, dir: dir, checkpoint: checkpoint,
		requests: make(chan commitRequest, 256), done: make(chan struct{}),
		live: map[string]place{}, copies: map[string]*segment{}, keep: keepSealed,
	}
}

// adopt takes over a segment of an earlier process, in their order, before start.
func (j *journal) adopt(seq uint64, f diskFile) *segment {
	s := &segment{seq: seq, file: f}
	if info, err := f.Stat(); err == nil {
		s.size = info.Size()
	}
	j.sealed, j.seq = append(j.sealed, s), max(j.seq, seq)
	j.kept += s.size
	return s
}

// restore says that a mail waits in an adopted segment. The caller holds mu or is
// alone.
func (j *journal) restore(id string, at place) {
	j.live[id] = at
	at.in.live++
	j.waiting += int64(at.length)
}

// keepCopy says that a segment has the record of a mail that does not need it: the
// mail has a file of its own. As long as the segment is there, the end of the mail must
// be marked all the same, or the next Open would find it again. The caller holds mu or
// is alone.
func (j *journal) keepCopy(id string, in *segment) {
	j.forget(id)
	j.copies[id] = in
}

// forget says that a mail no longer needs the log. The caller holds mu or is alone.
func (j *journal) forget(id string) {
	delete(j.copies, id)
	if at, ok := j.live[id]; ok {
		delete(j.live, id)
		at.in.live--
		j.waiting -= int64(at.length)
	}
}

// start begins to write. Adopted segments that no mail needs go.
func (j *journal) start() error {
	if err := j.begin(); err != nil {
		return err
	}
	j.trim()
	go j.writeRecords()
	return nil
}

// abandon closes a log that was not started.
func (j *journal) abandon() {
	for _, s := range j.sealed {
		s.file.Close()
	}
}

func segmentName(seq uint64) string { return fmt.Sprintf("%016x", seq) + segmentSuffix }

// begin makes the next segment. The caller holds mu or is alone.
func (j *journal) begin() error {
	seq := j.seq + 1
	f, err := j.disk.OpenFile(filepath.Join(j.dir, segmentName(seq)), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("journal segment: %w", err)
	}
	if err := j.disk.SyncDir(j.dir); err != nil {
		f.Close()
		if removeErr := j.disk.Remove(f.Name()); removeErr != nil {
			j.seq = seq // the next one needs another name
			err = errors.Join(err, removeErr)
		}
		return err
	}
	j.current, j.seq = &segment{seq: seq, file: f}, seq
	return nil
}

// commit puts a record on stable storage. It may be called from many goroutines.
func (j *journal) commit(id string, record []byte) error {
	result := make(chan error, 1)
	select {
	case j.requests <- commitRequest{id, record, result}:
	case <-j.done:
		return errClosed
	}
	select {
	case err := <-result:
		return err
	case <-j.done:
	}
	select { // the last batch answers before done is closed
	case err := <-result:
		return err
	default:
		return errClosed
	}
}

func (j *journal) writeRecords() {
	defer close(j.done)
	batch := make([]commitRequest, 0, 256)
	for request := range j.requests {
		if request.result == nil {
			return
		}
		batch = append(batch[:0], request)
		for len(batch) < cap(batch) && len(j.requests) > 0 {
			request = <-j.requests
			if request.result == nil {
				j.answer(batch)
				return
			}
			batch = append(batch, request)
		}
		j.answer(batch)
	}
}

func (j *journal) answer(batch []commitRequest) {
	err := j.write(batch)
	for _, request := range batch {
		request.result <- err
	}
}

func (j *journal) write(batch []commitRequest) error {
	places, current, err := j.appendAll(batch)
	if err != nil {
		return err
	}
	err = current.file.Sync()

	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.seal() // what a failed sync left is not to be trusted
		return err
	}
	for i, request := range batch {
		j.restore(request.id, places[i])
	}
	if current.size >= segmentSize {
		j.seal()
	}
	return nil
}

// appendAll writes the records of a batch, or none of them. When space lacks, a
// segment is begun anew: the old one may have none but done mails and go.
func (j *journal) appendAll(batch []commitRequest) ([]place, *segment, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if err := j.ready(); err != nil {
			return nil, nil, err
		}
		current, start := j.current, j.current.size
		places, err := j.tryAppend(batch)
		if err == nil {
			return places, current, nil
		}
		if err := current.file.Truncate(start); err != nil {
			j.seal()
			return nil, nil, fmt.Errorf("journal: %w", err)
		}
		current.size = start
		if start == 0 {
			return nil, nil, err
		}
		j.seal()
	}
}

func (j *journal) tryAppend(batch []commitRequest) ([]place, error) {
	places := make([]place, len(batch))
	for i, request := range batch {
		at, err := j.append(request.record)
		if err != nil {
			return nil, err
		}
		places[i] = at
	}
	return places, nil
}

// ready makes sure that there is a segment to write to. The caller holds mu.
func (j *journal) ready() error {
	if j.current != nil {
		return nil
	}
	return j.begin()
}

// append writes a record at the end; what a failure leaves there is written over or
// cut off. The caller holds mu.
func (j *journal) append(record []byte) (place, error) {
	s := j.current
	if _, err := s.file.WriteAt(record, s.size); err != nil {
		return place{}, fmt.Errorf("writing the journal: %w", err)
	}
	at := place{in: s, offset: s.size, length: len(record)}
	s.size += int64(len(record))
	return at, nil
}

// readRecord gives the record of a mail that the log holds; ok is false when it does not.
func (j *journal) readRecord(id string) (record []byte, ok bool, err error) {
	j.mu.Lock()
	at, ok := j.live[id]
	j.mu.Unlock()
	if !ok {
		return nil, false, nil
	}
	record = make([]byte, at.length)
	if _, err := at.in.file.ReadAt(record, at.offset); err != nil {
		return nil, true, fmt.Errorf("reading the journal: %w", err)
	}
	return record, true, nil
}

// finish writes that a mail is done, when a segment has its record. The mark is not
// synced: it survives a kill of the process, and the next commit brings it to the disk.
// Without the mark, when the disk is full, the mail is done for this process all the
// same, so that space can come free; the mark is written as soon as there is space, and
// only a crash before that would bring the mail back.
func (j *journal) finish(id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if in := j.segmentOf(id); in == nil || in.gone {
		delete(j.copies, id)
		return nil
	}
	j.unmarked = append(j.unmarked, id)
	j.forget(id)
	err := j.mark()
	j.trim()
	return err
}

// segmentOf gives the segment that has a mail's record, nil when there is none. The
// caller holds mu.
func (j *journal) segmentOf(id string) *segment {
	if at, ok := j.live[id]; ok {
		return at.in
	}
	return j.copies[id]
}

// mark writes the marks that are missing. The caller holds mu.
func (j *journal) mark() error {
	for len(j.unmarked) > 0 {
		if err := j.ready(); err != nil {
			return err
		}
		if _, err := j.append(encodeDone(j.unmarked[0])); err != nil {
			return err
		}
		j.unmarked = j.unmarked[1:]
	}
	j.unmarked = nil
	return nil
}

// seal ends the current segment, and has the oldest one released, beside the work,
// when too many wait. The caller holds mu.
func (j *journal) seal() {
	if j.current == nil {
		return
	}
	j.sealed = append(j.sealed, j.current)
	j.kept += j.current.size
	j.current = nil
	j.trim()
	extra, seq := j.kept-j.keep-2*j.waiting, uint64(0)
	for _, s := range j.sealed {
		if extra <= 0 {
			break
		}
		extra, seq = extra-s.size, s.seq
	}
	if seq > 0 {
		j.sealing.Go(func() { j.release(seq) })
	}
}

// trim deletes the oldest segments as long as all their mails are done; in their
// order, because a later one may hold the done marks of an earlier one. The caller
// holds mu.
func (j *journal) trim() {
	for len(j.sealed) > 0 && j.sealed[0].live == 0 {
		if err := j.disk.Remove(j.sealed[0].file.Name()); err != nil {
			return // once more at the next trim, or at the next Open
		}
		j.sealed[0].file.Close()
		j.sealed[0].gone = true
		j.kept -= j.sealed[0].size
		j.sealed = j.sealed[1:]
	}
	if len(j.sealed) == 0 && j.current == nil {
		j.unmarked = nil // no segment has a record
	}
}

// release brings the mails of all segments up to seq to the disk, so that these
// segments can go. When that fails they stay for the next release or the next Open.
func (j *journal) release(seq uint64) {
	j.releasing.Lock()
	defer j.releasing.Unlock()
	j.mu.Lock()
	var ids []string
	for id, at := range j.live {
		if at.in.seq <= seq {
			ids = append(ids, id)
		}
	}
	j.mu.Unlock()
	if j.checkpoint(ids) != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range ids {
		if at, ok := j.live[id]; ok {
			j.keepCopy(id, at.in)
		}
	}
	j.trim()
}

// close ends the log after the commits under way. Its mails stay in their segments for
// the next start; segments that no mail needs go.
func (j *journal) close() {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return
	}
	j.closed = true
	j.mu.Unlock()
	j.requests <- commitRequest{}
	<-j.done
	j.sealing.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mark() // what fails here costs a second delivery, as a kill does
	if j.current != nil {
		j.current.file.Sync() // done marks; a lost one costs a second delivery
		j.sealed = append(j.sealed, j.current)
		j.current = nil
	}
	j.trim()
	for _, s := range j.sealed {
		s.file.Close()
	}
}
