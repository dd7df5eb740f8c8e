package flowmetric

import (
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// nest is an element of a list.
func nest(holder uint16, depth uint8, list, row uint16, pen uint32, id uint16, value string) flow.Nested {
	return flow.Nested{Element: flow.Element{PEN: pen, ID: id, Value: []byte(value)}, Holder: holder,
		Semantic: flow.AllOf, Depth: depth, List: list, Row: row}
}

// TestNested asks for elements inside lists, and for the lists.
func TestNested(t *testing.T) {
	r := record(flow.IPFIX, flow.SrcPort)
	r.SrcPort = 1024
	r.Nested = []flow.Nested{
		nest(291, 1, 0, 0, 0, 14, "\x01"), nest(291, 1, 0, 1, 0, 14, "\x04"),
		nest(292, 1, 1, 0, 0, 8, "\xc0\x00\x02\x01"), nest(292, 1, 1, 0, 0, 291, "?"),
		nest(291, 2, 2, 0, 6876, 898, "a\"b"), nest(291, 2, 2, 1, 6876, 898, "c"),
		nest(292, 1, 1, 0, 0, 7, "\x00\x50"), nest(292, 1, 1, 1, 0, 8, "bad"), nest(292, 1, 1, 1, 4711, 5, "\x07"),
		nest(292, 1, 1, 1, 0, 320, "\x7f\xf8\x00\x00\x00\x00\x00\x00"),
		nest(291, 1, 3, 0, 0, 4, "\x06"),
	}
	m := builder(t, Options{
		ExtraFields: []string{"egressInterface", "6876/virtualObsID", "protocolIdentifier", "sourceTransportPort",
			"basicList", "subTemplateList", "subTemplateMultiList", "sourceIPv6Address"},
		FlowTags: []string{"egressInterface"},
	}).Flow(r, time.Unix(0, 1))
	for name, want := range map[string]any{
		"virtualObsID": `a"b,c`, "protocolIdentifier": uint64(6), "sourceTransportPort": uint64(1024),
		"basicList":       `[{"semantic":"allOf","element":"egressInterface","values":[1,4]},{"semantic":"allOf","element":"protocolIdentifier","values":[6]}]`,
		"subTemplateList": `[{"semantic":"allOf","records":[{"basicList":{"semantic":"allOf","element":"virtualObsID","values":["a\"b","c"]},"sourceIPv4Address":"192.0.2.1","sourceTransportPort":80},{"absoluteError":"NaN","sourceIPv4Address":"0x626164","type_4711_5":"0x07"}]}]`,
	} {
		if v, _ := m.GetField(name); v != want {
			t.Errorf("%s:\ngot  %v\nwant %v", name, v, want)
		}
	}
	if v, _ := m.GetTag("egressInterface"); v != "1,4" {
		t.Errorf("tag egressInterface: got %q", v)
	}
	if m.HasField("subTemplateMultiList") || m.HasField("sourceIPv6Address") {
		t.Errorf("got what is not there: %v", m.Fields())
	}
}
