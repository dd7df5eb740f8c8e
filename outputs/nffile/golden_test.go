package nffile

import (
	"os/exec"
	"strings"
	"testing"
)

// nfdump runs nfdump and returns what it printed on both channels. The test is
// skipped where nfdump is not installed.
func nfdump(t testing.TB, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("nfdump")
	if err != nil {
		t.Skip("nfdump is not installed")
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(cmd.Environ(), "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nfdump %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestNfdumpReads(t *testing.T) {
	for _, c := range []Compression{None, LZ4} {
		path := writePlain(t, 20000, Options{Compression: c, Ident: "edge1"})
		t.Log(nfdump(t, "-r", path, "-o", "line", "-c", "3"))
		t.Log(nfdump(t, "-I", "-r", path))
		t.Log(nfdump(t, "-v", path))
		t.Log(nfdump(t, "-E", path))
		t.Log(nfdump(t, "-r", path, "-s", "srcas", "-n", "3"))
	}
}
