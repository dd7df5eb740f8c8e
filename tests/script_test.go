package tests

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The command line, as testdata/script/*.txtar use it: a new case is a new file.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(flowgraf)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("TZ", "UTC")
			udp, tcp := freePort(t, "udp"), freePort(t, "tcp")
			env.Setenv("UDP", udp)
			env.Setenv("TCP", tcp)
			return nil
		},
	})
}
