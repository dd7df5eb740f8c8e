package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// archiveOf makes files of an archive, a day apart, the newest today.
func archiveOf(t *testing.T, days int, now time.Time) string {
	t.Helper()
	dir := t.TempDir()
	for i := range days {
		name := "nfcapd." + now.Add(-24*time.Hour*time.Duration(i)).Format("200601021504")
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 100_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// filesIn returns how many flow files are left.
func filesIn(dir string) int {
	files, _ := filepath.Glob(filepath.Join(dir, "nfcapd.2*"))
	return len(files)
}

// Limits are those of the command line, else those that were set with -u; without any
// nothing is removed.
func TestExpire(t *testing.T) {
	now := time.Now().Truncate(time.Minute)
	dir := archiveOf(t, 10, now)
	var out bytes.Buffer
	run := func(o expireOptions) error {
		out.Reset()
		return o.expireFlows(&out, now)
	}
	if err := run(expireOptions{expire: dir}); err == nil || !strings.Contains(err.Error(), "has no limits") {
		t.Errorf("without limits: %v", err)
	}
	if err := run(expireOptions{expire: dir, lifetime: "7d"}); err != nil || filesIn(dir) != 8 {
		t.Errorf("7 days: %v, %d files are left\n%s", err, filesIn(dir), &out)
	}
	if err := run(expireOptions{update: dir, lifetime: "120H", watermark: 90}); err != nil || filesIn(dir) != 8 {
		t.Errorf("-u: %v, %d files are left", err, filesIn(dir))
	}
	if err := run(expireOptions{expire: dir}); err != nil || filesIn(dir) != 6 {
		t.Errorf("limits of the directory: %v, %d files are left", err, filesIn(dir))
	}
	status, err := os.ReadFile(filepath.Join(dir, statusName))
	if err != nil || !strings.Contains(string(status), "numfiles=6\nlifetime=432000\nwatermark=90\n") {
		t.Errorf("%v\n%s", err, status)
	}
	if err := run(expireOptions{list: dir}); err != nil || !strings.Contains(out.String(), "Numfiles:  6\n") ||
		!strings.Contains(out.String(), "Max Life:  432000 = 5.0 days\n") {
		t.Errorf("-l: %v\n%s", err, &out)
	}
	for _, o := range []expireOptions{{expire: dir, size: "many"}, {expire: dir, lifetime: "1y"},
		{expire: dir, size: "-1"}, {expire: dir, size: "1G", watermark: 101},
		{expire: filepath.Join(dir, "none"), size: "1G"}} {
		if err := run(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// TestParseScaled: the sizes and times of nfexpire.
func TestParseScaled(t *testing.T) {
	now := time.Now().Truncate(time.Minute)
	for text, want := range map[string]int64{"100": 100, "1k": 1 << 10, "1.5M": 3 << 19, "2GB": 2 << 30, "1T": 1 << 40,
		"7B": 7} {
		dir := archiveOf(t, 1, now)
		o := expireOptions{update: dir, size: text}
		if err := o.expireFlows(&bytes.Buffer{}, now); err != nil {
			t.Fatal(err)
		}
		if s, err := readStatus(dir); err != nil || s.limits.Size != want {
			t.Errorf("%s: %d, %v", text, s.limits.Size, err)
		}
	}
}

// nfexpire of nfdump reads the limits and counts that are set here, and the other way
// round.
func TestExpireAndNfexpire(t *testing.T) {
	nfexpire, err := exec.LookPath("nfexpire")
	if err != nil {
		t.Skip("nfexpire is not installed")
	}
	now := time.Now().Truncate(time.Minute)
	dir := archiveOf(t, 5, now)
	o := expireOptions{update: dir, size: "1G", lifetime: "3w"}
	if err := o.expireFlows(&bytes.Buffer{}, now); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(nfexpire, "-l", dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Numfiles:  5\n") ||
		!strings.Contains(string(out), "Max Size:  1073741824 = 1.0 GB\n") ||
		!strings.Contains(string(out), "1814400") {
		t.Errorf("nfexpire -l: %v\n%s", err, out)
	}
	if out, err := exec.Command(nfexpire, "-u", dir, "-t", "2d").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s, err := readStatus(dir)
	if err != nil || s.limits.Age != 48*time.Hour || s.limits.Size != 1<<30 {
		t.Errorf("%+v, %v", s, err)
	}
}
