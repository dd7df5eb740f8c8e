package query

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// systems tells the autonomous systems of addresses, for flows that do not tell them: as
// nfdump with a data base of places, it takes 0 for none. nil leaves flows as they are.
type systems struct{ remembered[uint32] }

// systemFields are those that may be told.
var systemFields = flow.SetOf(flow.SrcAS, flow.DstAS)

// newSystems returns what asks of for the system of an address, nil when of is.
func newSystems(of func(netip.Addr) uint32) *systems {
	if of == nil {
		return nil
	}
	return &systems{remembered[uint32]{of, map[netip.Addr]uint32{}}}
}

// toldSystems are what a flow itself tells.
type toldSystems struct {
	src, dst uint32
	present  flow.Set
}

// fill gives a flow the systems that it does not tell, and returns those that it does.
func (s *systems) fill(r *flow.Record) toldSystems {
	told := toldSystems{r.SrcAS, r.DstAS, r.Present}
	if s == nil {
		return told
	}
	if r.SrcAS == 0 {
		if r.SrcAS = s.of(r.Src); r.SrcAS != 0 {
			r.Present.Add(flow.SrcAS)
		}
	}
	if r.DstAS == 0 {
		if r.DstAS = s.of(r.Dst); r.DstAS != 0 {
			r.Present.Add(flow.DstAS)
		}
	}
	return told
}

// of returns the system of an address, 0 where there is none: flows without an address have
// zeros in a Brief.
func (s *systems) of(a netip.Addr) uint32 {
	if !a.IsValid() || a.IsUnspecified() {
		return 0
	}
	return s.ask(a)
}

// restore leaves a flow only what it tells itself.
func (t toldSystems) restore(r *flow.Record) { r.SrcAS, r.DstAS, r.Present = t.src, t.dst, t.present }

// number returns the system that a flow tells, or else that of an address.
func (s *systems) number(told, address flow.Value) uint64 {
	if told.Lo == 0 {
		return uint64(s.of(address.Addr()))
	}
	return told.Lo
}

// endOf returns the column of the address whose system a column is, false for other columns.
func endOf(c nffile.Column) (nffile.Column, bool) {
	switch c {
	case nffile.Column(flow.SrcAS):
		return nffile.Column(flow.Src), true
	case nffile.Column(flow.DstAS):
		return nffile.Column(flow.Dst), true
	}
	return 0, false
}
