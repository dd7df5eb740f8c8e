package archive

import (
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

// link makes a symbolic link, or skips the test where there are none.
func link(t *testing.T, to, name string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	if err := os.Symlink(to, name); err != nil {
		t.Skip(err)
	}
}

// slotFile writes a complete file with a flow.
func slotFile(t *testing.T, name string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	w, err := nffile.Create(name, nffile.Options{})
	must(t, err)
	must(t, w.Append(&flow.Record{First: 1e18, Last: 1e18, Packets: 1}))
	must(t, w.Close())
}

// linked makes a tree with links of every kind, and returns it and the directory that
// is outside of it. In the tree are four files, outside three.
func linked(t *testing.T) (root, outside string) {
	t.Helper()
	top := t.TempDir()
	outside = filepath.Join(top, "disk2")
	slotFile(t, filepath.Join(outside, "2025/11/22/nfcapd.202511221300"))
	slotFile(t, filepath.Join(outside, "2025/11/22/nfcapd.202511221305"))
	slotFile(t, filepath.Join(outside, "alone"))
	link(t, "..", filepath.Join(outside, "2025/up")) // a ring
	real := filepath.Join(top, "real")
	for _, name := range []string{"2026/11/22/nfcapd.202611221300", "2026/11/22/nfcapd.202611221305",
		"source/nfcapd.202611221300", "nfcapd.202611221310"} {
		slotFile(t, filepath.Join(real, name))
	}
	link(t, filepath.Join(outside, "2025"), filepath.Join(real, "2025"))                            // a year
	link(t, filepath.Join(outside, "alone"), filepath.Join(real, "2026/11/23/nfcapd.202511231300")) // a file
	link(t, "2026/11/22", filepath.Join(real, "latest"))
	link(t, "nfcapd.202611221310", filepath.Join(real, "nfcapd.202611221315"))
	link(t, ".", filepath.Join(real, "ring"))
	link(t, top, filepath.Join(real, "above"))
	link(t, filepath.Join(top, "nowhere"), filepath.Join(real, "nfcapd.202611221320"))
	root = filepath.Join(top, "archive")
	link(t, "real", root) // the archive itself
	return root, outside
}

// TestWalkFollowsLinks: every file is come upon once, wherever links lead.
func TestWalkFollowsLinks(t *testing.T) {
	root, _ := linked(t)
	var in, out, wrong []string
	rel := func(path string) string { return strings.TrimPrefix(path, root+"/") }
	must(t, Walk(root, func(e Entry) error {
		if e.Outside {
			out = append(out, rel(e.Path))
		} else {
			in = append(in, rel(e.Path))
		}
		return nil
	}, func(path string, err error) error {
		wrong = append(wrong, rel(path))
		return nil
	}))
	wantIn := []string{"2026/11/22/nfcapd.202611221300", "2026/11/22/nfcapd.202611221305", "nfcapd.202611221310",
		"source/nfcapd.202611221300"}
	wantOut := []string{"2025/11/22/nfcapd.202511221300", "2025/11/22/nfcapd.202511221305", "2025/up/alone"}
	if !slices.Equal(in, wantIn) || len(out) != 3 || !slices.Equal(out[:2], wantOut[:2]) ||
		!slices.Equal(wrong, []string{"nfcapd.202611221320"}) {
		t.Errorf("in the tree %v, outside %v, wrong %v", in, out, wrong)
	}
	found, err := Selection{Range: root}.Files()
	must(t, err)
	if n := flowsIn(t, found.Files); n != 7 || len(found.Unreadable) != 1 {
		t.Errorf("%d flows, expected 7; %v", n, found.Unreadable)
	}
	for _, dir := range []string{root + "/2025", root + "/latest"} { // named itself, a link is where it leads to
		found, err := Selection{File: dir}.Files()
		must(t, err)
		if out := peers.Run(t, "nfdump", "-I", "-R", dir); !strings.Contains(out,
			fmt.Sprintf("Flows: %d\n", len(found.Files))) && dir != root+"/2025" {
			t.Errorf("%s: %v, nfdump says %.100s", dir, found.Files, out)
		}
	}
}

// TestExpireFollowsNoLinkOut: what lies in the tree goes, also when the archive is a
// link; what links lead to outside stays, and the links with it.
func TestExpireFollowsNoLinkOut(t *testing.T) {
	root, outside := linked(t)
	done, err := Expire([]string{root}, Limits{Size: 1}, time.UTC, time.Now())
	must(t, err)
	if done.Files != 3 {
		t.Errorf("%d files have expired, expected three of four", done.Files)
	}
	for _, name := range []string{outside + "/2025/11/22/nfcapd.202511221300", outside + "/alone",
		root + "/2025/11/22/nfcapd.202511221305", root + "/2026/11/23/nfcapd.202511231300",
		root + "/nfcapd.202611221310"} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(root + "/2026/11/22"); !os.IsNotExist(err) {
		t.Error("a directory that is empty is still there")
	}
}

// TestRecoverThroughLinks: an archive whose directory, year or source is a link is
// made whole at the next start, and what another program writes beyond a link is left
// alone.
func TestRecoverThroughLinks(t *testing.T) {
	top := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(top, "disk2/2025"), 0o755))
	must(t, os.MkdirAll(filepath.Join(top, "disk2/foreign"), 0o755))
	must(t, os.MkdirAll(filepath.Join(top, "real"), 0o755))
	link(t, "real", filepath.Join(top, "flows"))
	link(t, "../disk2/2025", filepath.Join(top, "real/2025"))
	link(t, "../disk2/foreign", filepath.Join(top, "real/foreign"))
	old := time.Date(2025, 11, 22, 13, 0, 0, 0, time.UTC)
	left := func(dir string, at time.Time) string {
		must(t, os.MkdirAll(dir, 0o755))
		name := filepath.Join(dir, currentName(at.Unix()))
		w, err := nffile.Create(name, nffile.Options{})
		must(t, err)
		must(t, w.Append(&flow.Record{First: 1e18, Last: 1e18, Packets: 1}))
		must(t, w.Flush())
		must(t, w.Abandon())
		return name
	}
	left(filepath.Join(top, "disk2/2025/11/22"), old)
	left(filepath.Join(top, "real/2024/11/22"), old.AddDate(-1, 0, 0))
	foreign := left(filepath.Join(top, "disk2/foreign"), old)
	planted := filepath.Join(top, "real", currentName(old.Unix()))
	link(t, foreign, planted)
	a, err := New(Options{Dir: filepath.Join(top, "flows"), Layout: 1, Location: time.UTC})
	must(t, err)
	must(t, a.Open())
	must(t, a.Close())
	for _, name := range []string{"real/2025/11/22/nfcapd.202511221300", "real/2024/11/22/nfcapd.202411221300"} {
		if n := flowsIn(t, []string{filepath.Join(top, name)}); n != 1 {
			t.Errorf("%s has %d flows", name, n)
		}
	}
	if _, err := os.Lstat(foreign); err != nil {
		t.Error("a file of another program was taken: ", err)
	}
	if _, err := os.Lstat(planted); err != nil {
		t.Error("a link was renamed: ", err)
	}
}

// TestSourceIsALink: with an archive for each address, one of them may be a link.
func TestSourceIsALink(t *testing.T) {
	top := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(top, "big"), 0o755))
	link(t, "../big", filepath.Join(top, "flows/192-0-2-1"))
	old := time.Date(2025, 11, 22, 13, 0, 0, 0, time.UTC)
	w, err := nffile.Create(filepath.Join(top, "big", currentName(old.Unix())), nffile.Options{})
	must(t, err)
	must(t, w.Append(&flow.Record{First: 1e18, Last: 1e18, Packets: 1}))
	must(t, w.Flush())
	must(t, w.Abandon())
	g, err := NewGroup(GroupOptions{Options: Options{Dir: filepath.Join(top, "flows"), Location: time.UTC},
		PerAddress: true})
	must(t, err)
	must(t, g.Open())
	must(t, g.Close())
	if n := flowsIn(t, []string{filepath.Join(top, "flows/192-0-2-1/nfcapd.202511221300")}); n != 1 {
		t.Errorf("%d flows", n)
	}
}
