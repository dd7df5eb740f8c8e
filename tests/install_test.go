package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// make install puts binary, man pages and completions where a system looks for them,
// below DESTDIR and PREFIX alone, and make uninstall takes all of it away.
func TestMakeInstall(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	dest := filepath.Join(t.TempDir(), "package")
	run := func(target string) {
		t.Helper()
		cmd := exec.Command("make", target, "DESTDIR="+dest, "PREFIX=/opt/flow", "BINARY="+flowgraf)
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make %s: %v\n%s", target, err, out)
		}
	}
	run("install")
	prefix := filepath.Join(dest, "opt", "flow")
	for name, want := range map[string]string{
		"share/man/man1/flowgraf.1":                     ".TH ",
		"share/man/man1/flowgraf-replay.1":              "nfreplay",
		"share/man/man1/flowgraf-queue-show.1":          ".TH ",
		"share/bash-completion/completions/flowgraf":    "complete ",
		"share/zsh/site-functions/_flowgraf":            "#compdef flowgraf",
		"share/fish/vendor_completions.d/flowgraf.fish": "complete -c flowgraf",
	} {
		if text, err := os.ReadFile(filepath.Join(prefix, name)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, %d bytes, expected %q", name, err, len(text), want)
		}
	}
	installed := filepath.Join(prefix, "bin", "flowgraf")
	if out, err := exec.Command(installed, "version").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	completes(t, prefix, installed)
	run("uninstall")
	filepath.WalkDir(dest, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s is still there", path)
		}
		return err
	})
}

// completes asks bash what it makes of "flowgraf re" with the completion.
func completes(t *testing.T, prefix, installed string) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		return
	}
	script := filepath.Join(prefix, "share/bash-completion/completions/flowgraf")
	if out, err := exec.Command(bash, "-n", script).CombinedOutput(); err != nil {
		t.Errorf("the completion is no bash: %v\n%s", err, out)
	}
	out, err := exec.Command(installed, "__complete", "re").CombinedOutput()
	for _, want := range []string{"relay", "repair", "replay"} {
		if err != nil || !strings.Contains(string(out), want+"\t") {
			t.Errorf("%q is not offered: %v\n%s", want, err, out)
		}
	}
}
