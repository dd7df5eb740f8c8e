package nffile

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// Elements of vendors that have a place in a file, but no field in flow.Record.
// nprobe's delays of NetFlow v9 are seconds and microseconds, its later ones, in
// IPFIX too, milliseconds.
const (
	ieClientDelay   = 57554 // seconds; then microseconds, and both of server and application
	ieAppDelayMicro = 57559
	ieClientMilli   = 57595 // then server and application
	ieAppMilli      = 57597

	nprobeClientMilli = 123
	nprobeAppMilli    = 125

	nokiaIn   = 91
	nokiaOut  = 92
	nokiaText = 93
)

// takeFields makes x, which nothing else fills, what the elements of r say that have no
// field in flow.Record. The slices are those of r.
func (x *Extra) takeFields(r *flow.Record, extended bool) {
	if x.Has != 0 { // else there is nothing in it
		*x = Extra{}
	}
	for i := range r.Extra {
		e := &r.Extra[i]
		switch e.PEN {
		case 0:
			if e.ID >= ieClientDelay {
				x.takeDelay(e)
			} else if extended {
				x.takeLayer2(e)
			}
		case ie.NtopPEN:
			if e.ID >= nprobeClientMilli && e.ID <= nprobeAppMilli {
				x.delay(int(e.ID-nprobeClientMilli), 1000*wire.Uint(e.Value))
			}
		case ie.NokiaPEN:
			if extended {
				x.takeNokia(e)
			}
		}
	}
	if x.Has&(1<<elLayer2) != 0 {
		x.Layer2.IPVersion = r.IPVersion
	}
}

// takeDelay takes one of nprobe's delays in NetFlow v9.
func (x *Extra) takeDelay(e *flow.Element) {
	switch {
	case e.ID <= ieAppDelayMicro:
		n, factor := int(e.ID-ieClientDelay), uint64(1)
		if n%2 == 0 {
			factor = 1e6
		}
		x.delay(n/2, factor*wire.Uint(e.Value))
	case e.ID >= ieClientMilli && e.ID <= ieAppMilli:
		x.delay(int(e.ID-ieClientMilli), 1000*wire.Uint(e.Value))
	}
}

// delay adds microseconds to the delay of the client, the server or the
// application, 0 to 2.
func (x *Extra) delay(of int, micro uint64) {
	*[...]*uint64{&x.ClientDelay, &x.ServerDelay, &x.AppDelay}[of] += micro
	x.Has |= 1 << elLatency
}

// takeLayer2 takes what an exporter says of layer 2.
func (x *Extra) takeLayer2(e *flow.Element) {
	v := wire.Uint(e.Value)
	has := uint64(1 << elLayer2)
	switch e.ID {
	case ie.Dot1qVlanId:
		x.Layer2.VLAN = uint16(v)
	case ie.Dot1qCustomerVlanId:
		x.Layer2.CustomerVLAN = uint16(v)
	case ie.PostDot1qVlanId:
		x.Layer2.PostVLAN = uint16(v)
	case ie.PostDot1qCustomerVlanId:
		x.Layer2.PostCustomerVLAN = uint16(v)
	case ie.IngressPhysicalInterface:
		x.Layer2.Ingress = uint32(v)
	case ie.EgressPhysicalInterface:
		x.Layer2.Egress = uint32(v)
	case ie.EthernetType:
		x.Layer2.EtherType = uint16(v)
	case ie.DataLinkFrameSize:
		x.FrameSize, has = uint16(v), 1<<elInmonMeta
	case ie.DataLinkFrameType:
		x.LinkType, has = uint16(v), 1<<elInmonMeta
	case ie.DataLinkFrameSection:
		x.Frame, has = e.Value, 1<<elInmonFrame
	default:
		has = 0
	}
	x.Has |= has
}

// takeNokia takes what Nokia's address translators say.
func (x *Extra) takeNokia(e *flow.Element) {
	switch e.ID {
	case nokiaIn:
		x.NokiaIn = uint16(wire.Uint(e.Value))
		x.Has |= 1 << elNokia
	case nokiaOut:
		x.NokiaOut = uint16(wire.Uint(e.Value))
		x.Has |= 1 << elNokia
	case nokiaText:
		x.NokiaText = cutNUL(e.Value)
		x.Has |= 1 << elNokiaText
	}
}
