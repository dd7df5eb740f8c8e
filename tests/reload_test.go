package tests

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// SIGHUP takes a new configuration, and refuses a wrong one without stopping.
func TestReload(t *testing.T) {
	a := startAgent(t, t.TempDir(), agentConfig, nil)
	file := filepath.Join(a.dir, "telegraf.conf")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		a.cmd.Process.Signal(syscall.SIGHUP)
	}
	metrics := func(name string) int { return len(points(t, filepath.Join(a.dir, name), "netflow")) }

	generate(t, "--to", a.flows, "--protocol", "v9", "--count", "100", "--rate", "0")
	waitFor(t, 10*time.Second, "the first flows", func() bool { return metrics("metrics") == 100 })

	write(strings.Replace(string(good), "service_address", "service_adress", 1))
	waitFor(t, 10*time.Second, "the refusal", func() bool {
		return strings.Contains(a.out.String(), "telegraf.conf:") && strings.Contains(a.out.String(), "is refused")
	})
	generate(t, "--to", a.flows, "--protocol", "v9", "--count", "100", "--rate", "0")
	waitFor(t, 10*time.Second, "flows with the old configuration", func() bool { return metrics("metrics") == 200 })

	write(strings.Replace(string(good), "/metrics\"", "/more\"", 1))
	waitFor(t, 10*time.Second, "the reload",
		func() bool { return strings.Count(a.out.String(), "Starting flowgraf") == 2 && taken(a.flows) })
	generate(t, "--to", a.flows, "--protocol", "v9", "--count", "100", "--rate", "0")
	waitFor(t, 10*time.Second, "flows with the new configuration", func() bool { return metrics("more") == 100 })
	a.stop(t)
	if n := metrics("metrics"); n != 200 {
		t.Errorf("the first file has %d flows, want 200", n)
	}
}

// reloadConfig has an archive, a file of metrics, and, in {{ .More }}, what hangs.
const reloadConfig = `
[agent]
  interval = "500ms"
  flush_interval = "200ms"
  metric_buffer_limit = 1000000
  omit_hostname = true
[[inputs.netflow]]
  service_address = "udp4://{{ .Flows }}"
  metrics = ["flows", "exporters", "datagrams"]
{{ .Option }}
[[inputs.netflow]]
  service_address = "tcp4://{{ .Stream }}"
  metrics = ["flows", "exporters", "datagrams"]
{{ .Option }}
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  influx_uint_support = true
  namedrop = ["netflow_datagram"]
[[outputs.nfdump]]
  directory = "{{ .Dir }}/archive"
  namepass = ["netflow_datagram"]
{{ .More }}
`

// hangingServer accepts connections and never answers. It returns its address.
func hangingServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return l.Addr().String()
}

// reloads is how often an agent under load is told to reload: go test ./tests -run
// ReloadLoses -reloads 50.
var reloads = flag.Int("reloads", 5, "how often the agent reloads under load")

// While an agent reloads, five times or as -reloads says, two exporters go on sending,
// over UDP and over one connection of TCP. They send their templates once, at the start.
// Every flow is in the metrics and in the archive, no sequence number is missing, and an
// output that hangs changes nothing of it; nor does a new configuration of the inputs.
func TestReloadLosesNothing(t *testing.T) {
	hanging := "[[outputs.http]]\n  url = \"http://" + hangingServer(t) +
		"\"\n  timeout = \"1h\"\n  namedrop = [\"netflow_datagram\"]\n"
	for name, c := range map[string]struct {
		more    string
		options []string // of the inputs, in turns
	}{
		"same":    {"", []string{""}},
		"hanging": {hanging, []string{""}},
		"changed": {"", []string{`  flow_tags = ["protocol"]`, `  workers = 3`, `  max_exporters = 10`}},
	} {
		t.Run(name, func(t *testing.T) {
			nfdump := peer(t, "nfdump")
			values := map[string]string{"More": c.more, "Option": c.options[0], "Stream": freePort(t, "tcp")}
			a := startAgent(t, t.TempDir(), reloadConfig, values)
			waitFor(t, 20*time.Second, "the port for TCP", func() bool { return answers(values["Stream"]) })
			ended, sent := make(chan struct{}), sync.WaitGroup{}
			end := sync.OnceFunc(func() { close(ended); sent.Wait() })
			defer end()
			exporters := []*exporterBooks{newExporterBooks(t, "udp", a.flows),
				newExporterBooks(t, "tcp", values["Stream"])}
			for _, x := range exporters {
				x.tell()
				sent.Go(func() {
					for pace := time.NewTicker(20 * time.Millisecond); ; <-pace.C {
						select {
						case <-ended:
							return
						default:
							x.send(2)
						}
					}
				})
			}
			for i := range *reloads {
				time.Sleep(100 * time.Millisecond)
				a.configure(t, reloadConfig, values, map[string]string{"Option": c.options[(i+1)%len(c.options)]})
				a.cmd.Process.Signal(syscall.SIGHUP)
				waitFor(t, 20*time.Second, "the reload", func() bool {
					return strings.Count(a.out.String(), "Listening on tcp4") == i+2
				})
			}
			end()
			var want uint64
			for _, x := range exporters {
				want += x.flows
			}
			metrics := filepath.Join(a.dir, "metrics")
			waitFor(t, 20*time.Second, "the flows",
				func() bool { return uint64(len(points(t, metrics, "netflow"))) >= want })
			time.Sleep(time.Second) // for the counters of all that
			a.cmd.Process.Signal(syscall.SIGTERM)
			<-a.done
			if got := uint64(len(points(t, metrics, "netflow"))); got != want {
				t.Errorf("%d flows are in the metrics, %d were sent", got, want)
			}
			if flows, _, _ := nfdumpSums(t, nfdump, filepath.Join(a.dir, "archive")); flows != want {
				t.Errorf("%d flows are in the archive, %d were sent", flows, want)
			}
			latest := map[string]point{}
			for _, p := range points(t, metrics, "netflow_exporter") {
				latest[p.tags["transport"]+p.tags["listener"]] = p
			}
			for _, transport := range []string{"", "tcp"} {
				p := latest[transport]
				if p.uint("sequence_gaps")+p.uint("sequence_restarts")+p.uint("sets_without_template") != 0 {
					t.Errorf("the counters of %q say that something is missing: %v", transport, p.fields)
				}
				if i := slices.Index([]string{"", "tcp"}, transport); p.uint("datagrams") != exporters[i].messages {
					t.Errorf("%q: %d datagrams are counted, %d were sent", transport, p.uint("datagrams"),
						exporters[i].messages)
				}
			}
			if c.more == "" && a.err != nil {
				t.Errorf("the agent ended with %v", a.err)
			}
			t.Logf("%d flows in %d reloads", want, *reloads)
		})
	}
}

// reloadedRelay is a relay beside all that, whose mails can be counted.
const reloadedRelay = `
[[outputs.smtp_relay]]
  listen = ["{{ .Relay }}"]
  hostname = "relay.example.com"
  relay_nets = ["127.0.0.1"]
  relay_domains = ["example.com"]
  spool = "{{ .Dir }}/spool"
  smarthosts = ["file://{{ .Dir }}/mails"]
  max_connections = {{ .Connections }}
  namepass = ["nothing"]
`

// Flows and mails go through the same reloads, with the same options and with others of the
// relay: all flows are in metrics and archive, every mail is answered on the connection that
// its client has kept, and stored once.
func TestReloadLosesNeitherFlowsNorMails(t *testing.T) {
	nfdump := peer(t, "nfdump")
	values := map[string]string{"Option": "", "Stream": freePort(t, "tcp"), "More": "", "Connections": "50"}
	a := startAgent(t, t.TempDir(), reloadConfig+reloadedRelay, values)
	waitFor(t, 20*time.Second, "the port for TCP", func() bool { return answers(values["Stream"]) })
	ended, sending := make(chan struct{}), sync.WaitGroup{}
	again := func(do func()) {
		sending.Go(func() {
			for pace := time.NewTicker(20 * time.Millisecond); ; <-pace.C {
				select {
				case <-ended:
					return
				default:
					do()
				}
			}
		})
	}
	x := newExporterBooks(t, "udp", a.flows)
	x.tell()
	again(func() { x.send(1) })
	answered := map[string]bool{}
	alert := kapacitor(t, a.relay, "until 1.6.2")
	again(func() {
		subject := fmt.Sprint("alert ", len(answered))
		if err := alert(subject); err != nil {
			t.Error(err)
		}
		answered[subject] = true
	})
	for i := range *reloads {
		time.Sleep(100 * time.Millisecond)
		a.configure(t, reloadConfig+reloadedRelay, values,
			map[string]string{"Connections": []string{"50", "51"}[i/2%2]})
		a.cmd.Process.Signal(syscall.SIGHUP)
		waitFor(t, 20*time.Second, "the reload",
			func() bool { return strings.Count(a.out.String(), "takes mail on") == i+2 })
	}
	for range 6 { // a burst: one comes while the inputs of the one before are about to start
		a.cmd.Process.Signal(syscall.SIGHUP)
		time.Sleep(30 * time.Millisecond)
	}
	close(ended)
	sending.Wait()
	waitFor(t, 20*time.Second, "the mails", func() bool { return stored(t, a.dir, answered) == len(answered) })
	metrics := filepath.Join(a.dir, "metrics")
	waitFor(t, 20*time.Second, "the flows",
		func() bool { return uint64(len(points(t, metrics, "netflow"))) >= x.flows })
	a.stop(t)
	if got := uint64(len(points(t, metrics, "netflow"))); got != x.flows {
		t.Errorf("%d flows are in the metrics, %d were sent", got, x.flows)
	}
	if flows, _, _ := nfdumpSums(t, nfdump, filepath.Join(a.dir, "archive")); flows != x.flows {
		t.Errorf("%d flows are in the archive, %d were sent", flows, x.flows)
	}
	mails, err := os.ReadFile(filepath.Join(a.dir, "mails"))
	if err != nil {
		t.Fatal(err)
	}
	if copies := strings.Count(string(mails), "Subject: alert "); copies != len(answered) || copies == 0 {
		t.Errorf("%d mails are stored, %d were answered", copies, len(answered))
	}
	t.Logf("%d flows and %d mails in %d reloads", x.flows, len(answered), *reloads)
}
