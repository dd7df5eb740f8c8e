package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/vcenter/vcentertest"
)

// netflowDir has what the input's README shows.
const netflowDir = "../plugins/inputs/netflow/"

// sampleRollups returns the roll-ups of the sample configuration, with windows of that length.
func sampleRollups(t *testing.T, window string) string {
	t.Helper()
	sample, err := os.ReadFile(netflowDir + "sample.conf")
	if err != nil {
		t.Fatal(err)
	}
	const begin = "  # [[inputs.netflow.rollup]]"
	_, tables, found := strings.Cut(string(sample), begin)
	tables, _, ends := strings.Cut(begin+tables, "\n  ## vCenter")
	if !found || !ends {
		t.Fatal("the sample has no roll-ups")
	}
	text := regexp.MustCompile("(?m)^  # ?").ReplaceAllString(tables, "")
	text = strings.Replace(text, `interval = "1m"`, "", 1)
	return regexp.MustCompile(`(?m)^ *name = .*$`).ReplaceAllString(text, fmt.Sprintf("$0\n  interval = %q", window))
}

// influxPost sends statements or lines to an InfluxDB.
func influxPost(t *testing.T, address, body string) {
	t.Helper()
	resp, err := http.Post(address, "application/x-www-form-urlencoded", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 || strings.Contains(string(answer), "error") {
		t.Fatalf("%s: %s: %s", body, resp.Status, answer)
	}
}

// influxRows runs a query and returns how many rows it has. One that fails is an error, and
// not asked again.
func influxRows(t *testing.T, server, query string) (rows int) {
	t.Helper()
	resp, err := http.Get(server + "/query?db=telegraf&q=" + url.QueryEscape(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Error   string
		Results []struct {
			Error  string
			Series []struct{ Values [][]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if answer.Error != "" || len(answer.Results) != 1 || answer.Results[0].Error != "" {
		t.Errorf("%s: %+v", query, answer)
		return 1
	}
	for _, s := range answer.Results[0].Series {
		rows += len(s.Values)
	}
	return rows
}

// fluxRows runs a query in Flux and returns how many rows it has.
func fluxRows(t *testing.T, server, query string) (rows int) {
	t.Helper()
	resp, err := http.Post(server+"/api/v2/query", "application/vnd.flux", strings.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	// CSV: lines of a table's heading begin with its annotations, or with ",result".
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, ",,") {
			rows++
		}
	}
	if resp.StatusCode != http.StatusOK || strings.Contains(string(text), "error") {
		t.Errorf("%s: %s: %s", query, resp.Status, text)
		return 1
	}
	return rows
}

// readmeQuestions returns the ten questions of the README in a language.
func readmeQuestions(t *testing.T, language string) (list []string) {
	t.Helper()
	readme, err := os.ReadFile(netflowDir + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	for _, block := range strings.Split(string(readme), "```"+language+"\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		list = append(list, strings.NewReplacer("2026-11-28T03:00:00Z", now.Add(-time.Hour).Format(time.RFC3339),
			"2026-11-28T03:10:00Z", now.Add(time.Hour).Format(time.RFC3339)).Replace(text))
	}
	if len(list) != 10 {
		t.Errorf("the README has %d questions in %s, want 10", len(list), language)
	}
	return list
}

// dashboard is what is asked of Grafana's dashboard.
type dashboard struct {
	Templating struct {
		List []struct{ Type, Query string }
	}
	Panels []panel
}

// panel is one of the dashboard's. Places are in columns, of which there are 24, and rows.
type panel struct {
	ID          int
	Title, Type string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ RefID, Query, ResultFormat string }
	FieldConfig struct {
		Defaults  struct{ Unit string }
		Overrides []struct{ Matcher struct{ Options string } }
	}
	Transformations []struct {
		Options struct{ RenameByName map[string]string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	file, err := os.ReadFile(netflowDir + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// asGrafana replaces Grafana's variables in a query: a time range, all exporters, and an
// interval of a minute, which is the least that a panel takes.
func asGrafana(query, timeFilter string) string {
	return strings.NewReplacer("$timeFilter", timeFilter, "$exporter", ".*", "$__interval_ms", "60000",
		"$__interval", "1m").Replace(query)
}

// questions returns the queries of the README and of the dashboard, ready to run.
func questions(t *testing.T) (list []string) {
	t.Helper()
	list = readmeQuestions(t, "influxql")
	d := readDashboard(t)
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			list = append(list, v.Query)
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			list = append(list, asGrafana(target.Query, "time > now() - 1h"))
		}
	}
	if len(list) < 25 {
		t.Errorf("README and dashboard have %d queries", len(list))
	}
	return list
}

// columns returns the names that a panel's queries and transformations give.
func (p *panel) columns() (names []string) {
	for _, target := range p.Targets {
		for _, m := range regexp.MustCompile(`AS "([^"]+)"`).FindAllStringSubmatch(target.Query, -1) {
			names = append(names, m[1])
		}
	}
	for _, tr := range p.Transformations {
		for from, to := range tr.Options.RenameByName {
			names = append(slices.DeleteFunc(names, func(name string) bool { return name == from }), to)
		}
	}
	return names
}

// Panels of the dashboard have places of their own, follow the time range, and say in which
// unit they are; what an override is about is a column that there is.
func TestDashboardPanels(t *testing.T) {
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range readDashboard(t).Panels {
		if ids[p.ID] {
			t.Errorf("%s: another panel has the id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s: column %d of row %d is %s's, or none", p.Title, x, y, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			series := target.ResultFormat == "time_series"
			if !strings.Contains(target.Query, "$timeFilter") || strings.Contains(target.Query, "time($__interval)") != series {
				t.Errorf("%s: %s", p.Title, target.Query)
			}
			if series && p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("%s has no unit", p.Title)
			}
		}
		columns := p.columns()
		for _, o := range p.FieldConfig.Overrides {
			if !slices.Contains(columns, o.Matcher.Options) {
				t.Errorf("%s: an override is about %q, columns are %q", p.Title, o.Matcher.Options, columns)
			}
		}
	}
}

// rollupsInInfluxDB runs an agent that has written the roll-ups of the sample configuration
// to an InfluxDB, with names of a vCenter: their sums are those of the traffic.
func rollupsInInfluxDB(t *testing.T, server string) *agent {
	t.Helper()
	site := vcentertest.New(t)
	a := startAgent(t, t.TempDir(), `
[agent]
  interval = "1s"
  flush_interval = "500ms"
  metric_buffer_limit = 100000
[[outputs.influxdb]]
  urls = ["{{ .InfluxDB }}"]
  database = "telegraf"
[[inputs.netflow]]
  service_address = "udp://{{ .Flows }}"
  metrics = ["exporters", "quality"]
`+vcenterSection+sampleRollups(t, "1s"), map[string]string{"InfluxDB": server, "VCenter": site.URL,
		"Name": vcentertest.Name, "Password": vcentertest.Password})
	waitFor(t, 30*time.Second, "an answer of the vCenter", func() bool {
		return influxNumber(t, server, "select max(vcenter_ports) from netflow_exporter") > 0
	})
	sent := generate(t, "--to", a.flows, "--protocol", "v9", "--mix", "realistic", "--count", "20000", "--rate", "5000")
	virtual := generate(t, "--to", a.flows, "--protocol", "vmware", "--count", "2000", "--rate", "2000")
	sent.flows, sent.bytes = sent.flows+virtual.flows, sent.bytes+virtual.bytes
	for _, roll := range []string{"netflow_by_interface", "netflow_by_service", "netflow_by_src_net", "netflow_by_as",
		"netflow_by_vm"} {
		waitFor(t, 60*time.Second, "the flows in "+roll, func() bool {
			return influxNumber(t, server, "select sum(flows) from "+roll) >= sent.flows
		})
		if n := influxNumber(t, server, "select sum(bytes) from "+roll); n != sent.bytes {
			t.Errorf("%s has %d bytes, sent were %d", roll, n, sent.bytes)
		}
	}
	return a
}

// The ten questions of the README and every query of the dashboard run on InfluxDB, over
// the roll-ups of the sample configuration, and find something.
func TestQuestionsOnInfluxDB(t *testing.T) {
	server := startInfluxDB(t)
	a := rollupsInInfluxDB(t, server)
	for _, query := range questions(t) {
		waitFor(t, 60*time.Second, fmt.Sprintf("an answer to %s", query), func() bool {
			return influxRows(t, server, query) > 0
		})
	}
	a.stop(t)
}

// A link that is idle for more than 95 of 100 slots has a 95th percentile of 0.
func TestPercentileOfIdleLink(t *testing.T) {
	server := startInfluxDB(t)
	influxPost(t, server+"/query", "q=CREATE+DATABASE+telegraf")
	var lines strings.Builder
	for hour := range 25 * 24 {
		if hour%2 == 0 { // one of 24 slots
			fmt.Fprintf(&lines, "netflow_by_interface,source=192.0.2.1,in_snmp=1 scaled_bytes=1000000i %d\n",
				time.Now().Add(-time.Duration(hour+2)*time.Hour).UnixNano())
		}
	}
	influxPost(t, server+"/write?db=telegraf", lines.String())
	for _, query := range readmeQuestions(t, "influxql") {
		if !strings.Contains(query, "percentile") {
			continue
		}
		if rows, bits := influxRows(t, server, query), influxNumber(t, server, query); rows != 1 || bits != 0 {
			t.Errorf("%s: %d rows, %d, want 1 and 0", query, rows, bits)
		}
	}
}

// The ten questions in Flux find something, too.
func TestQuestionsInFlux(t *testing.T) {
	fluxd := filepath.Join(os.Getenv("FLOWGRAF_ENGINES"), "influxd")
	if !executable(fluxd) {
		t.Skip("an InfluxDB that speaks Flux is not there: make engines builds it and runs this test")
	}
	server := startInflux(t, fluxd)
	a := rollupsInInfluxDB(t, server)
	// Yesterday, which two of them compare with.
	yesterday := time.Now().Add(-26 * time.Hour).UnixNano()
	lines := fmt.Sprintf("netflow_by_service,service=https scaled_bytes=1000i %[1]d\n"+
		"netflow_by_src_net,src_net=192.0.2.0/24 scaled_bytes=1000i %[1]d\n", yesterday)
	resp, err := http.Post(server+"/write?db=telegraf", "text/plain", strings.NewReader(lines))
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("%v: %+v", err, resp)
	}
	resp.Body.Close()
	for _, query := range readmeQuestions(t, "flux") {
		waitFor(t, 60*time.Second, fmt.Sprintf("an answer to %s", query), func() bool {
			return fluxRows(t, server, query) > 0
		})
	}
	a.stop(t)
}

// The sums of hours that the README makes in InfluxDB, here of ten seconds, are those of
// the minutes, here seconds: the last of an hour is written when the hour is over.
func TestHourlySums(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "```sql\nCREATE DATABASE")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("README.md makes no database")
	}
	server := startInfluxDB(t)
	statements := strings.NewReplacer("1h", "10s", "2h", "20s", "\nCREATE", ";CREATE").Replace("CREATE DATABASE" + text)
	influxPost(t, server+"/query", "q="+url.QueryEscape(statements))
	const window, late = time.Second, 2 * time.Second
	written, begin := uint64(0), time.Now().Truncate(10*window).Add(10*window)
	for at := begin; at.Before(begin.Add(20 * window)); at = at.Add(window) {
		time.Sleep(time.Until(at.Add(late)))
		influxPost(t, server+"/write?db=flows", fmt.Sprintf("netflow_by_service,service=https "+
			"scaled_bytes=1i,scaled_packets=1i,flows=1i %d", at.UnixNano()+417263))
		written++
	}
	sum := "select sum(scaled_bytes) from flows.year.netflow_by_service where service = 'https'"
	waitFor(t, 30*time.Second, "all seconds in the sums", func() bool {
		return influxNumber(t, server, sum) == written
	})
}
