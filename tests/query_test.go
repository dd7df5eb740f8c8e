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
	"strings"
	"testing"
	"time"
)

// netflowDir has what the input's README shows.
const netflowDir = "../plugins/inputs/netflow/"

// sampleRollups returns the roll-ups of the sample configuration, with windows of a second.
func sampleRollups(t *testing.T) string {
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
	return regexp.MustCompile(`(?m)^ *name = .*$`).ReplaceAllString(text, "$0\n  interval = \"1s\"")
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

// questions returns the queries of the README and of the dashboard, ready to run.
func questions(t *testing.T) (list []string) {
	t.Helper()
	list = readmeQuestions(t, "influxql")
	file, err := os.ReadFile(netflowDir + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Templating struct {
			List []struct{ Type, Query string }
		}
		Panels []struct {
			Title   string
			Targets []struct{ Query string }
		}
	}
	if err := json.Unmarshal(file, &dashboard); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$timeFilter", "time > now() - 1h", "$exporter", ".*")
	for _, v := range dashboard.Templating.List {
		if v.Type == "query" {
			list = append(list, v.Query)
		}
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			list = append(list, fill.Replace(target.Query))
		}
	}
	if len(list) < 25 {
		t.Errorf("README and dashboard have %d queries", len(list))
	}
	return list
}

// rollupsInInfluxDB runs an agent that has written the roll-ups of the sample configuration
// to an InfluxDB: their sums are those of the traffic.
func rollupsInInfluxDB(t *testing.T, server string) *agent {
	t.Helper()
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
`+sampleRollups(t), map[string]string{"InfluxDB": server})
	sent := generate(t, "--to", a.flows, "--protocol", "v9", "--mix", "realistic", "--count", "20000", "--rate", "5000")
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
		ready := func() bool { return influxRows(t, server, query) > 0 }
		if strings.Contains(query, "in_vm") { // no vCenter has told names
			ready()
			continue
		}
		waitFor(t, 60*time.Second, fmt.Sprintf("an answer to %s", query), ready)
	}
	a.stop(t)
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

// The sums of hours that the README makes in InfluxDB, here of five seconds, are those of
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
	post := func(where, body string) {
		t.Helper()
		resp, err := http.Post(server+where, "application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if answer, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 || strings.Contains(string(answer), "error") {
			t.Fatalf("%s: %s: %s", body, resp.Status, answer)
		}
	}
	statements := strings.NewReplacer("1h", "5s", "2h", "10s", "\nCREATE", ";CREATE").Replace("CREATE DATABASE" + text)
	post("/query", "q="+url.QueryEscape(statements))
	const window, late = time.Second, 2 * time.Second
	written, begin := uint64(0), time.Now().Truncate(5*window).Add(5*window)
	for at := begin; at.Before(begin.Add(20 * window)); at = at.Add(window) {
		time.Sleep(time.Until(at.Add(late)))
		post("/write?db=flows", fmt.Sprintf("netflow_by_service,service=https scaled_bytes=1i,scaled_packets=1i,flows=1i %d",
			at.UnixNano()+417263))
		written++
	}
	sum := "select sum(scaled_bytes) from flows.year.netflow_by_service where service = 'https'"
	waitFor(t, 30*time.Second, "all seconds in the sums", func() bool { return influxNumber(t, server, sum) == written })
}
