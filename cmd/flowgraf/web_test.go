package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startWeb starts flowgraf web with options that it is expected to refuse.
func startWeb(warnings io.Writer, args ...string) error {
	cmd := newWebCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(warnings)
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
	err := startWeb(io.Discard, "--archive", t.TempDir(), "--store", path, "--listen", "127.0.0.1:0")
	if !errors.As(err, new(usageError)) || !strings.HasPrefix(err.Error(), "--store "+path+": expected a store") {
		t.Errorf("%v", err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != text {
		t.Errorf("the file is %q, %v", now, err)
	}
}

// What does not exist is refused at the start; of a spool, which may come later, it is told.
func TestWebOptionsMistakes(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	const line = "alice:$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW\n"
	if err := os.WriteFile(users, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "nosuch")
	for _, c := range []struct {
		args      []string
		want, log string
	}{
		{[]string{"--profiles", missing}, "--profiles: stat " + missing, ""},
		{[]string{"--profiles", users}, "--profiles: " + users + " is not a directory", ""},
		{[]string{"--users", users, "--grant", "carol=mail"}, "--grant carol: there is no such user in " + users, ""},
		{[]string{"--users", users, "--grant", "alice=mail", "--spool", missing, "--tls-cert", missing, "--tls-key",
			missing}, "--tls-cert", "--spool: stat " + missing},
	} {
		var log bytes.Buffer
		err := startWeb(&log, append(c.args, "--archive", dir, "--no-store", "--listen", "127.0.0.1:0")...)
		if !errors.As(err, new(usageError)) || !strings.HasPrefix(err.Error(), c.want) ||
			!strings.Contains(log.String(), c.log) {
			t.Errorf("%v: %v, want %q; the log has %q", c.args, err, c.want, log.String())
		}
	}
}
