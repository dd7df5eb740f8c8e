package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// influxConfig keeps an influxd of its own in a directory, on free ports.
const influxConfig = `reporting-disabled = true
bind-address = "%[1]s"
[meta]
  dir = "%[3]s/meta"
[data]
  dir = "%[3]s/data"
  wal-dir = "%[3]s/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "%[2]s"
  log-enabled = false
  flux-enabled = true
`

// startInfluxDB starts an InfluxDB and returns its URL.
func startInfluxDB(t *testing.T) string { return startInflux(t, peer(t, "influxd")) }

// startInflux starts the InfluxDB of a file. Debian's speaks no Flux and takes no notice of
// the option.
func startInflux(t *testing.T, influxd string) string {
	t.Helper()
	return startInfluxIn(t, influxd, t.TempDir())
}

// startInfluxIn starts an InfluxDB on what a directory has of an earlier one.
func startInfluxIn(t *testing.T, influxd, dir string) string {
	t.Helper()
	addr := freePort(t, "tcp")
	file := filepath.Join(dir, "influxdb.conf")
	text := fmt.Sprintf(influxConfig, freePort(t, "tcp"), addr, dir)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, influxd, "-config", file)
	waitFor(t, 60*time.Second, "InfluxDB", func() bool {
		if !p.running() {
			t.Fatalf("influxd ended: %v\n%s", p.err, tail(p.out.String(), 4000))
		}
		return answers(addr)
	})
	return "http://" + addr
}

// influxNumber runs a query that gives one number, 0 while there is no data.
func influxNumber(t *testing.T, server, query string) uint64 {
	t.Helper()
	resp, err := http.Get(server + "/query?db=telegraf&q=" + url.QueryEscape(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Results []struct {
			Error  string
			Series []struct{ Values [][]any }
		}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&answer); err != nil || len(answer.Results) != 1 {
		t.Fatalf("%s: %v\n%s", query, err, body)
	}
	if len(answer.Results[0].Series) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(fmt.Sprint(answer.Results[0].Series[0].Values[0][1]), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v\n%s", query, err, body)
	}
	return n
}

// What the stock plugin loses: flows of one series and one time overwrite each
// other in InfluxDB. Here every flow is a point of its own.
func TestInfluxDBKeepsEveryFlow(t *testing.T) {
	server := startInfluxDB(t)
	a := startAgent(t, t.TempDir(), `
[agent]
  flush_interval = "500ms"
  metric_batch_size = 5000
  metric_buffer_limit = 100000
[[inputs.netflow]]
  service_address = "udp://{{ .Flows }}"
[[outputs.influxdb]]
  urls = ["{{ .InfluxDB }}"]
  database = "telegraf"
`, map[string]string{"InfluxDB": server})
	var want generated
	for _, protocol := range []string{"v5", "v9", "ipfix", "vmware"} {
		g := generate(t, "--to", a.flows, "--protocol", protocol, "--count", "5000", "--rate", "20000", "--seed", "2")
		want.flows += g.flows
		want.bytes += g.bytes
	}
	if want.flows != 20000 {
		t.Fatalf("%d flows were generated, want 20000", want.flows)
	}
	waitFor(t, 60*time.Second, "20,000 points in InfluxDB", func() bool {
		return influxNumber(t, server, `select count(in_bytes) from netflow`) >= want.flows
	})
	if n := influxNumber(t, server, `select count(in_bytes) from netflow`); n != want.flows {
		t.Errorf("count(in_bytes) is %d, want %d", n, want.flows)
	}
	if n := influxNumber(t, server, `select sum(in_bytes) from netflow`); n != want.bytes {
		t.Errorf("sum(in_bytes) is %d, want %d", n, want.bytes)
	}
	a.stop(t)
}
