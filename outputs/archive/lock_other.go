//go:build !unix

package archive

import "os"

// Lock opens nothing: a directory cannot be locked here.
func Lock(string) (*os.File, error) { return nil, nil }

// syncDir has nothing to wait for here.
func syncDir(string) error { return nil }
