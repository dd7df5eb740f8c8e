package query

import (
	"sync/atomic"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// matcher asks the filter of a query about the flows of one goroutine. nil is no filter:
// all flows match.
type matcher struct {
	filter  *nffilter.Filter
	count   *atomic.Uint64 // flows of the query so far
	context nffilter.Context

	countries *countries // where the filter asks for them
	systems   *systems   // likewise
	names     flow.Names
}

// newMatcher returns what asks the filter of the input, nil without one.
func (in Input) newMatcher(count *atomic.Uint64) *matcher {
	if in.Filter == nil {
		return nil
	}
	m := &matcher{filter: in.Filter, count: count}
	if in.Filter.NeedsCountries() {
		m.countries = newCountries(in.Country)
	}
	if in.Filter.Fields().Meets(systemFields) {
		m.systems = newSystems(in.AS)
	}
	return m
}

// fields returns the fields that the filter reads.
func (m *matcher) fields() flow.Set {
	if m == nil {
		return flow.Set{}
	}
	fields := m.filter.Fields()
	if m.systems != nil {
		fields = fields.Union(flow.SetOf(flow.Src, flow.Dst))
	}
	return fields
}

// sieve returns what asks the filter before a flow is decoded; nil where that cannot be, and
// without a filter.
func (m *matcher) sieve() *nffile.Sieve {
	if m == nil || m.countries != nil || m.systems != nil || m.filter.NeedsContext() || m.filter.NeedsRecord() {
		return nil
	}
	return nffile.NewSieve(m.filter.Fields(), m.filter.Needles(), func(r *flow.Record) bool {
		return m.filter.Match(r, nil)
	})
}

// matches says whether the flow that d has decoded passes the filter.
func (m *matcher) matches(d *nffile.Decoder) bool {
	if d == nil {
		return false
	}
	if m.countries != nil {
		r := d.Record()
		m.names.SrcCountry, m.names.DstCountry = m.countries.name(r.Src), m.countries.name(r.Dst)
		defer func(names *flow.Names) { r.Names = names }(r.Names)
		r.Names = &m.names
	}
	if m.systems != nil {
		r := d.Record()
		defer m.systems.fill(r).restore(r)
	}
	if !m.filter.NeedsContext() {
		return m.filter.Match(d.Record(), nil)
	}
	x := d.Extra()
	m.context = nffilter.Context{
		Ident:         d.Ident(),
		Count:         m.count.Add(1),
		SysID:         d.SysID(),
		ClientLatency: x.ClientDelay,
		ServerLatency: x.ServerDelay,
		AppLatency:    x.AppDelay,
		Payload:       x.InPayload,
		OutPayload:    x.OutPayload,
	}
	if x.Has&nffile.HasDelays == 0 {
		m.context.ClientLatency, m.context.ServerLatency, m.context.AppLatency = 0, 0, 0
	}
	if x.Has&nffile.HasPayload == 0 {
		m.context.Payload = nil
	}
	if x.Has&nffile.HasOutPayload == 0 {
		m.context.OutPayload = nil
	}
	return m.filter.Match(d.Record(), &m.context)
}
