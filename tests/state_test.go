package tests

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// stateConfig keeps a state file; the archive, where {{ .Archive }} has one, comes
// later.
const stateConfig = `
[agent]
  interval = "500ms"
  flush_interval = "200ms"
  omit_hostname = true
[[inputs.netflow]]
  service_address = "udp4://{{ .Flows }}"
  state_file = "{{ .Dir }}/state"
  metrics = ["flows", "options", "exporters", "datagrams"]
[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  influx_uint_support = true
  namedrop = ["netflow_datagram"]
{{ .Archive }}
`

// router is an exporter of IPFIX whose templates, sampling rate and interface names
// come once, at its start.
type router struct {
	t    *testing.T
	conn net.Conn
	e    ipfix.Encoder
	data *ipfix.Template
}

func newRouter(t *testing.T, addr string) *router {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &router{t: t, conn: conn, e: ipfix.Encoder{Domain: 1}}
	if r.data, err = ipfix.NewTemplate(256, []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4},
		{ID: 1, Length: 8}, {ID: 2, Length: 8}, {ID: 10, Length: 4}}); err != nil {
		t.Fatal(err)
	}
	return r
}

// write sends one message.
func (r *router) write(fill func()) {
	r.t.Helper()
	r.e.Begin(nil, flow.TimeOf(time.Now()))
	fill()
	if _, err := r.conn.Write(r.e.End()); err != nil {
		r.t.Fatal(err)
	}
}

// start sends templates and options.
func (r *router) start() {
	r.t.Helper()
	names, err := ipfix.NewOptionsTemplate(300,
		[]ipfix.FieldSpec{{ID: 10, Length: 4, Scope: true}, {ID: 82, Length: 8}})
	if err != nil {
		r.t.Fatal(err)
	}
	rates, err := ipfix.NewOptionsTemplate(301,
		[]ipfix.FieldSpec{{ID: 149, Length: 4, Scope: true}, {ID: 305, Length: 4}, {ID: 306, Length: 4}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(func() {
		r.e.AddTemplates(r.data, names, rates)
		r.e.AddOptions(names, []flow.OptionRecord{{Scope: []flow.Element{{ID: 10, Value: []byte{0, 0, 0, 3}}},
			Fields: []flow.Element{{ID: 82, Value: []byte("xe-0/0/3")}}}})
		r.e.AddOptions(rates, []flow.OptionRecord{{Scope: []flow.Element{{ID: 149, Value: []byte{0, 0, 0, 1}}},
			Fields: []flow.Element{{ID: 305, Value: []byte{0, 0, 0, 1}}, {ID: 306, Value: []byte{0, 0, 1, 0xff}}}}})
	})
}

// flow sends one flow.
func (r *router) flow(bytes uint64) {
	r.t.Helper()
	r.write(func() { r.e.AddData(r.data, []flow.Record{{Bytes: bytes, Packets: 1, Input: 3}}) })
}

// An agent is killed with kill -9 soon after an exporter has told its templates,
// sampling rate and interface names. After the restart the first datagram of data
// becomes a flow with all of them, and nothing waits for a template.
func TestStateSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	values := map[string]string{"Archive": "", "Flows": freePort(t, "udp")}
	a := startAgent(t, dir, stateConfig, values)
	x := newRouter(t, a.flows)
	x.start()
	x.flow(1)
	state := filepath.Join(dir, "state")
	waitFor(t, 20*time.Second, "the state file", func() bool {
		b, err := os.ReadFile(state)
		return err == nil && strings.Count(string(b), "\n") >= 3
	})
	a.kill()
	a = startAgent(t, dir, stateConfig, values)
	x.flow(2)
	metrics := filepath.Join(dir, "metrics")
	var got point
	waitFor(t, 20*time.Second, "the flow", func() bool {
		for _, p := range points(t, metrics, "netflow") {
			if p.uint("in_bytes") == 2 {
				got = p
			}
		}
		return got.fields != nil
	})
	if got.uint("sampling_rate") != 512 || got.uint("scaled_bytes") != 1024 || got.str("in_interface") != "xe-0/0/3" {
		t.Errorf("after the kill: %v", got.fields)
	}
	waitFor(t, 20*time.Second, "the counters",
		func() bool { p, _ := latest(t, metrics, "domain"); return p.uint("datagrams") == 1 })
	if p, _ := latest(t, metrics, "domain"); p.uint("sets_without_template") != 0 {
		t.Errorf("a set waited: %v", p.fields)
	}
	a.kill()

	// A file that is cut or damaged costs what it no longer tells, and is counted.
	b, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string][]byte{"cut": b[:len(b)-20], "no state": []byte("[agent]\n"), "empty": {}} {
		if err := os.WriteFile(state, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(metrics); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		a = startAgent(t, dir, stateConfig, values)
		waitFor(t, 20*time.Second, "the counter of a file that is "+what,
			func() bool { p, _ := latest(t, metrics, "listener"); return p.uint("state_errors") == 1 })
		if !strings.Contains(a.out.String(), state) {
			t.Errorf("%s: the log does not name the file:\n%s", what, a.out.String())
		}
		a.kill()
	}
}

// An archive that starts long after the exporter sent its templates has every flow
// from then on: the input sends it what it knows.
func TestArchiveThatStartsLaterLosesNothing(t *testing.T) {
	nfdump := peer(t, "nfdump")
	dir := t.TempDir()
	values := map[string]string{"Archive": "", "Flows": freePort(t, "udp")}
	a := startAgent(t, dir, stateConfig, values)
	x := newRouter(t, a.flows)
	x.start()
	x.flow(1)
	metrics := filepath.Join(dir, "metrics")
	waitFor(t, 20*time.Second, "the flow", func() bool { return len(points(t, metrics, "netflow")) == 1 })
	a.stop(t)
	values["Archive"] = `[[outputs.nfdump]]
  directory = "` + dir + `/archive"
  namepass = ["netflow_datagram"]
`
	a = startAgent(t, dir, stateConfig, values)
	for i := range uint64(100) {
		x.flow(1000 + i)
	}
	waitFor(t, 20*time.Second, "the flows", func() bool { return len(points(t, metrics, "netflow")) == 101 })
	a.stop(t)
	if flows, _, _ := nfdumpSums(t, nfdump, filepath.Join(dir, "archive")); flows != 100 {
		t.Errorf("%d flows in the archive, want 100", flows)
	}
}
