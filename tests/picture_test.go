package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/exporter"
	"github.com/flowgraf/flowgraf/plugins/vcenter/vcentertest"
)

// How long the exporters of the picture send, and what happens meanwhile.
const (
	siteLasts    = 21 * time.Minute
	lossFrom     = 6 * time.Minute // branch, one datagram in 25
	lossTo       = 12 * time.Minute
	agentStopsAt = 9 * time.Minute // and its port overflows
	agentStops   = 1300 * time.Millisecond
	silenceFrom  = 16 * time.Minute // access, to the end
)

// siteExporter is an exporter of the picture's site.
type siteExporter struct {
	name, address, protocol string
	mix                     exporter.Mix
	sampling                int     // as configured; 0 is as it tells
	rate                    float64 // flows a second, about which it varies
	phase                   float64 // of its wave
}

// site are exporters of every kind, with addresses of loopback.
var site = []siteExporter{
	{"border", "127.0.0.11", "v9", exporter.Realistic, 100, 220, 0},
	{"branch", "127.0.0.12", "ipfix", exporter.Plain, 50, 60, 1},
	{"access", "127.0.0.13", "v5", exporter.Realistic, 64, 80, 2},
	{"leaf", "127.0.0.14", "sflow", exporter.Realistic, 0, 260, 4},
	{"vswitch", "127.0.0.15", "vmware", exporter.Plain, 0, 60, 5},
}

// TestDashboardPicture asks what the dashboard asks of an InfluxDB that has twenty minutes of
// a site, and writes the answers for tests/dashboard, which draws them. A directory that has
// them already is asked again.
func TestDashboardPicture(t *testing.T) {
	dir := os.Getenv("FLOWGRAF_PICTURE")
	if dir == "" {
		t.Skip("the picture of the dashboard takes twenty minutes: make picture draws it")
	}
	influx := filepath.Join(dir, "influxdb")
	if err := os.MkdirAll(influx, 0o755); err != nil {
		t.Fatal(err)
	}
	server := startInfluxIn(t, peer(t, "influxd"), influx)
	lasted := filepath.Join(influx, "lasted.json")
	if _, err := os.Stat(lasted); err != nil {
		began := time.Now()
		runSite(t, server)
		writeJSON(t, lasted, [2]time.Time{began, time.Now()})
	}
	var times [2]time.Time // of which whole minutes are asked
	text, err := os.ReadFile(lasted)
	if err == nil {
		err = json.Unmarshal(text, &times)
	}
	if err != nil {
		t.Fatal(err)
	}
	from, to := times[0].Truncate(time.Minute).Add(time.Minute), times[1].Truncate(time.Minute).Add(-time.Millisecond)
	filter := fmt.Sprintf("time >= %dms and time <= %dms", from.UnixMilli(), to.UnixMilli())
	answers := map[string]json.RawMessage{}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			answers[fmt.Sprint(p.ID, target.RefID)] = influxAnswer(t, server, asGrafana(target.Query, filter))
		}
	}
	writeJSON(t, filepath.Join(dir, "answers.json"), map[string]any{
		"from": from.UnixMilli(), "to": to.UnixMilli(), "answers": answers})
}

func writeJSON(t *testing.T, file string, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// influxAnswer returns what InfluxDB answers, with times in milliseconds, as Grafana asks.
func influxAnswer(t *testing.T, server, query string) json.RawMessage {
	t.Helper()
	resp, err := http.Get(server + "/query?db=telegraf&epoch=ms&q=" + url.QueryEscape(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || strings.Contains(string(text), `"error"`) {
		t.Fatalf("%s: %v: %s", query, err, text)
	}
	return text
}

// runSite runs an agent with the roll-ups of the sample configuration while the site's
// exporters send.
func runSite(t *testing.T, server string) {
	t.Helper()
	vms := vcentertest.New(t)
	vms.Populate("127.0.0.15", 64, vcentertest.Port{Key: 1, Portgroup: "uplinks"},
		vcentertest.Port{Key: 2, Portgroup: "web", Machine: "web-1"},
		vcentertest.Port{Key: 3, Portgroup: "web", Machine: "web-2"},
		vcentertest.Port{Key: 4, Portgroup: "app", Machine: "app-1"},
		vcentertest.Port{Key: 5, Portgroup: "app", Machine: "app-2"},
		vcentertest.Port{Key: 6, Portgroup: "db", Machine: "db-1"},
		vcentertest.Port{Key: 7, Portgroup: "db", Machine: "db-2"})
	a := startAgent(t, t.TempDir(), siteConfig()+sampleRollups(t, "1m"), map[string]string{"InfluxDB": server,
		"VCenter": vms.URL, "Name": vcentertest.Name, "Password": vcentertest.Password})
	ctx, end := context.WithTimeout(t.Context(), siteLasts)
	defer end()
	var sending sync.WaitGroup
	for i := range site {
		sending.Go(func() { site[i].send(t, ctx, a.flows) })
	}
	time.AfterFunc(agentStopsAt, func() { a.cmd.Process.Signal(syscall.SIGSTOP) })
	time.AfterFunc(agentStopsAt+agentStops, func() { a.cmd.Process.Signal(syscall.SIGCONT) })
	sending.Wait()
	a.stop(t)
}

// siteConfig is the configuration of the site's agent, up to its roll-ups. The receive
// buffer is so small that it overflows when the agent is stopped.
func siteConfig() string {
	var b strings.Builder
	b.WriteString(`
[agent]
  interval = "10s"
  flush_interval = "1s"
  metric_buffer_limit = 100000
[[outputs.influxdb]]
  urls = ["{{ .InfluxDB }}"]
  database = "telegraf"
[[inputs.netflow]]
  service_address = "udp4://{{ .Flows }}"
  metrics = ["exporters", "quality"]
  read_buffer_size = "64KiB"
` + vcenterSection)
	for _, e := range site {
		fmt.Fprintf(&b, "  [[inputs.netflow.exporter]]\n    address = %q\n    name = %q\n", e.address, e.name)
		if e.sampling > 0 {
			fmt.Fprintf(&b, "    sampling_rate = %d\n", e.sampling)
		}
		b.WriteString(`    interfaces = {"1" = "uplink"`)
		for i := 2; i < 64 && e.protocol != "vmware"; i++ {
			fmt.Fprintf(&b, `, "%d" = "xe-0/0/%[1]d"`, i)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// send sends flows of an exporter, ten times a second, until ctx is done.
func (s *siteExporter) send(t *testing.T, ctx context.Context, to string) {
	e, err := exporter.New(exporter.Options{Protocol: s.protocol, Mix: s.mix, Seed: 1})
	if err != nil {
		t.Error(err)
		return
	}
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(s.address)}}
	conn, err := dialer.DialContext(ctx, "udp4", to)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	const pause = 100 * time.Millisecond
	began, owed, buf := time.Now(), 0.0, []byte(nil)
	last := began
	for tick, ticks := 0, time.Tick(pause); ctx.Err() == nil; tick++ {
		now := <-ticks
		since := now.Sub(began)
		if s.name == "access" && since > silenceFrom {
			return
		}
		if tick%100 == 0 {
			if buf = e.Templates(buf[:0], now); len(buf) > 0 {
				conn.Write(buf) // what is lost is shown
			}
		}
		owed += s.rateAt(since) * now.Sub(last).Seconds() // also those of ticks that a busy machine has missed
		last = now
		n := int(owed)
		owed -= float64(n)
		for recs := e.Flows(n, now); len(recs) > 0; {
			var sent int
			buf, sent = e.Data(buf[:0], now, recs)
			recs = recs[sent:]
			if lossy := s.name == "branch" && since > lossFrom && since < lossTo; !lossy || rand.IntN(25) > 0 {
				conn.Write(buf)
			}
		}
	}
}

// rateAt is the rate of an exporter's flows: a wave of a quarter of an hour, and a faster one.
func (s *siteExporter) rateAt(since time.Duration) float64 {
	m := since.Minutes()
	return s.rate * (1 + 0.35*math.Sin(m*2*math.Pi/15+s.phase) + 0.12*math.Sin(m*2*math.Pi/3.7+2*s.phase))
}
