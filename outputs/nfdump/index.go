package nfdump

import (
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/index"
)

// indexer makes the indexes of complete files, one after the other, while others are
// written. The zero value makes none.
type indexer struct {
	queue   chan string
	ended   sync.WaitGroup
	warnf   func(format string, args ...any)
	namedAt time.Time // when a file without an index was named last
}

// mostWaiting is how many files wait for their index. What does not find room has none
// until flowgraf index makes it.
const mostWaiting = 256

// start begins to take files, unless it has begun before.
func (i *indexer) start(warnf func(format string, args ...any)) {
	if i.queue != nil {
		return
	}
	i.queue, i.warnf = make(chan string, mostWaiting), warnf
	i.ended.Go(func() {
		for path := range i.queue {
			if _, err := index.Build(path); err != nil {
				i.warnf("%s has no index: %v", path, err)
			}
		}
	})
}

// addFile takes a complete file. It does not wait.
func (i *indexer) addFile(file archive.Complete) {
	path := filepath.Join(file.Dir, file.File)
	if i.queue == nil || !strings.HasPrefix(filepath.Base(path), "nfcapd.") {
		return
	}
	select {
	case i.queue <- path:
	default:
		if time.Since(i.namedAt) > time.Minute {
			i.namedAt = time.Now()
			i.warnf("%s has no index: %d files wait for theirs; flowgraf index makes it", path, mostWaiting)
		}
	}
}

// stop waits for the indexes of all files that were taken.
func (i *indexer) stop() {
	if i.queue != nil {
		close(i.queue)
		i.ended.Wait()
		i.queue = nil
	}
}
