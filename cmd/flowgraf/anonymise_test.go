package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What cannot be is refused before a file is replaced: a compression has a meaning for a
// new file only.
func TestAnonymiseRefuses(t *testing.T) {
	dir, _ := replayFiles(t)
	paths, err := filepath.Glob(filepath.Join(dir, "nfcapd.2*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v: %v", paths, err)
	}
	path := paths[0]
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const key = " -K abcdefghijklmnopqrstuvwxyz012345"
	for args, want := range map[string]string{
		"-r " + path:                                      "expected a key",
		"-r " + path + " -K short":                        "key of 5 characters: expected 32",
		"-r " + path + " -K 0x12":                         "key of 4 characters: expected 32",
		"-r " + path + key + " -z zstd":                   "-z is for the new file of -w",
		"-r " + path + key + " -z gzip":                   "-z is for the new file of -w",
		"-r " + path + key + " -z gzip -w " + path + ".n": `unknown compression "gzip"`,
		"-r " + path + key + " --keep all":                "expected some of as, mac",
		key:                                               "expected -r FILE",
	} {
		err := commandError(newAnonymiseCommand(), strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %q", args, err, want)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file has changed: %v", err)
	}
}

// Who interrupts it is told so: there is no new file, and no file is replaced.
func TestAnonymiseInterrupted(t *testing.T) {
	path := flowFile(t, 100)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	to := path + ".n"
	for _, more := range [][]string{{"-w", to}, nil} {
		cmd := newAnonymiseCommand()
		cmd.SetContext(ctx)
		err := commandError(cmd, append([]string{"-r", path, "-K", "12345678901234567890123456789012"}, more...)...)
		if err == nil || !strings.HasPrefix(err.Error(), "interrupted, ") {
			t.Errorf("%q: %v", more, err)
		}
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("there is a new file")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file has changed: %v", err)
	}
}
