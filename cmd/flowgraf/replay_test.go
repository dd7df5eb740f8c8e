package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/exporter"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// sentFlow is a flow as it came over the wire.
type sentFlow struct {
	version  flow.Version
	exporter netip.Addr
	src      netip.Addr
	port     uint16
}

// replayed runs flowgraf replay to a collector on loopback, and returns what it prints
// and what came.
func replayed(t *testing.T, args ...string) (string, []sentFlow) {
	t.Helper()
	out, came, err := replayedWithError(t, args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return out, came
}

// replayedWithError is replayed where the command may end with an error.
func replayedWithError(t *testing.T, args ...string) (string, []sentFlow, error) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadBuffer(8 << 20)
	var out bytes.Buffer
	cmd := newReplayCommand()
	cmd.SetArgs(append([]string{"--to", conn.LocalAddr().String()}, args...))
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	failed := cmd.Execute()
	var came []sentFlow
	dec, buf := collector.NewDecoder(collector.Options{}), make([]byte, 65536)
	for { // all has been sent, and waits in the socket
		conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return out.String(), came, failed
		}
		dec.Decode(collector.Datagram{Exporter: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()),
			Received: time.Now(), Payload: buf[:n]}, collector.Handler{Flow: func(r *flow.Record) {
			came = append(came, sentFlow{r.Version, r.Exporter, r.Src, r.SrcPort})
		}})
	}
}

// replayFiles makes an archive of two files with the idents a and b, and a capture.
func replayFiles(t *testing.T) (dir, capture string) {
	t.Helper()
	dir = t.TempDir()
	for i, ident := range []string{"a", "b"} {
		path := filepath.Join(dir, fmt.Sprintf("nfcapd.20261122120%d", i))
		w, err := nffile.Create(path, nffile.Options{Ident: ident})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 50 {
			r := flow.Record{Exporter: netip.MustParseAddr("127.0.0.9"), Version: flow.V9, Domain: 3, Proto: 6,
				Packets: 1, Bytes: 100, Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"),
				IPVersion: 4, SrcPort: uint16(100*i + n), First: flow.TimeOf(alertAt), Last: flow.TimeOf(alertAt)}
			r.Received = r.Last + flow.Time(i)*60e9
			r.Present = flow.SetOf(flow.Src, flow.Dst)
			if err := w.Append(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	pcaps := t.TempDir()
	p, err := archive.NewPcap(archive.PcapOptions{Dir: pcaps})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Open(); err != nil {
		t.Fatal(err)
	}
	e, err := exporter.New(exporter.Options{Protocol: "v5"})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		b, _ := e.Data(nil, alertAt, e.Flows(10, alertAt))
		p.Add(flow.Datagram{Exporter: netip.MustParseAddrPort("127.0.0.8:2055"), Received: alertAt, Payload: b})
	}
	if err := p.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(pcaps, "pcap.*"))
	return dir, files[0]
}

// TestReplayCommand: what is sent with which options.
func TestReplayCommand(t *testing.T) {
	dir, capture := replayFiles(t)
	first := filepath.Join(dir, "nfcapd.202611221200")
	for _, c := range []struct {
		args    []string
		flows   int
		version flow.Version
		from    string
		out     string
	}{
		{[]string{"-R", dir}, 100, flow.V9, "127.0.0.9", "flows: 100\n"},
		{[]string{"-r", first, "-v", "10"}, 50, flow.IPFIX, "127.0.0.9", "exporters: 1\n"},
		{[]string{"-r", first, "-v", "5", "-S", "own", "-4"}, 50, flow.V5, "127.0.0.1", "flows: 50\n"},
		{[]string{"-r", dir, "-c", "30", "-S", "127.0.0.77"}, 30, flow.V9, "127.0.0.77", "flows: 30\n"},
		{[]string{"-R", first + ":nfcapd.202611221201", "-i", "b", "-d", "10", "src", "port", "<", "105"}, 5, flow.V9,
			"127.0.0.9", "flows: 5\n"},
		{[]string{"-R", dir, "-z", "6000", "--json"}, 100, flow.V9, "127.0.0.9", `"flows":100,`},
		{[]string{"-r", capture}, 40, flow.V5, "127.0.0.8", "datagrams: 4\n"},
		{[]string{"-r", capture, "-c", "2"}, 20, flow.V5, "127.0.0.8", "datagrams: 2\n"},
		{[]string{"-r", capture, "-v", "9"}, 40, flow.V9, "127.0.0.8", "flows: 40\n"},
		{[]string{"-r", capture, "port 0 and proto 99"}, 0, 0, "", "flows: 0\n"},
	} {
		out, came := replayed(t, c.args...)
		if len(came) != c.flows || !strings.Contains(out, c.out) {
			t.Errorf("%q: %d flows came, expected %d\n%s", c.args, len(came), c.flows, out)
			continue
		}
		for _, f := range came {
			if f.version != c.version || f.exporter.String() != c.from {
				t.Errorf("%q: %+v", c.args, f)
				break
			}
		}
	}
	_, came := replayed(t, "-r", first, "-c", "1", "-S", "own", "-K", "abcdefghijklmnopqrstuvwxyz012345")
	if len(came) != 1 || came[0].src == netip.MustParseAddr("10.0.0.1") || came[0].src.As4()[0] != 25 {
		t.Errorf("-K: %+v", came)
	}
}

// TestReplayOfDamaged: what can be read is sent, and the end is no success.
func TestReplayOfDamaged(t *testing.T) {
	dir, capture := replayFiles(t)
	first := filepath.Join(dir, "nfcapd.202611221200")
	for _, c := range []struct {
		path  string
		cut   int64 // off the end
		args  []string
		flows int
		want  string
	}{
		{first, 4, nil, 50, "the file has 150 more"}, {first, 1000, nil, 0, "the appendix should be at"},
		{capture, 5, nil, 30, "behind 3 datagrams"}, {capture, 5, []string{"-v", "9"}, 30, "behind 3 datagrams"},
	} {
		info, err := os.Stat(c.path)
		if err == nil {
			err = os.Truncate(c.path, info.Size()-c.cut)
		}
		if err != nil {
			t.Fatal(err)
		}
		out, came, err := replayedWithError(t, append(c.args, "-r", c.path)...)
		if len(came) != c.flows || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s without %d bytes: %d flows, %v\n%s", filepath.Base(c.path), c.cut, len(came), err, out)
		}
	}
}

// TestReplayOfDamagedDatagrams: a datagram that contradicts itself costs itself, also where
// flows are sent, and is told.
func TestReplayOfDamagedDatagrams(t *testing.T) {
	_, capture := replayFiles(t)
	data, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte{0, 5, 0, 10}) // version and count of NetFlow v5
	if at < 0 {
		t.Fatal("no datagram of ten flows")
	}
	data[at+2] = 0x75
	if err := os.WriteFile(capture, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, came, err := replayedWithError(t, "-r", capture, "-v", "9", "-S", "own", "proto tcp or proto udp or any")
	if len(came) < 30 || err == nil || !strings.Contains(err.Error(), "1 datagrams, sets or records are damaged") {
		t.Errorf("%d flows, %v", len(came), err)
	}
	if out, _ := replayed(t, "-r", capture, "-S", "own"); !strings.Contains(out, "datagrams: 4\n") {
		t.Errorf("byte for byte: %s", out)
	}
}

// What cannot be is refused before anything is sent, and says what was expected.
func TestReplayRefuses(t *testing.T) {
	dir, _ := replayFiles(t)
	for _, c := range []struct{ args, want string }{
		{"", "what is to be sent?"}, {"-r " + dir + " -v 8", "expected 5, 9 or 10"},
		{"-r " + dir + " -p 0", "expected the port of the collector"},
		{"-r " + dir + " -S nobody", "expected keep, domain, own or an address"},
		{"-r " + dir + " -z -1", "expected times the original pace"},
		{"-r " + dir + " --rate -5", "expected flows per second"},
		{"-r " + dir + " -j 127.0.0.1", "expected the address of a multicast group"},
		{"-r " + dir + " -i nosuch", "no file with the ident"}, {"-r " + dir + " -K short", "expected 32"},
		{"-r " + dir + " prot tcp", "prot"}, {"-r " + dir + "/none", "no such file"},
	} {
		if err := commandError(newReplayCommand(), strings.Fields(c.args)...); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, expected %q", c.args, err, c.want)
		}
	}
}
