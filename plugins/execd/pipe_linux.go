package execd

import (
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pipeBytes is what the pipe to Telegraf is made to hold: as much as Linux lets any
	// user have (/proc/sys/fs/pipe-max-size), instead of 64 KiB.
	pipeBytes = 1 << 20

	// leastPipe is the least that makes it worth to look how full the pipe is.
	leastPipe = 256 << 10

	// shortNap and longNap are how long a full pipe is left alone, the first time and at
	// most. Telegraf takes more than 10 ms for what is in half of it.
	shortNap, longNap = time.Millisecond, 8 * time.Millisecond

	// pipeWait is about how long a full pipe is looked at before a write waits in the
	// kernel, which also tells when nobody reads any more.
	pipeWait = 100 * time.Millisecond
)

// pipe is the pipe to Telegraf. Telegraf reads it a few KiB at a time, and whoever waits
// in a write is woken for each of them: two switches for seven flows, which cost more
// than the flows. So the pipe is made large, and when it is full this waits until half of
// it is free.
type pipe struct {
	to     *os.File
	conn   syscall.RawConn
	size   int        // how many bytes it holds
	unread func() int // how many are in it, all where that cannot be told
}

// widen returns what to write to Telegraf with: to itself where it is no pipe, or one that
// has to stay small.
func widen(to io.Writer) io.Writer {
	file, ok := to.(*os.File)
	if !ok {
		return to
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return to
	}
	p := &pipe{to: file, conn: conn}
	var fillErr error
	var fill int
	count := func(fd uintptr) { fill, fillErr = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }
	p.unread = func() int {
		if err := conn.Control(count); err != nil || fillErr != nil {
			return p.size
		}
		return fill
	}
	err = conn.Control(func(fd uintptr) {
		_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) // where that is too much, the size tells
		p.size, fillErr = unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0)
	})
	if err != nil || fillErr != nil || p.size < leastPipe {
		return to
	}
	return p
}

// Write writes all of b, or returns why not.
func (p *pipe) Write(b []byte) (written int, err error) {
	for written < len(b) && err == nil {
		var n int
		n, err = p.to.Write(b[written : written+p.room(len(b)-written)])
		written += n
	}
	return written, err
}

// room returns how many of n bytes are to be written now: as many as the pipe has room
// for. Where that is neither all of them nor half of the pipe, it waits first.
func (p *pipe) room(n int) int {
	free, nap := 0, shortNap
	for waited := time.Duration(0); waited < pipeWait; waited += nap {
		if free = p.size - p.unread(); free >= min(n, p.size/2) {
			return min(n, free)
		}
		time.Sleep(nap)
		nap = min(2*nap, longNap)
	}
	return min(n, max(free, 4096))
}
