package relay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/delivery"
)

func password(s string) func() (string, error) { return func() (string, error) { return s, nil } }

// Users log in with a password that is read anew, or with a hash, and all that is wrong
// with them is told.
func TestUsers(t *testing.T) {
	opts := testOptions(t, "127.0.0.1:1")
	opts.Auth = AuthOptional
	opts.Users = []User{{Name: "a", Password: password("s")}}
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if verify := r.opts.SMTPD.Users["a"]; verify == nil || !verify([]byte("s")) || verify([]byte("S")) {
		t.Error("the password is not told from another")
	}
	opts.Users = []User{{Name: "a"}, {Name: "b", PasswordHash: "x", Password: password("s")},
		{Name: "c", PasswordHash: "secret"}, {Password: password("s")}}
	_, err = New(opts)
	for _, want := range []string{`user "a": expected either`, `user "b": expected either`, `user "c": password hash`,
		`user "": expected a name`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// The login at smarthosts comes from where the options say.
func TestSmarthostLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwd.client")
	if err := os.WriteFile(file, []byte("mail.example.com:tim:secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		login                     Login
		user, password, mechanism string
	}{
		{},
		{Login{Username: "a", Password: password("b"), Mechanism: "auto"}, "a", "b", ""},
		{Login{PasswordFile: file, Mechanism: "cram-md5"}, "tim", "secret", "CRAM-MD5"},
		{Login{Username: "a", TokenFile: "t", Mechanism: "xoauth2"}, "a", "", "XOAUTH2"},
	} {
		opts := testOptions(t, "127.0.0.1:1")
		opts.Login = tt.login
		r, err := New(opts)
		if err != nil {
			t.Fatalf("%+v: %v", tt.login, err)
		}
		find := r.opts.Delivery.Credentials
		if (find != nil) != (tt.user != "") {
			t.Errorf("%+v: credentials %v", tt.login, find != nil)
		}
		if find == nil {
			continue
		}
		cred, err := find(delivery.Smarthost{Host: "mail.example.com"})
		if err != nil || cred.Username != tt.user || cred.Mechanism != tt.mechanism {
			t.Errorf("%+v: %+v, %v", tt.login, cred, err)
		}
		if cred.TokenFile == "" {
			if got, err := cred.Password(); err != nil || got != tt.password {
				t.Errorf("%+v: password %q, %v", tt.login, got, err)
			}
		}
	}
}

// A relay is the same only while secrets and the contents of files are the same.
func TestIdentity(t *testing.T) {
	aliases := filepath.Join(t.TempDir(), "aliases")
	write := func(text string) {
		if err := os.WriteFile(aliases, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("root: ops@example.com\n")
	opts := testOptions(t, "127.0.0.1:1")
	opts.AliasesFile, opts.Login = aliases, Login{Username: "a", Password: password("b")}
	identity := func() [32]byte {
		t.Helper()
		r, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		return r.identity()
	}
	first := identity()
	if identity() != first {
		t.Error("two relays with the same options are not the same")
	}
	opts.Login.Password = password("c")
	second := identity()
	if second == first {
		t.Error("another password makes no other relay")
	}
	write("root: noc@example.com\n")
	if identity() == second {
		t.Error("another alias in the file makes no other relay")
	}
}
