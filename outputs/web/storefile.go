package web

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"go.etcd.io/bbolt"

	"github.com/flowgraf/flowgraf/plugins/disk"
)

// ErrNotStore is the error of a store's path at which something else is: it is left as it is.
var ErrNotStore = errors.New("expected a store of flowgraf web or a file that is not there yet, got another file: " +
	"name another one")

// errNoStore is the error of a store that was damaged and could not be made anew, or is closed.
var errNoStore = errors.New("there is no store any more, as the log has said")

// lockTimeout is how long another process may hold the store.
const lockTimeout = time.Second

// lockPause is after what time a lock is tried again.
const lockPause = 50 * time.Millisecond

// setAside is what is added to the path of a damaged store.
const setAside = ".damaged"

// open looks through the file of the store, opens it and makes the archive's bucket. The error is a
// damage when there is a store that must not be used, ErrNotStore when there is something
// else, which must not be touched.
func (s *store) open() error {
	if err := s.inspect(); err != nil {
		return err
	}
	if err := s.openDB(); err != nil {
		return err
	}
	err := s.attempt(true, s.begin)
	if err != nil {
		s.abandon()
	}
	return err
}

// openDB opens the data base.
func (s *store) openDB() error {
	opt := &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			var err error
			s.file, err = os.OpenFile(name, flag, perm)
			return s.file, err
		}}
	return guarded(func() (err error) {
		s.db, err = bbolt.Open(s.path, 0o600, opt)
		return err
	})
}

// inspect looks at the file of a store while no other process has it. Without a file, and
// with an empty one, there is nothing wrong.
func (s *store) inspect() error {
	f, info, err := disk.OpenRegular(s.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case errors.Is(err, disk.ErrNotRegular):
		return ErrNotStore
	case err != nil:
		return err
	}
	defer f.Close()
	if info.Size() == 0 {
		return nil
	}
	if _, magic, _ := readMeta(f); !magic && !hasMark(f) {
		return ErrNotStore
	}
	lock := flock.New(s.path, flock.SetFlag(os.O_RDWR))
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, lockPause); err != nil {
		return fmt.Errorf("waiting for another process that has it: %w", err)
	}
	defer lock.Close()
	if info, err = f.Stat(); err != nil { // it may have grown
		return err
	}
	buckets, own := 0, 0
	p := pages{file: f, whole: true, onBucket: func(name []byte, sequence uint64) {
		if buckets++; ours(name, sequence) {
			own++
		}
	}}
	found := p.check(info.Size())
	switch {
	case buckets > 0 && own == 0 && !hasMark(f):
		return ErrNotStore
	case found != nil:
		return found
	}
	return nil
}

// hasMark says whether the mark of a store is anywhere in a file, not too far in.
func hasMark(f io.ReaderAt) bool {
	mark := binary.NativeEndian.AppendUint64(nil, storeMark)
	const most, part = 256 << 20, 1 << 20
	b := make([]byte, part+len(mark)-1)
	for at := int64(0); at < most; at += part {
		n, err := f.ReadAt(b, at)
		if bytes.Contains(b[:n], mark) {
			return true
		}
		if err != nil {
			return false
		}
	}
	return false
}

// ours says whether a bucket is one of a store.
func ours(name []byte, sequence uint64) bool {
	return sequence == storeMark || summed(name) || slices.ContainsFunc(oldFormats, func(format string) bool {
		return strings.HasPrefix(string(name), format)
	})
}

// transact runs a transaction: when the store turns out to be damaged it is replaced, and the
// transaction is run again on the new one.
func (s *store) transact(writable bool, fn func(*bbolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return errNoStore
	}
	err := s.attempt(writable, fn)
	if found := (*damage)(nil); errors.As(err, &found) {
		if err = s.replace(found); err != nil {
			s.logf("store %s is damaged and cannot be made anew, nothing is kept for the next start: %v", s.path, err)
			return errNoStore
		}
		return s.attempt(writable, fn)
	}
	return err
}

// attempt looks through the pages, as the file may have been damaged since, and runs a
// transaction.
func (s *store) attempt(writable bool, fn func(*bbolt.Tx) error) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	p := pages{file: s.file}
	if found := p.check(info.Size()); found != nil {
		return found
	}
	return guarded(func() error {
		if writable {
			return s.db.Update(fn)
		}
		return s.db.View(fn)
	})
}

// guarded calls fn: what damage makes of it, a panic of bbolt or a fault in the mapped file, is
// its error.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &damage{fmt.Errorf("%v", p)}
		}
	}()
	return fn()
}

// replace sets a damaged store aside, makes a new one, and puts into it what of the old one is
// right. Without a new one the store keeps nothing any more.
func (s *store) replace(found *damage) error {
	old, err := s.rename()
	s.abandon()
	if err != nil {
		return errors.Join(found, err)
	}
	if old != nil {
		defer old.Close()
	}
	s.logf("store %s is damaged: %v: it is set aside as %s and made anew from the files", s.path, found,
		s.path+setAside)
	if err = s.openDB(); err == nil {
		err = s.attempt(true, s.begin)
	}
	if err == nil {
		err = s.rescue(old)
	}
	if err != nil {
		s.abandon()
		return errors.Join(found, err)
	}
	s.replaced.Store(true)
	return nil
}

// rename sets the file of a store aside, in place of one that has been set aside before, and
// returns it; nil when it is gone.
func (s *store) rename() (*os.File, error) {
	f, info, err := disk.OpenRegular(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s.db != nil {
		if own, err := s.file.Stat(); err != nil || !os.SameFile(own, info) {
			return nil, errors.Join(err, f.Close(), errors.New("another file has come in its place"))
		}
	}
	if err = os.Rename(s.path, s.path+setAside); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// rescue takes what is right in a damaged store: values whose sum is.
func (s *store) rescue(old *os.File) error {
	if old == nil {
		return nil
	}
	info, err := old.Stat()
	if err != nil {
		return err
	}
	return s.attempt(true, func(tx *bbolt.Tx) (err error) {
		p := pages{file: old, whole: true, onValue: func(bucket, key, value []byte) {
			b, wrong := marked(tx, bucket)
			if wrong == nil {
				wrong = putSealed(b, bucket, key, value)
			}
			err = errors.Join(err, wrong)
		}}
		p.check(info.Size()) // it is damaged
		return err
	})
}

// abandon closes a data base that may be damaged. A lock that bbolt has kept in a panic would
// be waited for without an end: then its memory stays.
func (s *store) abandon() {
	if db := s.db; db != nil {
		s.db = nil
		go guarded(db.Close)
	}
}

// close closes the store.
func (s *store) close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	return guarded(db.Close)
}
