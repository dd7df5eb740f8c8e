package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/tests/peers"
)

// send posts to the API as a user.
func send(t testing.TB, c *http.Client, h *httptest.Server, path string, v any) (int, string) {
	t.Helper()
	body, err := json.Marshal(v)
	must(t, err)
	res, err := c.Post(h.URL+"/api/v1/"+path, "application/json", bytes.NewReader(body))
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return res.StatusCode, string(text)
}

// loggedIn returns a client of a user.
func loggedIn(t *testing.T, h *httptest.Server, name string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	c := &http.Client{Jar: jar}
	if code := logIn(t, c, h, name, secret).StatusCode; code != http.StatusOK {
		t.Fatalf("%s cannot log in: %d", name, code)
	}
	return c
}

// fetch asks the API as a user.
func fetch[T any](t testing.TB, c *http.Client, h *httptest.Server, request string) (v T) {
	t.Helper()
	res, err := c.Get(h.URL + "/api/v1/" + request)
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	if err := json.Unmarshal(body, &v); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", request, res.StatusCode, body)
	}
	return v
}

// webProfile is a profile with two channels.
func webProfile(kind string) *Profile {
	return &Profile{Name: "web", Kind: kind, Channels: []Channel{
		{Name: "https", Filter: "proto tcp and port 443 # comment", Colour: "#0072b2", Sign: "+", Order: 1},
		{Name: "dns", Filter: "proto udp and port 53", Colour: "#e69f00", Sign: "-", Order: 2}}}
}

// A profile that is made in the page has what nfdump counts with its channels' filters, also
// after another start, of new files too, and only of its span; what is asked of its channels
// is asked of live with their filters.
func TestProfileIsKept(t *testing.T) {
	tr := makeTree(t, 6, 50)
	store := filepath.Join(t.TempDir(), "web.db")
	open := func() (*Archive, *httptest.Server) {
		a, err := OpenArchive(tr.dir, store, time.UTC, t.Logf)
		must(t, err)
		must(t, a.Refresh(t.Context()))
		_, h := serveArchive(t, a, Options{Access: Access{Users: users(t, "alice")},
			Grants: Grants{"alice": {RightProfiles}}})
		return a, h
	}
	a, h := open()
	alice := loggedIn(t, h, "alice")
	if code, text := send(t, alice, h, "profile", webProfile("live")); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	if p := fetch[Profiles](t, alice, h, "profiles"); p.Pending != 22 || len(p.Profiles) != 1 || !p.Profiles[0].Own {
		t.Errorf("%+v", p)
	}
	span := fmt.Sprintf("from=%d&to=%d", tr.from, tr.to+slotSeconds)
	compare := func(h *httptest.Server, c *http.Client, files []string) {
		t.Helper()
		table := fetch[Table](t, c, h, "statistics?profile=web&"+span)
		for i, filter := range []string{"proto tcp and port 443", "proto udp and port 53"} {
			want := strings.Count(peers.Run(t, "nfdump", append(files, "-q", "-o", "fmt:%pr", filter)...), "\n")
			if got := table.Rows[i].Counters[0].Flows; got != uint64(want) || want == 0 {
				t.Errorf("%s: %d flows, nfdump has %d", table.Rows[i].Name, got, want)
			}
		}
	}
	for a.build(t.Context(), time.Minute) {
	}
	compare(h, alice, nfdumpFiles(tr))
	one := fetch[Answer](t, alice, h, "query?source=web/https&"+span+"&filter="+url.QueryEscape("src port 443"))
	want := strings.Count(peers.Run(t, "nfdump", append(nfdumpFiles(tr), "-q", "-o", "fmt:%pr",
		"proto tcp and src port 443")...), "\n")
	if one.Matched.Flows != uint64(want) || want == 0 || !strings.Contains(one.Command, "proto tcp and port 443") {
		t.Errorf("%d flows, nfdump has %d: %s", one.Matched.Flows, want, one.Command)
	}
	both := fetch[Answer](t, alice, h, "query?profile=web&"+span).Matched.Flows
	if total := fetch[Table](t, alice, h, "statistics?profile=web&"+span).Total.Counters[0].Flows; both != total {
		t.Errorf("%d flows of both channels, the table has %d", both, total)
	}
	must(t, a.Close())

	a, h = open()
	defer a.Close()
	alice = loggedIn(t, h, "alice")
	a.build(t.Context(), time.Minute)
	if p := fetch[Profiles](t, alice, h, "profiles"); p.Pending != 0 {
		t.Errorf("after another start %d files are to be read", p.Pending)
	}
	compare(h, alice, nfdumpFiles(tr))
	writeSlot(t, tr.slotPath("edge1", tr.to), tr.to, "198.51.100.1", 30, 0)
	must(t, a.Refresh(t.Context()))
	for a.build(t.Context(), time.Minute) {
	}
	tr.to += slotSeconds
	compare(h, alice, nfdumpFiles(tr))
	if code, text := send(t, alice, h, "profile/rebuild", Named{"web"}); code != http.StatusOK {
		t.Errorf("rebuild: %d %s", code, text)
	}
	if p := fetch[Profiles](t, alice, h, "profiles"); p.Pending == 0 {
		t.Error("nothing is read anew")
	}
	history := webProfile("history")
	history.Start, history.End = tr.from+slotSeconds, tr.from+2*slotSeconds
	if code, text := send(t, alice, h, "profile", history); code != http.StatusOK {
		t.Errorf("history: %d %s", code, text)
	}
	for a.build(t.Context(), time.Minute) {
	}
	if table := fetch[Table](t, alice, h, "statistics?profile=web&"+span); table.Total.Files != 4 {
		t.Errorf("a slot of two sources, for two channels: %d files", table.Total.Files)
	}
	if code, text := send(t, alice, h, "profile/remove", Named{"web"}); code != http.StatusOK {
		t.Errorf("remove: %d %s", code, text)
	}
	left := 0
	must(t, a.store.eachCounted(func() {}, func(string, string, *stored) { left++ }))
	if p := fetch[Profiles](t, alice, h, "profiles"); len(p.Profiles) != 0 || left != 0 {
		t.Errorf("removed: %+v, %d records are left", p.Profiles, left)
	}
}

// What cannot be kept is told by its field; who has no right to it changes nothing.
func TestProfileMistakes(t *testing.T) {
	tr := makeTree(t, 1, 5)
	access := users(t, "alice")
	access["bob"] = access["alice"]
	s, h := serve(t, tr.dir, Options{Access: Access{Users: access},
		Grants: Grants{"alice": {RightProfiles}, "bob": {RightMail}}})
	alice := loggedIn(t, h, "alice")
	for field, edit := range map[string]func(*Profile){
		"name":        func(p *Profile) { p.Name = "../web" },
		"kind":        func(p *Profile) { p.Kind = "dead" },
		"end":         func(p *Profile) { p.Kind = "history"; p.Start = 10 },
		"start":       func(p *Profile) { p.Kind = "continuous" },
		"channels":    func(p *Profile) { p.Channels[1].Name = "https" },
		"filter":      func(p *Profile) { p.Channels[0].Filter = "prot 5" },
		"sources":     func(p *Profile) { p.Channels[0].Sources = []string{"nobody"} },
		"description": func(p *Profile) { p.Description = []string{strings.Repeat("x", 2000)} },
	} {
		p := webProfile("live")
		edit(p)
		code, text := send(t, alice, h, "profile", p)
		var f failure
		must(t, json.Unmarshal([]byte(text), &f))
		if code != http.StatusBadRequest || f.Field != field {
			t.Errorf("%s: %d %s", field, code, text)
		}
	}
	p := webProfile("live")
	p.Channels[1].Colour = "red\"><script>"
	if code, _ := send(t, alice, h, "profile", p); code != http.StatusBadRequest {
		t.Errorf("a colour: %d", code)
	}
	for who, want := range map[*http.Client]int{loggedIn(t, h, "bob"): http.StatusForbidden,
		http.DefaultClient: http.StatusUnauthorized} {
		for _, path := range []string{"profile", "profile/remove", "profile/rebuild"} {
			if code, text := send(t, who, h, path, webProfile("live")); code != want {
				t.Errorf("%s: %d %s, want %d", path, code, text, want)
			}
		}
	}
	if n := len(s.archive.kept.profiles); n != 0 {
		t.Errorf("%d profiles", n)
	}
}

// Who watches builds profiles between the looks, also one that is made meanwhile.
func TestProfileIsBuiltMeanwhile(t *testing.T) {
	tr := makeTree(t, 2, 10)
	a, err := OpenArchive(tr.dir, filepath.Join(t.TempDir(), "web.db"), time.UTC, t.Logf)
	must(t, err)
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Watch(ctx)
	}()
	defer func() { cancel(); <-ended }()
	wait := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: never came", what)
			}
		}
	}
	wait("the tree", a.ready.Load)
	must(t, a.setProfile(webProfile("live")))
	wait("its files", func() bool {
		list := *a.kept.channels.Load()
		return a.kept.pending.Load() == 0 && len(list) == 2 && len(list[0].files) == 3
	})
}
