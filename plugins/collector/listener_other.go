//go:build !linux

package collector

import (
	"net"
	"net/netip"
	"time"
)

// batchSize is how many datagrams are read at once.
const batchSize = 1

// socket is a UDP socket.
type socket struct{ conn *net.UDPConn }

// newSocket takes over conn.
func newSocket(conn *net.UDPConn) (*socket, error) { return &socket{conn}, nil }

// interrupt ends the waiting of a reader, now and from now on.
func (s *socket) interrupt() {
	if s.conn.SetReadDeadline(time.Unix(1, 0)) != nil {
		_ = s.conn.Close()
	}
}

// close closes the socket.
func (s *socket) close() { _ = s.conn.Close() }

// batchReader reads one datagram at a time.
type batchReader struct {
	conn  *net.UDPConn
	buf   []byte
	list  [1]Datagram
	drops uint32 // not known
}

// newBatchReader returns a reader of a socket.
func newBatchReader(s *socket) (*batchReader, error) {
	return &batchReader{conn: s.conn, buf: make([]byte, maxDatagram)}, nil
}

// readBatch waits for a datagram.
func (r *batchReader) readBatch() ([]Datagram, error) {
	n, from, err := r.conn.ReadFromUDPAddrPort(r.buf)
	if err != nil {
		return nil, err
	}
	r.list[0] = Datagram{
		Exporter: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()),
		Received: time.Now(),
		Payload:  r.buf[:n],
	}
	return r.list[:], nil
}

// pending returns a datagram that has been received already, if there is one.
func (r *batchReader) pending() []Datagram {
	if r.conn.SetReadDeadline(time.Now().Add(10*time.Millisecond)) != nil {
		return nil
	}
	list, _ := r.readBatch()
	return list
}

// setReadBuffer asks for a receive buffer of size bytes and returns what it got,
// as far as the system tells.
func (s *socket) setReadBuffer(size int) int {
	for n := size; n > 0; n /= 2 {
		if s.conn.SetReadBuffer(n) == nil {
			return n
		}
	}
	return 0
}

// readBufferAdvice says how an administrator allows a larger buffer.
func readBufferAdvice(int) string { return "raise the system's limit for socket buffers" }

// drops is not known on this system.
func (*socket) drops() (uint32, bool) { return 0, false }

// held is not known on this system.
func (*socket) held() (held, size int) { return 0, 0 }
