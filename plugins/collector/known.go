package collector

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// The bounds of the option records that are kept for one domain.
const (
	maxOptions     = 4096
	maxOptionBytes = 512 << 10
)

// optionKey names an option record: its template, and the source port that sent that,
// its scope, and what else identifies it.
type optionKey struct {
	id    uint16
	port  uint16
	scope string
}

// remember keeps an option record, to be sent again and to survive a restart.
func (d *Decoder) remember(m *message, o *flow.OptionRecord, raw []byte) {
	dom := m.dom
	d.scope = d.scope[:0]
	for i := range o.Scope {
		d.scope = append(d.scope, o.Scope[i].Value...)
	}
	for i := range o.Fields {
		if e := &o.Fields[i]; identifies(e) {
			d.scope = append(d.scope, e.Value...)
		}
	}
	port := dom.templatePort(o.TemplateID, m.port)
	if known, ok := dom.options[optionKey{o.TemplateID, port, string(d.scope)}]; ok && string(known) == string(raw) {
		return
	}
	key := optionKey{o.TemplateID, port, string(d.scope)}
	size := len(raw) + len(key.scope) + 96
	old, replaced := dom.options[key]
	if replaced {
		size -= len(old) + len(key.scope) + 96
	}
	if !replaced && len(dom.options) >= maxOptions || dom.optionBytes+size > maxOptionBytes ||
		!d.affords(dom.account, size) {
		return
	}
	if dom.options == nil {
		dom.options = map[optionKey][]byte{}
	}
	dom.options[key] = slices.Clone(raw)
	d.revision++
	d.grow(dom, size)
	dom.optionBytes += size
}

// templatePort returns the source port that has sent the template which is used for
// what comes from a port: that port, or another one (see Decoder.template).
func (dom *domain) templatePort(id, port uint16) uint16 {
	list := dom.templates[id]
	if len(list) > 0 && !slices.ContainsFunc(list, func(e entry) bool { return e.port == port }) {
		return list[0].port
	}
	return port
}

// identifies says whether a field tells what a record is about although it is no
// scope: tables of samplers, selectors, applications, interfaces and VRFs have the
// whole system as their scope with some exporters.
func identifies(e *flow.Element) bool {
	if e.PEN != 0 {
		return false
	}
	switch e.ID {
	case ie.SourceIPv4Address, ie.IngressInterface, ie.SourceIPv6Address, ie.SamplerId, ie.ApplicationId,
		ie.IngressVRFID, ie.SelectorId:
		return true
	}
	return false
}

// forgetOptions drops a port's option records of a template whose layout is no
// more.
func (d *Decoder) forgetOptions(dom *domain, id, port uint16) {
	for key, raw := range dom.options {
		if key.id == id && key.port == port {
			size := len(raw) + len(key.scope) + 96
			d.grow(dom, -size)
			dom.optionBytes -= size
			delete(dom.options, key)
		}
	}
}

// Revision returns a number that rises when what Known tells becomes more or other.
func (d *Decoder) Revision() uint64 { return d.revision }

// Known calls fn with datagrams that tell what is known of every exporter of
// NetFlow v9 and IPFIX: its templates and the latest option records. They are
// well-formed and marked as Resent; received is when the newest of their
// templates was last used. A decoder that gets them can decode the exporter's
// data from then on. Those marked as Stream are of connections that end with the
// process.
func (d *Decoder) Known(fn func(Datagram)) {
	for key, dom := range d.domains {
		if key.version != flow.V9 && key.version != flow.IPFIX {
			continue
		}
		var ports []uint16
		for _, list := range dom.templates {
			for i := range list {
				if !slices.Contains(ports, list[i].port) {
					ports = append(ports, list[i].port)
				}
			}
		}
		slices.Sort(ports)
		for _, port := range ports {
			dom.known(port, fn)
		}
	}
}

// setEncoder is what the encoders of v9 and IPFIX have in common.
type setEncoder interface {
	Begin(dst []byte, exported flow.Time)
	AddTemplates(templates ...*ipfix.Template)
	AddRecord(t *ipfix.Template, raw []byte)
	Len() int
	End() []byte
}

// encoder returns an encoder whose headers are those of the domain's last
// datagram.
func (dom *domain) encoder() setEncoder {
	if dom.key.version == flow.V9 {
		e := &netflow.V9Encoder{SourceID: dom.key.domain}
		e.Boot = dom.exported - flow.Time(dom.sysUptime)*1e6
		return e
	}
	return &ipfix.Encoder{Domain: dom.key.domain}
}

// known calls fn with the datagrams of one source port.
func (dom *domain) known(port uint16, fn func(Datagram)) {
	var templates []*ipfix.Template
	var used flow.Time
	for _, list := range dom.templates {
		for i := range list {
			if list[i].port == port {
				templates = append(templates, list[i].t)
				used = max(used, list[i].used)
			}
		}
	}
	slices.SortFunc(templates, func(a, b *ipfix.Template) int { return int(a.ID) - int(b.ID) })
	e := dom.encoder()
	open := false
	flush := func() {
		if open {
			fn(Datagram{Exporter: netip.AddrPortFrom(dom.key.addr, port), Received: used.Time(), Payload: e.End(),
				Resent: true, Stream: dom.key.stream, Policy: dom.policy()})
			open = false
		}
	}
	room := func(size int) {
		if open && e.Len()+size > ipfix.DefaultLimit {
			flush()
		}
		if !open {
			e.Begin(nil, dom.exported)
			open = true
		}
	}
	for _, t := range templates {
		room(16 + 8*len(t.Fields))
		e.AddTemplates(t)
	}
	flush()
	for _, key := range dom.optionKeys(port) {
		raw := dom.options[key]
		at := slices.IndexFunc(templates, func(t *ipfix.Template) bool { return t.ID == key.id })
		if at < 0 {
			continue
		}
		room(len(raw) + 8)
		e.AddRecord(templates[at], raw)
	}
	flush()
}

// policy returns what the domain's exporter is read by.
func (dom *domain) policy() flow.Policy {
	if c := dom.exporter.config; c != nil {
		return c.Policy
	}
	return flow.Policy{}
}

// optionKeys returns the keys of a port's option records, sorted.
func (dom *domain) optionKeys(port uint16) []optionKey {
	var keys []optionKey
	for key := range dom.options {
		if key.port == port {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b optionKey) int {
		if a.id != b.id {
			return int(a.id) - int(b.id)
		}
		return strings.Compare(a.scope, b.scope)
	})
	return keys
}
