package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/influxdata/telegraf/plugins/serializers/influx"

	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// Behind processors.execd of a stock Telegraf datagrams become roll-ups: also what the open
// window has comes out before the process ends.
func TestProcessorBehindExecd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "decode.conf")
	if err := os.WriteFile(file, []byte(`
[[processors.netflow]]
  metrics = []
  [[processors.netflow.rollup]]
    name = "by_service"
    tags = ["service"]
`), 0o644); err != nil {
		t.Fatal(err)
	}
	var want uint64
	for _, r := range decodingtest.Flows(0, 20) {
		want += r.Bytes
	}
	s := &influx.Serializer{}
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	var in bytes.Buffer
	builder := flowmetric.DatagramBuilder{}
	for _, dg := range decodingtest.AllReceived(decodingtest.V5(20)) {
		line, err := s.Serialize(builder.Metric(dg))
		if err != nil {
			t.Fatal(err)
		}
		in.Write(line)
	}
	cmd := exec.Command(flowgraf, "plugin", "--config", file)
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var got uint64
	for _, line := range lines {
		if !strings.HasPrefix(line, "by_service,service=") {
			t.Errorf("a line is %s", line)
		}
		_, rest, _ := strings.Cut(line, " bytes=")
		number, _, _ := strings.Cut(rest, "u")
		for _, digit := range number {
			got = got*10 + uint64(digit-'0')
		}
	}
	if got != want {
		t.Errorf("%d bytes, want %d:\n%s", got, want, out.String())
	}
}
