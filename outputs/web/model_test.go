package web

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// randomSources returns sources with files at random slots: some missing, some twice, some
// that are damaged, have expired or are still being written.
func randomSources(rng *rand.Rand, base int64) (list []*Source) {
	for i := range 1 + rng.IntN(3) {
		s := &Source{Name: fmt.Sprintf("live/edge%d", i), Interval: []int64{60, 300, 900}[rng.IntN(3)]}
		for slot := range int64(rng.IntN(60)) {
			for range 1 + max(rng.IntN(8)-6, 0) {
				if rng.IntN(6) == 0 {
					continue
				}
				f := slotFile{foundFile: foundFile{start: base + slot*s.Interval, size: rng.Int64N(1e6)}, known: true}
				f.path = fmt.Sprint(s.Name, "/", f.start, "/", rng.Uint32())
				f.stat = nffile.Stat{Flows: rng.Uint64N(1000), Packets: rng.Uint64N(1e6), Bytes: rng.Uint64N(1e9),
					SequenceFailures: rng.Uint64N(3)}
				for class := range 4 {
					f.stat.ProtoFlows[class], f.stat.ProtoPackets[class] = rng.Uint64N(300), rng.Uint64N(1e5)
					f.stat.ProtoBytes[class] = rng.Uint64N(1e8)
				}
				switch rng.IntN(10) {
				case 0:
					f.err = errors.New("it is damaged")
				case 1:
					f.gone = true
				case 2:
					f.open, f.mod = true, (f.start+rng.Int64N(2*s.Interval)-10)*1e9
				}
				s.files = append(s.files, f)
			}
		}
		list = append(list, s)
	}
	return list
}

// classOf returns the counters of a class of protocols by their names in nfdump -I.
func classOf(s *nffile.Stat, class string) Counters {
	i := slices.Index([]string{"tcp", "udp", "icmp", "other"}, class)
	if i < 0 {
		return Counters{s.Flows, s.Packets, s.Bytes}
	}
	return Counters{s.ProtoFlows[i], s.ProtoPackets[i], s.ProtoBytes[i]}
}

// secondsOf returns what a file covers: its whole interval, or while it is written up to its
// last change, of which one second is the least.
func secondsOf(s *Source, f *slotFile) int64 {
	if f.open {
		return max(min(f.mod/1e9-f.start, s.Interval), 1)
	}
	return s.Interval
}

// TestGraphIsTheModel draws graphs of random files, and adds up step by step what the files
// say that begin in it.
func TestGraphIsTheModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(81, 82))
	const base = int64(1_763_805_600)
	for range 300 {
		sources := randomSources(rng, base)
		span := Span{base + rng.Int64N(20_000) - 5000, 0}
		span.To = span.From + 1 + rng.Int64N(40_000)
		points, class := 1+rng.IntN(50), rng.IntN(len(protocols))
		g := graph(sources, span, points, class)
		n := (span.To - span.From + g.Step - 1) / g.Step
		if n > int64(points) || g.Span != span || len(g.Sources) != len(sources) {
			t.Fatalf("%d steps of %d s, at most %d wanted", n, g.Step, points)
		}
		for k, s := range sources {
			if g.Step%60 != 0 || g.Step < s.Interval {
				t.Fatalf("a step of %d s, the files have %d", g.Step, s.Interval)
			}
			want := GraphLine{Name: s.Name}
			for i := range n {
				from := span.From + i*g.Step
				var sum Counters
				seconds, failures, seen := int64(0), uint64(0), map[int64]bool{}
				for j := range s.files {
					f := &s.files[j]
					if f.err != nil || f.start < from || f.start >= from+g.Step || f.start >= span.To {
						continue
					}
					c := classOf(&f.stat, protocols[class])
					sum = Counters{sum.Flows + c.Flows, sum.Packets + c.Packets, sum.Bytes + c.Bytes}
					failures += f.stat.SequenceFailures
					if !seen[f.start] {
						seen[f.start] = true
						seconds += secondsOf(s, f)
					}
				}
				want.Seconds, want.Failures = append(want.Seconds, seconds), append(want.Failures, failures)
				want.Flows, want.Packets, want.Bytes = append(want.Flows, sum.Flows), append(want.Packets, sum.Packets),
					append(want.Bytes, sum.Bytes)
			}
			if !reflect.DeepEqual(g.Sources[k], want) {
				t.Fatalf("%+v, steps of %d: got\n%+v\nwant\n%+v", span, g.Step, g.Sources[k], want)
			}
		}
	}
}

// TestTableAndPeakAreTheModel: a row sums up the files of a source that can be read, the last
// row all of them; the peak is the first slot with the most.
func TestTableAndPeakAreTheModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(83, 84))
	const base = int64(1_763_805_600)
	for range 200 {
		sources := randomSources(rng, base)
		span := Span{base + rng.Int64N(10_000), 0}
		span.To = span.From + 1 + rng.Int64N(20_000)
		unit, class := []string{"flows", "packets", "bytes"}[rng.IntN(3)], rng.IntN(len(protocols))
		table := statistics(sources, span)
		total, sums := TableRow{Name: "total"}, map[int64]uint64{}
		for k, s := range sources {
			want, seen := TableRow{Name: s.Name}, map[int64]bool{}
			for i := range s.files {
				f := &s.files[i]
				if f.err != nil || f.start < span.From || f.start >= span.To {
					continue
				}
				if !f.gone {
					want.Files++
				}
				if !seen[f.start] {
					seen[f.start] = true
					want.Seconds += secondsOf(s, f)
				}
				want.Failures += f.stat.SequenceFailures
				for c, name := range protocols {
					of := classOf(&f.stat, name)
					w := &want.Counters[c]
					*w = Counters{w.Flows + of.Flows, w.Packets + of.Packets, w.Bytes + of.Bytes}
				}
				of := classOf(&f.stat, protocols[class])
				sums[f.start] += map[string]uint64{"flows": of.Flows, "packets": of.Packets, "bytes": of.Bytes}[unit]
			}
			if !reflect.DeepEqual(table.Rows[k], want) {
				t.Fatalf("got\n%+v\nwant\n%+v", table.Rows[k], want)
			}
			total.Files, total.Failures, total.Seconds = total.Files+want.Files, total.Failures+want.Failures,
				max(total.Seconds, want.Seconds)
			for c := range protocols {
				total.Counters[c].addCounters(want.Counters[c])
			}
		}
		if !reflect.DeepEqual(table.Total, total) {
			t.Fatalf("in all\n%+v\nwant\n%+v", table.Total, total)
		}
		best, most := int64(0), uint64(0)
		for at, n := range sums {
			if best == 0 || n > most || n == most && at < best {
				best, most = at, n
			}
		}
		if at, found := peak(sources, span, class, unit); at != best || found != (len(sums) > 0) {
			t.Fatalf("the peak of %s is at %d, %v, want %d", unit, at, found, best)
		}
	}
}

// TestPresentSources: files that have expired are left out of what is read, those of the span
// are counted, and what was asked of stays as it was.
func TestPresentSources(t *testing.T) {
	rng := rand.New(rand.NewPCG(85, 86))
	const base = int64(1_763_805_600)
	for range 100 {
		sources := randomSources(rng, base)
		span := Span{base, base + rng.Int64N(30_000)}
		var before []int
		want, gone := 0, 0
		for _, s := range sources {
			before = append(before, len(s.files))
			for _, f := range s.files {
				if f.gone && f.start >= span.From && f.start < span.To {
					want++
				}
				if f.gone {
					gone++
				}
			}
		}
		list, expired := present(sources, span)
		left := 0
		for i, s := range list {
			if s.Name != sources[i].Name || len(sources[i].files) != before[i] {
				t.Fatalf("%s became %s of %d files", sources[i].Name, s.Name, len(sources[i].files))
			}
			if slices.ContainsFunc(s.files, func(f slotFile) bool { return f.gone }) {
				t.Fatal("a file that has expired would be read")
			}
			left += before[i] - len(s.files)
		}
		if expired != want || left != gone {
			t.Fatalf("%d have expired, want %d; %d are left out, want %d", expired, want, left, gone)
		}
	}
}

// TestChoiceOfSources: sources by name in the order that was asked for, or all of a profile;
// with neither those of NfSen's profile live, else of the first.
func TestChoiceOfSources(t *testing.T) {
	of := func(names ...string) (list []*Source) {
		for _, name := range names {
			list = append(list, &Source{Name: name})
		}
		return list
	}
	nfsen := of("dns/in", "dns/out", "live/edge1", "live/edge2", "web/all")
	for _, c := range []struct {
		all     []*Source
		names   string
		profile string
		want    string // or a part of the error behind a "!"
	}{
		{nfsen, "", "", "live/edge1 live/edge2"},
		{nfsen, "", "dns", "dns/in dns/out"},
		{nfsen, "", "live", "live/edge1 live/edge2"},
		{nfsen, "web/all dns/in", "", "web/all dns/in"},
		{nfsen, "web/all dns/in", "live", "web/all dns/in"},
		{nfsen, "live/edge1 live/edge1", "", "live/edge1 live/edge1"},
		{nfsen, "edge1", "", `!there is no source "edge1": expected one of dns/in, dns/out, live/edge1`},
		{nfsen, "live/edge1 live/edge3", "", `!there is no source "live/edge3"`},
		{nfsen, "", "nobody", `!profile: there is no profile "nobody"`},
		{of("."), "", "", "."},
		{of("."), ".", "", "."},
		{of("a", "b"), "", "", "a b"},
		{of("x/live/edge1", "x/dns/in"), "", "", "x/live/edge1"},
		{of("x/dns/in", "x/live/edge1"), "", "", "x/live/edge1"},
		{of("liver/a", "alive/b"), "", "", "liver/a"},
		{nil, "", "", ""},
		{nil, "", "dns", ""},
		{nil, "a", "", `!there is no source "a"`},
		{of("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"), "12", "", "!9, 10, …"},
	} {
		got, err := chooseFrom(c.all, strings.Fields(c.names), c.profile)
		var names []string
		for _, s := range got {
			names = append(names, s.Name)
		}
		wrong, refused := strings.CutPrefix(c.want, "!")
		if refused != (err != nil) || refused && !strings.Contains(err.Error(), wrong) || !refused &&
			strings.Join(names, " ") != c.want {
			t.Errorf("%q of profile %q: %q, %v, want %q", c.names, c.profile, names, err, c.want)
		}
	}
}

// TestBoundsOfQuestions asks at the bounds of each field of a question, a list and a graph: the
// least and the most are answered, one less and one more are refused with the field and what
// was expected.
func TestBoundsOfQuestions(t *testing.T) {
	tr := makeTree(t, 2, 5)
	_, h := serve(t, tr.dir, Options{})
	span := fmt.Sprintf("&from=%d&to=%d", tr.from, tr.to)
	many := func(field, value string, n int) string {
		return strings.Repeat("&"+field+"="+url.QueryEscape(value), n)[1:]
	}
	long := url.QueryEscape(strings.Repeat(" ", maxFilter-len("any")) + "any")
	for request, want := range map[string]string{ // part of the error, "" for an answer
		"query?lines=1": "", "query?lines=100": "", "query?lines=101": `"101": expected a number from 1 to 100`,
		"query?lines=-1": `"-1": expected a number from 1 to 100`, "query?lines=1.5": `"1.5": expected a number`,
		"query?lines=": "", "query?lines=99999999999999999999": "expected a number from 1 to 100",
		"query?points=1": "", "query?points=2000": "", "query?points=2001": "from 1 to 2000",
		"query?points=0": "from 1 to 2000",
		"query?top=1000": "", "query?top=1001": "from 1 to 1000", "query?top=0": "from 1 to 1000",
		"query?unit=flows": "", "query?unit=Flows": `"Flows": expected one of bytes, packets, flows`,
		"query?peak=true": "", "query?peak=1": `"1": expected one of false, true`,
		"query?" + many("stat", "srcip/bytes", 12): "",
		"query?" + many("stat", "srcip/bytes", 13): "13 of them: expected at most 12",
		"query?stat=record":                        "record is asked for by the list of flows, with keys",
		"query?filter=" + long:                     "",
		"query?filter=+" + long: fmt.Sprintf("a filter of %d bytes: expected at most %d",
			maxFilter+1, maxFilter),
		"flows?limit=1": "", "flows?limit=10000": "", "flows?limit=10001": "from 1 to 10000",
		"flows?offset=1000000": "", "flows?offset=1000001": "from 0 to 1000000", "flows?offset=-1": "from 0 to 1000000",
		"flows?" + many("column", "%sa", 40): "", "flows?" + many("column", "%sa", 41): "41 of them: expected at most 40",
		"flows?column=%25": "a % without a tag", "flows?column=%25sa%2C%25da": "expected a tag, as in %sa",
		"flows?both=true": "", "flows?both=yes": "expected one of false, true", "flows?zone=utc": "",
		"flows?zone=Mars": "expected one of collector, utc", "graph?points=1": "", "graph?points=2001": "from 1 to 2000",
		"graph?protocol=icmp": "", "graph?protocol=ICMP": "expected one of any, tcp, udp, icmp, other",
	} {
		var f failure
		code := getJSON(t, h.URL+"/api/v1/"+request+span, &f)
		if want == "" && code != http.StatusOK || want != "" &&
			(code != http.StatusBadRequest || !strings.Contains(f.Error, want) || f.Field == "") {
			t.Errorf("%.60s: status %d, %q: %.200s, want %q", request, code, f.Field, f.Error, want)
		}
	}
	for request, want := range map[string]string{
		"query?from=5&to=6": "", "query?from=0&to=1": "", "query?from=6&to=6": "6: expected a time before 6, the end",
		"query?from=7&to=6": "7: expected a time before 6, the end", "query?from=-1&to=6": "from 0 to 253402300799",
		"query?from=0&to=0": "from 1 to 253402300799", "query?to=253402300799": "", "query?to=253402300800": "from 1 to",
		"query?from=yesterday": "expected a number",
	} {
		var f failure
		if code := getJSON(t, h.URL+"/api/v1/"+request, &f); (code == http.StatusOK) != (want == "") ||
			!strings.Contains(f.Error, want) {
			t.Errorf("%s: status %d, %s, want %q", request, code, f.Error, want)
		}
	}
}

// TestPlacesOfFiles: the source of a file is its directories without those of a date, in each
// of nfcapd's layouts.
func TestPlacesOfFiles(t *testing.T) {
	when := time.Date(2026, 11, 22, 10, 5, 0, 0, time.UTC)
	for _, dir := range []string{"2026/11/22", "2026/11/22/10", "2026/46/7", "2026/46/7/10", "2026/326", "2026/326/10",
		"2026-11-22", "2026-11-22/10", ""} {
		for _, source := range []string{"live/edge1", "edge1", "a/2026/b"} {
			root := t.TempDir()
			path := filepath.Join(root, source, dir, when.Format("nfcapd.200601021504"))
			writeSlot(t, path, when.Unix(), "198.51.100.1", 3, 0)
			s, _ := serve(t, root, Options{})
			sources := *s.archive.sources.Load()
			if len(sources) != 1 || sources[0].Name != source || len(sources[0].files) != 1 ||
				sources[0].files[0].start != when.Unix() || sources[0].files[0].stat.Flows != 3 {
				t.Errorf("%s below %s: %d sources: %+v", source, dir, len(sources), sources[0])
			}
		}
	}
}
