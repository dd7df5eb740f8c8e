package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/influxdata/telegraf/config"
)

const locateConfig = `[agent]
  interval = "1s"

[[inputs.netflow]]
  service_address = "udp://:2055"

[[inputs.netflow]]
  # the second
  service_address = 'udp://:2056'
  metrics = ["flows", "nonsense"]
  [[inputs.netflow.exporter]]
    name = "border"
  [[inputs.netflow.rollup]]
    tags = ["src", "dst"]
    top = 10
  [[inputs.netflow.rollup]]
    tags = ["src", "dts"]
    top = 20
    interval = "25h"

[[outputs.file]]
  files = ["a"]
`

func TestLocate(t *testing.T) {
	for _, c := range []struct {
		name  string
		table string
		nth   int
		err   string
		want  string
	}{
		{"line of Telegraf's own", "", 0, "error parsing data: line 5: invalid TOML syntax",
			"f:5: error parsing data: invalid TOML syntax"},
		{"option named", "inputs.netflow", 1, "inputs.netflow: invalid metrics",
			"f:10: inputs.netflow: invalid metrics"},
		{"value quoted", "inputs.netflow", 1, `inputs.netflow: expected a port in "udp://:2056"`,
			`f:9: inputs.netflow: expected a port in "udp://:2056"`},
		{"first of two tables", "inputs.netflow", 0, "inputs.netflow: bad service_address",
			"f:5: inputs.netflow: bad service_address"},
		{"table only", "outputs.file", 0, "outputs.file: no", "f:21: outputs.file: no"},
		{"option and value", "inputs.netflow", 1, `tags: got "dts"; did you mean "dst"?`, "f:17: tags: got"},
		{"option and number", "inputs.netflow", 1, `top: expected at most 5, got 20`, "f:18: top: "},
		{"second table inside", "inputs.netflow", 1, `inputs.netflow: rollup 2 ("a"): tags: expected each once`,
			"f:17: "},
		{"first table inside", "inputs.netflow", 1, `inputs.netflow: rollup 1 ("a"): tags: expected each once`,
			"f:14: "},
		{"a value that the error has otherwise", "inputs.netflow", 1,
			`inputs.netflow: rollup 2 ("a"): interval: expected 1s to 24h0m0s, got "25h0m0s"`, "f:19: "},
		{"line of another file", "outputs.file", 0, "outputs.file: a.csv: line 7: no prefix, as in line 2",
			"f:21: outputs.file: a.csv: line 7: no prefix, as in line 2"},
		{"unknown option of the agent", "", 0,
			`line 1: configuration specified the fields ["interval"], but they were not used`,
			`f:2: configuration specified the fields ["interval"], but they were not used`},
		{"unknown plugin", "", 0, "error parsing file, undefined but requested output: file",
			"f:21: outputs.file is not in flowgraf, which has the outputs "},
		{"nowhere", "outputs.nosuch", 0, "no idea", "f: no idea"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := locate("f", []byte(locateConfig), c.table, c.nth,
				errors.New(c.err)); !strings.HasPrefix(got.Error(), c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// What a reload has tried is what then runs, although the files are written meanwhile.
func TestSnapshot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "telegraf.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[[inputs.netflow]]\n  service_address = \"udp://127.0.0.1:0\"\n[[outputs.file]]\n  files = [\"stdout\"]\n")
	o := agentOptions{config: []string{file}, quiet: true}
	_, read, err := o.trial()
	if err != nil {
		t.Fatal(err)
	}
	write("")
	c, err := o.loadInto(config.NewConfig(), read)
	if err != nil || len(c.Inputs) != 1 || len(c.Outputs) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, _, err := o.trial(); err == nil {
		t.Error("the next reload does not read the file again")
	}
}
