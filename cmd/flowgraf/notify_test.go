//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/outputs"
)

// serviceManager makes the socket of one, and returns what gives the next message to it.
func serviceManager(t *testing.T) (hear func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// A service manager hears that the agent is ready, reloads, is alive, and stops.
func TestServiceManagerIsTold(t *testing.T) {
	hear := serviceManager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
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

// opening is an input and an output that tell when they are opened.
type opening struct{ idle }

func (opening) Start(telegraf.Accumulator) error { return opened("input") }
func (opening) Stop()                            {}
func (opening) Connect() error                   { return opened("output") }
func (opening) Close() error                     { return nil }
func (opening) Write([]telegraf.Metric) error    { return nil }

func opened(what string) error {
	_, err := daemon.SdNotify(false, "OPENED="+what)
	return err
}

func init() {
	inputs.Add("opening", func() telegraf.Input { return &opening{} })
	outputs.Add("opening", func() telegraf.Output { return &opening{} })
}

// agentOf returns an agent of a configuration.
func agentOf(t *testing.T, text string) *agentOptions {
	t.Helper()
	file := filepath.Join(t.TempDir(), "telegraf.conf")
	if err := os.WriteFile(file, []byte("[agent]\n  quiet = true\n  omit_hostname = true\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &agentOptions{config: []string{file}}
}

// READY comes when outputs are connected and ports are open, whatever their order in the
// file, and before that nobody waits for systemctl start in vain.
func TestReadyWhenAllIsOpen(t *testing.T) {
	hear := serviceManager(t)
	a := agentOf(t, "[[inputs.opening]]\n[[inputs.netflow]]\n  service_address = \"udp4://127.0.0.1:0\"\n"+
		"[[inputs.opening]]\n[[outputs.opening]]\n")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.runUntilStopped(ctx) }()
	for _, want := range []string{"OPENED=output", "OPENED=input", "OPENED=input",
		"READY=1\nSTATUS=inputs netflow opening (2x); outputs opening"} {
		if got := hear(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	cancel()
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("got %q at the end", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// An agent whose port is taken fails, and was never ready.
func TestNotReadyWhenAPortIsTaken(t *testing.T) {
	hear := serviceManager(t)
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	err = agentOf(t, fmt.Sprintf("[[inputs.netflow]]\n  service_address = \"udp4://%s\"\n[[outputs.opening]]\n",
		taken.LocalAddr())).runUntilStopped(t.Context())
	if err == nil || !strings.Contains(err.Error(), "address already in use") || errors.As(err, new(usageError)) {
		t.Errorf("got %v, want an error of exit code 1 that tells of the address", err)
	}
	if _, err := daemon.SdNotify(false, "END"); err != nil {
		t.Fatal(err)
	}
	if first, second := hear(), hear(); first != "OPENED=output" || second != "END" {
		t.Errorf("got %q and %q, want nothing between the output and the end", first, second)
	}
}
