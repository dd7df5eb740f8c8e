package delivery

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

func password() (string, error) { return "tanstaaftanstaaf", nil }

// Each mechanism says what its specification says, and the mail follows only then.
func TestAuthMechanisms(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("ya29.x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const all = "250-sink\r\n250 AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2"
	for _, tt := range []struct {
		name, offers string
		cred         Credentials
		first        string // the answer to AUTH
		says         string // a word that the server must have seen as a verb
		want         int    // mails
	}{
		{"PLAIN", all, Credentials{Mechanism: "PLAIN"}, "235 ok", "AUTH", 1},
		{"refused", all, Credentials{Mechanism: "PLAIN"}, "535 no", "AUTH", 0},
		{"later", all, Credentials{}, "454 later", "AUTH", 0},
		{"LOGIN", all, Credentials{Mechanism: "LOGIN"}, "334 VXNlcm5hbWU6", encode("tim"), 0}, // 250 is no 334
		// RFC 2195's own example.
		{"CRAM-MD5", all, Credentials{Mechanism: "CRAM-MD5"},
			"334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
			"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw", 1},
		{"hidden first in plain text", all, Credentials{},
			"334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
			"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw", 1},
		{"challenge is none", all, Credentials{Mechanism: "CRAM-MD5"}, "334 ?", "AUTH", 0},
		{"XOAUTH2", all, Credentials{TokenFile: token}, "235 ok", "AUTH", 1},
		{"XOAUTH2 refused", all, Credentials{TokenFile: token}, "334 eyJzdGF0dXMiOiI0MDEifQ==", "", 0},
		{"no token", all, Credentials{TokenFile: token + "x"}, "235 ok", "EHLO", 0},
		{"not offered", "250 sink", Credentials{}, "235 ok", "EHLO", 0},
		{"other offered", "250-sink\r\n250 AUTH NTLM", Credentials{}, "235 ok", "EHLO", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cred.Username = "tim"
			if tt.cred.TokenFile == "" {
				tt.cred.Password = password
			}
			bubble(t, 1, func(o *Options) {
				o.AuthInClear = true
				o.Credentials = func(Smarthost) (*Credentials, error) { return &tt.cred, nil }
			}, func(b *bench) {
				b.servers[0].set("EHLO", tt.offers)
				b.servers[0].set("AUTH", tt.first)
				b.start()
				b.addMail("x\r\n", "x@example.com")
				time.Sleep(time.Second)
				synctest.Wait()
				b.want(tt.want, 1)
				if b.servers[0].count(tt.says) == 0 {
					t.Errorf("the server never saw %q: %v", tt.says, b.servers[0].times)
				}
				if failed := b.mon.Total(monitor.HostErrors) > 0; failed != (tt.want == 0) ||
					b.sender.Waiting() != 1-tt.want {
					t.Errorf("host errors %v, %d wait", failed, b.sender.Waiting())
				}
			})
		})
	}
}

func TestLoginDialogue(t *testing.T) {
	bubble(t, 1, func(o *Options) {
		o.AuthInClear = true
		o.Credentials = func(Smarthost) (*Credentials, error) {
			return &Credentials{Username: "tim", Password: password, Mechanism: "LOGIN"}, nil
		}
	}, func(b *bench) {
		b.servers[0].set("EHLO", "250-sink\r\n250 AUTH LOGIN")
		b.servers[0].set("AUTH", "334 VXNlcm5hbWU6")
		b.servers[0].set(encode("tim"), "334 UGFzc3dvcmQ6")
		b.servers[0].set(encode("tanstaaftanstaaf"), "235 ok")
		b.start()
		b.addMail("x\r\n", "x@example.com")
		synctest.Wait()
		b.want(1, 1)
	})
}

// A password never goes over a connection that is not encrypted and verified, and
// such a smarthost gets no mail.
func TestNoPasswordInClear(t *testing.T) {
	asked := false
	bubble(t, 1, func(o *Options) {
		o.Credentials = func(Smarthost) (*Credentials, error) {
			return &Credentials{Username: "tim", Password: func() (string, error) { asked = true; return "x", nil }},
				nil
		}
	}, func(b *bench) {
		b.servers[0].set("EHLO", "250-sink\r\n250 AUTH PLAIN CRAM-MD5")
		b.start()
		b.addMail("x\r\n", "x@example.com")
		time.Sleep(time.Second)
		synctest.Wait()
		b.want(0, 1)
		if b.servers[0].count("AUTH") != 0 || asked {
			t.Error("a login was tried")
		}
	})
}

func TestCredentialsFail(t *testing.T) {
	bubble(t, 2, func(o *Options) {
		o.AuthInClear = true
		o.Credentials = func(h Smarthost) (*Credentials, error) {
			if h.Host == "h1" {
				return nil, errors.New("the secret store is locked")
			}
			return nil, nil
		}
	}, func(b *bench) {
		b.start()
		b.addMail("x\r\n", "x@example.com")
		time.Sleep(time.Second)
		synctest.Wait()
		b.want(0, 1)
		b.want(1, 2)
	})
}

func TestReadPasswords(t *testing.T) {
	f, err := ReadPasswords(strings.NewReader("# exim's\n\nmail.example.com:tim:a:b\n*.example.net:net:n\n*:any:x\n"))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"MAIL.example.com": "tim a:b", "a.example.net": "net n", "example.net": "any x", "other": "any x",
	} {
		cred := f.Find(host)
		if cred == nil {
			t.Fatalf("%q has none", host)
		}
		p, _ := cred.Password()
		if got := cred.Username + " " + p; got != want {
			t.Errorf("%q gives %q, want %q", host, got, want)
		}
	}
	if f[:1].Find("other") != nil {
		t.Error("found for another host")
	}
	for _, in := range []string{"host", "host:user", ":user:x", "host::x", "a:b:c\x00"} {
		if _, err := ReadPasswords(strings.NewReader("\n" + in)); err == nil ||
			!strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: error %v", in, err)
		}
	}
}

func FuzzReadPasswords(f *testing.F) {
	for _, seed := range []string{"a:b:c\n", "*:u:p", "#\n", ":::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, err := ReadPasswords(strings.NewReader(s))
		if err == nil {
			file.Find(s)
		}
	})
}

func FuzzParseSmarthost(f *testing.F) {
	for _, seed := range []string{"smtp://a:25", "smtps://[::1]", "maildir:///x/{user}", "mbox:///x/../y", "file:///",
		"mx", "mx://", "mx://:26/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseSmarthost(s)
		if err == nil && (h.local() || h.Kind == KindMX) != (h.Host == "") {
			t.Fatalf("%q gives %+v", s, h)
		}
		if err == nil && !strings.Contains(s, "://") {
			t.Fatalf("%q is a smarthost", s)
		}
	})
}
