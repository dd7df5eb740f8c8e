package keeper

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// storedPrefix begins the names of our descriptors in the store of systemd, so that they
// are told from those of .socket units.
const storedPrefix = "flowgraf-"

const (
	notesSuffix    = "-notes"
	managerTimeout = 5 * time.Second
)

// Managed tells whether systemd runs this process: a helper process would be ended with
// the service, or delay its stop.
func Managed() bool {
	if pid := os.Getenv("SYSTEMD_EXEC_PID"); pid != "" {
		return pid == strconv.Itoa(os.Getpid())
	}
	return os.Getenv("NOTIFY_SOCKET") != "" || os.Getenv("INVOCATION_ID") != ""
}

// Store gives sockets to systemd's file descriptor store, where the service's next
// process finds them, see Inherited. The error wraps ErrNone when there is no store. The
// caller still has its own descriptors, which it closes.
func Store(sockets []Socket) error {
	c, err := dialManager()
	if err != nil {
		return err
	}
	defer c.Close()
	token := storedPrefix + rand.Text()[:8]
	notes := map[string][]byte{}
	for i, s := range sockets {
		name := fmt.Sprint(token, "-", i)
		notes[name] = s.Note
		if err := tellManager(c, "FDSTORE=1\nFDNAME="+name, int(s.File.Fd())); err != nil {
			return err
		}
	}
	file, err := memoryFile(notes)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := tellManager(c, "FDSTORE=1\nFDNAME="+token+notesSuffix, int(file.Fd())); err != nil {
		return err
	}
	return barrier(c)
}

func dialManager() (*net.UnixConn, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, fmt.Errorf("systemd has no file descriptor store for this service: expected "+
			"FileDescriptorStoreMax= in its unit: %w", ErrNone)
	}
	return net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
}

func tellManager(c *net.UnixConn, text string, file int) error {
	var rights []byte
	if file >= 0 {
		rights = syscall.UnixRights(file)
	}
	c.SetDeadline(time.Now().Add(managerTimeout))
	raw, err := c.SyscallConn() // package net sends no descriptors on connected datagram sockets
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(fd uintptr) (done bool) {
		sent = syscall.Sendmsg(int(fd), []byte(text), rights, nil, syscall.MSG_NOSIGNAL)
		return !errors.Is(sent, syscall.EAGAIN)
	})
	if err = errors.Join(err, sent); err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	return nil
}

// barrier waits until systemd has read all that was told before: it closes the pipe then.
func barrier(c *net.UnixConn) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = tellManager(c, "BARRIER=1", int(w.Fd()))
	w.Close()
	if err != nil {
		return err
	}
	r.SetReadDeadline(time.Now().Add(managerTimeout))
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("waiting for systemd: %w", err)
	}
	return nil
}

// memoryFile is a file without a name that holds notes.
func memoryFile(notes map[string][]byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("flowgraf", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("notes of connections: %w", err)
	}
	f := os.NewFile(uintptr(fd), "notes")
	if err := json.NewEncoder(f).Encode(notes); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Inherited gives the sockets of .socket units, which stay open as long as the process
// lives, and those that the process before has stored, which are given once and are no
// longer in the store then.
func Inherited() (activated []*os.File, stored []Socket) {
	inheritance.Lock()
	defer inheritance.Unlock()
	if !inheritance.read {
		inheritance.read = true
		inheritance.activated, inheritance.stored = inherit(activation.Files(false))
	}
	stored, inheritance.stored = inheritance.stored, nil
	return inheritance.activated, stored
}

var inheritance struct {
	sync.Mutex
	read      bool
	activated []*os.File
	stored    []Socket
}

// inherit takes inherited descriptors apart. Stored ones without a note are closed.
func inherit(files []*os.File) (activated []*os.File, stored []Socket) {
	notes := map[string][]byte{}
	var names []string
	var ours []*os.File
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), storedPrefix) {
			activated = append(activated, f)
			continue
		}
		names = append(names, f.Name())
		if !strings.HasSuffix(f.Name(), notesSuffix) {
			ours = append(ours, f)
			continue
		}
		// The process before has written it: its offset is at the end.
		json.NewDecoder(io.NewSectionReader(f, 0, maxSockets*maxNote)).Decode(&notes)
		f.Close()
	}
	for _, f := range ours {
		if note, known := notes[f.Name()]; known {
			stored = append(stored, Socket{f, note})
		} else {
			f.Close()
		}
	}
	forget(names)
	return activated, stored
}

// forget takes descriptors out of the store, which has a bound.
func forget(names []string) {
	if len(names) == 0 {
		return
	}
	c, err := dialManager()
	if err != nil {
		return
	}
	defer c.Close()
	for _, name := range names {
		if tellManager(c, "FDSTOREREMOVE=1\nFDNAME="+name, -1) != nil {
			return
		}
	}
}
