package tests

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// flowLines is what nfdump lists of a file: a line for each flow, with what tells
// them apart.
func flowLines(t testing.TB, nfdump, file string) []string {
	t.Helper()
	out := run(t, nfdump, "-q", "-6", "-N", "-r", file, "-o", "fmt:%ts %td %pr %sap %dap %flg %pkt %byt %ra")
	return slices.Collect(strings.Lines(out))
}

// TestSalvageOfAFileThatNfcapdWrites: nfdump reads nothing of a file that is being
// written (its issue 473). Salvage gets every block out that nfcapd has written so
// far, nfcapd is not disturbed, and nfdump reads the same flows from both.
func TestSalvageOfAFileThatNfcapdWrites(t *testing.T) {
	nfcapd, nfdump := peer(t, "nfcapd"), peer(t, "nfdump")
	for _, c := range []struct{ option, name string }{{"", "not compressed"}, {"-z", "lzo"}, {"-y", "lz4"}, {"-j", "bz2"}} {
		t.Run(c.name, func(t *testing.T) {
			dir, addr := t.TempDir(), freePort(t, "udp")
			_, port, _ := net.SplitHostPort(addr)
			args := []string{"-w", dir, "-b", "127.0.0.1", "-p", port, "-t", "86400", "-B", "8000000", "-I", "edge1"}
			if c.option != "" {
				args = append(args, c.option)
			}
			p := start(t, nfcapd, args...)
			waitFor(t, 10*time.Second, "nfcapd", func() bool { return taken(addr) })
			current := filepath.Join(dir, "nfcapd.current."+strconv.Itoa(p.cmd.Process.Pid))

			sent := generate(t, "--to", addr, "--protocol", "v9", "--rate", "25000", "--count", "30000")
			salvaged := waitForBlocks(t, current, 2)
			if got := run(t, nfdump, "-I", "-r", current); !strings.Contains(got, "Flows: 0\n") {
				t.Errorf("nfdump reads a file that nfcapd is writing, there is nothing to salvage:\n%s", got)
			}
			got := flowLines(t, nfdump, salvaged)
			figures := keyValues(t, run(t, nfdump, "-I", "-r", salvaged))
			if n := uint64(len(got)); n == 0 || n >= sent.flows || figures["flows"] != n {
				t.Errorf("%d of %d flows are salvaged, nfdump -I counts %d", n, sent.flows, figures["flows"])
			}
			if out := run(t, nfdump, "-v", salvaged); !strings.Contains(out, c.name) {
				t.Errorf("nfdump -v does not say %q:\n%s", c.name, out)
			}
			run(t, flowgraf, "verify", salvaged)

			p.stop(t)
			files := archiveFiles(t, dir)
			if len(files) != 1 {
				t.Fatalf("nfcapd has left %v, expected one file", files)
			}
			all := flowLines(t, nfdump, files[0])
			if len(got) >= len(all) || !slices.Equal(got, all[:len(got)]) {
				t.Errorf("the %d flows that were salvaged are not the first of the %d in nfcapd's file", len(got), len(all))
			}
		})
	}
}

// waitForBlocks salvages the file that is being written until it has some blocks of
// records, and returns the new file.
func waitForBlocks(t testing.TB, current string, blocks uint64) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "salvaged")
	waitFor(t, 30*time.Second, "blocks of nfcapd", func() bool {
		os.Remove(to)
		_, text, _ := strings.Cut(run(t, flowgraf, "verify", current), "layout 2, ")
		words := strings.Fields(text)
		i := slices.Index(words, "blocks,")
		if i < 1 {
			return false
		}
		n, err := strconv.ParseUint(words[i-1], 10, 64)
		if err != nil || n < blocks {
			return false
		}
		run(t, flowgraf, "salvage", current, "-w", to)
		return true
	})
	return to
}
