package netflow

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
	common_tls "github.com/influxdata/telegraf/plugins/common/tls"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/serializers/influx"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/plugins/decoding"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

func TestInit(t *testing.T) {
	const ok = "udp://:2055"
	for _, c := range []struct {
		name   string
		plugin *NetFlow
		errmsg string
	}{
		{"all protocols", &NetFlow{ServiceAddress: ok}, ""},
		{"netflow v5", &NetFlow{ServiceAddress: ok, Protocol: "netflow v5"}, ""},
		{"netflow v9, uppercase", &NetFlow{ServiceAddress: ok, Protocol: "Netflow v9"}, ""},
		{"ipfix, uppercase", &NetFlow{ServiceAddress: ok, Protocol: "IPFIX"}, ""},
		{"udp4", &NetFlow{ServiceAddress: "udp4://:2055"}, ""},
		{"udp6", &NetFlow{ServiceAddress: "udp6://[::1]:2055"}, ""},
		{"invalid protocol", &NetFlow{ServiceAddress: ok, Protocol: "foo"}, "invalid protocol"},
		{"a protocol that is not decoded", &NetFlow{ServiceAddress: ok, Protocol: "netflow v8"}, "invalid protocol"},
		{"empty service address", &NetFlow{}, "service_address required"},
		{"invalid scheme", &NetFlow{ServiceAddress: "unix://:2055"}, "invalid scheme"},
		{"tcp", &NetFlow{ServiceAddress: "tcp://:4739", Protocol: "ipfix"}, ""},
		{"netflow v5 over tcp", &NetFlow{ServiceAddress: "tcp://:4739", Protocol: "netflow v5"}, "protocol: expected"},
		{"tls without a key", &NetFlow{ServiceAddress: "tcp://:4739",
			ServerConfig: common_tls.ServerConfig{TLSCert: "cert.pem"}}, "tls_cert and tls_key"},
		{"tls without a file", &NetFlow{ServiceAddress: "tcp://:4739",
			ServerConfig: common_tls.ServerConfig{TLSCert: "nowhere", TLSKey: "nowhere"}}, "tls: "},
		{"connections", &NetFlow{ServiceAddress: "tcp://:4739", MaxConnections: -1}, "max_connections: expected"},
		{"idle", &NetFlow{ServiceAddress: "tcp://:4739", IdleTimeout: -1}, "idle_timeout: expected"},
		{"workers", &NetFlow{ServiceAddress: ok, Workers: 65}, "workers: expected"},
		{"tunnel view", &NetFlow{ServiceAddress: ok, TunnelView: "both"}, "tunnel_view: expected"},
		{"exporter ports", &NetFlow{ServiceAddress: ok, Exporters: []decoding.Exporter{{Address: "::1", Ports: "all"}}},
			"ports: expected"},
		{"invalid service address", &NetFlow{ServiceAddress: "udp://198.168.1.290:la"}, "invalid service address"},
		{"metrics", &NetFlow{ServiceAddress: ok, Metrics: []string{"flows", "options", "exporters", "datagrams"}}, ""},
		{"unknown metric", &NetFlow{ServiceAddress: ok, Metrics: []string{"flow"}}, "metrics: expected"},
		{"flow tags", &NetFlow{ServiceAddress: ok, FlowTags: []string{"src", "dst", "protocol"}}, ""},
		{"unknown flow tag", &NetFlow{ServiceAddress: ok, FlowTags: []string{"scr"}}, "flow_tags: expected"},
		{"measurements", &NetFlow{ServiceAddress: ok, Measurements: "both"}, "measurements: expected"},
		{"extra fields", &NetFlow{ServiceAddress: ok, ExtraFields: []string{"applicationNam"}}, "extra_fields"},
		{"unknown exporters", &NetFlow{ServiceAddress: ok, Unknown: "deny"}, "unknown_exporters: expected"},
		{"max exporters", &NetFlow{ServiceAddress: ok, MaxExporters: -1}, "max_exporters: expected"},
		{"exporter", &NetFlow{ServiceAddress: ok,
			Exporters: []decoding.Exporter{{Address: "192.0.2.0/24", Count: "delivered", Sampling: "override",
				SamplingRate: 4096, Interfaces: map[string]string{"1": "wan"}}}}, ""},
		{"exporter address", &NetFlow{ServiceAddress: ok, Exporters: []decoding.Exporter{{Address: "edge"}}},
			"exporter 1 (address \"edge\"): address \"edge\": expected"},
		{"exporter network", &NetFlow{ServiceAddress: ok, Exporters: []decoding.Exporter{{Address: "192.0.2.0/33"}}},
			"address \"192.0.2.0/33\": expected"},
		{"exporter count", &NetFlow{ServiceAddress: ok, Exporters: []decoding.Exporter{{Address: "::1", Count: "all"}}},
			"count: expected"},
		{"exporter sampling", &NetFlow{ServiceAddress: ok,
			Exporters: []decoding.Exporter{{Address: "::1", Sampling: "all"}}}, "sampling: expected"},
		{"exporter rate", &NetFlow{ServiceAddress: ok,
			Exporters: []decoding.Exporter{{Address: "::1", SamplingRate: -1}}}, "sampling_rate: expected"},
		{"exporter action", &NetFlow{ServiceAddress: ok,
			Exporters: []decoding.Exporter{{Address: "::1", Action: "all"}}}, "action: expected"},
		{"exporter interfaces", &NetFlow{ServiceAddress: ok,
			Exporters: []decoding.Exporter{{Address: "::1", Interfaces: map[string]string{"eth0": "wan"}}}},
			"interfaces: expected"},
		{"roll-ups alone", &NetFlow{ServiceAddress: ok, Metrics: []string{}, Rollups: []decoding.Rollup{
			{Name: "r", Tags: []string{"source", "service"}, Filter: "proto tcp", Top: 10}}}, ""},
		{"tag of a roll-up", &NetFlow{ServiceAddress: ok,
			Rollups: []decoding.Rollup{{Name: "r", Tags: []string{"scr"}}}},
			`got "scr"; did you mean "src"?`},
		{"filter of a roll-up", &NetFlow{ServiceAddress: ok, Rollups: []decoding.Rollup{{Name: "r", Filter: "prto 6"}}},
			`at 1:1 of "prto 6"; did you mean "proto"?`},
		{"interval of a roll-up", &NetFlow{ServiceAddress: ok, Rollups: []decoding.Rollup{{Name: "r", Interval: 1}}},
			`interval: expected 1s to 24h0m0s, got "1ns"`},
		{"internal networks", &NetFlow{ServiceAddress: ok, Internal: []string{"x"}}, "internal_networks: address"},
		{"missing mapping file", &NetFlow{ServiceAddress: ok, PENFiles: []string{"nowhere.csv"}},
			"private_enterprise_number_files"},
	} {
		c.plugin.Log = logger.New("inputs", "netflow", "")
		err := c.plugin.Init()
		if (err == nil) != (c.errmsg == "") || err != nil && !strings.Contains(err.Error(), c.errmsg) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.errmsg)
		}
	}
}

// warnings is a log whose warnings are counted.
type warnings struct {
	telegraf.Logger
	count int
}

// Warnf counts a warning.
func (w *warnings) Warnf(string, ...any) { w.count++ }

// TestNoMetrics: who asks for nothing is warned, and nobody else.
func TestNoMetrics(t *testing.T) {
	rollups := []decoding.Rollup{{Name: "r", Tags: []string{"source"}}}
	for _, c := range []struct {
		metrics []string
		rollups []decoding.Rollup
		want    int
	}{{nil, nil, 0}, {[]string{}, nil, 1}, {[]string{}, rollups, 0}, {[]string{"exporters"}, nil, 0}} {
		log := &warnings{Logger: logger.New("inputs", "netflow", "")}
		n := &NetFlow{ServiceAddress: "udp://127.0.0.1:0", Metrics: c.metrics, Rollups: c.rollups, Log: log}
		if err := n.Init(); err != nil || log.count != c.want {
			t.Errorf("metrics %v and %d roll-ups: %d warnings (%v), expected %d", c.metrics, len(c.rollups), log.count,
				err, c.want)
		}
	}
}

// TestSampleConfig loads the sample, and the README must show it.
func TestSampleConfig(t *testing.T) {
	var n NetFlow
	cfg := config.NewConfig()
	if err := cfg.LoadConfigData([]byte(n.SampleConfig()), config.EmptySourcePath); err != nil {
		t.Fatal(err)
	}
	if got := cfg.Inputs[0].Input.(*NetFlow).ServiceAddress; got != "udp://:2055" {
		t.Errorf("got the service address %q", got)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(readme, []byte("```toml @sample.conf\n"+n.SampleConfig()+"```")) {
		t.Error("README.md does not show sample.conf as it is")
	}
	for i, line := range strings.Split(string(readme), "\n") {
		if len([]rune(line)) > 80 && !strings.HasPrefix(line, "| ") && !strings.Contains(line, ",version=") &&
			!strings.HasPrefix(line, "netflow") {
			t.Errorf("README.md:%d is longer than 80", i+1)
		}
	}
	if inputs.Inputs["netflow"] == nil {
		t.Error("inputs.netflow is not registered")
	}
}

// TestSampleRollups: the roll-ups of the sample are good to run without the comment signs.
func TestSampleRollups(t *testing.T) {
	var n NetFlow
	_, tables, _ := strings.Cut(n.SampleConfig(), "  # [[inputs.netflow.rollup]]")
	tables, _, _ = strings.Cut("  # [[inputs.netflow.rollup]]"+tables, "\n  ## vCenter")
	text := "[[inputs.netflow]]\n  service_address = \"udp://:2055\"\n  metrics = []\n" +
		regexp.MustCompile("(?m)^  # ?").ReplaceAllString(tables, "")
	cfg := config.NewConfig()
	if err := cfg.LoadConfigData([]byte(text), config.EmptySourcePath); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	got := cfg.Inputs[0].Input.(*NetFlow)
	got.Log = logger.New("inputs", "netflow", "")
	if err := got.Init(); err != nil || len(got.Rollups) != 7 || got.Rollups[3].Top != 200 ||
		*got.Rollups[0].Distinct || got.Rollups[1].Distinct != nil {
		t.Errorf("%v: %+v", err, got.Rollups)
	}
}

// TestReadmeNamesTests looks for every test that the README's table of features
// names.
func TestReadmeNamesTests(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, pattern := range []string{"../../*/*_test.go", "../../*/*/*_test.go", "../../../outputs/*/*_test.go",
		"../../../tests/*_test.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no tests: %v", pattern, err)
		}
		files = append(files, found...)
	}
	known := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(b, -1) {
			known[string(m[1])] = true
		}
	}
	rows := 0
	for _, line := range strings.Split(string(readme), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(line, "|---") || strings.Contains(line, "| Feature |") {
			continue
		}
		rows++
		names := regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 {
			t.Errorf("no test for %s", cells[1])
		}
		for _, name := range names {
			if !known[name[1]] {
				t.Errorf("%s: there is no test %s", cells[1], name[1])
			}
		}
	}
	if rows < 20 {
		t.Errorf("the table of features has %d rows", rows)
	}
}

// started starts a plugin on a free port.
func started(t *testing.T, change func(*NetFlow)) (*NetFlow, *decodingtest.Accumulator, net.Conn) {
	t.Helper()
	n, acc := newPlugin(t, change), &decodingtest.Accumulator{}
	if err := n.Start(acc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	conn, err := net.Dial("udp", n.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return n, acc, conn
}

// await waits until the accumulator has n metrics of a measurement.
func await(t *testing.T, acc *decodingtest.Accumulator, measurement string, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); acc.Count(measurement) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %d of %d metrics %s", acc.Count(measurement), n, measurement)
		}
	}
}

func send(t *testing.T, conn net.Conn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// TestTwentyThousandFlowsAreTwentyThousandPoints sends flows over UDP and counts
// the points that a database keeps: one per series and timestamp.
func TestTwentyThousandFlowsAreTwentyThousandPoints(t *testing.T) {
	const n = 20000
	_, acc, conn := started(t, nil)
	done := 0
	for i, b := range append(decodingtest.Datagrams(t, n/2), decodingtest.V5(n/2)...) {
		send(t, conn, b)
		if i%20 == 0 {
			for acc.Count(flowmetric.Measurement) < done-500 {
				time.Sleep(time.Millisecond)
			}
		}
		done = min(n, i*18)
	}
	await(t, acc, flowmetric.Measurement, n)
	type point struct {
		series uint64
		ns     int64
	}
	points := map[point]bool{}
	for _, m := range acc.List() {
		points[point{m.HashID(), m.Time().UnixNano()}] = true
		start, _ := m.GetField("flow_start")
		end, _ := m.GetField("flow_end")
		if s, e := start.(uint64), end.(uint64); s < 1767322000000 || e < s {
			t.Fatalf("a flow from %d to %d", s, e)
		}
	}
	if len(points) != n {
		t.Errorf("%d flows are %d points", n, len(points))
	}
}

func TestStopEmitsNothingAfter(t *testing.T) {
	n, acc, conn := started(t, nil)
	list := decodingtest.Datagrams(t, 1000)
	for _, b := range list {
		send(t, conn, b)
	}
	n.Stop()
	got := len(acc.List())
	for _, b := range list {
		_, _ = conn.Write(b)
	}
	if len(acc.List()) != got {
		t.Error("metrics were added after Stop")
	}
	n.Stop()
	newPlugin(t, nil).Stop() // without Start
}

func TestMetricsOption(t *testing.T) {
	n, acc, conn := started(t, func(n *NetFlow) { n.Metrics = []string{"datagrams"} })
	list := decodingtest.Datagrams(t, 100)
	for _, b := range list {
		send(t, conn, b)
	}
	await(t, acc, flowmetric.DatagramMeasurement, len(list))
	if err := n.Gather(acc); err != nil {
		t.Fatal(err)
	}
	for i, m := range acc.List() {
		if m.Name() != flowmetric.DatagramMeasurement {
			t.Fatalf("got a metric %s", m.Name())
		}
		dg, err := new(flowmetric.DatagramParser).Parse(m)
		if err != nil || !bytes.Equal(dg.Payload, list[i]) || dg.Exporter.String() != conn.LocalAddr().String() {
			t.Fatalf("datagram %d came back as %v from %s, %v", i, dg.Payload, dg.Exporter, err)
		}
	}
}

// TestRollupsAlone: with metrics = [] and roll-ups no other metric is made, the sums are
// those of the flows, and the plugin counts itself.
func TestRollupsAlone(t *testing.T) {
	n, acc, conn := started(t, func(n *NetFlow) {
		n.Metrics = []string{}
		n.Statistics = selfstat.NewCollector(map[string]string{"input": "netflow", "alias": t.Name()})
		n.Rollups = []decoding.Rollup{{Name: "by_dst", Tags: []string{"dst"}, Top: 2},
			{Name: "by_service", Tags: []string{"service"}, Interval: config.Duration(time.Second)}}
	})
	var want uint64
	for _, r := range decodingtest.Flows(0, 100) {
		want += r.Bytes
	}
	for _, b := range decodingtest.Datagrams(t, 100) {
		send(t, conn, b)
	}
	flows := func() (sum uint64) {
		for _, c := range n.pool.RollupCounts() {
			sum += c.Flows
		}
		return sum
	}
	for deadline := time.Now().Add(60 * time.Second); flows() < 200; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d flows are in the roll-ups, want 200", flows())
		}
	}
	if err := n.Gather(acc); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	sums := map[string]uint64{}
	for _, m := range acc.List() {
		bytes, _ := m.GetField("bytes")
		sums[m.Name()] += bytes.(uint64)
	}
	if len(sums) != 2 || sums["by_dst"] != want || sums["by_service"] != want {
		t.Errorf("got %v, want %d each", sums, want)
	}
	counted := 0
	for _, m := range selfstat.Metrics() {
		if v, _ := m.GetField("flows"); m.Name() == "internal_netflow_rollup" && m.Tags()["alias"] == t.Name() &&
			v == int64(100) {
			counted++
		}
	}
	if counted != 2 {
		t.Errorf("%d roll-ups tell of their flows in the statistics, want 2", counted)
	}
	n.Metrics = []string{"exporters"}
	fields := map[string]any{}
	n.pool.Count(fields)
	if fields["rollup_flows"] != uint64(200) || fields["rollup_series_folded"] == uint64(0) {
		t.Errorf("netflow_exporter has %v", fields)
	}
}

func TestExporterMetrics(t *testing.T) {
	n, acc, conn := started(t, nil)
	list := decodingtest.Datagrams(t, 100)
	send(t, conn, list[1]) // before its template
	for i, b := range list {
		if i != 3 { // lost
			send(t, conn, b)
		}
	}
	send(t, conn, append([]byte{0, 0, 0, 5}, make([]byte, 24)...))
	send(t, conn, []byte("garbage"))
	await(t, acc, flowmetric.Measurement, 100)
	for deadline := time.Now().Add(5 * time.Second); len(n.pool.Exporters()) < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %d domains, want 3", len(n.pool.Exporters()))
		}
	}
	got := &decodingtest.Accumulator{}
	if err := n.Gather(got); err != nil {
		t.Fatal(err)
	}
	byVersion := map[string]telegraf.Metric{}
	for _, m := range got.List() {
		if m.Name() != flowmetric.ExporterMeasurement {
			t.Fatalf("got a metric %s", m.Name())
		}
		byVersion[m.Tags()["version"]] = m
	}
	ipfix := byVersion["IPFIX"]
	if ipfix == nil || ipfix.Tags()["source"] != "127.0.0.1" || ipfix.Tags()["domain"] != "1" {
		t.Fatalf("got %v", byVersion)
	}
	for name, want := range map[string]any{"datagrams": uint64(7), "flows": uint64(100), "templates": uint64(1),
		"sets_without_template": uint64(1), "sets_resumed": uint64(1),
		"sequence_gaps": uint64(1), "sequence_lost": uint64(19), "decode_errors": uint64(0)} {
		if v, _ := ipfix.GetField(name); v != want {
			t.Errorf("%s: got %v, want %v", name, v, want)
		}
	}
	if v, _ := byVersion["unknown"].GetField("unsupported"); v != uint64(1) {
		t.Errorf("what is no flow protocol: got %v", byVersion["unknown"])
	}
	if v, _ := byVersion["sFlowV5"].GetField("datagrams"); v != uint64(1) {
		t.Errorf("sFlow: got %v", byVersion["sFlowV5"])
	}
	socket := byVersion[""]
	if v, ok := socket.GetField("kernel_drops"); !ok || v != uint64(0) ||
		socket.Tags()["listener"] != n.ServiceAddress {
		t.Errorf("the socket: got %v", socket)
	}
}

// TestGarbageLeavesThePluginAlive sends what is no flow, then flows.
func TestGarbageLeavesThePluginAlive(t *testing.T) {
	_, acc, conn := started(t, nil)
	list := decodingtest.Datagrams(t, 19)
	for n := range 200 {
		send(t, conn, bytes.Repeat([]byte{0, 10, 0xff}, n)[:n])
		send(t, conn, list[0][:min(n, len(list[0]))])
	}
	for _, b := range list {
		send(t, conn, b)
	}
	await(t, acc, flowmetric.Measurement, 19)
}

func TestCheck(t *testing.T) {
	n, _, _ := started(t, nil)
	busy := newPlugin(t, func(p *NetFlow) { p.ServiceAddress = "udp://" + n.listener.Addr().String() })
	if err := busy.Check(); err == nil {
		t.Error("a port in use is said to be free")
	}
	err := busy.Start(&decodingtest.Accumulator{})
	if err == nil {
		t.Fatal("started on a port in use")
	}
	busy.Stop()
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("the cause is lost: %v", err)
	}
	n.Stop()
	if err := busy.Check(); err != nil {
		t.Errorf("a free port is said to be busy: %v", err)
	}
	if err := busy.Start(&decodingtest.Accumulator{}); err != nil {
		t.Errorf("after Check: %v", err)
	}
	busy.Stop()
}

// TestWriteCases writes the datagrams of the test cases anew when asked to, so
// that a reader can see what is in them.
func TestWriteCases(t *testing.T) {
	if os.Getenv("UPDATE_EXPECTED") == "" {
		t.Skip("UPDATE_EXPECTED is not set")
	}
	for name, list := range map[string][][]byte{"ipfix": decodingtest.Datagrams(t, 2), "netflow_v5": decodingtest.V5(2),
		"flow_tags": decodingtest.Datagrams(t, 2), "vmware": decodingtest.VMware(t),
		"vmware_outer": decodingtest.VMware(t), "vmware_ports": decodingtest.VMware(t),
		"exporter": decodingtest.VMware(t), "netflow_v9_sampled": decodingtest.V9(t), "sflow": decodingtest.SFlow(),
		"sflow_stock": decodingtest.SFlow(), "events": decodingtest.Events(t), "netflow_v1_v7": decodingtest.V1V7()} {
		folder := filepath.Join("testcases", name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, b := range list {
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("datagram_%d.bin", i)), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCases runs every folder of testcases: its telegraf.conf, its datagrams, and
// the metrics it expects, in line protocol with sorted fields and without times.
// UPDATE_EXPECTED=1 writes both anew.
func TestCases(t *testing.T) {
	folders, err := filepath.Glob("testcases/*/telegraf.conf")
	if err != nil || len(folders) == 0 {
		t.Fatalf("expected test cases: %v", err)
	}
	for _, conf := range folders {
		folder := filepath.Dir(conf)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			cfg := config.NewConfig()
			if err := cfg.LoadConfig(conf); err != nil {
				t.Fatal(err)
			}
			n := cfg.Inputs[0].Input.(*NetFlow)
			n.Log = logger.New("inputs", "netflow", "")
			if err := n.Init(); err != nil {
				t.Fatal(err)
			}
			got := lineProtocol(t, replay(t, n, folder))
			file := filepath.Join(folder, "expected.out")
			if os.Getenv("UPDATE_EXPECTED") != "" {
				if err := os.WriteFile(file, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSpace(string(text)), "\n")
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// lineProtocol returns the metrics with sorted fields and without their times.
func lineProtocol(t *testing.T, metrics []telegraf.Metric) []string {
	t.Helper()
	s := &influx.Serializer{UintSupport: true, SortFields: true}
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range metrics {
		b, err := s.Serialize(m)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.TrimSpace(string(b))
		list = append(list, line[:strings.LastIndex(line, " ")])
	}
	return list
}
