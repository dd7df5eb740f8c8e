package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/aggregators"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/outputs"
	"github.com/influxdata/telegraf/plugins/processors"
)

// The plugins of Telegraf that stand beside flows in ordinary configurations.
var besideFlows = map[string]string{
	"input": "cpu mem disk diskio net system processes kernel snmp ping exec execd tail syslog http_listener_v2 " +
		"influxdb_v2_listener",
	"processor":   "regex strings override dedup filter date",
	"aggregator":  "minmax histogram quantile",
	"output":      "influxdb influxdb_v2 influxdb_v3 loki mqtt opensearch postgresql",
	"parser":      "csv grok influx json value",
	"serializer":  "csv influx json",
	"secretstore": "docker googlecloud http jose oauth2 os systemd",
}

func TestPluginsBesideFlowsAreThere(t *testing.T) {
	for kind, names := range besideFlows {
		for name := range strings.FieldsSeq(names) {
			if !slices.Contains(linked(kind), name) {
				t.Errorf("there is no %s %s", kind, name)
			}
		}
	}
}

// samples gives the sample configuration of every plugin that is linked, by its table.
func samples() map[string]string {
	all := map[string]string{}
	add := func(kind, name string, plugin telegraf.PluginDescriber) { all[kind+"."+name] = plugin.SampleConfig() }
	for name, creator := range inputs.Inputs {
		add("inputs", name, creator())
	}
	for name, creator := range outputs.Outputs {
		add("outputs", name, creator())
	}
	for name, creator := range processors.Processors {
		add("processors", name, creator())
	}
	for name, creator := range aggregators.Aggregators {
		add("aggregators", name, creator())
	}
	return all
}

// TestSampleOfEveryPluginLoads: Telegraf's configuration takes the table of each plugin
// that is linked, as the plugin's own sample has it, with the parser and serializer that
// it names.
func TestSampleOfEveryPluginLoads(t *testing.T) {
	all := samples()
	if len(all) < 50 {
		t.Fatalf("only %d plugins are linked", len(all))
	}
	for table, sample := range all {
		if !strings.Contains(sample, "[["+table+"]]") {
			sample = "[[" + table + "]]\n" + sample
		}
		c := config.NewConfig()
		c.TestMode = true
		if err := c.LoadConfigData([]byte(sample), table+".conf"); err != nil {
			t.Errorf("%s: %v", table, err)
			continue
		}
		if n := len(c.Inputs) + len(c.Outputs) + len(c.Processors) + len(c.Aggregators); n != 1 {
			t.Errorf("%s: %d plugins are loaded, want 1", table, n)
		}
	}
}

// TestMissingPlugin: the error about a plugin that is not linked tells which are.
func TestMissingPlugin(t *testing.T) {
	for text, want := range map[string]string{
		"[[inputs.nosuch]]":     "inputs.nosuch is not in flowgraf, which has the inputs cpu, disk,",
		"[[outputs.sql]]":       "outputs.sql is not in flowgraf, which has the outputs file, http,",
		"[[processors.nosuch]]": "which has the processors converter, date,",

		"[[aggregators.nosuch]]":                     "which has the aggregators basicstats, final,",
		"[[secretstores.vault]]\nid = \"vault\"":     "which has the secretstores docker,",
		"[[outputs.file]]\ndata_format = \"nosuch\"": "serializer nosuch is not in flowgraf, which has the serializers",
		"[[inputs.exec]]\ndata_format = \"nosuch\"":  "parser nosuch is not in flowgraf, which has the parsers csv,",
	} {
		file := filepath.Join(t.TempDir(), "telegraf.conf")
		if err := os.WriteFile(file, []byte("# a line\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadConfig([]string{file}, true)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "flowgraf plugin") ||
			!strings.HasPrefix(err.Error(), file+":2: ") {
			t.Errorf("%s: %v, want line 2 and %q", text, err, want)
		}
	}
}
