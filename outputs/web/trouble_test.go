package web

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// navigate goes to an address, whatever page that shows.
func navigate(url string) chromedp.Action {
	return chromedp.Tasks{chromedp.Navigate("about:blank"), chromedp.Navigate(url)}
}

// A server that is stopped is told; when it runs again the page goes on by itself, with what was
// typed; where the session has ended meanwhile it asks who one is, and goes on then.
func TestBrowserServerComesBack(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 3, 20)
	a, err := OpenArchive(tr.dir, "", time.UTC, t.Logf)
	must(t, err)
	defer a.Close()
	must(t, a.Refresh(t.Context()))
	address := "127.0.0.1:0"
	start := func(access Access) (stop func()) {
		l, err := net.Listen("tcp", address)
		must(t, err)
		address = l.Addr().String()
		s, err := New(a, Options{Version: "test", Access: access})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, l) }()
		return func() { cancel(); must(t, <-ended) }
	}
	stop := start(Access{})
	b.open(fmt.Sprintf("http://%s/#/explorer?v=1&range=7200", address), "explorer")
	total := `document.querySelector("tr.total")?.lastElementChild.textContent`
	b.wait("the table", total+` === "5"`)
	b.write(".cm-content", 0, "proto udp")
	stop()
	b.wait("not connected", `document.body.innerText.includes("not connected")`)
	writeSlot(t, tr.slotPath("edge2", tr.gap), tr.gap, "198.51.100.2", 5, 0)
	must(t, a.Refresh(t.Context()))
	stop = start(Access{})
	b.wait("the file that has come meanwhile", total+` === "6" && !document.body.innerText.includes("not connected")`)
	b.wait("what was typed", filterBox("proto udp"))
	stop()
	b.wait("not connected", `document.body.innerText.includes("not connected")`)
	stop = start(Access{Users: users(t, "alice")})
	defer stop()
	b.wait("the login", `document.querySelector("input[name=password]")`)
	b.write("input[name=name]", 0, "alice")
	b.write("input[name=password]", 0, secret)
	b.click("log in", button("log in"))
	b.wait("the page with what was typed", total+` === "6" && `+filterBox("proto udp")+
		` && !document.body.innerText.includes("not connected")`)
}

// An archive that cannot be read any more is told, and what is known of it stays, also for the
// next start; when it is back the page says so. The log has it once.
func TestBrowserArchiveGone(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 3, 20)
	var log bytes.Buffer
	a, err := OpenArchive(tr.dir, filepath.Join(t.TempDir(), "web.db"), time.UTC, func(format string, args ...any) {
		fmt.Fprintf(&log, format+"\n", args...)
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() { defer close(watched); a.Watch(ctx) }()
	_, h := serveArchive(t, a, Options{})
	b.open(h.URL+"/#/explorer?v=1&range=7200", "explorer")
	total := `document.querySelector("tr.total")?.lastElementChild.textContent === "5"`
	b.wait("the table", total)
	away := tr.dir + ".away"
	must(t, os.Rename(tr.dir, away))
	b.wait("the problem", total+` && document.querySelector(".problem")?.textContent.includes("no such file")`)
	b.click("flows", `document.querySelector('.tabs button[data-value=flows]')`)
	b.wait("that no file can be read", `document.querySelector(".flows .problem")?.textContent.includes("no such file")`)
	must(t, os.Rename(away, tr.dir))
	b.wait("no problem", `!document.querySelector("main > .problem")`)
	cancel()
	<-watched
	known := 0
	must(t, a.store.each(func() { known = 0 }, func(string, *stored) { known++ }))
	must(t, a.Close())
	if n := strings.Count(log.String(), "no such file"); n != 1 || known != 5 {
		t.Errorf("%d files are known, the log has it %d times:\n%s", known, n, log.String())
	}
	b.complained()
}

// A file that is damaged in its middle fails the scan there: the page says which it is, and
// shows what the others have.
func TestBrowserScanFails(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 4, 2000)
	_, h := serve(t, tr.dir, Options{})
	wrong := tr.slotPath("edge1", tr.from+slotSeconds)
	info, err := os.Stat(wrong)
	must(t, err)
	must(t, os.Truncate(wrong, info.Size()/2))
	b.open(fmt.Sprintf("%s/#/explorer?v=1&by=proto&range=%d&end=%d", h.URL, tr.to-tr.from, tr.to), "explorer")
	b.wait("the file and the rest", fmt.Sprintf(`[...document.querySelectorAll(".result > .problem")].some(p =>
		p.textContent.includes(%q)) && document.querySelectorAll(".lines tbody tr").length > 3`, filepath.Base(wrong))+
		" && "+charts(1))
	b.click("exporters", `[...document.querySelectorAll("nav a")].find(a => a.textContent === "Exporters")`)
	b.wait("exporters", `document.querySelector("main[data-page=exporters] tbody tr")`)
	b.do(chromedp.Evaluate(`history.back()`, nil))
	b.wait("back, with the question", `document.querySelectorAll(".lines tbody tr").length > 3 &&
		location.hash.includes("by=proto")`)
	b.complained()
}

// Badges tell of sources without new data, and of exporters with several sampling rates; of
// others they do not.
func TestBrowserBadges(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 3, 20)
	for start := tr.from; start < tr.to; start += slotSeconds {
		if path := tr.slotPath("edge2", start); start != tr.gap {
			old := time.Now().Add(-time.Hour)
			must(t, os.Chtimes(path, old, old))
		}
	}
	rates := func(source, exporter string, rates ...uint32) {
		path := tr.slotPath(source, tr.to-slotSeconds)
		w, err := nffile.Create(path+".new", nffile.Options{})
		must(t, err)
		f, err := nffile.OpenFile(path)
		must(t, err)
		var block nffile.Block
		d := nffile.NewDecoder()
		for f.ReadBlock(&block) == nil {
			must(t, block.Unpack())
			for d.Next(&block) {
				must(t, w.Append(d.Record()))
			}
		}
		for i, rate := range rates {
			must(t, w.Sampler(nffile.Sampler{Exporter: d.Exporters()[0], ID: int64(i), Interval: 1, Space: rate - 1}))
		}
		must(t, w.Close())
		info, err := os.Stat(path)
		must(t, err)
		must(t, os.Rename(path+".new", path))
		must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		must(t, f.Close())
	}
	rates("edge1", "198.51.100.1", 100, 1000)
	rates("edge2", "198.51.100.2", 100)
	_, h := serve(t, tr.dir, Options{})
	b.open(h.URL+"/#/explorer", "explorer")
	badge := func(text, title string) string {
		return fmt.Sprintf(`[...document.querySelectorAll(".badges .badge")].some(e => e.textContent === %q &&
			e.title.includes(%q))`, text, title)
	}
	b.wait("silent", badge("silent: live/edge2", "two intervals"))
	b.wait("several rates", badge("sampling differs", "198.51.100.1 1 in 100, 1000"))
	b.wait("no others", `document.querySelectorAll(".badges .badge").length === 2`)
	b.open(h.URL+"/#/explorer?v=1&source=live%2Fedge2", "explorer")
	b.wait("silent alone", badge("silent: live/edge2", "")+` && document.querySelectorAll(".badges .badge").length === 1`)
	b.open(h.URL+"/#/exporters", "exporters")
	b.wait("silent in the list", `[...document.querySelectorAll(".exporters tr")].filter(r =>
		r.querySelector(".badge.warn")?.textContent === "silent").map(r => r.cells[0].textContent).join() === "live/edge2"`)
	b.complained()
}
