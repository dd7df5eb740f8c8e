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

// journal is the write-ahead log: one goroutine writes what the callers of commit
// bring and answers all of them after one sync.
type journal struct {
	dir        string
	checkpoint func(ids []string) error // brings mails to the disk otherwise

	requests chan commitRequest
	done     chan struct{}

	mu      sync.Mutex // guards what follows
	file    *os.File   // nil after a failure, until a new segment could be made
	size    int64
	seq     uint64
	live    map[string]uint64 // id to the segment that holds it
	sealed  []uint64          // closed segments that still exist
	closed  bool
	sealing sync.WaitGroup
	sealMu  sync.Mutex // one checkpoint at a time
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
		live: map[string]uint64{},
	}
	if err := j.open(); err != nil {
		return nil, err
	}
	go j.run()
	return j, nil
}

func segmentName(seq uint64) string { return fmt.Sprintf("%016x.wal", seq) }

// open begins the next segment. The caller holds mu or is alone.
func (j *journal) open() error {
	seq := j.seq + 1
	f, err := os.OpenFile(filepath.Join(j.dir, segmentName(seq)), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("journal segment: %w", err)
	}
	if err := syncDir(j.dir); err != nil {
		f.Close()
		os.Remove(f.Name())
		return err
	}
	j.file, j.size, j.seq = f, 0, seq
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
	j.mu.Lock()
	if j.file == nil {
		if err := j.open(); err != nil {
			j.mu.Unlock()
			return err
		}
	}
	var err error
	for _, request := range batch {
		if err = j.append(request.record); err != nil {
			break
		}
		j.live[request.id] = j.seq
	}
	f := j.file
	j.mu.Unlock()
	if err == nil {
		err = syncData(f)
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		for _, request := range batch {
			delete(j.live, request.id)
		}
		j.seal() // what a failed sync left is not to be trusted
		return err
	}
	if j.size >= segmentSize {
		j.seal()
	}
	return nil
}

// append writes a record, or nothing: a part of one is cut off again.
func (j *journal) append(record []byte) error {
	n, err := j.file.Write(record)
	if err == nil {
		j.size += int64(n)
		return nil
	}
	return errors.Join(fmt.Errorf("writing the journal: %w", err), j.file.Truncate(j.size))
}

// finish writes that a mail is done. The mark is not synced: it survives a kill of
// the process, and the next commit brings it to the disk.
func (j *journal) finish(id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.live[id]; !ok {
		return nil // its segment is gone
	}
	if j.file == nil {
		if err := j.open(); err != nil {
			return err
		}
	}
	if err := j.append(encodeDone(id)); err != nil {
		return err
	}
	delete(j.live, id)
	return nil
}

// seal closes the current segment and, beside the work, brings the mails that
// still wait to the disk and deletes it. The caller holds mu.
func (j *journal) seal() {
	j.file.Close()
	j.file = nil
	j.sealed = append(j.sealed, j.seq)
	seq := j.seq
	j.sealing.Go(func() { j.release(seq) })
}

// release brings the mails of all segments up to seq to the disk and deletes these
// segments, together, because a later one may hold the done marks of an earlier
// one. When that fails they stay for the next release or the next Open.
func (j *journal) release(seq uint64) {
	j.sealMu.Lock()
	defer j.sealMu.Unlock()
	j.mu.Lock()
	var ids []string
	for id, s := range j.live {
		if s <= seq {
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
		delete(j.live, id)
	}
	for len(j.sealed) > 0 && j.sealed[0] <= seq {
		if err := os.Remove(filepath.Join(j.dir, segmentName(j.sealed[0]))); err != nil {
			return
		}
		j.sealed = j.sealed[1:]
	}
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
	if j.file != nil {
		j.seal()
	}
	j.mu.Unlock()
	j.sealing.Wait()
}
