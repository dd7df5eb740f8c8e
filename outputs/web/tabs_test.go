package web

import (
	"fmt"
	"testing"
)

// filterBox says that the box has a text, asked that the address has a filter.
func filterBox(text string) string {
	return fmt.Sprintf(`document.querySelector(".cm-content")?.textContent === %q`, text)
}

func asked(filter string) string {
	return fmt.Sprintf(`(new URLSearchParams(location.hash.split("?")[1]).get("filter") || "") === %q`, filter)
}

// savedFilters says how many filters are saved.
func savedFilters(n int) string {
	return fmt.Sprintf(`document.querySelector(".panel summary")?.textContent === "Saved filters (%d)"`, n)
}

// A filter is saved, asked again by its name, put behind another one without being asked before
// it has been checked, and forgotten; who gets the link sees it, and has no saved ones.
func TestBrowserSavedFilters(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 3, 40)
	_, h := serve(t, tr.dir, Options{})
	b.open(h.URL+"/#/explorer", "explorer")
	b.wait("the box", `document.querySelector(".cm-content")`)
	b.write(".cm-content", 0, "proto tcp")
	b.click("saved filters", `document.querySelector(".panel summary")`)
	b.write(`input[aria-label="name of the filter"]`, 0, "web")
	b.click("save", button("save"))
	b.wait("one is saved", savedFilters(1))
	b.click("clear", button("clear"))
	b.wait("an empty box", `!document.querySelector(".cm-placeholder") === false`)
	b.click("the saved one", button("web"))
	b.wait("its question", asked("proto tcp")+" && "+filterBox("proto tcp"))

	// A mistake in the box never comes into the address by another button.
	b.write(".cm-content", len("cp"), "pc")
	b.click("and", button("and"))
	b.wait("both in the box, and the mistake", filterBox("proto tpc and (proto tcp)")+
		` && document.querySelector(".mistake") && `+asked("proto tcp"))
	where := eval[string](b, "location.href")
	b.open(where, "explorer")
	b.wait("it is kept", savedFilters(1)+" && "+filterBox("proto tcp"))

	other := newBrowser(t)
	other.open(where, "explorer")
	other.wait("the shared one", filterBox("proto tcp")+" && "+savedFilters(0)+
		` && document.querySelector(".costs")?.textContent.includes("match")`)
	b.click("saved filters", `document.querySelector(".panel summary")`)
	b.click("forget it", button("delete web"))
	b.wait("none", savedFilters(0))
	b.open(where, "explorer")
	b.wait("none again", savedFilters(0))
	b.complained()
	other.complained()
}

// Of a long span one step of the graph is a slot, wherever the page names it.
func TestBrowserLongSlot(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 3, 20)
	_, h := serve(t, tr.dir, Options{})
	b.open(h.URL+"/#/explorer?v=1&range=31536000", "explorer")
	b.wait("the graph", charts(1))
	both := func(word string) string {
		return fmt.Sprintf(`document.querySelector(".chosen")?.textContent.startsWith(%q) &&
			document.querySelector(".tabs .dim").textContent.startsWith("of the %s ")`, word, word)
	}
	b.click("last", button("last"))
	b.wait("a slot of many hours", both("slot")+` && (([from, to]) => to - from > 7200)(
		new URLSearchParams(location.hash.split("?")[1]).get("sel").split("-").map(Number))`)
	b.drag(".result > .chart", 0.3, 0.7)
	b.wait("a window", both("window"))
	b.complained()
}

// Two windows of a user that ask the same share a scan: one cancels it, the other has its answer;
// one logs out, and the other, which still has what was typed, asks who one is.
func TestBrowserTwoTabs(t *testing.T) {
	t.Parallel()
	one := newBrowser(t)
	two := newWindow(t, one.apart)
	tr := makeTree(t, 3, 40)
	s, h := serve(t, tr.dir, Options{Scans: 1, Access: Access{Users: users(t, "alice")}})
	login := func(b *browser) {
		b.write("input[name=name]", 0, "alice")
		b.write("input[name=password]", 0, secret)
		b.click("log in", button("log in"))
	}
	must(t, s.scans.waitForPlace(t.Context()))
	where := fmt.Sprintf("%s/#/explorer?v=1&by=srcip&range=%d&end=%d", h.URL, tr.to-tr.from, tr.to)
	for _, b := range []*browser{one, two} {
		if b == two {
			b.open(where, "explorer") // the session is that of both
		} else {
			b.do(navigate(where))
			login(b)
		}
		b.wait("that it runs", button("cancel")+` && document.querySelector(".costs progress")`)
	}
	waitFor(t, "both to wait for one scan", func() bool {
		s.scans.mu.Lock()
		defer s.scans.mu.Unlock()
		for _, scan := range s.scans.open {
			return len(s.scans.open) == 1 && scan.waiters == 2
		}
		return false
	})
	one.click("cancel", button("cancel"))
	one.wait("that it has ended", `!document.querySelector(".costs progress") && !`+button("cancel"))
	s.scans.leave()
	two.wait("its answer", `document.querySelectorAll(".lines tbody tr").length === 11`)
	if eval[bool](one, `!!document.querySelector(".lines tbody tr")`) {
		t.Error("the window that has cancelled has an answer")
	}
	one.click("run", button("run"))
	one.wait("the answer", `document.querySelectorAll(".lines tbody tr").length === 11`)

	two.write(".cm-content", 0, "proto udp")
	one.click("log out", button("log out"))
	one.wait("the login", `document.querySelector("input[name=password]") && !document.querySelector("main[data-page]")`)
	two.click("top", `document.querySelector('button[data-value=ranking]')`)
	two.wait("the login here too", `document.querySelector("input[name=password]") &&
		document.querySelector("main[data-page]").offsetParent === null`)
	login(two)
	two.wait("what was typed", `!document.querySelector("input[name=password]") && `+filterBox("proto udp")+
		` && document.querySelector(".ranking tbody tr")`)
	login(one)
	one.wait("the page again", `document.querySelectorAll(".lines tbody tr").length === 11`)
	one.complained("status of 401")
	two.complained("status of 401")
}
