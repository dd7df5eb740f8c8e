package netflow

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/parsers/influx"

	"github.com/flowgraf/flowgraf/plugins/collector"
)

// stockDir returns the folder of the stock plugin in the pinned Telegraf.
func stockDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/influxdata/telegraf").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "plugins", "inputs", "netflow")
	if _, statErr := os.Stat(filepath.Join(dir, "testcases")); err != nil || statErr != nil {
		t.Skip("the source of Telegraf is not here")
	}
	return dir
}

// deviations are the fields, by test case, in which this plugin says something
// else than the stock one, and why.
var deviations = map[string]map[string]bool{
	// Elements 150 and 151 are in milliseconds here.
	"issue_13305":     {"flow_start": true, "flow_end": true},
	"ipfix_pen_35632": {"flow_start": true, "flow_end": true},
	"issue_14370":     {"flow_start": true, "flow_end": true},
	// The stock plugin leaves the enterprise bit in the numbers of option
	// templates (32868 is element 100); padding is no information.
	"ipfix_example": {"type_6871_32868": true, "type_6871_32869": true, "type_6871_32870": true,
		"type_6871_32871": true,
		"type_6871_32872": true, "type_6871_32873": true, "type_6871_33318": true, "type_6871_33319": true,
		"type_6871_33322": true, "padding": true},
	// The stock plugin takes the index of what was sampled for the input interface,
	// UDP's length for the length of IPv4, and an IPv6 extension for the protocol.
	"sflow_issue_15918": {"in_snmp": true, "ip_total_len": true, "protocol": true},
}

// TestStockCases feeds the stock plugin's own test cases and expects every field
// of its metrics, with the same name, type and value. More fields are fine.
func TestStockCases(t *testing.T) {
	dir := stockDir(t)
	confs, err := filepath.Glob(filepath.Join(dir, "testcases", "*", "telegraf.conf"))
	if err != nil || len(confs) == 0 {
		t.Fatalf("expected test cases in %s: %v", dir, err)
	}
	for _, conf := range confs {
		folder := filepath.Dir(conf)
		name := filepath.Base(folder)
		t.Run(name, func(t *testing.T) {
			n := newPlugin(t, func(n *NetFlow) {
				n.Measurements = "stock"
				if strings.Contains(name, "35632") {
					n.PENFiles = []string{filepath.Join(dir, "mappings_ipfix_pen", "ntop-35632.csv")}
				}
			})
			used := map[string]bool{}
			compare(t, readExpected(t, filepath.Join(folder, "expected.out")), replay(t, n, folder), deviations[name],
				used)
			for field := range deviations[name] {
				if !used[field] {
					t.Errorf("%s is no deviation: take it out of the list", field)
				}
			}
		})
	}
}

// TestDeviationsAreDocumented looks for every case and field of deviations in the README;
// of a vendor's numbers it names the first and the last.
func TestDeviationsAreDocumented(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "Of the stock plugin's own test cases")
	text, _, _ = strings.Cut(text, "\nFlow times are")
	for name, fields := range deviations {
		_, item, found := strings.Cut(text, "`"+name+"`")
		item, _, _ = strings.Cut(item, "\n- ")
		if !found {
			t.Errorf("the README does not name the case %s", name)
		}
		first, last, isRange := strings.Cut(strings.Join(strings.Fields(item), " "), "` to `")
		_, last, _ = strings.Cut("`"+last, "`")
		last, _, _ = strings.Cut(last, "`")
		first = first[strings.LastIndexByte(first, '`')+1:]
		for field := range fields {
			within := isRange && strings.HasPrefix(field, "type_") && first <= field && field <= last
			if !within && !strings.Contains(item, "`"+field+"`") {
				t.Errorf("the README does not name the field %s of the case %s", field, name)
			}
		}
	}
}

// replay decodes the datagrams of a folder in the order of their names.
func replay(t *testing.T, n *NetFlow, folder string) []telegraf.Metric {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.bin"))
	if err != nil || len(files) == 0 {
		t.Fatalf("expected datagrams in %s: %v", folder, err)
	}
	sort.Strings(files)
	var got []telegraf.Metric
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n.decodeAll([]collector.Datagram{{
			Exporter: netip.MustParseAddrPort("127.0.0.1:40000"),
			Received: time.Unix(1_700_000_000, 0),
			Payload:  b,
		}})...)
	}
	return got
}

// readExpected reads metrics in line protocol.
func readExpected(t *testing.T, file string) []telegraf.Metric {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &influx.Parser{}
	if err := p.Init(); err != nil {
		t.Fatal(err)
	}
	metrics, err := p.Parse(b)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return metrics
}

// compare expects a metric in got for every one in want, with all of its tags and
// fields.
func compare(t *testing.T, want, got []telegraf.Metric, except, used map[string]bool) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d metrics, want %d", len(got), len(want))
	}
	taken := make([]bool, len(got))
	for _, w := range want {
		best := ""
		found := false
		for i, g := range got {
			if taken[i] || g.Name() != w.Name() {
				continue
			}
			diff := difference(w, g, except, used)
			if diff == "" {
				taken[i], found = true, true
				break
			}
			if best == "" || len(diff) < len(best) {
				best = diff
			}
		}
		if !found {
			t.Errorf("no metric like\n%v\nthe closest differs: %s", w, best)
		}
	}
}

// difference says which tags and fields of w are not the same in g. Those in except
// are noted in used.
func difference(w, g telegraf.Metric, except, used map[string]bool) string {
	var b strings.Builder
	for _, tag := range w.TagList() {
		if v, _ := g.GetTag(tag.Key); v != tag.Value {
			b.WriteString(tag.Key + " ")
		}
	}
	for _, f := range w.FieldList() {
		v, ok := g.GetField(f.Key)
		switch {
		case ok && v == f.Value:
		case except[f.Key]:
			used[f.Key] = true
		default:
			b.WriteString(f.Key + " ")
		}
	}
	return b.String()
}
