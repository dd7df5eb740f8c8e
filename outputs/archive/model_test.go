package archive

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// zone loads a time zone, which some machines do not have.
func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Skip(err)
	}
	return loc
}

// TestNamesAreDates compares the names of slots, and of their directories, with what date(1)
// makes of their times by strftime, as nfcapd does, in zones of whole and broken hours, over
// changes of summer time and the turns of years.
func TestNamesAreDates(t *testing.T) {
	date, err := exec.LookPath("date")
	if err != nil {
		t.Skip("date is not installed")
	}
	formats := []string{"", "%Y/%m/%d", "%Y/%m/%d/%H", "%Y/%W/%u", "%Y/%W/%u/%H", "%Y/%j", "%Y/%j/%H", "%Y-%m-%d",
		"%Y-%m-%d/%H", "nfcapd.%Y%m%d%H%M", "nfcapd.%Y%m%d%H%M%S"}
	for _, name := range []string{"UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"} {
		loc := zone(t, name)
		var times []time.Time
		for year := 2019; year <= 2031; year++ {
			for _, at := range []time.Time{time.Date(year, 1, 1, 0, 0, 0, 0, loc), time.Date(year, 3, 31, 1, 0, 0, 0, time.UTC),
				time.Date(year, 10, 25, 0, 59, 59, 0, time.UTC), time.Date(year, 12, 31, 23, 59, 59, 0, loc)} {
				for _, more := range []time.Duration{-time.Hour, 0, time.Second, time.Hour, 37 * time.Hour} {
					times = append(times, at.Add(more))
				}
			}
		}
		var lines strings.Builder
		for _, at := range times {
			fmt.Fprintf(&lines, "@%d\n", at.Unix())
		}
		cmd := exec.Command(date, "-f", "-", "+"+strings.Join(formats, "|"))
		cmd.Env, cmd.Stdin = append(os.Environ(), "TZ="+name), strings.NewReader(lines.String())
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("date reads no file of times: %v", err)
		}
		for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			at, want := times[i].In(loc), strings.Split(line, "|")
			for layout := range MaxLayout + 1 {
				if got := filepath.ToSlash(subdir(layout, at)); got != want[layout] {
					t.Errorf("%s: layout %d is %q, date says %q", at, layout, got, want[layout])
				}
			}
			if minute, second := finalName(at, time.Minute), finalName(at, 59*time.Second); minute != want[9] ||
				second != want[10] {
				t.Errorf("%s: %s and %s, date says %s and %s", at, minute, second, want[9], want[10])
			}
		}
	}
}

// TestSlots: a slot begins at a multiple of its interval since 1970, at or before its time,
// and its name says when, to the minute or second.
func TestSlots(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	for range 3000 {
		interval := time.Duration(1+rng.IntN(7200)) * time.Second
		at := time.Unix(rng.Int64N(4e9)-1e8, rng.Int64N(1e9)).UTC()
		slot := slotOf(at, interval)
		start := time.Unix(slot, 0).UTC()
		if start.After(at) || at.Sub(start) >= interval || slot%int64(interval/time.Second) != 0 {
			t.Fatalf("%s in slots of %s is in %s", at, interval, start)
		}
		got, ok := SlotTime(finalName(start, interval), time.UTC)
		want := start
		if interval >= time.Minute {
			want = start.Truncate(time.Minute)
		}
		if !ok || !got.Equal(want) {
			t.Fatalf("%s is read as %s, %v, want %s", finalName(start, interval), got, ok, want)
		}
		if n, ours := currentSlot(currentName(slot)); ours != (slot >= leastSlot) || ours && n != slot {
			t.Fatalf("%s is read as %d, %v", currentName(slot), n, ours)
		}
	}
}

// TestNamesOfSlots: what is the name of a complete file, and what is not; and which names an
// open file of this program has.
func TestNamesOfSlots(t *testing.T) {
	at := func(text string) time.Time {
		got, err := time.Parse(time.DateTime, text)
		must(t, err)
		return got
	}
	for name, want := range map[string]time.Time{
		"nfcapd.202611221000":         at("2026-11-22 10:00:00"),
		"nfcapd.20261122100059":       at("2026-11-22 10:00:59"),
		"pcap.202611221000.pcap":      at("2026-11-22 10:00:00"),
		"pcap.202611221000.pcap.zst":  at("2026-11-22 10:00:00"),
		"pcap.20261122100030.pcap":    at("2026-11-22 10:00:30"),
		"pcap.202611221000-12.pcap":   at("2026-11-22 10:00:00"),
		"nfcapd.202402291000":         at("2024-02-29 10:00:00"),
		"nfcapd.202602291000":         {}, // no leap year
		"nfcapd.202613221000":         {},
		"nfcapd.202611222400":         {},
		"nfcapd.202611221060":         {},
		"nfcapd.2026112210":           {},
		"nfcapd.2026112210000":        {},
		"nfcapd.202611221000.zst":     {},
		"nfcapd.202611221000.index":   {},
		"nfcapd.2026112210 0":         {},
		"nfcapd.+20261122100":         {},
		"nfcapd.current.1763805600":   {},
		"nfcapd.":                     {},
		"nfdump.202611221000":         {},
		"xnfcapd.202611221000":        {},
		"NFCAPD.202611221000":         {},
		"pcap.202611221000":           {},
		"pcap.202611221000.pcapng":    {},
		"pcap.current.1763805600":     {},
		".nfcapd.202611221000":        {},
		"nfcapd.202611221000-1":       {},
		"pcap.-202611221000.pcap":     {},
		"pcap.202611221000.pcap.zst~": {},
	} {
		got, ok := SlotTime(name, time.UTC)
		if ok != !want.IsZero() || ok && !got.Equal(want) {
			t.Errorf("%s: %s, %v, want %s", name, got, ok, want)
		}
	}
	for name, want := range map[string]int64{"nfcapd.current.1763805600": 1763805600,
		"nfcapd.current.100000000": 100000000, "nfcapd.current.99999999": 0, "nfcapd.current.12345": 0,
		"nfcapd.current.": 0, "nfcapd.current": 0,
		"nfcapd.current.01763805600": 0, "nfcapd.current.+1763805600": 0, "nfcapd.current.-1763805600": 0,
		"nfcapd.current.1763805600.damaged": 0, "nfcapd.current.1763805600x": 0,
		"nfcapd.current.9223372036854775807": 9223372036854775807, "nfcapd.current.9223372036854775808": 0} {
		if got, ours := currentSlot(name); ours != (want != 0) || ours && got != want {
			t.Errorf("%s: %d, %v, want %d", name, got, ours, want)
		}
	}
}

// TestFreeNames: of a slot whose name is taken, the next seconds of its minute name the others,
// the 60th or what is behind it has none, and the error says what to do.
func TestFreeNames(t *testing.T) {
	dir := t.TempDir()
	take := func(name string) { must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600)) }
	free := func(name string) string {
		got, err := freeName(filepath.Join(dir, name))
		if err != nil {
			if !strings.Contains(err.Error(), "no free name for") || !strings.Contains(err.Error(), "move the files of that "+
				"minute away") {
				t.Errorf("%s: %v", name, err)
			}
			return "none"
		}
		return filepath.Base(got)
	}
	if got := free("nfcapd.202611221000"); got != "nfcapd.202611221000" {
		t.Errorf("of a free name: %s", got)
	}
	take("nfcapd.202611221000")
	for second := 1; second <= 59; second++ {
		want := fmt.Sprintf("nfcapd.202611221000%02d", second)
		if got := free("nfcapd.202611221000"); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		take(want)
	}
	if got := free("nfcapd.202611221000"); got != "none" {
		t.Errorf("behind the last second: %s", got)
	}
	take("nfcapd.20261122100157")
	for _, want := range []string{"nfcapd.20261122100158", "nfcapd.20261122100159", "none"} {
		got := free("nfcapd.20261122100157")
		if got != want {
			t.Errorf("behind 57 seconds: %s, want %s", got, want)
		}
		if got != "none" {
			take(got)
		}
	}
}

// slotSize is a file of the model: its slot and the bytes of its blocks on the disk.
type slotSize struct {
	path string
	slot time.Time
	size int64
}

// expireModel is what Expire says that it does, written down: of the files in the order of
// their slots, all but the newest may go, the first first, until the limits hold.
func expireModel(files []slotSize, l Limits, now time.Time) (left []string, gone int, bytes int64) {
	slices.SortStableFunc(files, func(a, b slotSize) int { return a.slot.Compare(b.slot) })
	total, mark := int64(0), int64(l.Watermark)
	for _, f := range files {
		total += f.size
	}
	if mark == 0 {
		mark = 95
	}
	goal := total
	if l.Size > 0 && total > l.Size {
		goal = l.Size * mark / 100
	}
	for len(files) > 1 && (l.Age > 0 && now.Sub(files[0].slot) > l.Age || total > goal) {
		total -= files[0].size
		bytes += files[0].size
		gone++
		files = files[1:]
	}
	for _, f := range files {
		left = append(left, f.path)
	}
	return left, gone, bytes
}

// TestExpireIsTheModel fills archives at random and expires them by random limits: what is
// left is what the model leaves, and no directory without a file.
func TestExpireIsTheModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(63, 64))
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for round := range 30 {
		root := t.TempDir()
		dirs := []string{filepath.Join(root, "a"), filepath.Join(root, "b")}
		var files []slotSize
		for i := range rng.IntN(25) {
			slot := now.Add(-time.Duration(i*300+rng.IntN(300)) * time.Minute).Truncate(time.Minute)
			name := filepath.Join(dirs[rng.IntN(2)], subdir(rng.IntN(MaxLayout+1), slot), finalName(slot, time.Minute))
			must(t, os.MkdirAll(filepath.Dir(name), 0o755))
			must(t, os.WriteFile(name, make([]byte, rng.IntN(40000)), 0o600))
			info, err := os.Lstat(name)
			must(t, err)
			files = append(files, slotSize{name, slot, diskSize(info)})
		}
		for _, dir := range dirs {
			must(t, os.MkdirAll(dir, 0o755))
		}
		l := Limits{Watermark: rng.IntN(101)}
		if rng.IntN(2) == 0 {
			l.Age = time.Duration(1+rng.IntN(80)) * time.Hour
		}
		if rng.IntN(3) > 0 {
			l.Size = 1 + rng.Int64N(500000)
		}
		if l.Age == 0 && l.Size == 0 {
			l.Watermark = 0
		}
		left, gone, size := expireModel(files, l, now)
		done, err := Expire(dirs, l, time.UTC, now)
		must(t, err)
		got, empty := remaining(t, root)
		slices.Sort(left)
		if strings.Join(got, "\n") != strings.Join(left, "\n") || done.Files != gone || done.Bytes != size {
			t.Fatalf("round %d, %+v: %+v, want %d files of %d bytes; left\n%s\nwant\n%s", round, l, done, gone, size,
				strings.Join(got, "\n"), strings.Join(left, "\n"))
		}
		if gone > 0 && len(empty) > 0 {
			for _, dir := range empty {
				if !slices.Contains(dirs, dir) {
					t.Fatalf("round %d: %s is left empty", round, dir)
				}
			}
		}
	}
}

// remaining lists the files of a tree, and its directories without any entry.
func remaining(t *testing.T, root string) (files, empty []string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			files = append(files, path)
			return nil
		}
		entries, err := os.ReadDir(path)
		if len(entries) == 0 {
			empty = append(empty, path)
		}
		return err
	}))
	slices.Sort(files)
	return files, empty
}

// TestLimitsRefused says what is wrong with a limit.
func TestLimitsRefused(t *testing.T) {
	for _, c := range []struct {
		l    Limits
		want string
	}{
		{Limits{}, ""}, {Limits{Age: 1, Size: 1, Free: 1, Watermark: 100}, ""}, {Limits{Watermark: 1}, ""},
		{Limits{Age: -1}, "negative"}, {Limits{Size: -1}, "negative"}, {Limits{Free: -1}, "negative"},
		{Limits{Watermark: -1}, "watermark -1: expected percent, 1 to 100"},
		{Limits{Watermark: 101}, "watermark 101: expected percent, 1 to 100"},
	} {
		if err := c.l.Check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.l, err, c.want)
		}
	}
}
