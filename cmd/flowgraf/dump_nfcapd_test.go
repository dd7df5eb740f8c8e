package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// nfcapdFlows are how many flows of the realistic mix are sent for the file that is compared.
const nfcapdFlows = 800

// nfcapdFile returns a file that nfcapd has written of generated flows, the same each time
// but for their times.
func nfcapdFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := c.LocalAddr().String()
	c.Close()
	_, port, _ := net.SplitHostPort(addr)
	nfcapd := exec.Command(peers.Path(t, "nfcapd"), "-w", dir, "-b", "127.0.0.1", "-p", port, "-t", "86400", "-y",
		"-B", "4000000")
	nfcapd.Env = append(os.Environ(), "TZ=UTC")
	if err := nfcapd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			nfcapd.Process.Kill()
			nfcapd.Wait()
		}
	}()
	waitUntil(t, "nfcapd to listen", func() bool {
		c, err := net.ListenPacket("udp4", addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	generate := newGenerateCommand()
	generate.SetArgs([]string{"--to", addr, "--protocol", "v9", "--mix", "realistic", "--seed", "7",
		"--count", strconv.Itoa(nfcapdFlows), "--rate", "6000"})
	generate.SetOut(new(strings.Builder))
	if err := generate.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "nfcapd to read what was sent", func() bool { return unread(port) == 0 })
	time.Sleep(100 * time.Millisecond) // for what it has just read
	if err := nfcapd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended = true
	if err := nfcapd.Wait(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "nfcapd.2*"))
	if len(files) != 1 {
		t.Fatalf("nfcapd has written %v", files)
	}
	// A busy machine loses some.
	if _, stat, err := query.Info(t.Context(), files); err != nil || stat.Flows < nfcapdFlows/2 {
		t.Fatalf("nfcapd has written %d flows of %d: %v", stat.Flows, nfcapdFlows, err)
	}
	return files[0]
}

// waitUntil waits for a condition.
func waitUntil(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: ", what)
		}
	}
}

// unread returns how many bytes wait for who listens on a UDP port, by Linux's table of
// sockets; elsewhere it is said that none do.
func unread(port string) int {
	table, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasSuffix(fields[1], portHex(port)) {
			_, waiting, _ := strings.Cut(fields[4], ":")
			return len(strings.TrimLeft(waiting, "0"))
		}
	}
	return 0
}

// portHex returns a port as the table of sockets has it.
func portHex(port string) string {
	n, _ := net.LookupPort("udp", port)
	const digits = "0123456789ABCDEF"
	return ":" + string([]byte{digits[n>>12], digits[n>>8&15], digits[n>>4&15], digits[n&15]})
}

// comparedOptions are what nfdump 1.7.1 and dump print the same of, but for the order of rows
// that are equal in what they are sorted by.
var comparedOptions = []string{
	"-o line", "-o long", "-o extended", "-o biline", "-o bilong", "-o nsel", "-o nel", "-o csv", "-o json",
	"-o raw", "-o pipe", "-o line6", "-o line -N", "-o extended -N -q", "-o long -6",
	"-o fmt:%ts,%te,%td,%pr,%sap,%dap,%flg,%tos,%pkt,%byt,%pps,%bps,%bpp,%fl,%in,%out,%sas,%das," +
		"%smk,%dmk,%nh,%nhb,%ra,%eng,%exp",
	"-I", "-a -o line", "-a -o long", "-a -o csv", "-b", "-B", "-b -o long", "-a -O bytes -o line",
	"-O tstart -o line", "-O packets -o line", "-O bps -o extended", "-A srcip,dstip", "-A srcas,dstas",
	"-A srcip6/48", "-A inif,outif,proto", "-A srcport", "-s record/bytes -n 0 -o line",
	"-s record/bps -n 0 -o line", "-s record/packets -n 0 -o extended", "-s ip/flows/packets/bytes/pps/bps/bpp -n 0",
	"-s srcip/ibyte -n 0", "-s dstip/obyte -n 0", "-s srcip:p/bytes -n 0", "-s dstport:p/packets -n 0",
	"-s port/bytes:a -n 0",
	"-s srcas/bytes -n 0", "-s as/flows -n 0", "-s inif/bytes -n 0", "-s if/packets -n 0", "-s router -n 0",
	"-s nhip -n 0", "-s tos -n 0", "-s dir -n 0", "-s proto/bytes -n 0", "-s srcmask -n 0", "-s dstvlan -n 0",
	"-s ip/bytes -n 0 -o csv", "-s dstip/bytes -n 0 -o pipe", "-s srcip/bytes/packets -n 0",
	"-s srcip -s dstport/bytes -n 0", "-s ip/bytes -n 0 -l 1000", "-s ip/bytes -n 0 -L 1M",
	"-s ip/packets -n 0 -l -20 -L +3k", "-s dstport:p/flows -n 0 -L -100k",
}

// wrongNets are networks of IPv6 in JSON, where nfdump 1.7.1 leaves the first half of the
// address as it is.
var wrongNets = regexp.MustCompile(`"(src|dst)_net" : "[0-9a-f]*:.*`)

// TestTextOnNfcapdFiles compares what nfdump prints, and dump, of a file that nfcapd has
// written of the realistic mix.
func TestTextOnNfcapdFiles(t *testing.T) {
	file := nfcapdFile(t)
	program := peers.Path(t, "nfdump")
	lines := func(options, out string) []string {
		if strings.HasSuffix(options, "json") {
			out = wrongNets.ReplaceAllString(out, "a network")
		}
		list := comparableLines(out)
		slices.Sort(list)
		return list
	}
	for _, options := range comparedOptions {
		args := append([]string{"-r", file}, strings.Fields(options)...)
		theirs := exec.Command(program, args...)
		theirs.Env = append(os.Environ(), "TZ=UTC")
		out, err := theirs.Output()
		if err != nil {
			t.Fatalf("nfdump %s: %v", options, err)
		}
		own, err := dumped(t, append(args, "--tz", "UTC", "--compat", "1.7.1")...)
		if err != nil {
			t.Errorf("%s: %v", options, err)
			continue
		}
		g, w := lines(options, own), lines(options, string(out))
		if len(w) < 3 {
			t.Errorf("%s: nfdump prints %q", options, out)
		}
		for i := range max(len(g), len(w)) {
			if i >= len(g) || i >= len(w) || g[i] != w[i] {
				t.Errorf("%s: %d lines, nfdump's are %d; the first that differs is\n%s\nnfdump's\n%s", options, len(g),
					len(w), g[min(i, len(g)-1)], w[min(i, len(w)-1)])
				break
			}
		}
	}
}
