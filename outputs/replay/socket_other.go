//go:build !linux

package replay

import (
	"errors"
	"syscall"
)

// allowForeign refuses: only Linux is known to send from another's address.
func allowForeign(syscall.RawConn, bool) error {
	return errors.New("only Linux sends from another's address")
}
