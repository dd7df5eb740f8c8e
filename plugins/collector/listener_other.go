//go:build !linux

package collector

import "net"

// setReadBuffer asks for a receive buffer of size bytes and returns what it got,
// as far as the system tells.
func setReadBuffer(conn *net.UDPConn, size int) int {
	for n := size; n > 0; n /= 2 {
		if conn.SetReadBuffer(n) == nil {
			return n
		}
	}
	return 0
}

// readBufferAdvice says how an administrator allows a larger buffer.
func readBufferAdvice(int) string { return "raise the system's limit for socket buffers" }

// socketDrops is not known on this system.
func socketDrops(*net.UDPConn) (uint32, bool) { return 0, false }
