//go:build unix && !linux

package keeper

import "os"

// Managed tells whether systemd runs this process: it does not here.
func Managed() bool { return false }

// Store gives ErrNone: there is no systemd here.
func Store([]Socket) error { return ErrNone }

// Inherited gives nothing: there is no systemd here.
func Inherited() (activated []*os.File, stored []Socket) { return nil, nil }
