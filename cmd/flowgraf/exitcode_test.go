package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// runLine runs a command line as main does, by a name of the program.
func runLine(t *testing.T, name string, words ...string) (code int, out, errs string) {
	t.Helper()
	root := newRootCommand()
	var o, e bytes.Buffer
	root.SetOut(&o)
	root.SetErr(&e)
	code = runCommand(t.Context(), root, append([]string{name}, words...), &e)
	return code, o.String(), e.String()
}

// secondsFile writes so many flows, one a second from noon on, into a file that is not compressed.
func secondsFile(t *testing.T, path string, flows int) string {
	t.Helper()
	w, err := nffile.Create(path, nffile.Options{Ident: "edge1"})
	if err != nil {
		t.Fatal(err)
	}
	start := flow.TimeOf(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	for i := range flows {
		r := flow.Record{Version: flow.V9, Exporter: netip.MustParseAddr("192.0.2.1"), Proto: 6, SrcPort: uint16(i),
			DstPort: 443, Src: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
			Dst:     netip.MustParseAddr("192.0.2.80"),
			Packets: 1, Bytes: 100, First: start + flow.Time(i)*flow.Time(time.Second)}
		r.Last = r.First
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// inDir returns the words of a line, in which DIR/ stands for a directory.
func inDir(dir, line string) []string {
	return strings.Fields(strings.ReplaceAll(line, "DIR/", dir+"/"))
}

// TestExitCodes: what went wrong is told on the standard error in one line that begins with the
// program's name, with the code that scripts look at: 1 of what was tried and has failed, 2 of a wrong
// command line, nfdump's own where flowgraf dump stands in its place. Nothing is on the standard output.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	good := secondsFile(t, filepath.Join(dir, "good"), 40)
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"cut": data[:len(data)/2], "text": []byte("no flows at all, but text\n"),
		"empty": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"nosuch", 2, `unknown command "nosuch" for "flowgraf"`},
		{"verfy", 2, `unknown command "verfy"`},
		{"--nosuch", 2, "--nosuch: flowgraf has no such option"},

		{"dump -r DIR/missing", 1, "DIR/missing"},
		{"dump -r DIR/text", 1, "DIR/text"},
		{"dump -r DIR/empty", 1, "DIR/empty"},
		{"dump -r DIR/good prot tcp", 254, `"prot" is no test that a filter knows`},
		{"dump -r DIR/good port 70000", 254, "expected a number from 0 to 65535 after 'port', got 70000"},
		{"dump -r DIR/good -s nosuch", 1, `-s: statistic "nosuch": unknown element`},
		{"dump -r DIR/good -o nosuch", 1, `there is no output format "nosuch"`},
		{"dump -r DIR/good -t yesterday", 1, `time window "yesterday"`},
		{"dump -r DIR/good -A", 1, "-A: expected a value behind it"},
		{"dump -r DIR/good -z9 -w DIR/new", 1, ""},
		{"dump -r DIR/good -w DIR/text", 1, "exists"},
		{"dump -M DIR/none -r good", 1, ""},
		{"dump -R DIR/none", 1, ""},
		{"dump -v DIR/cut", 1, ""},
		{"dump -r DIR/good --memory 5", 1, "--memory is \"5\": expected a size of at least 1MB"},
		{"dump -Z any && nonsense", 254, `"nonsense" is no test`},

		{"verify", 2, "expected files or directories to verify, got 0 arguments"},
		{"verify DIR/missing", 1, "DIR/missing: no such file"},
		{"verify DIR/none", 1, "DIR/none: no files"},
		{"salvage DIR/cut", 2, "expected -w NEWFILE, the file to write"},
		{"salvage DIR/cut DIR/good -w DIR/new", 2,
			"expected one FILE to salvage, and the new one behind -w, got 2 arguments"},
		{"salvage DIR/missing -w DIR/new", 1, "DIR/missing"},
		{"salvage DIR/cut -w DIR/good", 1, "exists"},
		{"salvage DIR/text -w DIR/new", 1, "DIR/text"},
		{"salvage DIR/empty -w DIR/new", 1, "DIR/empty"},
		{"repair", 2, "expected files or directories to repair, got 0 arguments"},
		{"repair DIR/missing", 1, "DIR/missing"},
		{"index", 2, "expected files or directories to index, got 0 arguments"},
		{"index --force --remove DIR/good", 2, "--force and --remove exclude each other: expected one of them"},
		{"index DIR/missing", 1, "DIR/missing"},

		{"expire -e DIR/none", 2, "DIR/none has no limits: give some with -s or -t, or set them with -u"},
		{"expire -e DIR/missing -s 1G", 1, "DIR/missing"},
		{"expire -e DIR/good -s 1G", 2, "DIR/good: expected the directory of an archive"},
		{"expire -e DIR/none -s 1Q", 2, `-s is "1Q": expected a size, as 500M or 1.5G`},
		{"expire --expire DIR/none --size 1Q", 2, `--size is "1Q": expected a size`},
		{"expire -e DIR/none -t 1y", 2, `-t is "1y": expected a time, as 90d, 12H or 2w`},
		{"expire -e DIR/none -s 1G -w 101", 2, "101"},
		{"expire -e DIR/none -l DIR/none", 2, "-e and -l exclude each other: expected one of them"},
		{"expire -e DIR/none -l DIR/none -u DIR/none", 2, "-e and -l and -u exclude each other"},

		{"anonymise -r DIR/good -w DIR/new", 2, "expected"},
		{"anonymise -K short -r DIR/good -w DIR/new", 2, "expected"},
		{"anonymise -K 01234567890123456789012345678901 -r DIR/missing -w DIR/new", 1, "DIR/missing"},
		{"anonymise -K 01234567890123456789012345678901 --keep as,nosuch -r DIR/good -w DIR/new", 2, "nosuch"},
		{"anonymise --key-file DIR/missing -r DIR/good -w DIR/new", 1, "--key-file: "},

		{"generate", 2, "expected --to HOST:PORT, the collector"},
		{"generate --to nowhere", 2, `--to "nowhere": expected host:port`},
		{"generate --to 127.0.0.1:9 --rate -1", 2, "--rate is -1: expected flows per second"},
		{"generate --to 127.0.0.1:9 --exporters 257", 2, "--exporters is 257: expected 1 to 256"},
		{"generate --to 127.0.0.1:9 --exporters -1", 2, "--exporters is -1: expected 1 to 256"},
		{"generate --to 127.0.0.1:9 --protocol v6", 2, "--protocol"},
		{"generate --to 127.0.0.1:9 --mix real", 2, "--mix"},
		{"generate --to 127.0.0.1:9 --source here", 2, `--source "here": expected an address of this machine`},
		{"generate --to 127.0.0.1:9 --count -1", 2, `--count is "-1": expected a whole number from 0`},

		{"replay", 2, "what is to be sent? Name a file with -r"},
		{"replay -r DIR/good -z -1", 2, "-z is -1: expected"},
		{"replay -r DIR/missing --to 127.0.0.1:9", 1, "DIR/missing"},
		{"replay -r DIR/good --to 127.0.0.1:9 nonsense", 254, `"nonsense" is no test`},

		{"web", 2, "expected --archive DIR"},
		{"web --archive DIR/none --tz Nowhere/Here --no-store", 2, `--tz "Nowhere/Here": expected a zone, as UTC or`},
		{"web --archive DIR/none --no-store --proxy-header X-User --proxy-from a.b", 2,
			`--proxy-from "a.b": expected an address or a network, as 192.0.2.1 or 192.0.2.0/24`},
		{"web --archive DIR/none --no-store --proxy-header X-User", 2, "--proxy-header: expected --proxy-from too"},
		{"web --archive DIR/none --no-store --grant a=mail", 2, "--grant: expected --users or --proxy-header too"},
		{"web --archive DIR/none --no-store --profiles DIR/good", 2, "--profiles: DIR/good is not a directory"},
		{"web --archive DIR/none --no-store --users DIR/missing", 2, "--users: "},
		{"web --archive DIR/none --no-store --scans 0", 2, "--scans and --timeout: expected at least 1"},
		{"web --archive DIR/none --no-store --inventory DIR/missing", 2, "--inventory: "},
		{"web user", 2, "expected the NAME of a user, got 0 arguments"},

		{"agent --config DIR/missing", 2, "DIR/missing"},
		{"agent --config-directory DIR/good", 2, "DIR/good is a file: expected a directory, use --config for files"},
		{"--config DIR/missing --test", 2, "DIR/missing"},
		{"check --config DIR/missing", 2, "DIR/missing"},
		{"man", 2, "expected one DIR to write the pages into, got 0 arguments"},
		{"man DIR/good/below", 1, "DIR/good"},
		{"version now", 2, `expected options alone, got "now"`},
		{"licences x y z", 2, ""},
	} {
		want := strings.ReplaceAll(c.want, "DIR/", dir+"/")
		code, out, errs := runLine(t, "flowgraf", inDir(dir, c.line)...)
		if code != c.code || !strings.Contains(errs, want) || !strings.Contains(errs, "flowgraf: ") {
			t.Errorf("%s: %d, expected %d and %q\n%s", c.line, code, c.code, want, errs)
		}
		if out != "" && !strings.HasPrefix(c.line, "dump -") && !strings.HasPrefix(c.line, "check") {
			t.Errorf("%s: on the standard output stands %q", c.line, out)
		}
		if strings.Contains(errs, "panic") || strings.Contains(errs, "%!") {
			t.Errorf("%s: %s", c.line, errs)
		}
	}
	if got, err := os.ReadFile(good); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the file is another one: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a command that has failed has left a file")
	}
}

// TestHelpIsNamedWhereTheLineIsWrong: who mistypes is told how to get help for the command at hand,
// who does not, is not.
func TestHelpIsNamedWhereTheLineIsWrong(t *testing.T) {
	dir := t.TempDir()
	for line, want := range map[string]string{
		"nosuch": "Try 'flowgraf --help'", "verify": "Try 'flowgraf verify --help'",
		"web user": "Try 'flowgraf web user --help'", "dump --nosuch": "Try 'flowgraf dump --help'",
		"expire -s 5G": "Try 'flowgraf expire --help'", "expire -e " + dir: "", "verify " + dir: "",
		"generate": "",
	} {
		_, _, errs := runLine(t, "flowgraf", strings.Fields(line)...)
		if strings.Contains(errs, "Try '") != (want != "") || !strings.Contains(errs, want) {
			t.Errorf("%s: expected %q\n%s", line, want, errs)
		}
	}
}

// TestOtherNames: a link by the name of a program that flowgraf stands in for is its command.
func TestOtherNames(t *testing.T) {
	file := secondsFile(t, filepath.Join(t.TempDir(), "nfcapd.202611221200"), 3)
	for name, line := range map[string]string{"nfdump": "dump", "/usr/bin/nfdump": "dump", "nfdump.exe": "dump",
		"flowgraf": "", "nfreplay": "replay", "/opt/nfexpire": "expire"} {
		_, got, _ := runLine(t, name, "--help")
		_, want, _ := runLine(t, "flowgraf", append(strings.Fields(line), "--help")...)
		if got != want || !strings.Contains(got, "Usage:") {
			t.Errorf("%s --help is not that of flowgraf %s", name, line)
		}
	}
	code, out, errs := runLine(t, "nfdump", "-r", file, "-q", "-o", "fmt:%sp", "src port > 0")
	if words := strings.Fields(out); code != 0 || strings.Join(words, " ") != "1 2" {
		t.Errorf("nfdump: %d, %q\n%s", code, out, errs)
	}
	if code, _, _ := runLine(t, "nfexpire", "-e", "/no/such/directory", "-s", "1G"); code != 1 {
		t.Errorf("nfexpire: %d, expected 1", code)
	}
}
