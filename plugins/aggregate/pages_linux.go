package aggregate

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of Linux's huge pages on most machines.
const hugePage = 2 << 20

// wantHugePages asks for huge pages where the words are, and around them up to the next
// bounds, which is Go's heap as well. With pages of 4 kB a table of some megabytes costs a
// page fault for each as it grows, and a walk through the page tables for most look-ups.
// It is a hint: where it is not taken, nothing changes.
func wantHugePages(words []uint64) {
	at, size := uintptr(unsafe.Pointer(unsafe.SliceData(words))), uintptr(len(words))*8
	from := at &^ (hugePage - 1)
	to := (at + size + hugePage - 1) &^ (hugePage - 1)
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_HUGEPAGE)
}
