package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who names no file, or more than -r takes, is told what to write instead.
func TestDumpSaysHowFilesAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "Name a file with -r"},
		{[]string{"proto tcp"}, "Name a file with -r"},
		{[]string{file}, file + " is a file, where a filter is expected: name it with -r"},
		{[]string{"-r", file, file}, file + " is a file, where a filter is expected: -r reads one file"},
	} {
		cmd := newDumpCommand()
		cmd.SetArgs(c.args)
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		err := cmd.Execute()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("dump %q: %v; want %q", c.args, err, c.want)
		}
		if _, usage := err.(usageError); !usage {
			t.Errorf("dump %q: %T is no error of the command line", c.args, err)
		}
	}
	cmd := newDumpCommand()
	cmd.SetArgs([]string{"-Z", "proto tcp"})
	if err := cmd.Execute(); err != nil {
		t.Errorf("-Z needs no file: %v", err)
	}
}
