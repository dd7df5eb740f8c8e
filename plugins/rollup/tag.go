package rollup

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// tagKind is how the value of a tag comes out of a flow, and what its words of a key are.
type tagKind uint8

const (
	tagNumber    tagKind = iota // a field
	tagAddress                  // a field; two words
	tagOctets                   // a field; the number of its text
	tagLabel                    // a name; the number of its text
	tagUser                     // the field, else the name
	tagVersion                  // of the protocol
	tagDomain                   // observation domain
	tagExporter                 // its name's number and 0, else its address; two words
	tagInterface                // its name's number and nameBit, else its index
	tagService
	tagNet   // of an address; two words
	tagClass // of an address
	tagICMPCode
	tagVNI
	tagRole // of a port of a VMware switch
	tagRate // of sampling, at least 1
)

// nameBit marks a number that is that of a text.
const nameBit = 1 << 63

// tag is a tag of a roll-up, ready for use.
type tag struct {
	name  string
	kind  tagKind
	field flow.Field
	label flow.Label
	at    int // where its words of a key begin

	bits4, bits6 int
	mask4, mask6 flow.Value
	internal     *networks
	known        *services
}

// derivedTags are the tags that are not fields of a flow by their names.
var derivedTags = []tag{
	{name: "source", kind: tagAddress, field: flow.Router},
	{name: "version", kind: tagVersion},
	{name: "domain", kind: tagDomain},
	{name: "exporter", kind: tagExporter, field: flow.Router},
	{name: "interface", kind: tagInterface},
	{name: "service", kind: tagService},
	{name: "src_net", kind: tagNet, field: flow.Src},
	{name: "dst_net", kind: tagNet, field: flow.Dst},
	{name: "src_class", kind: tagClass, field: flow.Src},
	{name: "dst_class", kind: tagClass, field: flow.Dst},
	{name: "icmp_code", kind: tagICMPCode},
	{name: "vni", kind: tagVNI},
	{name: "ingress_role", kind: tagRole, field: flow.IngressAttr},
	{name: "egress_role", kind: tagRole, field: flow.EgressAttr},
	{name: "sampling_rate", kind: tagRate},
	{name: "username", kind: tagUser, field: flow.User},
}

// pointFields are the fields of a flow that a point has as fields: in InfluxDB a tag of that
// name would hide them.
var pointFields = []string{"flows", "flow_start", "flow_end"}

// TagNames returns the names that a tag of a roll-up can have, sorted.
func TagNames() []string {
	var names []string
	for _, t := range derivedTags {
		names = append(names, t.name)
	}
	for f := range flow.Field(flow.NumFields) {
		if f.Name() != "" && !slices.Contains(pointFields, f.Name()) {
			names = append(names, f.Name())
		}
	}
	for l := range flow.Label(flow.NumLabels) {
		names = append(names, l.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// secondary are words of tags which are meant more seldom than others that have the same
// words besides.
var secondary = []string{"dst", "out", "next", "prev"}

// similarTag returns the tag that was probably meant: one that has all the words of a name,
// but for those that say nothing here, as src_ip is src, as is bgp_src_as and vm is in_vm.
func similarTag(name string) string {
	words := slices.DeleteFunc(strings.Split(strings.ToLower(name), "_"), func(word string) bool {
		return slices.Contains([]string{"", "ip", "ipv4", "ipv6", "addr", "address"}, word)
	})
	best, least := "", 0
	for _, tag := range TagNames() {
		of := strings.Split(tag, "_")
		if len(words) == 0 || slices.ContainsFunc(words, func(word string) bool { return !slices.Contains(of, word) }) {
			continue
		}
		weight := 2 * len(of)
		if slices.ContainsFunc(of, func(word string) bool { return slices.Contains(secondary, word) }) {
			weight++
		}
		if best == "" || weight < least {
			best, least = tag, weight
		}
	}
	if best == "" {
		return nffilter.Suggestion(name, TagNames())
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// parseTag returns the tag of a name.
func parseTag(name string) (tag, error) {
	if slices.Contains(pointFields, name) {
		return tag{}, fmt.Errorf("expected none that is a field of each point, got %q", name)
	}
	if i := slices.IndexFunc(derivedTags, func(t tag) bool { return t.name == name }); i >= 0 {
		return derivedTags[i], nil
	}
	if f, ok := flow.FieldByName(name); ok {
		t := tag{name: name, kind: tagNumber, field: f}
		switch f.Describe().Kind {
		case flow.KindAddress:
			t.kind = tagAddress
		case flow.KindText, flow.KindOctets:
			t.kind = tagOctets
		}
		return t, nil
	}
	for l := range flow.Label(flow.NumLabels) {
		if l.String() == name {
			return tag{name: name, kind: tagLabel, label: l}, nil
		}
	}
	return tag{}, fmt.Errorf("expected fields of a flow, or what follows from them, got %q%s", name,
		similarTag(name))
}

// words returns how many words of a key the tag has.
func (t *tag) words() int {
	switch t.kind {
	case tagAddress, tagExporter, tagNet:
		return 2
	}
	return 1
}

// put puts the value of a flow into a key, whose words are 0, and says whether there is one, which is false
// where the flow has none. full says that there was no number left for it. Of numbers, and of labels where there
// are no names, the lane takes care.
func (t *tag) put(key []uint64, r *flow.Record, l *lane) (has, full bool) {
	switch t.kind {
	case tagAddress:
		return t.putAddress(key, r, l), false
	case tagNet:
		if !r.Has(t.field) {
			return false, false
		}
		v, m := l.at.of(r, t.field), t.mask6
		if v.Hi == 0 && v.Lo>>32 == flow.Mapped4>>32 {
			m = t.mask4
		}
		key[t.at], key[t.at+1] = v.Hi&m.Hi, v.Lo&m.Lo
		return true, false
	case tagClass:
		if !r.Has(t.field) {
			return false, false
		}
		if t.internal.contain(r.Addr(t.field)) {
			key[t.at] = 1
		}
		return true, false
	case tagService:
		if !r.Has(flow.Proto) {
			return false, false
		}
		key[t.at] = t.known.of(r)
		return true, false
	}
	return t.putRare(key, r, l)
}

// putRare is put for the other kinds.
func (t *tag) putRare(key []uint64, r *flow.Record, l *lane) (has, full bool) {
	switch t.kind {
	case tagVersion:
		key[t.at] = uint64(r.Version)
		return true, false
	case tagDomain:
		if r.Domain == 0 || r.Version == flow.SFlow {
			return false, false
		}
		key[t.at] = uint64(r.Domain)
		return true, false
	case tagICMPCode:
		if !r.Has(flow.ICMP) {
			return false, false
		}
		key[t.at] = uint64(r.ICMP & 0xff)
		return true, false
	case tagVNI:
		key[t.at] = r.SegmentID & 0xffffff
		return key[t.at] != 0, false
	case tagRole:
		if n := r.Number(t.field); n < uint64(len(roles)) {
			key[t.at] = n
		}
		return r.Has(t.field), false
	case tagRate:
		key[t.at] = r.Rate()
		return true, false
	case tagOctets:
		return t.putOctets(key, r, l)
	case tagUser:
		if r.Has(t.field) && len(r.User) > 0 {
			return t.putOctets(key, r, l)
		}
		return t.putName(key, userLabel, r, l)
	case tagLabel:
		return t.putName(key, t.label, r, l)
	case tagExporter:
		if has, full = t.putName(key, exporterLabel, r, l); has || full {
			return has, full
		}
		return t.putAddress(key, r, l), false
	case tagInterface:
		return t.putInterface(key, r, l)
	}
	return false, false
}

// putAddress puts an address.
func (t *tag) putAddress(key []uint64, r *flow.Record, l *lane) bool {
	if t.field != flow.Router && !r.Has(t.field) {
		return false
	}
	v := l.at.of(r, t.field)
	key[t.at], key[t.at+1] = v.Hi, v.Lo
	return true
}

// putName puts the number of a name.
func (t *tag) putName(key []uint64, label flow.Label, r *flow.Record, l *lane) (has, full bool) {
	if r.Names == nil {
		return false, false
	}
	text := r.Names.Label(label)
	if text == "" {
		return false, false
	}
	return t.number(key, l.number(text))
}

// putOctets puts the number of a field's text.
func (t *tag) putOctets(key []uint64, r *flow.Record, l *lane) (has, full bool) {
	if !r.Has(t.field) {
		return false, false
	}
	return t.number(key, l.octets(t.field, r))
}

// number puts the number of a text.
func (t *tag) number(key []uint64, id uint32) (has, full bool) {
	switch id {
	case 0:
		return false, false
	case noText:
		return false, true
	}
	key[t.at] = uint64(id)
	if t.kind == tagInterface {
		key[t.at] |= nameBit
	}
	return true, false
}

// putInterface puts the interface where a flow was seen: that of its direction, which is
// in unless it says otherwise.
func (t *tag) putInterface(key []uint64, r *flow.Record, l *lane) (has, full bool) {
	field, label, index := flow.Input, inputLabel, r.Input
	if r.Direction == 1 || !r.Has(flow.Input) {
		field, label, index = flow.Output, outputLabel, r.Output
	}
	if has, full = t.putName(key, label, r, l); has || full {
		return has, full
	}
	if r.Has(field) {
		key[t.at] = uint64(index)
	}
	return r.Has(field), false
}

// The labels that derived tags are made of.
var (
	exporterLabel = labelOf("exporter_name")
	inputLabel    = labelOf("in_interface")
	outputLabel   = labelOf("out_interface")
	userLabel     = labelOf("username")
)

// labelOf returns the label of a name.
func labelOf(name string) flow.Label {
	for l := range flow.Label(flow.NumLabels) {
		if l.String() == name {
			return l
		}
	}
	return flow.Label(flow.NumLabels)
}

// roles are what a port of a VMware virtual switch is for (its elements 888 and 890).
var roles = []string{"unknown", "uplink", "vm", "vxlan"}

// value returns the value of the tag for a key that has one.
func (t *tag) value(s *Set, texts *texts, key []uint64) string {
	w := key[t.at]
	switch t.kind {
	case tagAddress:
		return flow.Value{Hi: w, Lo: key[t.at+1]}.Addr().String()
	case tagNet:
		return t.network(flow.Value{Hi: w, Lo: key[t.at+1]})
	case tagClass:
		if w == 1 {
			return "internal"
		}
		return "external"
	case tagService:
		return t.known.name(s, w)
	case tagVersion:
		return flow.Version(w).String()
	case tagOctets, tagLabel, tagUser:
		return texts.text(uint32(w))
	case tagExporter:
		if key[t.at+1] == 0 {
			return texts.text(uint32(w))
		}
		return flow.Value{Hi: w, Lo: key[t.at+1]}.Addr().String()
	case tagInterface:
		if w&nameBit != 0 {
			return texts.text(uint32(w))
		}
	case tagRole:
		if int(w) < len(roles) {
			return roles[w]
		}
		return roles[0]
	case tagNumber:
		return s.number(t.field, w)
	}
	return strconv.FormatUint(w, 10)
}

// network returns a network as text.
func (t *tag) network(v flow.Value) string {
	addr := v.Addr()
	if addr.Is4() {
		return netip.PrefixFrom(addr, t.bits4).String()
	}
	return netip.PrefixFrom(addr, t.bits6).String()
}

// number returns the text of a field that is a number.
func (s *Set) number(f flow.Field, v uint64) string {
	s.scratch.Reset()
	s.scratch.SetNumber(f, v)
	s.scratch.Present.Add(f)
	return s.textOf(&s.scratch, f)
}

// textOf returns the text of a field.
func (s *Set) textOf(r *flow.Record, f flow.Field) string {
	s.textMu.Lock()
	defer s.textMu.Unlock()
	return s.text(r, f)
}

// plainText is what stands for Options.Text.
func plainText(r *flow.Record, f flow.Field) string {
	switch f.Describe().Kind {
	case flow.KindText:
		return string(r.Octets(f))
	case flow.KindOctets:
		return hex.EncodeToString(r.Octets(f))
	}
	return strconv.FormatUint(r.Number(f), 10)
}
