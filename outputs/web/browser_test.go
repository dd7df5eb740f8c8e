package web

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/flowgraf/flowgraf/tests/peers"
)

// browser is a real browser, and what it complained about.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// patience is how long a condition may take on a busy machine.
const patience = 60 * time.Second

// newBrowser starts chromium, without a profile of its user and without any network but
// this machine.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(peers.Path(t, "chromium")),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1440, 1000),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
		chromedp.WSURLReadTimeout(patience))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, b.listen)
	must(t, chromedp.Run(ctx, log.Enable(), runtime.Enable()))
	return b
}

// listen keeps what the browser complains about: errors of scripts, and of the page's policy.
func (b *browser) listen(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			for _, a := range e.Args {
				text += string(a.Value) + " " + a.Description
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Source == log.SourceSecurity {
			text = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	}
	if text != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, text)
	}
}

// complained returns what the browser has complained about since the last call, but for
// what is expected.
func (b *browser) complained(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.complaints {
		known := false
		for _, e := range expected {
			known = known || strings.Contains(text, e)
		}
		if !known {
			b.t.Errorf("the browser says: %s", text)
		}
	}
	b.complaints = nil
}

// do runs actions.
func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.fatal("%v", err)
	}
}

// fatal ends the test, with a picture of what was seen where pictures are wanted.
func (b *browser) fatal(format string, args ...any) {
	b.t.Helper()
	b.picture("failed")
	var text string
	chromedp.Run(b.ctx, chromedp.Evaluate(`document.body.innerText.slice(0, 1500)`, &text)) // as far as it goes
	b.complained()
	b.t.Fatalf(format+"\nthe page shows:\n%s", append(args, text)...)
}

// eval returns what a script says.
func eval[T any](b *browser, script string) T {
	b.t.Helper()
	var v T
	b.do(chromedp.Evaluate(script, &v))
	return v
}

// wait waits until a script says true.
func (b *browser) wait(what, script string) {
	b.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if eval[bool](b, "!!("+script+")") {
			return
		}
	}
	b.fatal("%s: never came (%s)", what, script)
}

// open opens a page and waits until it is there.
func (b *browser) open(url, name string) {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url))
	b.wait("page "+name, fmt.Sprintf(`document.querySelector("main[data-page=%s]")`, name))
}

// picture takes a picture of the whole page where FLOWGRAF_SCREENSHOTS names a directory.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("FLOWGRAF_SCREENSHOTS")
	if dir == "" {
		return
	}
	time.Sleep(300 * time.Millisecond) // canvases are drawn
	var data []byte
	if err := chromedp.Run(b.ctx, chromedp.FullScreenshot(&data, 100)); err != nil {
		b.t.Error(err)
		return
	}
	must(b.t, os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644))
}

// size makes the window as large.
func (b *browser) size(width, height int64) {
	b.t.Helper()
	b.do(emulation.SetDeviceMetricsOverride(width, height, 1, width < 600))
}

// dark chooses the theme of the system.
func (b *browser) dark(on bool) {
	b.t.Helper()
	value := "light"
	if on {
		value = "dark"
	}
	b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}))
}

// charts says that so many graphs with lines are there.
func charts(n int) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".chart[data-lines] canvas")].filter(c => c.width > 100 && Math.abs(c.clientWidth - c.closest('.chart').clientWidth) < 3 && c.closest(".chart").dataset.lines > 0).length >= %d`, n)
}

// Every page, light and dark, wide and narrow, shows what the archive has, and nothing that
// the page's policy forbids.
func TestBrowserPages(t *testing.T) {
	b := newBrowser(t)
	tr := makeTree(t, 300, 120)
	profiles := makeProfiles(t, tr)
	_, h := serve(t, tr.dir, Options{Profiles: profiles})
	for _, v := range []struct {
		page, query, ready string
	}{
		{"overview", "", charts(12) + ` && document.querySelector("tr.total")`},
		{"explorer", "", charts(1) + ` && document.querySelector("tr.total")`},
		{"explorer", "v=1&filter=proto+tcp&by=srcip&tab=ranking&stat=dstip,dstport", charts(1) + ` && document.querySelectorAll(".ranking").length === 2 && document.querySelectorAll(".lines tbody tr").length === 11`},
		{"explorer", "v=1&by=srcas,dstas&chart=sankey&tab=flows", charts(1) + ` && document.querySelectorAll(".rows tbody tr").length > 10`},
		{"explorer", "v=1&by=dstport,proto&chart=heat&tab=statistics", charts(1)},
		{"host", "v=1&address=10.0.1.5", charts(1) + ` && document.querySelectorAll(".ranking").length === 6 && document.querySelector(".facts")`},
		{"exporters", "", `document.body.innerText.includes("198.51.100.2") && document.body.innerText.includes("IPFIX")`},
		{"profiles", "", `document.body.innerText.includes("web servers") && document.body.innerText.includes("shadow")`},
	} {
		for _, dark := range []bool{false, true} {
			b.dark(dark)
			b.open(h.URL+"/#/"+v.page+"?"+v.query, v.page)
			b.wait(v.page+"?"+v.query, v.ready)
			name := strings.NewReplacer("&", "-", "=", "-", ",", "-", "+", "-").Replace(v.page + "-" + v.query)
			b.picture(fmt.Sprintf("%s-%v", name, map[bool]string{false: "light", true: "dark"}[dark]))
		}
		b.size(390, 840)
		b.wait("a page as wide as a phone", `document.documentElement.scrollWidth <= 392`)
		if v.query == "" {
			b.picture(v.page + "-phone")
		}
		b.size(1440, 1000)
		b.complained()
	}
}

// makeProfiles writes profiles as NfSen has them.
func makeProfiles(t testing.TB, tr tree) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"live/profile.dat": fmt.Sprintf("# all routers\nname = live\ngroup = .\ntstart = %d\ntype = 0\nstatus = OK\n"+
			"channel = edge1:+:#0072b2:1:edge1\nchannel = edge2:-:#e69f00:1:edge2\n", tr.from),
		"web/servers/profile.dat": fmt.Sprintf("# web servers\nname = servers\ngroup = web\ntstart = %d\ntend = %d\ntype = 6\n"+
			"status = OK\nchannel = https:+:#009e73:1:edge1|edge2\n", tr.from, tr.to),
		"web/servers/https-filter.txt": "proto tcp and\ndst port 443\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}
