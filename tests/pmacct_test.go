package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pmacct runs pmacctd over a capture with the probe as its only plugin, which sends to
// addr, and waits for its end. The probe gets five seconds to start before the capture is
// read.
func pmacct(t *testing.T, pcap, addr, probe, options string) {
	t.Helper()
	pmacctd := peer(t, "pmacctd")
	conf := filepath.Join(t.TempDir(), "pmacctd.conf")
	text := fmt.Sprintf(`daemonize: false
pcap_savefile: %s
pcap_savefile_delay: 5
aggregate: src_host, dst_host, src_port, dst_port, proto, tos, tcpflags
plugins: %s[p]
%s_receiver[p]: %s
%s
`, pcap, probe, probe, addr, options)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// At the end of the capture the probe exports what it has, and pmacctd ends with 0 or,
	// when its plugin was faster, with 1.
	p := start(t, pmacctd, "-f", conf)
	waitFor(t, time.Minute, "the end of pmacctd", func() bool { return !p.running() })
}

// pmacct's nfprobe exports a capture in three protocols; addresses, ports,
// counters and times are right in the metrics and in the files.
func TestPmacctInEveryProtocol(t *testing.T) {
	peer(t, "pmacctd")
	nfdump := peer(t, "nfdump")
	pcap := filepath.Join(t.TempDir(), "capture.pcap")
	writePcap(t, pcap, captured(t))
	for _, c := range []struct{ version, tag string }{{"5", "NetFlowV5"}, {"9", "NetFlowV9"}, {"10", "IPFIX"}} {
		t.Run("v"+c.version, func(t *testing.T) {
			t.Parallel() // pmacctd takes four seconds to end
			a := startAgent(t, t.TempDir(), agentConfig, nil)
			want := conversations
			if c.version == "5" { // has no IPv6
				want = conversations[:4]
			}
			pmacct(t, pcap, a.flows, "nfprobe", "nfprobe_version[p]: "+c.version)
			metrics := filepath.Join(a.dir, "metrics")
			waitFor(t, 10*time.Second, "the flows",
				func() bool { return len(points(t, metrics, "netflow")) >= len(want) })
			a.stop(t)
			checkMetrics(t, points(t, metrics, "netflow"), want, c.tag)
			checkFiles(t, nfdump, filepath.Join(a.dir, "archive"), want)
		})
	}
}

// pmacct's sfprobe samples every packet of a capture as sFlow: per address, packets
// and bytes are those of the capture, in the metrics and in the files.
func TestPmacctAsSFlow(t *testing.T) {
	t.Parallel()
	peer(t, "pmacctd")
	nfdump := peer(t, "nfdump")
	pcap := filepath.Join(t.TempDir(), "capture.pcap")
	writePcap(t, pcap, captured(t))
	packets := 0
	for _, c := range conversations {
		packets += c.packets
	}
	var a *agent
	// pmacctd ends its probe behind the capture, which on a busy machine has not sampled
	// all of it by then; what a probe leaves out is its own loss, and it gets another try.
	for range 5 {
		a = startAgent(t, t.TempDir(), agentConfig, nil)
		pmacct(t, pcap, a.flows, "sfprobe", "sampling_rate: 1")
		a.stop(t)
		if len(points(t, filepath.Join(a.dir, "metrics"), "netflow")) >= packets {
			break
		}
	}
	metrics := filepath.Join(a.dir, "metrics")
	type sums struct{ packets, bytes uint64 }
	got, listed := map[string]sums{}, map[string]sums{}
	for _, p := range points(t, metrics, "netflow") {
		if p.tags["version"] != "sFlowV5" {
			t.Fatalf("a flow of version %s", p.tags["version"])
		}
		s := got[p.str("src")]
		got[p.str("src")] = sums{s.packets + p.uint("in_packets"), s.bytes + p.uint("in_bytes")}
	}
	for _, line := range strings.Split(outputOf(t, nfdump, "-q", "-6", "-N", "-R",
		filepath.Join(a.dir, "archive"), "-o",
		"fmt:%sa %pkt %byt"), "\n") {
		var src string
		var s sums
		if n, _ := fmt.Sscan(line, &src, &s.packets, &s.bytes); n == 3 {
			listed[src] = sums{listed[src].packets + s.packets, listed[src].bytes + s.bytes}
		}
	}
	for _, c := range conversations {
		const ethernet = 14 + 4 // sFlow counts the frame, with its checksum
		want := sums{uint64(c.packets), uint64(c.bytes() + c.packets*ethernet)}
		if got[c.src] != want || listed[c.src] != want {
			t.Errorf("%s: %v in metrics, %v in files, want %v", c.src, got[c.src], listed[c.src], want)
		}
	}
}
