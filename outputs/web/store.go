package web

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// store keeps the statistics of files from one run to the next, in a bbolt data base: a
// bucket for each archive, in which the path below it leads to a stored. It holds nothing
// that is not in the files, so it may be removed; a record counts only as long as its file
// has that size and that time of change. nil keeps nothing.
type store struct {
	db     *bbolt.DB
	bucket []byte
}

// stored is a record: 8 bytes for each number, little endian.
type stored struct {
	Mod, Size int64
	Stat      nffile.Stat
}

// storedSize is the size of a record.
var storedSize = binary.Size(stored{})

// storeFormat begins the names of the buckets.
const storeFormat = "files 1 "

// lockTimeout is how long another process may hold the store.
const lockTimeout = time.Second

// openStore opens the store for an archive, and makes it when there is none, or when it is
// no data base any more.
func openStore(path, archive string) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	opt := &bbolt.Options{Timeout: lockTimeout}
	db, err := bbolt.Open(path, 0o600, opt)
	if damaged(err) {
		if err = os.Remove(path); err == nil {
			db, err = bbolt.Open(path, 0o600, opt)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	s := &store{db: db, bucket: []byte(storeFormat + archive)}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(s.bucket)
		return err
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return s, nil
}

// damaged says whether an error is of a file that is no data base.
func damaged(err error) bool {
	if err == nil {
		return false
	}
	for _, why := range []string{"invalid database", "version mismatch", "checksum error", "file size too small"} {
		if bytes.Contains([]byte(err.Error()), []byte(why)) {
			return true
		}
	}
	return false
}

// each calls fn for all records.
func (s *store) each(fn func(name string, r stored)) error {
	if s == nil {
		return nil
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(s.bucket).ForEach(func(k, v []byte) error {
			var r stored
			if len(v) == storedSize {
				if _, err := binary.Decode(v, binary.LittleEndian, &r); err != nil {
					return err
				}
				fn(string(k), r)
			}
			return nil
		})
	})
}

// change writes records and removes others.
func (s *store) change(put map[string]stored, gone []string) error {
	if s == nil || len(put)+len(gone) == 0 {
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(s.bucket)
		for name, r := range put {
			v, err := binary.Append(nil, binary.LittleEndian, r)
			if err != nil {
				return err
			}
			if err := b.Put([]byte(name), v); err != nil {
				return err
			}
		}
		for _, name := range gone {
			if err := b.Delete([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// close closes the store.
func (s *store) close() error {
	if s == nil {
		return nil
	}
	return s.db.Close()
}
