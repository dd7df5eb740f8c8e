package aggregate

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of Linux's huge pages on most machines.
const hugePage = 2 << 20

// WantHugePages asks for huge pages where some values are, and around them up to the next
// bounds, which is Go's heap as well. With pages of 4 kB a table of some megabytes costs a
// page fault for each as it grows, and a walk through the page tables for most look-ups.
// It is a hint: where it is not taken, nothing changes.
func WantHugePages[T any](values []T) {
	var value T
	at, size := uintptr(unsafe.Pointer(unsafe.SliceData(values))), uintptr(len(values))*unsafe.Sizeof(value)
	from := at &^ (hugePage - 1)
	to := (at + size + hugePage - 1) &^ (hugePage - 1)
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_HUGEPAGE)
}
