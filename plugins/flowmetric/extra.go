package flowmetric

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// addedNames are the fields of netflow that are neither the stock plugin's, nor a field
// of flow.Record, nor a label of flow.Names.
var addedNames = []string{"count_kind", "sampling_source", "scaled_bytes", "scaled_packets", "exporter_port",
	"agent_ip", "agent_subid",
	"l2_protocol", "datalink_frame_type", "vlan_id", "vlan_outer_id", "vni", "reason", "acl_name", "function",
	"ingress_role",
	"egress_role"}

// added says whether a field has one of these names, or that of an element of
// VMware's, which has its own name without being asked for.
func added(name string) bool {
	for l := range flow.Label(flow.NumLabels) {
		if l.String() == name {
			return true
		}
	}
	return slices.Contains(addedNames, name) || slices.ContainsFunc(ie.All(), func(e ie.Element) bool {
		return e.PEN == ie.VMwarePEN && e.Name == name
	})
}

// joined writes names that option tables or the configuration have for the flow's
// numbers. A name in the flow's own record stays.
func (b *Builder) joined(n *flow.Names) {
	for l := range flow.Label(flow.NumLabels) {
		if value := n.Label(l); value != "" && b.find(l.String()) < 0 {
			b.addValue(l.String(), b.cache.string(value))
		}
	}
	if n.Port != 0 {
		b.put("exporter_port", uint64(n.Port))
	}
}

// extraField is an element that becomes a field on request.
type extraField struct {
	pen  uint32
	id   uint16
	v9   uint16 // its number in NetFlow v9 if it is a vendor's, 0 when it has none
	name string
	kind kind
}

// is says whether e is the element, in a record of NetFlow v9 or of IPFIX.
func (x *extraField) is(e *flow.Element, v9 bool) bool {
	return e.PEN == x.pen && e.ID == x.id || v9 && x.v9 != 0 && e.PEN == 0 && e.ID == x.v9
}

// ntopV9 is the first of ntop's elements in NetFlow v9.
const ntopV9 = 57472

// v9Number returns the number of a vendor's element in NetFlow v9, which has no
// enterprise numbers: types from 32768 are the vendor's own. It returns 0 when it has
// none.
func v9Number(pen uint32, id uint16) uint16 {
	const vendor = 0x8000
	switch {
	case pen == ie.CiscoPEN && id < vendor:
		return vendor | id
	case pen == ie.PaloAltoPEN && id >= vendor:
		return id
	case pen == ie.NtopPEN && id < 1<<16-ntopV9:
		return ntopV9 + id
	}
	return 0
}

// extraFields reads the option extra_fields.
func extraFields(list []string) ([]extraField, error) {
	var all []extraField
	for _, s := range list {
		f, err := parseExtra(s)
		if err != nil {
			return nil, fmt.Errorf("extra_fields: %w", err)
		}
		all = append(all, f)
	}
	return all, nil
}

// parseExtra reads one name: of the registry, or type_<id> or type_<pen>_<id>.
func parseExtra(s string) (extraField, error) {
	if digits, ok := strings.CutPrefix(s, "type_"); ok {
		pen := "0"
		if before, after, two := strings.Cut(digits, "_"); two {
			pen, digits = before, after
		}
		p, err := strconv.ParseUint(pen, 10, 32)
		id, err2 := strconv.ParseUint(digits, 10, 16)
		if err != nil || err2 != nil {
			return extraField{}, fmt.Errorf("expected type_<id> or type_<pen>_<id>, got %q", s)
		}
		return extraField{uint32(p), uint16(id), 0, s, kindHex}, nil
	}
	e, err := ie.ByName(s)
	if err != nil {
		return extraField{}, err
	}
	name := e.Name
	if name == "" {
		name = "type_" + strings.ReplaceAll(s, "/", "_")
	}
	return extraField{e.PEN, e.ID, v9Number(e.PEN, e.ID), name, kindOf(e)}, nil
}

// kindOf returns how the values of an element are written. The UUIDs of VMware's
// distributed firewall are so in spite of their types.
func kindOf(e ie.Element) kind {
	if e.PEN == ie.VMwarePEN && (e.ID == ie.VMwareVmUuid || e.ID == ie.VMwareVifUuid) {
		return kindUUID
	}
	return kindOfType(e.Type)
}

// kindOfType returns how the values of a type are written.
func kindOfType(t ie.Type) kind {
	switch t {
	case ie.Unsigned8, ie.Unsigned16, ie.Unsigned32, ie.Unsigned64, ie.DateTimeSeconds, ie.DateTimeMilliseconds,
		ie.DateTimeMicroseconds, ie.DateTimeNanoseconds:
		return kindUint
	case ie.Signed8, ie.Signed16, ie.Signed32, ie.Signed64:
		return kindInt
	case ie.Float32:
		return kindFloat32
	case ie.Float64:
		return kindFloat64
	case ie.Boolean:
		return kindBool
	case ie.MACAddress:
		return kindMAC
	case ie.String:
		return kindString
	case ie.IPv4Address, ie.IPv6Address:
		return kindIP
	}
	return kindHex
}

// extraField writes an element under its own name and with a value of its own type:
// from the bytes the exporter sent, from the field that holds it, from a table of
// names, or from structured data.
func (b *Builder) extraField(x *extraField, r *flow.Record) {
	if x.pen == 0 && isList(x.id) {
		b.lists(x, r)
		return
	}
	for i := range r.Extra {
		if e := &r.Extra[i]; x.is(e, r.Version == flow.V9) {
			b.setValue(x.name, b.cache.of(x.kind, e.Value))
			return
		}
	}
	if v, ok := ipfix.Value(b.scratch[:0], x.pen, x.id, r); ok {
		b.setValue(x.name, b.cache.of(x.kind, v))
	} else if name := joinedName(x, r.Names); name != "" {
		b.setValue(x.name, b.cache.string(name))
	} else {
		b.nested(x, r)
	}
}

// joinedName returns what a table or the configuration has for an element that is a
// name.
func joinedName(x *extraField, n *flow.Names) string {
	if n == nil || x.pen != 0 {
		return ""
	}
	switch x.id {
	case ie.InterfaceName:
		return n.Input
	case ie.SamplerName:
		return n.Sampler
	case ie.ApplicationName:
		return n.App
	case ie.VRFname:
		return n.IngressVRF
	}
	return ""
}
