//go:build unix

package main

import "syscall"

// ownProcessGroup keeps the terminal's Ctrl-C from the agent: the demo stops
// it when the exporters are silent.
func ownProcessGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
