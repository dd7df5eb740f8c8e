package tests

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// One socket takes flows over IPv4 and IPv6, and the tag source is the plain
// address of either.
func TestOneSocketForIPv4AndIPv6(t *testing.T) {
	probe, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6: ", err)
	}
	_, port, err := net.SplitHostPort(probe.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	probe.Close()
	a := startAgent(t, t.TempDir(), `
[agent]
  flush_interval = "200ms"
[[inputs.netflow]]
  service_address = "udp://:{{ .Port }}"
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  influx_uint_support = true
`, map[string]string{"Port": port, "Flows": "127.0.0.1:" + port})
	generate(t, "--to", "[::1]:"+port, "--protocol", "ipfix", "--count", "100", "--rate", "0")
	generate(t, "--to", "127.0.0.1:"+port, "--protocol", "ipfix", "--count", "50", "--rate", "0")
	sources := map[string]int{}
	waitFor(t, 10*time.Second, "150 flows", func() bool {
		flows := points(t, filepath.Join(a.dir, "metrics"), "netflow")
		clear(sources)
		for _, p := range flows {
			sources[p.tags["source"]]++
		}
		return len(flows) >= 150
	})
	if sources["::1"] != 100 || sources["127.0.0.1"] != 50 {
		t.Errorf("flows by source: %v, want 100 of ::1 and 50 of 127.0.0.1", sources)
	}
	a.stop(t)
}
