package web

import (
	"fmt"
	"path/filepath"
	"testing"
)

// The table of sources by protocol never scrolls sideways: on a phone protocols are rows, from a
// desk's screen on columns, with the same numbers.
func TestBrowserStatisticsFit(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	tr := makeTree(t, 3, 300)
	for _, name := range []string{"border-router-frankfurt-1", "edge-of-the-campus-network-2"} {
		writeSlot(t, filepath.Join(tr.dir, "live", name, filepath.Base(tr.slotPath("", tr.from))), tr.from, "198.51.100.9",
			5000, 1234)
	}
	_, h := serve(t, tr.dir, Options{})
	table := `document.querySelector(".statistics .scroll")`
	for _, page := range []string{"overview", "explorer"} {
		b.open(h.URL+"/#/"+page, page)
		for _, sum := range []string{"rate", "sum"} {
			b.click(sum, fmt.Sprintf(`document.querySelector(".statistics button[data-value=%s]")`, sum))
			totals := ""
			for _, width := range []int64{360, 1024, 1440, 2560} {
				if page == "overview" && width != 360 && width != 1440 { // its graphs take time
					continue
				}
				b.size(width, 900)
				name := fmt.Sprintf("%s, %s, %d wide", page, sum, width)
				across := ""
				if width != 1024 { // between a phone and a desk either may fit
					across = fmt.Sprintf(` && (Number(%s.querySelector("table").dataset.across) === %d) === %t`,
						table, numClasses, width >= 1440)
				}
				b.wait(name+": a table that does not scroll, protocols as rows or columns",
					fmt.Sprintf(`%s?.querySelector("tr.total") && %[1]s.scrollWidth <= %[1]s.clientWidth &&
					document.documentElement.clientWidth === %d &&
					document.querySelector(".statistics button[data-value=%s]").ariaPressed === "true"`, table, width, sum)+across)
				if sum == "rate" {
					b.picture(fmt.Sprintf("statistics-%s-%d", page, width))
				}
				got := eval[string](b, fmt.Sprintf(`[...%s.querySelectorAll("tr.total td[title]")].map(e =>
					e.title).sort().join()`, table))
				if totals == "" {
					totals = got
				}
				if got != totals || got == "" {
					t.Errorf("%s: the totals are %s, on a phone %s", name, got, totals)
				}
			}
		}
	}
	b.size(390, 900)
	b.open(h.URL+"/#/overview", "overview")
	b.click("together", button("all protocols together"))
	b.wait("no protocols", `document.querySelectorAll("tr.total").length === 2 && `+button("by protocol"))
	b.complained()
}
