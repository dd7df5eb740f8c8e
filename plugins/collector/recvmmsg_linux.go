package collector

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many datagrams are read at once at most.
const batchSize = 64

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32 // bytes received
}

// controlSize is room for the control messages SO_TIMESTAMPNS and SO_RXQ_OVFL, in bytes.
const controlSize = 64

// maxWaited is how long a datagram may have waited in the kernel: where its time says more, the
// clock has been set meanwhile.
const maxWaited = time.Minute

// batchReader reads up to batchSize datagrams with one system call.
type batchReader struct {
	socket  *socket
	buf     []byte // maxDatagram for each; untouched pages take no memory
	msgs    [batchSize]mmsghdr
	iov     [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrInet6
	control [batchSize][controlSize]byte
	list    [batchSize]Datagram
	zones   map[uint32]string // of link-local senders, by interface
	drops   uint32            // of the socket as SO_RXQ_OVFL told last, 0 before the first

	n     int           // of the last call
	errno syscall.Errno // of the last call
}

// newBatchReader returns a reader of a socket.
func newBatchReader(s *socket) (*batchReader, error) {
	r := &batchReader{socket: s, buf: make([]byte, batchSize*maxDatagram), zones: map[uint32]string{}}
	for i := range r.msgs {
		r.iov[i].Base = &r.buf[i*maxDatagram]
		r.iov[i].SetLen(maxDatagram)
		h := &r.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iov[i]
		h.SetIovlen(1)
		h.Control = &r.control[i][0]
	}
	err := s.raw.Control(func(fd uintptr) {
		for _, option := range []int{unix.SO_RXQ_OVFL, unix.SO_TIMESTAMPNS} {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1) // what does not know it does without
		}
	})
	return r, err
}

// receive calls recvmmsg once. It does not wait, so the scheduler need not know of the call:
// where it does, its monitor looks every 20 µs who waits for how long.
func (r *batchReader) receive(fd uintptr) {
	for i := range r.msgs {
		r.msgs[i].hdr.Namelen = uint32(unsafe.Sizeof(r.names[i]))
		r.msgs[i].hdr.SetControllen(controlSize)
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), batchSize,
			unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		r.n, r.errno = int(n), errno
		return
	}
}

// readBatch waits for datagrams and returns those there are.
func (r *batchReader) readBatch() ([]Datagram, error) {
	for {
		if err := r.socket.raw.Control(r.receive); err != nil {
			return nil, net.ErrClosed
		}
		switch r.errno {
		case 0:
			return r.datagrams(), nil
		case unix.EAGAIN:
		default:
			return nil, r.errno
		}
		if err := r.socket.wait(); err != nil {
			return nil, err
		}
	}
}

// pending returns datagrams that have been received already, without waiting.
func (r *batchReader) pending() []Datagram {
	err := r.socket.raw.Control(r.receive)
	if err != nil || r.errno != 0 {
		return nil
	}
	return r.datagrams()
}

// datagrams returns what the last call has read. They were received when the kernel had
// them: they may have gathered for a while.
func (r *batchReader) datagrams() []Datagram {
	now := time.Now()
	for i := range r.n {
		m := &r.msgs[i]
		r.list[i] = Datagram{
			Exporter: r.sender(&r.names[i]),
			Received: r.received(i, now),
			Payload:  r.buf[i*maxDatagram : i*maxDatagram+int(m.n) : i*maxDatagram+int(m.n)],
		}
	}
	if r.n > 0 {
		r.overflow(r.n - 1)
	}
	return r.list[:r.n]
}

// sender returns an address, IPv4 never as IPv4-mapped IPv6.
func (r *batchReader) sender(sa *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
	if sa.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	}
	addr := netip.AddrFrom16(sa.Addr).Unmap()
	if sa.Scope_id != 0 && addr.Is6() {
		addr = addr.WithZone(r.zone(sa.Scope_id))
	}
	return netip.AddrPortFrom(addr, port)
}

// zone returns the name of an interface.
func (r *batchReader) zone(index uint32) string {
	if name, ok := r.zones[index]; ok {
		return name
	}
	name := strconv.FormatUint(uint64(index), 10)
	if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
		name = ifi.Name
	}
	r.zones[index] = name
	return name
}

// overflow reads the socket's count of drops from the control message of a
// datagram. The kernel sends it once there are any.
func (r *batchReader) overflow(i int) {
	if told := r.told(i, unix.SO_RXQ_OVFL); len(told) == 4 {
		r.drops = binary.NativeEndian.Uint32(told)
	}
}

// received returns when the kernel received a datagram, now where it does not say so.
func (r *batchReader) received(i int, now time.Time) time.Time {
	told := r.told(i, unix.SO_TIMESTAMPNS)
	if len(told) != int(unsafe.Sizeof(unix.Timespec{})) {
		return now
	}
	at := (*unix.Timespec)(unsafe.Pointer(&told[0])).Nano()
	if waited := time.Duration(now.UnixNano() - at); 0 < waited && waited < maxWaited {
		return now.Add(-waited)
	}
	return now
}

// told returns what a control message of the socket's level tells of a datagram, nil where
// there is none of that kind (cmsg(3)).
func (r *batchReader) told(i int, kind int32) []byte {
	b := r.control[i][:min(int(r.msgs[i].hdr.Controllen), controlSize)]
	for len(b) >= unix.CmsgLen(0) {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(c.Len)
		if n < unix.CmsgLen(0) || n > len(b) {
			break
		}
		if c.Level == unix.SOL_SOCKET && c.Type == kind {
			return b[unix.CmsgLen(0):n]
		}
		b = b[min(unix.CmsgSpace(n-unix.CmsgLen(0)), len(b)):]
	}
	return nil
}
