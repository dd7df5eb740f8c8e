package delivery

import (
	"bytes"
	"encoding/json"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/queue"
)

func testMail(id, body string) *queue.Mail {
	return &queue.Mail{
		Envelope: queue.Envelope{ID: id, From: "a@example.com", To: []string{"Ops@example.com"},
			Received: time.Unix(1_700_000_000, 0)},
		Body: []byte(body),
	}
}

func placed(t testing.TB, kind, path string) *Smarthost {
	t.Helper()
	h, err := ParseSmarthost(kind + "://" + path)
	if err != nil {
		t.Fatal(err)
	}
	return &h
}

var ops = address.Address{Local: "Ops", Domain: "example.com"}

func TestMaildir(t *testing.T) {
	dir := t.TempDir()
	h := placed(t, KindMaildir, dir+"/{domain}/{user}")
	for range 2 { // the second one is a delivery after a crash
		if out := h.store(testMail("0-1", "Subject: x\r\n\r\nhello\r\n"), []address.Address{ops}); out.err != nil ||
			out.answers[0].code() != 250 {
			t.Fatalf("%+v", out)
		}
	}
	h.store(testMail("0-2", "Subject: y\r\n\r\n"), []address.Address{ops})
	files, _ := filepath.Glob(dir + "/example.com/ops/new/*")
	if len(files) != 2 {
		t.Fatalf("in new: %v", files)
	}
	b, err := os.ReadFile(files[0])
	if err != nil || string(b) != "Return-Path: <a@example.com>\nDelivered-To: Ops@example.com\nSubject: x\n\nhello\n" {
		t.Errorf("%v: %q", err, b)
	}
	if left, _ := filepath.Glob(dir + "/example.com/ops/tmp/*"); len(left) != 0 {
		t.Errorf("in tmp: %v", left)
	}
}

func TestMaildirStaysInItsPlace(t *testing.T) {
	dir := t.TempDir()
	h := placed(t, KindMaildir, dir+"/{user}")
	out := h.store(testMail("0-1", "x\r\n"), []address.Address{{Local: "/etc/x", Domain: "example.com"}, ops})
	if out.err != nil || out.answers[0].code() != 451 || out.answers[1].code() != 250 {
		t.Fatalf("%+v", out)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
}

func TestMbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	h := placed(t, KindMbox, path)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			h.store(testMail("0-1", "Subject: x\r\n\r\nFrom here\r\n>From there\r\nlast"), []address.Address{ops})
		})
	}
	wg.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split("\n"+string(b), "\nFrom ")[1:]
	if len(parts) != 20 {
		t.Fatalf("%d mails in %q", len(parts), b)
	}
	for _, part := range parts {
		_, text, _ := strings.Cut(part, "\n")
		text = strings.TrimRight(text, "\n") + "\n"
		if !strings.HasPrefix(part, "a@example.com ") ||
			!strings.HasSuffix(text, "\nSubject: x\n\n>From here\n>>From there\nlast\n") {
			t.Fatalf("mail %q", part)
		}
		if m, err := mail.ReadMessage(strings.NewReader(text)); err != nil ||
			m.Header.Get("Delivered-To") != "Ops@example.com" {
			t.Fatalf("%v in %q", err, text)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.json")
	h := placed(t, KindFile, path)
	for _, body := range []string{"Subject: x\r\n\r\nhello\r\n", "Subject: \xff\r\n\r\n"} {
		if out := h.store(testMail("0-1", body), []address.Address{ops}); out.err != nil {
			t.Fatal(out.err)
		}
	}
	b, _ := os.ReadFile(path)
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	var got map[string]string
	if err := json.Unmarshal(lines[0], &got); len(lines) != 2 || err != nil ||
		got["message"] != "Subject: x\r\n\r\nhello\r\n" || got["to"] != "Ops@example.com" {
		t.Errorf("%v: %q", err, b)
	}
}

// A place that cannot be written to is at fault as a smarthost would be: the mail
// waits, or goes to the next one.
func TestPlaceFails(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "blocked")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{KindMaildir, KindMbox, KindFile} {
		if out := placed(t, kind, blocked+"/x").store(testMail("0-1", "x\r\n"),
			[]address.Address{ops}); out.fault != faultHost {
			t.Errorf("%s: %+v", kind, out)
		}
	}
	if out := placed(t, KindMbox, dir).store(testMail("0-1", "x\r\n"), []address.Address{ops}); out.err == nil {
		t.Error("a directory was taken for a mailbox")
	}
}

// With a server that is down, mails go to the mailbox that comes next.
func TestMailboxAsTheLastPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	b := newBench(t, 1, func(o *Options) { o.Smarthosts = append(o.Smarthosts, *placed(t, KindMbox, path)) })
	defer b.stop()
	b.servers[0].down = true
	b.start()
	for range 10 {
		b.addMail("Subject: x\r\n\r\n", "x@example.com")
	}
	for b.sender.Waiting() > 0 {
		time.Sleep(time.Millisecond)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\nSubject: x\n") != 10 {
		t.Errorf("%v: %q", err, text)
	}
}

// FuzzMbox stores arbitrary messages; the mailbox still parts where it should.
func FuzzMbox(f *testing.F) {
	for _, seed := range []string{"From x\r\n", ">From\r\n\r\nFrom ", "", "\n\nFrom \n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		entry := mboxEntry(testMail("0-1", string(body)), ops)
		if bytes.Contains(entry, []byte("\nFrom ")) || !bytes.HasSuffix(entry, []byte("\n\n")) {
			t.Fatalf("%q gives %q", body, entry)
		}
	})
}
