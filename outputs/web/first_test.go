package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What is opened directly asks its first question when the interval of the files is known: steps
// begin with the files from the first picture on.
func TestBrowserFirstQuestion(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 4, 200)
	s, _ := serve(t, tr.dir, Options{})
	page := s.Handler()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/sources") {
			time.Sleep(500 * time.Millisecond) // all else would be there first
		}
		page.ServeHTTP(w, r)
	}))
	defer h.Close()
	defer h.CloseClientConnections()
	for _, at := range []string{"explorer?v=1", "explorer?v=1&by=proto&chart=mirrored&previous=1",
		"host?v=1&address=10.0.1.5"} {
		name, _, _ := strings.Cut(at, "?")
		b.open(h.URL+"/#/"+at, name)
		b.wait("the graph of "+at, charts(1))
		type question struct {
			URL  string
			From int64
		}
		asked := eval[[]question](b, `performance.getEntriesByType("resource").map(e => new URL(e.name)).filter(u =>
			/\/(query|cost|graph)$/.test(u.pathname)).map(u => ({ URL: u.href, From: Number(u.searchParams.get("from")) }))`)
		if len(asked) == 0 {
			t.Errorf("%s has asked nothing", at)
		}
		for _, q := range asked {
			if q.From <= 0 || q.From%slotSeconds != 0 {
				t.Errorf("%s asks from %d, which is no file's begin: %s", at, q.From, q.URL)
			}
		}
	}
	b.complained()
}
