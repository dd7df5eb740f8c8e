//go:build unix

package queue

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// A FIFO in the place of a spool file is an error at once, or left alone, and never
// waited for.
func TestFIFO(t *testing.T) {
	for _, tt := range []struct {
		name   string
		refuse bool
	}{
		{"instance", true},
		{"lock", true},
		{"journal/0000000000000001" + segmentSuffix, true},
		{"queue/12345678-1" + mailSuffix, false},
		{"failed/12345678-1" + mailSuffix, false},
		{"held/12345678-1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, filepath.FromSlash(tt.name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), syscall.Mkfifo(path, 0o600)); err != nil {
				t.Fatal(err)
			}
			result := make(chan error, 1)
			go func() {
				q, _, err := Open(dir, monitor.New(nil, nil))
				if err == nil {
					_, failErr := q.LoadFailed("12345678-1")
					if tt.name[0] == 'f' && !errors.Is(failErr, storage.ErrNotRegular) {
						t.Errorf("reading a failed mail: %v", failErr)
					}
					q.Close()
				}
				result <- err
			}()
			select {
			case err := <-result:
				if tt.refuse != errors.Is(err, storage.ErrNotRegular) {
					t.Errorf("%v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("it waits for the FIFO's other end")
			}
		})
	}
}
