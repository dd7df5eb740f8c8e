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

// keepSealed is how many closed segments may wait for their last mail. Beyond that
// the mails of the oldest get files of their own.
const keepSealed = 8

// journal is the write-ahead log: one goroutine writes what the callers of commit
// bring and answers all of them after one sync.
type journal struct {
	dir        string
	checkpoint func(ids []string) error // brings mails to the disk otherwise

	requests chan commitRequest
	done     chan struct{}

	mu        sync.Mutex // guards what follows
	current   *segment   // nil after a failure, until a new one could be made
	seq       uint64
	live      map[string]place
	sealed    []*segment // closed for writing, oldest first
	keep      int        // how many of them may stay
	closed    bool
	sealing   sync.WaitGroup
	releasing sync.Mutex // one release at a time
}

// segment is one file of the log.
type segment struct {
	seq  uint64
	file *os.File
	size int64
	live int // mails not done
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

// newJournal starts a log in an empty directory. checkpoint must bring the mails
// with these ids to the disk by other means; their segment is deleted then.
func newJournal(dir string, seq uint64, checkpoint func(ids []string) error) (*journal, error) {
	j := &journal{
		dir: dir, checkpoint: checkpoint, seq: seq,
		requests: make(chan commitRequest, 256), done: make(chan struct{}),
		live: map[string]place{}, keep: keepSealed,
	}
	if err := j.begin(); err != nil {
		return nil, err
	}
	go j.run()
	return j, nil
}

func segmentName(seq uint64) string { return fmt.Sprintf("%016x.wal", seq) }

// begin makes the next segment. The caller holds mu or is alone.
func (j *journal) begin() error {
	seq := j.seq + 1
	f, err := os.OpenFile(filepath.Join(j.dir, segmentName(seq)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("journal segment: %w", err)
	}
	if err := syncDir(j.dir); err != nil {
		f.Close()
		os.Remove(f.Name())
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

func (j *journal) run() {
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
	err = syncData(current.file)

	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.seal() // what a failed sync left is not to be trusted
		return err
	}
	for i, request := range batch {
		j.live[request.id] = places[i]
		current.live++
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

// read gives the record of a mail that the log holds; ok is false when it does not.
func (j *journal) read(id string) (record []byte, ok bool, err error) {
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

// finish writes that a mail is done. The mark is not synced: it survives a kill of
// the process, and the next commit brings it to the disk. Without the mark, when
// the disk is full, the mail is done for this process all the same, so that space
// can come free; only a crash before its segment is gone would bring it back.
func (j *journal) finish(id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	at, ok := j.live[id]
	if !ok {
		return nil // its segment is gone
	}
	err := j.ready()
	if err == nil {
		_, err = j.append(encodeDone(id))
	}
	delete(j.live, id)
	at.in.live--
	j.trim()
	return err
}

// seal ends the current segment, and has the oldest one released, beside the work,
// when too many wait. The caller holds mu.
func (j *journal) seal() {
	if j.current == nil {
		return
	}
	j.sealed = append(j.sealed, j.current)
	j.current = nil
	j.trim()
	if extra := len(j.sealed) - j.keep; extra > 0 {
		seq := j.sealed[extra-1].seq
		j.sealing.Go(func() { j.release(seq) })
	}
}

// trim deletes the oldest segments as long as all their mails are done; in their
// order, because a later one may hold the done marks of an earlier one. The caller
// holds mu.
func (j *journal) trim() {
	for len(j.sealed) > 0 && j.sealed[0].live == 0 {
		if err := os.Remove(j.sealed[0].file.Name()); err != nil {
			return // once more at the next trim, or at the next Open
		}
		j.sealed[0].file.Close()
		j.sealed = j.sealed[1:]
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
			delete(j.live, id)
			at.in.live--
		}
	}
	j.trim()
}

// close ends the log after the commits under way; its mails are brought to the
// disk and its segments deleted.
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
	j.mu.Lock()
	j.seal()
	seq := j.seq
	j.mu.Unlock()
	j.sealing.Wait()
	j.release(seq)
	for _, s := range j.sealed { // could not be released
		s.file.Close()
	}
}
