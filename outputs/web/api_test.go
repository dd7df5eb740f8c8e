package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// nfdumpFiles returns the options of nfdump that read all of a tree.
func nfdumpFiles(tr tree) []string {
	first, last := filepath.Base(tr.slotPath("edge1", tr.from)), filepath.Base(tr.slotPath("edge1", tr.to-slotSeconds))
	return []string{"-M", filepath.Join(tr.dir, "live", "edge1") + ":edge2", "-R", first + ":" + last}
}

// The graph, the table and the peak have the numbers of nfdump -I for the same files; where
// no file is, is a gap.
func TestGraphAsNfdump(t *testing.T) {
	tr := makeTree(t, 12, 50)
	_, h := serve(t, tr.dir, Options{})
	span := fmt.Sprintf("from=%d&to=%d", tr.from, tr.to)
	g := ask[Graph](t, h, "graph?"+span)
	if g.Step != slotSeconds || len(g.Sources) != 2 {
		t.Fatalf("a step of %d, %d sources", g.Step, len(g.Sources))
	}
	best, bestSlot := uint64(0), int64(0)
	for i := range 12 {
		start, sum := tr.from+int64(i)*slotSeconds, uint64(0)
		for k, name := range []string{"edge1", "edge2"} {
			s := g.Sources[k]
			if name == "edge2" && start == tr.gap {
				if s.Seconds[i] != 0 || s.Flows[i] != 0 {
					t.Errorf("the gap has %d seconds, %d flows", s.Seconds[i], s.Flows[i])
				}
				continue
			}
			info := nfdumpInfo(t, "-r", tr.slotPath(name, start))
			if s.Flows[i] != info["Flows"] || s.Packets[i] != info["Packets"] || s.Bytes[i] != info["Bytes"] ||
				s.Failures[i] != info["Sequence failures"] || s.Seconds[i] != slotSeconds {
				t.Errorf("%s slot %d: %d flows, %d packets, %d bytes, %d lost, %d s; nfdump -I: %v", name, i,
					s.Flows[i],
					s.Packets[i], s.Bytes[i], s.Failures[i], s.Seconds[i], info)
			}
			sum += info["Bytes"]
		}
		if sum > best {
			best, bestSlot = sum, start
		}
	}
	table := ask[Table](t, h, "statistics?"+span)
	info := nfdumpInfo(t, nfdumpFiles(tr)...)
	for class, word := range []string{"", "_tcp", "_udp", "_icmp", "_other"} {
		c := table.Total.Counters[class]
		if c.Flows != info["Flows"+word] || c.Packets != info["Packets"+word] || c.Bytes != info["Bytes"+word] {
			t.Errorf("class %q has %v, nfdump -I %v", word, c, info)
		}
	}
	if p := ask[Slot](t, h, "peak?"+span); !p.Found || p.From != bestSlot || p.To != bestSlot+slotSeconds {
		t.Errorf("the peak is %v, want %d", p, bestSlot)
	}
	udp := ask[Graph](t, h, "graph?protocol=udp&points=1&"+span)
	if got := udp.Sources[0].Flows[0] + udp.Sources[1].Flows[0]; got != info["Flows_udp"] {
		t.Errorf("%d flows of UDP, nfdump -I has %d", got, info["Flows_udp"])
	}
}

// nfdumpInfo returns what nfdump -I says.
func nfdumpInfo(t *testing.T, args ...string) map[string]uint64 {
	t.Helper()
	info := map[string]uint64{}
	for line := range strings.Lines(peers.Run(t, "nfdump", append(args, "-I")...)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64); err == nil {
			info[name] = n
		}
	}
	return info
}

// A query's rankings and the lines of its graph have the numbers of nfdump -s and nfdump -A
// for the same files and filter; the steps sum up to them.
func TestQueryAsNfdump(t *testing.T) {
	tr := makeTree(t, 12, 80)
	_, h := serve(t, tr.dir, Options{})
	const filter = "proto tcp and dst port 443"
	a := ask[Answer](t, h,
		fmt.Sprintf("query?from=%d&to=%d&filter=%s&by=srcip&lines=5&stat=srcip/bytes&top=5&stat=dstip/packets",
			tr.from, tr.to, url.QueryEscape(filter)))
	if !a.Done || len(a.Problems) > 0 || len(a.Series.Lines) != 5 || len(a.Rankings) != 2 {
		t.Fatalf("done %v, problems %v, %d lines, %d rankings", a.Done, a.Problems, len(a.Series.Lines),
			len(a.Rankings))
	}
	for k, stat := range []string{"srcip/bytes", "dstip/packets"} {
		args := append(nfdumpFiles(tr), "-s", stat, "-n", "5", "-N", "-q", "-o", "csv", filter)
		rows := rankingRows(peers.Run(t, "nfdump", args...))
		for i, row := range a.Rankings[k].Rows {
			if got := fmt.Sprintf("%s %d %d %d", row.Key, row.Flows, row.Packets, row.Bytes); got != rows[i] {
				t.Errorf("-s %s row %d: %s, nfdump has %s", stat, i, got, rows[i])
			}
		}
	}
	for i, line := range a.Series.Lines {
		row, sum := a.Rankings[0].Rows[i], Counters{}
		for k := range line.Flows {
			sum.addCounters(Counters{line.Flows[k], line.Packets[k], line.Bytes[k]})
		}
		if line.Key[0] != row.Key || line.Counts != row.Counters || sum != row.Counters {
			t.Errorf("line %d is %v with %v, its steps have %v; the ranking has %v", i, line.Key, line.Counts, sum, row)
		}
	}
	total := a.Series.Rest.Counts
	for _, line := range a.Series.Lines {
		total.addCounters(line.Counts)
	}
	if total != a.Matched || a.Series.Total.Counts != a.Matched {
		t.Errorf("lines and rest have %v, the total %v, of %v", total, a.Series.Total.Counts, a.Matched)
	}
}

// rankingRows returns key, flows, packets, bytes of each row of nfdump's csv.
func rankingRows(text string) (rows []string) {
	for line := range strings.Lines(text) {
		if f := strings.Split(strings.TrimSpace(line), ","); len(f) > 9 && !strings.HasPrefix(line, "ts") {
			rows = append(rows, strings.Join([]string{f[4], f[5], f[7], f[9]}, " "))
		}
	}
	return rows
}

// Pages of flows follow each other without a gap; downloads have all flows that nfdump has.
func TestFlowsAndDownloads(t *testing.T) {
	tr := makeTree(t, 4, 60)
	_, h := serve(t, tr.dir, Options{})
	span := fmt.Sprintf("from=%d&to=%d&filter=%s", tr.from, tr.to, url.QueryEscape("proto udp"))
	var all []string
	for offset := 0; ; offset += 10 {
		p := ask[Page](t, h, fmt.Sprintf("flows?%s&limit=10&offset=%d&column=%%25sa&column=%%25sp&column=%%25byt",
			span, offset))
		for _, row := range p.Rows {
			all = append(all, strings.Join(row, ","))
		}
		if !p.More {
			break
		}
	}
	want := strings.Count(peers.Run(t, "nfdump", append(nfdumpFiles(tr), "-q", "-o", "fmt:%sa,%sp,%byt", "proto "+
		"udp")...), "\n")
	if len(all) != want || want == 0 {
		t.Errorf("%d flows, nfdump has %d", len(all), want)
	}
	sorted := ask[Page](t, h, "flows?sort=bytes&limit=3&column=%25byt&"+span)
	if a, _ := strconv.Atoi(sorted.Rows[0][0]); len(sorted.Rows) != 3 ||
		!strings.HasSuffix(sorted.Command, "'proto udp'") ||
		!slices.ContainsFunc(all, func(s string) bool { return strings.HasSuffix(s, ","+strconv.Itoa(a)) }) {
		t.Errorf("sorted: %v, %s", sorted.Rows, sorted.Command)
	}
	for format, begins := range map[string]string{"csv": "", "json": "[", "ndjson": "{", "parquet": "PAR1"} {
		res, err := http.Get(h.URL + "/api/v1/download?format=" + format + "&" + span)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		must(t, err)
		if !strings.HasPrefix(string(body), begins) ||
			!strings.Contains(res.Header.Get("Content-Disposition"), "."+format) {
			t.Errorf("%s: %.60q, %v", format, body, res.Header)
		}
		if lines := strings.Count(string(body), "\n"); format == "ndjson" && lines != want {
			t.Errorf("%s has %d lines, want %d", format, lines, want)
		}
	}
}

// The file that is being written is seen, as it grows, within a refresh; and what is gone is
// gone.
func TestFileBeingWritten(t *testing.T) {
	tr := makeTree(t, 3, 40)
	s, h := serve(t, tr.dir, Options{})
	current := filepath.Join(filepath.Dir(tr.slotPath("edge1", tr.to-slotSeconds)), fmt.Sprintf("nfcapd.current.%d",
		tr.to))
	count := func() uint64 {
		must(t, s.archive.Refresh(t.Context()))
		table := ask[Table](t, h, fmt.Sprintf("statistics?from=%d&to=%d&source=live/edge1", tr.to, tr.to+slotSeconds))
		return table.Total.Counters[0].Flows
	}
	if n := count(); n != 0 {
		t.Errorf("%d flows before", n)
	}
	writeSlot(t, current, tr.to, "198.51.100.1", 30, 0)
	if n := count(); n != 30 {
		t.Errorf("%d flows of 30", n)
	}
	a := ask[Answer](t, h, fmt.Sprintf("query?from=%d&to=%d&source=live/edge1&filter=any", tr.to, tr.to+slotSeconds))
	if a.Matched.Flows != 30 || !strings.Contains(a.Command, "--current") {
		t.Errorf("%d flows match, %s", a.Matched.Flows, a.Command)
	}
	// nfcapd has the number of its process there: the slot is that of its last change.
	theirs := filepath.Join(filepath.Dir(current), "nfcapd.current.4711")
	must(t, os.Rename(current, theirs))
	when := time.Unix(tr.to+10, 0)
	must(t, os.Chtimes(theirs, when, when))
	if n := count(); n != 30 {
		t.Errorf("%d flows of 30 in nfcapd's", n)
	}
	// What a scan reads of it is over the seconds up to now, not up to the last look at the archive;
	// when it has got its name meanwhile over all of them, and that is no problem.
	seconds := func(by string, want int64) {
		t.Helper()
		a := ask[Answer](t, h, fmt.Sprintf("query?from=%d&to=%d&source=live/edge1&by=%s", tr.to, tr.to+slotSeconds, by))
		if got := a.Series.Seconds[0]; got != want || len(a.Problems) > 0 {
			t.Errorf("%d seconds, want %d: %v", got, want, a.Problems)
		}
	}
	seconds("proto", 10)
	when = time.Unix(tr.to+200, 0)
	must(t, os.Chtimes(theirs, when, when))
	seconds("srcip", 200)
	must(t, os.Rename(theirs, theirs+".away"))
	seconds("dstip", slotSeconds)
	must(t, os.Rename(theirs+".away", theirs))
	must(t, os.Remove(theirs))
	if n := count(); n != 0 {
		t.Errorf("%d flows behind", n)
	}
}

// The store has the statistics of an earlier run at once, and is made anew when it is no
// store any more.
func TestStoreIsRebuilt(t *testing.T) {
	tr := makeTree(t, 6, 10)
	path := filepath.Join(t.TempDir(), "web.db")
	known := func() (before, after int) {
		a, err := OpenArchive(tr.dir, path, time.UTC, t.Logf)
		must(t, err)
		defer a.Close()
		must(t, a.store.each(func() {}, func(dir string, r *stored) {
			before++
			start, _ := slotStart(r.name, time.UTC)
			got, err := statOf(t.Context(), filepath.Join(tr.dir, dir, r.name))
			if start < tr.from || r.stat != got && err == nil { // of a file that has been removed nothing can be read
				t.Errorf("%s/%s: %+v, the file has %+v", dir, r.name, r.stat, got)
			}
		}))
		must(t, a.Refresh(t.Context()))
		for _, s := range *a.sources.Load() {
			after += len(s.files)
		}
		return before, after
	}
	if before, after := known(); before != 0 || after != 11 {
		t.Errorf("first: %d, %d files", before, after)
	}
	must(t, os.Remove(tr.slotPath("edge1", tr.from+slotSeconds)))
	if before, after := known(); before != 11 || after != 10 {
		t.Errorf("second: %d, %d files", before, after)
	}
	if before, after := known(); before != 10 || after != 10 {
		t.Errorf("third: %d, %d files", before, after)
	}
	must(t, os.Truncate(path, 8192))
	if before, after := known(); before != 0 || after != 10 {
		t.Errorf("without a store: %d, %d files", before, after)
	}
}

// Whatever the layout of sub-directories, a file's source is what stands before its date.
func TestSourcesOfLayouts(t *testing.T) {
	for dir, want := range map[string]string{
		"": ".", "2026/11/28": ".", "live/edge1": "live/edge1", "live/edge1/2026/11/28": "live/edge1",
		"live/edge1/2026/11/28/13": "live/edge1", "a/2026/48/6": "a", "a/2026/48/6/13": "a", "a/2026/332": "a",
		"a/2026/332/13": "a", "a/2026-11-28": "a", "a/2026-11-28/13": "a",
		"2026-11-28": ".", "a/b/c/2026/11/28": "a/b/c",
		"router-2026": "router-2026", "10": "10",
	} {
		if got := sourceOf(dir); got != want {
			t.Errorf("%q is of source %q, want %q", dir, got, want)
		}
	}
}

// The command that is shown reads the same files.
func TestCommandReadsTheSameFiles(t *testing.T) {
	tr := makeTree(t, 8, 5)
	s, _ := serve(t, tr.dir, Options{})
	for _, sources := range [][]string{nil, {"live/edge1"}, {"live/edge2"}} {
		form := url.Values{"from": {fmt.Sprint(tr.from +
			slotSeconds)}, "to": {fmt.Sprint(tr.to - slotSeconds)}, "source": sources,
			"filter": {"host 10.0.0.1 and not port 25"}}
		q, err := s.archive.question(form, time.Now())
		must(t, err)
		k := s.archive.newAsking(q, 1, 0)
		option := func(name string) string {
			if m := regexp.MustCompile(" " + name + ` (\S+)`).FindStringSubmatch(k.cost.Command); m != nil {
				return m[1]
			}
			return ""
		}
		found, err := archive.Selection{Sources: option("-M"), Range: option("-R")}.Files()
		must(t, err)
		var want []string
		for i := range k.files {
			want = append(want, k.files[i].path)
		}
		slices.Sort(found.Files)
		slices.Sort(want)
		if !slices.Equal(found.Files, want) || !strings.HasSuffix(k.cost.Command, ` 'host 10.0.0.1 and not port 25'`) {
			t.Errorf("%s reads %d files, want %d", k.cost.Command, len(found.Files), len(want))
		}
	}
	if got := quote(`it's $(x)`); got != `'it'\''s $(x)'` {
		t.Errorf("quoted as %s", got)
	}
}

// A wrong request says which field is wrong, and of a filter where.
func TestMistakesAreTold(t *testing.T) {
	tr := makeTree(t, 2, 5)
	_, h := serve(t, tr.dir, Options{})
	for request, field := range map[string]string{
		"query?filter=" + url.QueryEscape("proto tcp and prot 5"): "filter",
		"query?by=colour": "by", "query?lines=0": "lines", "query?stat=shoes": "stat", "query?from=9&to=5": "from",
		"query?source=nobody": "source", "query?colour=red": "colour", "graph?protocol=ax25": "protocol",
		"flows?sort=colour": "sort", "flows?column=sa": "column",
		"flows?limit=99999999": "limit", "download?format=exe": "format",
		"peak?unit=shoes": "unit", "query?profile=none": "profile", "graph?profile=none": "profile",
		"flows?profile=none": "profile", "exporters?profile=none": "profile", "exporters?source=nobody": "source",
		"query?filter=" + url.QueryEscape(`@include
			"/etc/passwd"`): "filter",
	} {
		var f failure
		if code := getJSON(t, h.URL+"/api/v1/"+request, &f); code != http.StatusBadRequest || f.Field != field ||
			f.Error == "" || strings.Contains(f.Error, field+": "+field+": ") {
			t.Errorf("%s: status %d, field %q: %s", request, code, f.Field, f.Error)
		}
	}
	f := ask[FilterResult](t, h, "filter?filter="+url.QueryEscape("src ip 10.0.0.1\nand prot 5"))
	if f.OK || f.Line != 2 || f.Column != 5 || f.Width == 0 || f.Message == "" {
		t.Errorf("the mistake is %+v", f)
	}
	c := ask[Completions](t, h, "complete?filter="+url.QueryEscape("src ip 10.0.0.1 and pro"))
	if c.From != 20 || len(c.Words) == 0 || c.Words[0].Text != "proto" {
		t.Errorf("completed by %+v", c)
	}
	if c = ask[Completions](t, h, "complete?filter=proto+t"); !slices.ContainsFunc(c.Words,
		func(w nffilter.Completion) bool { return w.Text == "tcp" }) {
		t.Errorf("proto t is completed by %+v", c)
	}
}

// A request from another site is refused with an error as all others are.
func TestOtherSitesAreRefused(t *testing.T) {
	_, h := serve(t, t.TempDir(), Options{})
	req, err := http.NewRequest("POST", h.URL+"/api/v1/login", strings.NewReader("{}"))
	must(t, err)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	var f failure
	if err := json.NewDecoder(res.Body).Decode(&f); err != nil || res.StatusCode != http.StatusForbidden ||
		res.Header.Get("Content-Type") != "application/json" || f.Error == "" {
		t.Errorf("status %d, %v: %+v, %v", res.StatusCode, res.Header, f, err)
	}
}

// Events of a query: first its cost, last its answer; who goes away ends the scan.
func TestQueryEventsAndCancel(t *testing.T) {
	tr := makeTree(t, 4, 50)
	s, h := serve(t, tr.dir, Options{Scans: 1})
	req, err := http.NewRequest("GET", fmt.Sprintf("%s/api/v1/query?from=%d&to=%d&by=dstport", h.URL, tr.from, tr.to),
		nil)
	must(t, err)
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	var names []string
	var answer Answer
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			names = append(names, name)
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && names[len(names)-1] == "answer" {
			must(t, json.Unmarshal([]byte(data), &answer))
		}
	}
	if names[0] != "cost" || names[len(names)-1] != "answer" || answer.Matched.Flows == 0 {
		t.Errorf("events %v, %d flows", names, answer.Matched.Flows)
	}
	// One place: who waits for it and goes away leaves nothing behind.
	must(t, s.scans.waitForPlace(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	again, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s/api/v1/query?from=%d&to=%d&by=srcport", h.URL,
		tr.from, tr.to), nil)
	must(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := http.DefaultClient.Do(again)
		ended <- err
	}()
	waitFor(t, "the scan to wait",
		func() bool { s.scans.mu.Lock(); defer s.scans.mu.Unlock(); return s.scans.queue == 1 })
	cancel()
	if <-ended == nil {
		t.Error("the request has ended without an error")
	}
	waitFor(t, "the scan to end", func() bool {
		s.scans.mu.Lock()
		defer s.scans.mu.Unlock()
		return s.scans.queue == 0 && len(s.scans.open) == 0
	})
	s.scans.leave()
}

// waitFor waits for a condition.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// Equal questions share a scan, and an answer is at hand until a file changes.
func TestEqualQuestionsShareAScan(t *testing.T) {
	tr := makeTree(t, 3, 20)
	s, h := serve(t, tr.dir, Options{Scans: 1})
	request := fmt.Sprintf("query?from=%d&to=%d&by=proto", tr.from, tr.to)
	must(t, s.scans.waitForPlace(t.Context()))
	answers := make(chan uint64, 5)
	for range 5 {
		go func() { answers <- ask[Answer](t, h, request).Matched.Flows }()
	}
	waitFor(t, "five to wait", func() bool {
		s.scans.mu.Lock()
		defer s.scans.mu.Unlock()
		n := 0
		for _, scan := range s.scans.open {
			n += scan.waiters
		}
		return n == 5
	})
	s.scans.leave()
	first := <-answers
	for range 4 {
		if n := <-answers; n != first || n == 0 {
			t.Errorf("%d flows, and %d", first, n)
		}
	}
	ask[Answer](t, h, request)
	if _, begun := s.scans.state(); begun != 1 {
		t.Errorf("%d scans", begun)
	}
	writeSlot(t, tr.slotPath("edge1", tr.to-slotSeconds)+"x", tr.to, "198.51.100.1", 1, 0)
	must(t, os.Rename(tr.slotPath("edge1", tr.to-slotSeconds)+"x", tr.slotPath("edge1", tr.to-slotSeconds)))
	must(t, s.archive.Refresh(t.Context()))
	if now := ask[Answer](t, h, request).Matched.Flows; now != first-19 {
		t.Errorf("%d flows behind the change, want %d", now, first-19)
	}
}

// The document of the API lists what is served, with the fields that there are.
func TestOpenAPIListsWhatIsServed(t *testing.T) {
	data, err := embedded.ReadFile("openapi.json")
	must(t, err)
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name string }
		}
	}
	must(t, json.Unmarshal(data, &doc))
	served := map[string]bool{}
	for _, r := range routes {
		method, path, _ := strings.Cut(r.pattern, " ")
		served[path] = true
		if _, ok := doc.Paths[path][strings.ToLower(method)]; !ok {
			t.Errorf("%s is not in the document", r.pattern)
		}
	}
	for path := range doc.Paths {
		if !served[path] {
			t.Errorf("%s is in the document only", path)
		}
	}
	for path, want := range map[string][]string{"query": questionFields, "cost": questionFields, "flows": listFields,
		"download": listFields} {
		var have []string
		for _, p := range doc.Paths["/api/v1/"+path]["get"].Parameters {
			have = append(have, p.Name)
		}
		slices.Sort(have)
		if sorted := slices.Sorted(slices.Values(want)); !slices.Equal(have, sorted) {
			t.Errorf("%s: the document has %v, served is %v", path, have, sorted)
		}
	}
}
