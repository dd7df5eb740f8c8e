//go:build !unix

package disk

import "os"

// Lock opens nothing: a directory cannot be locked here.
func Lock(string) (*os.File, error) { return nil, nil }

// SyncDir has nothing to wait for here.
func SyncDir(string) error { return nil }
