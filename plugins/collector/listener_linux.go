package collector

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setReadBuffer asks for a receive buffer of size bytes, past the system's limit
// where the process may, and returns what it got.
func setReadBuffer(conn *net.UDPConn, size int) int {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	granted := 0
	_ = raw.Control(func(fd uintptr) {
		s := int(fd)
		if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
			_ = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
		}
		// The kernel doubles the size for its own bookkeeping.
		if n, err := unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil {
			granted = n / 2
		}
	})
	return granted
}

// readBufferAdvice says how an administrator allows a larger buffer.
func readBufferAdvice(size int) string {
	return fmt.Sprintf("allow it with 'sysctl -w net.core.rmem_max=%d'", size)
}

// memInfoDrops is the word of SO_MEMINFO that counts dropped datagrams.
const memInfoDrops = 8

// socketDrops returns the count of datagrams that the kernel dropped, which
// wraps at 32 bits.
func socketDrops(conn *net.UDPConn) (uint32, bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	var info [memInfoDrops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno unix.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	ok := err == nil && errno == 0 && size == uint32(unsafe.Sizeof(info))
	return info[memInfoDrops], ok
}
