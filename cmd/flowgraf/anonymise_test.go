package main

import (
	"bytes"
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
