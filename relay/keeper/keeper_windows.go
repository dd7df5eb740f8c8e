package keeper

import (
	"io"
	"os"
	"time"
)

// Keep gives ErrNone: Windows passes no sockets on in this way.
func Keep(string, []string, time.Duration, []Socket) error { return ErrNone }

// Run gives ErrNone.
func Run(io.Reader) error { return ErrNone }

// Take gives nothing.
func Take(string) ([]Socket, error) { return nil, nil }

// End closes connections.
func End(sockets []Socket) { Close(sockets) }

// Managed tells whether systemd runs this process: it does not here.
func Managed() bool { return false }

// Store gives ErrNone.
func Store([]Socket) error { return ErrNone }

// Inherited gives nothing.
func Inherited() (activated []*os.File, stored []Socket) { return nil, nil }
