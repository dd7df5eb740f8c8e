package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// testPage is a page and a user of it.
type testPage struct {
	t      *testing.T
	server *httptest.Server
	user   *http.Client
}

// graph asks for a graph.
func (p *testPage) graph(request string) Graph {
	p.t.Helper()
	return fetch[Graph](p.t, p.user, p.server, "graph?"+request)
}

// What the statistics of files said outlives the files that expiry takes, as NfSen's graphs do, also
// after another start and for the channels of profiles; their flows are a gap. A file in the middle
// that is gone is a gap in all, a source without files is none, and a file that comes back is there.
func TestStatisticsOutliveFiles(t *testing.T) {
	tr := makeTree(t, 6, 50)
	store := filepath.Join(t.TempDir(), "web.db")
	span := fmt.Sprintf("from=%d&to=%d", tr.from, tr.to)
	path := func(source string, slot int64) string { return tr.slotPath(source, tr.from+slot*slotSeconds) }
	open := func() (*Archive, *testPage) {
		a, err := OpenArchive(tr.dir, store, time.UTC, t.Logf)
		must(t, err)
		must(t, a.Refresh(t.Context()))
		for a.build(t.Context(), time.Minute) {
		}
		_, h := serveArchive(t, a, Options{Access: Access{Users: users(t, "alice")},
			Grants: Grants{"alice": {RightProfiles}}})
		return a, &testPage{t, h, loggedIn(t, h, "alice")}
	}
	a, page := open()
	if code, text := send(t, page.user, page.server, "profile", webProfile("live")); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	for a.build(t.Context(), time.Minute) {
	}
	before, channels := page.graph(span), page.graph(span+"&profile=web")
	kept, err := os.ReadFile(path("edge1", 1))
	must(t, err)
	info, err := os.Stat(path("edge1", 1))
	must(t, err)
	for _, p := range []string{path("edge1", 0), path("edge1", 1), path("edge2", 2)} {
		must(t, os.Remove(p))
	}
	check := func(what string, expired int) {
		t.Helper()
		after, of := page.graph(span), page.graph(span+"&profile=web")
		for k, line := range before.Sources {
			for i := range line.Flows {
				flows, seconds := line.Flows[i], line.Seconds[i]
				if line.Name == "live/edge2" && i == 2 {
					flows, seconds = 0, 0
				}
				if got := after.Sources[k]; got.Flows[i] != flows || got.Seconds[i] != seconds {
					t.Errorf("%s: %s step %d has %d flows of %d s, had %d of %d s", what, line.Name, i, got.Flows[i],
						got.Seconds[i], flows, seconds)
				}
			}
		}
		for k, line := range channels.Sources {
			if line.Flows[0] == 0 || of.Sources[k].Flows[0] != line.Flows[0] || of.Sources[k].Flows[1] != line.Flows[1] {
				t.Errorf("%s: channel %s has %v, had %v", what, line.Name, of.Sources[k].Flows, line.Flows)
			}
		}
		for _, s := range fetch[[]SourceInfo](t, page.user, page.server, "sources") {
			if s.Name == "live/edge1" && (s.Files != 6-expired || s.Expired != expired ||
				s.First != tr.from+int64(expired)*slotSeconds) {
				t.Errorf("%s: %+v", what, s)
			}
		}
		answer := fetch[Answer](t, page.user, page.server, "query?source=live/edge1&"+span)
		if answer.Matched.Flows != uint64(50*(6-expired)) || answer.Files != 6-expired || answer.Expired != expired ||
			len(answer.Problems) > 0 {
			t.Errorf("%s: %+v of %+v, %v", what, answer.Matched, answer.Cost, answer.Problems)
		}
		for i, seconds := range answer.Series.Seconds {
			if (seconds == 0) != (i < expired) {
				t.Errorf("%s: step %d of the flows is of %d s", what, i, seconds)
			}
		}
	}
	must(t, a.Refresh(t.Context()))
	for a.build(t.Context(), time.Minute) {
	}
	check("after expiry", 2)
	must(t, a.Refresh(t.Context()))
	if code, text := send(t, page.user, page.server, "profile/rebuild", Named{"web"}); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	for a.build(t.Context(), time.Minute) {
	}
	check("after another look and a rebuild", 2)
	must(t, a.Close())
	a, page = open()
	defer func() { must(t, a.Close()) }()
	check("after another start", 2)
	must(t, os.WriteFile(path("edge1", 1), kept, 0o644))
	must(t, os.Chtimes(path("edge1", 1), info.ModTime(), info.ModTime()))
	must(t, a.Refresh(t.Context()))
	for a.build(t.Context(), time.Minute) {
	}
	check("when one has come back", 1)
	must(t, os.RemoveAll(filepath.Join(tr.dir, "live", "edge1")))
	must(t, a.Refresh(t.Context()))
	if g := page.graph(span); len(g.Sources) != 1 || g.Sources[0].Name != "live/edge2" {
		t.Errorf("without any file: %+v", g.Sources)
	}
}
