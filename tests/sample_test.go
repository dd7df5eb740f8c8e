package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The sample configuration in the repository is what the plugins' own samples
// make, and it is a valid configuration.
func TestSampleConfigurationIsCurrentAndLoads(t *testing.T) {
	committed, err := os.ReadFile("../telegraf.conf.sample")
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != outputOf(t, flowgraf, "config") {
		t.Error("telegraf.conf.sample is not what flowgraf config prints: run go generate ./cmd/flowgraf")
	}
	out := checkElsewhere(t, string(committed))
	for _, plugin := range []string{"inputs.netflow", "inputs.smtp_relay", "outputs.influxdb", "outputs.nfdump",
		"outputs.smtp_relay"} {
		if !strings.Contains(out, "ok      "+plugin) {
			t.Errorf("%s is not in the sample:\n%s", plugin, out)
		}
	}
}

// checkElsewhere runs flowgraf check on a configuration, with ports and
// directories of the test in place of those of a real machine.
func checkElsewhere(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.NewReplacer(
		"/var/lib/flowgraf", dir, "/var/spool/flowgraf", filepath.Join(dir, "spool"),
		"127.0.0.1:2525", freePort(t, "tcp"), "udp://:2055", "udp://"+freePort(t, "udp"),
	).Replace(config)
	file := filepath.Join(dir, "telegraf.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return outputOf(t, flowgraf, "check", "--config", file)
}

// The configurations in the README are valid.
func TestReadmeConfigurationsLoad(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(readme), "```toml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("the README has no configuration")
	}
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if strings.Contains(text, "execd]]") {
			continue // is for a stock Telegraf
		}
		// What flowgraf plugin runs has inputs only, or outputs only.
		if !strings.Contains("\n"+text, "\n[[outputs.") {
			text += "[[outputs.file]]\n"
		}
		if !strings.Contains("\n"+text, "\n[[inputs.") {
			text += "[[inputs.netflow]]\n  service_address = \"udp://:2055\"\n  metrics = [\"datagrams\"]\n"
		}
		checkElsewhere(t, text)
	}
}

// Every README of a plugin shows the plugin's sample configuration as it is.
func TestPluginReadmesShowTheirSample(t *testing.T) {
	samples, err := filepath.Glob("../*/*/sample.conf")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../plugins/*/*/sample.conf")
	if err != nil {
		t.Fatal(err)
	}
	samples = append(samples, more...)
	if len(samples) < 3 {
		t.Fatalf("only %v", samples)
	}
	for _, file := range samples {
		sample, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		readme, err := os.ReadFile(filepath.Join(filepath.Dir(file), "README.md"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(string(readme), "```toml @sample.conf\n"+strings.TrimSpace(string(sample))+"\n```") {
			t.Errorf("%s does not show sample.conf as it is", filepath.Join(filepath.Dir(file), "README.md"))
		}
		first, _, _ := strings.Cut(string(readme), "\n")
		if !strings.HasPrefix(first, "# ") || !strings.HasSuffix(first, " Plugin") {
			t.Errorf("%s: the title is %q", file, first)
		}
	}
}
