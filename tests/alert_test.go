package tests

import (
	"path/filepath"
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
