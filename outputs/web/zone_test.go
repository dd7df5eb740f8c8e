package web

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
)

// halfHour is the interval of the files of a day in which clocks change.
const halfHour = 1800

// dayTree writes a file for each half hour of a day in Berlin, named by its clocks with their
// distance from UTC, with one flow more in each than in the one before.
func dayTree(t *testing.T, year int, month time.Month, day int) (dir string, zone *time.Location, span Span) {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	span = Span{time.Date(year, month, day, 0, 0, 0, 0, zone).Unix(),
		time.Date(year, month, day+1, 0, 0, 0, 0, zone).Unix()}
	dir = t.TempDir()
	for i, start := 1, span.From; start < span.To; i, start = i+1, start+halfHour {
		name := "nfcapd." + time.Unix(start, 0).In(zone).Format("200601021504-0700")
		writeSlot(t, filepath.Join(dir, "live", "edge1", name), start, "198.51.100.1", i, 0)
	}
	return dir, zone, span
}

// Of days with 23 and 25 hours each half hour is drawn once, at its time; of the hour that is
// there twice both are, also where a name does not tell which it is.
func TestDaysOfOtherLengths(t *testing.T) {
	for hours, date := range map[int][3]int{23: {2026, 3, 29}, 25: {2025, 10, 26}, 24: {2026, 6, 1}} {
		dir, zone, span := dayTree(t, date[0], time.Month(date[1]), date[2])
		a, err := OpenArchive(dir, "", zone, t.Logf)
		must(t, err)
		defer a.Close()
		must(t, a.Refresh(t.Context()))
		_, h := serveArchive(t, a, Options{})
		line := ask[Graph](t, h, fmt.Sprintf("graph?from=%d&to=%d&points=100", span.From, span.To)).Sources[0]
		if len(line.Flows) != 2*hours {
			t.Fatalf("%d steps of %d hours", len(line.Flows), hours)
		}
		for i, n := range line.Flows {
			if n != uint64(i+1) || line.Seconds[i] != halfHour {
				t.Errorf("%d hours: step %d has %d flows of %d s", hours, i, n, line.Seconds[i])
			}
		}
	}
	// Two files of one name's time: what is in them tells which hour it is.
	zone, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	for _, utc := range []int{0, 1} {
		start := time.Date(2025, 10, 26, utc, 30, 0, 0, time.UTC).Unix()
		dir := t.TempDir()
		writeSlot(t, filepath.Join(dir, "nfcapd.202510260230"), start, "198.51.100.1", 9, 0)
		writeSlot(t, filepath.Join(dir, "nfcapd.202510260600"), start+4*3600, "198.51.100.1", 9, 0)
		path := filepath.Join(t.TempDir(), "web.db")
		for range 2 { // the second time from the store
			a, err := OpenArchive(dir, path, zone, t.Logf)
			must(t, err)
			must(t, a.Refresh(t.Context()))
			if got := (*a.sources.Load())[0].files[0].start; got != start {
				t.Errorf("02:30 at %d:30 UTC is taken for %s", utc, time.Unix(got, 0).UTC())
			}
			must(t, a.Close())
		}
	}
}

// The times of every view are in the zone that is chosen, of a day of 25 hours too, whose hours
// the graph's axis has each once.
func TestBrowserTimeZones(t *testing.T) {
	b := newBrowser(t)
	dir, zone, span := dayTree(t, 2025, 10, 26)
	a, err := OpenArchive(dir, "", zone, t.Logf)
	must(t, err)
	defer a.Close()
	must(t, a.Refresh(t.Context()))
	profiles := makeProfiles(t, tree{from: span.From, to: span.To})
	_, h := serveArchive(t, a, Options{Profiles: profiles})
	york, err := time.LoadLocation("America/New_York")
	must(t, err)
	b.do(emulation.SetTimezoneOverride(york.String()))
	first := ask[Page](t, h, fmt.Sprintf("flows?from=%d&to=%d&limit=1&zone=utc", span.From, span.To)).Rows[0][0]
	flowTime, err := time.ParseInLocation("2006-01-02 15:04:05.000", first, time.UTC)
	must(t, err)
	const minutes = "2006-01-02 15:04"
	for choice, zone := range map[string]*time.Location{"browser": york, "collector": zone, "utc": time.UTC} {
		at := func(s int64, form string) string { return time.Unix(s, 0).In(zone).Format(form) }
		query := fmt.Sprintf("?v=1&range=%d&end=%d", span.To-span.From, span.To)
		says := func(what, selector, text string) {
			t.Helper()
			b.wait(choice+": "+what, fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.textContent.includes(%q))`,
				selector, text))
		}
		b.open(h.URL+"/#/explorer"+query+"&tab=flows", "explorer")
		b.pick("time zone", choice)
		says("the span", ".when", at(span.From, minutes)+" – "+at(span.To, minutes))
		says("the whole span", ".tabs .dim", at(span.From, minutes+":00")+" – ")
		says("a flow", ".rows td", flowTime.In(zone).Format("2006-01-02 15:04:05.000"))
		says("the foot", "footer", "times in "+zone.String())
		b.wait("the graph", charts(1))
		drawn := evalLater[[]string](b, `(async () => {
			const { echarts } = await import(new URL("assets/echarts.js", location));
			const o = echarts.getInstanceByDom(document.querySelector(".result > .chart")).getOption();
			return o.series[0].data.map(([t, v]) => v === null ? "" : t / 1000 + " " + o.xAxis[0].axisLabel.formatter(t)) })()`)
		if len(drawn) != 50 {
			t.Errorf("%s: %d steps are drawn: %v", choice, len(drawn), drawn)
		}
		for i, got := range drawn {
			start := span.From + int64(i)*halfHour
			clock := at(start, "15:04")
			if clock == "00:00" {
				clock = at(start, "Jan 02")
			}
			if want := fmt.Sprintf("%d %s", start, clock); got != want {
				t.Errorf("%s: step %d is drawn as %q, want %q", choice, i, got, want)
			}
		}
		b.click("the last slot", button("last"))
		says("the slot", ".chosen", "slot "+at(span.To-halfHour, minutes+":05")+" – "+at(span.To, "15:04"))
		b.open(h.URL+"/#/explorer"+query+"&tab=statistics", "explorer")
		says("the table", ".statistics .dim", at(span.From, minutes))
		b.open(h.URL+"/#/host"+query+"&address=nonsense", "host")
		b.open(h.URL+"/#/host"+query+"&address=10.0.0.1", "host")
		seen := ask[Answer](t, h, fmt.Sprintf("query?from=%d&to=%d&filter=ip+10.0.0.1&stat=ip/bytes", span.From, span.To))
		for _, r := range seen.Rankings[0].Rows {
			if r.Key == "10.0.0.1" {
				says("first seen", ".facts dd", at(int64(r.First), minutes+":05"))
			}
		}
		b.open(h.URL+"/#/exporters", "exporters")
		says("the first file", ".list td", at(span.From, minutes))
		says("the slot of an exporter", ".list td", at(span.To-halfHour, minutes))
		b.open(h.URL+"/#/profiles", "profiles")
		says("when a profile begins", ".profiles .dim", at(span.From, minutes))
		b.open(h.URL+"/#/overview", "overview")
		b.wait("the table of 24 hours", `document.querySelector(".statistics .dim")`)
		shown := eval[string](b, `document.querySelector(".statistics .dim").textContent.trim().slice(0, 16)`)
		from, err := time.ParseInLocation(minutes, shown, zone)
		if ago := time.Since(from); err != nil || ago < 23*time.Hour || ago > 25*time.Hour {
			t.Errorf("%s: the table of 24 hours begins at %q: %v", choice, shown, err)
		}
	}
	b.complained()
}
