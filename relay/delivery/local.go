package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/queue"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// mailboxes serializes this process's appends to one file.
var mailboxes sync.Mutex

// store delivers to places on this machine, for each recipient by itself. Every one
// of them is on stable storage when it counts as delivered. When all fail, the place
// is at fault, as a smarthost would be.
func (h *Smarthost) store(mail *queue.Mail, to []address.Address) outcome {
	out := outcome{answers: make([]answer, len(to))}
	var errs []error
	for i, a := range to {
		path, err := h.pathOf(a)
		if err == nil {
			err = h.storeAt(path, mail, a)
		}
		if err != nil {
			errs = append(errs, err)
			out.answers[i] = answer{step: "storing", reply: ownReply(451, "4.3.0", err.Error())}
			continue
		}
		out.answers[i] = answer{step: "storing", reply: ownReply(250, "2.0.0", "stored in "+path)}
	}
	if len(errs) == len(to) {
		return outcome{answers: make([]answer, len(to)), fault: faultHost,
			err: &stepError{step: "storing", err: errs[0]}}
	}
	return out
}

// ownReply is an answer that no server has given.
func ownReply(code int, status, text string) *reply {
	return &reply{code: code, status: status, lines: []string{text}}
}

// pathOf puts the recipient into the path. A local part may have a slash by its
// grammar, but not here.
func (h *Smarthost) pathOf(a address.Address) (string, error) {
	if strings.Contains(h.Path, "{user}") &&
		(strings.ContainsRune(a.Local, filepath.Separator) || strings.Contains(a.Local, "/")) {
		return "", fmt.Errorf("local part %q: expected one that can be a file's name", a.Local)
	}
	return strings.NewReplacer("{user}", strings.ToLower(a.Local), "{domain}", a.Domain).Replace(h.Path), nil
}

func (h *Smarthost) storeAt(path string, mail *queue.Mail, to address.Address) error {
	switch h.Kind {
	case KindMaildir:
		return storeMaildir(path, mail, to)
	case KindMbox:
		return appendLocked(path, mboxEntry(mail, to))
	}
	entry, err := fileEntry(mail, to)
	if err != nil {
		return err
	}
	return appendLocked(path, entry)
}

// traceHeader is what final delivery adds (RFC 5321 section 4.4).
func traceHeader(mail *queue.Mail, to address.Address) string {
	return "Return-Path: <" + mail.From + ">\r\nDelivered-To: " + to.String() + "\r\n"
}

// storeMaildir writes a message with LF as line end, as all readers of maildirs
// expect. Its name is made of the mail's id and the recipient: a second delivery
// after a crash writes the same file again.
func storeMaildir(dir string, mail *queue.Mail, to address.Address) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("%d.%s.%s", mail.Received.Unix(), mail.ID,
		strings.NewReplacer("/", "_", ":", "_").Replace(to.String()))
	text := toLF([]byte(traceHeader(mail, to) + string(mail.Body)))
	tmp := filepath.Join(dir, "tmp", name)
	if err := writeSynced(tmp, text); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	if err := os.Rename(tmp, filepath.Join(dir, "new", name)); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	return storage.SyncDir(filepath.Join(dir, "new"))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// mboxEntry is a message in mboxrd form (RFC 4155): a "From " line in front, lines
// that look like one quoted, LF as line end, an empty line behind.
func mboxEntry(mail *queue.Mail, to address.Address) []byte {
	sender := mail.From
	if sender == "" {
		sender = "MAILER-DAEMON"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "From %s %s\n", sender, time.Now().UTC().Format(time.ANSIC))
	text := toLF([]byte(traceHeader(mail, to) + string(mail.Body)))
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			b.WriteByte('>')
		}
		b.Write(line)
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// fileEntry is a mail as one line of JSON.
func fileEntry(mail *queue.Mail, to address.Address) ([]byte, error) {
	b, err := json.Marshal(map[string]any{
		"time": time.Now().UTC(), "id": mail.ID, "from": mail.From, "to": to.String(),
		"message": strings.ToValidUTF8(string(mail.Body), "\uFFFD"),
	})
	return append(b, '\n'), err
}

func toLF(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

// appendLocked adds an entry to a file that mail programs may use at the same time,
// and syncs it. After an error the file has its old length.
func appendLocked(path string, entry []byte) error {
	mailboxes.Lock()
	defer mailboxes.Unlock()
	_, statErr := os.Stat(path)
	f, err := storage.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lockFile(f); err != nil {
		return fmt.Errorf("locking %s: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(entry, info.Size()); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Truncate(info.Size()))
	}
	if statErr != nil { // it is new
		return storage.SyncDir(filepath.Dir(path))
	}
	return nil
}
