package web

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"

	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
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

// relayOfThen starts a relay whose rule fired before a time, and that has a mail of half an hour
// behind it on hold.
func relayOfThen(t *testing.T, then time.Time) (spool string) {
	spool = t.TempDir()
	q, _, err := queue.Open(spool, monitor.New(nil, nil))
	must(t, err)
	e := &queue.Envelope{ID: q.NewID(), From: "cron@example.com", To: []string{"root@example.com"},
		Received: then.Add(halfHour * time.Second), Origin: queue.OriginSMTP}
	must(t, q.Add(e, []byte("Subject: then\r\n\r\nText.\r\n")))
	must(t, q.SetHeld(e.ID, true))
	must(t, q.Close())
	return startRelayIn(t, spool, then)
}

// drawn compares the steps of a graph, and the times on its axis, with what they are in a zone.
func (b *browser) drawn(what, chart string, steps int, from, step int64, zone *time.Location) {
	b.t.Helper()
	drawn := evalLater[[]string](b, fmt.Sprintf(`(async () => {
		const { echarts } = await import(new URL("assets/echarts.js", location));
		const o = echarts.getInstanceByDom(document.querySelector(%q)).getOption();
		return o.series[0].data.map(([t, v]) => v === null ? "" : t / 1000 + " " + o.xAxis[0].axisLabel.formatter(t)) })()`,
		chart))
	if len(drawn) != steps {
		b.t.Errorf("%s: %d steps are drawn: %v", what, len(drawn), drawn)
	}
	clock := "15:04"
	if int64(steps)*step <= 600 {
		clock += ":05"
	}
	for i, got := range drawn {
		start := time.Unix(from+int64(i)*step, 0).In(zone)
		label := start.Format(clock)
		if start.Format("15:04:05") == "00:00:00" {
			label = start.Format("Jan 02")
		}
		if want := fmt.Sprintf("%d %s", start.Unix(), label); got != want {
			b.t.Errorf("%s: step %d is drawn as %q, want %q", what, i, got, want)
		}
	}
}

// The times of every view are in the zone that is chosen, of a day of 25 hours too, whose hours
// the graph's axis has each once.
func TestBrowserTimeZones(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	dir, zone, span := dayTree(t, 2025, 10, 26)
	a, err := OpenArchive(dir, "", zone, t.Logf)
	must(t, err)
	defer a.Close()
	must(t, a.Refresh(t.Context()))
	profiles := makeProfiles(t, tree{from: span.From, to: span.To})
	fired := span.From + 3*3600 + 4*60 // in the hour that is there twice, from the first to the second
	_, h := serveArchive(t, a, Options{Profiles: profiles, Spool: relayOfThen(t, time.Unix(fired, 0))})
	york, err := time.LoadLocation("America/New_York")
	must(t, err)
	b.do(emulation.SetTimezoneOverride(york.String()))
	first := ask[Page](t, h, fmt.Sprintf("flows?from=%d&to=%d&limit=1&zone=utc", span.From, span.To)).Rows[0][0]
	flowTime, err := time.ParseInLocation("2006-01-02 15:04:05.000", first, time.UTC)
	must(t, err)
	events := ask[AlertList](t, h, "alerts").Alerts[0].Events
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
		b.drawn(choice, ".result > .chart", 50, span.From, halfHour, zone)
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
		b.open(h.URL+"/#/alerts", "alerts")
		says("since when a rule has fired", "[data-rule=load] .list td", events[len(events)-1].Time.In(zone).Format(
			minutes+":05"))
		for _, e := range events {
			says("an event", "[data-rule=load] .events td", e.Time.In(zone).Format(minutes+":05"))
		}
		b.wait("the rule's graph", charts(1))
		b.drawn(choice+": the rule", "[data-rule=load] .chart", 8, fired-8*60, 60, zone)
		b.open(h.URL+"/#/mail", "mail")
		says("when a mail came", ".queue td", at(fired+halfHour, minutes+":05"))
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
