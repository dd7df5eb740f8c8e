package nffilter

import "github.com/flowgraf/flowgraf/plugins/flow"

// fieldNumber returns the value of a field that is a number.
func fieldNumber(f flow.Field, r *flow.Record) uint64 {
	switch f {
	case flow.SrcPort:
		return uint64(r.SrcPort)
	case flow.DstPort:
		return uint64(r.DstPort)
	case flow.Proto:
		return uint64(r.Proto)
	case flow.IPVersion:
		return uint64(r.IPVersion)
	case flow.TCPFlags:
		return uint64(r.TCPFlags)
	case flow.SrcTOS:
		return uint64(r.SrcTOS)
	case flow.DstTOS:
		return uint64(r.DstTOS)
	case flow.Bytes:
		return r.Bytes
	case flow.Packets:
		return r.Packets
	case flow.RevBytes:
		return r.RevBytes
	case flow.RevPackets:
		return r.RevPackets
	case flow.Flows:
		if r.Flows == 0 && !r.Has(flow.Flows) {
			return 1
		}
		return r.Flows
	case flow.Input:
		return uint64(r.Input)
	case flow.Output:
		return uint64(r.Output)
	case flow.SrcMask:
		return uint64(r.SrcMask)
	case flow.DstMask:
		return uint64(r.DstMask)
	case flow.SrcAS:
		return uint64(r.SrcAS)
	case flow.DstAS:
		return uint64(r.DstAS)
	case flow.NextAS:
		return uint64(r.NextAS)
	case flow.PrevAS:
		return uint64(r.PrevAS)
	case flow.Direction:
		return uint64(r.Direction)
	case flow.FwdStatus:
		return uint64(r.FwdStatus)
	case flow.MinTTL:
		return uint64(r.MinTTL)
	case flow.MaxTTL:
		return uint64(r.MaxTTL)
	case flow.IngressVRF:
		return uint64(r.IngressVRF)
	case flow.EgressVRF:
		return uint64(r.EgressVRF)
	case flow.SrcVLAN:
		return uint64(r.SrcVLAN)
	case flow.DstVLAN:
		return uint64(r.DstVLAN)
	case flow.FwEvent:
		return uint64(r.FwEvent)
	case flow.FwXEvent:
		return uint64(r.FwXEvent)
	case flow.NATEvent:
		return uint64(r.NATEvent)
	case flow.XlateSPort:
		return uint64(r.XlateSPort)
	case flow.XlateDPort:
		return uint64(r.XlateDPort)
	case flow.TunProto:
		return uint64(r.TunProto)
	case flow.ObservationPoint:
		return r.ObservationPoint
	case flow.EngineType:
		return uint64(r.EngineType)
	case flow.EngineID:
		return uint64(r.EngineID)
	}
	return 0
}

// byField returns a primitive for a field by its name in metrics.
func byField(name string) (*primitive, bool) {
	f, ok := flow.FieldByName(name)
	_ = f
	return nil, ok && false
}
