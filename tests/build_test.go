package tests

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Two builds of one version, in folders of different names, are the same file; it needs
// no library and no loader, and carries the licences of what is in it.
func TestBuildIsStaticAndReproducible(t *testing.T) {
	mk := peer(t, "make")
	out, err := exec.Command("git", "-C", "..", "ls-files", "-z", "--", "*.go", "*.csv", "*.conf", "*.txt", "go.mod",
		"go.sum", "Makefile", "outputs/web").Output()
	if err != nil {
		t.Skip("this is no checkout of git")
	}
	var sums [][sha256.Size]byte
	for _, name := range []string{"one", "a folder of another length"} {
		dir := filepath.Join(t.TempDir(), name)
		for _, file := range strings.Split(strings.Trim(string(out), "\x00"), "\x00") {
			text, err := os.ReadFile(filepath.Join("..", file))
			if os.IsNotExist(err) {
				continue // removed, not yet committed
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(file)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		// The first build of a machine compiles all of Telegraf once more.
		if out, err := exec.Command(mk, "-C", dir, "build", "VERSION=v0.0.0").CombinedOutput(); err != nil {
			t.Fatalf("make build: %v\n%s", err, tail(string(out), 4000))
		}
		binary := filepath.Join(dir, "flowgraf")
		b, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sha256.Sum256(b))
		if f, err := elf.NewFile(bytes.NewReader(b)); err == nil {
			libraries, err := f.ImportedLibraries()
			if err != nil || len(libraries) > 0 || f.Section(".interp") != nil {
				t.Errorf("the binary is not static: it needs %v (%v)", libraries, err)
			}
		}
		if list := outputOf(t, binary, "licences", "--list"); !strings.Contains(list,
			"github.com/influxdata/telegraf v1") {
			t.Errorf("flowgraf licences --list:\n%s", list)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds have the checksums %x and %x", sums[0], sums[1])
	}
}
