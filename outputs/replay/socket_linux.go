package replay

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// allowForeign lets a socket have any address as its own: IP_TRANSPARENT, for which the
// process needs CAP_NET_ADMIN or CAP_NET_RAW. IP_FREEBIND alone takes the address and
// finds no route from it.
func allowForeign(c syscall.RawConn, six bool) error {
	var err error
	level, option := unix.IPPROTO_IP, unix.IP_TRANSPARENT
	if six {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT
	}
	if controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), level, option, 1)
	}); controlErr != nil {
		return controlErr
	}
	if err != nil {
		return fmt.Errorf("to send from another's address, the process needs CAP_NET_RAW: %w", err)
	}
	return nil
}
