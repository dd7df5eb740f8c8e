package tests

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// stream is a JetStream server with a stream of datagrams and a consumer that workers share.
type stream struct{ url string }

// startStream starts one. What is not acknowledged after a time is given out again.
func startStream(t *testing.T, again time.Duration) (s stream, left func() uint64) {
	t.Helper()
	addr := freePort(t, "tcp")
	host, port, _ := strings.Cut(addr, ":")
	start(t, peer(t, "nats-server"), "-js", "-sd", t.TempDir(), "-a", host, "-p", port)
	waitFor(t, 20*time.Second, "the NATS server", func() bool { return answers(addr) })
	s.url = "nats://" + addr
	conn, err := nats.Connect(s.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "FLOWS", Subjects: []string{"flows"}}); err != nil {
		t.Fatal(err)
	}
	// A consumer that a worker makes itself goes when that worker does, for all of them.
	if _, err := js.AddConsumer("FLOWS", &nats.ConsumerConfig{Durable: "workers", DeliverGroup: "workers",
		DeliverSubject: "flows.to.workers", AckPolicy: nats.AckExplicitPolicy, AckWait: again,
		MaxAckPending: 1000}); err != nil {
		t.Fatal(err)
	}
	return s, func() uint64 {
		info, err := js.ConsumerInfo("FLOWS", "workers")
		if err != nil {
			t.Fatal(err)
		}
		return info.NumPending + uint64(info.NumAckPending)
	}
}

// edgeConfig passes datagrams on, and keeps their flows, too.
const edgeConfig = `
[agent]
  flush_interval = "100ms"
  omit_hostname = true
[[inputs.netflow]]
  service_address = "udp4://{{ .Flows }}"
  metrics = ["datagrams"]
[[outputs.nats]]
  servers = ["{{ .NATS }}"]
  subject = "flows"
  data_format = "influx"
  influx_uint_support = true
  [outputs.nats.jetstream]
    name = "FLOWS"
    disable_stream_creation = true
[[outputs.nfdump]]
  directory = "{{ .Dir }}/archive"
`

// fromStream takes datagrams out of the stream.
const fromStream = `
[agent]
  flush_interval = "100ms"
  omit_hostname = true
[[inputs.nats_consumer]]
  servers = ["{{ .NATS }}"]
  subjects = []
  jetstream_subjects = ["flows"]
  jetstream_stream = "FLOWS"
  queue_group = "workers"
  data_format = "influx"
`

// workerConfig keeps the flows of what comes out of the stream.
const workerConfig = fromStream + `[[inputs.internal]]
  interval = "200ms"
[[outputs.nfdump]]
  directory = "{{ .Dir }}/archive"
  namepass = ["netflow_datagram"]
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  data_format = "influx"
  influx_uint_support = true
  namepass = ["internal_nfdump"]
`

// archived returns how often each flow is in the archives of directories, by what nfdump's
// lists tell of it.
func archived(t *testing.T, dirs ...string) map[string]int {
	t.Helper()
	flows := map[string]int{}
	for _, dir := range dirs {
		list := run(t, flowgraf, "dump", "-q", "-R", filepath.Join(dir, "archive"), "--current", "-o",
			"fmt:%tsr %ter %ra %sa %sp %da %dp %pr %ipkt %ibyt", "-6", "-N")
		for line := range strings.Lines(list) {
			flows[strings.Join(strings.Fields(line), " ")]++
		}
	}
	return flows
}

// setsWait says whether a worker has, after a time, sets whose template it does not know.
func setsWait(t *testing.T, w *agent, after time.Time) bool {
	var last point
	waitFor(t, 20*time.Second, "the counters of a worker", func() bool {
		if list := points(t, filepath.Join(w.dir, "metrics"), "internal_nfdump"); len(list) > 0 {
			last = list[len(list)-1]
		}
		return last.time.After(after)
	})
	return last.fields["sets_waiting"] != int64(0)
}

// sum is how many flows there are.
func sum(flows map[string]int) (n int) {
	for _, count := range flows {
		n += count
	}
	return n
}

// TestWorkersOfAStream: datagrams of several exporters go through NATS JetStream to three
// workers in no order; one is killed under load and comes back, and another one is added.
// Every flow is in some worker's archive, and what was given out twice is counted.
func TestWorkersOfAStream(t *testing.T) {
	s, left := startStream(t, 5*time.Second)
	data := map[string]string{"NATS": s.url}
	edge := startAgent(t, t.TempDir(), edgeConfig, data)
	dirs := make([]string, 4)
	var workers []*agent
	begin := func(i int) {
		dirs[i] = t.TempDir()
		workers = append(workers, startAgent(t, dirs[i], workerConfig, data))
	}
	for i := range 3 {
		begin(i)
	}
	sent := make(chan generated, 1)
	go func() {
		sent <- generate(t, "--to", edge.flows, "--protocol", "v9", "--mix", "realistic", "--exporters", "2",
			"--rate", "2000", "--count", "12000")
	}()
	some := func(i int) bool {
		found, _ := filepath.Glob(filepath.Join(dirs[i], "archive", "nfcapd.current.*"))
		return len(found) > 0 && sum(archived(t, dirs[i])) > 1000
	}
	waitFor(t, 30*time.Second, "flows in the worker that is killed", func() bool { return some(0) })
	workers[0].kill()
	begin(3)
	workers[0] = startAgent(t, dirs[0], workerConfig, data) // it goes on with what it has left
	want := (<-sent).flows
	// A worker waits for the templates that others have got, until they are sent again.
	waitFor(t, time.Minute, "all templates in all workers", func() bool {
		want += generate(t, "--to", edge.flows, "--protocol", "v9", "--mix", "realistic", "--exporters", "2", "--count",
			"100").flows
		waitFor(t, 20*time.Second, "the end of the stream", func() bool { return left() == 0 })
		written := time.Now()
		return !slices.ContainsFunc(workers, func(w *agent) bool { return setsWait(t, w, written) })
	})
	edge.stop(t)
	for _, w := range workers {
		w.stop(t)
	}
	reference, all := archived(t, edge.dir), archived(t, dirs...)
	if n := sum(reference); n != int(want) {
		t.Fatalf("the edge keeps %d flows, %d were sent", n, want)
	}
	lost, twice := 0, 0
	for line, n := range reference {
		lost += max(0, n-all[line])
		twice += max(0, all[line]-n)
	}
	if extra := sum(all) - sum(reference) - twice + lost; lost > 0 || extra > 0 {
		t.Errorf("%d flows of %d are lost, and %d were never sent", lost, want, extra)
	}
	for i, dir := range dirs {
		n := sum(archived(t, dir))
		t.Logf("worker %d has %d flows", i+1, n)
		if n == 0 {
			t.Errorf("worker %d has no flow", i+1)
		}
	}
	t.Logf("%d flows were sent, %d of them are kept twice", want, twice)
}

// summingConfig makes roll-ups of what comes out of the stream.
const summingConfig = fromStream + `[[processors.netflow]]
  metrics = ["exporters"]
  exporters_interval = "1s"
  [[processors.netflow.rollup]]
    name = "by_service"
    tags = ["service", "protocol"]
    interval = "2s"
    top = 20
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  data_format = "influx"
  influx_uint_support = true
`

// TestRollupsOverWorkers: the roll-ups of workers that share a stream add up to what was
// sent, with bounded series each, and one that comes later takes part.
func TestRollupsOverWorkers(t *testing.T) {
	s, left := startStream(t, 5*time.Minute)
	data := map[string]string{"NATS": s.url}
	edge := startAgent(t, t.TempDir(), edgeConfig, data)
	var workers []*agent
	begin := func() { workers = append(workers, startAgent(t, t.TempDir(), summingConfig, data)) }
	begin()
	begin()
	var flows, octets, packets uint64
	burst := func(count string) {
		sent := generate(t, "--to", edge.flows, "--protocol", "ipfix", "--mix", "realistic", "--exporters", "2", "--rate",
			"2000", "--count", count)
		flows, octets, packets = flows+sent.flows, octets+sent.bytes, packets+sent.packets
	}
	burst("3000")
	begin()
	burst("3000")
	waitFor(t, time.Minute, "all templates in all workers", func() bool {
		burst("100")
		waitFor(t, 20*time.Second, "the end of the stream", func() bool { return left() == 0 })
		written := time.Now()
		return !slices.ContainsFunc(workers, func(w *agent) bool {
			var waiting uint64
			waitFor(t, 20*time.Second, "the counters of a worker", func() bool {
				var last time.Time
				waiting = 0
				for _, p := range points(t, filepath.Join(w.dir, "metrics"), "netflow_exporter") {
					if last = p.time; last.After(written) {
						waiting += p.uint("sets_waiting")
					}
				}
				return last.After(written)
			})
			return waiting > 0
		})
	})
	edge.stop(t)
	for i, w := range workers {
		w.stop(t)
		series, before := map[string]bool{}, flows
		for _, p := range points(t, filepath.Join(w.dir, "metrics"), "by_service") {
			series[p.series()] = true
			flows, octets, packets = flows-p.uint("flows"), octets-p.uint("bytes"), packets-p.uint("packets")
		}
		t.Logf("worker %d: %d flows in %d series", i+1, before-flows, len(series))
		if before == flows {
			t.Errorf("worker %d has no flow", i+1)
		}
	}
	if flows != 0 || octets != 0 || packets != 0 {
		t.Errorf("sent and not in the roll-ups are %d flows, %d packets and %d bytes", int64(flows), int64(packets),
			int64(octets))
	}
}
