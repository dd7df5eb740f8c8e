package tests

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/flowgraf/flowgraf/"

// importLayers are the layers of the design, from the top. A package imports its own
// layer and those below. A package of ours that stands in no layer is an error:
// whoever adds one says where it belongs.
var importLayers = [][]string{
	{"tests", "cmd"},
	{"plugins/inputs/netflow", "plugins/inputs/selfstats", "plugins/inputs/smtp_relay", "plugins/processors/netflow",
		"outputs/file", "outputs/nfdump", "outputs/smtp_relay", "plugins/execd", "plugins/serializers/influx"},
	{"plugins/decoding", "plugins/decoding/decodingtest"},
	{"plugins/flowmetric", "plugins/flowmetric/generate"},
	{"outputs/web"},
	{"plugins/collector", "plugins/exporter", "plugins/rollup", "plugins/vcenter", "plugins/vcenter/vcentertest",
		"outputs/anonymise", "outputs/archive", "outputs/query", "outputs/replay", "outputs/report", "outputs/waitlog"},
	{"outputs/index"},
	{"outputs/nffile", "plugins/nffilter"},
	{"plugins/netflow", "plugins/sflow"},
	{"plugins/ipfix"},
	{"plugins/packet", "plugins/aggregate", "plugins/enrich", "plugins/ie/generate", "plugins/flow/generate"},
	{"plugins/disk", "plugins/flow", "plugins/handover", "plugins/ie", "plugins/line", "plugins/outcome",
		"plugins/wire",
		"tests/peers"},
}

// relayLayers are those inside of relay, from the top.
var relayLayers = [][]string{
	{"relay"},
	{"relay/smtpd", "relay/delivery", "relay/alert", "relay/exim", "relay/sendmail"},
	{"relay/policy", "relay/rewrite", "relay/dsn", "relay/dkim", "relay/mtasts"},
	{"relay/queue", "relay/control"},
	{"relay/address", "relay/maillog", "relay/message"},
	{"relay/keeper", "relay/monitor", "relay/storage"},
}

// telegrafLayers is how many layers from the top may import Telegraf.
const telegrafLayers = 4

func layerOf(pkg string) int {
	if i := indexOf(importLayers, pkg); i >= 0 {
		return i
	}
	for _, name := range importLayers[0] {
		if strings.HasPrefix(pkg, name+"/") {
			return 0
		}
	}
	return -1
}

// indexOf gives the layer that a package stands in, -1 when it stands in none.
func indexOf(layers [][]string, pkg string) int {
	return slices.IndexFunc(layers, func(names []string) bool { return slices.Contains(names, pkg) })
}

func TestImportsPointDownwards(t *testing.T) {
	cmd := exec.Command("go", "list", "-f",
		`{{.ImportPath}} {{join .Imports " "}} | {{join .TestImports " "}} {{join .XTestImports " "}}`, "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 10 {
		t.Fatalf("only %d packages were found:\n%s", len(lines), out)
	}
	for _, line := range lines {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(words[0], module)
		tests := false
		for _, imported := range words[1:] {
			if tests = tests || imported == "|"; imported == "|" {
				continue
			}
			if tests && pkg == "outputs/web" && strings.HasPrefix(imported, module+"relay") {
				continue // what it shows is that of a relay which runs
			}
			if complaint := judge(pkg, imported); complaint != "" {
				t.Errorf("%s imports %s: %s", pkg, imported, complaint)
			}
		}
		if layerOf(pkg) < 0 && indexOf(relayLayers, pkg) < 0 {
			t.Errorf("%s is in no layer: add it to the list in this test and to the layout", pkg)
		}
	}
}

// judge says what is wrong with an import, "" when nothing is.
func judge(pkg, imported string) string {
	relay := pkg == "relay" || strings.HasPrefix(pkg, "relay/")
	from := layerOf(pkg)
	if strings.HasPrefix(imported, "github.com/influxdata/telegraf") {
		if relay || from >= telegrafLayers {
			return "only the Telegraf plugins, flowmetric, execd and cmd may import Telegraf"
		}
		return ""
	}
	imported, ours := strings.CutPrefix(imported, module)
	if !ours {
		return ""
	}
	toRelay := imported == "relay" || strings.HasPrefix(imported, "relay/")
	switch {
	case relay && !toRelay:
		return "relay imports nothing outside relay"
	case relay && indexOf(relayLayers, imported) < indexOf(relayLayers, pkg):
		return "imports point downwards inside relay too"
	case relay:
		return ""
	case strings.HasPrefix(pkg, "plugins/") && strings.HasPrefix(imported, "outputs/"):
		return "plugins never imports outputs"
	case toRelay && pkg == "outputs/web" && imported == "relay/control":
		return ""
	case toRelay && from > 1:
		return "only outputs/smtp_relay and cmd know the relay, and the page its control socket"
	case toRelay && pkg == "outputs/smtp_relay" && imported != "relay":
		return "outputs/smtp_relay reaches no package below relay"
	case !toRelay && layerOf(imported) < from:
		return "imports point downwards"
	}
	return ""
}

func TestJudgeRefusesWhatTheDesignForbids(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		ok            bool
	}{
		{"cmd/flowgraf", module + "outputs/nffile", true},
		{"plugins/netflow", module + "plugins/ipfix", true},
		{"plugins/inputs/netflow", "github.com/influxdata/telegraf", true},
		{"plugins/decoding", "github.com/influxdata/telegraf", true},
		{"outputs/nfdump", module + "plugins/decoding", true},
		{"plugins/decoding", module + "plugins/inputs/netflow", false},
		{"outputs/smtp_relay", module + "relay", true},
		{"outputs/smtp_relay", module + "relay/alert", false},
		{"cmd/flowgraf", module + "relay/control", true},
		{"outputs/web", module + "relay/control", true},
		{"outputs/web", module + "relay/queue", false},
		{"plugins/ipfix", module + "plugins/packet", true},
		{"plugins/ipfix", module + "plugins/sflow", false},
		{"plugins/ipfix", module + "plugins/collector", false},
		{"plugins/collector", module + "outputs/nffile", false},
		{"plugins/collector", "github.com/influxdata/telegraf", false},
		{"relay/queue", "github.com/influxdata/telegraf/config", false},
		{"relay/queue", module + "plugins/flow", false},
		{"relay/queue", module + "relay/address", true},
		{"relay/smtpd", module + "relay/maillog", true},
		{"relay/queue", module + "relay/delivery", false},
		{"relay/address", module + "relay/policy", false},
		{"relay/smtpd", module + "relay", false},
		{"outputs/nffile", module + "relay/queue", false},
		{"plugins/flow", module + "plugins/netflow", false},
	} {
		if complaint := judge(c.pkg, c.imported); (complaint == "") != c.ok {
			t.Errorf("%s imports %s: %q", c.pkg, c.imported, complaint)
		}
	}
}
