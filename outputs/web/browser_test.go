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

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/flowgraf/flowgraf/tests/peers"
)

// browser is a real browser, and what it complained about.
type browser struct {
	t     *testing.T
	ctx   context.Context
	apart cdp.BrowserContextID // cookies and storage of its user

	mu         sync.Mutex
	complaints []string
}

// patience is how long a condition may take on a busy machine.
const patience = 60 * time.Second

// chromium is the one browser of all tests: each has a window in it that shares nothing with
// the others.
var chromium struct {
	sync.Once
	ctx context.Context
	err error
	end func()
}

// startChromium starts chromium, without a profile of its user and without any network but
// this machine.
func startChromium(path string) {
	dir, err := os.MkdirTemp("", "browser")
	if chromium.err = err; err != nil {
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir), chromedp.Env("TMPDIR="+dir),
		chromedp.WindowSize(1440, 1000),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
		chromedp.WSURLReadTimeout(patience))
	ctx, cancelAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(ctx)
	chromium.ctx, chromium.err = ctx, chromedp.Run(ctx)
	chromium.end = func() {
		cancel()
		cancelAll()
		// The last of the browser's processes may end a moment after the first.
		for end := time.Now().Add(patience); os.RemoveAll(dir) != nil && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// TestMain ends the browser behind all tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.end != nil {
		chromium.end()
	}
	os.Exit(code)
}

// newBrowser opens a window of the browser, as of a user of his own.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := peers.Path(t, "chromium")
	chromium.Do(func() { startChromium(path) })
	must(t, chromium.err)
	all := cdp.WithExecutor(chromium.ctx, chromedp.FromContext(chromium.ctx).Browser)
	apart, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(all)
	must(t, err)
	t.Cleanup(func() {
		if err := target.DisposeBrowserContext(apart).Do(all); err != nil {
			t.Error(err)
		}
	})
	return newWindow(t, apart)
}

// newWindow opens a window of a user.
func newWindow(t *testing.T, apart cdp.BrowserContextID) *browser {
	t.Helper()
	all := cdp.WithExecutor(chromium.ctx, chromedp.FromContext(chromium.ctx).Browser)
	window, err := target.CreateTarget("about:blank").WithBrowserContextID(apart).WithNewWindow(true).Do(all)
	must(t, err)
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithTargetID(window))
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, apart: apart}
	chromedp.ListenTarget(ctx, b.listen)
	must(t, chromedp.Run(ctx, log.Enable(), runtime.Enable()))
	b.size(1440, 1000)
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

// evalLater returns what a script says when its promise is kept.
func evalLater[T any](b *browser, script string) T {
	b.t.Helper()
	var v T
	b.do(chromedp.Evaluate(script, &v, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true)
	}))
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

// click clicks on what a script finds, as a user does.
func (b *browser) click(what, element string) {
	b.t.Helper()
	b.wait(what, element)
	eval[bool](b, fmt.Sprintf(`(e => { e.scrollIntoView({block: "center"}); e.click(); return true })(%s)`, element))
}

// button returns the script that finds a button by its text or label.
func button(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("button")].find(b => (b.getAttribute("aria-label") ||
		b.textContent).trim() === %q)`, text)
}

// pick chooses a value of a list.
func (b *browser) pick(label, value string) {
	b.t.Helper()
	element := fmt.Sprintf(`document.querySelector('select[aria-label=%q]')`, label)
	b.wait(label+" "+value, fmt.Sprintf(`%s && [...%s.options].some(o => o.value === %q)`, element, element, value))
	eval[bool](b, fmt.Sprintf(`(e => { e.value = %q; e.dispatchEvent(new Event("change", {bubbles: true}));
		return true })(%s)`,
		value, element))
}

// write types into an element, as the editing commands of the browser do, behind what is
// there; back takes so many characters away first.
func (b *browser) write(selector string, back int, text string) {
	b.t.Helper()
	b.wait(selector, fmt.Sprintf("document.querySelector(%q)", selector))
	eval[bool](b, fmt.Sprintf(`(e => { e.focus(); if (e.isContentEditable) {
		getSelection().selectAllChildren(e); getSelection().collapseToEnd(); }
		for (let i = 0; i < %d; i++) document.execCommand("delete");
		return document.execCommand("insertText", false, %q) })(document.querySelector(%q))`, back, text, selector))
}

// picture takes a picture of the whole page where FLOWGRAF_SCREENSHOTS names a directory.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("FLOWGRAF_SCREENSHOTS")
	if dir == "" {
		return
	}
	time.Sleep(3 * time.Second) // canvases are drawn, a heat map bit by bit
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
	b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme",
		Value: value}}))
}

// charts says that so many graphs with lines are there.
func charts(n int) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".chart[data-lines] canvas")].filter(c => c.width > 100 &&
		Math.abs(c.clientWidth - c.closest('.chart').clientWidth) < 3 && c.closest(".chart").dataset.lines >
			0).length >= %d`, n)
}

// The relay's pages: rules with their state and a graph, the queue with what the server
// answered; a user with the right to it holds a mail, one without sees no buttons.
func TestBrowserRelay(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 1, 5)
	access := users(t, "alice")
	access["bob"] = access["alice"]
	_, h := serve(t, tr.dir, Options{Spool: startRelay(t), Access: Access{Users: access},
		Grants: Grants{"alice": {RightMail}}})
	login := func(name, page string) {
		b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(h.URL+"/#/"+page))
		b.write("input[name=name]", 0, name)
		b.write("input[name=password]", 0, secret)
		b.click("log in", button("log in"))
		b.wait("page "+page, fmt.Sprintf(`document.querySelector("main[data-page=%s]")`, page))
	}
	login("alice", "alerts")
	b.wait("the rule with its graph", charts(1)+` && document.querySelector("[data-rule=load] .level.bad") &&
		document.querySelector("[data-rule=load] .legend").textContent.includes("CRITICAL: 8") &&
		document.querySelector("[data-rule=quiet]").textContent.includes("No metric")`)
	b.click("events", `document.querySelector("[data-rule=load] summary")`)
	b.wait("the events", `document.querySelectorAll(".events tbody tr").length === 4`)
	b.picture("alerts-light")
	b.dark(true)
	b.picture("alerts-dark")
	b.open(h.URL+"/#/mail", "mail")
	row := `[...document.querySelectorAll(".queue tr[data-id]")].find(r => r.textContent.includes("cron@example.com"))`
	b.wait("the mail and why it waits", row+`?.textContent.includes("refused")`)
	b.click("the mail", row+`.querySelector("button")`)
	b.wait("what it says, as text", `document.querySelector(".message")?.textContent.includes("<b>backup</b>")`)
	b.picture("mail-dark")
	b.dark(false)
	b.picture("mail-light")
	b.click("hold", button("hold"))
	b.wait("held", row+`.textContent.includes("held")`)
	b.click("remove", button("remove"))
	b.wait("a question", `document.body.innerText.includes("without a word to the sender")`)
	b.click("no", button("no"))
	b.click("remove", button("remove"))
	b.click("yes", button("yes, remove"))
	b.wait("no such mail", `document.querySelector(".queue") && !`+row)
	b.click("log out", button("log out"))
	b.wait("the login", `document.querySelector("input[name=password]")`)
	login("bob", "mail")
	b.click("a mail", `document.querySelector(".queue tr[data-id] button")`)
	b.wait("no buttons", `document.querySelector(".mail")?.textContent.includes("--grant") && !`+button("hold")+
		` && document.body.innerText.includes("read-only")`)
	b.complained("status of 404", "status of 401")
}

// A user with the right to it makes a profile, with a mistake at first, and sees its channels;
// he changes it, and removes it again.
func TestBrowserProfile(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 3, 20)
	s, h := serve(t, tr.dir, Options{Access: Access{Users: users(t, "alice")},
		Grants: Grants{"alice": {RightProfiles}}})
	b.do(chromedp.Navigate(h.URL + "/#/profiles"))
	b.write("input[name=name]", 0, "alice")
	b.write("input[name=password]", 0, secret)
	b.click("log in", button("log in"))
	b.click("new profile", button("new profile"))
	b.write(".profile-form input[name=name]", 0, "web")
	b.write(".profile-form input[name=channel]", 0, "https")
	b.write(".profile-form input[name=filter]", 0, "prot tcp and port 443")
	b.click("keep", button("keep"))
	b.wait("the mistake", `document.querySelector(".profile-form .problem")?.textContent.includes("channel https") &&
		document.querySelector(".profile-form input[name=filter]").value === "prot tcp and port 443"`)
	b.write(".profile-form input[name=filter]", len(" tcp and port 443"), "o tcp and port 443")
	b.click("one more", button("one more channel"))
	b.write(".channel:nth-of-type(2) input[name=channel]", 0, "dns")
	b.write(".channel:nth-of-type(2) input[name=filter]", 0, "port 53")
	b.pick("kind", "history")
	b.picture("profile-form-light")
	b.dark(true)
	b.picture("profile-form-dark")
	b.dark(false)
	b.click("keep", button("keep"))
	b.wait("it is kept", `!document.querySelector(".profile-form") && 
		document.body.innerText.includes("files are still to be read") &&
		[...document.querySelectorAll(".profiles code")].some(e => e.textContent === "port 53")`)
	for s.archive.build(t.Context(), time.Minute) {
	}
	b.wait("it is built", `!document.querySelector(".starting")`)
	b.picture("profiles-own")
	b.click("its overview", `[...document.querySelectorAll(".profiles section")].find(e =>
		e.textContent.startsWith("web")).querySelector("h2 a")`)
	b.wait("its channels", charts(12)+` && document.querySelectorAll(".legend button").length === 2`)
	b.open(h.URL+"/#/profiles", "profiles")
	b.click("edit", button("edit"))
	b.click("less", `document.querySelectorAll(".channel")[1].querySelector("button:last-child")`)
	b.click("keep", button("keep"))
	b.wait("one channel", `!document.querySelector(".profile-form") &&
		![...document.querySelectorAll(".profiles code")].some(e =>
		e.textContent === "port 53")`)
	b.click("remove", button("remove"))
	b.click("yes", button("yes, remove"))
	b.wait("none", `!`+button("edit"))
	b.complained("status of 400", "status of 401")
}

// Until the archive is known the page says how far that is.
func TestBrowserStart(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 2, 5)
	a, err := OpenArchive(tr.dir, "", time.UTC, t.Logf)
	must(t, err)
	_, h := serveArchive(t, a, Options{})
	b.open(h.URL+"/#/overview", "overview")
	b.wait("that it looks", `document.querySelector(".starting progress") &&
		document.querySelector(".starting").textContent.includes("looking for files")`)
	must(t, a.Refresh(t.Context()))
	b.wait("the graphs", charts(12)+` && !document.querySelector(".starting")`)
	b.complained()
}

// Every page, light and dark, wide and narrow, shows what the archive has, and nothing that
// the page's policy forbids.
func TestBrowserPages(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 300, 120)
	profiles := makeProfiles(t, tr)
	_, h := serve(t, tr.dir, Options{Profiles: profiles})
	for _, v := range []struct {
		page, query, ready string
	}{
		{"overview", "", charts(12) + ` && document.querySelector("tr.total")`},
		{"explorer", "", charts(1) + ` && document.querySelector("tr.total")`},
		{"explorer", "v=1&filter=proto+tcp&by=srcip&tab=ranking&stat=dstip,dstport",
			charts(1) + ` && document.querySelectorAll(".ranking").length === 2 && 
				document.querySelectorAll(".lines tbody tr").length === 11`},
		{"explorer", "v=1&by=srcas,dstas&chart=sankey&tab=flows",
			charts(1) + ` && document.querySelectorAll(".rows tbody tr").length > 10`},
		{"explorer", "v=1&by=dstport,proto&chart=heat&tab=statistics", charts(1)},
		{"host", "v=1&address=10.0.1.5", charts(1) + ` && document.querySelectorAll(".ranking").length === 6 &&
			document.querySelector(".facts")`},
		{"exporters", "", `document.body.innerText.includes("198.51.100.2") &&
			document.body.innerText.includes("IPFIX")`},
		{"profiles", "", `document.body.innerText.includes("web servers") &&
			document.body.innerText.includes("shadow")`},
	} {
		name := strings.NewReplacer("&", "-", "=", "-", ",", "-", "+", "-").Replace(v.page + "-" + v.query)
		b.dark(false)
		b.open(h.URL+"/#/"+v.page+"?"+v.query, v.page)
		b.wait(v.page+"?"+v.query, v.ready)
		b.picture(name + "-light")
		b.dark(true)
		b.wait("a dark page", `getComputedStyle(document.body).backgroundColor === "rgb(18, 21, 26)"`)
		b.picture(name + "-dark")
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
		"web/servers/profile.dat": fmt.Sprintf("# web servers\nname = servers\ngroup = web\ntstart = %d\ntend = "+
			"%d\ntype = 6\n"+
			"status = OK\nchannel = https:+:#009e73:1:edge1|edge2\n", tr.from, tr.to),
		"web/servers/https-filter.txt": "proto tcp and\ndst port 443\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

// What a user does in the explorer: a filter with a mistake and without, keys, a slot, the
// peak, a window that is drawn, kinds of graphs, flows and their columns; all of it is in the
// address, so that back, reload and another tab show the same.
func TestBrowserExplorer(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 60, 200)
	_, h := serve(t, tr.dir, Options{})
	b.open(fmt.Sprintf("%s/#/explorer?v=1&range=%d&end=%d", h.URL, tr.to-tr.from, tr.to), "explorer")
	b.wait("the graph of sources", charts(1)+` && document.querySelectorAll(".lines tbody tr").length === 2`)

	// A mistake is told and marked while one types, and nothing of the text is lost.
	b.write(".cm-content", 0, "proto tcp and dst prot 443")
	b.wait("the mistake", `document.querySelector(".mistake")?.textContent.includes("column 19")`)
	b.wait("its mark", `document.querySelector(".cm-lintRange-error")`)
	b.wait("no way to run it", button("run")+".disabled")
	b.picture("explorer-mistake")
	b.write(".cm-content", len("prot 443"), "po")
	b.wait("a completion", `[...document.querySelectorAll(".cm-completionLabel")].some(e => e.textContent === "port")`)
	b.write(".cm-content", 0, "rt 443")
	b.wait("no mistake", `!document.querySelector(".mistake") && !`+button("run")+".disabled")
	b.click("run", button("run"))
	b.wait("the filter in the address", `new URLSearchParams(location.hash.split("?")[1]).get("filter") ===
		"proto tcp and dst port 443"`)
	b.wait("the command", `document.querySelector(".command code")?.textContent.endsWith(
		"'proto tcp and dst port 443'")`)
	b.wait("what it cost", `document.querySelector(".costs").textContent.includes("match")`)

	b.pick("add a key", "srcip")
	b.wait("lines by key", `document.querySelectorAll(".lines tbody tr").length === 11`)
	b.pick("add a key", "dstas")
	for _, kind := range []string{"lines", "percent", "grid", "heat", "sankey", "mirrored", "stacked"} {
		b.click(kind, fmt.Sprintf(`document.querySelector('button[data-value=%s]')`, kind))
		if kind == "grid" {
			b.wait("a graph for each line", `document.querySelector(".multiples")?.dataset.graphs === "11" &&
				`+charts(11))
		}
		if kind == "mirrored" {
			b.wait("the way back", `document.querySelector(".lines").textContent.includes("←")`)
			b.wait("its filter", `[...document.querySelectorAll(".lines tr")].some(r => r.textContent.includes("←") &&
				/^dst ip .* and src as 64/.test(r.querySelector(".tiny")?.title))`)
		}
		b.wait(kind+" drawn", fmt.Sprintf(`location.hash.includes("chart=%s") || %q === "stacked"`, kind,
			kind)+" && "+charts(1))
		b.picture("explorer-" + kind)
	}
	b.click("table", `document.querySelector('button[data-value=table]')`)
	b.wait("no graph", `!document.querySelector(".chart")`)
	b.click("stacked", `document.querySelector('button[data-value=stacked]')`)
	b.wait("a graph", charts(1))

	b.wait("what is known of the exporters",
		`document.querySelector(".badges").textContent.includes("sampling not told")`)

	// The share of a line's speed.
	rate := eval[string](b, `document.querySelector(".lines tbody td:nth-child(5)").title`)
	b.click("of a speed", `document.querySelector('button[data-value=speed]')`)
	b.do(chromedp.Evaluate(`(e => { e.value = "1k"; e.dispatchEvent(new Event("change", {bubbles: true})) })(
		document.querySelector('input[aria-label="speed of the line"]'))`, nil))
	b.wait("a tenth of the bits a second, in percent", fmt.Sprintf(`location.hash.includes("speed=1k") && Math.abs(
		Number(document.querySelector(".lines tbody td:nth-child(5)").title.replaceAll(",", "")) * 10 -
		Number(%q.replaceAll(",", ""))) <= 10`, rate))
	b.click("traffic", `document.querySelector('button[data-value=bits]')`)

	// Slots: peak, next, a click, a window, zoom.
	b.click("peak", button("peak"))
	b.wait("the slot", `/sel=\d+-\d+/.test(location.hash) &&
		document.querySelector(".chosen").textContent.startsWith("slot")`)
	before := eval[string](b, `new URLSearchParams(location.hash.split("?")[1]).get("sel")`)
	b.click("previous", button("previous slot"))
	b.wait("the slot before", fmt.Sprintf(`new URLSearchParams(location.hash.split("?")[1]).get("sel") !== %q`, before))
	b.do(chromedp.Evaluate(`history.back()`, nil))
	b.wait("back", fmt.Sprintf(`new URLSearchParams(location.hash.split("?")[1]).get("sel") === %q`, before))
	b.drag(".result > .chart", 0.4, 0.6)
	b.wait("the window", `document.querySelector(".chosen")?.textContent.startsWith("window")`)
	b.click("statistics", `document.querySelector('button[data-value=statistics]')`)
	b.wait("the table", `document.querySelector("tr.total")`)
	b.click("sum", `document.querySelector('button[data-value=sum]')`)
	b.click("top", `document.querySelector('button[data-value=ranking]')`)
	b.wait("a ranking", `document.querySelectorAll(".ranking tbody tr").length === 10`)
	b.pick("statistic", "dstport")
	b.wait("one port", `document.querySelectorAll(".ranking tbody tr").length === 1 &&
		document.querySelector(".ranking td").textContent.includes("443")`)

	// Flows: columns, order, pages.
	b.click("flows", `document.querySelector('.tabs button[data-value=flows]')`)
	b.wait("flows", `document.querySelectorAll(".rows tbody tr").length > 10`)
	b.pick("sort", "bytes")
	b.wait("sorted", `[...document.querySelectorAll(".rows th")].some(e => e.textContent.includes("↓"))`)
	b.click("columns", button("columns"))
	b.click("one more", `[...document.querySelectorAll(".columns label")].find(l => l.title ===
		"%sas").querySelector("input")`)
	b.wait("a column", `[...document.querySelectorAll(".rows th")].some(e => e.textContent === "srcAS")`)
	b.click("an address", `document.querySelector(".rows .address button")`)
	b.wait("its menu", `document.querySelector(".menu a").href.includes("#/host?")`)

	b.click("the address again", `document.querySelector(".rows .address button")`)
	b.wait("no menu", `!document.querySelector(".menu")`)

	// The same in a new tab, and after a reload.
	where := eval[string](b, "location.href")
	seen := eval[string](b, `document.querySelector(".rows tbody").textContent.slice(0, 400)`)
	b.open(where, "explorer")
	b.wait("the same flows", fmt.Sprintf(`document.querySelector(".rows tbody")?.textContent.slice(0, 400) === %q`,
		seen))
	b.complained()
}

// drag draws with the mouse over an element, from one part of its width to another.
func (b *browser) drag(selector string, from, to float64) {
	b.t.Helper()
	box := eval[[]float64](b, fmt.Sprintf(`(e => { e.scrollIntoView({block: "center"}); const r =
		e.getBoundingClientRect();
		return [r.x, r.y, r.width, r.height] })(document.querySelector(%q))`, selector))
	for _, step := range []struct {
		kind string
		part float64
	}{{"mousemove", from}, {"mousedown", from}, {"mousemove", (from + to) / 2}, {"mousemove", to}, {"mouseup", to}} {
		eval[bool](b, fmt.Sprintf(`document.querySelector(%q + " canvas").dispatchEvent(new MouseEvent(%q, {bubbles:
			true,
			cancelable: true, view: window, button: 0, clientX: %f, clientY: %f}))`, selector, step.kind,
			box[0]+box[2]*step.part,
			box[1]+box[3]/2))
	}
}

// A new file is seen without a reload, and what is being typed stays; ten thousand rows are
// shown; a server that has gone, and a wrong address, are told.
func TestBrowserLiveAndErrors(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 6, 2500)
	s, h := serve(t, tr.dir, Options{})
	b.open(h.URL+"/#/explorer?v=1&range=3600", "explorer")
	b.wait("the table", `document.querySelector("tr.total")`)
	files := eval[string](b, `document.querySelector("tr.total").lastElementChild.textContent`)
	b.write(".cm-content", 0, "proto udp")
	writeSlot(t, filepath.Join(filepath.Dir(tr.slotPath("edge1", tr.to-slotSeconds)), fmt.Sprintf("nfcapd.current.%d",
		tr.to)),
		tr.to, "198.51.100.1", 50, 0)
	must(t, s.archive.Refresh(t.Context()))
	b.wait("one file more", fmt.Sprintf(`document.querySelector("tr.total").lastElementChild.textContent !== %q`,
		files))
	b.wait("what was typed", `document.querySelector(".cm-content").textContent === "proto udp"`)

	b.open(h.URL+"/#/explorer?v=1&range=7200&tab=flows&limit=10000", "explorer")
	b.wait("10,000 rows", `document.querySelector(".rows")?.dataset.rows === "10000" &&
		document.querySelectorAll(".rows tr").length < 100`)
	b.do(chromedp.Evaluate(`document.querySelector(".rows").scrollTop = 1e6`, nil))
	b.wait("the last row", `document.querySelectorAll(".rows tbody tr.space").length === 1`)
	b.complained()

	b.open(h.URL+"/#/explorer?v=1&filter=prot+5", "explorer")
	b.wait("the mistake of the address", `document.querySelector(".problem")`)
	b.open(h.URL+"/#/explorer?v=9&filter=x", "explorer")
	b.wait("another version", `document.body.innerText.includes("another version")`)
	b.open(h.URL+"/#/host?v=1&address=nonsense", "host")
	b.wait("no address", `document.body.innerText.includes("is no address")`)
	b.open(h.URL+"/#/overview?v=1&profile=nobody", "overview")
	b.wait("no profile", `document.body.innerText.includes("there is no profile")`)
	b.complained("status of 400")
	b.open(h.URL+"/#/exporters", "exporters")
	b.wait("the list", `document.body.innerText.includes("IPFIX")`)
	h.CloseClientConnections()
	h.Listener.Close()
	b.wait("not connected", `document.body.innerText.includes("not connected")`)
}

// With users the page asks who one is, says when that is wrong, and forgets it again.
func TestBrowserLogin(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 3, 20)
	_, h := serve(t, tr.dir, Options{Base: "/flows/", Access: Access{Users: users(t, "alice")}})
	b.do(chromedp.Navigate(h.URL + "/flows/#/exporters"))
	b.wait("the login", `document.querySelector("input[name=password]")`)
	b.picture("login")
	b.write("input[name=name]", 0, "alice")
	b.write("input[name=password]", 0, "wrong horse")
	b.click("log in", button("log in"))
	b.wait("wrong", `document.querySelector(".problem")?.textContent.includes("wrong name or password")`)
	b.write("input[name=password]", len("wrong horse"), secret)
	b.click("log in", button("log in"))
	b.wait("the page below its path", `document.body.innerText.includes("198.51.100.1") && location.pathname ===
		"/flows/"`)
	b.complained("status of 401")
	b.click("log out", button("log out"))
	b.wait("the login again", `document.querySelector("input[name=password]")`)
}
