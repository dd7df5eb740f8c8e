package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/influxdata/telegraf/config"
)

// Every mistake of a file is told once, with its line, whatever else is wrong.
func TestAllMistakes(t *testing.T) {
	const text = `[agent]
  interval = "1s"
  intervall = "1s"
[[inputs.netflow]]
  service_address = "udp://:2055"
  servce = 3
  max_exporters = "many"
[[inputs.nosuch]]
  a = [
   1,
   2 ]
[[inputs.netflow]]
  service_address = "udp://:2056"
  [[inputs.netflow.exporter]]
    nam = "border"
[[aggregators.basicstats]]
  stats = "sum"
[[outputs.file]]
  fils = ["a",
    "b"]
  files = "x"
  flls = """
[[outputs.nosuch]]
"""
[[outputs.smtp_relay]]
  listen = ["127.0.0.1:0"]
  [[outputs.smtp_relay.alert]]
    name = "a"
    frm = "a"
  [[outputs.smtp_relay.alert]]
    name = "b"
    crit = 3
    frm = "a"
`
	right, errs := withoutMistakes("f", []byte(text))
	got := "\n"
	for _, err := range errs {
		got += err.Error() + "\n"
	}
	for _, want := range []string{
		`\nf:3: agent: unknown option "intervall"`, `\nf:6: inputs.netflow: unknown option "servce"`,
		`\nf:7: error parsing netflow`,
		`\nf:8: inputs.nosuch is not in flowgraf`, `\nf:15: inputs.netflow: unknown option "nam"; did you mean "name"?`,
		`\nf:17: error parsing basicstats`,
		`\nf:19: outputs.file: unknown option "fils"; did you mean "files"?`, `\nf:21: error parsing file`,
		`\nf:22: outputs.file: unknown option "flls"`,
		`\nf:29: outputs.smtp_relay: unknown option "frm"`, `\nf:32: error parsing smtp_relay`,
		`\nf:33: outputs.smtp_relay: unknown option "frm"`,
	} {
		if want = strings.ReplaceAll(want, "\\n", "\n"); strings.Count(got, want) != 1 {
			t.Errorf("%q is not told once:%s", want, got)
		}
	}
	if len(errs) != 12 {
		t.Errorf("%d mistakes, want 12:%s", len(errs), got)
	}
	if right == nil {
		t.Fatal("nothing is left")
	}
	c := config.NewConfig()
	if err := c.LoadConfigData(right, "f"); err != nil || len(c.Inputs) != 2 || len(c.Outputs) != 2 {
		t.Errorf("%v, %d inputs and %d outputs of\n%s", err, len(c.Inputs), len(c.Outputs), right)
	}
	if strings.Count(string(right), "\n") != strings.Count(text, "\n") {
		t.Error("the lines have moved")
	}
}

// A mistake of TOML itself is told with the line that it is in, and hides nothing.
func TestSyntaxMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`a = "x`:                             "3: a: invalid TOML syntax",
		"a = ":                               "3: a: invalid TOML syntax",
		"a b":                                "3: invalid TOML syntax",
		"[[inputs.exec]":                     "3: invalid TOML syntax",
		"x = 1 2":                            "3: x: invalid TOML syntax",
		"s = '''abc":                         "3: s: invalid TOML syntax",
		"\n\nlong = [\"a\",\n  # c\n  \"b\"": "5: long: invalid TOML syntax",
		"k = {a=1":                           "3: k: invalid TOML syntax",
		`a = "\q"`:                           "3: a: invalid TOML syntax",
		"quiet = true\nquiet = false":        "4: key `quiet' is in conflict with line 3",
		"flag = tru":                         "3: flag: invalid TOML syntax",
		"a = \"x\nb = \"y\nc = \"z\"\nd = \"": "3: a: invalid TOML syntax\nf:4: b: invalid TOML syntax\n" +
			"f:6: d: invalid TOML syntax",
	} {
		data := "[agent]\n  interval = \"10s\"\n" + text + "\n[[inputs.netflow]]\n  nosuch = 1\n"
		right, errs := withoutMistakes("f", []byte(data))
		var syntax []string
		known := false
		for _, err := range errs {
			if strings.Contains(err.Error(), "TOML") || strings.Contains(err.Error(), "conflict") {
				syntax = append(syntax, strings.Replace(err.Error(), "error parsing data: ", "", 1))
			}
			known = known || strings.Contains(err.Error(), `inputs.netflow: unknown option "nosuch"`)
		}
		if got := strings.Join(syntax, "\n"); got != "f:"+want {
			t.Errorf("%q: %s, want %s", text, got, "f:"+want)
		}
		if !known || right == nil {
			t.Errorf("%q: it hides what is behind it: %v", text, errs)
		}
	}
}

// What is taken out for a mistake is not told to be missing; what is missing is.
func TestConsequencesAreNotTold(t *testing.T) {
	err := errors.Join(errors.New("f:8: outputs.a: relay_nets is empty: expected networks"),
		errors.New("f:8: outputs.a: relay_domains is empty: expected domains"),
		errors.New("f:8: outputs.a: relay: x"))
	got := withoutConsequences(err, "outputs.a", missing([]byte("relay_nets = [\nrelay = 1\nspool = 2"),
		[]byte("\n\nspool = 2"))).Error()
	if got != "f:8: outputs.a: relay_domains is empty: expected domains" {
		t.Errorf("told:\n%s", got)
	}
}

// Other files are read, whatever is wrong with one.
func TestMistakesOfFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := []string{
		write("syntax.conf", "[[inputs.file]]\n  files = [\n[[outputs.file]]\n"), filepath.Join(dir, "nosuch.conf"),
		write("option.conf", "[[outputs.file]]\n  fils = 1\n"),
		write("right.conf", "[[outputs.file]]\n  files = [\"x\"]\n"),
	}
	c, _, errs := loadAll(files, true)
	text := errors.Join(errs...).Error()
	for _, want := range []string{"syntax.conf:2: files: ", "nosuch.conf: no such",
		`option.conf:2: outputs.file: unknown option "fils"`} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not told once in\n%s", want, text)
		}
	}
	if len(errs) != 3 || c == nil || len(c.Outputs) != 3 {
		t.Errorf("%d mistakes: %s", len(errs), text)
	}
}

// Two plugins that want the same thing are told, what the system chooses is not.
func TestConflicts(t *testing.T) {
	const relay = `[[outputs.smtp_relay]]
  listen = ["127.0.0.1:0", "starttls://127.0.0.1:2525"]
  spool = "SPOOL"
`
	c := config.NewConfig()
	text := strings.Replace(relay, "SPOOL", "/a", 1) + strings.Replace(relay, "SPOOL", "/a/", 1) +
		"[[outputs.nfdump]]\n  directory = \"/b\"\n[[outputs.nfdump]]\n  directory = \"/c\"\n[[outputs.nfdump]]\n  " +
		"alias = \"second\"\n  directory = \"/x/../b\"\n" +
		"[[inputs.netflow]]\n  service_address = \"udp://:2055\"\n[[inputs.netflow]]\n  service_address = " +
		"\"udp://:2055\"\n[[inputs.netflow]]\n  service_address = \"udp://:2056\"\n"
	if err := c.LoadConfigData([]byte(text), "f"); err != nil {
		t.Fatal(err)
	}
	got := errors.Join(conflicts(runningPlugins(c))...).Error()
	for _, want := range []string{
		"has the address 127.0.0.1:2525 already", "has the spool /a already",
		"f: outputs.nfdump::second: outputs.nfdump has the directory /b already", "has the address udp://:2055 already",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%q is not told once in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 4 {
		t.Errorf("%d conflicts:\n%s", n, got)
	}
}

// A name for all metrics of an input is refused where they are several sums of the same
// flows.
func TestOneName(t *testing.T) {
	const rollup = "  [[inputs.netflow.rollup]]\n    name = \"a\"\n"
	for _, c := range []struct {
		options string
		refused bool
	}{
		{"", false},
		{rollup, true},
		{"  metrics = []\n" + rollup, false},
		{"  metrics = [\"exporters\"]\n" + rollup, false},
		{"  metrics = [\"flows\"]\n" + rollup, true},
		{"  metrics = []\n" + rollup + rollup, true},
	} {
		for _, override := range []bool{false, true} {
			text := "[[outputs.file]]\n[[inputs.netflow]]\n" + c.options
			if override {
				text = strings.Replace(text, "netflow]]\n", "netflow]]\n  name_override = \"b\"\n", 1)
			}
			file := filepath.Join(t.TempDir(), "a.conf")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := (&agentOptions{config: []string{file}}).load()
			want := file + ":3: inputs.netflow: name_override: expected none"
			if refused := err != nil && strings.HasPrefix(err.Error(), want); refused != (c.refused && override) ||
				err != nil && !refused {
				t.Errorf("%s\ngot %v", text, err)
			}
		}
	}
}

func TestEach(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	got := each(errors.Join(a, errors.Join(b, nil, c)))
	if len(got) != 3 || got[0] != a || got[1] != b || got[2] != c {
		t.Errorf("got %q", got)
	}
	if got := each(a); len(got) != 1 || got[0] != a {
		t.Errorf("one error gives %q", got)
	}
	if got := each(nil); got != nil {
		t.Errorf("none gives %q", got)
	}
}
