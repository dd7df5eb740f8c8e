package web

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// store keeps the statistics of files from one run to the next, in a bbolt data base: a
// bucket for each archive, in which a directory below it leads to the records of its files.
// It holds nothing that is not in the files, so it may be removed; a record counts only as
// long as its file has that size and that time of change. nil keeps nothing.
type store struct {
	path   string
	bucket []byte
	logf   func(string, ...any)

	mu       sync.Mutex  // of each transaction
	db       *bbolt.DB   // nil when it could not be replaced, or is closed
	file     *os.File    // that db has open
	replaced atomic.Bool // the store has been replaced: what it had has to be put into it again
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
const storeFormat = "files 4 "

// oldProfiles is the earlier format whose values are taken over.
const oldProfiles = "profiles 1 "

var oldFormats = []string{"files 1 ", "files 2 ", "files 3 ", "matches 1 ", "matches 2 ", oldProfiles}

// storeMark is the sequence of each bucket, which is of no other use: a store is known by it,
// whatever has become of the rest.
const storeMark = 0x9b1ff10ac6a8d35e

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

// openStore opens the store for an archive, and makes it when there is none. One that is damaged
// is set aside, which is logged, and what of it is right is kept. A file that is something else
// is left as it is: ErrNotStore.
func openStore(path, archive string, logf func(string, ...any)) (*store, error) {
	s := &store{path: path, bucket: []byte(storeFormat + archive), logf: logf}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	err := s.open()
	if found := (*damage)(nil); errors.As(err, &found) {
		err = s.replace(found)
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	s.replaced.Store(false) // nobody knows more than what it has
	return s, nil
}

// begin makes the bucket, and removes those that earlier versions made for the archive; its
// profiles are kept.
func (s *store) begin(tx *bbolt.Tx) error {
	for _, format := range oldFormats {
		name := s.named(format)
		old := tx.Bucket(name)
		if old == nil {
			continue
		}
		if format == oldProfiles {
			if err := s.adopt(tx, old); err != nil {
				return err
			}
		}
		if err := tx.DeleteBucket(name); err != nil {
			return err
		}
	}
	_, err := marked(tx, s.bucket)
	return err
}

// adopt takes the profiles of an earlier version.
func (s *store) adopt(tx *bbolt.Tx, old *bbolt.Bucket) error {
	b, err := marked(tx, s.named(profileBucket))
	if err != nil {
		return err
	}
	return old.ForEach(func(k, v []byte) error { return putSealed(b, s.named(profileBucket), k, v) })
}

// marked returns a bucket, which it makes when there is none: with a number by which it is
// known as one of a store, whatever has become of its name.
func marked(tx *bbolt.Tx, name []byte) (*bbolt.Bucket, error) {
	b, err := tx.CreateBucketIfNotExists(name)
	if err == nil && b.Sequence() != storeMark {
		err = b.SetSequence(storeMark)
	}
	return b, err
}

// A value ends with a sum of its bucket's name, its key and itself.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(bucket, key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, bucket)
	sum = crc32.Update(sum, castagnoli, []byte{0})
	sum = crc32.Update(sum, castagnoli, key)
	sum = crc32.Update(sum, castagnoli, []byte{0})
	return crc32.Update(sum, castagnoli, value)
}

// putSealed puts a value with its sum.
func putSealed(b *bbolt.Bucket, bucket, key, value []byte) error {
	return b.Put(key, binary.LittleEndian.AppendUint32(bytes.Clone(value), sumOf(bucket, key, value)))
}

// unsealed returns a value without its sum, false when that is wrong.
func unsealed(bucket, key, sealed []byte) ([]byte, bool) {
	n := len(sealed) - 4
	if n < 0 || binary.LittleEndian.Uint32(sealed[n:]) != sumOf(bucket, key, sealed[:n]) {
		return nil, false
	}
	return sealed[:n:n], true
}

// summed says whether the values of a bucket have sums.
func summed(bucket []byte) bool {
	return slices.ContainsFunc([]string{storeFormat, profileBucket, countedBucket}, func(format string) bool {
		return bytes.HasPrefix(bucket, []byte(format))
	})
}

// each calls fn for all records, directory by directory: "." is the archive's own. It begins
// anew, with a call of begin, when the store had to be replaced meanwhile.
func (s *store) each(begin func(), fn func(dir string, r *stored)) error {
	return s.all(storeFormat, begin, func(dir string, v []byte) {
		var r stored
		for rest, ok := r.next(v); ok; rest, ok = r.next(rest) {
			fn(dir, &r)
		}
	})
}

// change sets the records of directories; those without any are removed.
func (s *store) change(dirs map[string][]stored) error { return s.putRecords(storeFormat, dirs) }

// putRecords sets records by keys of a bucket.
func (s *store) putRecords(bucket string, records map[string][]stored) error {
	if s == nil || len(records) == 0 {
		return nil
	}
	values := make(map[string][]byte, len(records))
	for key, files := range records {
		var v []byte
		for i := range files {
			v = files[i].append(v)
		}
		values[key] = v
	}
	if err := s.putAll(bucket, values); !errors.Is(err, errNoStore) {
		return err
	}
	return nil // it has been told once
}

// The other buckets of an archive: profiles by name, in JSON; and what filters match of its
// files, in records as above, by the filter's id, a space and the directory.
const (
	profileBucket = "profiles 2 "
	countedBucket = "matches 3 "
)

// named returns the name of a bucket of the archive.
func (s *store) named(bucket string) []byte {
	return append([]byte(bucket), s.bucket[len(storeFormat):]...)
}

// putAll sets values by their keys, nil removes one.
func (s *store) putAll(bucket string, values map[string][]byte) error {
	name := s.named(bucket)
	return s.transact(true, func(tx *bbolt.Tx) error {
		b, err := marked(tx, name)
		if err != nil {
			return err
		}
		for key, value := range values {
			if value == nil {
				err = b.Delete([]byte(key))
			} else {
				err = putSealed(b, name, []byte(key), value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// put sets a value, nil removes it.
func (s *store) put(bucket, key string, value []byte) error {
	return s.putAll(bucket, map[string][]byte{key: value})
}

// all calls fn for all values. It begins anew, with a call of begin, when the store had to be
// replaced meanwhile.
func (s *store) all(bucket string, begin func(), fn func(key string, value []byte)) error {
	if s == nil {
		return nil
	}
	name := s.named(bucket)
	return s.transact(false, func(tx *bbolt.Tx) error {
		begin()
		b := tx.Bucket(name)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			plain, ok := unsealed(name, k, v)
			if !ok {
				return &damage{fmt.Errorf("the value of %.60q has a wrong sum", k)}
			}
			fn(string(k), plain)
			return nil
		})
	})
}

// countedKey is the key of what a filter matches of a directory's files.
func countedKey(id, dir string) string { return id + " " + dir }

// eachCounted calls fn for all that filters match, and begins anew as each does.
func (s *store) eachCounted(begin func(), fn func(id, dir string, r *stored)) error {
	return s.all(countedBucket, begin, func(key string, v []byte) {
		id, dir, _ := strings.Cut(key, " ")
		var r stored
		for rest, ok := r.next(v); ok; rest, ok = r.next(rest) {
			fn(id, dir, &r)
		}
	})
}

// dropCounted removes what a filter matches.
func (s *store) dropCounted(id string) error {
	return s.transact(true, func(tx *bbolt.Tx) error {
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
