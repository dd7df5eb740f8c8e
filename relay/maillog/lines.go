package maillog

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/flowgraf/flowgraf/relay/storage"
)

// maxLine bounds a line that is read, in octets; what is longer is cut.
const maxLine = 64 << 10

// eachLine calls fn for each line, with a line end.
func eachLine(r io.Reader, fn func(line string) error) error {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		piece, err := in.ReadSlice('\n')
		cut := errors.Is(err, bufio.ErrBufferFull)
		if len(piece) > 0 {
			line := string(bytes.TrimRight(piece, "\r\n")) + "\n"
			for cut && errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
			if err := fn(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Open opens a log file; one that is compressed with gzip, as logrotate does, is read as what
// it holds.
func Open(name string) (io.ReadCloser, error) {
	f, err := storage.Open(name)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(f)
	if magic, _ := in.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return &logFile{in, f}, nil
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &logFile{z, f}, nil
}

// logFile reads from one and closes the other.
type logFile struct {
	io.Reader
	file *os.File
}

// Close closes the file.
func (l *logFile) Close() error { return l.file.Close() }
