package archive

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// flowFile writes a file of two blocks, and returns what is in it.
func flowFile(t *testing.T, path string) []byte {
	t.Helper()
	w, err := nffile.Create(path, nffile.Options{Ident: "edge1"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		r := flow.Record{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), SrcPort: uint16(i),
			Exporter: netip.MustParseAddr("192.0.2.1"), Bytes: 100, Packets: 1, Proto: 6, First: 1.8e18, Last: 1.8e18}
		r.Present = flow.SetOf(flow.Src, flow.Dst)
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
		if i == 99 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A damaged file is mended where it is, at whatever place it was cut: it is sound then,
// and what it was is beside it. One that is sound is not touched.
func TestRepair(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "c", "d", "e", "f")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "nfcapd.202611221200")
	whole := flowFile(t, path)
	var r Repairer
	defer r.Close()
	if done, err := r.Repair(path, nil); err != nil || !done.Sound {
		t.Fatalf("a sound file: %+v, %v", done, err)
	}
	mended := 0
	for n := 0; n < len(whole); n += 997 {
		damaged := whole[:n]
		if err := os.WriteFile(path, damaged, 0o640); err != nil {
			t.Fatal(err)
		}
		done, err := r.Repair(path, nil)
		now, _ := os.ReadFile(path)
		if err != nil {
			if !bytes.Equal(now, damaged) || done.Flows > 0 {
				t.Fatalf("cut at %d: %v, and the file is another one", n, err)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Fatalf("cut at %d: %v, and left behind: %v", n, err, entries)
			}
			continue
		}
		mended++
		report, err := nffile.Verify(path, nil)
		if err != nil || !report.Sound() || report.Open || report.Flows != done.Flows || done.Flows == 0 {
			t.Fatalf("cut at %d: %+v, %v", n, report, err)
		}
		if aside, err := os.ReadFile(Aside(path)); err != nil || !bytes.Equal(aside, damaged) {
			t.Fatalf("cut at %d: the damaged file is not kept: %v", n, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
			t.Fatalf("cut at %d: permissions %v, %v", n, info.Mode(), err)
		}
		if err := os.Remove(Aside(path)); err != nil {
			t.Fatal(err)
		}
	}
	if mended < 5 {
		t.Errorf("only %d files were mended", mended)
	}
}

// Nothing is mended where an archive is open, in the directory or above it, nor where it
// would take away what an earlier repair has kept; a dry run changes nothing.
func TestRepairLeavesAlone(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "2026", "11", "22")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "nfcapd.202611221200")
	whole := flowFile(t, path)
	if err := os.WriteFile(path, whole[:len(whole)-100], 0o600); err != nil {
		t.Fatal(err)
	}
	unchanged := func(name string, err error, want string) {
		t.Helper()
		if b, readErr := os.ReadFile(path); readErr != nil || len(b) != len(whole)-100 {
			t.Errorf("%s: the file is another one: %v", name, readErr)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, expected %q", name, err, want)
		}
	}
	lock, err := disk.Lock(root)
	if err != nil {
		t.Fatal(err)
	}
	var r Repairer
	_, err = r.Repair(path, nil)
	unchanged("an open archive", err, "an archive is open here")
	r.Close()
	lock.Close()
	dry := Repairer{DryRun: true}
	done, err := dry.Repair(path, nil)
	unchanged("a dry run", err, "")
	if done.Flows != 200 {
		t.Errorf("a dry run finds %+v", done)
	}
	dry.Close()
	if err := os.WriteFile(Aside(path), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = r.Repair(path, nil)
	unchanged("an earlier repair", err, "move it away first")
	if err := os.Remove(Aside(path)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "nfcapd.202611221205")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	_, err = r.Repair(link, nil)
	unchanged("a link", err, "is a link")
	r.Close()
	if again, err := disk.Lock(root); err != nil {
		t.Errorf("the directory is not free again: %v", err)
	} else {
		again.Close()
	}
}

// What is mended nfdump lists, and it passes over what was kept.
func TestNfdumpReadsWhatIsMended(t *testing.T) {
	nfdump, err := exec.LookPath("nfdump")
	if err != nil {
		t.Skip("nfdump is not installed")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "nfcapd.202611221200")
	whole := flowFile(t, path)
	if err := os.WriteFile(path, whole[:len(whole)-100], 0o600); err != nil {
		t.Fatal(err)
	}
	var r Repairer
	defer r.Close()
	if _, err := r.Repair(path, nil); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(nfdump, "-R", dir, "-q", "-o", "line").CombinedOutput()
	if n := bytes.Count(out, []byte(" -> ")); err != nil || n != 200 {
		t.Errorf("nfdump lists %d flows, %v\n%.500s", n, err, out)
	}
	if _, err := os.Stat(Aside(path)); errors.Is(err, os.ErrNotExist) {
		t.Error("the damaged file is not kept")
	}
}
