package flowmetric

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
)

// lineRead is a line as package lineprotocol of InfluxData's reads it.
type lineRead struct {
	name   string
	tags   map[string]string
	order  []string // of the tags' keys
	fields map[string]any
	at     time.Time
}

// readLines decodes lines.
func readLines(t *testing.T, text []byte) (all []lineRead) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	for d := lineprotocol.NewDecoderWithBytes(text); d.Next(); {
		name, err := d.Measurement()
		check(err)
		l := lineRead{name: string(name), tags: map[string]string{}, fields: map[string]any{}}
		for {
			key, value, err := d.NextTag()
			check(err)
			if key == nil {
				break
			}
			l.order = append(l.order, string(key))
			l.tags[string(key)] = string(value)
		}
		for {
			key, value, err := d.NextField()
			check(err)
			if key == nil {
				break
			}
			if _, twice := l.fields[string(key)]; twice {
				t.Errorf("the field %s is there twice: %q", key, text)
			}
			l.fields[string(key)] = value.Interface()
		}
		l.at, err = d.Time(lineprotocol.Nanosecond, time.Time{})
		check(err)
		all = append(all, l)
	}
	return all
}

// anyFlow returns a flow with any fields and elements.
func anyFlow(rng *rand.Rand) *flow.Record {
	r := record([]flow.Version{flow.V5, flow.V9, flow.IPFIX, flow.SFlow}[rng.IntN(4)])
	for f := range flow.Field(flow.NumFields) {
		if rng.IntN(4) > 0 {
			continue
		}
		r.Present.Add(f)
		switch f.Describe().Kind {
		case flow.KindNumber, flow.KindFlags, flow.KindMAC:
			r.SetNumber(f, rng.Uint64()>>rng.IntN(64))
		}
	}
	address := func() netip.Addr {
		var b [16]byte
		for i := range b {
			b[i] = byte(rng.Uint32()) * byte(rng.IntN(2))
		}
		if rng.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte(b[:4]))
		}
		return netip.AddrFrom16(b)
	}
	for _, a := range []*netip.Addr{&r.Src, &r.Dst, &r.NextHop, &r.BGPNextHop, &r.XlateSrc, &r.XlateDst, &r.TunSrc,
		&r.TunDst, &r.Exporter} {
		*a = address()
	}
	texts := []string{"", "alice", `C:\`, "a b,c=d", "\"quoted\"", "Z\u00fcrich", "x\x00\x00", "\xff", "line\nline"}
	text := func() string { return texts[rng.IntN(len(texts))] }
	r.User, r.AppID, r.MPLSDepth = []byte(text()), []byte{3, 0, 0, byte(rng.Uint32())}, uint8(rng.IntN(11))
	r.SamplingRate, r.Domain, r.HeaderCount = uint32(rng.IntN(3)), uint32(rng.IntN(3)), uint16(rng.IntN(9))
	times := map[[2]uint32]uint8{}
	for range rng.IntN(12) {
		e := flow.Element{ID: uint16(rng.IntN(500)), Value: make([]byte, rng.IntN(9))}
		if rng.IntN(3) == 0 {
			e.PEN, e.ID = []uint32{6876, 9, 4711}[rng.IntN(3)], uint16(rng.IntN(40)+880)
		}
		key := [2]uint32{e.PEN, uint32(e.ID)}
		e.Nth = times[key]
		times[key]++
		for i := range e.Value {
			e.Value[i] = byte(rng.Uint32())
		}
		r.Extra = append(r.Extra, e)
	}
	if rng.IntN(2) == 0 {
		name := func() string { return strings.ToValidUTF8(text(), "?") } // as package collector keeps them
		r.Names = &flow.Names{Exporter: name(), Input: name(), Output: name(), App: name(), SrcCountry: "DE"}
	}
	if r.Version == flow.V5 { // its header counts flows, and there are no elements
		r.Present[flow.Flows/64] &^= 1 << (flow.Flows % 64)
		r.Extra = nil
	}
	return r
}

// wantLine returns what a line must say of a metric: floats that are no numbers have no form, and a
// tag of the configuration is there where the flow has none of that key.
func wantLine(m interface {
	Name() string
	Tags() map[string]string
	Fields() map[string]any
}, fixed map[string]string) lineRead {
	l := lineRead{name: m.Name(), tags: maps.Clone(fixed), fields: map[string]any{}}
	if l.tags == nil {
		l.tags = map[string]string{}
	}
	maps.Copy(l.tags, m.Tags())
	for key, v := range m.Fields() {
		if f, ok := v.(float64); !ok || !math.IsNaN(f) && !math.IsInf(f, 0) {
			l.fields[key] = v
		}
	}
	return l
}

// TestLinesAreTheMetrics writes flows of any fields as lines and as metrics: InfluxData's decoder
// reads from the line what the metric has, with the same types, in the order that servers like.
func TestLinesAreTheMetrics(t *testing.T) {
	pen := filepath.Join(t.TempDir(), "pen.csv")
	text := "4711.880,plain,uint\n4711.881,\"a name, with = and blanks\",string\n4711.882,float,float32\n" +
		"4711.883,double,float64\n4711.884,signed,int\n4711.885,where,ip\n4711.886,yes,bool\n"
	if err := os.WriteFile(pen, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := LoadPEN(pen)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o     Options
		fixed map[string]string
	}{
		"nothing else": {Options{}, nil},
		"stock":        {Options{Stock: true}, map[string]string{"host": "here"}},
		"tags of flows": {Options{FlowTags: []string{"src", "dst_port", "protocol", "username", "app_name", "in_snmp"}},
			nil},
		"names of ours": {Options{PEN: names, ExtraFields: []string{"octetDeltaCount", "6876/virtualObsID",
			"type_499"}},
			map[string]string{"host": "a b,c", "zone": "x=y", "source": "never", "version": "never"}},
		"all of it": {Options{PEN: names, FlowTags: []string{"dst", "plain", "float", "in_bytes", "tcp_flags"},
			ExtraFields: []string{"sourceIPv4Address"}}, map[string]string{"dst": "unknown", "host": "h", "": "x",
			"e": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(61, 62))
			metrics, lines := builder(t, c.o), builder(t, c.o)
			lines.SetLineTags(c.fixed)
			fixed := maps.Clone(c.fixed)
			maps.DeleteFunc(fixed, func(key, value string) bool { return key == "" || value == "" })
			for i := range 1500 {
				r := anyFlow(rng)
				at := time.Unix(1767323045, int64(i))
				want := wantLine(metrics.Flow(r, at), fixed)
				before := []byte("before\n")
				all := lines.AppendFlow(before, r, at)
				if !strings.HasPrefix(string(all), "before\n") || all[len(all)-1] != '\n' {
					t.Fatalf("%q does not keep what was there, or has no end", all)
				}
				read := readLines(t, all[len("before\n"):])
				if len(read) != 1 {
					t.Fatalf("%d lines: %q", len(read), all)
				}
				got := read[0]
				if got.name != want.name || !maps.Equal(got.tags, want.tags) || !maps.Equal(got.fields, want.fields) ||
					!got.at.Equal(at) {
					t.Fatalf("the line is\n%s\nread as %v\nthe metric has %v", all, got, want)
				}
				if !slices.IsSorted(got.order) {
					t.Errorf("the tags are not in order: %q", got.order)
				}
			}
		})
	}
}

// TestFlowsWithoutFieldsAreNoLines: where all fields are tags nothing is appended.
func TestFlowsWithoutFieldsAreNoLines(t *testing.T) {
	tags := []string{"flow_start", "flow_end", "sampling_rate", "sampling_source", "src"}
	b := builder(t, Options{FlowTags: tags})
	r := record(flow.IPFIX, flow.Src)
	r.Src = netip.MustParseAddr("192.0.2.1")
	if got := string(b.AppendFlow([]byte("x"), r, time.Unix(0, 1))); got != "x" {
		t.Errorf("got %q", got)
	}
	r.Present.Add(flow.Bytes)
	r.Bytes = 7
	want := "netflow,flow_end=2500,flow_start=1000,sampling_rate=1,sampling_source=unknown,source=192.0.2.9," +
		"src=192.0.2.1,version=IPFIX in_bytes=7u,scaled_bytes=7u 1\n"
	if got := string(b.AppendFlow(nil, r, time.Unix(0, 1))); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestLinesOfEvents have their measurement, in the form of the stock plugin too.
func TestLinesOfEvents(t *testing.T) {
	r := record(flow.IPFIX, flow.FwEvent, flow.EventTime)
	r.FwEvent, r.Event = 2, true
	for stock, want := range map[bool]string{true: "netflow", false: "netflow_event"} {
		b := builder(t, Options{Stock: stock})
		if got := readLines(t, b.AppendFlow(nil, r, time.Unix(0, 1))); got[0].name != want ||
			got[0].fields["fw_event"] != "flow deleted" {
			t.Errorf("stock %v: %+v", stock, got)
		}
	}
}

// TestLinesAllocateNothing, of flows with tags and elements besides.
func TestLinesAllocateNothing(t *testing.T) {
	b := builder(t, Options{FlowTags: []string{"src", "dst_port"}})
	b.SetLineTags(map[string]string{"host": "here"})
	r := record(flow.IPFIX, flow.Src, flow.Dst, flow.DstPort, flow.Bytes, flow.Packets, flow.TCPFlags, flow.User)
	r.Src, r.Dst = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	r.User, r.Extra = []byte("alice"), []flow.Element{{ID: ie.FlowEndReason, Value: []byte{1}},
		{ID: 85, Value: []byte{7}}}
	var dst []byte
	if n := testing.AllocsPerRun(200, func() { dst = b.AppendFlow(dst[:0], r, time.Unix(0, 1)) }); n > 0 {
		t.Errorf("%v allocations a line", n)
	}
}

// TestFieldTextIsTheTag: the text of a field, for roll-ups, is what the field is as a flow's tag.
func TestFieldTextIsTheTag(t *testing.T) {
	text := FieldText()
	rng := rand.New(rand.NewPCG(71, 72))
	compared := 0
	for f := range flow.Field(flow.NumFields) {
		name := recordFields[f].name
		if recordFields[f].kind == kindNone || name == "" || f == flow.MPLS {
			continue
		}
		b := builder(t, Options{FlowTags: []string{name}})
		for range 50 {
			r := anyFlow(rng)
			r.Extra, r.Present = nil, flow.SetOf(f)
			want, ok := b.Flow(r, time.Unix(0, 1)).GetTag(name)
			if !ok || f == flow.User {
				continue // a tag's text is cleaned besides
			}
			compared++
			if got := text(r, f); got != want {
				t.Errorf("%s: %q, as a tag %q", name, got, want)
			}
		}
	}
	if compared < 1000 {
		t.Errorf("only %d were compared", compared)
	}
	for f := range flow.Field(flow.NumFields) {
		if recordFields[f].kind == kindNone {
			r := record(flow.IPFIX, f)
			if got, want := text(r, f), fmt.Sprint(r.Number(f)); got != want {
				t.Errorf("%s, which no metric has: %q, expected %q", f.Name(), got, want)
			}
		}
	}
}
