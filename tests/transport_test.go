package tests

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stream is a server through which datagrams go to workers that share them: what an agent
// sends them there with, and what one gets them with, as configuration.
type stream struct {
	output, input string
	data          map[string]string
	left          func() uint64 // how many datagrams no worker has acknowledged
	began         func(*agent) bool
}

// of returns what a worker of a name gets datagrams with.
func (s stream) of(worker string) string { return strings.ReplaceAll(s.input, "worker-1", worker) }

// ofReadme returns the two tables of a plugin as the README prints them, for flows and for
// what is known of the exporters, with the addresses of the test's servers.
func ofReadme(t *testing.T, plugin string) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`(?m)^\[\[` + plugin + `\]\]\n(?:[ ].*\n)+`)
	list := table.FindAllString(string(readme), -1)
	if len(list) != 2 {
		t.Fatalf("the README has %d tables [[%s]]", len(list), plugin)
	}
	servers := regexp.MustCompile(`(servers|brokers) = \["[^"]*"\]`)
	text := strings.Join(list, "\n")
	if n := len(servers.FindAllString(text, -1)); n != len(list) {
		t.Fatalf("%d of two servers in %s", n, text)
	}
	return "\n" + servers.ReplaceAllString(text, `$1 = ["{{ .Stream }}"]`)
}

// startNATS starts JetStream with a consumer that workers share. What is not acknowledged
// after a time is given out again.
func startNATS(t *testing.T, again time.Duration) stream {
	t.Helper()
	addr := freePort(t, "tcp")
	host, port, _ := strings.Cut(addr, ":")
	start(t, peer(t, "nats-server"), "-js", "-sd", t.TempDir(), "-a", host, "-p", port)
	waitFor(t, 20*time.Second, "the NATS server", func() bool { return answers(addr) })
	url := "nats://" + addr
	conn, err := nats.Connect(url)
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
	return stream{ofReadme(t, "outputs.nats"), ofReadme(t, "inputs.nats_consumer"), map[string]string{"Stream": url},
		func() uint64 {
			info, err := js.ConsumerInfo("FLOWS", "workers")
			if err != nil {
				t.Fatal(err)
			}
			return info.NumPending + uint64(info.NumAckPending)
		}, func(w *agent) bool { return strings.Count(w.out.String(), "Started the NATS consumer service") == 2 }}
}

// startKafka starts three brokers with a topic of so many partitions. A worker that says
// nothing for four seconds is taken for dead.
func startKafka(t *testing.T, partitions int32) stream {
	t.Helper()
	const topic, group = "flows", "workers"
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(partitions, topic, "known"),
		kfake.GroupMinSessionTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		r.(*kmsg.JoinGroupRequest).SessionTimeoutMillis = 4000 // of the ten seconds that the plugin asks for
		return nil, nil, false
	})
	return stream{ofReadme(t, "outputs.kafka"), ofReadme(t, "inputs.kafka_consumer"),
		map[string]string{"Stream": strings.Join(cluster.ListenAddrs(), `", "`)}, func() (left uint64) {
			g := cluster.GroupInfo(group)
			for _, p := range cluster.PartitionInfos(topic) {
				left += uint64(p.HighWatermark)
				if g != nil {
					left -= uint64(g.Commits[topic][p.Partition].Offset)
				}
			}
			return left
		}, func(*agent) bool { return true }} // it begins with the oldest that there is
}

// edgeConfig passes datagrams on, and keeps their flows, too.
const edgeConfig = `
[agent]
  flush_interval = "100ms"
  omit_hostname = true
[[inputs.netflow]]
  service_address = "udp4://{{ .Flows }}"
  metrics = ["datagrams"]
[[outputs.nfdump]]
  directory = "{{ .Dir }}/archive"
`

// summingConfig is that of a worker which makes roll-ups of what comes out of the stream.
const summingConfig = `
[agent]
  flush_interval = "100ms"
  omit_hostname = true
[[processors.netflow]]
  metrics = ["exporters"]
  exporters_interval = "1s"
  datagrams = "pass"
  [[processors.netflow.rollup]]
    name = "by_service"
    tags = ["service", "protocol"]
    interval = "2s"
    top = 20
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  data_format = "influx"
  influx_uint_support = true
  namedrop = ["netflow_datagram"]
`

// workerConfig keeps the flows, too.
const workerConfig = summingConfig + `
[[inputs.internal]]
  interval = "200ms"
[[outputs.nfdump]]
  directory = "{{ .Dir }}/archive"
  namepass = ["netflow_datagram"]
`

// archived returns how often each flow is in the archives of directories, by what nfdump's
// lists tell of it.
func archived(t *testing.T, dirs ...string) map[string]int {
	t.Helper()
	flows := map[string]int{}
	for _, dir := range dirs {
		list := outputOf(t, flowgraf, "dump", "-q", "-R", filepath.Join(dir, "archive"), "--current", "-o",
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

// generateOn runs flowgraf generate until the function is called that it returns, which
// gives its totals.
func generateOn(t *testing.T, args ...string) (end func() map[string]uint64) {
	t.Helper()
	p := start(t, flowgraf, append([]string{"generate"}, args...)...)
	return func() map[string]uint64 {
		t.Helper()
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		<-p.done
		totals := keyValues(t, p.out.String())
		if totals["flows"] == 0 {
			t.Fatalf("nothing was sent: %s", p.out)
		}
		return totals
	}
}

// TestWorkersOfAStream: datagrams of an exporter go through NATS JetStream and Kafka
// to three workers in no order; one is killed under load and comes back, and another one
// is added. Every flow is in some worker's archive, what was given out twice is counted,
// and the roll-ups of each worker are the sums of what it has.
func TestWorkersOfAStream(t *testing.T) {
	t.Run("NATS", func(t *testing.T) { testWorkers(t, startNATS(t, 5*time.Second), "v9") })
	t.Run("Kafka", func(t *testing.T) { testWorkers(t, startKafka(t, 12), "v5") }) // which waits for no template
}

// workersRate is how many flows a second workers share. The exporter sends its templates every
// second, to workers at random: until one has them, which may be half a minute, its sets wait.
const workersRate = "450"

// testWorkers is TestWorkersOfAStream for one kind of server, with flows of one protocol.
func testWorkers(t *testing.T, s stream, protocol string) {
	edge := startAgent(t, t.TempDir(), edgeConfig+s.output, s.data)
	dirs := make([]string, 4)
	var workers []*agent
	begin := func(i int) {
		dirs[i] = t.TempDir()
		workers = append(workers, startAgent(t, dirs[i], workerConfig+s.of(fmt.Sprint("worker", i)), s.data))
	}
	for i := range 3 {
		begin(i)
	}
	load := generateOn(t, "--to", edge.flows, "--protocol", protocol, "--mix", "realistic", "--exporters", "1",
		"--rate", workersRate)
	some := func(i int) bool {
		found, _ := filepath.Glob(filepath.Join(dirs[i], "archive", "nfcapd.current.*"))
		return len(found) > 0 && sum(archived(t, dirs[i])) > 500
	}
	waitFor(t, time.Minute, "flows in the worker that is killed", func() bool { return some(0) })
	workers[0].kill()
	begin(3)
	workers[0] = startAgent(t, dirs[0], workerConfig+s.of("worker0"), s.data) // it goes on with what it has left
	waitFor(t, time.Minute, "flows and all templates in all workers", func() bool {
		written := time.Now()
		return some(3) && !slices.ContainsFunc(workers, func(w *agent) bool {
			return setsWait(t, w, written) || rollupsWait(t, w, written)
		})
	})
	want := load()["flows"]
	waitFor(t, time.Minute, "the end of the stream", func() bool { return s.left() == 0 })
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
		flows, n := archived(t, dir), 0
		for _, count := range flows {
			n += count
		}
		summed := uint64(0)
		for _, p := range points(t, filepath.Join(dir, "metrics"), "by_service") {
			summed += p.uint("flows")
		}
		t.Logf("worker %d has %d flows, and %d in its roll-ups", i+1, n, summed)
		switch {
		case n == 0:
			t.Errorf("worker %d has no flow", i+1)
		case i == 0 && summed > uint64(n), i > 0 && summed != uint64(n): // what was killed had a window open
			t.Errorf("worker %d has %d flows, and %d in its roll-ups", i+1, n, summed)
		}
	}
	t.Logf("%d flows were sent, %d of them are kept twice", want, twice)
}

// rollupsWait says whether the processor of a worker has, after a time, sets whose
// template it does not know.
func rollupsWait(t *testing.T, w *agent, after time.Time) bool {
	var waiting uint64
	waitFor(t, time.Minute, "the counters of a worker's processor", func() bool {
		var last time.Time
		waiting = 0
		for _, p := range points(t, filepath.Join(w.dir, "metrics"), "netflow_exporter") {
			if last = p.time; last.After(after) {
				waiting += p.uint("sets_waiting")
			}
		}
		return last.After(after)
	})
	return waiting > 0
}

// TestRollupsOverWorkers: the roll-ups of workers that share a stream add up to what was
// sent, with bounded series each, and one that comes later takes part.
func TestRollupsOverWorkers(t *testing.T) {
	s := startNATS(t, 5*time.Minute)
	edge := startAgent(t, t.TempDir(), edgeConfig+s.output, s.data)
	var workers []*agent
	begin := func() {
		config := strings.Replace(summingConfig, `"pass"`, `"drop"`, 1) + s.of(fmt.Sprint("worker", len(workers)))
		workers = append(workers, startAgent(t, t.TempDir(), config, s.data))
	}
	begin()
	begin()
	load := generateOn(t, "--to", edge.flows, "--protocol", "ipfix", "--mix", "realistic", "--exporters", "1",
		"--rate", workersRate)
	known := func() bool {
		written := time.Now()
		return !slices.ContainsFunc(workers, func(w *agent) bool {
			return rollupsWait(t, w, written) || len(points(t, filepath.Join(w.dir, "metrics"), "by_service")) == 0
		})
	}
	waitFor(t, time.Minute, "roll-ups of both workers", known)
	begin()
	waitFor(t, time.Minute, "all templates in all workers", known)
	sent := load()
	flows, octets, packets := sent["flows"], sent["bytes"], sent["packets"]
	waitFor(t, time.Minute, "the end of the stream", func() bool { return s.left() == 0 })
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

// TestTemplatesReachAllWorkers: an exporter tells its templates once. What the edge sends
// again, here as it starts, all workers get, so that each can decode its part of the flows.
func TestTemplatesReachAllWorkers(t *testing.T) {
	t.Run("NATS", func(t *testing.T) { testTemplatesReachAll(t, startNATS(t, 5*time.Minute)) })
	t.Run("Kafka", func(t *testing.T) { testTemplatesReachAll(t, startKafka(t, 12)) })
}

func testTemplatesReachAll(t *testing.T, s stream) {
	dir := t.TempDir()
	config := strings.Replace(edgeConfig, "metrics =", "state_file = \"{{ .Dir }}/state\"\n  metrics =", 1) + s.output
	edge := startAgent(t, dir, config, s.data)
	sent := generate(t, "--to", edge.flows, "--protocol", "ipfix", "--mix", "realistic", "--exporters", "1", "--count",
		"2000")
	waitFor(t, time.Minute, "the flows of the edge", func() bool {
		return uint64(sum(archived(t, dir))) == sent.flows
	})
	edge.stop(t)
	var workers []*agent
	for i := range 3 {
		config := strings.Replace(summingConfig, `"pass"`, `"drop"`, 1) + s.of(fmt.Sprint("worker", i))
		workers = append(workers, startAgent(t, t.TempDir(), config, s.data))
	}
	for _, w := range workers { // NATS keeps nothing of what is known
		waitFor(t, time.Minute, "a worker that gets what is known", func() bool { return s.began(w) })
	}
	edge = startAgent(t, dir, config, s.data)
	waitFor(t, time.Minute, "all flows in the roll-ups", func() bool {
		flows := uint64(0)
		for _, w := range workers {
			for _, p := range points(t, filepath.Join(w.dir, "metrics"), "by_service") {
				flows += p.uint("flows")
			}
		}
		return flows == sent.flows
	})
	for _, w := range append(workers, edge) {
		w.stop(t)
	}
}

// TestReloadOfAWorker: a worker that reloads its configuration, with the same options of its
// processor and with others, goes on with what it knows of the exporters: no set waits for a
// template, and its counters go on. What its consumer has been given as it ended, and not
// acknowledged, comes again: no flow is missing, a few may be counted twice.
func TestReloadOfAWorker(t *testing.T) {
	s := startNATS(t, 10*time.Second)
	edge := startAgent(t, t.TempDir(), edgeConfig+s.output, s.data)
	config := strings.Replace(summingConfig, `datagrams = "pass"`, "{{ .Option }}", 1) + s.of("worker")
	values := maps.Clone(s.data)
	values["Option"] = ""
	w := startAgent(t, t.TempDir(), config, values)
	load := generateOn(t, "--to", edge.flows, "--protocol", "v9", "--mix", "realistic", "--exporters", "1", "--rate",
		workersRate)
	count := func(field string) (n uint64) {
		for _, p := range points(t, filepath.Join(w.dir, "metrics"), "netflow_exporter") {
			if p.tags["version"] == "NetFlowV9" {
				n = p.uint(field) // of the latest
			}
		}
		return n
	}
	for i, option := range []string{"", `  flow_tags = ["src"]`, `  flow_tags = ["dst"]`} {
		before := count("flows")
		waitFor(t, time.Minute, "flows", func() bool { return count("flows") > before+200 })
		w.configure(t, config, values, map[string]string{"Option": option})
		if err := w.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		waitFor(t, time.Minute, "the reload", func() bool {
			return strings.Count(w.out.String(), "Starting flowgraf") == i+2
		})
	}
	sent := load()["flows"]
	waitFor(t, time.Minute, "all flows counted", func() bool { return count("flows") >= sent })
	if flows, sets := count("flows"), count("sets_without_template"); flows > sent*5/4 || sets != 0 {
		t.Errorf("%d flows are counted, %d were sent; %d sets had no template", flows, sent, sets)
	}
	edge.stop(t)
	w.stop(t)
}
