package flowmetric

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// builder returns a Builder.
func builder(t testing.TB, o Options) *Builder {
	t.Helper()
	b, err := NewBuilder(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// record returns a flow with the given fields present.
func record(version flow.Version, fields ...flow.Field) *flow.Record {
	r := &flow.Record{Version: version, Exporter: netip.MustParseAddr("192.0.2.9"), First: flow.Milli(1000),
		Last: flow.Milli(2500)}
	for _, f := range fields {
		r.Present.Add(f)
	}
	return r
}

func TestTablesAreCurrent(t *testing.T) {
	f, err := os.Open("stock.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]int{}
	for _, row := range rows[1:] {
		id, _ := strconv.Atoi(row[0])
		if got := lookup(uint16(id))[seen[id]]; got.name != row[1] {
			t.Errorf("element %d: the table says %q, stock.csv %q: run go generate", id, got.name, row[1])
		}
		seen[id]++
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		kind  kind
		bytes string
		want  any
	}{
		{kindUint, "", uint64(0)}, {kindUint, "ff", uint64(255)}, {kindUint, "010000", uint64(65536)},
		{kindUint, "ffffffffffffffff", uint64(math.MaxUint64)}, {kindUint, "000000000000000001", nil},
		{kindInt, "ff", int64(-1)}, {kindInt, "ffff7f", int64(-129)}, {kindHex, "", ""}, {kindHex, "00ab", "0x00ab"},
		{kindString, "616200", "ab"}, {kindString, "", ""}, {kindString, "61ff", "a\uFFFD"},
		{kindIP, "c0000201", "192.0.2.1"}, {kindIP, "20010db8000000000000000000000001", "2001:db8::1"},
		{kindIP, "c00002", nil},
		{kindIP, "00000000000000000000ffffc0000201", "192.0.2.1"}, {kindMAC, "0a0b0c0d0e0f", "0a:0b:0c:0d:0e:0f"},
		{kindProto, "06", "tcp"}, {kindProto, "c8", "200"}, {kindProto, "", nil},
		{kindFloat32, "3fc00000", 1.5}, {kindFloat64, "3ff8000000000000", 1.5}, {kindFloat64, "3ff8", nil},
		{kindBool, "01", true}, {kindBool, "02", false}, {kindBool, "07", uint64(7)}, {kindBool, "", nil},
		{kindByte0, "0803", uint64(8)}, {kindByte1, "0803", uint64(3)}, {kindByte0, "08", uint64(0)},
		{kindByte1, "08", uint64(8)},
		{kindByte0, "00000803", uint64(8)}, {kindByte1, "00000803", uint64(3)}, {kindFwdStatus, "00000082", "dropped"},
		{kindProto, "000011", "udp"},
		{kindTCPFlags, "18", "...AP..."}, {kindTCPFlags, "0112", ".......*...A..S."}, {kindTCPFlags, "", ""},
		{kindFragmentFlags, "60", ".DM....."}, {kindEngineType, "01", "VIP/linecard"}, {kindEngineType, "13", "19"},
		{kindIPVersion, "04", "IPv4"}, {kindIPVersion, "05", "5"}, {kindDirection, "01", "egress"},
		{kindFwdStatus, "40", "forwarded"}, {kindFwdReason, "42", "not fragmented"}, {kindFwdReason, "43", "invalid"},
		{kindFwEvent, "02", "flow deleted"}, {kindFlowEndReason, "03", "end of flow"},
		{kindFlowEndReason, "99", "unassigned"},
		{kindSampleAlgo, "02", "random"}, {kindSampleAlgo, "00", "0"}, {kindMPLSType, "05", "LDP"},
		{kindNATType, "0001", "NAT44"}, {kindNATType, "01", "NAT44"},
		{kindSelectorAlgo, "0003", "random n-out-of-N sampling"},
		{kindTechnology, "796573", "yes"}, {kindTechnology, "02", "no"}, {kindTechnology, "09", "undefined"},
		{kindAnonFlags, "0c00", "PmA,LOR"}, {kindAnonStabilityClass, "0003", "stable"},
		{kindAnonStabilityClass, "00", nil},
		{kindIPv4Options, "00400003", "EOOL,NOP,UA22"}, {kindIPv4Options, "01", nil},
		{kindDatalinkFrameType, "0001", "IEEE802.3 ethernet"},
		{kindObservationPointType, "03", "vlan"}, {kindCaptureTimeSemantics, "04", "average"}, {kindNone, "01", nil},
	} {
		b, err := hex.DecodeString(c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		var cache cache
		for range 2 { // the second time with what the first has left
			if got := cache.value(c.kind, b); got != c.want {
				t.Errorf("kind %d of %q: got %v (%T), want %v (%T)", c.kind, c.bytes, got, got, c.want, c.want)
			}
		}
	}
}

// TestNoKindPanics gives every kind bytes of every length.
func TestNoKindPanics(t *testing.T) {
	var c cache
	for k := kindNone; k <= kindUUID; k++ {
		for n := range 40 {
			for _, fill := range []byte{0, 1, 0x7f, 0xff} {
				switch v := c.value(k, bytes.Repeat([]byte{fill}, n)).(type) {
				case nil, uint64, int64, float64, string, bool:
				default:
					t.Fatalf("kind %d of %d bytes is a %T", k, n, v)
				}
			}
		}
	}
}

// TestFieldsOfTheStockPlugin holds names, types and values of the fields that
// flow.Record has.
func TestFieldsOfTheStockPlugin(t *testing.T) {
	r := record(flow.IPFIX, flow.Src, flow.DstPort, flow.Proto, flow.TCPFlags, flow.TCPFlagsWide, flow.SrcTOS,
		flow.Bytes, flow.Direction,
		flow.FwdStatus, flow.ICMP, flow.InSrcMAC, flow.MPLS, flow.EndReason, flow.FwEvent, flow.NATEvent, flow.AppID,
		flow.IPVersion, flow.User)
	r.Src, r.DstPort, r.Proto, r.TCPFlags, r.SrcTOS, r.Bytes, r.Direction = netip.MustParseAddr("2001:db8::1"), 443, 6,
		0x18, 0xb8, 1<<63, 1
	r.FwdStatus, r.ICMP, r.InSrcMAC, r.MPLS[0], r.MPLSDepth, r.EndReason = 64, 0x0803, [6]byte{1}, 0x123451, 1, 2
	r.FwEvent, r.NATEvent, r.AppID, r.IPVersion, r.User, r.SamplingRate, r.Domain = 1, 4, []byte{3, 0, 0, 80}, 6,
		[]byte("alice"), 100, 7
	r.SamplingSource = flow.RateRecord
	r.Extra = []flow.Element{{ID: 152, Value: []byte{0, 0, 0, 0, 0, 0, 3, 232}}, {ID: 85, Value: []byte{9}},
		{ID: 150, Value: []byte{1}},
		{ID: 499, Value: []byte{1, 2}}, {PEN: 6876, ID: 888, Value: []byte{0, 2}},
		{PEN: 6871, ID: 0x4028, Value: []byte{0, 1}},
		{ID: 0x4001, Value: []byte{5}}, {ID: 267, Value: []byte{1}}, {ID: 291, Value: []byte{1}}}
	m := builder(t, Options{}).Flow(r, time.Unix(5, 6))
	want := map[string]any{
		"flow_start": uint64(1000), "flow_end": uint64(2500), "src": "2001:db8::1", "dst_port": uint64(443),
		"protocol":  "tcp",
		"tcp_flags": "...........AP...", "src_tos": "0xb8", "in_bytes": uint64(1 << 63), "direction": "egress",
		"fwd_status": "forwarded",
		"fwd_reason": "unknown", "icmp_type": uint64(8), "icmp_code": uint64(3), "in_src_mac": "01:00:00:00:00:00",
		"mpls_label_1":    "0x123451",
		"flow_end_reason": "active timeout", "fw_event": "flow created", "nat_event": uint64(4), "app_id": "0x03000050",
		"ip_version": "IPv6",
		"username":   "alice", "sampling_rate": uint64(100), "sampling_source": "record",
		"scaled_bytes": uint64(math.MaxUint64), "domain": uint64(7), "flow_start_ms": uint64(1000),
		"in_total_bytes": uint64(9),
		"type_499":       "0x0102", "type_6876_888": "0x0002", "egressInterfaceAttr": uint64(2),
		"type_6871_rev_40": "0x0001",
		"rev_in_bytes":     uint64(5),
	}
	if got := m.Fields(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	tags := map[string]string{"source": "192.0.2.9", "version": "IPFIX"}
	if !reflect.DeepEqual(m.Tags(), tags) || m.Name() != "netflow" || !m.Time().Equal(time.Unix(5, 6)) ||
		len(m.FieldList()) != len(want) {
		t.Errorf("got %s %v %v", m.Name(), m.Tags(), m.Time())
	}
}

func TestVersion5(t *testing.T) {
	r := record(flow.V5, flow.EngineType, flow.EngineID)
	r.EngineType, r.EngineID, r.HeaderCount, r.SysUptime, r.Sequence, r.HeaderRate = 19, 0x56, 8, 90003000, 3, 0x4064
	r.Extra = []flow.Element{{ID: 22, Value: []byte{1}}, {ID: 21, Value: []byte{2}}}
	want := map[string]any{
		"flow_start": uint64(1000), "flow_end": uint64(2500), "flows": uint64(8), "sys_uptime": uint64(90003000),
		"seq_number":  uint64(3),
		"engine_type": "19", "engine_id": "0x56", "sampling_interval": uint64(0x4064), "first_switched": uint64(1),
		"last_switched": uint64(2),
		"sampling_rate": uint64(1), "sampling_source": "unknown",
	}
	if got := builder(t, Options{}).Flow(r, time.Unix(0, 1)).Fields(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestExtraCorrectsTheField keeps the exact value of an element that the record
// holds with a loss, under its one name.
func TestExtraCorrectsTheField(t *testing.T) {
	r := record(flow.IPFIX, flow.DstPort)
	r.DstPort = 0x0800
	r.Extra = []flow.Element{{ID: 11, Value: []byte{0, 0}}}
	m := builder(t, Options{}).Flow(r, time.Unix(0, 1))
	if v, _ := m.GetField("dst_port"); v != uint64(0) || len(m.FieldList()) != 5 {
		t.Errorf("got %v", m.Fields())
	}
}

func TestFlowTags(t *testing.T) {
	b := builder(t, Options{FlowTags: []string{"src", "dst_port", "in_total_bytes", "username"}})
	r := record(flow.IPFIX, flow.Src, flow.DstPort, flow.User)
	r.Src, r.DstPort = netip.MustParseAddr("192.0.2.1"), 443
	r.Extra = []flow.Element{{ID: 85, Value: []byte{9}}}
	m := b.Flow(r, time.Unix(0, 1))
	want := map[string]string{"source": "192.0.2.9", "version": "IPFIX", "src": "192.0.2.1", "dst_port": "443",
		"in_total_bytes": "9"}
	if !reflect.DeepEqual(m.Tags(), want) {
		t.Errorf("got tags %v, want %v", m.Tags(), want)
	}
	for i, tag := range m.TagList()[1:] {
		if m.TagList()[i].Key >= tag.Key {
			t.Errorf("tags are not sorted: %v", m.Tags())
		}
	}
	if m.HasField("src") || m.HasField("dst_port") {
		t.Errorf("a tag is a field too: %v", m.Fields())
	}
	for _, good := range []string{"type_499", "type_6876_888", "type_6871_rev_40", "domain", "mpls_label_3",
		"fw_event_ext"} {
		builder(t, Options{FlowTags: []string{good}})
	}
	for _, bad := range []string{"", "sorce", "type_x", "type_1_x", "source"} {
		if _, err := NewBuilder(Options{FlowTags: []string{bad}}); err == nil {
			t.Errorf("the tag %q was accepted", bad)
		}
	}
}

func TestPENFiles(t *testing.T) {
	write := func(text string) string {
		name := filepath.Join(t.TempDir(), "pen.csv")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	pen, err := LoadPEN(write("# comment\n6876.888,egress_attr,uint\n6876.898, port_uuid, string\n35632.349,osi,hex\n"))
	if err != nil || pen.Len() != 3 {
		t.Fatalf("got %d elements, %v", pen.Len(), err)
	}
	b := builder(t, Options{PEN: pen, FlowTags: []string{"port_uuid"}})
	r := record(flow.IPFIX)
	r.Extra = []flow.Element{{PEN: 6876, ID: 888, Value: []byte{0, 2}}, {PEN: 6876, ID: 898, Value: []byte("x")},
		{PEN: 35632, ID: 0x4000 | 349, Value: []byte{7}}}
	m := b.Flow(r, time.Unix(0, 1))
	if v, _ := m.GetField("egress_attr"); v != uint64(2) {
		t.Errorf("got %v", m.Fields())
	}
	if v, _ := m.GetField("rev_osi"); v != "0x07" || m.Tags()["port_uuid"] != "x" {
		t.Errorf("got %v %v", m.Tags(), m.Fields())
	}
	for _, bad := range []string{"58500,name,string\n", "1.2,name,strange\n", "1.2,a,hex\n1.2,b,hex\n", "1.2,name\n",
		"1.2,,hex\n", "1.99999,a,hex\n"} {
		if _, err := LoadPEN(write(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if _, err := LoadPEN("/does/not/exist"); err == nil {
		t.Error("a missing file was accepted")
	}
}

func TestOption(t *testing.T) {
	o := &flow.OptionRecord{Version: flow.V9, Exporter: netip.MustParseAddr("192.0.2.9"),
		Scope: []flow.Element{{ID: 2, Value: []byte{0, 0, 0, 7}}},
		Fields: []flow.Element{{ID: 10, Value: []byte{7}}, {ID: 82, Value: []byte("eth0\x00")},
			{ID: 291, Value: []byte{1}}, {ID: 43, Value: []byte{1}}}}
	for _, stock := range []bool{false, true} {
		m := builder(t, Options{Stock: stock}).Option(o, time.Unix(0, 1))
		want := map[string]any{"scope_interface": uint64(7), "in_snmp": uint64(7), "interface": "eth0",
			"type_43": "0x01"}
		if stock {
			want["in_packets"] = uint64(7)
		}
		if !reflect.DeepEqual(m.Fields(), want) || m.Name() != "netflow_options" {
			t.Errorf("got %s %v, want %v", m.Name(), m.Fields(), want)
		}
	}
}

// TestScopes sends NetFlow v9's scope types, whose numbers are those of elements: of
// a system, an interface and so on nothing is counted. In IPFIX they are elements.
func TestScopes(t *testing.T) {
	o := &flow.OptionRecord{Version: flow.V9, Fields: []flow.Element{{ID: 34, Value: []byte{100}}}}
	for id := uint16(1); id <= 5; id++ {
		o.Scope = append(o.Scope, flow.Element{ID: id, Value: []byte{byte(10 + id)}})
	}
	want := map[string]any{"scope_system": uint64(11), "scope_interface": uint64(12), "scope_linecard": uint64(13),
		"scope_cache": uint64(14), "scope_template": uint64(15),
		"sampling_interval": uint64(100)}
	if got := builder(t, Options{}).Option(o, time.Unix(0, 1)).Fields(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	o.Version, o.Scope = flow.IPFIX, o.Scope[1:2]
	want = map[string]any{"in_packets": uint64(12), "sampling_interval": uint64(100)}
	if got := builder(t, Options{}).Option(o, time.Unix(0, 1)).Fields(); !reflect.DeepEqual(got, want) {
		t.Errorf("IPFIX: got  %v\nwant %v", got, want)
	}
}

func TestTimestampsAreUnique(t *testing.T) {
	const workers, each = 8, 20000
	var all [workers][]int64
	var wg sync.WaitGroup
	now := time.Now()
	clock := rising{wall: time.Now}
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				at := now
				if i%3 == 0 {
					at = now.Add(-time.Hour) // the clock was set back
				}
				all[w] = append(all[w], clock.timestamp(at).UnixNano())
			}
		})
	}
	wg.Wait()
	seen := map[int64]bool{}
	for _, list := range all {
		for i, ns := range list {
			if seen[ns] {
				t.Fatalf("timestamp %d was given twice", ns)
			}
			seen[ns] = true
			if i > 0 && list[i-1] >= ns {
				t.Fatal("timestamps do not increase")
			}
		}
	}
	later := time.Now().Add(time.Hour)
	if got := clock.timestamp(later); !got.Equal(later) {
		t.Errorf("got %v, want the time of receipt %v", got, later)
	}
}

// Metrics that were made before keep their payload, whatever is made after them.
func TestDatagramsShareNoMemory(t *testing.T) {
	for _, asBytes := range []bool{false, true} {
		b := DatagramBuilder{Bytes: asBytes}
		var p DatagramParser
		from := netip.MustParseAddrPort("192.0.2.1:2055")
		var metrics []telegraf.Metric
		for i := range 500 {
			metrics = append(metrics,
				b.Metric(flow.Datagram{Exporter: from, Received: time.Unix(1, 0),
					Payload: bytes.Repeat([]byte{byte(i)}, i*7%3000)}))
		}
		for i, m := range metrics {
			got, err := p.Parse(m)
			if err != nil || !bytes.Equal(got.Payload, bytes.Repeat([]byte{byte(i)}, i*7%3000)) {
				t.Fatalf("%d: %d bytes, %v", i, len(got.Payload), err)
			}
			if m.HasField("bytes") != asBytes || m.HasField("payload") == asBytes {
				t.Fatalf("Bytes is %v, the fields are %v", asBytes, m.Fields())
			}
		}
		dg := flow.Datagram{Exporter: from, Received: time.Unix(1, 0), Payload: make([]byte, 1400)}
		if n := testing.AllocsPerRun(1000, func() { b.Metric(dg) }); n > 2 {
			t.Errorf("%.1f allocations a datagram, want at most 2: the time and the text, beside shared pieces", n)
		}
	}
}

func TestDatagramRoundTrip(t *testing.T) {
	for _, from := range []string{"192.0.2.1:2055", "[2001:db8::1]:4739"} {
		want := flow.Datagram{Exporter: netip.MustParseAddrPort(from), Received: time.Unix(1767323045, 123456789).UTC(),
			Payload: []byte{0, 1, 2, 0xff, '\n'}}
		m := new(DatagramBuilder).Metric(want)
		got, err := new(DatagramParser).Parse(m)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		signed := metric.New(m.Name(), m.Tags(),
			map[string]any{"port": int64(want.Exporter.Port()), "received": m.Fields()["received"],
				"payload": m.Fields()["payload"]}, m.Time())
		if got, err := new(DatagramParser).Parse(signed); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("without unsigned numbers: got %+v, %v", got, err)
		}
		want.Policy = flow.Policy{Rate: 4096, SeparatePorts: true}
		if got, err := new(DatagramParser).Parse(new(DatagramBuilder).Metric(want)); err != nil ||
			!reflect.DeepEqual(got, want) {
			t.Errorf("with a policy: got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestParseDatagramRefuses(t *testing.T) {
	good := map[string]any{"port": uint64(1), "received": int64(1), "payload": "AAU=", "policy": "count=egress"}
	for _, c := range []struct {
		source, field string
		value         any
	}{
		{"", "", nil}, {"nowhere", "", nil}, {"192.0.2.1", "port", uint64(70000)}, {"192.0.2.1", "port", int64(-1)},
		{"192.0.2.1", "port", "x"},
		{"192.0.2.1", "received", nil}, {"192.0.2.1", "payload", "$$"},
		{"192.0.2.1", "payload", strings.Repeat("AAAA", 50) + "AA$A" + strings.Repeat("AAAA", 50)},
		{"192.0.2.1", "payload", int64(1)}, {"192.0.2.1", "received", uint64(1 << 63)},
		{"192.0.2.1", "policy", "count=some"},
	} {
		fields := map[string]any{}
		for k, v := range good {
			if k != c.field {
				fields[k] = v
			} else if c.value != nil {
				fields[k] = c.value
			}
		}
		tags := map[string]string{}
		if c.source != "" {
			tags["source"] = c.source
		}
		if _, err := new(DatagramParser).Parse(metric.New(DatagramMeasurement, tags, fields,
			time.Unix(0, 1))); err == nil {
			t.Errorf("source %q, %s %v: accepted", c.source, c.field, c.value)
		} else if strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("the error has a line break: %q", err)
		}
	}
}

// TestMetricBehavesLikeTelegrafs does the same to a Metric and to one of
// Telegraf's, and compares.
func TestMetricBehavesLikeTelegrafs(t *testing.T) {
	r := record(flow.IPFIX, flow.Src, flow.DstPort)
	r.Src = netip.MustParseAddr("192.0.2.1")
	ours := builder(t, Options{}).Flow(r, time.Unix(5, 6))
	theirs := metric.New(ours.Name(), ours.Tags(), ours.Fields(), ours.Time())
	for i, step := range []func(m telegraf.Metric){
		func(telegraf.Metric) {},
		func(m telegraf.Metric) {
			m.AddTag("a", "1")
			m.AddTag("z", "2")
			m.AddTag("m", "3")
			m.AddTag("m", "4")
		},
		func(m telegraf.Metric) { m.RemoveTag("source"); m.RemoveTag("nothing") },
		func(m telegraf.Metric) {
			m.AddField("n", 7)
			m.AddField("n", uint32(8))
			m.AddField("b", []byte("x"))
			m.AddField("f", 1.5)
		},
		func(m telegraf.Metric) { m.RemoveField("src"); m.RemoveField("nothing") },
		func(m telegraf.Metric) {
			m.SetName("x")
			m.AddPrefix("p_")
			m.AddSuffix("_s")
			m.SetTime(time.Unix(9, 9))
			m.SetType(telegraf.Gauge)
		},
		func(m telegraf.Metric) { m.Copy().AddTag("copy", "only") },
	} {
		step(ours)
		step(theirs)
		if ours.Name() != theirs.Name() || !reflect.DeepEqual(ours.Tags(), theirs.Tags()) ||
			!reflect.DeepEqual(ours.Fields(), theirs.Fields()) ||
			!ours.Time().Equal(theirs.Time()) || ours.Type() != theirs.Type() || ours.HashID() != theirs.HashID() ||
			ours.HashIDWithFieldsFiltered([]string{"a"},
				[]string{"n"}) != theirs.HashIDWithFieldsFiltered([]string{"a"}, []string{"n"}) {
			t.Fatalf("step %d: got\n%v, want\n%v", i, ours, theirs)
		}
		for j, tag := range ours.TagList() {
			if *tag != *theirs.TagList()[j] {
				t.Fatalf("step %d: tag %d is %v, want %v", i, j, tag, theirs.TagList()[j])
			}
		}
		for _, key := range []string{"source", "version", "a", "m", "z", "copy", "src", "dst_port", "n", "b", "f", ""} {
			tag, tagged := ours.GetTag(key)
			wantTag, wantTagged := theirs.GetTag(key)
			field, _ := ours.GetField(key)
			wantField, _ := theirs.GetField(key)
			if tag != wantTag || tagged != wantTagged || ours.HasTag(key) != wantTagged || field != wantField ||
				ours.HasField(key) != theirs.HasField(key) {
				t.Fatalf("step %d: %q is %q and %v, want %q and %v", i, key, tag, field, wantTag, wantField)
			}
		}
	}
}

// TestMetricOnDisk writes a metric as Telegraf's buffer on disk does.
func TestMetricOnDisk(t *testing.T) {
	metric.Init()
	r := record(flow.V9, flow.Src)
	r.Src = netip.MustParseAddr("192.0.2.1")
	want := builder(t, Options{}).Flow(r, time.Unix(5, 6))
	b, err := metric.ToBytes(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := metric.FromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Tags(), want.Tags()) || !reflect.DeepEqual(got.Fields(), want.Fields()) ||
		!got.Time().Equal(want.Time()) {
		t.Errorf("got %v, want %v", got, want)
	}
}
