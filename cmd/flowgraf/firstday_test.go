package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAdviseBuffer(t *testing.T) {
	limit := func(n int64) func() int64 { return func() int64 { return n } }
	if w := adviseBuffer(16<<20, limit(212_992)); len(w) != 1 || !strings.Contains(w[0],
		"net.core.rmem_max=16777216") {
		t.Errorf("a small limit: %q", w)
	}
	for _, n := range []int64{0, 16 << 20, 1 << 30} {
		if w := adviseBuffer(16<<20, limit(n)); w != nil {
			t.Errorf("a limit of %d: %q", n, w)
		}
	}
	if w := adviseBuffer(0, limit(1<<20)); len(w) != 1 || !strings.Contains(w[0], "net.core.rmem_max=67108864") {
		t.Errorf("the default beside a small limit: %q", w)
	}
	if w := adviseBuffer(0, limit(16<<20)); w != nil {
		t.Errorf("the default beside a fair limit: %q", w)
	}
}

func TestAdvisePort(t *testing.T) {
	for address, want := range map[string]int{"udp://:514": 1, "udp4://127.0.0.1:1023": 1, ":80": 1, "udp://:2055": 0,
		"udp://:1024": 0, "udp://:0": 0, "": 0, "udp://[::1]:99": 1} {
		if got := advisePort(address); len(got) != want {
			t.Errorf("%q: %q", address, got)
		}
	}
}

func TestAdviseSpace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	free, known := freeSpace(nearest(dir))
	if !known || free == 0 {
		t.Fatalf("free space: %d, %t", free, known)
	}
	for _, tt := range []struct {
		name       string
		size, free int64
		age        time.Duration
		want       string
	}{
		{"nothing", 0, 0, 0, "nothing is ever removed"},
		{"an age alone", 0, 0, time.Hour, "bounds no size"},
		{"too much", 1 << 60, 0, 0, "the disk fills up before"},
		{"all at once", 0, 1 << 60, 0, "emptied at once"},
		{"enough", 1, 0, 0, ""},
		{"enough free", 0, 1, 0, ""},
	} {
		got := strings.Join(adviseSpace(dir, tt.size, tt.free, tt.age), "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := nearest(filepath.Join(dir, "a/b")); got != dir {
		t.Errorf("nearest %q", got)
	}
}
