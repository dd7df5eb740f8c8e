package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startWeb starts flowgraf web with options that it is expected to refuse.
func startWeb(args ...string) error {
	cmd := newWebCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	return cmd.Execute()
}

// A store's path that leads to another file is refused as a wrong option, and the file is
// left as it is.
func TestWebStoreMistakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	const text = "alice:$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err := startWeb("--archive", t.TempDir(), "--store", path, "--listen", "127.0.0.1:0")
	if !errors.As(err, new(usageError)) || !strings.HasPrefix(err.Error(), "--store "+path+": expected a store") {
		t.Errorf("%v", err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != text {
		t.Errorf("the file is %q, %v", now, err)
	}
}
