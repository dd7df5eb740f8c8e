package smtpd

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/message"
)

var testTrace = traceInfo{
	protocol: "ESMTP",
	helo:     "client.example.org", client: netip.MustParseAddr("192.0.2.7"), hostname: "relay.example.com",
	id: "0a0b0c0d-1", instance: "0a0b0c0d", now: time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC),
}

const testReceived = "Received: from client.example.org ([192.0.2.7])\r\n" +
	"\tby relay.example.com (flowgraf) with ESMTP " +
	"id 0a0b0c0d-1;\r\n\tMon, 02 Jan 2006 15:04:05 +0000\r\n"

const testAdded = "Date: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <0a0b0c0d-1@relay.example.com>\r\n"

func TestEditHeader(t *testing.T) {
	tests := []struct{ name, in, want string }{ // want without our Received; "5…": refused
		{"empty", "", testAdded + "\r\n"},
		{"no header", "hello\r\n", testAdded + "\r\nhello\r\n"},
		{"nothing to add", "Date: x\r\nMESSAGE-ID: y\r\n\r\nb\r\n", "Date: x\r\nMESSAGE-ID: y\r\n\r\nb\r\n"},
		{"header only", "Date: x\r\nMessage-Id: y\r\n", "Date: x\r\nMessage-Id: y\r\n\r\n"},
		{"Bcc folded", "Date: x\r\nBcc: a@b,\r\n c@d\r\nMessage-ID: y\r\n\r\nBcc: body\r\n",
			"Date: x\r\nMessage-ID: y\r\n\r\nBcc: body\r\n"},
		{"obsolete space", "Date : x\r\nBCC : a\r\nMessage-ID: y\r\n\r\n", "Date : x\r\nMessage-ID: y\r\n\r\n"},
		{"header ends in text", "Date: x\r\nMessage-ID: y\r\nhello\r\nBcc: z\r\n",
			"Date: x\r\nMessage-ID: y\r\n\r\nhello\r\nBcc: z\r\n"},
		{"body of dots", "Date: x\r\nMessage-ID: y\r\n\r\n.\r\n..\r\n", "Date: x\r\nMessage-ID: y\r\n\r\n.\r\n..\r\n"},
		{"two From", "From: a\r\nFrom: b\r\n\r\n", "554"},
		{"long line of 998", "X: " + strings.Repeat("y", 995) + "\r\nDate: x\r\nMessage-ID: y\r\n\r\n",
			"X: " + strings.Repeat("y", 995) + "\r\nDate: x\r\nMessage-ID: y\r\n\r\n"},
		{"long line of 999", "X: " + strings.Repeat("y", 996) + "\r\n\r\n",
			testAdded + "X: " + strings.Repeat("y", 996) + "\r\n\r\n"},
		{"long line of words", "X: y " + strings.Repeat("y", 996) + "\r\n\r\n",
			testAdded + "X: y\r\n " + strings.Repeat("y", 996) + "\r\n\r\n"},
		{"30 Received", strings.Repeat("Received: x\r\n", 30) + "Date: x\r\nMessage-ID: y\r\n\r\n",
			strings.Repeat("Received: x\r\n", 30) + "Date: x\r\nMessage-ID: y\r\n\r\n"},
		{"31 Received", strings.Repeat("Received: x\r\n", 31) + "\r\n", "554"},
		{"own id", "Received: by x id 0a0b0c0d-77; y\r\n\r\n", "554"},
		{"NUL", "X: \x00\r\n\r\n", "554"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, refusal := editHeader([]byte(tt.in), &testTrace)
			if refusal != nil {
				if tt.want != "554" || refusal.Code != 554 {
					t.Fatalf("refused: %v", refusal)
				}
				return
			}
			if string(got) != testReceived+tt.want {
				t.Fatalf("got  %q\nwant %q", got, testReceived+tt.want)
			}
		})
	}
}

// What a client says of itself must not get into the header.
func TestReceivedName(t *testing.T) {
	trace := testTrace
	for _, helo := range []string{"[192.0.2.1]", "a b", "x\r\nBcc: y", "(comment)", strings.Repeat("a", 300), ""} {
		trace.helo = helo
		if got := trace.received(); !strings.HasPrefix(got, "Received: from unknown ([192.0.2.7])\r\n") {
			t.Errorf("%q gives %q", helo, got)
		}
	}
	trace.client = netip.MustParseAddr("2001:db8::1")
	if got := trace.received(); !strings.Contains(got, "[IPv6:2001:db8::1]") {
		t.Errorf("got %q", got)
	}
}

func FuzzEditHeader(f *testing.F) {
	for _, seed := range []string{"", "Subject: x\r\n\r\nbody\r\n", "Bcc: a\r\n b\r\n\r\n", ": x\r\n",
		"A:\r\n\tx\r\nno colon\r\n", "\r\n\r\n", "X: y"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, m []byte) {
		if message.HasBare(m) || (len(m) > 0 && !bytes.HasSuffix(m, []byte("\r\n"))) {
			return // never gets here, see readBody
		}
		got, refusal := editHeader(m, &testTrace)
		if refusal != nil {
			return
		}
		if message.HasBare(got) || !bytes.HasPrefix(got, []byte(testReceived)) ||
			!bytes.Contains(got, []byte("\r\n\r\n")) {
			t.Fatalf("%q became %q", m, got)
		}
		// Relayed once more it keeps its Date and Message-ID, and its body.
		_, rest := message.Split(m)
		if !bytes.HasSuffix(got, rest) {
			t.Fatalf("%q became %q", m, got)
		}
		other := testTrace
		other.instance, other.id = "ffffffff", "ffffffff-1"
		again, refusal := editHeader(got, &other)
		if refusal == nil && !bytes.HasSuffix(again, got) {
			t.Fatalf("%q became %q, then %q", m, got, again)
		}
	})
}
