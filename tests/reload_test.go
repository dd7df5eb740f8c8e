package tests

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SIGHUP takes a new configuration, and refuses a wrong one without stopping.
func TestReload(t *testing.T) {
	a := startAgent(t, t.TempDir(), agentConfig, nil)
	file := filepath.Join(a.dir, "telegraf.conf")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		a.cmd.Process.Signal(syscall.SIGHUP)
	}
	metrics := func(name string) int { return len(points(t, filepath.Join(a.dir, name), "netflow")) }

	generate(t, "--to", a.flows, "--protocol", "v9", "--count", "100", "--rate", "0")
	waitFor(t, 10*time.Second, "the first flows", func() bool { return metrics("metrics") == 100 })

	write(strings.Replace(string(good), "service_address", "service_adress", 1))
	waitFor(t, 10*time.Second, "the refusal", func() bool {
		return strings.Contains(a.out.String(), "telegraf.conf:") && strings.Contains(a.out.String(), "is refused")
	})
	generate(t, "--to", a.flows, "--protocol", "v9", "--count", "100", "--rate", "0")
	waitFor(t, 10*time.Second, "flows with the old configuration", func() bool { return metrics("metrics") == 200 })

	write(strings.Replace(string(good), "/metrics\"", "/more\"", 1))
	waitFor(t, 10*time.Second, "the reload", func() bool { return strings.Count(a.out.String(), "Starting flowgraf") == 2 && taken(a.flows) })
	generate(t, "--to", a.flows, "--protocol", "v9", "--count", "100", "--rate", "0")
	waitFor(t, 10*time.Second, "flows with the new configuration", func() bool { return metrics("more") == 100 })
	a.stop(t)
	if n := metrics("metrics"); n != 200 {
		t.Errorf("the first file has %d flows, want 200", n)
	}
}
