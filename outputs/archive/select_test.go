package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// hourly makes an archive: two sources with a file for every hour around midnight,
// in directories by day, and one source without directories. File i has i+1 flows.
func hourly(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	day := time.Date(2026, 11, 21, 21, 0, 0, 0, time.UTC)
	for _, source := range []string{"a", "b", "flat"} {
		for i := range 6 {
			at := day.Add(time.Duration(i) * time.Hour)
			sub := at.Format("2006/01/02")
			if source == "flat" {
				sub = ""
			}
			dir := filepath.Join(base, source, sub)
			must(t, os.MkdirAll(dir, 0o755))
			w, err := nffile.Create(filepath.Join(dir, at.Format("nfcapd.200601021504")), nffile.Options{})
			must(t, err)
			for n := range i + 1 {
				first := flow.TimeOf(at) + flow.Time(n)*flow.Time(time.Minute)
				must(t, w.Append(&flow.Record{First: first, Last: first + flow.Time(30*time.Second), Packets: 1}))
			}
			must(t, w.Close())
		}
		must(t, os.WriteFile(filepath.Join(base, source, "nfcapd.current.99"), nil, 0o644))
	}
	return base
}

// TestFiles lists trees without what is hidden or being written.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"2026/11/22/nfcapd.202611221005", "2026/11/22/nfcapd.202611221000",
		"2026/10/01/nfcapd.202610010000",
		"nfcapd.current.12", ".hidden/nfcapd.1", ".lock", "a"} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, nil, 0o644))
	}
	got, err := Files(dir, filepath.Join(dir, "nfcapd.current.12"))
	must(t, err)
	for i := range got {
		got[i], _ = filepath.Rel(dir, got[i])
	}
	want := []string{"2026/10/01/nfcapd.202610010000", "2026/11/22/nfcapd.202611221000",
		"2026/11/22/nfcapd.202611221005", "a", "nfcapd.current.12"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, expected %q", got, want)
	}
	if _, err := Files(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

// TestSelection reads ranges of files, and nfdump reads as many flows.
func TestSelection(t *testing.T) {
	base := hourly(t)
	for _, c := range []struct {
		s    Selection
		want string // the hours of the files
	}{
		{Selection{Range: base + "/a"}, "21 22 23 00 01 02"},
		{Selection{File: base + "/a"}, "21 22 23 00 01 02"},
		{Selection{File: base + "/flat/nfcapd.202611212200"}, "22"},
		{Selection{Range: base + "/flat/nfcapd.202611212200"}, "22 23 00 01 02"},
		{Selection{Range: base + "/a/2026/11/21/nfcapd.202611212200"}, "22 23"},
		{Selection{Range: base + "/flat/nfcapd.202611212200:nfcapd.202611220000"}, "22 23 00"},
		{Selection{Range: base + "/a/2026/11/21/nfcapd.202611212200:nfcapd.202611212300"}, "22 23"},
		{Selection{Range: base + "/a/2026/11/21/nfcapd.202611212300:2026/11/22/nfcapd.202611220100"}, "23 00 01"},
		{Selection{Range: base + "/a/nfcapd.202611212300:nfcapd.202611220100"}, "23 00 01"},
		{Selection{Sources: base + "/a:b", Range: "."}, "21 22 23 00 01 02 21 22 23 00 01 02"},
		{Selection{Sources: base + "/a:b", File: "2026/11/21/nfcapd.202611212200"}, "22 22"},
		{Selection{Sources: base + "/a:b", Range: "2026/11/21/nfcapd.202611212300:2026/11/22/nfcapd.202611220000"},
			"23 00 23 00"},
	} {
		found, err := c.s.Files()
		must(t, err)
		var hours []string
		for _, f := range found.Files {
			hours = append(hours, f[len(f)-4:len(f)-2])
		}
		if got := strings.Join(hours, " "); got != c.want {
			t.Errorf("%+v: %s, expected %s", c.s, got, c.want)
		}
		flows := flowsIn(t, found.Files)
		if s := c.s.Range; strings.HasPrefix(s, base+"/a/nfcapd") {
			continue // nfdump 1.7.1 does not find the sub-directories
		}
		args := c.s.nfdump("-I")
		if out := peers.Run(t, "nfdump", args...); !strings.Contains(out, fmt.Sprintf("Flows: %d\n", flows)) {
			t.Errorf("%+v: %d flows, nfdump %v says\n%.200s", c.s, flows, args, out)
		}
	}
}

// flowsIn returns how many flows files say that they have.
func flowsIn(t *testing.T, files []string) (n uint64) {
	t.Helper()
	for _, path := range files {
		f, err := nffile.OpenFile(path)
		must(t, err)
		n += f.Stat().Flows
		must(t, f.Close())
	}
	return n
}

// TestSelectionGivesWhatIsThere: a source that lacks a slot, a directory that is not
// there and a last file that does not exist keep nothing else from being read, as
// with nfdump, and are named.
func TestSelectionGivesWhatIsThere(t *testing.T) {
	base := hourly(t)
	must(t, os.Remove(filepath.Join(base, "b/2026/11/21/nfcapd.202611212300")))
	for _, c := range []struct {
		s       Selection
		flows   uint64
		missing string
		alone   bool // nfdump 1.7.1 does not know it
	}{
		{Selection{Sources: base + "/a:b", File: "2026/11/21/nfcapd.202611212300"}, 3,
			"b/2026/11/21/nfcapd.202611212300", false},
		{Selection{Sources: base + "/a:b", File: "nfcapd.202611212300"}, 3, "b/nfcapd.202611212300", false},
		{Selection{Sources: base + "/a:b", Range: "2026/11/21/nfcapd.202611212300:2026/11/22/nfcapd.202611220000"},
			3 + 4 + 4, "b has no nfcapd.202611212300", false},
		{Selection{Sources: base + "/a:b", Range: "nfcapd.202611212300:nfcapd.202611220000"}, 3 + 4 + 4,
			"b has no nfcapd.202611212300", false},
		{Selection{Sources: base + "/b:a", Range: "nfcapd.202611212300:nfcapd.202611220000"}, 3 + 4 + 4,
			"b has no nfcapd.202611212300", true},
		{Selection{Sources: base + "/a:b", Range: "2026/11/21/nfcapd.202611212200:2026/11/22/nfcapd.202611220000"},
			2 + 3 + 4 + 2 + 4, "b has no nfcapd.202611212300", false},
		{Selection{Sources: base + "/a:absent", Range: "."}, 21, "absent", false},
		{Selection{Sources: base + "/absent:a", File: "."}, 21, "absent", true},
		{Selection{Range: base + "/flat/nfcapd.202611220000:nfcapd.202611220130"}, 4 + 5, "no nfcapd.202611220130",
			false},
		{Selection{Range: base + "/flat/nfcapd.202611220000:nfcapd.209901010000"}, 4 + 5 + 6, "no nfcapd.209901010000",
			false},
		{Selection{Range: base + "/a/2026/11/21/nfcapd.202611212300:2026/11/23/nfcapd.202611230000"}, 3 + 4 + 5 + 6,
			"no nfcapd.202611230000", false},
		{Selection{Range: base + "/a/nfcapd.202611212300:nfcapd.202611230000"}, 3 + 4 + 5 + 6, "no nfcapd.202611230000",
			true},
		{Selection{Sources: base + "/a:b", Range: "nfcapd.202611220000:nfcapd.202611230000"}, 2 * (4 + 5 + 6),
			"no nfcapd.202611230000", true},
	} {
		found, err := c.s.Files()
		must(t, err)
		if got := flowsIn(t, found.Files); got != c.flows || !strings.Contains(fmt.Sprint(found.Missing), c.missing) {
			t.Errorf("%+v: %d flows, expected %d; missing %v, expected %q", c.s, got, c.flows, found.Missing, c.missing)
		}
		if !c.alone {
			if out := peers.Run(t, "nfdump", c.s.nfdump("-I")...); !strings.Contains(out,
				fmt.Sprintf("Flows: %d\n", c.flows)) {
				t.Errorf("%+v: %d flows, nfdump says\n%.300s", c.s, c.flows, out)
			}
		}
	}
}

// nfdump returns the selection as options of nfdump, behind others.
func (s Selection) nfdump(args ...string) []string {
	for _, o := range [][2]string{{"-r", s.File}, {"-R", s.Range}, {"-M", s.Sources}} {
		if o[1] != "" {
			args = append(args, o[0], o[1])
		}
	}
	return args
}

// TestSelectionCurrent: a file that is being written is read on request.
func TestSelectionCurrent(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "nfcapd.current.1800000000"), nil, 0o644))
	found, err := Selection{File: dir}.Files()
	must(t, err)
	with, err := Selection{Range: dir, Current: true}.Files()
	must(t, err)
	if len(found.Files) != 0 || found.Current != 1 || len(with.Files) != 1 {
		t.Errorf("%+v without, %+v with files that are being written", found, with)
	}
}

// TestSelectionRefused: what names nothing says why.
func TestSelectionRefused(t *testing.T) {
	base := hourly(t)
	for want, s := range map[string]Selection{
		"expected either a file or a range":    {},
		"nfcapd.202611212201: no such file":    {Range: base + "/flat/nfcapd.202611212201:nfcapd.209911220000"},
		"c: no such file":                      {Sources: base + "/c:d", Range: "."},
		"nfcapd.1: no such file":               {Sources: base + "/a:b", File: "nfcapd.1"},
		"LAST is a name beside FIRST":          {Range: base + "/flat/nfcapd.202611212200:/nfcapd.202611212300"},
		"as many sub-directories":              {Range: "nfcapd.202611212200:2026/11/22/nfcapd.202611220100"},
		"must not begin with /":                {Sources: base + "/a:b", Range: "/2026"},
		"should be the name of a directory":    {Sources: base + "/a:b/c", Range: "."},
		"the last file comes before the first": {Range: base + "/flat/nfcapd.202611220200:nfcapd.202611212200"},
	} {
		if found, err := s.Files(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %d files, %v, expected %q", s, len(found.Files), err, want)
		}
	}
}

// TestGuess finds files in every layout of directories that nfcapd has.
func TestGuess(t *testing.T) {
	const name = "nfcapd.202611221305"
	for _, sub := range []string{"2026/11/22", "2026/11/22/13", "2026/46/7", "2026/46/7/13", "2026/326", "2026/326/13",
		"2026-11-22", "2026-11-22/13"} {
		base := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(base, sub), 0o755))
		must(t, os.WriteFile(filepath.Join(base, sub, name), nil, 0o644))
		if got := inLayout(guess(base, name), name); got != sub+"/"+name {
			t.Errorf("%s: %s", sub, got)
		}
	}
	if got := guess(t.TempDir(), name); got >= 0 {
		t.Errorf("a file that is nowhere: layout %d", got)
	}
}
