//go:build unix

package archive

import (
	"os/exec"
	"syscall"
)

// killWithChildren lets the end of a command's time end what it has started too: a
// script's programs are not the script.
func killWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
