//go:build unix

package tests

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zone is a DNS server on loopback that knows one domain's mail server.
func zone(t *testing.T, records ...string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		answer := new(dns.Msg).SetReply(r)
		answer.Authoritative, answer.Rcode = true, dns.RcodeNameError
		for _, rr := range all {
			if strings.EqualFold(rr.Header().Name, r.Question[0].Name) {
				answer.Rcode = dns.RcodeSuccess
				if rr.Header().Rrtype == r.Question[0].Qtype {
					answer.Answer = append(answer.Answer, rr)
				}
			}
		}
		w.WriteMsg(answer)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	return conn.LocalAddr().String()
}

// What import-exim makes of dc_eximconfig_configtype='internet' sends straight to the
// recipient's own server, as MX records say; inputs.smtp_relay shows what happened.
func TestImportedInternetSite(t *testing.T) {
	peer(t, "swaks")
	dir := t.TempDir()
	sinkAddr, inbox := freePort(t, "tcp"), filepath.Join(dir, "inbox")
	startSink(t, sinkAddr, inbox)
	_, port, _ := net.SplitHostPort(sinkAddr)
	settings := filepath.Join(dir, "update-exim4.conf.conf")
	listen := freePort(t, "tcp")
	text := "dc_eximconfig_configtype='internet'\ndc_local_interfaces='" + strings.Replace(listen, ":", ".", 1) +
		"'\ndc_relay_nets=''\ndc_relay_domains='example.net : null.example'\n"
	if err := os.WriteFile(settings, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	config := outputOf(t, flowgraf, "relay", "import-exim", settings)
	if !strings.Contains(config, `smarthosts = ["mx://"]`) {
		t.Fatalf("imported:\n%s", config)
	}
	config = strings.Replace(config, `"mx://"`, `"mx://:`+port+`"`, 1)
	names := zone(t, "example.net. MX 10 mx.example.net.", "mx.example.net. A 127.0.0.1", "null.example. MX 0 .")
	a := startAgent(t, dir, `
[agent]
  interval = "200ms"
  flush_interval = "200ms"
  omit_hostname = true
[[inputs.smtp_relay]]
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
`+config+`
  hostname = "relay.example.com"
  spool = "{{ .Dir }}/spool"
  dns_servers = ["`+names+`"]
`, nil)
	waitFor(t, 10*time.Second, "the relay", func() bool { return answers(listen) })
	for _, to := range []string{"ops@example.net", "ops@null.example"} {
		if code, out := swaks(t, listen, "--from", "cron@example.com", "--to", to); code != 0 {
			t.Fatalf("refused:\n%s", out)
		}
	}
	if code, _ := swaks(t, listen, "--from", "cron@example.com", "--to", "ops@example.org"); code == 0 {
		t.Error("a recipient elsewhere was accepted")
	}
	waitFor(t, 10*time.Second, "the mail", func() bool { return len(sunk(t, inbox)) == 1 })
	want := map[string]int64{"accepted": 2, "delivered": 1, "failed": 1, "refused": 1, "stored": 2, "queued": 0,
		"oldest_s": 0}
	waitFor(t, 20*time.Second, "the metrics", func() bool {
		got := map[string]int64{}
		mean := false
		for _, p := range points(t, filepath.Join(dir, "metrics"), "smtp_relay") {
			for name, value := range p.fields {
				if n, ok := value.(int64); ok {
					got[name] = n
				}
			}
			_, has := p.fields["latency_mean_ms"]
			mean = mean || has
		}
		for name, n := range want {
			if v, ok := got[name]; !ok || v != n {
				return false
			}
		}
		return mean
	})
	failed := outputOf(t, flowgraf, "queue", "list", "--failed", "--spool", filepath.Join(dir, "spool"))
	if !strings.Contains(failed, "null.example") {
		t.Errorf("the failed mails are:\n%s", failed)
	}
	a.stop(t)
}

// Flowgraf needs no root: an ordinary user with the one capability that systemd's
// AmbientCapabilities gives has a port below 1024, and the relay works.
func TestRelayWithoutRoot(t *testing.T) {
	peer(t, "swaks")
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user with a capability")
	}
	setpriv := peer(t, "setpriv")
	dir, err := os.MkdirTemp("", "flowgraf-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listen := ""
	for port := 1023; port > 900 && listen == ""; port-- {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if l, err := net.Listen("tcp4", addr); err == nil {
			l.Close()
			listen = addr
		}
	}
	config := filepath.Join(dir, "telegraf.conf")
	text := "[[outputs.smtp_relay]]\n  listen = [\"" + listen + "\"]\n  hostname = \"relay.example.com\"\n" +
		"  relay_nets = [\"127.0.0.1\"]\n  relay_domains = [\"example.com\"]\n  spool = \"" + dir + "/spool\"\n" +
		"  smarthosts = [\"maildir://" + dir + "/mail/{user}\"]\n"
	binary := filepath.Join(dir, "flowgraf")
	for _, step := range []error{
		os.Chmod(dir, 0o755), os.WriteFile(config, []byte(text), 0o644), exec.Command("cp", flowgraf, binary).Run(),
		os.Mkdir(filepath.Join(dir, "spool"), 0o700), os.Mkdir(filepath.Join(dir, "mail"), 0o700),
		os.Chown(filepath.Join(dir, "spool"), 65534, 65534), os.Chown(filepath.Join(dir, "mail"), 65534, 65534),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	user := []string{"--reuid", "65534", "--regid", "65534", "--clear-groups"}
	without := exec.Command(setpriv, append(user, binary, "check", "--config", config)...)
	if out, err := without.CombinedOutput(); err == nil || !strings.Contains(string(out), "CAP_NET_BIND_SERVICE") {
		t.Errorf("without the capability: %v\n%s", err, out)
	}
	p := start(t, setpriv, append(user, "--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service",
		binary, "agent", "--config", config)...)
	waitFor(t, 20*time.Second, "the relay", func() bool {
		if !p.running() {
			t.Fatalf("the agent ended: %v\n%s", p.err, p.out)
		}
		return answers(listen)
	})
	if code, out := swaks(t, listen, "--from", "cron@example.com", "--to", "root@example.com"); code != 0 {
		t.Fatalf("refused:\n%s", out)
	}
	var file string
	waitFor(t, 10*time.Second, "the mail", func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, "mail/root/new/*"))
		file = strings.Join(files, "")
		return len(files) == 1
	})
	info, err := os.Stat(file)
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 65534 {
		t.Errorf("the mail belongs to %+v, %v", info, err)
	}
	p.stop(t)
}

// An administrator works on the queue of a running agent: lists, holds over a restart,
// lets go, bounces, removes.
func TestQueueOfARunningAgent(t *testing.T) {
	peer(t, "swaks")
	dir := t.TempDir()
	sinkAddr, inbox := freePort(t, "tcp"), filepath.Join(dir, "inbox")
	data := map[string]string{"Smarthost": sinkAddr, "Nets": "127.0.0.0/8"}
	a := startAgent(t, dir, relayConfig, data)
	spool := filepath.Join(dir, "spool")
	queue := func(args ...string) string {
		t.Helper()
		return outputOf(t, flowgraf, append([]string{"queue", args[0], "--spool", spool}, args[1:]...)...)
	}
	ids := map[string]string{}
	for _, name := range []string{"held", "removed", "bounced", "plain"} {
		code, out := swaks(t, a.relay, "--from", "cron@example.com", "--to", name+"@example.com", "--header",
			"Subject: "+name)
		if code != 0 {
			t.Fatalf("refused:\n%s", out)
		}
	}
	for line := range strings.Lines(queue("list")) {
		for _, name := range []string{"held", "removed", "bounced", "plain"} {
			if strings.Contains(line, name+"@example.com") {
				ids[name] = strings.Fields(line)[0]
			}
		}
	}
	if len(ids) != 4 {
		t.Fatalf("listed are %v of\n%s", ids, queue("list"))
	}
	if out := queue("show", ids["plain"]); !strings.Contains(out, "Subject: plain") {
		t.Errorf("show says:\n%s", out)
	}
	queue("hold", ids["held"])
	queue("remove", ids["removed"])
	queue("bounce", ids["bounced"])
	a.stop(t)
	b := startAgent(t, dir, relayConfig, data)
	startSink(t, sinkAddr, inbox)
	queue("retry", ids["plain"])
	waitFor(t, 60*time.Second, "the mail and the notification", func() bool { return len(sunk(t, inbox)) == 2 })
	if out := queue("list"); !strings.Contains(out, ids["held"]) || !strings.Contains(out, "held") {
		t.Errorf("the queue is\n%s", out)
	}
	queue("retry", ids["held"])
	waitFor(t, 60*time.Second, "the held mail", func() bool { return len(sunk(t, inbox)) == 3 })
	b.stop(t)
	for _, m := range sunk(t, inbox) {
		if subject := m.Header.Get("Subject"); subject == "removed" || subject == "bounced" {
			t.Errorf("mail %q was delivered", subject)
		}
	}
}

// Two agents cannot have one spool, and a reload under load loses no mail and doubles
// none: one whose client saw the 250 arrives once; one whose client was cut off, at
// most once.
func TestReloadOfTheRelayUnderLoad(t *testing.T) {
	peer(t, "swaks")
	dir := t.TempDir()
	sinkAddr, inbox := freePort(t, "tcp"), filepath.Join(dir, "inbox")
	startSink(t, sinkAddr, inbox)
	a := startAgent(t, dir, relayConfig, map[string]string{"Smarthost": sinkAddr, "Nets": "127.0.0.0/8"})
	var mu sync.Mutex
	accepted := map[string]bool{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for client := range 2 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				subject := fmt.Sprintf("mail %d of client %d", n, client)
				cmd := exec.Command(peer(t, "swaks"), "--server", a.relay, "--from", "cron@example.com", "--to",
					"ops@example.com", "--timeout", "10",
					"--header", "Subject: "+subject)
				if cmd.Run() == nil {
					mu.Lock()
					accepted[subject] = true
					mu.Unlock()
				}
			}
		})
	}
	for range 3 {
		time.Sleep(1500 * time.Millisecond)
		if err := a.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(1500 * time.Millisecond)
	close(stop)
	wg.Wait()
	var arrived map[string]int
	waitFor(t, 30*time.Second, "all accepted mails", func() bool {
		arrived = map[string]int{}
		missing := len(accepted)
		for _, m := range sunk(t, inbox) {
			subject := m.Header.Get("Subject")
			if arrived[subject]++; arrived[subject] == 1 && accepted[subject] {
				missing--
			}
		}
		return missing == 0
	})
	for subject, n := range arrived {
		if n != 1 {
			t.Errorf("%q has arrived %d times", subject, n)
		}
	}
	if len(accepted) == 0 {
		t.Error("no mail was accepted: the test has shown nothing")
	}
	t.Logf("%d mails were accepted, %d have arrived", len(accepted), len(arrived))
	a.stop(t)
}
