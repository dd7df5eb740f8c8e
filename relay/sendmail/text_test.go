package sendmail

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/flowgraf/flowgraf/relay/message"
)

// codeOf gives the exit code of an error.
func codeOf(err error) Code {
	coded := new(Error)
	if !errors.As(err, &coded) {
		return OK
	}
	return coded.Code
}

// Lines end with CR, LF or CRLF, and a dot alone ends the message, as sendmail(8) has it,
// unless -i keeps it.
func TestReadText(t *testing.T) {
	for in, want := range map[string]struct{ text, kept string }{
		"":                {"", ""},
		"a":               {"a\r\n", ""},
		"a\n":             {"a\r\n", ""},
		"a\r":             {"a\r\n", ""},
		"a\r\n":           {"a\r\n", ""},
		"\n\n":            {"\r\n\r\n", ""},
		"\r\r":            {"\r\n\r\n", ""},
		"\n\r":            {"\r\n\r\n", ""},
		"a\r\n\r\nb":      {"a\r\n\r\nb\r\n", ""},
		".\na":            {"", ".\r\na\r\n"},
		"a\n.\nb":         {"a\r\n", "a\r\n.\r\nb\r\n"},
		"a\r.\rb":         {"a\r\n", "a\r\n.\r\nb\r\n"},
		"a\r\n.\r\nb":     {"a\r\n", "a\r\n.\r\nb\r\n"},
		"a\n.":            {"a\r\n", "a\r\n.\r\n"},
		"a\n..\n. \n.b":   {"a\r\n..\r\n. \r\n.b\r\n", ""},
		"a.\nb":           {"a.\r\nb\r\n", ""},
		"\x00a\x00\n\x00": {"a\r\n", ""},
		"a\n\x00.\x00\nb": {"a\r\n", "a\r\n.\r\nb\r\n"},
		"é\xff\n":         {"é\xff\r\n", ""},
	} {
		if want.kept == "" {
			want.kept = want.text
		}
		for keep, text := range map[bool]string{false: want.text, true: want.kept} {
			if got, err := readText(iotest.OneByteReader(strings.NewReader(in)), keep, 100); err != nil ||
				string(got) != text {
				t.Errorf("%q, dots kept %v: %q, %v, want %q", in, keep, got, err, text)
			}
		}
	}
}

// A message has a bound, whatever it is made of: what is beyond it is never cut off silently.
func TestReadTextIsBounded(t *testing.T) {
	for text, want := range map[string]bool{
		"12345678":             true,
		"12345678\n":           true, // ten octets with its CRLF
		"123456789":            false,
		"1\n2\n3\n":            true,
		"1\n2\n3\n\n":          false,
		"1234567890":           false,
		"\x00\x00\x00\x0056\n": true,
		"12345678\x00\x00":     true,
		"12345678\x00\x00\x00": false,
	} {
		got, err := readText(strings.NewReader(text), false, 10)
		if (err == nil) != want || codeOf(err) != map[bool]Code{true: OK, false: DataErr}[want] {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	_, err := readText(io.MultiReader(strings.NewReader("a"), iotest.ErrReader(errors.New("broken pipe"))), false, 10)
	if codeOf(err) != IOErr || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("%v", err)
	}
}

// mailFor reads a message as a user tim hands it over.
func mailFor(t *testing.T, o *Options, text string) *Mail {
	t.Helper()
	m, err := o.Read(strings.NewReader(text), origin())
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return m
}

// Whom a mail is for: with -t those of the header, without those of the command line, which
// Debian's exim4 takes out of the former; with Resent fields these count (RFC 5322, 3.6.6).
func TestRecipients(t *testing.T) {
	const head = "To: a@x.org, B <b@x.org>\nCc: c@x.org\nBcc: d@x.org\nReply-To: e@x.org\n\nTo: f@x.org\n"
	for name, tt := range map[string]struct {
		o    Options
		text string
		want string
	}{
		"-t":           {Options{FromHeader: true}, head, "a@x.org b@x.org c@x.org d@x.org"},
		"command line": {Options{Recipients: []string{"z@x.org"}}, head, "z@x.org"},
		"both": {Options{FromHeader: true, Recipients: []string{"B@X.org, d@x.org"}}, head,
			"a@x.org c@x.org"},
		"each once":          {Options{FromHeader: true}, "To: a@x.org\nCc: a@X.org\n\n", "a@x.org"},
		"local parts differ": {Options{FromHeader: true}, "To: a@x.org, A@x.org\n\n", "a@x.org A@x.org"},
		"lists of addresses": {Options{Recipients: []string{"a, b@x.org", "C <c@x.org>"}}, "x",
			"a@example.com b@x.org c@x.org"},
		"resent to": {Options{FromHeader: true}, "Resent-To: r@x.org\nResent-Cc: s@x.org\nResent-Bcc: t@x.org\n" + head,
			"r@x.org s@x.org t@x.org"},
		"resent cc":  {Options{FromHeader: true}, "Resent-Cc: s@x.org\n" + head, "s@x.org"},
		"resent bcc": {Options{FromHeader: true}, "Resent-Bcc: t@x.org\n" + head, "t@x.org"},
		"resent from": {Options{FromHeader: true}, "Resent-From: r@x.org\n" + head,
			"a@x.org b@x.org c@x.org d@x.org"},
		"folded":        {Options{FromHeader: true}, "To: a@x.org,\n\tb@x.org\n\n", "a@x.org b@x.org"},
		"a line before": {Options{FromHeader: true}, "From tim Mon May  4 03:02:01 2026\nTo: a@x.org\n\n", "a@x.org"},
	} {
		m := mailFor(t, &tt.o, tt.text)
		var got []string
		for _, a := range m.To {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: for %q, want %q", name, got, tt.want)
		}
	}
	for text, want := range map[string]Code{"To: \n\n": Usage, "Subject: x\n\n": Usage, "To: a b@x.org\n\n": DataErr,
		"To: " + strings.Repeat("a@x.org,", maxRecipients) + "\n\n":   OK,
		"To: " + strings.Repeat("a@x.org,", maxRecipients+1) + "\n\n": DataErr} {
		if _, err := (&Options{FromHeader: true}).Read(strings.NewReader(text), origin()); codeOf(err) != want {
			t.Errorf("%.40q: %v, want %v", text, err, want)
		}
	}
}

// fields gives the values of a message's fields of a name.
func fields(m *Mail, name string) (values []string) {
	head, _ := message.Split(m.Message)
	for field := range message.Fields(head) {
		if message.Is(field, name) {
			values = append(values, strings.TrimSpace(string(message.Value(field))))
		}
	}
	return values
}

// Only what is absent is added (RFC 6409, section 8), Bcc is left out, and names get the
// domain of this host. A message that is sent again gets Resent fields.
func TestFieldsAdded(t *testing.T) {
	const date, id = "Mon, 04 May 2026 03:02:01 +0000", "<1-a@host.example.com>"
	for name, tt := range map[string]struct {
		text string
		want map[string]string // "": no such field
	}{
		"nothing": {"\nbody", map[string]string{"Date": date, "Message-ID": id,
			"From": `"Tim \"T\" Tester" <tim@example.com>`, "To": "", "Bcc": "", "Resent-Date": ""}},
		"all": {"date: d\nMESSAGE-ID: <m@x>\nFrom: root (Cron)\nTo: ops, a@x.org\nCC: b\nBcc: c\nSubject: root\n\n",
			map[string]string{"Date": "d", "Message-ID": "<m@x>", "From": "root@example.com (Cron)",
				"To": "ops@example.com, a@x.org", "Cc": "b@example.com", "Bcc": "", "Subject": "root"}},
		"resent": {"Resent-To: ops\nResent-Bcc: c\nFrom: a@x.org\nDate: d\nMessage-ID: <m@x>\n\n",
			map[string]string{"Resent-Date": date, "Resent-Message-ID": id, "Resent-To": "ops@example.com",
				"Resent-From": `"Tim \"T\" Tester" <tim@example.com>`, "Resent-Bcc": "", "From": "a@x.org", "Date": "d",
				"Message-ID": "<m@x>"}},
		"resent with all": {"resent-to: ops\nResent-Date: e\nResent-From: r\nResent-Message-ID: <n@x>\n\n",
			map[string]string{"Resent-Date": "e", "Resent-From": "r@example.com", "Resent-Message-ID": "<n@x>",
				"From": "", "Date": "", "Message-ID": ""}},
	} {
		m := mailFor(t, &Options{Recipients: []string{"a@x.org"}}, tt.text)
		for field, want := range tt.want {
			got := strings.Join(fields(m, field), " | ")
			if got != want {
				t.Errorf("%s: %s is %q, want %q", name, field, got, want)
			}
		}
		if got := fields(m, "received"); len(got) != 1 || !strings.HasPrefix(string(m.Message),
			"Received: from tim (uid 7)") {
			t.Errorf("%s: traced as %q", name, got)
		}
	}
}

// Who a mail is from, in the envelope and in a From field that is made.
func TestSenders(t *testing.T) {
	for name, tt := range map[string]struct {
		o              Options
		envelope, from string
	}{
		"the user": {Options{}, "tim@example.com", `"Tim \"T\" Tester" <tim@example.com>`},
		"-F":       {Options{FullName: `A \ "B"`}, "tim@example.com", `"A \\ \"B\"" <tim@example.com>`},
		"-F of other letters": {Options{FullName: "Jürgen"}, "tim@example.com",
			"=?utf-8?q?J=C3=BCrgen?= <tim@example.com>"},
		"-F of lines":    {Options{FullName: "A\r\nBcc: x\x7f"}, "tim@example.com", `"ABcc: x" <tim@example.com>`},
		"-f":             {Options{HasSender: true, Sender: "a@x.org"}, "a@x.org", "a@x.org"},
		"-f and -F":      {Options{HasSender: true, Sender: "a@x.org", FullName: "A"}, "a@x.org", `"A" <a@x.org>`},
		"-f of a name":   {Options{HasSender: true, Sender: "root"}, "root@example.com", "root@example.com"},
		"-f with a name": {Options{HasSender: true, Sender: "A <a@x.org>"}, "a@x.org", "a@x.org"},
		"-f <>":          {Options{HasSender: true, Sender: "<>"}, "", "tim@example.com"},
		"-f of nothing":  {Options{HasSender: true}, "", "tim@example.com"},
	} {
		tt.o.Recipients = []string{"a@x.org"}
		m := mailFor(t, &tt.o, "\n")
		if got := fields(m, "from"); m.From.String() != tt.envelope || !reflect.DeepEqual(got, []string{tt.from}) {
			t.Errorf("%s: %q, From: %q, want %q, %q", name, m.From, got, tt.envelope, tt.from)
		}
	}
	who := origin()
	who.Login, who.FullName = "a b", ""
	if _, err := (&Options{Recipients: []string{"a"}}).Read(strings.NewReader("x"), who); codeOf(err) != DataErr {
		t.Errorf("a login that is no address: %v", err)
	}
}

// The numbers and names are those of sysexits.h.
func TestSysexits(t *testing.T) {
	for code, name := range map[int]string{64: "EX_USAGE", 65: "EX_DATAERR", 67: "EX_NOUSER", 69: "EX_UNAVAILABLE",
		70: "EX_SOFTWARE", 74: "EX_IOERR", 75: "EX_TEMPFAIL", 77: "EX_NOPERM", 78: "EX_CONFIG"} {
		if got := Code(code).String(); got != name {
			t.Errorf("%d is %s, want %s", code, got, name)
		}
	}
	for code, want := range map[Code]int{OK: 0, Usage: 64, DataErr: 65, NoUser: 67, Unavailable: 69, Software: 70,
		IOErr:    74,
		TempFail: 75, NoPerm: 77, Config: 78} {
		if int(code) != want {
			t.Errorf("%s is %d, want %d", code, int(code), want)
		}
	}
}

// What does not go together, at its bounds: RFC 3461 allows 100 octets of an envelope id.
func TestBoundsOfOptions(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want bool
	}{
		{[]string{"-V", strings.Repeat("x", 100), "a"}, true},
		{[]string{"-V", strings.Repeat("x", 101), "a"}, false},
		{[]string{"-V", "a b~", "a"}, true},
		{[]string{"-V", "\x1f", "a"}, false},
		{[]string{"-V", "\x7f", "a"}, false},
		{[]string{"-V", "\u0080", "a"}, false},
		{[]string{"-N", "never", "a"}, true},
		{[]string{"-N", "success,delay,failure", "a"}, true},
		{[]string{"-N", "", "a"}, false},
		{[]string{"-R", "full", "a"}, true},
		{[]string{"-R", "hdrs", "a"}, true},
		{[]string{"-A", "x", "a"}, false},
		{[]string{"-", "-i"}, true}, // an address of one dash
		{[]string{"-bs"}, true},
		{[]string{"-bsx"}, false},
		{[]string{"-bm"}, false},
		{[]string{"-q"}, true},
		{[]string{"-d0.1", "-em", "a"}, true},
		{[]string{"-oi"}, false},
		{[]string{"--"}, false},
		{[]string{"--", "-a"}, true},
		{[]string{"-F"}, false},
		{[]string{"a", "-f"}, false},
		{[]string{"-\xc3\xa9"}, false},
	} {
		if o, err := Parse(tt.args); (err == nil) != tt.want || (err != nil && codeOf(err) != Usage) {
			t.Errorf("%q: %+v, %v", tt.args, o, err)
		}
	}
}

// Each class of enhanced status (RFC 3463) has the exit code that tells a script whether
// trying again is of use.
func TestRefusalCodes(t *testing.T) {
	for said, want := range map[string]Code{
		"450 4.1.1": TempFail, "421 4.7.0": TempFail, "452 4.5.3": TempFail,
		"550 5.1.1": NoUser, "550 5.1.2": NoUser, "550 5.1.10": NoUser, "501 5.1.3": DataErr,
		"552 5.3.4": DataErr, "554 5.6.0": DataErr, "554 5.6.7": DataErr, "554 5.5.0": DataErr,
		"503 5.5.1": Unavailable,
		"550 5.7.1": NoPerm, "530 5.7.0": NoPerm, "552 5.2.2": Unavailable, "554 5.4.6": Unavailable,
		"550 5.0.0": Unavailable,
	} {
		addr, _ := relayed(t, map[string]string{"MAIL": said + " because"})
		r := &Relay{Addr: addr, Hostname: "host.example.com"}
		_, err := r.Submit(t.Context(), &Options{}, mailOf(t, "a@example.com"))
		if codeOf(err) != want || !strings.Contains(err.Error(), said[:3]+" because") {
			t.Errorf("%s: %v (%v), want %v", said, err, codeOf(err), want)
		}
	}
}

// A relay that is still starting is tried again for as long as patience lasts, and one that
// has none of it is asked once.
func TestPatience(t *testing.T) {
	addr, _ := relayed(t, map[string]string{"connect": "421 4.3.2 starting"})
	r := &Relay{Addr: addr, Hostname: "h", Patience: -time.Second}
	if _, err := r.Submit(t.Context(), &Options{}, mailOf(t, "a@x.org")); !errors.Is(err, ErrUnreachable) ||
		!strings.Contains(err.Error(), addr) || codeOf(err) != TempFail {
		t.Errorf("%v", err)
	}
}
