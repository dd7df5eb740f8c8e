package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// header opens a file and returns its header and ident.
func header(t *testing.T, path string) (nffile.Header, string) {
	t.Helper()
	f, err := nffile.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.Header(), f.Ident()
}

// TestDumpCompressions: -z alone and -y and -j are nfdump's compressions of that name, and
// a word behind -z is a method, before or after the filter. The real nfdump reads them.
func TestDumpCompressions(t *testing.T) {
	file := flowFile(t, 100)
	for _, c := range []struct {
		args string
		want nffile.Compression
	}{
		{"-z", nffile.LZO}, {"-y", nffile.LZ4}, {"-j", nffile.BZ2}, {"", nffile.LZ4}, {"-z none", nffile.None},
		{"-z lzo proto tcp", nffile.LZO}, {"proto tcp -z bz2:5", nffile.BZ2}, {"-z=lz4 proto tcp", nffile.LZ4},
		{"-z zstd", nffile.ZSTD}, {"--compression=none", nffile.None},
	} {
		to := filepath.Join(t.TempDir(), "new")
		if out, err := dumped(t, append([]string{"-r", file, "-w", to}, strings.Fields(c.args)...)...); err != nil {
			t.Errorf("%s: %v: %s", c.args, err, out)
			continue
		}
		if head, _ := header(t, to); head.Compression != c.want {
			t.Errorf("%s: the file has %v, want %v", c.args, head.Compression, c.want)
		}
		if c.want == nffile.ZSTD { // nfdump 1.7.1 has none
			continue
		}
		if out := peers.Run(t, "nfdump", "-I", "-r", to); !strings.Contains(out, "Flows: 100\n") {
			t.Errorf("%s: nfdump reads %s", c.args, out)
		}
	}
	for _, words := range []string{"-z gzip", "-z gzip proto tcp", "proto tcp -z gzip"} {
		args := append([]string{"-r", file, "-w", filepath.Join(t.TempDir(), "new")}, strings.Fields(words)...)
		if _, err := dumped(t, args...); err == nil || !strings.Contains(err.Error(), `unknown compression "gzip"`) {
			t.Errorf("%s: %v", words, err)
		}
	}
	_, err := dumped(t, "-r", file, "-w", filepath.Join(t.TempDir(), "new"), "-z", "prot tcp")
	if err == nil || strings.Contains(err.Error(), "compression") {
		t.Errorf("a wrong filter behind -z: %v", err)
	}
	if _, err := dumped(t, "-r", file, "-w", filepath.Join(t.TempDir(), "new"), "-y", "-j"); err == nil {
		t.Error("-y and -j together were taken")
	}
}

// TestDumpInPlace: -i and -J change a file where it is, and nothing else of it; the real
// nfdump lists the same flows before and after.
func TestDumpInPlace(t *testing.T) {
	file := flowFile(t, 300)
	at := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
	list := func() string { return peers.Run(t, "nfdump", "-q", "-N", "-o", "extended", "-r", file) }
	before := list()
	for _, c := range []struct {
		args  []string
		says  string
		ident string
		want  nffile.Compression
	}{
		{[]string{"-i", "edge1"}, "ident: none -> edge1", "edge1", nffile.None},
		{[]string{"-J", "2"}, "compression changed", "edge1", nffile.BZ2},
		{[]string{"-J", "lz4:9"}, "compression changed", "edge1", nffile.LZ4},
		{[]string{"-i", "edge2"}, "ident: edge1 -> edge2", "edge2", nffile.LZ4},
		{[]string{"-J", "0"}, "compression changed", "edge2", nffile.None},
	} {
		out, err := dumped(t, append([]string{"-r", file}, c.args...)...)
		if err != nil || !strings.Contains(out, c.says) {
			t.Fatalf("%s: %v: %s", c.args, err, out)
		}
		head, ident := header(t, file)
		if head.Compression != c.want || ident != c.ident {
			t.Errorf("%s: %v of %q, want %v of %q", c.args, head.Compression, ident, c.want, c.ident)
		}
		if after := list(); after != before {
			t.Errorf("%s: before\n%safter\n%s", c.args, before, after)
		}
	}
	if info, err := os.Stat(file); err != nil || !info.ModTime().Equal(at) || info.Mode().Perm() != 0o640 {
		t.Errorf("the time is %v and the mode %v: %v", info.ModTime(), info.Mode(), err)
	}
	for _, bad := range [][]string{{"-J", "7"}, {"-i", "two words"}, {"-i", "a", "-J", "1"}} {
		if out, err := dumped(t, append([]string{"-r", file}, bad...)...); err == nil {
			t.Errorf("%q was taken: %s", bad, out)
		}
	}
	if err := os.Truncate(file, 300); err != nil {
		t.Fatal(err)
	}
	if _, err := dumped(t, "-r", file, "-J", "1"); err == nil {
		t.Error("a damaged file was compressed anew")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*mended*")); left != nil {
		t.Errorf("left behind: %s", left)
	}
}

// TestDumpGnuplot: -g prints what the real nfdump prints.
func TestDumpGnuplot(t *testing.T) {
	file := flowFile(t, 20)
	out, err := dumped(t, "-g", "-r", file)
	if want := peers.Run(t, "nfdump", "-g", "-r", file); err != nil || out != want {
		t.Errorf("%v: %q, nfdump prints %q", err, out, want)
	}
	odd := filepath.Join(filepath.Dir(file), "odd")
	if err := os.Rename(file, odd); err != nil {
		t.Fatal(err)
	}
	if _, err := dumped(t, "-g", "-r", odd); err == nil || !strings.Contains(err.Error(), "no time in its name") {
		t.Errorf("a file without a time in its name: %v", err)
	}
}

// TestDumpRefusesByName: an option of nfdump that is not here says what to do instead.
func TestDumpRefusesByName(t *testing.T) {
	for letter, what := range refusedHabits {
		_, err := dumped(t, "-r", "nowhere", "-"+letter, "1")
		if err == nil || !strings.Contains(err.Error(), "-"+letter+" of nfdump: "+what) {
			t.Errorf("-%s: %v", letter, err)
		}
	}
}

// TestDumpLimits: -l and -L choose rows of rankings, and say what they are for.
func TestDumpLimits(t *testing.T) {
	file := flowFile(t, 500)
	out, err := dumped(t, "-r", file, "-s", "srcip/bytes", "-n", "0", "-l", "-1m", "-L", "1")
	if err != nil || !strings.HasPrefix(out, "Byte limit: > 1 bytes\nPacket limit: < 1000000 packets\n") {
		t.Errorf("%v: %.200s", err, out)
	}
	if out, err := dumped(t, "-r", file, "-s", "srcip/bytes", "-L", "1", "-o", "json"); err != nil || out[0] != '[' {
		t.Errorf("%v: %.200s", err, out)
	}
	for line, want := range map[string]string{
		"-s ip -l 3x":         `-l: "3x": expected a number`,
		"-s ip -L 1.5m":       `-L: "1.5m": expected a number`,
		"-a -l 3":             "'packets > 10k', rows with -P",
		"-L 3":                "'bytes > 10k', rows with -P",
		"-s record/bytes -l5": "-l is for -s of an element",
	} {
		_, err := dumped(t, append(strings.Fields(line), "-r", file)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, expected %s", line, err, want)
		}
	}
}
