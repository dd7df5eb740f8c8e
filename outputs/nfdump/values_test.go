package nfdump

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
	"github.com/flowgraf/flowgraf/plugins/packet"
	"github.com/flowgraf/flowgraf/plugins/sflow"
)

// printed returns what the real nfdump prints of datagrams that the output has written:
// the values of its lines with some name.
func printed(t *testing.T, name string, payloads ...[]byte) (values []string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "flows")
	p := output(t, dir)
	must(t, p.Connect())
	var metrics []telegraf.Metric
	for _, dg := range decodingtest.AllReceived(payloads) {
		metrics = append(metrics, new(flowmetric.DatagramBuilder).Metric(dg))
	}
	must(t, p.Write(metrics))
	must(t, p.Close())
	for _, m := range regexp.MustCompile(`(?m)^\s*`+name+` *= *(\d+)`).FindAllStringSubmatch(
		nfdump(t, "-R", dir, "-q", "-N", "-o", "raw"), -1) {
		values = append(values, m[1])
	}
	return values
}

// TestVLANsAsNfdumpPrintsThem: the VLANs of NetFlow v9 are in the archive by whichever
// element the exporter has them; those of IPFIX by the elements of its flow, as nfcapd
// 1.7.1 keeps them (dot1qVlanId is an element of layer 2, see the option elements).
func TestVLANsAsNfdumpPrintsThem(t *testing.T) {
	for _, c := range []struct {
		name     string
		v9       bool
		src, dst uint16 // elements
		want     []string
	}{
		{"v9, 243 and 254", true, 243, 254, []string{"101", "202"}},
		{"v9, 58 and 59", true, 58, 59, []string{"101", "202"}},
		{"IPFIX, 58 and 59", false, 58, 59, []string{"101", "202"}},
		{"IPFIX, 243 and 254", false, 243, 254, nil},
	} {
		r := flow.Record{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), Bytes: 1000,
			Extra: []flow.Element{{ID: c.src, Value: []byte{0, 101}}, {ID: c.dst, Value: []byte{0, 202}}}}
		fields := []ipfix.FieldSpec{{ID: 8, Length: 4}, {ID: 12, Length: 4}, {ID: 1, Length: 4}, {ID: c.src, Length: 2},
			{ID: c.dst, Length: 2}}
		tmpl, err := ipfix.NewTemplate(256, fields)
		must(t, err)
		var payload []byte
		if c.v9 {
			e := netflow.V9Encoder{SourceID: 1}
			e.Begin(nil, decodingtest.Exported)
			e.AddTemplates(tmpl)
			e.AddData(tmpl, []flow.Record{r})
			payload = e.End()
		} else {
			e := ipfix.Encoder{Domain: 1}
			e.Begin(nil, decodingtest.Exported)
			e.AddTemplates(tmpl)
			e.AddData(tmpl, []flow.Record{r})
			payload = e.End()
		}
		if got := printed(t, "(?:src|dst) vlan", payload); !slices.Equal(got, c.want) {
			t.Errorf("%s: nfdump prints %v, want %v", c.name, got, c.want)
		}
	}
}

// TestDeviceItselfAsNfdumpPrintsIt: sFlow's "the device itself" is interface 0 in the
// archive, as source and as destination.
func TestDeviceItselfAsNfdumpPrintsIt(t *testing.T) {
	const itself = 0x3fffffff
	var got []string
	for _, io := range [][2]uint32{{itself, 4}, {3, itself}} {
		r := decodingtest.Flows(0, 2)[1]
		r.Input, r.Output, r.SamplingRate = io[0], io[1], 400
		e := sflow.Encoder{Agent: netip.MustParseAddr("192.0.2.254")}
		e.Begin(nil, decodingtest.Exported)
		e.Flow(&r, packet.ProtocolEthernet, packet.Append(nil, &r), 1234)
		got = append(got, printed(t, "(?:in|out)put", e.End())...)
	}
	if !slices.Equal(got, []string{"0", "4", "3", "0"}) {
		t.Errorf("nfdump prints the interfaces %v", got)
	}
}
