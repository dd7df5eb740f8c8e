package collector

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// nameKind is a table of names that option records tell.
type nameKind uint8

const (
	nameInterface nameKind = iota + 1
	nameVRF
	nameApp
	nameSampler
)

// nameKey is a number in a table. An application's may have more bytes than a number has
// (RFC 6759, section 4.1: an engine, for engine 20 an enterprise, and a selector of any
// length); it is then in long.
type nameKey struct {
	kind nameKind
	id   uint64
	long string
}

// keyOf returns the key of a number as it was on the wire; leading zeros say nothing.
func keyOf(kind nameKind, b []byte) nameKey {
	for len(b) > 8 && b[0] == 0 {
		b = b[1:]
	}
	if len(b) > 8 {
		return nameKey{kind: kind, long: string(b)}
	}
	return nameKey{kind: kind, id: wire.Uint(b)}
}

// The bounds of an exporter's or a domain's tables: entries, and bytes of a name.
const (
	maxTableNames = 65536 // a router with a subscriber on each interface has that many
	maxNameLen    = 255
)

// scopeInterface is NetFlow v9's scope type of interfaces (RFC 3954, section 6.1).
const scopeInterface = 2

// table are the names that option records have told.
type table map[nameKey]string

// learnNames takes names from an option record.
func (dom *domain) learnNames(o *flow.OptionRecord) {
	var keys [nameSampler + 1]nameKey
	var names [nameSampler + 1][]byte
	take := func(e *flow.Element, scope bool) {
		id := e.ID
		if scope && o.Version == flow.V9 {
			if id != scopeInterface {
				return
			}
			id = ie.IngressInterface
		}
		kind, name := nameElement(id)
		switch {
		case e.PEN != 0 || kind == 0:
		case name && (names[kind] == nil || id != ie.InterfaceDescription && id != ie.ApplicationDescription):
			names[kind], _, _ = bytes.Cut(e.Value, []byte{0}) // behind it, fields of a fixed length may have anything
		case !name && len(e.Value) > 0 && (len(e.Value) <= 8 || kind == nameApp && len(e.Value) <= maxNameLen):
			keys[kind] = keyOf(kind, e.Value)
		}
	}
	for i := range o.Scope {
		take(&o.Scope[i], true)
	}
	for i := range o.Fields {
		take(&o.Fields[i], false)
	}
	dom.learnUser(o)
	for kind := nameInterface; kind <= nameSampler; kind++ {
		if key := keys[kind]; key.kind != 0 && len(names[kind]) > 0 {
			dom.keepName(key, names[kind])
		}
	}
}

// learnUser takes the name of the user behind an address from an option record:
// userName (371), or the element of Cisco's or Palo Alto's firewalls.
func (dom *domain) learnUser(o *flow.OptionRecord) {
	var user []byte
	var addr netip.Addr
	for _, list := range [...][]flow.Element{o.Scope, o.Fields} {
		for i := range list {
			switch e := &list[i]; {
			case e.PEN == 0 && e.ID == ie.UserName, o.Version == flow.V9 &&
				(e.ID == ie.NFUsername || e.ID == ie.PaloAltoUserID),
				e.PEN == ie.PaloAltoPEN && e.ID == ie.PaloAltoUserID:
				user, _, _ = bytes.Cut(e.Value, []byte{0})
			case e.PEN == 0 && (e.ID == ie.SourceIPv4Address || e.ID == ie.SourceIPv6Address):
				if a, ok := netip.AddrFromSlice(e.Value); ok && !a.IsUnspecified() {
					addr = a.Unmap()
				}
			}
		}
	}
	if addr.IsValid() && len(user) > 0 {
		dom.keepUser(addr, user)
	}
}

// nameElement returns the table that an element belongs to, and whether it is the
// name; descriptions are that for want of a name.
func nameElement(id uint16) (kind nameKind, name bool) {
	switch id {
	case ie.IngressInterface, ie.EgressInterface, ie.IngressPhysicalInterface, ie.EgressPhysicalInterface:
		return nameInterface, false
	case ie.InterfaceName, ie.InterfaceDescription:
		return nameInterface, true
	case ie.IngressVRFID, ie.EgressVRFID:
		return nameVRF, false
	case ie.VRFname:
		return nameVRF, true
	case ie.ApplicationId:
		return nameApp, false
	case ie.ApplicationDescription, ie.ApplicationName:
		return nameApp, true
	case ie.SamplerId, ie.SelectorId:
		return nameSampler, false
	case ie.SamplerName:
		return nameSampler, true
	}
	return 0, false
}

// nameOverhead is about what a name takes in memory besides its bytes.
const nameOverhead = 80

// keepName keeps a name, of the domain and for all domains of the exporter, as far as
// the address may have more.
func (dom *domain) keepName(key nameKey, name []byte) {
	name = name[:min(len(name), maxNameLen)]
	d := dom.decoder
	if !d.affords(dom.account, 2*(nameOverhead+len(name))) {
		return
	}
	t, size := dom.names.set(key, name)
	dom.names = t
	if size != 0 {
		d.grow(dom, size)
	}
	dom.chargeNames(dom.exporter.known.setName(key, name))
}

// keepUser keeps the name of the user behind an address, as keepName does.
func (dom *domain) keepUser(addr netip.Addr, name []byte) {
	name = name[:min(len(name), maxNameLen)]
	if dom.decoder.affords(dom.account, nameOverhead+len(name)) {
		dom.chargeNames(dom.exporter.known.setUser(addr, name))
	}
}

// chargeNames counts memory that an exporter's names take, until it is forgotten.
func (dom *domain) chargeNames(size int) {
	if size != 0 {
		dom.exporter.names += size
		dom.decoder.charge(dom.account, size)
	}
}

// set adds a name, within the bounds, and returns by how much the table has grown.
func (t table) set(key nameKey, name []byte) (table, int) {
	old, known := t[key]
	if known && old == string(name) || !known && len(t) >= maxTableNames {
		return t, 0
	}
	if t == nil {
		t = table{}
	}
	t[key] = strings.ToValidUTF8(string(name), "\uFFFD")
	return t, growth(old, known, t[key])
}

// growth returns by how many bytes a table grows where a name takes the place of an old
// one, or is new.
func growth(old string, known bool, name string) int {
	if known {
		return len(name) - len(old)
	}
	return nameOverhead + len(name)
}

// name returns a number's name: the domain's own, else that of any of the
// exporter's domains, as options often come under another source id than data.
func (dom *domain) name(kind nameKind, id uint64) string {
	return dom.nameOf(nameKey{kind: kind, id: id})
}

func (dom *domain) nameOf(key nameKey) string {
	if name, ok := dom.names[key]; ok {
		return name
	}
	return dom.exporter.known.name(key)
}

// appName returns the name of an application. It allocates nothing.
func (dom *domain) appName(id []byte) string {
	for len(id) > 8 && id[0] == 0 {
		id = id[1:]
	}
	if len(id) <= 8 {
		return dom.name(nameApp, wire.Uint(id))
	}
	if name, ok := dom.names[nameKey{kind: nameApp, long: string(id)}]; ok {
		return name
	}
	return dom.exporter.known.longName(id)
}

// longName returns the name of an application whose id has more bytes than a number.
func (k *knowledge) longName(id []byte) string {
	if !k.hasNames.Load() {
		return ""
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.names[nameKey{kind: nameApp, long: string(id)}]
}

// join gives the flow at hand the names of its numbers.
func (l *lane) join(dom *domain, r *flow.Record) {
	c, enrich := dom.exporter.config, l.opt.Enrich
	tables := dom.exporter.known.hasNames.Load()
	if !tables && enrich == nil && (c == nil || c.Name == "" && c.Interfaces == nil && !c.SeparatePorts) {
		return
	}
	n := &l.names
	*n = flow.Names{}
	if tables {
		dom.joinTables(r, n)
	}
	if c != nil {
		n.Exporter, n.Port = c.Name, dom.key.port
		if name := c.Interfaces[r.Input]; name != "" && r.Has(flow.Input) {
			n.Input = name
		}
		if name := c.Interfaces[r.Output]; name != "" && r.Has(flow.Output) {
			n.Output = name
		}
	}
	if enrich != nil {
		enrich(r, n)
	}
	r.Names = n
}

// joinTables looks names up in the option tables.
func (dom *domain) joinTables(r *flow.Record, n *flow.Names) {
	if r.Has(flow.Input) {
		n.Input = dom.name(nameInterface, uint64(r.Input))
	}
	if r.Has(flow.Output) {
		n.Output = dom.name(nameInterface, uint64(r.Output))
	}
	if r.Has(flow.IngressVRF) {
		n.IngressVRF = dom.name(nameVRF, uint64(r.IngressVRF))
	}
	if r.Has(flow.EgressVRF) {
		n.EgressVRF = dom.name(nameVRF, uint64(r.EgressVRF))
	}
	if len(r.AppID) > 0 {
		n.App = dom.appName(r.AppID)
	}
	if len(r.User) == 0 {
		n.User = dom.exporter.known.user(r.Src, r.Dst)
	}
	if r.Has(flow.SamplerID) {
		n.Sampler = dom.name(nameSampler, r.SamplerID)
	}
}
