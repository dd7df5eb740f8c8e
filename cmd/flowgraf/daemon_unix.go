//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"github.com/flowgraf/flowgraf/plugins/execd"
)

// startDaemon starts this program again, in the background and in a session of its own,
// and waits a moment for it to fail.
func startDaemon(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, append([]string{"nfcapd"}, args...)...)
	cmd.Env = append(os.Environ(), daemonVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil { // its streams are /dev/null
		return fmt.Errorf("starting it in the background: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return fmt.Errorf("it ended at once (%v): run it without -D to see why", err)
	case <-time.After(time.Second):
		return nil
	}
}

// dropRights gives up root's rights for those of a user and a group, for the whole
// process. What is named becomes theirs.
func dropRights(userName, groupName string, owned ...string) error {
	if userName == "" && groupName == "" {
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("-u and -g: only root may become another user")
	}
	uid, gid := -1, -1
	if userName != "" {
		u, err := user.Lookup(userName)
		if err != nil {
			return fmt.Errorf("-u: %w", err)
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	if groupName != "" {
		g, err := user.LookupGroup(groupName)
		if err != nil {
			return fmt.Errorf("-g: %w", err)
		}
		gid, _ = strconv.Atoi(g.Gid)
	}
	for _, path := range owned {
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("-g: %w", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("-g: %w", err)
	}
	if uid >= 0 {
		if err := syscall.Setuid(uid); err != nil {
			return fmt.Errorf("-u: %w", err)
		}
	}
	return nil
}

// becomeOwner gives up root's rights for those of a directory's owner, so that what is made
// in it is the owner's. Without root's rights it changes nothing.
func becomeOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !known || owner.Uid == 0 {
		return nil
	}
	return errors.Join(syscall.Setgroups([]int{int(owner.Gid)}), syscall.Setgid(int(owner.Gid)),
		syscall.Setuid(int(owner.Uid)))
}

// logToSyslog has the log go to syslog, where there is one. It returns a function that
// sends the rest.
func logToSyslog() (restore func()) {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "nfcapd")
	if err != nil {
		return func() {}
	}
	restore, err = execd.RedirectLog(execd.Input, io.Discard, levelled{w})
	if err != nil {
		return func() {}
	}
	return restore
}

// levelled writes lines that begin with Telegraf's levels.
type levelled struct{ to *syslog.Writer }

func (l levelled) Write(line []byte) (int, error) {
	text := string(line[3:])
	var err error
	switch line[0] {
	case 'E':
		err = l.to.Err(text)
	case 'W':
		err = l.to.Warning(text)
	case 'I':
		err = l.to.Info(text)
	default:
		err = l.to.Debug(text)
	}
	return len(line), err
}
