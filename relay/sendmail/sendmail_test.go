package sendmail

import (
	"bufio"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		line string
		want Options
	}{
		{"-t", Options{FromHeader: true}},
		{"-ti", Options{FromHeader: true, KeepDots: true}},
		{"-oi -oem -odb -oMrlocal -B8BITMIME -h 3 -Am a@b.c", Options{KeepDots: true, Recipients: []string{"a@b.c"}}},
		{"-fa@b.c -F Name x", Options{Sender: "a@b.c", HasSender: true, FullName: "Name", Recipients: []string{"x"}}},
		{"-r a@b.c x -v", Options{Sender: "a@b.c", HasSender: true, Recipients: []string{"x"}, Verbose: true}},
		{"-i -- -odd@b.c -t", Options{KeepDots: true, Recipients: []string{"-odd@b.c", "-t"}}},
		{"-oem x", Options{Recipients: []string{"x"}}},
		{"-bs", Options{Mode: SMTP}},
		{"-bp", Options{Mode: List}},
		{"-bi", Options{Mode: Aliases}},
		{"-q30m", Options{Mode: RunQueue}},
		{"-N failure,delay -R hdrs -V id x", Options{Notify: []string{"FAILURE", "DELAY"}, Return: "HDRS",
			EnvelopeID: "id", Recipients: []string{"x"}}},
		{"-bm -C /x/y z", Options{Config: "/x/y", Recipients: []string{"z"}}},
	} {
		if tt.want.Mode == 0 {
			tt.want.Mode = Deliver
		}
		got, err := Parse(strings.Fields(tt.line))
		if err != nil || !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.line, got, err)
		}
	}
	for _, line := range []string{"", "-i", "-x a", "-tx", "-bd", "-b", "-f", "-N sometimes a", "-R all a", "-t -V " +
		strings.Repeat("x", 101), "--unknown a", "-é a"} {
		got, err := Parse(strings.Fields(line))
		if coded := new(Error); !errors.As(err, &coded) || coded.Code != Usage {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

var lists = map[string][]string{
	"":                                   nil,
	"a@b.c":                              {"a@b.c"},
	"root":                               {"root"},
	"a@b.c, d@e.f":                       {"a@b.c", "d@e.f"},
	"A B <a@b.c>,\r\n\t\"C, D\" <c@d.e>": {"a@b.c", "c@d.e"},
	"a@b.c (one, two (three) \\) four), d@e.f": {"a@b.c", "d@e.f"},
	"group: a@b.c, d@e.f; g@h.i":               {"a@b.c", "d@e.f", "g@h.i"},
	"undisclosed-recipients:;":                 nil,
	"<@x.y,@z.w:a@b.c>":                        {"a@b.c"},
	"\"a b\"@c.d":                              {"\"a b\"@c.d"},
	"<\"a>b\"@c.d>, e@f.g":                     {"\"a>b\"@c.d", "e@f.g"},
	"<>":                                       nil,
	"a b@c.d":                                  {"a b@c.d"},
	"<a@b.c":                                   {"a@b.c"},
	"\"open, a@b.c":                            {"\"open, a@b.c"},
	"(open, a@b.c":                             nil,
}

func TestMailboxes(t *testing.T) {
	for list, want := range lists {
		if got := mailboxes(list); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

func FuzzMailboxes(f *testing.F) {
	for list := range lists {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		size := 0
		for _, a := range mailboxes(list) {
			size += len(a)
			// What passes the grammar is the address that stands in the list.
			if parsed, err := address.Parse(a); err == nil && !strings.Contains(list, parsed.Local+"@") {
				t.Errorf("%q: %q", list, a)
			}
		}
		if size > len(list) {
			t.Errorf("%d octets of %d", size, len(list))
		}
	})
}

func origin() *Origin {
	return &Origin{Login: "tim", FullName: "Tim \"T\" Tester", UID: 7, Hostname: "host.example.com",
		Domain: "example.com", Now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), ID: "1-a"}
}

// A message of a program that knows nothing of mail is made whole.
func TestReadAddsWhatLacks(t *testing.T) {
	o := &Options{Recipients: []string{"root"}}
	m, err := o.Read(strings.NewReader("Subject: x\nBcc: y@example.com\n\n\x00a\rb\r\nc"), origin())
	if err != nil {
		t.Fatal(err)
	}
	want := "Received: from tim (uid 7)\r\n\tby host.example.com (flowgraf) with local id 1-a;\r\n" +
		"\tMon, 04 May 2026 03:02:01 +0000\r\nDate: Mon, 04 May 2026 03:02:01 +0000\r\n" +
		"Message-ID: <1-a@host.example.com>\r\nFrom: \"Tim \\\"T\\\" Tester\" <tim@example.com>\r\nSubject: x\r\n" +
		"\r\na\r\nb\r\nc\r\n"
	if string(m.Message) != want {
		t.Errorf("message\n%q, want\n%q", m.Message, want)
	}
	if m.From.String() != "tim@example.com" || len(m.To) != 1 || m.To[0].String() != "root@example.com" {
		t.Errorf("from %s for %s", m.From, m.To)
	}
}

// Recipients that are no addresses are told one by one, and the others get the mail.
func TestReadRefusesWhatIsNoAddress(t *testing.T) {
	o := &Options{Recipients: []string{"a b@example.com", "|/bin/sh", "ok@example.com"}}
	m, err := o.Read(strings.NewReader("x"), origin())
	if err != nil || len(m.Refused) != 2 || len(m.To) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, o := range []*Options{
		{Recipients: []string{"|/bin/sh"}}, {Recipients: []string{"a"}, HasSender: true, Sender: "a@b@c"},
		{Recipients: []string{"a"}, HasSender: true, Sender: "a@b.c, d@e.f"},
	} {
		_, err := o.Read(strings.NewReader("x"), origin())
		if coded := new(Error); !errors.As(err, &coded) || coded.Code != DataErr {
			t.Errorf("%+v: %v", o, err)
		}
	}
	o = &Options{FromHeader: true}
	_, err = o.Read(strings.NewReader("Subject: nobody\n\n"), origin())
	if coded := new(Error); !errors.As(err, &coded) || coded.Code != Usage {
		t.Errorf("no recipients: %v", err)
	}
}

// FuzzRead: whatever is handed over, what leaves is lines that end with CRLF, with one From.
func FuzzRead(f *testing.F) {
	f.Add("To: a@example.com\nSubject: x\n\nbody\n", true)
	f.Add("From x\nTo: a@example.com,\n b\n\n.\n", false)
	f.Add("Resent-To: a@b.c\r\rx", true)
	f.Add("", false)
	f.Fuzz(func(t *testing.T, text string, fromHeader bool) {
		o := &Options{FromHeader: fromHeader, Recipients: []string{"a@example.com"}}
		m, err := o.Read(strings.NewReader(text), origin())
		if err != nil {
			return
		}
		rest := strings.ReplaceAll(string(m.Message), "\r\n", "")
		if strings.ContainsAny(rest, "\r\n\x00") || !strings.HasSuffix(string(m.Message), "\r\n") {
			t.Errorf("%q", m.Message)
		}
	})
}

// -bs joins a caller that ends lines with LF alone to the relay.
func TestTalk(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "220 ready\r\n")
		r := bufio.NewReader(c)
		line, _ := r.ReadString('\n')
		rest, _ := io.ReadAll(r)
		io.WriteString(c, "221 bye\r\n")
		heard <- line + string(rest)
	}()
	var out strings.Builder
	r := &Relay{Addr: l.Addr().String()}
	if err := r.Talk(t.Context(), strings.NewReader("EHLO x\nQUIT\r\n"), &out); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "EHLO x\r\nQUIT\r\n" || out.String() != "220 ready\r\n221 bye\r\n" {
		t.Errorf("the relay heard %q, the caller %q", got, out.String())
	}
	l.Close()
	if err := r.Talk(t.Context(), strings.NewReader(""), &out); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
}
