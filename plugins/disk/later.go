package disk

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// LaterSync lets what is written to a file be on the disk some time after, however
// often it is written to. It is for one file.
type LaterSync struct{ pending atomic.Bool }

// Written says that the file has been written to. Failed is called, from another
// goroutine, when it could not be written to the disk; a file that is closed by then
// is nobody's concern.
func (l *LaterSync) Written(f *os.File, after time.Duration, failed func(error)) {
	if after <= 0 || !l.pending.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(after, func() {
		l.pending.Store(false)
		if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
			failed(err)
		}
	})
}
