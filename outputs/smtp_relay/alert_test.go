package smtp_relay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
)

// A flood of forged sources arrives as some mails and digests, and a series that
// falls silent ends its alert while nothing more is written.
func TestFloodAndSilence(t *testing.T) {
	in := newInbox(t, "127.0.0.1:0")
	text := strings.NewReplacer("SPOOL", t.TempDir(), "SMARTHOST", in.addr,
		`to = ["noc@example.net", "ops@example.org"]`,
		"to = [\"noc@example.net\"]\n    max_mails = 3\n    stale_after = \"2s\"",
		"[[outputs.smtp_relay.alert]]", "digest_interval = \"1s\"\n  [[outputs.smtp_relay.alert]]").Replace(alertConfig)
	p, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	connect(t, p)
	batch := make([]telegraf.Metric, 300)
	for i := range batch {
		batch[i] = metric.New("netflow", map[string]string{"source": fmt.Sprintf("192.0.2.%d", i)},
			map[string]any{"in_bytes": uint64(5000)}, time.Now())
	}
	if err := p.Write(batch); err != nil {
		t.Fatal(err)
	}
	// Each of the 300 alerts is told twice, its beginning and its end.
	told, mails := map[string]int{}, 0
	for deadline := time.Now().Add(time.Minute); told["CRITICAL"]+told["STALE"] < 600; {
		if time.Now().After(deadline) {
			t.Fatalf("told are %v, in %d mails", told, mails)
		}
		time.Sleep(100 * time.Millisecond)
		arrived := in.all(t)
		told, mails = map[string]int{}, len(arrived)
		for _, m := range arrived {
			words := strings.NewReplacer(",", "", ":", "").Replace(subject(t, m))
			fields := strings.Fields(words)
			if fields[0] != "Digest" {
				told[fields[len(fields)-1]]++
				continue
			}
			for i := 4; i+1 < len(fields); i += 2 {
				n := 0
				fmt.Sscan(fields[i], &n)
				told[fields[i+1]] += n
			}
		}
	}
	if told["CRITICAL"] != 300 || told["STALE"] != 300 || mails > 30 {
		t.Errorf("told are %v in %d mails", told, mails)
	}
}

// What alerts are told with is checked at the start.
func TestAlertOptions(t *testing.T) {
	for text, want := range map[string]string{
		"stale_after = \"-1s\"":                           "stale_after",
		"message = \"{{ range 2000000000 }}{{ end }}\"\n": "runs too long",
		"id = \"{{ printf \\\"%9999999d\\\" 1 }}\"\n":     "too long",
		"id = \"{{ .Level }}\"":                           "id",
	} {
		option, _, _ := strings.Cut(text, " ")
		rule := "[[outputs.smtp_relay]]\n  hostname = \"m.example.com\"\n  spool = \"x\"\n  smarthosts = " +
			"[\"smtp://127.0.0.1:25\"]\n" +
			"[[outputs.smtp_relay.alert]]\n  name = \"r\"\n  crit = \"fields.v > 1\"\n  from = \"a@example.com\"\n  " +
			"to = [\"b@example.com\"]\n"
		if _, err := load(t, rule+text); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), option) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
	if _, err := load(t, strings.Replace(alertConfig, "smarthost_tls", "digest_interval = \"-5m\"\n  smarthost_tls",
		1)); err == nil || !strings.Contains(err.Error(), "digest_interval") {
		t.Errorf("digest_interval below zero: %v", err)
	}
}
