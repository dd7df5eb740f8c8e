package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The README of every plugin is as Telegraf's linter of READMEs wants it, that of the
// pinned version. The linter tells the kind of a plugin by its path, in which outputs/
// lies below plugins/.
func TestTelegrafsLinterAcceptsPluginReadmes(t *testing.T) {
	dir := t.TempDir()
	linter := filepath.Join(dir, "readme_linter")
	build := exec.Command("go", "build", "-o", linter, "github.com/influxdata/telegraf/tools/readme_linter")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the linter: %v\n%s", err, out)
	}
	var readmes []string
	for _, pattern := range []string{"../plugins/*/*/sample.conf", "../outputs/*/sample.conf"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range found {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(sample), "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			path := strings.TrimPrefix(filepath.Join(filepath.Dir(sample), "README.md"), "../")
			if !strings.HasPrefix(path, "plugins/") {
				path = "plugins/" + path
			}
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, path), text, 0o644); err != nil {
				t.Fatal(err)
			}
			readmes = append(readmes, path)
		}
	}
	if len(readmes) < 5 {
		t.Fatalf("only %v", readmes)
	}
	lint := exec.Command(linter, append([]string{"-quiet"}, readmes...)...)
	lint.Dir = dir
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
