package collector

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a UDP socket in blocking mode. It is not a net.UDPConn because the
// runtime's poller watches those: every datagram would wake a thread, also while
// nobody waits for it.
type socket struct {
	file *os.File
	raw  syscall.RawConn
	wake *os.File // an eventfd, readable once interrupt was called
}

// newSocket takes over conn, which is closed in any case.
func newSocket(conn *net.UDPConn) (*socket, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dupErr error
	if err := raw.Control(func(c uintptr) {
		if fd, dupErr = unix.FcntlInt(c, unix.F_DUPFD_CLOEXEC, 0); dupErr == nil {
			dupErr = unix.SetNonblock(fd, false) // a blocking os.File stays outside of the poller
		}
	}); err != nil {
		return nil, err
	}
	if fd < 0 {
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	s := &socket{file: os.NewFile(uintptr(fd), "udp socket")}
	if dupErr != nil {
		_ = s.file.Close()
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		_ = s.file.Close()
		return nil, os.NewSyscallError("eventfd", err)
	}
	s.wake = os.NewFile(uintptr(wake), "eventfd")
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// interrupt ends the waiting of wait, now and from now on.
func (s *socket) interrupt() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = s.wake.Write(one[:])
}

// close closes the socket, whose reader has ended.
func (s *socket) close() {
	_ = s.file.Close()
	_ = s.wake.Close()
}

// wait returns when there is something to read. It returns
// os.ErrDeadlineExceeded after interrupt.
func (s *socket) wait() error {
	var waitErr error
	err := s.raw.Control(func(fd uintptr) {
		fds := [2]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(s.wake.Fd()), Events: unix.POLLIN}}
		for {
			_, waitErr = unix.Poll(fds[:], -1)
			if waitErr != unix.EINTR {
				break
			}
		}
		if waitErr == nil && fds[1].Revents != 0 {
			waitErr = os.ErrDeadlineExceeded
		}
	})
	if err != nil {
		return net.ErrClosed
	}
	return waitErr
}

// setReadBuffer asks for a receive buffer of size bytes, past the system's limit
// where the process may, and returns what it got.
func (s *socket) setReadBuffer(size int) int {
	granted := 0
	_ = s.raw.Control(func(fd uintptr) {
		so := int(fd)
		if unix.SetsockoptInt(so, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
			_ = unix.SetsockoptInt(so, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
		}
		// The kernel doubles the size for its own bookkeeping.
		if n, err := unix.GetsockoptInt(so, unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil {
			granted = n / 2
		}
	})
	return granted
}

// readBufferAdvice says how an administrator allows a larger buffer.
func readBufferAdvice(size int) string {
	return fmt.Sprintf("allow it with 'sysctl -w net.core.rmem_max=%d'", size)
}

// The words of SO_MEMINFO: bytes that the receive buffer holds and may hold, with the kernel's
// bookkeeping, and the count of dropped datagrams.
const (
	memInfoHeld  = 0
	memInfoSize  = 1
	memInfoDrops = 8
)

// memInfo returns what the kernel tells of the socket's memory. It does not wait, so the
// scheduler need not know of the call.
func (s *socket) memInfo() (info [memInfoDrops + 1]uint32, ok bool) {
	size := uint32(unsafe.Sizeof(info))
	var errno unix.Errno
	err := s.raw.Control(func(fd uintptr) {
		_, _, errno = unix.RawSyscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	return info, err == nil && errno == 0 && size == uint32(unsafe.Sizeof(info))
}

// drops returns the count of datagrams that the kernel dropped, which
// wraps at 32 bits.
func (s *socket) drops() (uint32, bool) {
	info, ok := s.memInfo()
	return info[memInfoDrops], ok
}

// held returns how many bytes the receive buffer holds, and how many it may hold, both with
// the kernel's bookkeeping; 0 where that is not known.
func (s *socket) held() (held, size int) {
	info, ok := s.memInfo()
	if !ok {
		return 0, 0
	}
	return int(info[memInfoHeld]), int(info[memInfoSize])
}
