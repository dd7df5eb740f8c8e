package archive

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// record returns a flow received at a time. Its source port tells it from others.
func record(i int, received time.Time) *flow.Record {
	r := &flow.Record{
		Exporter: netip.MustParseAddr("192.0.2.254"), Version: flow.V9, Domain: 7,
		Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"),
		SrcPort: uint16(i), DstPort: 80, Proto: 6, Packets: 2, Bytes: 100,
		Received: flow.TimeOf(received), First: flow.TimeOf(received), Last: flow.TimeOf(received),
	}
	r.Present.Add(flow.Src)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens an archive in UTC and closes it when the test ends.
func open(t *testing.T, opt Options) *Archive {
	t.Helper()
	if opt.Location == nil {
		opt.Location = time.UTC
	}
	opt.Errorf = func(format string, args ...any) { t.Logf("E "+format, args...) }
	opt.Infof = func(format string, args ...any) { t.Logf("I "+format, args...) }
	a, err := New(opt)
	must(t, err)
	must(t, a.Open())
	t.Cleanup(func() { a.Close() })
	return a
}

// write writes flows with these numbers.
func write(t *testing.T, a *Archive, received time.Time, numbers ...int) {
	t.Helper()
	must(t, a.Write(func(b Batch) error {
		for _, i := range numbers {
			if err := b.Append(record(i, received)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// tree returns what is in the files below dir: name to source ports.
func tree(t *testing.T, dir string) map[string][]int {
	t.Helper()
	got := map[string][]int{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		r, err := nffile.Open(path)
		if err != nil {
			return err
		}
		defer r.Close()
		name, _ := filepath.Rel(dir, path)
		got[name] = []int{}
		for r.Next() {
			got[name] = append(got[name], int(r.Record().SrcPort))
		}
		return r.Err()
	}))
	return got
}

// expect compares the tree with what it should be.
func expect(t *testing.T, dir string, want map[string][]int) {
	t.Helper()
	got := tree(t, dir)
	for name, numbers := range want {
		if !slices.Equal(got[name], numbers) {
			t.Errorf("%s: flows %v, expected %v", name, got[name], numbers)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

// The clock in a synctest bubble starts at 2000-01-01 00:00:00 UTC.
const firstSlot = "946684800"

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := open(t, Options{Dir: dir, Interval: time.Minute, Layout: 1})
		start := time.Now()
		write(t, a, start, 1, 2)
		expect(t, dir, map[string][]int{"2000/01/01/nfcapd.current." + firstSlot: {1, 2}})

		time.Sleep(time.Minute + grace + 100*time.Millisecond)
		synctest.Wait()
		write(t, a, start.Add(59*time.Second), 3) // received in the slot before: late
		write(t, a, time.Now(), 4)
		expect(t, dir, map[string][]int{
			"2000/01/01/nfcapd.200001010000":      {1, 2},
			"2000/01/01/nfcapd.current.946684860": {3, 4},
		})

		time.Sleep(2 * time.Minute) // a slot without flows gets a file too
		synctest.Wait()
		must(t, a.Close())
		expect(t, dir, map[string][]int{
			"2000/01/01/nfcapd.200001010000": {1, 2},
			"2000/01/01/nfcapd.200001010001": {3, 4},
			"2000/01/01/nfcapd.200001010002": {},
			"2000/01/01/nfcapd.200001010003": {},
		})
		f, err := nffile.OpenFile(filepath.Join(dir, "2000/01/01/nfcapd.200001010002"))
		must(t, err)
		defer f.Close()
		if s := f.Stat(); s.First != 946684920000 || s.Last != 946684980000 {
			t.Errorf("an empty file covers %d to %d, expected its slot", s.First, s.Last)
		}
	})
}

// TestRotationByReceipt: a batch written within the grace of the old slot is
// divided by the time of receipt; a flow from the future stays in the present.
func TestRotationByReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := open(t, Options{Dir: dir, Interval: time.Minute})
		time.Sleep(time.Minute + 500*time.Millisecond)
		end := time.Now().Truncate(time.Minute)
		must(t, a.Write(func(b Batch) error {
			return errors.Join(b.Append(record(1, end.Add(-time.Second))),
				b.Append(record(2, end.Add(time.Millisecond))),
				b.Append(record(3, end.Add(time.Hour))), b.Append(record(4, time.Time{})))
		}))
		synctest.Wait()
		must(t, a.Close())
		expect(t, dir, map[string][]int{"nfcapd.200001010000": {1}, "nfcapd.200001010001": {2, 3, 4}})
	})
}

// TestFailedBatchOverRotation: nothing of a batch that fails stays, in neither of
// the two files.
func TestFailedBatchOverRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := open(t, Options{Dir: dir, Interval: time.Minute})
		write(t, a, time.Now(), 1)
		time.Sleep(time.Minute + 500*time.Millisecond)
		failure := errors.New("no")
		err := a.Write(func(b Batch) error {
			b.Append(record(2, time.Now().Add(-time.Second)))
			b.Append(record(3, time.Now()))
			return failure
		})
		if !errors.Is(err, failure) {
			t.Fatal(err)
		}
		write(t, a, time.Now(), 4)
		synctest.Wait()
		must(t, a.Close())
		expect(t, dir, map[string][]int{"nfcapd.200001010000": {1}, "nfcapd.200001010001": {4}})
	})
}

func TestSecondsInNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := open(t, Options{Dir: dir, Interval: time.Second})
		time.Sleep(3500 * time.Millisecond)
		synctest.Wait()
		must(t, a.Close())
		expect(t, dir, map[string][]int{"nfcapd.20000101000000": {}, "nfcapd.20000101000001": {},
			"nfcapd.20000101000002": {}})
	})
}

// TestRestart: within the slot, the file that has its name already is appended to.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for i := range 3 {
			a := open(t, Options{Dir: dir, Interval: time.Minute, Compression: nffile.LZ4, Ident: "edge1"})
			write(t, a, time.Now(), i)
			must(t, a.Close())
		}
		expect(t, dir, map[string][]int{"nfcapd.200001010000": {0, 1, 2}})
		f, err := nffile.OpenFile(filepath.Join(dir, "nfcapd.200001010000"))
		must(t, err)
		defer f.Close()
		if f.Stat().Flows != 3 || f.Ident() != "edge1" {
			t.Errorf("flows %d, ident %q", f.Stat().Flows, f.Ident())
		}
	})
}

// kill leaves an archive as a kill of the process does.
func kill(a *Archive) {
	a.mu.Lock()
	for _, f := range a.files {
		f.Abandon()
	}
	a.files, a.last = nil, nil
	a.mu.Unlock()
	a.Close()
}

// TestLeftover: what a kill left open is made whole: in the same slot by going on,
// later by completing it.
func TestLeftover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		opt := Options{Dir: dir, Interval: time.Minute, Layout: 2}
		a := open(t, opt)
		write(t, a, time.Now(), 1)
		kill(a)
		a = open(t, opt)
		write(t, a, time.Now(), 2)
		kill(a)
		time.Sleep(3 * time.Minute)
		torn := filepath.Join(dir, "2000/01/01/00/nfcapd.current."+firstSlot)
		f, err := os.OpenFile(torn, os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		f.WriteString("half a block")
		f.Close()
		must(t, os.WriteFile(filepath.Join(dir, "nfcapd.current.4711"), []byte("of nfcapd"), 0o644))
		a = open(t, opt)
		must(t, a.Close())
		must(t, os.Remove(filepath.Join(dir, "nfcapd.current.4711")))
		expect(t, dir, map[string][]int{"2000/01/01/00/nfcapd.200001010000": {1, 2},
			"2000/01/01/00/nfcapd.200001010003": {}})
	})
}

// TestNameTaken: a file of another program with the slot's name is not touched
// when it cannot be appended to, nor when it comes while the slot is open.
func TestNameTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		foreign := filepath.Join(dir, "nfcapd.200001010000")
		must(t, os.WriteFile(foreign, []byte("something else"), 0o644))
		a := open(t, Options{Dir: dir, Interval: time.Minute})
		write(t, a, time.Now(), 1)
		must(t, os.WriteFile(filepath.Join(dir, "nfcapd.20000101000001"), nil, 0o644))
		must(t, a.Close())
		if b, _ := os.ReadFile(foreign); string(b) != "something else" {
			t.Errorf("the file of another program is now %q", b)
		}
		must(t, os.Remove(foreign))
		must(t, os.Remove(filepath.Join(dir, "nfcapd.20000101000001")))
		expect(t, dir, map[string][]int{"nfcapd.20000101000002": {1}})
	})
}

// TestDamagedLeftover: what is not a flow file does not keep the archive from
// opening, and stays.
func TestDamagedLeftover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, slot := range []string{firstSlot, "946000020"} {
			must(t, os.WriteFile(filepath.Join(dir, "nfcapd.current."+slot), make([]byte, 4096), 0o644))
		}
		must(t, os.WriteFile(filepath.Join(dir, "nfcapd.current.946000080"), nil, 0o644))
		for range 2 {
			a := open(t, Options{Dir: dir, Interval: time.Minute})
			must(t, a.Close())
		}
		for _, slot := range []string{firstSlot, "946000020"} {
			must(t, os.Remove(filepath.Join(dir, "nfcapd.current."+slot+".damaged")))
		}
		expect(t, dir, map[string][]int{"nfcapd.200001010000": {}, "nfcapd.199912240148": {}})
	})
}

// TestSummerTime: in the hour that comes twice the second file goes to the first.
func TestSummerTime(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones")
	}
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		time.Sleep(time.Until(time.Date(2000, 10, 29, 0, 30, 0, 0, time.UTC))) // 02:30 summer time
		for i := range 2 {
			a := open(t, Options{Dir: dir, Interval: 5 * time.Minute, Location: zone})
			write(t, a, time.Now(), i)
			must(t, a.Close())
			time.Sleep(time.Hour)
		}
		expect(t, dir, map[string][]int{"nfcapd.200010290230": {0, 1}})
	})
}

// TestClockSetBack: a slot in the far future does not stay open.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := open(t, Options{Dir: dir, Interval: time.Minute})
		synctest.Wait()
		write(t, a, time.Now(), 1)
		must(t, a.tick(time.Now().Add(-time.Hour)))
		write(t, a, time.Now().Add(-time.Hour), 2)
		must(t, a.Close())
		expect(t, dir, map[string][]int{"nfcapd.200001010000": {1}, "nfcapd.199912312300": {2}})
	})
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	a := open(t, Options{Dir: dir})
	b, err := New(Options{Dir: dir})
	must(t, err)
	for _, err := range []error{b.Open(), b.Check()} {
		if err == nil || !strings.Contains(err.Error(), "another process or output") {
			t.Errorf("a second writer: %v", err)
		}
	}
	must(t, a.Close())
	must(t, b.Check())
	must(t, b.Open())
	must(t, b.Close())
	must(t, b.Close())
	if err := b.Write(func(Batch) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("writing to a closed archive: %v", err)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	a, err := New(Options{Dir: filepath.Join(dir, "new", "one")})
	must(t, err)
	must(t, a.Check())
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Error("Check created something")
	}
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o644))
	for _, path := range []string{file, filepath.Join(file, "below")} {
		a, err := New(Options{Dir: path})
		must(t, err)
		if err := a.Check(); err == nil {
			t.Errorf("%s passes for a directory", path)
		}
	}
}

func TestOptions(t *testing.T) {
	for name, opt := range map[string]Options{
		"directory":   {},
		"interval":    {Dir: "d", Interval: 1500 * time.Millisecond},
		"negative":    {Dir: "d", Interval: -time.Second},
		"layout":      {Dir: "d", Layout: 9},
		"compression": {Dir: "d", Compression: nffile.ZSTD, Level: 99},
		"ident":       {Dir: "d", Ident: "two words"},
		"long ident":  {Dir: "d", Ident: strings.Repeat("x", nffile.MaxIdent+1)},
	} {
		if _, err := New(opt); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestSubdirIsStrftimes compares all layouts with date(1) on days around the turn
// of years.
func TestSubdirIsStrftimes(t *testing.T) {
	date, err := exec.LookPath("date")
	if err != nil {
		t.Skip("date is not installed")
	}
	formats := []string{"", "%Y/%m/%d", "%Y/%m/%d/%H", "%Y/%W/%u", "%Y/%W/%u/%H", "%Y/%j", "%Y/%j/%H", "%Y-%m-%d",
		"%Y-%m-%d/%H"}
	for year := 2018; year <= 2029; year++ {
		for _, day := range []int{-3, -1, 0, 1, 4, 59, 200} {
			when := time.Date(year, 1, 1+day, 13, 0, 0, 0, time.UTC)
			out, err := exec.Command(date, "-u", "-d", when.Format(time.DateTime),
				"+"+strings.Join(formats, "|")).Output()
			must(t, err)
			for layout, want := range strings.Split(strings.TrimSuffix(string(out), "\n"), "|") {
				if got := subdir(layout, when); got != want {
					t.Errorf("layout %d of %s: %q, expected %q", layout, when, got, want)
				}
			}
		}
	}
}
