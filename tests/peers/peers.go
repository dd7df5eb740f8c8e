// Package peers finds and runs the programs of other projects that tests compare
// with: nfdump, nfcapd and the like. Where such a program is not installed, the
// test is skipped with a reason; when FLOWGRAF_PEERS=required is set, as in CI, it
// fails, so that nothing counts as seen that was not. Only tests import it.
package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Path returns the path of an installed program. Without it the test ends.
func Path(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	Missing(t, name)
	return ""
}

// Missing ends a test that needs a program which is not there.
func Missing(t testing.TB, name string) {
	t.Helper()
	if os.Getenv("FLOWGRAF_PEERS") == "required" {
		t.Fatalf("%s is not installed: run tests/packages.sh as root", name)
	}
	t.Skipf("%s is not installed (make test, as root, installs it)", name)
}

// Run runs an installed program with times in UTC and returns what it printed on
// both channels. The test ends when the program fails.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(Path(t, name), args...)
	cmd.Env = append(cmd.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Samples returns the directory of captured samples of a kind, "flows" or "nfdump",
// below $FLOWGRAF_SAMPLES. Without that variable there is no such directory.
func Samples(kind string) string {
	dir := os.Getenv("FLOWGRAF_SAMPLES")
	if dir == "" {
		dir = "/FLOWGRAF_SAMPLES is not set"
	}
	return filepath.Join(dir, kind)
}
