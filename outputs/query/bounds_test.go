package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// quotient returns a*factor/b as math/big has it, the largest number where that is more.
func quotient(a, factor, b uint64) uint64 {
	if b == 0 {
		return 0
	}
	v := new(big.Int).Mul(new(big.Int).SetUint64(a), new(big.Int).SetUint64(factor))
	v.Div(v, new(big.Int).SetUint64(b))
	if !v.IsUint64() {
		return math.MaxUint64
	}
	return v.Uint64()
}

// TestRatesAreThoseOfBigNumbers compares with math/big over all magnitudes.
func TestRatesAreThoseOfBigNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	numbers := []uint64{0, 1, 2, 999, 1000, 1001, math.MaxUint32, math.MaxUint64/1000 - 1, math.MaxUint64 / 1000,
		math.MaxUint64/1000 + 1, math.MaxUint64 - 1, math.MaxUint64}
	for range 300 {
		numbers = append(numbers, rng.Uint64()>>rng.IntN(64))
	}
	for _, v := range numbers {
		for _, d := range numbers {
			if got, want := PerSecond(v, d), quotient(v, 1000, d); got != want {
				t.Fatalf("%d over %d ms: %d a second, expected %d", v, d, got, want)
			}
			if got, want := PerPacket(v, d), quotient(v, 1, d); got != want {
				t.Fatalf("%d bytes in %d packets: %d, expected %d", v, d, got, want)
			}
		}
	}
}

// TestOrdersOfRows: each order looks at the counters of its direction, and no other.
func TestOrdersOfRows(t *testing.T) {
	r := Row{First: 5000, Last: 9000, Flows: 3, InPackets: 100, InBytes: 7000, OutPackets: 20, OutBytes: 9000}
	for name, want := range map[string]uint64{"flows": 3, "packets": 120, "ipkg": 100, "opkg": 20, "bytes": 16000,
		"ibyte": 7000, "obyte": 9000, "pps": 30, "ipps": 25, "opps": 5, "bps": 32000, "ibps": 14000, "obps": 18000,
		"bpp": 133, "ibpp": 70, "obpp": 450, "tstart": 5000, "tend": 9000, "duration": 4000, "ipackets": 100,
		"opackets": 20, "ibytes": 7000, "obytes": 9000} {
		s, err := ParseSort(name)
		must(t, err)
		if got := r.value(s.By); got != want {
			t.Errorf("%s is %d, expected %d", name, got, want)
		}
		if times := name == "tstart" || name == "tend"; s.Ascending != times {
			t.Errorf("%s begins with the least: %v", name, s.Ascending)
		}
		for direction, ascending := range map[string]bool{":a": true, ":d": false} {
			if s, err := ParseSort(name + direction); err != nil || s.Ascending != ascending {
				t.Errorf("%s%s: %+v, %v", name, direction, s, err)
			}
		}
	}
	backwards := Row{First: 9000, Last: 5000, InPackets: 1}
	if backwards.Duration() != 0 || backwards.value(ByPPS) != 0 {
		t.Errorf("a row that ends before it begins lasts %d ms", backwards.Duration())
	}
	for text, want := range map[string]string{"": `unknown order "": expected one of flows packets`,
		"size": `unknown order "size"`, "flows:": "expected :a for the least first, or :d for the most",
		"flows:x": "expected :a for the least", "flows:a:d": "expected :a", "Flows": "unknown order"} {
		if _, err := ParseSort(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, expected %q", text, err, want)
		}
	}
	if got := Order(200).String(); got != "unknown" {
		t.Errorf("an order that is none is %q", got)
	}
}

// TestStatisticsThatAreNone: what is wrong, and what there is; nfdump's elements that are not there
// say why.
func TestStatisticsThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"":               `statistic "": unknown element ""`,
		"srcips":         `unknown element "srcips": expected one of srcip dstip ip srcport`,
		"srcip:q":        `unknown option "q" in statistic "srcip:q": expected p, a or d`,
		"srcip:p:":       `unknown option ""`,
		"srcip/size":     `statistic "srcip/size": unknown order "size": expected one of flows packets`,
		"srcip/duration": `unknown order "duration"`,
		"srcip/tstart":   `unknown order "tstart"`,
		"record/x":       `unknown order "x"`,
		"srctz":          "element srctz needs a geo data base",
		"dsttz":          "element dsttz needs a geo data base",
		"ja3":            "element ja3 needs the first bytes of connections",
		"ja4s":           "element ja4s needs the first bytes of connections",
		"srcip/bytes/":   `unknown order ""`,
	} {
		if _, err := ParseStat(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, expected %q", text, err, want)
		}
	}
	for text, want := range map[string][]Order{"record/duration/tstart/tend": {ByFirst, ByLast, ByDuration},
		"ip/obpp/flows/obpp:a": {ByFlows, ByOutBPP}} {
		s, err := ParseStat(text)
		must(t, err)
		if !slices.Equal(s.Orders, want) || s.Ascending != strings.Contains(text, ":a") {
			t.Errorf("%s: %+v, expected %v", text, s, want)
		}
	}
	names := map[string]Element{}
	for e := range numElements {
		if e.Title() == "" || e.String() == "unknown" {
			t.Errorf("element %d has no title or name", e)
		}
		for _, name := range elements[e].names {
			if other, twice := names[name]; twice {
				t.Errorf("%s is %s and %s", name, other, e)
			}
			names[name] = e
			if got, err := ParseElement(name); err != nil || got != e {
				t.Errorf("%s is %v, %v", name, got, err)
			}
		}
	}
	if e := Element(250); e.String() != "unknown" || e.Title() != "" {
		t.Errorf("an element that is none is %q", e)
	}
}

// TestLimitsAreThoseOfBigNumbers compares with math/big, signs and suffixes in turn.
func TestLimitsAreThoseOfBigNumbers(t *testing.T) {
	for _, digits := range []string{"0", "1", "999", "18446744073709551615", "18446744073709551616",
		"18446744073709551",
		"18446744073709552", "18446744073", "18446744074", "18446744", "18446745", "007"} {
		for power, suffix := range []string{"", "k", "m", "g", "t"} {
			want, _ := new(big.Int).SetString(digits, 10)
			want.Mul(want, new(big.Int).Exp(big.NewInt(1000), big.NewInt(int64(power)), nil))
			for _, sign := range []string{"", "+", "-"} {
				for _, s := range []string{suffix, strings.ToUpper(suffix)} {
					text := sign + digits + s
					got, err := ParseLimit(text)
					if fits := want.IsUint64(); (err == nil) != fits ||
						fits && got != (Limit{Set: true, Less: sign == "-", Than: want.Uint64()}) {
						t.Errorf("%s: %+v, %v, expected %s", text, got, err, want)
					}
				}
			}
		}
	}
	for _, c := range []struct {
		l    Limit
		text string
		has  [3]bool // of 9, 10 and 11
	}{{Limit{}, "> 0", [3]bool{true, true, true}}, {Limit{Set: true, Than: 10}, "> 10", [3]bool{false, false, true}},
		{Limit{Set: true, Less: true, Than: 10}, "< 10", [3]bool{true, false, false}}} {
		if got := [3]bool{c.l.has(9), c.l.has(10), c.l.has(11)}; got != c.has || c.l.String() != c.text {
			t.Errorf("%+v is %q and has %v", c.l, c.l, got)
		}
	}
}

// TestWindowsHaveFlows compares with what a window is: points of time in common, or all of them.
func TestWindowsHaveFlows(t *testing.T) {
	for from := range uint64(6) {
		for to := range uint64(7) {
			for first := uint64(1); first < 7; first++ {
				for last := first; last < 7; last++ {
					common, all := false, true
					for at := first; at <= last; at++ {
						in := at >= from && (to == 0 || at <= to)
						common, all = common || in, all && in
					}
					if to != 0 && to < from {
						continue // no window
					}
					if got := (Window{From: from, To: to}).has(first, last); got != common {
						t.Errorf("%d to %d has a flow from %d to %d: %v", from, to, first, last, got)
					}
					if got := (Window{From: from, To: to, Within: true}).has(first, last); got != all {
						t.Errorf("within %d and %d is a flow from %d to %d: %v", from, to, first, last, got)
					}
				}
			}
		}
	}
}

// TestWindowsAreThoseOfPackageTime reads each form of a time, in places where clocks are set.
func TestWindowsAreThoseOfPackageTime(t *testing.T) {
	zones := []*time.Location{time.UTC, time.FixedZone("", 5*3600+1800)}
	for _, name := range []string{"Europe/Zurich", "America/New_York"} {
		if zone, err := time.LoadLocation(name); err == nil {
			zones = append(zones, zone)
		}
	}
	forms := map[string]string{"2006/01/02.15:04:05": "2006-01-02T15:04:05", "2006/01/02.15:04": "2006-01-02 15:04",
		"2006/01/02.15": "2006-01-02T15", "2006/01/02": "2006-01-02", "2006/01": "", "2006": ""}
	for _, zone := range zones {
		for _, at := range []time.Time{time.Date(2026, 3, 29, 3, 0, 0, 0, zone),
			time.Date(2026, 10, 25, 2, 30, 15, 0, zone),
			time.Date(2024, 2, 29, 23, 59, 59, 0, zone), time.Date(2026, 1, 1, 0, 0, 0, 0, zone)} {
			for form, iso := range forms {
				want, err := time.ParseInLocation(form, at.Format(form), zone)
				must(t, err)
				end := want.Add(400 * 24 * time.Hour)
				for _, f := range []string{form, iso} {
					if f == "" {
						continue
					}
					w, err := ParseWindow(at.Format(f), nil, zone)
					if err != nil || w != (Window{From: uint64(want.UnixMilli())}) {
						t.Errorf("%s in %s: %+v, %v, expected %s", at.Format(f), zone, w, err, want)
					}
					text := at.Format(f) + "-" + end.Format("2006/01/02.15:04:05")
					w, err = ParseWindow(text, nil, zone)
					if err != nil || w != (Window{From: uint64(want.UnixMilli()), To: uint64(end.UnixMilli())}) {
						t.Errorf("%s in %s: %+v, %v, expected %s to %s", text, zone, w, err, want, end)
					}
				}
			}
		}
	}
}

// TestWindowsThatAreNone: what is wrong with them, and which file tells no time.
func TestWindowsThatAreNone(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "nfcapd.1")
	must(t, os.WriteFile(broken, []byte("no flows"), 0o600))
	for text, want := range map[string]string{
		"":                        `time window "": "" is no time, expected YYYY/MM/DD.hh:mm:ss or the beginning of it`,
		"2026/13":                 `"2026/13" is no time`,
		"2026/02/30":              `"2026/02/30" is no time`,
		"2026/11/22.24":           `is no time`,
		"2026/11/22.10:60":        `is no time`,
		"2026/11/22-":             `"" is no time`,
		"2026/11/22-tomorrow":     `"tomorrow" is no time`,
		"1969/12/31":              `"1969/12/31" is no time`,
		"2026/11/22-2026/11/21":   `it ends before it begins`,
		"2026-11-22-2026-11-21":   `it ends before it begins`,
		"+":                       "expected a number of seconds behind the sign",
		"+-5":                     "expected a number of seconds",
		"-1.5":                    "expected a number of seconds",
		"+4294967296":             "expected a number of seconds",
		"+5":                      "the files do not tell their time",
		"-5":                      "the files do not tell their time",
		"2026/11/22-2026/11/23-1": "is no time",
	} {
		if w, err := ParseWindow(text, []string{broken, broken + "2"}, time.UTC); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, expected %q", text, w, err, want)
		}
	}
}

// TestFirstOfIsSorting compares with sorting all, for every number of rows around the length.
func TestFirstOfIsSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	for length := range 40 {
		for _, values := range []int{1, 3, 1000} {
			list := make([]entry, length)
			for i := range list {
				list[i] = entry{value: uint64(rng.IntN(values)), place: uint64(i)}
			}
			for _, s := range []*Sort{nil, {}, {Ascending: true}} {
				compare := func(a, b entry) int { return s.compare(&a, &b) }
				want := slices.SortedFunc(slices.Values(list), compare)
				for n := 1; n <= length+2; n++ {
					if got := firstOf(slices.Values(list), n, compare); !slices.Equal(got, want[:min(n, length)]) {
						t.Fatalf("the first %d of %v: %v", n, list, got)
					}
				}
				for _, more := range []bool{false, true} {
					for _, n := range []int{0, 1, length} {
						got := slices.Collect(ordered(slices.Clone(list), s, n, more))
						if keep := n > 0 && !more; !keep && !slices.Equal(got, want) ||
							keep && !slices.Equal(got, want[:min(n, length)]) {
							t.Fatalf("%d of %v in order, more %v: %v", n, list, more, got)
						}
					}
				}
			}
		}
	}
}

// TestTotalsInAnyOrder: sums of parts, in any order and with empty ones, are those of the whole.
func TestTotalsInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 52))
	for range 200 {
		var whole Totals
		parts := make([]Totals, 5)
		for range rng.IntN(12) {
			first := uint64(rng.IntN(3) * 1000) // 0 is that of an event
			last, n := first+uint64(rng.IntN(500)), uint64(rng.IntN(9))
			whole.addFlows(first, last, n, 2*n, 3*n)
			parts[rng.IntN(4)].addFlows(first, last, n, 2*n, 3*n) // the fifth stays empty
		}
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		var merged Totals
		for i := range parts {
			merged.merge(&parts[i])
		}
		if merged != whole {
			t.Fatalf("%+v, expected %+v", merged, whole)
		}
	}
}

// smallFile writes a file of so many flows in blocks that are not compressed.
func smallFile(t *testing.T, flows int) (path string, data []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "nfcapd.202611221000")
	w, err := nffile.Create(path, nffile.Options{Ident: "edge1"})
	must(t, err)
	var r flow.Record
	for i := range flows {
		makeFlow(&r, i)
		must(t, w.Append(&r))
	}
	must(t, w.Close())
	data, err = os.ReadFile(path)
	must(t, err)
	return path, data
}

// TestFilesCutAtEveryLength: a list has the first of the flows, a ranking as many, and where some are
// missing an error names the file.
func TestFilesCutAtEveryLength(t *testing.T) {
	const flows = 6
	path, data := smallFile(t, flows)
	whole := flowTexts(t, path)
	for n := range data {
		must(t, os.WriteFile(path, data[:n], 0o600))
		var got []string
		_, err := Each(t.Context(), []string{path}, func(r *flow.Record) error {
			got = append(got, recordText(r))
			return nil
		})
		if len(got) > flows || !slices.Equal(got, whole[:len(got)]) {
			t.Fatalf("of %d bytes: %q", n, got)
		}
		if len(got) < flows && (err == nil || !strings.Contains(err.Error(), path)) {
			t.Errorf("of %d bytes %d flows are read, the error is %v", n, len(got), err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x00\x1b") {
			t.Errorf("of %d bytes: the error has bytes of the file: %q", n, err)
		}
		tables, totals, err := Top(t.Context(), []string{path}, []Stat{{Element: Proto, Orders: []Order{ByFlows}}}, 0)
		if int(totals.Records) != len(got) || len(tables) != 1 || (err == nil) != (len(got) == flows) &&
			len(got) < flows {
			t.Errorf("of %d bytes: the ranking has %d flows of %d, %v", n, totals.Records, len(got), err)
		}
	}
}

// TestFilesWithEachByteChanged are read without a panic and without more flows than there were; what
// does not agree with its block is told.
func TestFilesWithEachByteChanged(t *testing.T) {
	const flows = 3
	path, data := smallFile(t, flows)
	for i := range data {
		for _, flip := range []byte{0x01, 0xff} {
			damaged := slices.Clone(data)
			damaged[i] ^= flip
			must(t, os.WriteFile(path, damaged, 0o600))
			n := 0
			totals, err := Each(t.Context(), []string{path}, func(*flow.Record) error {
				n++
				return nil
			})
			if n > flows || int(totals.Records) != n {
				t.Errorf("byte %d with %#x: %d flows, %+v, %v", i, flip, n, totals, err)
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("byte %d with %#x: the error does not name the file: %v", i, flip, err)
			}
		}
	}
}

// recordText is what flows are told apart by.
func recordText(r *flow.Record) string {
	return fmt.Sprint(r.Src, r.Dst, r.SrcPort, r.DstPort, r.Proto, r.First, r.Last, r.Packets, r.Bytes, r.RevBytes)
}

// flowTexts returns the flows of files.
func flowTexts(t *testing.T, files ...string) (all []string) {
	t.Helper()
	_, err := Each(t.Context(), files, func(r *flow.Record) error {
		all = append(all, recordText(r))
		return nil
	})
	must(t, err)
	return all
}

// TestQueriesAtOnce reads the same files by several goroutines, one of which gives up: none disturbs
// another.
func TestQueriesAtOnce(t *testing.T) {
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "nfcapd.1"), filepath.Join(dir, "nfcapd.2")}
	makeFile(t, files[0], 0, 3000)
	makeFile(t, files[1], 3000, 5000)
	want := flowTexts(t, files...)
	stat, err := ParseStat("srcip:p/bytes")
	must(t, err)
	tables, _, err := Top(t.Context(), files, []Stat{stat}, 20)
	must(t, err)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if got := flowTexts(t, files...); !slices.Equal(got, want) {
				t.Errorf("query %d has %d flows, or others", i, len(got))
			}
		})
		wg.Go(func() {
			got, _, err := Top(t.Context(), files, []Stat{stat}, 20)
			if err != nil || !slices.Equal(got[0].Rows, tables[0].Rows) {
				t.Errorf("ranking %d: %v, or other rows", i, err)
			}
		})
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			_, err := Each(ctx, files, func(*flow.Record) error {
				if n++; n == 100*(i+1) {
					cancel()
				}
				return nil
			})
			if !errors.Is(err, context.Canceled) || n < 100*(i+1) {
				t.Errorf("a query that is given up has read %d flows, %v", n, err)
			}
		})
	}
	wg.Wait()
}

// TestFilesOfWindows: of files with statistics those are read that can hold a flow of the window, and
// those that cannot be opened, so that the query tells of them.
func TestFilesOfWindows(t *testing.T) {
	dir := hours(t) // 21 to 02 o'clock, the last with flows until 02:05:30
	broken := filepath.Join(dir, "nfcapd.broken")
	must(t, os.WriteFile(broken, []byte("no flows"), 0o600))
	names := []string{"nfcapd.202611212100", "nfcapd.202611212200", "nfcapd.202611212300", "nfcapd.202611220000",
		"nfcapd.202611220100", "nfcapd.202611220200", "nfcapd.broken"}
	var files []string
	for _, name := range names {
		files = append(files, filepath.Join(dir, name))
	}
	for text, want := range map[string][]string{
		"2026": names, "2027": {"nfcapd.broken"}, "2026/11/22.02:05:30": names[5:], "2026/11/22.02:05:31": names[6:],
		"2026/11/21.22:01:30-2026/11/22.00": append(slices.Clone(names[1:4]), names[6]),
		"2026/11/21-2026/11/21.21:00:00":    {names[0], names[6]},
		"2026/11/21-2026/11/21.20:59:59":    {names[6]},
	} {
		w, err := ParseWindow(text, nil, time.UTC)
		must(t, err)
		var got []string
		for _, path := range w.Files(files) {
			got = append(got, filepath.Base(path))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, expected %q", text, got, want)
		}
	}
	if got := (Window{}).Files(files); !slices.Equal(got, files) {
		t.Errorf("no window has %q", got)
	}
}
