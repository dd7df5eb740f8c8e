package nfdump

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	_ "github.com/influxdata/telegraf/plugins/parsers/influx" // configurations need it

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

var exporter = netip.MustParseAddrPort("192.0.2.254:50000")

// batch returns count metrics of 30 flows each. The flows of a run are numbered
// from first on: their number is the source address, the run the input interface.
func batch(run, first, count int, sampling uint16) []telegraf.Metric {
	now := time.Now()
	metrics := make([]telegraf.Metric, 0, count)
	recs := make([]flow.Record, 30)
	for range count {
		for i := range recs {
			n := first + i
			recs[i] = flow.Record{
				Src:     netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(n)))),
				Dst:     netip.MustParseAddr("192.0.2.1"),
				SrcPort: uint16(n), DstPort: 443, Proto: 6, Input: uint32(run), Output: 2,
				Packets: uint64(n%9 + 1), Bytes: uint64(n%1400 + 40), NextHop: netip.MustParseAddr("192.0.2.2"),
				First: flow.TimeOf(now.Add(-2 * time.Second)), Last: flow.TimeOf(now.Add(-time.Second)),
			}
		}
		head := netflow.V5Header{
			SysUptime: 3600000, Seconds: uint32(now.Unix()), Sequence: uint32(first), EngineID: uint8(run),
			Sampling: sampling,
		}
		payload := netflow.AppendV5(nil, head, recs)
		metrics = append(metrics,
			new(flowmetric.DatagramBuilder).Metric(flow.Datagram{Exporter: exporter, Received: now, Payload: payload}))
		first += len(recs)
	}
	return metrics
}

// output returns the plugin with the defaults of its registration.
func output(t testing.TB, dir string) *Nfdump {
	t.Helper()
	p := &Nfdump{
		Directory: dir, RotationInterval: config.Duration(time.Minute), Compression: "lz4", Ident: "edge1",
	}
	must(t, p.Init())
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// flowsOf returns all flows of the files in a directory by run and number, and how
// often each is there.
func flowsOf(t *testing.T, dir string) map[[2]uint32]int {
	t.Helper()
	files, err := archive.Files(dir)
	must(t, err)
	got := map[[2]uint32]int{}
	_, err = query.Each(context.Background(), files, func(r *flow.Record) error {
		a := r.Src.As4()
		got[[2]uint32{r.Input, binary.BigEndian.Uint32(a[:])}]++
		return nil
	})
	must(t, err)
	return got
}

// expectRun checks that the flows of a run are there, each once, from 0 to n-1.
func expectRun(t *testing.T, got map[[2]uint32]int, run, n int) {
	t.Helper()
	for i := range n {
		if c := got[[2]uint32{uint32(run), uint32(i)}]; c != 1 {
			t.Fatalf("flow %d of %d in run %d is there %d times", i, n, run, c)
		}
	}
}

// nfdump runs nfdump and returns its output.
func nfdump(t *testing.T, args ...string) string {
	t.Helper()
	return peers.Run(t, "nfdump", args...)
}

// figure returns a number of `nfdump -I`.
func figure(t *testing.T, out, name string) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `: (\d+)$`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no %s in\n%s", name, out)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// TestWrite: nfdump's figures for the files are those of the flows that were sent,
// scaled with the sampling rate, and a lost datagram counts.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	p := output(t, dir)
	must(t, p.Check())
	must(t, p.Connect())
	const datagrams, rate = 100, 10
	must(t, p.Write(batch(1, 0, datagrams/2, 1<<14|rate)))
	must(t, p.Write(batch(1, datagrams/2*30+300, datagrams/2, 1<<14|rate))) // 10 datagrams are missing
	must(t, p.Close())

	packets, bytes := 0, 0
	for n := range datagrams * 30 {
		if n >= datagrams/2*30 {
			n += 300
		}
		packets += (n%9 + 1) * rate
		bytes += (n%1400 + 40) * rate
	}
	out := nfdump(t, "-I", "-R", dir)
	for name, want := range map[string]int{
		"Flows": datagrams * 30, "Flows_tcp": datagrams * 30, "Packets": packets, "Packets_tcp": packets,
		"Bytes": bytes, "Bytes_tcp": bytes, "Sequence failures": 1,
	} {
		if got := figure(t, out, name); got != want {
			t.Errorf("%s: %d, expected %d", name, got, want)
		}
	}
	files, err := archive.Files(dir)
	must(t, err)
	exporters := nfdump(t, "-E", files[0])
	if len(files) == 1 && !strings.Contains(exporters,
		"version: 5, ID:  1, Sequence failures: 1, packets: 100, flows: 3000") {
		t.Errorf("exporters:\n%s", exporters)
	}
	if raw := nfdump(t, "-r", files[0], "-o", "raw", "-c", "1"); !strings.Contains(raw, "Sampled") ||
		strings.Contains(raw, "Unsampled") {
		t.Errorf("the flows are not marked as sampled:\n%s", raw)
	}
}

// TestOtherMetrics are counted and do no harm.
func TestOtherMetrics(t *testing.T) {
	dir := t.TempDir()
	p := output(t, dir)
	must(t, p.Connect())
	metrics := batch(1, 0, 2, 0)
	metrics = append(metrics,
		metric.New("cpu", nil, map[string]any{"value": 1.0}, time.Now()),
		metric.New(flowmetric.DatagramMeasurement, nil, map[string]any{"payload": "!"}, time.Now()),
		metric.New(flowmetric.DatagramMeasurement, map[string]string{"source": "192.0.2.1"},
			map[string]any{"port": int64(1), "received": time.Now().UnixNano(), "payload": "AAAA"}, time.Now()))
	must(t, p.Write(metrics))
	must(t, p.Close())
	expectRun(t, flowsOf(t, dir), 1, 60)
}

// TestLocked: two outputs on one directory are told apart before they harm each
// other, and closing what was never connected is safe.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	p, q := output(t, dir), output(t, dir)
	must(t, p.Connect())
	checked := q.Check()
	must(t, q.Connect())
	for _, err := range []error{checked, q.Write(nil)} {
		if err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("a second output: %v", err)
		}
	}
	must(t, q.Close())
	must(t, p.Close())
	must(t, p.Close())
	must(t, new(Nfdump).Close())
}

func TestInitRefuses(t *testing.T) {
	for name, p := range map[string]*Nfdump{
		"directory":         {Compression: "lz4"},
		"compression":       {Directory: "d", Compression: "gzip"},
		"rotation interval": {Directory: "d", Compression: "lz4", RotationInterval: config.Duration(time.Millisecond)},
		"layout":            {Directory: "d", Compression: "lz4", SubdirLayout: 9},
		"ident":             {Directory: "d", Compression: "lz4", Ident: "a b"},
		"level":             {Directory: "d", Compression: "lz4:10"},
		"names":             {Directory: "d", Compression: "lz4", Names: "gmt"},
		"split":             {Directory: "d", Compression: "lz4", Split: "port"},
		"elements":          {Directory: "d", Compression: "lz4", Elements: "most"},
		"fsync":             {Directory: "d", Compression: "lz4", Fsync: "sometimes"},
		"watermark":         {Directory: "d", Compression: "lz4", Watermark: 120},
		"command":           {Directory: "d", Compression: "lz4", Command: []string{"x", "%z"}, CommandTimeout: 1},
		"command timeout":   {Directory: "d", Compression: "lz4", Command: []string{"x"}},
		"source": {Directory: "d", Compression: "lz4",
			Sources: []Source{{Directory: "e", Addresses: []string{"all"}}}},
		"source prefix": {Directory: "d", Compression: "lz4",
			Sources: []Source{{Directory: "e", Addresses: []string{"10.0.0.0/99"}}}},
		"state within": {Directory: "d", Compression: "lz4", StateDirectory: "./d/state"},
		"pcap within":  {Directory: "d", Compression: "lz4", Format: "both", PcapDirectory: "d"},
		"pcap in a source": {Directory: "d", Compression: "lz4", Format: "both", PcapDirectory: "e/pcap",
			Sources: []Source{{Directory: "e", Addresses: []string{"10.0.0.1"}}}},
	} {
		if err := p.Init(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if names, _ := filepath.Glob("d*"); len(names) > 0 {
		t.Errorf("Init created %v", names)
	}
}

// TestSplitAndCommand: a directory for each address and one for a source, the
// command runs for each file, and the plugin writes what nfdump reads.
func TestSplitAndCommand(t *testing.T) {
	if _, err := exec.LookPath("/bin/sh"); err != nil {
		t.Skip("there is no /bin/sh")
	}
	top := t.TempDir()
	p := &Nfdump{
		Directory: filepath.Join(top, "all"), RotationInterval: config.Duration(time.Hour), Compression: "bz2:1",
		Ident: "edge1",
		Split: "address", Names: "utc", Fsync: "batch", Elements: "all", MaxAge: config.Duration(time.Hour),
		CommandTimeout: config.Duration(time.Minute),
		Command:        []string{"/bin/sh", "-c", `echo "$@" >>` + filepath.Join(top, "done"), "sh", "%d", "%i"},
		Sources: []Source{{Ident: "core", Directory: filepath.Join(top, "core"),
			Addresses: []string{"198.51.100.0/24"}}},
	}
	must(t, p.Init())
	must(t, p.Connect())
	must(t, p.Write(batch(1, 0, 2, 0)))
	must(t, p.Close())
	done, err := os.ReadFile(filepath.Join(top, "done"))
	must(t, err)
	for _, want := range []string{filepath.Join(top, "all/192-0-2-254") + " edge1\n",
		filepath.Join(top, "core") + " core\n"} {
		if !strings.Contains(string(done), want) {
			t.Errorf("the command was not run with %q:\n%s", want, done)
		}
	}
	expectRun(t, flowsOf(t, filepath.Join(top, "all/192-0-2-254")), 1, 60)
}

// TestOpensLater: an archive that cannot open does not end the agent; it keeps trying,
// and what comes then is kept.
func TestOpensLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(dir, nil, 0o644))
	p := output(t, dir)
	must(t, p.Connect())
	batch := metricsOf(v9(true, true, 1))
	if err := p.Write(batch); err == nil || !strings.Contains(err.Error(), "not open yet") {
		t.Fatalf("writing: %v", err)
	}
	must(t, os.Remove(dir))
	p.downSince = time.Now().Add(-reopenAfter)
	must(t, p.Write(batch))
	must(t, p.Close())
	if n := len(flowsOf(t, dir)); n != 1 {
		t.Errorf("%d flows", n)
	}
}

// TestOpensSoonAfterAnotherAgent: an archive whose directory the agent before it still
// holds opens within a second of that one's end; what else is wrong is looked at less often.
func TestOpensSoonAfterAnotherAgent(t *testing.T) {
	dir := t.TempDir()
	before, p := output(t, dir), output(t, dir)
	must(t, before.Connect())
	must(t, p.Connect())
	batch := metricsOf(v9(true, true, 1))
	p.downSince = time.Now().Add(-reopenAfterHeld)
	if err := p.Write(batch); !errors.Is(err, disk.ErrHeld) {
		t.Fatalf("writing while the directory is held: %v", err)
	}
	must(t, before.Close())
	p.downSince = time.Now().Add(-reopenAfterHeld)
	must(t, p.Write(batch))
	must(t, p.Close())
	if n := len(flowsOf(t, dir)); n != 1 {
		t.Errorf("%d flows", n)
	}
	if wait := reopenPause(os.ErrPermission); wait != reopenAfter {
		t.Errorf("a directory that may not be written is looked at again after %s", wait)
	}
}

// TestSampleConfig: the sample loads as it is and the README shows it.
func TestSampleConfig(t *testing.T) {
	c := config.NewConfig()
	must(t, c.LoadConfigData([]byte(sampleConfig), "sample.conf"))
	if len(c.Outputs) != 1 {
		t.Fatalf("%d outputs", len(c.Outputs))
	}
	p := c.Outputs[0].Output.(*Nfdump)
	if p.Directory != "/var/lib/flowgraf/flows" || p.RotationInterval != config.Duration(5*time.Minute) ||
		p.Compression != "lz4" {
		t.Errorf("the sample says %+v", p)
	}
	readme, err := os.ReadFile("README.md")
	must(t, err)
	if !strings.Contains(string(readme), "```toml @sample.conf\n"+sampleConfig+"```\n") {
		t.Error("README.md does not show sample.conf as it is")
	}
}

// BenchmarkWrite measures the whole way from the metric to the file.
func BenchmarkWrite(b *testing.B) {
	p := output(b, b.TempDir())
	must(b, p.Connect())
	defer p.Close()
	const datagrams = 1000
	metrics := batch(1, 0, datagrams, 0)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		must(b, p.Write(metrics))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/datagrams/30, "ns/flow")
}
