package tests

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

// nfdumpSums returns what nfdump counts over a whole archive: from the records
// themselves, not from the figures in the files' appendix.
func nfdumpSums(t testing.TB, nfdump, archive string) (flows, packets, bytes uint64) {
	t.Helper()
	out := outputOf(t, nfdump, "-q", "-N", "-R", archive, "-o", "fmt:%fl %pkt %byt %opkt %obyt")
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var fl, pkt, byt, opkt, obyt uint64
		if n, _ := fmt.Sscan(line, &fl, &pkt, &byt, &opkt, &obyt); n != 5 {
			continue
		}
		flows += fl
		packets += pkt + opkt
		bytes += byt + obyt
	}
	return flows, packets, bytes
}

// archiveSums adds up "nfdump -I" over the files of an archive.
func archiveSums(t testing.TB, nfdump, archive string) map[string]uint64 {
	t.Helper()
	sums := map[string]uint64{}
	for _, file := range archiveFiles(t, archive) {
		for key, value := range keyValues(t, outputOf(t, nfdump, "-I", "-r", file)) {
			sums[key] += value
		}
	}
	return sums
}

func TestNfdumpCountsEveryGeneratedFlow(t *testing.T) {
	nfdump, nfreplay := peer(t, "nfdump"), peer(t, "nfreplay")
	a := startAgent(t, t.TempDir(), agentConfig, nil)
	var want generated
	for _, protocol := range []string{"v5", "v9", "ipfix", "vmware"} {
		g := generate(t, "--to", a.flows, "--protocol", protocol, "--count", "5000", "--rate", "25000", "--seed", "3")
		want.flows += g.flows
		want.packets += g.packets
		want.bytes += g.bytes
		want.tcp += g.tcp
		want.udp += g.udp
		want.icmp += g.icmp
	}
	waitFor(t, 30*time.Second, "all flows as metrics", func() bool {
		return len(points(t, filepath.Join(a.dir, "metrics"), "netflow")) >= int(want.flows)
	})
	a.stop(t)
	checkTimestamps(t, points(t, filepath.Join(a.dir, "metrics"), "netflow"))

	archive := filepath.Join(a.dir, "archive")
	flows, packets, bytes := nfdumpSums(t, nfdump, archive)
	if flows != want.flows || packets != want.packets || bytes != want.bytes {
		t.Errorf("nfdump -R counts %d flows, %d packets, %d bytes; want %d, %d, %d",
			flows, packets, bytes, want.flows, want.packets, want.bytes)
	}
	sums := archiveSums(t, nfdump, archive)
	for key, value := range map[string]uint64{
		"flows": want.flows, "packets": want.packets, "bytes": want.bytes,
		"flows_tcp": want.tcp, "flows_udp": want.udp, "flows_icmp": want.icmp, "sequence failures": 0,
	} {
		if sums[key] != value {
			t.Errorf("nfdump -I: %s is %d, want %d", key, sums[key], value)
		}
	}
	for _, file := range archiveFiles(t, archive) {
		if out := outputOf(t, nfdump, "-v", file); !strings.Contains(out, "lz4 compressed") {
			t.Errorf("nfdump -v %s does not say LZ4:\n%s", file, out)
		}
	}
	replayed(t, nfreplay, a, want)
}

// checkTimestamps fails the test when two points of one series have one time:
// a database keeps one of them.
func checkTimestamps(t *testing.T, flows []point) {
	t.Helper()
	seen := map[string]bool{}
	for _, p := range flows {
		key := p.series() + p.time.String()
		if seen[key] {
			t.Fatalf("two points of series %s have the time %s", p.series(), p.time)
		}
		seen[key] = true
	}
}

// replayed sends an archive with nfreplay into a second agent and compares the
// flows of both.
func replayed(t *testing.T, nfreplay string, first *agent, want generated) {
	t.Helper()
	second := startAgent(t, t.TempDir(), agentConfig, nil)
	host, port, _ := strings.Cut(second.flows, ":")
	for _, file := range archiveFiles(t, filepath.Join(first.dir, "archive")) {
		outputOf(t, nfreplay, "-r", file, "-H", host, "-p", port, "-v", "9", "-d", "200")
	}
	waitFor(t, 60*time.Second, "all replayed flows", func() bool {
		return len(points(t, filepath.Join(second.dir, "metrics"), "netflow")) >= int(want.flows)
	})
	second.stop(t)
	before := flowKeys(points(t, filepath.Join(first.dir, "metrics"), "netflow"))
	after := flowKeys(points(t, filepath.Join(second.dir, "metrics"), "netflow"))
	if len(before) != len(after) {
		t.Fatalf("%d flows before the replay, %d after", len(before), len(after))
	}
	for i := range before {
		if before[i] != after[i] {
			t.Fatalf("flow %d of the sorted flows differs:\nbefore %s\nafter  %s", i, before[i], after[i])
		}
	}
}

// flowKeys returns what identifies each flow, sorted.
func flowKeys(flows []point) []string {
	keys := make([]string, len(flows))
	for i, p := range flows {
		port := fmt.Sprint(p.fields["dst_port"])
		if kind, ok := p.fields["icmp_type"]; ok && strings.Contains(p.str("protocol"), "icmp") {
			port = fmt.Sprint(kind.(uint64)<<8 | p.uint("icmp_code")) // some exporters send it as the port
		}
		keys[i] = fmt.Sprint(p.fields["src"], ":", p.fields["src_port"], " ", p.fields["dst"], ":", port,
			" ", p.fields["protocol"], " ", p.fields["in_packets"], " ", p.fields["in_bytes"], " ",
			p.fields["flow_start"], "-", p.fields["flow_end"])
	}
	sort.Strings(keys)
	return keys
}
