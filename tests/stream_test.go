package tests

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// streamConfig takes IPFIX over TCP; {{ .TLS }} is options.
const streamConfig = `
[agent]
  interval = "500ms"
  flush_interval = "200ms"
  omit_hostname = true
[[inputs.netflow]]
  service_address = "tcp4://{{ .Relay }}"
{{ .TLS }}
  metrics = ["flows", "options", "exporters", "datagrams"]
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  influx_uint_support = true
  namedrop = ["netflow_datagram"]
[[outputs.nfdump]]
  directory = "{{ .Dir }}/archive"
  namepass = ["netflow_datagram"]
`

// IPFIX over TCP, from two exporters behind one address that use one template id for
// different layouts: every flow is in the metrics and in the files, and a third
// connection that speaks no IPFIX is closed and counted.
func TestIPFIXOverTCP(t *testing.T) {
	nfdump := peer(t, "nfdump")
	a := startAgent(t, t.TempDir(), streamConfig, map[string]string{"TLS": ""})
	first, second := newExporterBooks(t, "tcp", a.relay), newExporterBooks(t, "tcp", a.relay)
	var err error
	if second.data, err = ipfix.NewTemplate(256,
		[]ipfix.FieldSpec{{ID: 2, Length: 8}, {ID: 1, Length: 8}, {ID: 12, Length: 4},
			{ID: 8, Length: 4}}); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*exporterBooks{first, second} {
		x.tell()
		x.send(50)
		x.tell()
	}
	bad, err := net.Dial("tcp", a.relay)
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	if _, err := bad.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	metrics := filepath.Join(a.dir, "metrics")
	want := int(first.flows + second.flows)
	waitFor(t, 20*time.Second, "the flows", func() bool { return len(points(t, metrics, "netflow")) >= want })
	waitFor(t, 20*time.Second, "the closed connection",
		func() bool { p, _ := latest(t, metrics, "listener"); return p.uint("connections_failed") == 1 })
	waitFor(t, 20*time.Second, "the counters", func() bool {
		p, _ := latest(t, metrics, "domain")
		return p.uint("datagrams") == first.messages+second.messages
	})
	port, _ := latest(t, metrics, "listener")
	domain, _ := latest(t, metrics, "domain")
	if port.uint("connections") != 2 || port.uint("connections_accepted") < 3 {
		t.Errorf("the port: %v", port.fields)
	}
	if domain.tags["transport"] != "tcp" || domain.uint("sequence_lost")+domain.uint("sequence_restarts")+
		domain.uint("exporter_flows_lost") != 0 {
		t.Errorf("the domain: %v %v", domain.tags, domain.fields)
	}
	a.stop(t)
	if got := len(points(t, metrics, "netflow")); got != want {
		t.Errorf("%d flows became metrics, want %d", got, want)
	}
	for _, p := range points(t, metrics, "netflow") {
		if p.uint("in_bytes") != 1000 || p.uint("in_packets") != 1 {
			t.Fatalf("a flow by the other's template: %v", p.fields)
		}
	}
	if flows, _, _ := nfdumpSums(t, nfdump, filepath.Join(a.dir, "archive")); flows != uint64(want) {
		t.Errorf("%d flows in the archive, want %d", flows, want)
	}
}

// certificates makes an authority and certificates of a server and of an exporter.
func certificates(t *testing.T, openssl string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	outputOf(t, openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		"-subj", "/CN=authority", "-keyout", file("ca.key"), "-out", file("ca.pem"))
	for _, name := range []string{"server", "exporter"} {
		outputOf(t, openssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
			"-subj", "/CN="+name,
			"-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", file(name+".key"), "-out",
			file(name+".csr"))
		outputOf(t, openssl, "x509", "-req", "-days", "2", "-in", file(name+".csr"), "-CA", file("ca.pem"), "-CAkey",
			file("ca.key"),
			"-CAcreateserial", "-copy_extensions", "copy", "-out", file(name+".pem"))
	}
	return dir
}

// sendTLS lets openssl s_client send bytes to an address; it ends a second later.
func sendTLS(t *testing.T, openssl, addr, authority string, b []byte, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, openssl,
		append([]string{"s_client", "-connect", addr, "-quiet", "-no_ign_eof", "-CAfile", authority}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = in.Write(b) // the collector may have closed the connection
	time.Sleep(time.Second)
	in.Close()
	_ = cmd.Wait()
	if ctx.Err() != nil {
		t.Fatal("openssl s_client did not end")
	}
}

// IPFIX over TLS from openssl s_client with a certificate that the collector asks
// for; without one, and in plain text, the connection is refused and counted.
func TestIPFIXOverTLS(t *testing.T) {
	openssl := peer(t, "openssl")
	dir := certificates(t, openssl)
	file := func(name string) string { return filepath.Join(dir, name) }
	options := `  tls_cert = "` + file("server.pem") + `"
  tls_key = "` + file("server.key") + `"
  tls_allowed_cacerts = ["` + file("ca.pem") + `"]
`
	a := startAgent(t, t.TempDir(), streamConfig, map[string]string{"TLS": options})
	metrics := filepath.Join(a.dir, "metrics")
	var x bytes.Buffer
	books := newExporterBooksOn(t, &x)
	books.tell()
	books.send(100)
	own := []string{"-verify_return_error", "-cert", file("exporter.pem"), "-key", file("exporter.key")}
	sendTLS(t, openssl, a.relay, file("ca.pem"), x.Bytes(), own...)
	waitFor(t, 20*time.Second, "the flows",
		func() bool { return len(points(t, metrics, "netflow")) >= int(books.flows) })
	sendTLS(t, openssl, a.relay, file("ca.pem"), x.Bytes()) // without a certificate
	plain, err := net.Dial("tcp", a.relay)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_, _ = plain.Write(x.Bytes())
	waitFor(t, 20*time.Second, "the refusals",
		func() bool { p, _ := latest(t, metrics, "listener"); return p.uint("connections_failed") >= 2 })
	a.stop(t)
	if got := len(points(t, metrics, "netflow")); got != int(books.flows) {
		t.Errorf("%d flows became metrics, want %d", got, books.flows)
	}
	if n := strings.Count(a.out.String(), "handshake"); n != 1 {
		t.Errorf("%d lines about handshakes:\n%s", n, a.out.String())
	}
}

// flowgraf check knows the port: one in use, certificates that are not there.
func TestCheckOfTCP(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "telegraf.conf")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct{ address, tls, want string }{
		{"tcp4://" + l.Addr().String(), "", "address already in use"},
		{"tcp4://" + freePort(t, "tcp"), `tls_cert = "nowhere"` + "\n" + `tls_key = "nowhere"`, "nowhere"},
		{"tcp4://" + freePort(t, "tcp"), "", ""},
	} {
		text := "[[inputs.netflow]]\nservice_address = \"" + c.address + "\"\n" + c.tls + "\n[[outputs.file]]\n"
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p := start(t, flowgraf, "check", "--config", conf)
		<-p.done
		if (p.err == nil) != (c.want == "") || !strings.Contains(p.out.String(), c.want) {
			t.Errorf("%s: %v\n%s", c.address, p.err, p.out.String())
		}
	}
}
