package delivery

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// record is a log that keeps its lines.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) addLine(level, format string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, level+" "+fmt.Sprintf(format, args...))
}

func (r *record) Errorf(format string, args ...any) { r.addLine("E", format, args) }
func (r *record) Warnf(format string, args ...any)  { r.addLine("W", format, args) }
func (r *record) Infof(format string, args ...any)  { r.addLine("I", format, args) }
func (r *record) Debugf(format string, args ...any) { r.addLine("D", format, args) }

func (r *record) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// Whatever a server echoes at whichever step, and in whichever shape, no secret gets into
// the log, a notification, the queue's list or the spool.
func TestSecretsEchoed(t *testing.T) {
	const secret = "tanstaaftanstaaf"
	plain := encode("\x00tim\x00" + secret)
	shapes := map[string]string{
		"as it is": secret, "the line": "AUTH PLAIN " + plain, "other case": strings.ToUpper(plain),
		"hex":    hex.EncodeToString([]byte(secret)),
		"base64": encode(secret), "base64 of a part": encode("im\x00" + secret),
		"base64 of another part": encode("m\x00" + secret),
		"without padding":        base64.RawURLEncoding.EncodeToString([]byte(secret)), "half of it": secret[4:],
	}
	for shape, echo := range shapes {
		for _, step := range []string{"AUTH", "MAIL", "RCPT", "DATA", "dot", "no code", "banner"} {
			t.Run(shape+" at "+step, func(t *testing.T) {
				log := &record{}
				bubble(t, 1, func(o *Options) {
					o.AuthInClear, o.ExpireAfter = true, 10*time.Minute
					o.Monitor = monitor.New(log, nil)
					o.Credentials = func(Smarthost) (*Credentials, error) {
						return &Credentials{Username: "tim", Password: password, Mechanism: "PLAIN"}, nil
					}
				}, func(b *bench) {
					b.servers[0].set("EHLO", "250-sink\r\n250 AUTH PLAIN")
					b.servers[0].set("AUTH", "235 ok")
					b.start()
					b.addMail("x\r\n", "x@example.com") // the server learns the secret
					time.Sleep(time.Second)
					answer := "550-5.7.8 you said " + echo + "\r\n550 5.7.8 (" + echo + ")"
					if step == "no code" {
						b.servers[0].set("RCPT", echo)
					} else {
						b.servers[0].set(step, answer)
					}
					time.Sleep(time.Minute)
					b.addMail("x\r\n", "x@example.com")
					time.Sleep(time.Second)
					synctest.Wait()
					list := fmt.Sprintf("%+v", b.sender.List())
					time.Sleep(2 * time.Hour)
					synctest.Wait()
					b.sender.Stop()
					all := log.all() + list + fmt.Sprintf("%+v", b.failures()) + spoolText(t, b.dir)
					for name, leak := range shapes {
						leak = strings.TrimPrefix(leak, "AUTH PLAIN ")
						for i := range len(leak) - 8 {
							if part := leak[i : i+8]; strings.Contains(strings.ToLower(all), strings.ToLower(part)) {
								t.Fatalf("%q, a part of it %s, is in\n%s", part, name, all)
							}
						}
					}
					if !strings.Contains(all, hidden) {
						t.Errorf("the answer is not told at all:\n%s", all)
					}
				})
			})
		}
	}
}

// spoolText gives all that the spool has.
func spoolText(t *testing.T, dir string) string {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			b, readErr := os.ReadFile(path)
			all.Write(b)
			return readErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestHide(t *testing.T) {
	var s secrets
	if got := s.hide("nothing is known"); got != "nothing is known" {
		t.Errorf("%q", got)
	}
	s.addSecrets("s3cret pass", "pw")
	for in, want := range map[string]string{
		"535 s3cret pass is wrong":   "535 [hidden] is wrong",
		"S3CRET PASS":                "[hidden]",
		"a s3cret":                   "a [hidden]",
		"s3cr":                       "s3cr",
		"the pw, twice: pwpw":        "the [hidden], twice: [hidden]",
		"535 Authentication failed.": "535 Authentication failed.",
		"s3cret+pass":                "[hidden]",
	} {
		if got := s.hide(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	for range 100 {
		s.addSecrets(fmt.Sprint(time.Now().UnixNano()))
	}
	if len(s.values) > maxSecrets {
		t.Errorf("%d secrets are kept", len(s.values))
	}
}
