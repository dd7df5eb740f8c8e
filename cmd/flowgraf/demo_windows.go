package main

import "syscall"

// ownProcessGroup keeps the console's Ctrl-C from the agent: the demo stops it
// when the exporters are silent.
func ownProcessGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
