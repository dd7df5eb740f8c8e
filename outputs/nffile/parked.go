package nffile

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/flowgraf/flowgraf/plugins/disk"
)

// parkable is the medium of a Writer that can be without a descriptor for a while. It
// is opened again when it is used.
type parkable struct {
	file *os.File // nil while it is parked
	path string
	id   os.FileInfo // of the file, when it was parked
	room func() bool // of Options, may be nil
}

// NoDescriptors says whether an error is that of a process or a machine that may not
// open more files.
func NoDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// Park gives the descriptor of the file back until the file is used again. What has
// been appended stays in memory, what has been written is in the hands of the operating
// system. It is safe on a Writer that is parked or closed.
func (w *Writer) Park() error {
	p, ok := w.f.(*parkable)
	if !ok || p.file == nil {
		return nil
	}
	return p.park()
}

func (p *parkable) park() (err error) {
	if p.id, err = p.file.Stat(); err != nil {
		return err
	}
	err = p.file.Close()
	p.file = nil
	return err
}

// open returns the file, which it opens again when it is parked: the same one, for
// another of its name is not written to.
func (p *parkable) open() (*os.File, error) {
	if p.file != nil {
		return p.file, nil
	}
	f, err := disk.OpenOwn(p.path, 0, 0)
	for NoDescriptors(err) && p.room != nil && p.room() {
		f, err = disk.OpenOwn(p.path, 0, 0)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !p.is(info) {
		err = fmt.Errorf("%s: another file has taken its place while it was closed", p.path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p.file = f
	return f, nil
}

// is says whether a file is the one that was parked, as it was then: the number of one
// that has been removed may be that of the next.
func (p *parkable) is(info os.FileInfo) bool {
	return disk.Unchanged(p.id, info)
}

// Replaced says whether the file is parked and is not there any more, or not as it was.
// Such a Writer can only be abandoned.
func (w *Writer) Replaced() bool {
	p, ok := w.f.(*parkable)
	if !ok || p.file != nil {
		return false
	}
	now, err := os.Lstat(p.path)
	return err != nil || !p.is(now)
}

// ReadAt implements io.ReaderAt.
func (p *parkable) ReadAt(b []byte, off int64) (int, error) {
	f, err := p.open()
	if err != nil {
		return 0, err
	}
	return f.ReadAt(b, off)
}

// WriteAt implements io.WriterAt.
func (p *parkable) WriteAt(b []byte, off int64) (int, error) {
	f, err := p.open()
	if err != nil {
		return 0, err
	}
	return f.WriteAt(b, off)
}

// Truncate sets the size of the file.
func (p *parkable) Truncate(size int64) error {
	f, err := p.open()
	if err != nil {
		return err
	}
	return f.Truncate(size)
}

// Sync waits until what was written is on the disk.
func (p *parkable) Sync() error {
	f, err := p.open()
	if err != nil {
		return err
	}
	return f.Sync()
}

// Close closes the file for good.
func (p *parkable) Close() error {
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}
