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

// freeSpace gives the octets that this user may still write where a directory is.
func freeSpace(dir string) (octets int64, known bool) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var available uint64
	if err := windows.GetDiskFreeSpaceEx(name, &available, nil, nil); err != nil {
		return 0, false
	}
	return int64(available), true
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
