package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command says what it does, and shows how it is used.
func TestEveryCommandTeaches(t *testing.T) {
	root := newRootCommand()
	eachCommand(root, func(c *cobra.Command) {
		if c == root || c.Hidden {
			return
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: its line in the list is %q", c.CommandPath(), c.Short)
		}
		if c.Runnable() && !strings.Contains(c.Example, "flowgraf ") {
			t.Errorf("%s has no examples", c.CommandPath())
		}
	})
}

// The man pages of all commands are what man reads without complaint, and have in them
// what --help says.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if err := writeMan(dir); err != nil {
		t.Fatal(err)
	}
	man, lookErr := exec.LookPath("man")
	shown := 0 // man takes long for each
	eachCommand(newRootCommand(), func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		page := filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			return
		}
		if len(text) < 300 || !strings.Contains(string(text), ".TH ") {
			t.Errorf("%s has %d bytes", page, len(text))
		}
		if lookErr != nil || len(text) < 3500 || shown == 4 {
			return
		}
		shown++
		cmd := exec.Command(man, "--warnings=w", "-l", page)
		cmd.Env = append(os.Environ(), "MANWIDTH=80", "LC_ALL=C.UTF-8")
		var complaints strings.Builder
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil || complaints.Len() > 0 || !strings.Contains(string(out), "flowgraf") {
			t.Errorf("man %s: %v %s", page, err, complaints.String())
		}
	})
}

// What Markdown would change, man pages show as it is.
func TestManPagesKeepTheText(t *testing.T) {
	dir := t.TempDir()
	if err := writeMan(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "flowgraf-dump.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nfcapd.current.*", "in_snmp", "element[:p][/order...]"} {
		if !strings.Contains(strings.ReplaceAll(string(text), `\`, ""), want) {
			t.Errorf("%q is not in the page of dump", want)
		}
	}
}
