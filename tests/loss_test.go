package tests

import (
	"encoding/binary"
	"flag"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// lossMessages is how many messages are sent at once: go test ./tests -run Loss
// -messages 500000.
var lossMessages = flag.Int("messages", 20000, "how many IPFIX messages are sent as fast as possible")

// exporterBooks is an exporter of IPFIX that tells what it has sent (elements 41
// and 42).
type exporterBooks struct {
	t        *testing.T
	conn     io.Writer
	e        ipfix.Encoder
	data     *ipfix.Template
	books    *ipfix.Template
	messages uint64
	flows    uint64
}

func newExporterBooks(t *testing.T, network, addr string) *exporterBooks {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newExporterBooksOn(t, conn)
}

func newExporterBooksOn(t *testing.T, conn io.Writer) *exporterBooks {
	t.Helper()
	x := &exporterBooks{t: t, conn: conn, e: ipfix.Encoder{Domain: 42}}
	var err error
	x.data, err = ipfix.NewTemplate(256, []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 1, Length: 8},
		{ID: 2, Length: 8}, {ID: 152, Length: 8}, {ID: 153, Length: 8}})
	if err != nil {
		t.Fatal(err)
	}
	x.books, err = ipfix.NewOptionsTemplate(257,
		[]ipfix.FieldSpec{{ID: 144, Length: 4, Scope: true}, {ID: 41, Length: 8}, {ID: 42, Length: 8}})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// write sends one message.
func (x *exporterBooks) write(fill func()) {
	x.t.Helper()
	x.e.Begin(nil, flow.TimeOf(time.Now()))
	fill()
	x.messages++
	if _, err := x.conn.Write(x.e.End()); err != nil {
		x.t.Fatal(err)
	}
}

// tell sends the templates and what has been sent so far.
func (x *exporterBooks) tell() {
	x.t.Helper()
	count := func(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
	x.write(func() {
		x.e.AddTemplates(x.data, x.books)
		x.e.AddOptions(x.books, []flow.OptionRecord{{Scope: []flow.Element{{ID: 144, Value: []byte{0, 0, 0, 1}}},
			Fields: []flow.Element{{ID: 41, Value: count(x.messages)}, {ID: 42, Value: count(x.flows)}}}})
	})
}

// send sends messages of flows as fast as possible.
func (x *exporterBooks) send(messages int) {
	x.t.Helper()
	now := flow.TimeOf(time.Now())
	recs := make([]flow.Record, 20)
	for i := range recs {
		recs[i] = flow.Record{Src: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}),
			Dst: netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), Bytes: 1000, Packets: 1, First: now, Last: now}
	}
	for range messages {
		x.write(func() { x.flows += uint64(x.e.AddData(x.data, recs)) })
	}
}

// lossConfig gives the kernel a receive buffer that must overflow.
const lossConfig = `
[agent]
  interval = "500ms"
  flush_interval = "200ms"
  metric_buffer_limit = 50000000
  omit_hostname = true
[[inputs.netflow]]
  service_address = "udp4://{{ .Flows }}"
  read_buffer_size = "64KiB"
  metrics = ["exporters"]
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  influx_uint_support = true
`

// latest returns the newest netflow_exporter of a domain, or of the listener.
func latest(t *testing.T, file, tag string) (last point, ok bool) {
	t.Helper()
	for _, p := range points(t, file, "netflow_exporter") {
		if p.tags[tag] != "" {
			last, ok = p, true
		}
	}
	return last, ok
}

// An exporter sends as fast as it can to a collector whose receive buffer is small.
// What the kernel says it dropped, what the sequence numbers say is missing, and
// what the exporter says it has sent agree with what was sent and received; and the
// log says once what helps.
func TestLossSeenFromThreeSidesAgrees(t *testing.T) {
	a := startAgent(t, t.TempDir(), lossConfig, nil)
	metrics := filepath.Join(a.dir, "metrics")
	x := newExporterBooks(t, "udp", a.flows)
	x.tell()
	waitFor(t, 20*time.Second, "the first books",
		func() bool { p, ok := latest(t, metrics, "domain"); return ok && p.uint("datagrams") == 1 })
	x.send(*lossMessages)
	time.Sleep(500 * time.Millisecond) // until the socket has room again
	x.tell()
	waitFor(t, 20*time.Second, "the last books", func() bool {
		p, _ := latest(t, metrics, "domain")
		return p.uint("exporter_datagrams") == x.messages-1
	})
	a.stop(t)

	domain, _ := latest(t, metrics, "domain")
	port, _ := latest(t, metrics, "listener")
	lost := x.messages - domain.uint("datagrams")
	if lost == 0 {
		t.Skip("the kernel dropped nothing")
	}
	if got := port.uint("kernel_drops"); got != lost {
		t.Errorf("the kernel says %d datagrams were dropped, %d are missing", got, lost)
	}
	if got := domain.uint("exporter_datagrams_lost"); got != lost {
		t.Errorf("by the exporter's books %d datagrams are lost, %d are missing", got, lost)
	}
	flows := x.flows - domain.uint("flows")
	if got := domain.uint("sequence_lost"); got != flows {
		t.Errorf("by the sequence %d records are lost, %d are missing", got, flows)
	}
	if got := domain.uint("exporter_flows_lost"); got != flows {
		t.Errorf("by the exporter's books %d flows are lost, %d are missing", got, flows)
	}
	if n := strings.Count(a.out.String(), "datagrams, as the receive buffer"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, a.out.String())
	}
	t.Logf("%d messages sent, %d dropped; %d flows sent, %d lost in %d gaps", x.messages, lost, x.flows, flows,
		domain.uint("sequence_gaps"))
}
