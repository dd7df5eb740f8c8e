//go:build !unix || solaris || illumos || aix

package delivery

import "os"

// lockFile does nothing: there is no lock that mail programs agree on here.
func lockFile(*os.File) error { return nil }
