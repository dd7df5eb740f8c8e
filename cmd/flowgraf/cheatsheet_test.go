package main

import (
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// cheatSheetFile writes flows with few addresses and ports, and counters that no two sums
// have in common.
func cheatSheetFile(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := nffile.Create(path, nffile.Options{Compression: nffile.LZ4, Ident: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(600) {
		x := (i + 1) * 2654435761
		r := flow.Record{Exporter: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Version: flow.V9,
			First: flow.TimeOf(at) + flow.Time(i*100)*1e6, Proto: []uint8{6, 6, 6, 17, 17, 1}[i%6],
			SrcPort: uint16(1024 + x>>17), DstPort: []uint16{443, 53, 80, 53, 443, 0x800}[i%6],
			Packets: uint64(1 + x>>25), Bytes: uint64(100 + x>>13), SrcAS: 64500 + i%7*i%5, DstAS: 64600 + i%3,
			Input:  1 + i%4,
			Output: 1 + i%3, SrcMask: 24, DstMask: 16, TCPFlags: uint16(2 + i%2*16),
			Present: flow.SetOf(flow.SrcAS, flow.Input, flow.SrcMask)}
		r.Last = r.First + flow.Time(1+x>>21)*1e6
		r.Received = r.Last
		r.Src = netip.AddrFrom4([4]byte{10, byte(i % 3), 0, byte(1 + i*i%11)})
		r.Dst = netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + i*i%13)})
		if i%5 == 0 {
			r.Src = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i * i % 7)})
			r.Dst = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 1, 15: byte(i % 4)})
		}
		if r.Proto != 6 {
			r.TCPFlags = 0
		}
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// shellWords takes a command line apart, whose words may be in single quotes.
func shellWords(line string) (words []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// comparableLines returns the lines of an output without what depends on the run.
func comparableLines(out string) (lines []string) {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "Sys: ") {
			continue
		}
		line, _, _ = strings.Cut(line, ", Blocks skipped")
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return lines
}

// TestCheatSheet runs the command lines of README's table with nfdump and with dump, and
// compares as the table says.
func TestCheatSheet(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(readme), "| nfdump's command line | flowgraf dump |\n")
	if !found {
		t.Fatal("README.md has no table of nfdump's command lines")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, source := range []string{"rtr1", "rtr2"} {
		cheatSheetFile(t, filepath.Join("flows", source, "nfcapd.202611221000"), at)
		cheatSheetFile(t, filepath.Join("flows", source, "nfcapd.202611221005"), at.Add(5*time.Minute))
	}
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			break
		}
		text := strings.Trim(strings.TrimSpace(cells[1]), "`")
		if words := shellWords(text); len(words) > 1 && words[0] == "nfdump" {
			rows++
			compareCheatSheet(t, text, words[1:], strings.TrimSpace(cells[2]))
		}
	}
	if rows < 25 {
		t.Errorf("%d command lines in the table", rows)
	}
}

// compareCheatSheet runs one line, and compares as the verdict says: "equal", "equal, rows
// in another order", or something else, such as "… equal with `OPTION`".
func compareCheatSheet(t *testing.T, text string, args []string, verdict string) {
	t.Helper()
	theirs := exec.Command(peers.Path(t, "nfdump"), args...)
	theirs.Env = append(os.Environ(), "TZ=UTC")
	want, _ := theirs.Output()
	os.Remove("tcp.nf")
	lines := func(more ...string) []string {
		var out strings.Builder
		cmd := newDumpCommand()
		cmd.SetArgs(slices.Concat(args, []string{"--tz", "UTC"}, more))
		cmd.SetOut(&out)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		os.Remove("tcp.nf")
		return comparableLines(out.String())
	}
	g, w := lines(), comparableLines(string(want))
	same := slices.Equal(g, w)
	if m := equalWith.FindStringSubmatch(verdict); m != nil {
		with := strings.Join(lines(strings.Fields(m[1])...), "\n")
		theirs := strings.Join(w, "\n")
		for reservation, but := range reservations {
			if strings.Contains(verdict, reservation) {
				with, theirs = but.ReplaceAllString(with, ""), but.ReplaceAllString(theirs, "")
			}
		}
		if with != theirs {
			t.Errorf("%s %s: not equal\n%s\nnfdump:\n%s", text, m[1], with, theirs)
		}
	}
	slices.Sort(g)
	slices.Sort(w)
	rows := slices.Equal(g, w)
	switch {
	case verdict == "equal" && !same, strings.HasPrefix(verdict, "equal") && !rows:
		t.Errorf("%s: not %s\n%s\nnfdump:\n%s", text, verdict, strings.Join(g, "\n"), want)
	case !strings.HasPrefix(verdict, "equal") && same:
		t.Errorf("%s: equal, but said to be %q", text, verdict)
	}
}

// equalWith is the option in a verdict with which a line is equal.
var equalWith = regexp.MustCompile("equal with `([^`]*)`")

// reservations are what a verdict may say is not equal.
var reservations = map[string]*regexp.Regexp{
	"but for networks of IPv6":          wrongNets,
	"but for how many flows were read,": regexp.MustCompile("Total flows processed: [0-9]+"),
}
