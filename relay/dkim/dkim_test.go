package dkim

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/flowgraf/flowgraf/relay/storage"
)

func keyFile(t testing.TB, key any) string {
	t.Helper()
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// record is the DNS record of a key.
func record(t testing.TB, key crypto.Signer) string {
	t.Helper()
	if public, ok := key.Public().(ed25519.PublicKey); ok {
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	}
	b, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(b)
}

const message = "Received: x\r\nFrom: Ops <ops@db1.example.com>\r\nTo: a@example.net\r\nSubject: disk  full\r\n" +
	"Date: Tue, 14 Nov 2023 22:13:21 +0000\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n\r\nhello\r\n.\r\n"

func TestSignedMailsVerify(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey, "Ed25519": edKey} {
		t.Run(name, func(t *testing.T) {
			s, err := New("example.com", "mail", keyFile(t, key))
			if err != nil {
				t.Fatal(err)
			}
			signed, err := s.Sign([]byte(message))
			if err != nil || !bytes.HasSuffix(signed, []byte(message)) {
				t.Fatalf("%v: %q", err, signed)
			}
			verify := func(mail string) error {
				found, err := dkim.VerifyWithOptions(strings.NewReader(mail), &dkim.VerifyOptions{
					LookupTXT: func(name string) ([]string, error) {
						if name != "mail._domainkey.example.com" {
							t.Errorf("asks for %q", name)
						}
						return []string{record(t, key)}, nil
					},
				})
				if err != nil || len(found) != 1 {
					t.Fatalf("%d signatures, %v", len(found), err)
				}
				return found[0].Err
			}
			if err := verify(string(signed)); err != nil {
				t.Errorf("the signature is not good: %v\n%s", err, signed)
			}
			for _, change := range [][2]string{
				{"disk  full", "disk empty"}, {"hello", "Hello"}, {"Received: x\r\n", "From: b@example.com\r\n"},
				{"Received: x\r\n", "Subject: other\r\n"}, {"Received: x\r\n", "Date: now\r\n"},
				{"Received: x\r\n", "To: b@example.net\r\n"},
			} {
				if verify(strings.Replace(string(signed), change[0], change[1], 1)) == nil {
					t.Errorf("good although %q became %q", change[0], change[1])
				}
			}
		})
	}
}

func TestOthersAreNotSigned(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	s, err := New("example.com", "mail", keyFile(t, key))
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"From: a@example.net\r\n", "From: a@notexample.com\r\n",
		"From: a@example.com, b@example.net\r\n", "From: none\r\n", ""} {
		in := []byte(from + "Subject: x\r\n\r\n")
		if out, err := s.Sign(in); err != nil || !bytes.Equal(in, out) {
			t.Errorf("%q is signed: %q, %v", from, out, err)
		}
	}
	var none *Signer
	if out, err := none.Sign([]byte("x")); err != nil || string(out) != "x" {
		t.Error("without a key something changes")
	}
	if out, err := s.Sign([]byte("no header")); err == nil || string(out) != "no header" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestNewRefuses(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	good := keyFile(t, key)
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	text := filepath.Join(t.TempDir(), "text")
	os.WriteFile(text, []byte("key"), 0o600)
	if _, err := New("example.com", "mail", keyFile(t, small)); err != nil {
		t.Errorf("a key of 1024 bits: %v", err)
	}
	for _, tt := range [][4]string{
		{"a b", "mail", good, "dkim_domain"}, {"example.com", "", good, "dkim_selector"},
		{"example.com", "a b", good, "dkim_selector"},
		{"example.com", "mail", "nosuch", "dkim_key"}, {"example.com", "mail", text, "dkim_key"},
		{"example.com", "mail", keyFile(t, curve), "dkim_key"},
	} {
		if _, err := New(tt[0], tt[1], tt[2]); err == nil || !strings.Contains(err.Error(), tt[3]) {
			t.Errorf("%q: error %v", tt, err)
		}
	}
}

// FuzzSign signs arbitrary messages; what comes out ends with what came in.
func FuzzSign(f *testing.F) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	s, err := New("example.com", "mail", keyFile(f, key))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(message))
	f.Add([]byte("From: a@example.com\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, _ := s.Sign(b); !bytes.HasSuffix(out, b) {
			t.Fatalf("%q became %q", b, out)
		}
	})
}

// A directory or a device in the place of the key is an error at once.
func TestKeyIsAFile(t *testing.T) {
	for _, name := range []string{t.TempDir(), "/dev/zero"} {
		if _, err := New("example.com", "mail", name); !errors.Is(err, storage.ErrNotRegular) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
