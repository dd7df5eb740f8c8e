package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay"
	"github.com/flowgraf/flowgraf/relay/control"
	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/monitor"
)

// startRelay starts a relay with an alert rule that has fired, and a mail that waits, as its
// smarthost does not answer. It returns the spool.
func startRelay(t testing.TB) string {
	t.Helper()
	return startRelayIn(t, t.TempDir(), time.Now().Truncate(time.Minute))
}

// startRelayIn starts one whose spool is there, and whose rule has fired before a time.
func startRelayIn(t testing.TB, spool string, now time.Time) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	nobody := l.Addr().String()
	must(t, l.Close())
	r, err := relay.New(relay.Options{Listen: []string{"127.0.0.1:0"}, Hostname: "relay.example.com",
		RelayNets: []string{"127.0.0.0/8"}, RelayDomains: []string{"example.com"}, Spool: spool,
		Smarthosts: []string{"smtp://" + nobody}, Delivery: delivery.Options{TLS: delivery.TLSNone},
		Monitor: monitor.New(nil, nil),
		Alerts: []relay.Rule{
			{Name: "load", Crit: "fields.load > 8.0", Warn: "fields.load > 4.0", From: "alert@example.com",
				To: []string{"ops@example.com"}},
			{Name: "quiet", Crit: "fields.none > 1", From: "alert@example.com", To: []string{"ops@example.com"}},
		}})
	must(t, err)
	must(t, r.Start(t.Context()))
	t.Cleanup(r.Stop)
	for i, load := range []float64{1, 2, 3, 5, 6, 9, 7, 9.5} {
		_, err := r.Apply([]relay.Sample{{Name: "system", Tags: map[string]string{"host": "web1"},
			Fields: map[string]any{"load": load}, Time: now.Add(time.Duration(i-8) * time.Minute)}})
		must(t, err)
	}
	must(t, smtp.SendMail(r.Addrs()[0].String(), nil, "cron@example.com", []string{"root@example.com"},
		[]byte("Subject: backup\r\n\r\nThe <b>backup</b> is done.\r\n")))
	return spool
}

// mailOf returns the mail from a sender.
func mailOf(t testing.TB, list MailList, from string) control.Mail {
	t.Helper()
	for _, m := range list.Mails {
		if m.From == from {
			return m
		}
	}
	t.Fatalf("no mail from %s in %+v", from, list)
	return control.Mail{}
}

// order sends an order, and returns the status and what was answered.
func order(t testing.TB, c *http.Client, h *httptest.Server, command, id string, header ...string) (int, string) {
	t.Helper()
	body, err := json.Marshal(Order{command, id})
	must(t, err)
	req, err := http.NewRequest("POST", h.URL+"/api/v1/mail", bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return res.StatusCode, string(text)
}

// All who may look see rules and queue; what mails say, and changes, are for users with the
// right to it, from this page and no other.
func TestRelayIsShownAndChanged(t *testing.T) {
	tr := makeTree(t, 1, 5)
	access := users(t, "alice")
	access["bob"] = access["alice"]
	_, h := serve(t, tr.dir, Options{Spool: startRelay(t), Access: Access{Users: access},
		Grants: Grants{"alice": {RightMail}}})
	client := func(name string) *http.Client {
		jar, err := cookiejar.New(nil)
		must(t, err)
		c := &http.Client{Jar: jar}
		if name != "" && logIn(t, c, h, name, secret).StatusCode != http.StatusOK {
			t.Fatalf("%s cannot log in", name)
		}
		return c
	}
	get := func(c *http.Client, path string, into any) int {
		res, err := c.Get(h.URL + "/api/v1/" + path)
		must(t, err)
		defer res.Body.Close()
		must(t, json.NewDecoder(res.Body).Decode(into))
		return res.StatusCode
	}
	alice, bob, nobody := client("alice"), client("bob"), client("")
	var st Status
	if get(alice, "status", &st); !st.Relay || fmt.Sprint(st.Rights) != "[mail]" {
		t.Errorf("alice: %+v", st)
	}
	if get(bob, "status", &st); !st.Relay || len(st.Rights) != 0 {
		t.Errorf("bob: %+v", st)
	}
	var alerts AlertList
	get(bob, "alerts", &alerts)
	if len(alerts.Alerts) != 2 || alerts.Alerts[0].Active[0].Level != "CRITICAL" || len(alerts.Alerts[0].Values) != 8 ||
		len(alerts.Alerts[0].Bounds) != 2 || len(alerts.Alerts[0].Events) != 4 {
		t.Errorf("%+v", alerts)
	}
	var list MailList
	get(bob, "mails", &list)
	id := mailOf(t, list, "cron@example.com").ID
	var m control.Mail
	if code := get(bob, "mail?id="+id, &m); code != http.StatusOK || m.Message != "" || m.Size == 0 {
		t.Errorf("bob sees %d, %+v", code, m)
	}
	if code := get(alice, "mail?id="+id, &m); code != http.StatusOK || !strings.Contains(m.Message, "<b>backup</b>") {
		t.Errorf("alice sees %d, %+v", code, m)
	}
	for _, v := range []struct {
		who         *http.Client
		command, id string
		header      []string
		want        int
	}{
		{nobody, control.Hold, id, nil, http.StatusUnauthorized},
		{bob, control.Hold, id, nil, http.StatusForbidden},
		{alice, control.Hold, id, []string{"Content-Type", "text/plain"}, http.StatusUnsupportedMediaType},
		{alice, control.Hold, id, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{alice, control.Hold, id, []string{"Origin", "https://elsewhere.example"}, http.StatusForbidden},
		{alice, control.List, id, nil, http.StatusBadRequest},
		{alice, control.Hold, "../../etc/passwd", nil, http.StatusBadRequest},
		{alice, control.Hold, "0-1", nil, http.StatusConflict},
		{alice, control.Hold, id, nil, http.StatusOK},
	} {
		if code, text := order(t, v.who, h, v.command, v.id, v.header...); code != v.want {
			t.Errorf("%s %s %v: %d %s, want %d", v.command, v.id, v.header, code, text, v.want)
		}
	}
	get(bob, "mails", &list)
	if got := mailOf(t, list, "cron@example.com").State; got != "held" {
		t.Errorf("state %q", got)
	}
	if code, text := order(t, alice, h, control.Remove, id); code != http.StatusOK {
		t.Errorf("remove: %d %s", code, text)
	}
	if code := get(alice, "mail?id="+id, &m); code != http.StatusNotFound {
		t.Errorf("a mail that has been removed: %d", code)
	}
}

// Without users nobody changes anything; without a spool, or a relay, the page says so.
func TestRelayOfOthers(t *testing.T) {
	tr := makeTree(t, 1, 5)
	for spool, want := range map[string]int{"": http.StatusNotFound, t.TempDir(): http.StatusServiceUnavailable} {
		_, h := serve(t, tr.dir, Options{Spool: spool, Grants: Grants{"": {RightMail}}})
		var f failure
		for _, path := range []string{"alerts", "mails", "mail?id=1-2"} {
			if code := getJSON(t, h.URL+"/api/v1/"+path, &f); code != want || f.Error == "" {
				t.Errorf("spool %q, %s: %d %+v, want %d", spool, path, code, f, want)
			}
		}
		if code, _ := order(t, http.DefaultClient, h, control.Hold, "1-2"); code != http.StatusForbidden {
			t.Errorf("somebody without a name: %d", code)
		}
	}
}

func TestParseGrants(t *testing.T) {
	g, err := ParseGrants([]string{"alice=mail", "bob@example.com=mail"})
	if err != nil || len(g) != 2 || g["alice"][0] != RightMail {
		t.Errorf("%v, %v", g, err)
	}
	for _, text := range []string{"alice", "=mail", "alice=", "alice=root", "alice=mail+x"} {
		if _, err := ParseGrants([]string{text}); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
