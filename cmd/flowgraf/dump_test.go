package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commandError gives the error of a command line.
func commandError(cmd *cobra.Command, args ...string) error {
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	return cmd.Execute()
}

// A command line that lacks something says what, in the words of the usage line.
func TestCommandsSayWhatTheyExpect(t *testing.T) {
	for _, c := range []struct {
		cmd  *cobra.Command
		args []string
		want string
	}{
		{newVerifyCommand(), nil, "expected files or directories to verify, got 0 arguments"},
		{newSalvageCommand(), nil, "expected one FILE to salvage"},
		{newSalvageCommand(), []string{"a"}, "expected -w NEWFILE"},
		{newRelayCommand(), []string{"import-exim", "a", "b"}, "expected one FILE, as /etc/exim4/"},
		{newGenerateCommand(), nil, "expected --to HOST:PORT"},
		{newGenerateCommand(), []string{"--to", "127.0.0.1:9", "--duration", "-1s"}, "--duration is -1s: expected"},
		{newDemoCommand(), []string{"--duration", "-1s"}, "--duration is -1s: expected"},
	} {
		if err := commandError(c.cmd, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v; want %q", c.cmd.Name(), c.args, err, c.want)
		}
	}
}

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
		err := commandError(newDumpCommand(), c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("dump %q: %v; want %q", c.args, err, c.want)
		}
	}
	if err := commandError(newDumpCommand(), "-Z", "proto tcp"); err != nil {
		t.Errorf("-Z needs no file: %v", err)
	}
}

// A value that is no number is told in words, for every command.
func TestFlagsSayWhatTheyExpect(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"dump -r a -n x", `-n is "x": expected a whole number`},
		{"dump -r a -n 99999999999999999999", `-n is "99999999999999999999": expected a whole number, not so large`},
		{"replay -r a -p -1", `-p is "-1": expected a whole number from 0`},
		{"replay -r a -z fast", `-z is "fast": expected a number`},
		{"dump -r a --current=perhaps", `--current is "perhaps": expected true or false`},
		{"dump -r a --aggregate-by=", "-A: expected keys"},
	} {
		err := commandError(newRootCommand(), strings.Fields(c.args)...)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", c.args, err, c.want)
		}
	}
}
