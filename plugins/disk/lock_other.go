//go:build !unix

package disk

import "os"

// Flags of os.OpenFile that there are none of here.
const nonBlocking, noFollow = 0, 0

// Lock opens nothing: a directory cannot be locked here.
func Lock(string) (*os.File, error) { return nil, nil }

// SyncDir has nothing to wait for here.
func SyncDir(string) error { return nil }
