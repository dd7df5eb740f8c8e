package main

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// promptSignals: Windows has no signals with which to ask for a collection.
var promptSignals = []os.Signal{syscall.SIGHUP}

// ownProcessGroup keeps the console's Ctrl-C from the agent: the demo stops it
// when the exporters are silent.
func ownProcessGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// cpuTime returns the CPU time of this process.
func cpuTime() (user, system time.Duration) {
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0, 0
	}
	var created, exited, kernel, in syscall.Filetime
	if err := syscall.GetProcessTimes(self, &created, &exited, &kernel, &in); err != nil {
		return 0, 0
	}
	return time.Duration(in.Nanoseconds()), time.Duration(kernel.Nanoseconds())
}

// terminalWidth returns how many columns the console of the output has, 0 when it
// does not say.
func terminalWidth() int {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(os.Stdout.Fd()), &info); err != nil {
		return 0
	}
	return int(info.Window.Right-info.Window.Left) + 1
}
