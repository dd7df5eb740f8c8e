package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/outputs"
	"github.com/influxdata/telegraf/plugins/processors"
	"github.com/influxdata/toml"
)

// hardTOML is a configuration whose options are not all where a search for lines would find them.
const hardTOML = `[agent]
  interval = "1s" # a comment: [inputs.cpu]
  hostname = '''
[inputs.mem]
  quiet = true
'''

[[inputs.netflow]]
  service_address = "udp://:2055"
  metrics = [
    "netflow",
    "quality", # omit = 1
  ]
  "read_buffer_size" = "1MB"
  [[inputs.netflow.rollup]]
    name = "a"
    tags = ["src",
      "dst"]
  [[inputs.netflow.rollup]]
    name = "b"
  [inputs.netflow.tags]
    site = "x"

[[inputs.netflow]]
  service_address = "udp://:2056"

[[outputs.file]]
  files = ["stdout"]
`

// TestOptionsOfAFile lists each option with its plugin and the line where its name stands, those
// inside texts and comments not.
func TestOptionsOfAFile(t *testing.T) {
	var got []string
	for _, o := range options([]byte(hardTOML)) {
		if o.table != "" {
			got = append(got, fmt.Sprint(o.line, " ", o.table, " ", o.name))
		}
	}
	want := []string{"2 agent interval", "3 agent hostname", "9 inputs.netflow service_address",
		"10 inputs.netflow metrics",
		"14 inputs.netflow read_buffer_size", "15 inputs.netflow rollup", "16 inputs.netflow name",
		"17 inputs.netflow tags",
		"19 inputs.netflow rollup", "20 inputs.netflow name", "21 inputs.netflow tags", "22 inputs.netflow site",
		"25 inputs.netflow service_address", "28 outputs.file files"}
	for i, line := range want {
		if i >= len(got) || got[i] != line {
			t.Fatalf("option %d: %q, expected %q", i, got, want)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d options, expected %d: %q", len(got), len(want), got)
	}
	if list := options([]byte("[agent\n")); list != nil {
		t.Errorf("of what is no TOML: %v", list)
	}
}

// TestWithoutAnOption takes each option out: all others stay what they are, on the lines where they are.
func TestWithoutAnOption(t *testing.T) {
	data := []byte(hardTOML)
	lines := bytes.Count(data, []byte("\n"))
	all := options(data)
	for _, o := range all {
		rest := without(data, o.line)
		if n := bytes.Count(rest, []byte("\n")); n != lines {
			t.Errorf("without line %d: %d lines, expected %d", o.line, n, lines)
		}
		if _, err := toml.Parse(rest); err != nil {
			t.Errorf("without line %d: %v\n%s", o.line, err, rest)
		}
		left := options(rest)
		if slices.Contains(left, o) && o.name != "rollup" && o.name != "tags" {
			t.Errorf("without line %d: %s is still there", o.line, o.name)
		}
		for _, other := range left {
			if other.table != "" && !slices.Contains(all, other) {
				t.Errorf("without line %d: %+v is new", o.line, other)
			}
		}
		if header := tableLine.Match(bytes.Split(data, []byte("\n"))[o.line-1]); !header && len(left) < len(all)-1 {
			t.Errorf("without line %d: %d options are left of %d", o.line, len(left), len(all))
		}
	}
	for _, line := range []int{-1, 0, 4, 5, 11, 1000} { // none, inside a text, inside a list, beyond the end
		if rest := without(data, line); !bytes.Equal(rest, data) {
			t.Errorf("without line %d something is gone", line)
		}
	}
}

// TestOnlyAPlugin keeps the tables of one plugin, and no text that looks like one.
func TestOnlyAPlugin(t *testing.T) {
	for table, want := range map[string][]int{"agent": {2, 3}, "outputs.file": {28}, "inputs.mem": nil,
		"inputs.net":     nil,
		"inputs.netflow": {9, 10, 14, 15, 16, 17, 19, 20, 21, 22, 25}} {
		rest := only([]byte(hardTOML), table)
		var got []int
		for _, o := range options(rest) {
			if o.table != "" {
				got = append(got, o.line)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("only %s: options on lines %v, expected %v\n%s", table, got, want, rest)
		}
	}
}

// TestEveryOptionMistyped doubles a letter of every option in the samples of our plugins: the file and
// the line are told, and the option that was meant.
func TestEveryOptionMistyped(t *testing.T) {
	tried := 0
	for table, sample := range map[string]telegraf.PluginDescriber{
		"inputs.netflow": inputs.Inputs["netflow"](), "outputs.nfdump": outputs.Outputs["nfdump"](),
		"outputs.smtp_relay": outputs.Outputs["smtp_relay"](), "processors.netflow": processors.Processors["netflow"](),
	} {
		var lines []string
		known := map[string]bool{}
		for _, m := range sampleOption.FindAllStringSubmatch(sample.SampleConfig(), -1) {
			if name := m[1]; !known[name] && len(name) > 5 {
				known[name] = true
				lines = append(lines, name[:3]+name[2:]+` = 1`)
			}
		}
		file := filepath.Join(t.TempDir(), "flowgraf.conf")
		text := "[agent]\n\n[[" + table + "]]\n  " + strings.Join(lines, "\n  ") + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, errs := loadAll([]string{file}, true)
		told := map[string]string{}
		for _, err := range errs {
			where, _, _ := strings.Cut(err.Error(), ": ")
			told[where] = err.Error()
		}
		for i, line := range lines {
			tried++
			name, _, _ := strings.Cut(line, " ")
			want := fmt.Sprintf("%s:%d: %s: unknown option %q; did you mean %q?", file, i+4, table, name,
				name[:3]+name[4:])
			if got := told[fmt.Sprintf("%s:%d", file, i+4)]; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
		if len(errs) != len(lines) {
			t.Errorf("%s: %d mistakes are told, expected %d", table, len(errs), len(lines))
		}
	}
	if tried < 60 {
		t.Errorf("only %d options were tried", tried)
	}
}
