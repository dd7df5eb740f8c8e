package flowmetric

import (
	"fmt"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestWideEnumerations sends elements whose values are names, flags or types in every
// length up to 8 bytes: the value is the last byte, or the last two.
func TestWideEnumerations(t *testing.T) {
	for _, c := range []struct {
		id      uint16
		native  int
		values  []byte
		names   []string
		options bool
	}{
		{4, 1, []byte{6, 17, 58}, []string{"protocol"}, false},
		{5, 1, []byte{0xb8, 1}, []string{"src_tos"}, false},
		{55, 1, []byte{0xb8, 1}, []string{"dst_tos"}, false},
		{60, 1, []byte{4, 6}, []string{"ip_version"}, false},
		{61, 1, []byte{0, 1}, []string{"direction"}, false},
		{136, 1, []byte{1, 3}, []string{"flow_end_reason"}, false},
		{233, 1, []byte{1, 2, 5}, []string{"fw_event"}, false},
		{239, 1, []byte{1, 2}, []string{"biflow_direction"}, false},
		{35, 1, []byte{1, 2}, []string{"sampling_algo"}, true},
		{38, 1, []byte{1, 2}, []string{"engine_type"}, false},
		{46, 1, []byte{1, 5}, []string{"mpls_top_label_type"}, false},
		{49, 1, []byte{1, 2}, []string{"flow_sampler_mode"}, true},
		{89, 1, []byte{64, 130, 195}, []string{"fwd_status", "fwd_reason"}, false},
		{197, 1, []byte{0x40, 0x20}, []string{"fragment_flags"}, false},
		{6, 2, []byte{0x12, 2}, []string{"tcp_flags"}, false},
		{32, 2, []byte{8, 3}, []string{"icmp_type", "icmp_code"}, false},
		{139, 2, []byte{128, 1}, []string{"icmp_type", "icmp_code"}, false},
	} {
		for n := c.native; n <= 8; n++ {
			for _, v := range c.values {
				want, got := sent(t, c.id, c.native, v, c.options), sent(t, c.id, n, v, c.options)
				for _, name := range c.names {
					if got[name] != want[name] || want[name] == nil {
						t.Errorf("element %d of %d bytes, %d: %s is %v, want %v", c.id, n, v, name, got[name],
							want[name])
					}
				}
			}
		}
	}
}

// sent returns the fields of a metric of one element of n bytes, the last of which is v:
// of a flow, or of an option record.
func sent(t *testing.T, id uint16, n int, v byte, options bool) map[string]any {
	t.Helper()
	if !options {
		return decoded(t, []ipfix.FieldSpec{{ID: id, Length: uint16(n)}}, v)
	}
	o := flow.OptionRecord{Version: flow.IPFIX, Fields: []flow.Element{{ID: id, Value: append(make([]byte, n-1), v)}}}
	return builder(t, Options{}).Option(&o, time.Unix(0, 1)).Fields()
}

// TestRepeatedElements sends elements twice and more: all values are kept, in order, and
// a name keeps its type.
func TestRepeatedElements(t *testing.T) {
	spec := func(id uint16) ipfix.FieldSpec { return ipfix.FieldSpec{ID: id, Length: 4} }
	got := decoded(t, []ipfix.FieldSpec{spec(10), spec(10), spec(10), {PEN: 9, ID: 12235, Length: 1},
		{PEN: 9, ID: 12235, Length: 1}}, 1, 2, 3, 4, 5)
	for name, want := range map[string]any{
		"in_snmp": uint64(1), "in_snmp_2": uint64(2), "in_snmp_3": uint64(3), "type_9_12235": "0x04",
		"type_9_12235_2": "0x05",
	} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v (all: %v)", name, got[name], want, got)
		}
	}
	got = decoded(t, []ipfix.FieldSpec{spec(10), spec(10)}, 7, 7)
	if _, again := got["in_snmp_2"]; again || got["in_snmp"] != uint64(7) {
		t.Errorf("the same twice: got %v", got)
	}
	label := ipfix.FieldSpec{ID: 70, Length: 3}
	got = decoded(t, []ipfix.FieldSpec{label, label, label}, 0x10, 0x20, 0x31)
	for i, want := range []string{"0x000010", "0x000020", "0x000031"} {
		if name := fmt.Sprintf("mpls_label_%d", i+1); got[name] != want {
			t.Errorf("%s: got %v, want %s", name, got[name], want)
		}
	}
}

// TestOptionsHaveTheDomain holds the tag by which tables of several observation domains
// are told apart.
func TestOptionsHaveTheDomain(t *testing.T) {
	o := flow.OptionRecord{Version: flow.IPFIX, Domain: 77, Fields: []flow.Element{{ID: 35, Value: []byte{0, 2}}}}
	m := builder(t, Options{}).Option(&o, time.Unix(0, 1))
	if m.Tags()["domain"] != "77" || m.Fields()["sampling_algo"] != "random" {
		t.Errorf("got %v %v", m.Tags(), m.Fields())
	}
	if m := builder(t, Options{Stock: true}).Option(&o, time.Unix(0, 1)); m.HasTag("domain") {
		t.Error("the stock plugin has no such tag")
	}
}
