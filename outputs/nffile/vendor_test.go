package nffile

import (
	"reflect"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
)

// TestVendorElements: what an exporter sends besides the fields of a flow gets the
// element that nfdump has for it, those that nfdump 1.7.1 does not know on request.
func TestVendorElements(t *testing.T) {
	in := wideRecord(false)
	in.Extra = []flow.Element{
		{PEN: 0, ID: 57554, Value: []byte{0, 0, 0, 1}}, {PEN: 0, ID: 57555, Value: []byte{0, 0, 1, 0}},
		{PEN: 0, ID: 57596, Value: []byte{7}}, {PEN: ie.NtopPEN, ID: 125, Value: []byte{0, 9}},
		{PEN: 0, ID: ie.Dot1qVlanId, Value: []byte{0, 101}},
		{PEN: 0, ID: ie.Dot1qCustomerVlanId, Value: []byte{0, 102}},
		{PEN: 0, ID: ie.PostDot1qVlanId, Value: []byte{0, 103}},
		{PEN: 0, ID: ie.PostDot1qCustomerVlanId, Value: []byte{0, 104}},
		{PEN: 0, ID: ie.IngressPhysicalInterface, Value: []byte{0, 1, 0, 0}},
		{PEN: 0, ID: ie.EgressPhysicalInterface, Value: []byte{0, 0, 0, 2}},
		{PEN: 0, ID: ie.EthernetType, Value: []byte{8, 0}}, {PEN: 0, ID: ie.DataLinkFrameSize, Value: []byte{5, 220}},
		{PEN: 0, ID: ie.DataLinkFrameType, Value: []byte{0, 1}},
		{PEN: 0, ID: ie.DataLinkFrameSection, Value: []byte("frame")},
		{PEN: ie.NokiaPEN, ID: nokiaIn, Value: []byte{0, 21}}, {PEN: ie.NokiaPEN, ID: nokiaOut, Value: []byte{0, 22}},
		{PEN: ie.NokiaPEN, ID: nokiaText, Value: []byte("sub-1\x00\x00")},
		{PEN: 9, ID: 57554, Value: []byte{1}}, {PEN: 0, ID: 9999, Value: make([]byte, 40)},
	}
	delays := Extra{Has: 1<<elLatency | 1<<elObservation, ClientDelay: 1000256, ServerDelay: 7000, AppDelay: 9000,
		Domain: 77}
	all := delays
	all.Has |= 1<<elLayer2 | 1<<elInmonMeta | 1<<elInmonFrame | 1<<elNokia | 1<<elNokiaText
	all.Layer2 = Layer2{101, 102, 103, 104, 1 << 16, 2, 0x800, 4}
	all.FrameSize, all.LinkType, all.Frame = 1500, 1, []byte("frame")
	all.NokiaIn, all.NokiaOut, all.NokiaText = 21, 22, []byte("sub-1")
	for extended, want := range map[bool]Extra{false: delays, true: all} {
		w := mustCreate(t, Options{Extended: extended})
		must(t, w.Append(in))
		must(t, w.Append(wideRecord(true)))
		must(t, w.Close())
		r, err := Open(w.Path())
		must(t, err)
		defer r.Close()
		if !r.Next() {
			t.Fatal(r.Err())
		}
		got := *r.dec.Extra()
		want.Has &= extraElements
		if !reflect.DeepEqual(got, want) {
			t.Errorf("extended %t:\n%+v, expected\n%+v", extended, got, want)
		}
		if !r.Next() || r.dec.Extra().Has != 0 {
			t.Errorf("the next flow has %+v: %v", r.dec.Extra(), r.Err())
		}
		if extended {
			continue
		}
		out := nfdump(t, "-r", w.Path(), "-o", "raw")
		if !strings.Contains(out, "cli latency  =          1000.256") || complaints(out) != "" {
			t.Errorf("nfdump says\n%s", out)
		}
	}
	if n := testing.AllocsPerRun(100, func() { var x Extra; x.takeFields(in, true) }); n != 0 {
		t.Errorf("taking them allocates %v times", n)
	}
}

// TestEventsWithBytes: what a firewall or an address translator reports is an event,
// also where it counts bytes, as nfcapd 1.7.1 marks it.
func TestEventsWithBytes(t *testing.T) {
	for _, f := range []flow.Field{flow.FwEvent, flow.FwXEvent, flow.NATEvent} {
		w := mustCreate(t, Options{})
		r := flow.Record{Present: flow.SetOf(flow.Bytes, f), Bytes: 500, Packets: 1, FwEvent: 2, NATEvent: 1,
			Version: flow.V9}
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
		if flags := w.block[10]; flags&flagEvent == 0 {
			t.Errorf("%s: flags %#x", f, flags)
		}
	}
}
