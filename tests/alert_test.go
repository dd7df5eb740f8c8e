package tests

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A rule on netflow traffic: mail when a device sends more than it should, and
// again when that is over.
func TestRuleFiresAndRecovers(t *testing.T) {
	sinkAddr, inbox := freePort(t, "tcp"), filepath.Join(t.TempDir(), "inbox")
	startSink(t, sinkAddr, inbox)
	a := startAgent(t, t.TempDir(), `
[agent]
  flush_interval = "200ms"
  omit_hostname = true
[[inputs.netflow]]
  service_address = "udp://{{ .Flows }}"
  metrics = ["flows"]
[[aggregators.basicstats]]
  namepass = ["netflow"]
  period = "2s"
  stats = ["sum"]
  fieldinclude = ["in_bytes"]
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  influx_uint_support = true
[[outputs.smtp_relay]]
  listen = ["{{ .Relay }}"]
  relay_nets = ["127.0.0.0/8"]
  relay_domains = ["example.com"]
  spool = "{{ .Dir }}/spool"
  smarthosts = ["smtp://{{ .Smarthost }}"]
  smarthost_tls = "none"
  [[outputs.smtp_relay.alert]]
    name = "traffic"
    where = 'name == "netflow" && has(fields.in_bytes_sum)'
    id = "traffic of {{ "{{ .Tags.source }}" }}"
    message = "{{ "{{ .ID }} is {{ .Level }}" }}"
    warn = "double(fields.in_bytes_sum) > 50000.0"
    crit = "double(fields.in_bytes_sum) > 500000.0"
    from = "flowgraf@example.com"
    to = ["noc@example.com"]
`, map[string]string{"Smarthost": sinkAddr})

	// Quiet first: a first OK is silent. Then too much, then quiet again.
	quiet := func() { generate(t, "--to", a.flows, "--protocol", "v5", "--count", "1", "--rate", "100") }
	quiet()
	time.Sleep(3 * time.Second)
	if n := len(sunk(t, inbox)); n != 0 {
		t.Fatalf("%d mails before anything happened", n)
	}
	generate(t, "--to", a.flows, "--protocol", "v5", "--count", "3000", "--rate", "10000", "--seed", "4")
	waitFor(t, 15*time.Second, "the alert", func() bool { return len(sunk(t, inbox)) == 1 })
	waitFor(t, 20*time.Second, "the recovery", func() bool {
		quiet()
		time.Sleep(time.Second)
		return len(sunk(t, inbox)) >= 2
	})
	a.stop(t)

	var subjects []string
	for _, m := range sunk(t, inbox) {
		subjects = append(subjects, m.Header.Get("Subject"))
		if got := m.Header.Get("Auto-Submitted"); got != "auto-generated" {
			t.Errorf("Auto-Submitted is %q", got)
		}
		if got := m.Header.Get("To"); !strings.Contains(got, "noc@example.com") {
			t.Errorf("To is %q", got)
		}
	}
	all := strings.Join(subjects, "\n")
	if len(subjects) != 2 || !strings.Contains(all, "traffic of 127.0.0.1 is CRITICAL") ||
		!strings.Contains(all, "traffic of 127.0.0.1 is OK") {
		t.Errorf("expected one CRITICAL and one OK mail, got:\n%s", all)
	}
}

// TestTraceOfAMail: the mail of an alert, as it was received, leads to the flows, also while
// their file is being written, and to the mail's way, though it has left the queue.
func TestTraceOfAMail(t *testing.T) {
	sinkAddr, inbox := freePort(t, "tcp"), filepath.Join(t.TempDir(), "inbox")
	startSink(t, sinkAddr, inbox)
	dir := t.TempDir()
	a := startAgent(t, dir, `
[agent]
  flush_interval = "200ms"
  omit_hostname = true
  logfile = "{{ .Dir }}/log"
[[inputs.netflow]]
  service_address = "udp://{{ .Flows }}"
  metrics = ["datagrams"]
  [[inputs.netflow.rollup]]
    name = "netflow_by_host"
    tags = ["src", "protocol"]
    interval = "2s"
[[outputs.nfdump]]
  directory = "{{ .Dir }}/flows"
  namepass = ["netflow_datagram"]
[[outputs.smtp_relay]]
  listen = ["{{ .Relay }}"]
  relay_nets = ["127.0.0.0/8"]
  relay_domains = ["example.com"]
  spool = "{{ .Dir }}/spool"
  smarthosts = ["smtp://{{ .Smarthost }}"]
  smarthost_tls = "none"
  [[outputs.smtp_relay.alert]]
    name = "heavy-host"
    where = 'name == "netflow_by_host" && tags.src.startsWith("10.")'
    id = "host {{ "{{ .Tags.src }}" }}"
    message = "{{ "{{ .ID }} is {{ .Level }}" }}"
    crit = "fields.scaled_bytes > 1000u"
    from = "flowgraf@example.com"
    to = ["noc@example.com"]
`, map[string]string{"Smarthost": sinkAddr})
	generate(t, "--to", a.flows, "--protocol", "v9", "--count", "500", "--rate", "5000", "--seed", "4")
	waitFor(t, 20*time.Second, "an alert", func() bool { return len(sunk(t, inbox)) > 0 })
	files, err := filepath.Glob(filepath.Join(inbox, "mail.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no mail: %v", err)
	}
	var out string
	waitFor(t, 10*time.Second, "the delivery in the log", func() bool {
		out = outputOf(t, flowgraf, "trace", files[0], "--flows", filepath.Join(dir, "flows"), "--spool",
			filepath.Join(dir, "spool"), "--log", filepath.Join(dir, "log"), "-c", "2")
		return strings.Contains(out, " => noc@example.com")
	})
	listing := regexp.MustCompile(`(?m)^  flowgraf (dump -R .* --current -t \S+ )'(.*src ip (10\.\S+))'$`)
	command := listing.FindStringSubmatch(out)
	if command == nil || !strings.HasPrefix(out, "alert:   heavy-host\n") ||
		!strings.Contains(out, " <= flowgraf@example.com P=alert") {
		t.Fatalf("trace prints\n%s", out)
	}
	args := append(strings.Fields(command[1]), command[2], "-q", "-o", "csv:%sa")
	sources := strings.Fields(outputOf(t, flowgraf, args...))
	if len(sources) == 0 {
		t.Errorf("the command lists nothing: %q", command[0])
	}
	for _, src := range sources {
		if src != command[3] || !strings.Contains(out, " "+src+":") {
			t.Errorf("the flows are of %s, and trace lists\n%s", src, out)
		}
	}
}
