//go:build !unix || solaris || illumos || aix

package queue

import (
	"fmt"
	"os"
)

// lockSpool only opens the file: this system has no lock that ends with the
// process, so keeping two processes off one spool is left to the administrator.
func lockSpool(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spool lock: %w", err)
	}
	return f, nil
}
