package tests

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hostile returns datagrams that no honest exporter sends, by what they are.
func hostile() map[string][]byte {
	u16 := func(v ...uint16) (b []byte) {
		for _, x := range v {
			b = binary.BigEndian.AppendUint16(b, x)
		}
		return b
	}
	ipfix := func(sets ...[]byte) []byte {
		b := append(u16(10, 0), make([]byte, 12)...)
		for _, s := range sets {
			b = append(b, s...)
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		return b
	}
	set := func(id uint16, body []byte) []byte { return append(u16(id, uint16(len(body)+4)), body...) }
	ones := func(n int) []byte { return bytes.Repeat([]byte{0xff}, n) }
	var fields []uint16
	for i := range uint16(300) {
		fields = append(fields, i+1, 65535)
	}
	return map[string][]byte{
		"empty":                        {},
		"one byte":                     {10},
		"version nobody speaks":        u16(4711, 1, 2, 3, 4, 5, 6, 7, 8),
		"v5 with a count of 65535":     append(u16(5, 0xffff), make([]byte, 20)...),
		"v9 with a count of 65535":     append(u16(9, 0xffff), make([]byte, 16)...),
		"IPFIX whose length lies":      append(u16(10, 0xffff), make([]byte, 12)...),
		"template without fields":      ipfix(set(2, u16(300, 0))),
		"options template, all scopes": ipfix(set(3, u16(301, 2, 2, 149, 4, 34, 4))),
		"options template, no scope":   ipfix(set(3, u16(301, 1, 0, 34, 4))),
		"fields without length":        ipfix(set(2, u16(302, 2, 1, 0, 2, 0)), set(302, make([]byte, 64))),
		"more fields than bytes":       ipfix(set(2, u16(303, 0xffff, 1, 4))),
		"record larger than a set":     ipfix(set(2, u16(304, 2, 1, 65534, 2, 65534)), set(304, make([]byte, 64))),
		"set length 0":                 ipfix(u16(2, 0, 300, 1, 1, 4)),
		"set length 3":                 ipfix(u16(256, 3, 300, 1)),
		"set length past the end":      ipfix(u16(256, 0xffff, 1, 2)),
		"variable length past the end": ipfix(set(2, u16(305, 1, 82, 65535)),
			set(305, []byte{255, 255, 255, 1, 2, 3})),
		"withdrawal of everything": ipfix(set(2, u16(2, 0)), set(3, u16(3, 0))),
		"structured data of itself": ipfix(set(2, u16(306, 1, 292, 65535)),
			set(306, append([]byte{5, 255}, u16(306, 5)...))),
		"300 fields of variable length": ipfix(set(2, append(u16(307, 300), u16(fields...)...)),
			set(307, make([]byte, 900))),
		"sFlow with counts of 4 billion": append([]byte{0, 0, 0, 5, 0, 0, 0, 1, 127, 0, 0, 1}, ones(64)...),
		"all ones":                       ones(1400),
		"all zeros":                      make([]byte, 1400),
	}
}

// resident returns the resident memory of a process in bytes.
func resident(t *testing.T, pid int) uint64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "VmRSS:" {
			kb, _ := strconv.ParseUint(words[1], 10, 64)
			return kb * 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// recorded returns good datagrams as a generated exporter sends them.
func recorded(t *testing.T, protocol string) [][]byte {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	g := generate(t, "--to", conn.LocalAddr().String(), "--protocol", protocol, "--count", "20", "--rate", "0")
	var all [][]byte
	buf := make([]byte, 65536)
	for range g.datagrams {
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(buf[:n]))
	}
	return all
}

// storm sends everything hostile, and good datagrams cut at every length and
// with every byte changed. It returns how many datagrams that were.
func storm(t *testing.T, conn net.Conn) (sent int) {
	t.Helper()
	send := func(b []byte) {
		conn.Write(b) // an error here would tell of an earlier datagram
		if sent++; sent%100 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	for _, b := range hostile() {
		send(b)
	}
	for _, protocol := range []string{"v5", "v9", "ipfix", "vmware"} {
		for _, b := range recorded(t, protocol) {
			for n := range b {
				send(b[:n])
			}
			for i := range b {
				c := bytes.Clone(b)
				c[i] ^= 1 << rand.IntN(8)
				send(c)
			}
		}
	}
	return sent
}

// stormConfig writes of flows only those of one exporter: garbage has hundreds of thousands.
const stormConfig = `
[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = 1000
  metric_buffer_limit = 1000000
  omit_hostname = true
[[inputs.netflow]]
  service_address = "udp://{{ .Flows }}"
  metrics = ["flows", "options", "exporters", "datagrams"]
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  data_format = "influx"
  influx_uint_support = true
  namepass = ["netflow_exporter"]
[[outputs.file]]
  files = ["{{ .Dir }}/flows"]
  data_format = "influx"
  namepass = ["netflow"]
  [outputs.file.tagpass]
    source = ["127.0.0.77"]
[[outputs.nfdump]]
  directory = "{{ .Dir }}/archive"
  ident = "tests"
  namepass = ["netflow_datagram"]
`

// Garbage of every kind leaves the agent alive and its memory flat, raises its
// counters, and the next good datagram is decoded.
func TestGarbageHurtsNothing(t *testing.T) {
	// What has become garbage in a storm goes back to the system soon: what is left
	// is what the agent keeps.
	t.Setenv("GOMEMLIMIT", "160MiB")
	dir := t.TempDir()
	a := startAgent(t, dir, stormConfig, nil)
	conn, err := net.Dial("udp4", a.flows)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := 0
	for range 3 { // the heap reaches its working size
		sent += storm(t, conn)
	}
	time.Sleep(2 * time.Second)
	before := resident(t, a.cmd.Process.Pid)
	for range 4 {
		sent += storm(t, conn)
	}
	var after uint64
	waitFor(t, 60*time.Second, "memory to be what it was", func() bool {
		after = resident(t, a.cmd.Process.Pid)
		return after < before+64<<20
	})
	if !a.running() {
		t.Fatalf("the agent ended: %v", a.err)
	}
	good := generate(t, "--to", a.flows, "--protocol", "ipfix", "--count", "100", "--source", "127.0.0.77")
	waitFor(t, 60*time.Second, "the good flows", func() bool {
		return len(points(t, filepath.Join(dir, "flows"), "netflow")) >= int(good.flows)
	})
	counters := map[string]uint64{}
	for _, p := range points(t, filepath.Join(dir, "metrics"), "netflow_exporter") {
		for _, name := range []string{"decode_errors", "unsupported", "sets_without_template", "sequence_gaps"} {
			counters[name] = max(counters[name], p.uint(name))
		}
	}
	for _, name := range []string{"decode_errors", "unsupported"} {
		if counters[name] == 0 {
			t.Errorf("%s is 0 after %d hostile datagrams", name, sent)
		}
	}
	a.stop(t)
	t.Logf("%d hostile datagrams, counters up to %v, memory %d then %d MiB", sent, counters, before>>20, after>>20)
}
