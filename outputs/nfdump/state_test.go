package nfdump

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// v9 returns a NetFlow v9 datagram: with the template 256 of source, destination
// and bytes, or with a flow of it, or both.
func v9(template, data bool, sequence byte) []byte {
	b := []byte{0, 9, 0, 1, 0, 0, 0, 1, 0x67, 0, 0, 0, 0, 0, 0, sequence, 0, 0, 0, 7}
	if template {
		b = append(b, 0, 0, 0, 20, 1, 0, 0, 3, 0, 8, 0, 4, 0, 12, 0, 4, 0, 1, 0, 4)
	}
	if data {
		b = append(b, 1, 0, 0, 16, 0, 0, 0, sequence, 192, 0, 2, 1, 0, 0, 1, 0)
	}
	return b
}

// metricsOf returns the metrics of datagrams.
func metricsOf(payloads ...[]byte) (metrics []telegraf.Metric) {
	for _, p := range payloads {
		metrics = append(metrics,
			new(flowmetric.DatagramBuilder).Metric(flow.Datagram{Exporter: exporter, Received: time.Now(), Payload: p}))
	}
	return metrics
}

// TestTemplatesSurvive: after a kill the next run decodes flows of which it has not
// seen the template, and counts no lost datagrams.
func TestTemplatesSurvive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	p := output(t, dir)
	must(t, p.Connect())
	must(t, p.Write(metricsOf(v9(true, true, 1))))
	if _, err := os.Stat(dir + ".state/" + stateFile); err != nil {
		t.Error(err) // before any Close: a kill would find it
	}
	must(t, p.Close())

	q := output(t, dir)
	must(t, q.Connect())
	must(t, q.Write(metricsOf(v9(false, true, 100), v9(false, true, 101))))
	must(t, q.Close())
	got := flowsOf(t, dir)
	for _, n := range []uint32{1, 100, 101} {
		if got[[2]uint32{0, n}] != 1 {
			t.Errorf("flow %d is there %d times, expected once", n, got[[2]uint32{0, n}])
		}
	}
	if n := figure(t, nfdump(t, "-I", "-R", dir), "Sequence failures"); n != 0 {
		t.Errorf("%d sequence failures, expected none", n)
	}
}

// TestStateDamaged: a state that cannot be read is no reason not to start.
func TestStateDamaged(t *testing.T) {
	for _, content := range []string{"", "x", `{"format":"flowgraf netflow state","version":1}` + "\n{",
		`{"format":"flowgraf netflow state","version":1}` + "\n" + `{"payload":"AAkAAQ=="}`} {
		dir := filepath.Join(t.TempDir(), "flows")
		must(t, os.MkdirAll(dir+".state", 0o755))
		must(t, os.WriteFile(filepath.Join(dir+".state", stateFile), []byte(content), 0o644))
		p := output(t, dir)
		must(t, p.Connect())
		must(t, p.Write(metricsOf(v9(true, true, 1))))
		must(t, p.Close())
		if n := len(flowsOf(t, dir)); n != 1 {
			t.Errorf("%q: %d flows", content, n)
		}
	}
}

// TestFormats: datagrams alone, and with flows; what was received is in the files.
func TestFormats(t *testing.T) {
	for _, format := range []string{"pcap", "both"} {
		dir := filepath.Join(t.TempDir(), "flows")
		p := output(t, dir)
		p.archive, p.Format = nil, format
		p.Command = []string{"sh", "-c", `echo "$1" >>../told`, "sh", "%d/%f"}
		p.CommandTimeout = config.Duration(time.Minute)
		must(t, p.Init())
		must(t, p.Check())
		must(t, p.Connect())
		must(t, p.Write(metricsOf(v9(true, true, 1), v9(false, true, 2))))
		must(t, p.Close())
		must(t, p.Close())
		raw, err := filepath.Glob(filepath.Join(p.pcapDirectory(), "pcap.2*.pcap"))
		if err != nil || len(raw) != 1 {
			t.Fatalf("%s: pcap files %v", format, raw)
		}
		content, err := os.ReadFile(raw[0])
		must(t, err)
		for _, payload := range [][]byte{v9(true, true, 1), v9(false, true, 2)} {
			if !bytes.Contains(content, payload) {
				t.Errorf("%s: a datagram is not in the file", format)
			}
		}
		told, _ := os.ReadFile(filepath.Join(filepath.Dir(dir), "told"))
		if want := map[string]int{"pcap": 1, "both": 2}[format]; strings.Count(string(told), "\n") != want ||
			!strings.Contains(string(told), raw[0]+"\n") {
			t.Errorf("%s: the command ran for %q, expected %d files with %s", format, told, want, raw[0])
		}
		if format == "both" && len(flowsOf(t, dir)) != 2 {
			t.Errorf("%d flows, expected 2", len(flowsOf(t, dir)))
		}
	}
	for _, p := range []*Nfdump{{Directory: "d", Compression: "lz4", Format: "json"},
		{Directory: "d", Compression: "lz4", Format: "pcap", PcapCompression: "lz4"},
		{Compression: "lz4", Format: "pcap"}, {Directory: "d", Compression: "lz4", Format: "pcap", Split: "address"},
		{Directory: "d", Compression: "lz4", Format: "pcap",
			Sources: []Source{{Directory: "e", Addresses: []string{"192.0.2.1"}}}}} {
		if err := p.Init(); err == nil {
			t.Errorf("format %q, compression %q: accepted", p.Format, p.PcapCompression)
		}
	}
}
