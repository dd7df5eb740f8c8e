package main

import (
	"bytes"
	"fmt"
	"net"
	"net/mail"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/flowgraf/flowgraf/relay/maillog"
)

// TestMailboxOfTheDemo takes mails from Go's own client, several at once, and keeps each whole in a
// file of its own; the subject of the last is that which people read.
func TestMailboxOfTheDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mails")
	m, err := startMailbox(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.stop()
	if count, subject, at := m.last(); count != 0 || subject != "" || !at.IsZero() {
		t.Errorf("before the first mail: %d, %q, %s", count, subject, at)
	}
	send := func(subject, body string) {
		text := "From: a@example.com\r\nTo: b@example.com\r\nSubject: " + subject + "\r\n\r\n" + body + "\r\n"
		if err := smtp.SendMail(m.addr(), nil, "a@example.com", []string{"b@example.com"}, []byte(text)); err != nil {
			t.Error(err)
		}
	}
	send("plain", "one\r\n.\r\n..two")
	send("=?UTF-8?Q?=C3=BCber_dem_Ma=C3=9F?=", "three")
	if count, subject, at := m.last(); count != 2 || subject != "\u00fcber dem Ma\u00df" || at.IsZero() {
		t.Errorf("%d mails, the last %q", count, subject)
	}
	first, err := os.ReadFile(filepath.Join(dir, "001.eml"))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := mail.ReadMessage(bytes.NewReader(first))
	if err != nil || msg.Header.Get("Subject") != "plain" || !bytes.HasSuffix(first,
		[]byte("\r\n\r\none\r\n.\r\n..two\r\n")) {
		t.Errorf("%v, kept is\n%q", err, first)
	}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { send(fmt.Sprint("many ", i), "four") })
	}
	wg.Wait()
	files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if count, _, _ := m.last(); err != nil || count != 12 || len(files) != 12 || filepath.Base(files[11]) != "012.eml" {
		t.Errorf("%d mails, kept are %q, %v", count, files, err)
	}
	if _, err := startMailbox(files[0]); err == nil {
		t.Error("a file is taken for a directory")
	}
	m.stop()
	if conn, err := net.Dial("tcp", m.addr()); err == nil {
		conn.Close()
		t.Error("it listens after its end")
	}
}

// statisticsText returns what is printed of statistics.
func statisticsText(t *testing.T, s *maillog.Statistics, top int) string {
	t.Helper()
	var out bytes.Buffer
	if err := printStatistics(&out, s, top); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if strings.TrimRight(line, "\n") != strings.TrimRight(line, " \n") {
			t.Errorf("blanks at the end of %q", line)
		}
	}
	return out.String()
}

// TestTablesOfMails: tables have the rows that are asked for and say how many more there are; what is
// empty is no table; numbers stand in columns.
func TestTablesOfMails(t *testing.T) {
	rows := func(n int) (list []maillog.Volume) {
		for i := range n {
			list = append(list, maillog.Volume{Name: fmt.Sprintf("host%d.example.com", i), Mails: n - i,
				Octets: int64(1500 * (n - i))})
		}
		return list
	}
	s := &maillog.Statistics{First: time.Date(2026, 11, 28, 23, 0, 0, 0, time.FixedZone("", 3600)),
		Last: time.Date(2026, 11, 29, 1, 0, 0, 0, time.UTC), Clients: rows(5), Refusals: rows(2), Completed: 8,
		QueueTimes: []maillog.Share{{Within: time.Minute, Mails: 6}, {Within: time.Hour}, {Mails: 2}}}
	s.Arrived.Mails, s.Arrived.Octets = 9, 1_234_567
	for top, want := range map[int]string{
		0: "host0.example.com  5      7.5 kB\nhost1.example.com  4      6.0 kB\nhost2.example.com  3      4.5 kB\n" +
			"host3.example.com  2      3.0 kB\nhost4.example.com  1      1.5 kB\n",
		2: "host0.example.com  5      7.5 kB\nhost1.example.com  4      6.0 kB\n(3 more)\n",
		5: "host4.example.com  1      1.5 kB\n", 9: "host4.example.com  1      1.5 kB\n",
	} {
		text := statisticsText(t, s, top)
		for _, part := range []string{want, "From 2026-11-28 22:00:00 to 2026-11-29 01:00:00\n\n",
			"mails taken              9       1.2 MB\n", "REFUSED            MAILS\nhost0.example.com  2\n",
			"TIME IN THE QUEUE  MAILS  SHARE\nunder 1m0s         6      75.0 %\nlonger             2      25.0 %\n"} {
			if !strings.Contains(text, part) {
				t.Errorf("top %d: expected\n%s\nin\n%s", top, part, text)
			}
		}
		for _, none := range []string{"SERVER", "SENDER DOMAIN", "PUT OFF BY", "FAILED AT", "HOUR", "1h0m0s"} {
			if strings.Contains(text, none) {
				t.Errorf("top %d: %s has nothing, and is there:\n%s", top, none, text)
			}
		}
	}
	if text := statisticsText(t, &maillog.Statistics{}, 0); strings.Contains(text, "From") ||
		strings.Contains(text, "NaN") {
		t.Errorf("of nothing:\n%s", text)
	}
}

// TestHoursOfMails: up to two days each hour is a row, of more the hours of the day are summed up.
func TestHoursOfMails(t *testing.T) {
	begin := time.Date(2026, 11, 1, 22, 0, 0, 0, time.UTC)
	for _, n := range []int{1, 48, 49, 24 * 10} {
		var hours []maillog.Hour
		for i := range n {
			hours = append(hours, maillog.Hour{Start: begin.Add(time.Duration(i) * time.Hour), Arrived: 1, Delivered: 2,
				Deferred: 3, Failed: 4, Refused: 5})
		}
		var out bytes.Buffer
		w := tabwriter.NewWriter(&out, 0, 0, 1, ' ', 0)
		printHours(w, hours)
		w.Flush()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		var sums [5]int
		for _, line := range lines[1:] {
			fields := strings.Fields(line)
			for i := range sums {
				var v int
				if _, err := fmt.Sscan(fields[len(fields)-5+i], &v); err != nil {
					t.Fatal(err)
				}
				sums[i] += v
			}
		}
		if want := [5]int{n, 2 * n, 3 * n, 4 * n, 5 * n}; sums != want {
			t.Errorf("%d hours sum up to %v, expected %v", n, sums, want)
		}
		first, rows := "2026-11-01 22:00 1 2 3 4 5", n
		if n > 48 {
			first, rows = fmt.Sprintf("00:00 %d %d %d %d %d", n/24, n/24*2, n/24*3, n/24*4, n/24*5), 24
		}
		if got := strings.Join(strings.Fields(lines[1]), " "); len(lines) != 1+rows || got != first {
			t.Errorf("%d hours: %d rows, the first %q, expected %d and %q", n, len(lines)-1, got, rows, first)
		}
	}
	var out bytes.Buffer
	printHours(&out, []maillog.Hour{{Arrived: 7}})
	if !strings.Contains(out.String(), "(no time)\t7") {
		t.Errorf("lines without a time: %q", &out)
	}
	out.Reset()
	if printHours(&out, nil); out.Len() > 0 {
		t.Errorf("no hours: %q", &out)
	}
}

// TestSeedsOfFlows: the same seed sends the same flows but for their times, another one others.
func TestSeedsOfFlows(t *testing.T) {
	sent := func(seed string) (all []string) {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		code, _, errs := runLine(t, "flowgraf", "generate", "--to", conn.LocalAddr().String(), "--protocol", "v5",
			"--count", "60", "--rate", "0", "--seed", seed)
		if code != 0 {
			t.Fatal(errs)
		}
		b := make([]byte, 2048)
		for flows := 0; flows < 60; {
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			n, err := conn.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			for r := b[24:n]; len(r) >= 48; r = r[48:] { // without First and Last, at 24
				all = append(all, fmt.Sprintf("%x %x", r[:24], r[32:48]))
				flows++
			}
		}
		return all
	}
	one, again, other := sent("1"), sent("1"), sent("2")
	if strings.Join(one, "\n") != strings.Join(again, "\n") {
		t.Errorf("one seed sends different flows, the first\n%s and\n%s", one[0], again[0])
	}
	if strings.Join(one, "\n") == strings.Join(other, "\n") {
		t.Error("two seeds send the same flows")
	}
}
