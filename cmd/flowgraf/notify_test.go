//go:build unix

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A service manager hears that the agent is ready, reloads, is alive, and stops.
func TestServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	hear := func() string {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	notifyReady("inputs netflow")
	if got := hear(); got != "READY=1\nSTATUS=inputs netflow" {
		t.Errorf("ready: %q", got)
	}
	notifyReloading()
	if got := hear(); !strings.HasPrefix(got, "RELOADING=1") {
		t.Errorf("reloading: %q", got)
	}
	notifyStopping()
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("stopping: %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	feedWatchdog(ctx)
	for range 3 {
		if got := hear(); got != "WATCHDOG=1" {
			t.Errorf("alive: %q", got)
		}
	}
}
