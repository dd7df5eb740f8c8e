//go:build unix

package keeper

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	firstFile    = 3           // the first inherited descriptor: the listening socket
	takePatience = time.Minute // for one step of a transfer, on a machine that is busy
	lingering    = time.Second // after the end of our half
	lingerOctets = 1 << 20
)

// orders is what a helper process is told on its standard input. Its descriptors are the
// listening socket and then the kept ones, in the order of Notes.
type orders struct {
	Path     string // of the listening socket
	Inode    uint64 // of that name: a later helper's may have taken its place
	Patience time.Duration
	Notes    [][]byte
}

// inode returns the number of the file of a name, 0 where there is none.
func inode(path string) uint64 {
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Ino)
	}
	return 0
}

// Keep starts command, a program and its arguments that call Run, and gives it the
// sockets; it keeps them for patience, for Take on the same directory. The caller has
// locked the directory, and still has its own descriptors, which it closes.
func Keep(dir string, command []string, patience time.Duration, sockets []Socket) error {
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	o := orders{Path: path, Inode: inode(path), Patience: patience}
	if err := start(l, command, &o, sockets); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func start(l *net.UnixListener, command []string, o *orders, sockets []Socket) error {
	if err := os.Chmod(o.Path, 0o600); err != nil {
		return err
	}
	listener, err := l.File()
	if err != nil {
		return err
	}
	defer listener.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Args[0] = os.Args[0] // what an administrator knows in a list of processes
	cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{"GOMAXPROCS=1"}, r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a signal for our group is not for it
	cmd.ExtraFiles = append(cmd.ExtraFiles, listener)
	for _, s := range sockets {
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.File)
		o.Notes = append(o.Notes, s.Note)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.Close()
	w.SetWriteDeadline(time.Now().Add(takePatience))
	if err := json.NewEncoder(w).Encode(o); err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return cmd.Process.Release()
}

// Run is the helper process: it reads its orders and keeps the sockets until somebody
// takes them, its time is over, or it is told to end.
func Run(stdin io.Reader) error {
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGHUP)
	var o orders
	if err := json.NewDecoder(stdin).Decode(&o); err != nil {
		return fmt.Errorf("this command is for the agent's own use: its orders cannot be read: %w", err)
	}
	var sockets []Socket
	for i, note := range o.Notes {
		sockets = append(sockets, Socket{os.NewFile(uintptr(firstFile+1+i), "kept"), note})
	}
	l, err := net.FileListener(os.NewFile(firstFile, o.Path))
	if err != nil {
		return err
	}
	defer l.Close()
	l.(*net.UnixListener).SetDeadline(time.Now().Add(o.Patience))
	go func() {
		<-end
		l.Close()
	}()
	for len(sockets) > 0 {
		c, err := l.Accept()
		if err != nil { // the time is over
			if inode(o.Path) == o.Inode {
				os.Remove(o.Path)
			}
			End(sockets)
			return nil
		}
		n := give(c.(*net.UnixConn), sockets)
		Close(sockets[:n])
		sockets = sockets[n:]
	}
	return nil
}

// give sends sockets one by one, each when the one before has arrived, and gives the
// number of those that have.
func give(c *net.UnixConn, sockets []Socket) int {
	defer c.Close()
	if err := binary.Write(c, binary.BigEndian, uint32(len(sockets))); err != nil {
		return 0
	}
	for i, s := range sockets {
		c.SetDeadline(time.Now().Add(takePatience))
		head := binary.BigEndian.AppendUint32(nil, uint32(len(s.Note)))
		rights := syscall.UnixRights(int(s.File.Fd()))
		if _, _, err := c.WriteMsgUnix(head, rights, nil); err != nil {
			return i
		}
		if len(s.Note) > 0 { // else who takes it may be gone already
			if _, err := c.Write(s.Note); err != nil {
				return i
			}
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			return i
		}
	}
	return len(sockets)
}

// Take fetches the sockets that a helper process has kept for a directory that the caller
// has locked; none when there is no such process. Behind an error are those that came
// before it. It removes the helper's name, which the helper must not: it may get to that
// only when a later one has the name.
func Take(dir string) (sockets []Socket, err error) {
	path := filepath.Join(dir, socketName)
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(takePatience))
	var n uint32
	if err := binary.Read(c, binary.BigEndian, &n); err != nil {
		return nil, err
	}
	for range min(n, maxSockets) {
		c.SetDeadline(time.Now().Add(takePatience))
		s, err := receive(c)
		if err != nil {
			return sockets, err
		}
		sockets = append(sockets, s)
		if _, err := c.Write([]byte{1}); err != nil {
			return sockets, err
		}
	}
	return sockets, os.Remove(path)
}

// receive reads one socket and its note.
func receive(c *net.UnixConn) (s Socket, err error) {
	head, rights := make([]byte, 4), make([]byte, syscall.CmsgSpace(4))
	n, m, _, _, err := c.ReadMsgUnix(head, rights)
	if err != nil {
		return s, err
	}
	files, err := descriptorsIn(rights[:m])
	if err != nil {
		return s, err
	}
	if len(files) != 1 {
		for _, fd := range files {
			syscall.Close(fd)
		}
		return s, fmt.Errorf("expected one socket with a note, got %d", len(files))
	}
	syscall.CloseOnExec(files[0])
	s.File = os.NewFile(uintptr(files[0]), "taken")
	if _, err := io.ReadFull(c, head[n:]); err == nil {
		if size := binary.BigEndian.Uint32(head); size <= maxNote {
			s.Note = make([]byte, size)
			if _, err = io.ReadFull(c, s.Note); err == nil {
				return s, nil
			}
		}
	}
	s.File.Close()
	return s, errors.New("a note is missing or too long")
}

// descriptorsIn reads the descriptors that came with a message.
func descriptorsIn(rights []byte) (files []int, err error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	for i := range messages {
		if err == nil {
			var more []int
			more, err = syscall.ParseUnixRights(&messages[i])
			files = append(files, more...)
		}
	}
	return files, err
}

// End ends connections as a server does that has nothing more to say: our half first,
// then it reads on for a second.
func End(sockets []Socket) {
	var ending sync.WaitGroup
	for _, s := range sockets {
		ending.Go(func() {
			defer s.File.Close()
			c, err := net.FileConn(s.File)
			if err != nil {
				return
			}
			defer c.Close()
			if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
				c.SetReadDeadline(time.Now().Add(lingering))
				io.CopyN(io.Discard, c, lingerOctets)
			}
		})
	}
	ending.Wait()
}
