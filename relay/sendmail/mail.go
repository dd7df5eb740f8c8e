package sendmail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/message"
	"github.com/flowgraf/flowgraf/relay/rewrite"
)

// maxMessage bounds what is read, in octets.
const maxMessage = 64 << 20

// maxRecipients bounds the addresses of one mail.
const maxRecipients = 10_000

// Mail is what a relay is given.
type Mail struct {
	// From is the envelope's sender, the zero value the null one.
	From address.Address
	// To are the recipients, each once.
	To []address.Address
	// Message has lines that end with CRLF.
	Message []byte
	// Refused are recipients that are no addresses, one error each. The mail goes to the
	// others.
	Refused []error
}

// Origin is who hands the mail over, and where.
type Origin struct {
	// Login is the user's name, FullName that of a person, UID the number.
	Login, FullName string
	UID             int
	// Hostname is this machine's name, Domain what stands behind names without one.
	Hostname, Domain string
	// Now is the time.
	Now time.Time
	// ID is unique, for Message-ID and the trace.
	ID string
}

// Read reads a message and makes a mail of it. The error is an *Error.
func (o *Options) Read(in io.Reader, origin *Origin) (*Mail, error) {
	text, err := readText(in, o.KeepDots, maxMessage)
	if err != nil {
		return nil, err
	}
	m := &Mail{}
	if m.From, err = o.sender(origin); err != nil {
		return nil, err
	}
	head, rest := message.Split(message.TrimFromLine(text))
	if err := m.address(o.recipients(head), origin.Domain); err != nil {
		return nil, err
	}
	m.Message = append(o.header(head, m.From, origin), rest...)
	return m, nil
}

// readText reads lines with whatever end, CRLF, LF or CR, up to a line with a dot alone
// unless those are kept, and gives them with CRLF. NUL, which no server takes, is left out.
// Neither what is read nor what is given has more than limit octets.
func readText(in io.Reader, keepDots bool, limit int) ([]byte, error) {
	bounded := &io.LimitedReader{R: in, N: int64(limit) + 1}
	r := bufio.NewReaderSize(bounded, 64<<10)
	var out []byte
	for begin := 0; ; {
		c, err := r.ReadByte()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, failure(IOErr, "reading the message: %w", err)
		}
		if len(out) > limit || err != nil && bounded.N == 0 {
			return nil, failure(DataErr, "the message has more than %d octets, the most that is read", limit)
		}
		switch {
		case err != nil && begin == len(out):
			return out, nil
		case err == nil && c == 0:
			continue
		case err == nil && c != '\n' && c != '\r':
			out = append(out, c)
			continue
		}
		if !keepDots && string(out[begin:]) == "." {
			return out[:begin], nil
		}
		if c == '\r' {
			if next, _ := r.Peek(1); len(next) == 1 && next[0] == '\n' {
				r.Discard(1)
			}
		}
		out = append(out, '\r', '\n')
		begin = len(out)
	}
}

// sender gives the envelope's sender: that of -f, or the user at this host.
func (o *Options) sender(origin *Origin) (address.Address, error) {
	if !o.HasSender {
		a, err := qualify(origin.Login, origin.Domain)
		if err != nil {
			return a, failure(DataErr, "no sender can be made of the user's name: use -f: %w", err)
		}
		return a, nil
	}
	list := mailboxes(o.Sender)
	if len(list) == 0 {
		return address.Address{}, nil
	}
	a, err := qualify(list[0], origin.Domain)
	if err != nil || len(list) > 1 {
		return a, failure(DataErr, "-f %q: expected one address, or <>: %w", o.Sender, err)
	}
	return a, nil
}

// qualify reads an address that may lack its domain.
func qualify(text, domain string) (address.Address, error) {
	if !strings.Contains(text, "@") {
		text += "@" + domain
	}
	return address.ParseConfigured(text)
}

// recipients gives the addresses that the mail is for, as they are written.
func (o *Options) recipients(head []byte) (list []string) {
	var named []string
	for _, arg := range o.Recipients {
		named = append(named, mailboxes(arg)...)
	}
	if !o.FromHeader {
		return named
	}
	fields := []string{"to", "cc", "bcc"}
	if isResent(head) { // RFC 5322 section 3.6.6
		fields = []string{"resent-to", "resent-cc", "resent-bcc"}
	}
	for field := range message.Fields(head) {
		if message.Is(field, fields...) {
			list = append(list, mailboxes(string(message.Value(field)))...)
		}
	}
	return slices.DeleteFunc(list, func(s string) bool {
		return slices.ContainsFunc(named, func(n string) bool { return strings.EqualFold(n, s) })
	})
}

func isResent(head []byte) bool {
	for field := range message.Fields(head) {
		if message.Is(field, "resent-to", "resent-cc", "resent-bcc") {
			return true
		}
	}
	return false
}

// address reads the recipients.
func (m *Mail) address(list []string, domain string) error {
	if len(list) > maxRecipients {
		return failure(DataErr, "%d recipients, expected at most %d", len(list), maxRecipients)
	}
	seen := map[address.Address]bool{}
	for _, text := range list {
		a, err := qualify(text, domain)
		switch {
		case err != nil:
			m.Refused = append(m.Refused, &Error{DataErr, err})
		case !seen[a]:
			seen[a] = true
			m.To = append(m.To, a)
		}
	}
	if len(m.To) == 0 && len(m.Refused) == 0 {
		return failure(Usage, "no recipients: expected addresses in To, Cc or Bcc with -t, or on the command line")
	}
	if len(m.To) == 0 {
		return errors.Join(m.Refused...)
	}
	return nil
}

// header gives the header as it is sent: traced, with From, Date and Message-ID when they are
// absent (RFC 6409 section 8), without Bcc, and with domains behind names that have none.
func (o *Options) header(head []byte, sender address.Address, origin *Origin) []byte {
	prefix := ""
	if isResent(head) {
		prefix = "Resent-"
	}
	has := func(name string) bool {
		for field := range message.Fields(head) {
			if message.Is(field, prefix+name) {
				return true
			}
		}
		return false
	}
	date := message.Date(origin.Now)
	out := fmt.Appendf(nil, "Received: from %s (uid %d)\r\n\tby %s (flowgraf) with local id %s;\r\n\t%s\r\n",
		word(origin.Login), origin.UID, origin.Hostname, origin.ID, date)
	if !has("date") {
		out = fmt.Appendf(out, "%sDate: %s\r\n", prefix, date)
	}
	if !has("message-id") {
		out = fmt.Appendf(out, "%sMessage-ID: <%s@%s>\r\n", prefix, origin.ID, origin.Hostname)
	}
	if !has("from") {
		out = fmt.Appendf(out, "%sFrom: %s\r\n", prefix, o.from(sender, origin))
	}
	for field := range message.Fields(head) {
		if !message.Is(field, "bcc", "resent-bcc") {
			out = append(out, field...)
		}
	}
	return rewrite.Qualify(out, origin.Domain)
}

// from makes a From field of the sender.
func (o *Options) from(sender address.Address, origin *Origin) string {
	if sender.IsNull() {
		sender = address.Address{Local: origin.Login, Domain: origin.Domain}
	}
	name := o.FullName
	if name == "" && !o.HasSender {
		name = origin.FullName
	}
	if name = strings.Map(printable, name); name == "" {
		return sender.String()
	}
	encoded := mime.QEncoding.Encode("utf-8", name)
	if encoded == name { // plain ASCII
		encoded = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return fmt.Sprintf("%s <%s>", encoded, sender)
}

// printable leaves control characters out.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// word makes of a name one word of a trace field.
func word(s string) string {
	s = string(bytes.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, []byte(s)))
	if s == "" {
		return "unknown"
	}
	return s
}
