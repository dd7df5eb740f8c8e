package decoding

import (
	"net/netip"
	"testing"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/vcenter/vcentertest"
)

// switchFlow is a datagram of a virtual switch: a flow from one virtual machine to
// the other, and one from the uplink, whose index must not be taken for a port.
func switchFlow(t *testing.T) []byte {
	t.Helper()
	tmpl, err := ipfix.NewTemplate(256, []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 1, Length: 8},
		{ID: 10, Length: 4}, {ID: 14, Length: 4},
		{PEN: 6876, ID: 890, Length: 2}, {PEN: 6876, ID: 888, Length: 2}})
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr("10.0.0.1")
	e := ipfix.Encoder{Domain: vcentertest.Domain}
	e.Begin(nil, flow.TimeOf(time.Now()))
	e.AddTemplates(tmpl)
	e.AddData(tmpl, []flow.Record{
		{Src: a, Dst: a, Bytes: 100, Input: vcentertest.FirstPort, Output: vcentertest.FirstPort + 1, IngressAttr: 2,
			EgressAttr: 2},
		{Src: a, Dst: a, Bytes: 100, Input: vcentertest.FirstPort, Output: vcentertest.FirstPort + 1, IngressAttr: 1,
			EgressAttr: 2},
	})
	return e.End()
}

// TestVCenter joins flows with a simulated vCenter: those before its first answer go
// out without names, those after it with them, and with the switch's rate.
func TestVCenter(t *testing.T) {
	site := vcentertest.New(t)
	lookup := &VCenter{URL: site.URL, Username: config.NewSecret([]byte(vcentertest.Name)),
		Password: config.NewSecret([]byte(vcentertest.Password))}
	lookup.InsecureSkipVerify = true
	n := newPool(t, func(o *Options) { o.VCenter = lookup })
	dg := collector.Datagram{Exporter: netip.AddrPortFrom(netip.MustParseAddr(vcentertest.SwitchIP), 1),
		Received: time.Now(), Payload: switchFlow(t)}
	for _, m := range n.Decode([]collector.Datagram{dg}) {
		if source, _ := m.GetField("sampling_source"); m.HasTag("in_vm") || source != "unknown" {
			t.Errorf("before an answer: got %v", m)
		}
	}
	var acc decodingtest.Accumulator
	n.Start(&acc)
	n.Keep()
	defer n.Stop()
	end := time.Now().Add(20 * time.Second)
	for ; lookup.client.Stats().Refreshes == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no answer within 20 s: %+v", lookup.client.Stats())
		}
	}
	list := n.Decode([]collector.Datagram{dg})
	if len(list) != 2 {
		t.Fatalf("got %d flows", len(list))
	}
	for tag, want := range map[string]string{"in_vm": site.VMs[0], "out_vm": site.VMs[1],
		"in_portgroup": vcentertest.Portgroup, "out_portgroup": vcentertest.Portgroup, "esxi_host": site.Host} {
		if got, _ := list[0].GetTag(tag); got != want {
			t.Errorf("%s: got %q, want %q", tag, got, want)
		}
	}
	if list[1].HasTag("in_vm") || !list[1].HasTag("out_vm") {
		t.Errorf("from the uplink: got %v", list[1])
	}
	for field, want := range map[string]any{"sampling_rate": uint64(4096), "sampling_source": "vcenter",
		"scaled_bytes": uint64(409600)} {
		if got, _ := list[0].GetField(field); got != want {
			t.Errorf("%s: got %v, want %v", field, got, want)
		}
	}
	n.Gather(&acc, time.Now())
	counters := map[string]any{}
	n.Count(counters)
	counted, rated := counters["vcenter_ports"] == uint64(3), false
	for _, m := range acc.List() {
		rate, _ := m.GetField("sampling_rate")
		rated = rated || m.HasTag("domain") && rate == uint64(4096)
	}
	if !counted || !rated {
		t.Errorf("counters of the look-up: %v, its rate among the exporter's: %v", counted, rated)
	}
}

func TestVCenterOptions(t *testing.T) {
	for _, bad := range []VCenter{{}, {URL: "vcenter.example.com"},
		{URL: "https://vcenter.example.com", Interval: config.Duration(1)},
		{URL: "https://vcenter.example.com", Tags: []string{"src"}}} {
		if _, err := New(Options{VCenter: &bad, Log: logger.New("inputs", "netflow", "")}); err == nil {
			t.Errorf("%+v was accepted", bad.URL)
		}
	}
}
