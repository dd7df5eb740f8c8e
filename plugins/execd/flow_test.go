package execd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf/models"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/exporter"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	_ "github.com/flowgraf/flowgraf/plugins/inputs/netflow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// generated returns datagrams with n flows.
func generated(t testing.TB, protocol string, mix exporter.Mix, n int) (list [][]byte) {
	t.Helper()
	e, err := exporter.New(exporter.Options{Protocol: protocol, Mix: mix, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for range 3 { // three layouts in turn
		if b := e.Templates(nil, now); len(b) > 0 {
			list = append(list, b)
		}
	}
	for recs := e.Flows(n, now); len(recs) > 0; {
		b, sent := e.Data(nil, now, recs)
		list, recs = append(list, b), recs[sent:]
	}
	return list
}

// traffic is what is written as lines: all protocols, what other tests decode, and what
// real exporters have sent, where that is here.
func traffic(t testing.TB) map[string][][]byte {
	all := map[string][][]byte{
		"v1 and v7": decodingtest.V1V7(), "packets": decodingtest.SFlow(), "events": decodingtest.Events(t),
		"totals": decodingtest.Totals(t), "both ways": decodingtest.BothWays(t), "ports": decodingtest.VMware(t),
		"names": decodingtest.V9(t),
	}
	for _, protocol := range []string{"v1", "v5", "v7", "v9", "ipfix", "vmware", "sflow"} {
		for _, mix := range []exporter.Mix{exporter.Plain, exporter.Realistic} {
			all[fmt.Sprintf("%s, %s", protocol, mix)] = generated(t, protocol, mix, 100)
		}
	}
	files, _ := filepath.Glob(filepath.Join(peers.Samples("flows"), "*.dat"))
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/influxdata/telegraf").Output()
	if err == nil {
		stock, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(module)),
			"plugins/inputs/netflow/testcases/*/*.bin"))
		files = append(files, stock...)
	}
	family := regexp.MustCompile(`_(data|tpl|opttpl).*`)
	for range 2 { // templates first
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := family.ReplaceAllString(filepath.Base(file), "")
			for _, name := range []string{"captured", "captured " + name} { // all in one, and each by itself
				all[name] = append(all[name], b)
			}
		}
	}
	return all
}

// metricOptions are the options of a metric, each with what it does to lines.
func metricOptions(t *testing.T) map[string]flowmetric.Options {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pen.csv")
	rows := "9.12235,odd name=\\,string\n2636.137,also,hex\n6876.880,tenant,hex\n"
	if err := os.WriteFile(file, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	pen, err := flowmetric.LoadPEN(file)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]flowmetric.Options{
		"none":  {},
		"stock": {Stock: true},
		"tags": {FlowTags: []string{"protocol", "src", "dst_port", "direction", "tcp_flags", "in_snmp", "in_interface",
			"app_name", "in_src_mac"}},
		"the first tags": {FlowTags: []string{"flow_start", "flow_end", "sampling_rate", "sampling_source", "in_bytes",
			"exporter", "icmp_type", "scaled_bytes"}},
		"elements": {PEN: pen, ExtraFields: []string{"applicationName", "6876/virtualObsID", "type_4711",
			"flowStartSysUpTime", "basicList", "subTemplateList", "subTemplateMultiList", "octetDeltaCount",
			"sourceMacAddress"}},
	}
}

// twin makes lines of flows, and the lines of their metrics.
type twin struct {
	asMetric, asLine *flowmetric.Builder
	input            *models.RunningInput
	got, want        []byte
}

func newTwin(t *testing.T, o flowmetric.Options) *twin {
	t.Helper()
	tags := map[string]string{"site": "Kraków, north", "a=b": `back\`, "zone": `\`, "version": "mine", "direction": "?",
		"empty": "", `\`: "x"}
	b := &twin{input: models.NewRunningInput(&ticking{}, &models.InputConfig{Name: "ticking"})}
	var err error
	if b.asMetric, err = flowmetric.NewBuilder(o); err != nil {
		t.Fatal(err)
	}
	b.asLine, _ = flowmetric.NewBuilder(o)
	b.asLine.SetLineTags(tags)
	b.input.SetDefaultTags(tags)
	return b
}

// compare fails unless both lines of a flow are the same.
func (b *twin) compare(t *testing.T, what string, r *flow.Record) {
	t.Helper()
	at := time.Unix(1_700_000_000, 123)
	b.got = b.asLine.AppendFlow(b.got[:0], r, at)
	b.want = b.want[:0]
	if m := b.input.MakeMetric(b.asMetric.Flow(r, at)); m != nil { // it has fields
		b.want = AppendMetric(b.want, m)
	}
	if string(b.got) != string(b.want) {
		t.Fatalf("%s:\ngot  %s\nwant %s", what, b.got, b.want)
	}
}

// The line of a flow is the line of its metric, to the byte, whatever the flow, the
// options and the tags of the configuration; and it is made without an allocation.
func TestFlowIsWrittenAsItsMetric(t *testing.T) {
	lines := 0
	all := traffic(t)
	for option, o := range metricOptions(t) {
		for name, datagrams := range all {
			b := newTwin(t, o)
			d := collector.NewDecoder(collector.Options{SplitBiflows: !o.Stock})
			for _, payload := range datagrams {
				_ = d.Decode(decodingtest.Received(payload), collector.Handler{Flow: func(r *flow.Record) {
					lines++
					b.compare(t, name+", option "+option, r)
				}}) // of some captured ones not all can be decoded
			}
		}
	}
	if lines < 5*14*100 {
		t.Errorf("compared were %d lines only", lines)
	}
}

// The same of records of any elements, in any order and more than once, with and without
// a value, of fitting and other lengths, and with names.
func TestRecordIsWrittenAsItsMetric(t *testing.T) {
	lines, dice := 0, rand.New(rand.NewPCG(16, 29))
	values := func(n int) []byte {
		b := make([]byte, n)
		if kind := dice.IntN(3); kind > 0 {
			for i := range b {
				b[i] = byte(dice.Uint32()) >> (7 * (kind - 1)) // any, or 0 and 1
			}
		}
		return b
	}
	for option, o := range metricOptions(t) {
		b := newTwin(t, o)
		for range 1500 {
			fields, data := anyTemplate(dice), []byte(nil)
			for _, f := range fields {
				data = append(data, values(int(f.Length))...)
			}
			tmpl, err := ipfix.NewTemplate(256, fields)
			if err != nil {
				continue
			}
			var r flow.Record
			d := ipfix.RecordDecoder{Uptime: &ipfix.Uptime{}}
			d.Base.Version, d.Base.Exported = flow.IPFIX, 1767323044e9
			if _, err := d.Decode(tmpl, &r, data); err != nil {
				continue
			}
			if dice.IntN(3) == 0 {
				r.Names = &flow.Names{App: "a \"b\"\n", Input: `x\`, User: "=,", Port: uint16(dice.UintN(2))}
			}
			lines++
			b.compare(t, fmt.Sprintf("%v, option %s", fields, option), &r)
		}
	}
	if lines < 2500 {
		t.Errorf("compared were %d lines only", lines)
	}
}

// anyTemplate returns some elements, of which a few come again.
func anyTemplate(dice *rand.Rand) (fields []ipfix.FieldSpec) {
	vendors := []ipfix.FieldSpec{{PEN: 12235, ID: 9}, {PEN: 2636, ID: 137}, {PEN: 6876, ID: 880}, {PEN: 6876, ID: 890},
		{PEN: 29305, ID: 1}, {PEN: 29305, ID: 4}, {PEN: 9, ID: 9000}}
	for range 1 + dice.IntN(20) {
		var f ipfix.FieldSpec
		switch n := len(fields); {
		case n > 0 && dice.IntN(5) == 0:
			f = fields[dice.IntN(n)]
		case dice.IntN(5) == 0:
			f = vendors[dice.IntN(len(vendors))]
		default:
			f.ID = uint16(1 + dice.IntN(500))
		}
		f.Length = []uint16{1, 2, 4, 4, 6, 8, 8, 16}[dice.IntN(8)]
		fields = append(fields, f)
	}
	return fields
}

// A flow all of whose fields are tags has no line, as it has none as a metric.
func TestFlowOfTagsAlone(t *testing.T) {
	b := newTwin(t, flowmetric.Options{FlowTags: []string{
		"flow_start", "flow_end", "sampling_rate", "sampling_source"}})
	if b.compare(t, "no field", &flow.Record{}); len(b.got) > 0 {
		t.Errorf("got %s", b.got)
	}
}

// An exporter need not have an address of a file: link-local ones have a zone.
func TestLineOfAZone(t *testing.T) {
	b, err := flowmetric.NewBuilder(flowmetric.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &flow.Record{}
	r.Exporter, r.Version = netip.MustParseAddr("fe80::1%eth 0"), flow.V9
	want := AppendMetric(nil, b.Flow(r, time.Unix(1, 0)))
	if got := b.AppendFlow(nil, r, time.Unix(1, 0)); string(got) != string(want) ||
		!strings.HasPrefix(string(got), `netflow,source=fe80::1%eth\ 0,version=NetFlowV9 `) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFlowDoesNotAllocate(t *testing.T) {
	for _, protocol := range []string{"v5", "v9", "ipfix", "vmware", "sflow"} {
		b, err := flowmetric.NewBuilder(flowmetric.Options{FlowTags: []string{"src", "protocol", "in_snmp"}})
		if err != nil {
			t.Fatal(err)
		}
		var line []byte
		h := collector.Handler{Flow: func(r *flow.Record) { line = b.AppendFlow(line[:0], r, time.Unix(1, 0)) }}
		var list []collector.Datagram
		for _, payload := range generated(t, protocol, exporter.Realistic, 500) {
			list = append(list, decodingtest.Received(payload))
		}
		d := collector.NewDecoder(collector.Options{})
		all := func() {
			for _, dg := range list {
				if err := d.Decode(dg, h); err != nil {
					t.Fatal(err)
				}
			}
		}
		all()
		if n := testing.AllocsPerRun(100, all); n > 5 { // of 500 flows
			t.Errorf("%s: %.0f allocations for 500 flows", protocol, n)
		}
	}
}

// received returns the lines of flows that the input writes for datagrams, without their
// times, in order. The table's further options come behind it.
func received(t *testing.T, datagrams [][]byte, flows int, options string) []string {
	t.Helper()
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().String()
	free.Close()
	c := load(t, fmt.Sprintf("[global_tags]\n  site = \"a b\"\n[[inputs.netflow]]\n"+
		"  service_address = \"udp4://%s\"\n%s", address, options))
	var out safeBuffer
	stdin, done := start(context.Background(), c, &out, Options{BatchInterval: time.Millisecond})
	defer stdin.Close()
	conn, err := net.Dial("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ports := regexp.MustCompile(`(?m)^netflow,[^\n]*? \d{19}$`)
	clock := regexp.MustCompile(` \d{19}$`)
	var lines []string
	eventually(t, "the input's port", func() bool {
		_, _ = conn.Write(datagrams[0]) // templates, as often as it takes
		_, err := conn.Write(datagrams[0])
		return err == nil
	})
	for _, b := range datagrams {
		_, _ = conn.Write(b)
		time.Sleep(time.Millisecond) // as many as the buffer of the socket holds
	}
	eventually(t, "all flows", func() bool {
		lines = ports.FindAllString(out.String(), -1)
		return len(lines) >= flows
	})
	stdin.Close()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	for i := range lines {
		lines[i] = clock.ReplaceAllString(lines[i], "")
	}
	slices.Sort(lines)
	return lines
}

// Of one configuration the input writes lines, of the other metrics: whatever has to see
// metrics gets them.
func TestInputWritesLinesWhereNothingSeesMetrics(t *testing.T) {
	datagrams := generated(t, "v9", exporter.Realistic, 500)
	direct := received(t, datagrams, 500, "  [inputs.netflow.tags]\n    room = \"1\"\n")
	filtered := received(t, datagrams, 500, "  namepass = [\"netflow*\"]\n  [inputs.netflow.tags]\n    room = \"1\"\n")
	if !slices.Equal(direct, filtered) {
		t.Errorf("got  %s\nwant %s", direct[0], filtered[0])
	}
	if !strings.HasPrefix(direct[0], `netflow,room=1,site=a\ b,source=127.0.0.1,version=NetFlowV9 `) {
		t.Errorf("got %s", direct[0])
	}
}

// What asks for more than a line can give has its metrics.
func TestLinesAreNotTaken(t *testing.T) {
	table := "[[inputs.netflow]]\n  service_address = \"udp4://127.0.0.1:0\"\n"
	for options, want := range map[string]bool{
		"": true, "  [inputs.netflow.tags]\n    a = \"b\"\n": true, "  namedrop = [\"x\"]\n": false,
		"  fieldexclude = [\"tcp_flags\"]\n": false, "  taginclude = [\"source\"]\n": false,
		"  metricpass = \"true\"\n":     false,
		"  name_override = \"flows\"\n": false, "  name_prefix = \"a_\"\n": false, "  name_suffix = \"_b\"\n": false,
		"  precision = \"1s\"\n": false,
	} {
		c := load(t, table+options)
		acc := &accumulator{lines: newLineSink(nil, c, c.Inputs[0])}
		if _, ok := acc.LineTags(); ok != want {
			t.Errorf("%q: lines are taken: %v, want %v", options, ok, want)
		}
	}
}

func BenchmarkAppendFlow(b *testing.B) {
	for _, protocol := range []string{"v5", "v9", "ipfix"} {
		b.Run(protocol, func(b *testing.B) {
			builder, err := flowmetric.NewBuilder(flowmetric.Options{})
			if err != nil {
				b.Fatal(err)
			}
			var records []*flow.Record
			d := collector.NewDecoder(collector.Options{})
			for _, payload := range generated(b, protocol, exporter.Realistic, 100) {
				_ = d.Decode(decodingtest.Received(payload), collector.Handler{Flow: func(r *flow.Record) {
					c := *r
					c.Extra = slices.Clone(r.Extra)
					for i := range c.Extra {
						c.Extra[i].Value = slices.Clone(c.Extra[i].Value)
					}
					records = append(records, &c)
				}})
			}
			buf := make([]byte, 0, 1<<20)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if len(buf) > 60000 {
					buf = buf[:0]
				}
				buf = builder.AppendFlow(buf, records[n%len(records)], time.Unix(1_700_000_000, 5))
				n++
			}
		})
	}
}
