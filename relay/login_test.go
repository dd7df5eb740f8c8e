package relay

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/flowgraf/flowgraf/relay/smtpd"
)

// certificateFiles writes the certificate of TestTLS as PEM files.
func certificateFiles(t testing.TB) (cert, key string) {
	t.Helper()
	pair, _ := certificate(t, "127.0.0.1")
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, pair, cert, key)
	return cert, key
}

// swaks logs in over STARTTLS and over TLS from the start; a wrong password is told.
func TestSwaksLogsIn(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := smtpd.Hash(string(hash))
	if err != nil {
		t.Fatal(err)
	}
	k := newSink(t, "127.0.0.1:0")
	for mode, option := range map[string]string{"starttls": "-tls", "smtps": "--tls-on-connect"} {
		opts := testOptions(t, k.addr)
		opts.Listen = []string{mode + "://127.0.0.1:0"}
		opts.TLSCert, opts.TLSKey = certificateFiles(t)
		opts.SMTPD.Users = map[string]smtpd.Verifier{"kapacitor": verifier}
		r := start(t, opts)
		for _, mechanism := range []string{"PLAIN", "LOGIN"} {
			common := []string{option, "--from", "a@example.com", "--to", "ops@example.com", "--auth", mechanism,
				"--auth-user", "kapacitor"}
			if out, err := swaks(t, r, append(common, "--auth-password", "secret")...); err != nil {
				t.Errorf("%s %s: %v\n%s", mode, mechanism, err, out)
			}
			if out, err := swaks(t, r, append(common, "--auth-password", "Secret")...); err == nil ||
				!strings.Contains(out, "535 5.7.8") {
				t.Errorf("%s %s, wrong password: %v\n%s", mode, mechanism, err, out)
			}
		}
		if out, err := swaks(t, r, option, "--from", "a@example.com", "--to", "ops@example.com"); err == nil ||
			!strings.Contains(out, "530 5.7.0") {
			t.Errorf("%s without a login: %v\n%s", mode, err, out)
		}
	}
	k.await(t, 4)
}
