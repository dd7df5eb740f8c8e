//go:build !unix

package archive

import "os"

// lock opens nothing: a directory cannot be locked here.
func lock(string) (*os.File, error) { return nil, nil }

// syncDir has nothing to wait for here.
func syncDir(string) error { return nil }
