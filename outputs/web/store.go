package web

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// store keeps the statistics of files from one run to the next, in a bbolt data base: a
// bucket for each archive, in which a directory below it leads to the records of its files.
// It holds nothing that is not in the files, so it may be removed; a record counts only as
// long as its file has that size and that time of change. nil keeps nothing.
type store struct {
	db     *bbolt.DB
	bucket []byte
}

// stored is the record of a file: the length of its name in 2 bytes, the name, and 8 bytes
// for each number, little endian: time of change, size, then the statistics as in numbers.
type stored struct {
	name      string
	mod, size int64
	stat      nffile.Stat
	err       error // why it has none: not in the store, so that the file is read again
}

// storeFormat begins the names of the buckets; oldFormats are those of earlier versions.
const storeFormat = "files 3 "

var oldFormats = []string{"files 1 ", "files 2 ", "matches 1 "}

// recordNumbers is how many numbers a record has.
const recordNumbers = 2 + 18

// numbers lists the statistics in the order of a record.
func numbers(s *nffile.Stat) [recordNumbers - 2]*uint64 {
	f, p, b := &s.ProtoFlows, &s.ProtoPackets, &s.ProtoBytes
	return [...]*uint64{&s.Flows, &s.Packets, &s.Bytes, &f[0], &f[1], &f[2], &f[3], &p[0], &p[1], &p[2], &p[3],
		&b[0], &b[1], &b[2], &b[3], &s.First, &s.Last, &s.SequenceFailures}
}

// append appends the record to those of its directory.
func (r *stored) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.name)))
	b = append(b, r.name...)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.mod))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.size))
	for _, n := range numbers(&r.stat) {
		b = binary.LittleEndian.AppendUint64(b, *n)
	}
	return b
}

// next takes a record off those of a directory, false at the end, or where they are torn.
func (r *stored) next(b []byte) ([]byte, bool) {
	if len(b) < 2 {
		return nil, false
	}
	n := int(binary.LittleEndian.Uint16(b))
	if b = b[2:]; len(b) < n+8*recordNumbers {
		return nil, false
	}
	r.name, b = string(b[:n]), b[n:]
	r.mod, r.size = int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
	b = b[16:]
	for i, to := range numbers(&r.stat) {
		*to = binary.LittleEndian.Uint64(b[8*i:])
	}
	return b[8*(recordNumbers-2):], true
}

// lockTimeout is how long another process may hold the store.
const lockTimeout = time.Second

// openStore opens the store for an archive, and makes it when there is none, or when it is
// damaged, which is logged. A file that is something else is left as it is: ErrNotStore.
func openStore(path, archive string, logf func(string, ...any)) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	torn, err := checkStore(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	db, err := openDB(path, torn, logf)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	s := &store{db: db, bucket: []byte(storeFormat + archive)}
	if err = db.View(ours); err == nil {
		err = db.Update(s.begin)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return s, nil
}

// openDB opens a data base, or makes it anew where it is torn or damaged.
func openDB(path string, torn bool, logf func(string, ...any)) (*bbolt.DB, error) {
	opt := &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true}
	if !torn {
		db, err := bbolt.Open(path, 0o600, opt)
		if !damaged(err) {
			return db, err
		}
	}
	logf("store %s is damaged: it is made anew from the files", path)
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return bbolt.Open(path, 0o600, opt)
}

// ours fails when a data base has buckets, but none of a store.
func ours(tx *bbolt.Tx) error {
	others, own := 0, 0
	err := tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		others++
		for _, prefix := range slices.Concat(oldFormats, []string{storeFormat, profileBucket, countedBucket}) {
			if bytes.HasPrefix(name, []byte(prefix)) {
				own++
			}
		}
		return nil
	})
	if err == nil && others > 0 && own == 0 {
		return ErrNotStore
	}
	return err
}

// begin makes the bucket, and removes those that earlier versions made for the archive.
func (s *store) begin(tx *bbolt.Tx) error {
	for _, format := range oldFormats {
		name := append([]byte(format), s.bucket[len(storeFormat):]...)
		if tx.Bucket(name) == nil {
			continue
		}
		if err := tx.DeleteBucket(name); err != nil {
			return err
		}
	}
	_, err := tx.CreateBucketIfNotExists(s.bucket)
	return err
}

// damaged says whether an error is of a data base that cannot be used.
func damaged(err error) bool {
	for _, why := range []error{berrors.ErrInvalid, berrors.ErrVersionMismatch, berrors.ErrChecksum} {
		if errors.Is(err, why) {
			return true
		}
	}
	return err != nil && strings.Contains(err.Error(), "file size too small") // has no value of its own
}

// each calls fn for all records, directory by directory: "." is the archive's own.
func (s *store) each(fn func(dir string, r *stored)) error {
	if s == nil {
		return nil
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(s.bucket).ForEach(func(k, v []byte) error {
			dir := string(k)
			var r stored
			for rest, ok := r.next(v); ok; rest, ok = r.next(rest) {
				fn(dir, &r)
			}
			return nil
		})
	})
}

// change sets the records of directories; those without any are removed.
func (s *store) change(dirs map[string][]stored) error {
	if s == nil || len(dirs) == 0 {
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(s.bucket)
		for dir, files := range dirs {
			var v []byte
			for i := range files {
				v = files[i].append(v)
			}
			var err error
			if v == nil {
				err = b.Delete([]byte(dir))
			} else {
				err = b.Put([]byte(dir), v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// The other buckets of an archive: profiles by name, in JSON; and what filters match of its
// files, in records as above, by the filter's id, a space and the directory.
const (
	profileBucket = "profiles 1 "
	countedBucket = "matches 2 "
)

// named returns the name of one of these.
func (s *store) named(bucket string) []byte {
	return append([]byte(bucket), s.bucket[len(storeFormat):]...)
}

// put sets a value, nil removes it.
func (s *store) put(bucket, key string, value []byte) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(s.named(bucket))
		if err != nil {
			return err
		}
		if value == nil {
			return b.Delete([]byte(key))
		}
		return b.Put([]byte(key), value)
	})
}

// all calls fn for all values.
func (s *store) all(bucket string, fn func(key string, value []byte)) error {
	if s == nil {
		return nil
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(s.named(bucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			fn(string(k), v)
			return nil
		})
	})
}

// eachCounted calls fn for all that filters match.
func (s *store) eachCounted(fn func(id, dir string, r *stored)) error {
	return s.all(countedBucket, func(key string, v []byte) {
		id, dir, _ := strings.Cut(key, " ")
		var r stored
		for rest, ok := r.next(v); ok; rest, ok = r.next(rest) {
			fn(id, dir, &r)
		}
	})
}

// putCounted sets what a filter matches of a directory's files.
func (s *store) putCounted(id, dir string, files []stored) error {
	var v []byte
	for i := range files {
		v = files[i].append(v)
	}
	return s.put(countedBucket, id+" "+dir, v)
}

// dropCounted removes what a filter matches.
func (s *store) dropCounted(id string) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(s.named(countedBucket))
		if b == nil {
			return nil
		}
		var keys [][]byte
		c := b.Cursor()
		for k, _ := c.Seek([]byte(id + " ")); bytes.HasPrefix(k, []byte(id+" ")); k, _ = c.Next() {
			keys = append(keys, bytes.Clone(k))
		}
		for _, k := range keys {
			if err := b.Delete(k); err != nil {
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
