package nffilter

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// Context is what a filter may ask of a flow that flow.Record does not hold. The zero
// value is a flow of which that is unknown.
type Context struct {
	Ident string // of the file
	Count uint64 // number of the flow in what is read, from 1
	SysID uint32 // of the exporter in the file

	ClientLatency, ServerLatency, AppLatency uint64 // microseconds

	Payload, OutPayload []byte // first bytes of the flow, and of its other direction
}

// operand is what a test reads: a field of flow.Record by its number, or one of those
// below.
type operand uint16

// The operands that are not fields.
const (
	opDuration operand = operand(flow.NumFields) + iota // milliseconds
	opBPS                                               // bits a second
	opPPS                                               // packets a second
	opBPP                                               // bytes a packet
	opScaledBytes
	opScaledPackets
	opICMPType
	opICMPCode
	opFirst // milliseconds since 1970
	opLast
	opVersion // of the protocol
	opDomain  // observation domain
	opEtherType
	opFlowLabel
	opPortBlockStart
	opPortBlockEnd
	opPortBlockStep
	opPortBlockSize
	opIngressACL // its three numbers are an index apart
	opEgressACL
	opMPLSLabel // by index, 0 is the top
	opMPLSExp   // by index
	opMPLSBottom
	opExporterName
	opInputName
	opOutputName
	opInputVM
	opOutputVM
	opInputPortgroup
	opOutputPortgroup
	opESXiHost
	opAppName
	opUserName
	opSrcCountry
	opDstCountry

	opCount // from here on they are of Context
	opSysID
	opClientLatency
	opServerLatency
	opAppLatency
	opIdent
	opPayload
	opOutPayload
)

// zeroes are the fields that are 0, not missing, where an exporter does not send them:
// nfdump's files have a place for them in every flow. A flow stands for itself, so that
// flow.Flows is 1.
var zeroes = setOf(flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto, flow.TCPFlags, flow.SrcTOS,
	flow.FwdStatus, flow.Bytes, flow.Packets, flow.RevBytes, flow.RevPackets, flow.Flows, flow.EngineType,
	flow.EngineID, flow.IPVersion)

func setOf(fields ...flow.Field) (s flow.Set) {
	for _, f := range fields {
		s.Add(f)
	}
	return s
}

// icmp returns type and code of ICMP, which most exporters send as the destination port
// only (Cisco's NetFlow v5), as files have it too.
func icmp(r *flow.Record) (v uint64, ok bool) {
	switch {
	case r.Has(flow.ICMP):
		return uint64(r.ICMP), true
	case r.Proto == 1, r.Proto == 58:
		return uint64(r.DstPort), true
	}
	return 0, false
}

// number returns the value of an operand that is a number, false where the flow has
// none. Derived numbers are whole, rounded down, 0 where they would divide by zero.
func number(o operand, index uint8, r *flow.Record, c *Context) (v uint64, ok bool) {
	if o < operand(flow.NumFields) {
		f := flow.Field(o)
		if f == flow.Flows && !r.Has(f) {
			return 1, true
		}
		return r.Number(f), r.Has(f) || zeroes.Has(f)
	}
	switch o {
	case opDuration:
		return duration(r), true
	case opBPS:
		return ratio(r.Bytes, 8000, duration(r)), true
	case opPPS:
		return ratio(r.Packets, 1000, duration(r)), true
	case opBPP:
		return ratio(r.Bytes, 1, r.Packets), true
	case opScaledBytes:
		return r.Scale(r.Bytes), true
	case opScaledPackets:
		return r.Scale(r.Packets), true
	case opICMPType:
		v, ok = icmp(r)
		return v >> 8, ok
	case opICMPCode:
		v, ok = icmp(r)
		return v & 0xff, ok
	case opFirst:
		return seen(r.First, r)
	case opLast:
		return seen(r.Last, r)
	case opVersion:
		return uint64(r.Version), r.Version != 0
	case opDomain:
		return uint64(r.Domain), true
	}
	return rareNumber(o, index, r, c)
}

// rareNumber is number for what few filters ask.
func rareNumber(o operand, index uint8, r *flow.Record, c *Context) (v uint64, ok bool) {
	switch o {
	case opEtherType:
		return extra(r, 256)
	case opFlowLabel:
		return extra(r, 31)
	case opPortBlockStart, opPortBlockEnd, opPortBlockStep, opPortBlockSize:
		return uint64(r.PortBlock[o-opPortBlockStart]), r.Has(flow.PortBlock)
	case opIngressACL:
		return wire.Uint(r.IngressACL[4*index : 4*index+4]), r.Has(flow.IngressACL)
	case opEgressACL:
		return wire.Uint(r.EgressACL[4*index : 4*index+4]), r.Has(flow.EgressACL)
	case opMPLSLabel:
		return uint64(r.MPLS[index] >> 4), index < r.MPLSDepth
	case opMPLSExp:
		return uint64(r.MPLS[index] >> 1 & 7), index < r.MPLSDepth
	case opMPLSBottom:
		if r.MPLSDepth == 0 {
			return 0, false
		}
		return uint64(r.MPLS[r.MPLSDepth-1] >> 4), true
	case opCount:
		return c.Count, c.Count != 0
	case opSysID:
		return uint64(c.SysID), c.SysID != 0
	case opClientLatency:
		return c.ClientLatency, c.ClientLatency != 0
	case opServerLatency:
		return c.ServerLatency, c.ServerLatency != 0
	case opAppLatency:
		return c.AppLatency, c.AppLatency != 0
	}
	return 0, false
}

// seen returns a time of a flow in milliseconds since 1970; of an event, which has
// neither beginning nor end, its own.
func seen(t flow.Time, r *flow.Record) (uint64, bool) {
	if t == 0 {
		t = r.EventTime
	}
	return t.Milli(), t != 0
}

// extra returns the value of an information element of IANA that has no field.
func extra(r *flow.Record, id uint16) (uint64, bool) {
	for i := range r.Extra {
		if e := &r.Extra[i]; e.PEN == 0 && e.ID == id {
			return wire.Uint(e.Value), true
		}
	}
	return 0, false
}

// duration returns how long a flow has lasted, in milliseconds; 0 where it ends before
// it begins.
func duration(r *flow.Record) uint64 {
	if r.Last <= r.First {
		return 0
	}
	return r.Last.Milli() - r.First.Milli()
}

// ratio returns n*factor/d, 0 where d is, and the largest number on overflow.
func ratio(n, factor, d uint64) uint64 {
	if d == 0 {
		return 0
	}
	if n > ^uint64(0)/factor {
		return ^uint64(0) / d
	}
	return n * factor / d
}

// text returns the value of an operand that is text; "" where the flow has none.
func text(o operand, r *flow.Record, c *Context) string {
	switch o {
	case opIdent:
		return c.Ident
	case operand(flow.User):
		return string(r.User)
	}
	n := r.Names
	if n == nil {
		return ""
	}
	switch o {
	case opExporterName:
		return n.Exporter
	case opInputName:
		return n.Input
	case opOutputName:
		return n.Output
	case opInputVM:
		return n.InputVM
	case opOutputVM:
		return n.OutputVM
	case opInputPortgroup:
		return n.InputPortgroup
	case opOutputPortgroup:
		return n.OutputPortgroup
	case opESXiHost:
		return n.Host
	case opAppName:
		return n.App
	case opUserName:
		return n.User
	case opSrcCountry:
		return n.SrcCountry
	case opDstCountry:
		return n.DstCountry
	}
	return ""
}
