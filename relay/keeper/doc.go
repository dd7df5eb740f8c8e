// Package keeper lets sockets outlive the process that has them, for the moment between
// the stop of an agent and its next start. Their peers notice nothing: what they send
// meanwhile waits in the kernel.
//
// There are two ways. Under systemd its file descriptor store takes the sockets
// (sd_notify(3), FDSTORE=1) and gives them to the service's next process
// (sd_listen_fds(3)). Elsewhere a helper process has them: Keep starts it, Run is what
// it does, and Take fetches the sockets from it, through a Unix socket in a directory
// that only one user can enter. The helper ends when it has given them away, or after a
// time; then it ends its half of each connection and reads on for a moment, so that the
// peers meet an end, and no reset.
//
// The package carries sockets, and for each a note of its owner. It knows no protocol.
package keeper

import (
	"errors"
	"os"
)

// Socket is a socket and what its owner wants to remember of it.
type Socket struct {
	File *os.File
	Note []byte
}

const (
	maxNote    = 64 << 10 // octets
	maxSockets = 10_000
	socketName = "connections"
)

// ErrNone is wrapped when there is nothing to keep sockets in.
var ErrNone = errors.New("sockets cannot be kept")

// Close closes sockets.
func Close(sockets []Socket) {
	for _, s := range sockets {
		s.File.Close()
	}
}
