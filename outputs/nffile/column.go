package nffile

import (
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Column is a value that flows of files have: a flow.Field that is a number or an
// address, or one of the constants here, of what flow.Record has no field for, or has
// several numbers in.
type Column uint16

// The columns that are no fields.
const (
	ObservationDomain = Column(flow.NumFields) + iota // that of the flow itself, not its exporter's
	SysID                                             // the number of its exporter in the file
	ClientDelay                                       // microseconds
	ServerDelay
	AppDelay
	EtherType
	Application // the id of NBAR: engine<<24 | selector

	// The first of several that follow each other.
	MPLSLabel                           // of ten: label<<4 | exp<<1 | bottom of stack
	InACL      = MPLSLabel + mplsLabels // of three: ACL, entry, extended entry
	OutACL     = InACL + aclNumbers
	numColumns = OutACL + aclNumbers
)

const (
	mplsLabels = 10
	aclNumbers = 3
	maxMAC     = 1<<48 - 1
)

// Router is the column for the address that a flow was received from, which is always
// there.
const Router = Column(flow.Router)

// IsAddr says whether the values are addresses.
func (c Column) IsAddr() bool {
	return c < Column(flow.NumFields) && flow.Field(c).Describe().Kind == flow.KindAddress
}

// Bits returns how many bits a value has that is a number, at most.
func (c Column) Bits() int {
	switch {
	case c < Column(flow.NumFields):
		return 8 * int(flow.Field(c).Describe().Size)
	case c == EtherType, c == SysID:
		return 16
	case c >= ClientDelay && c <= AppDelay:
		return 64
	}
	return 32
}

// Set gives a flow the value of a column.
func (c Column) Set(r *flow.Record, x *Extra, v flow.Value) {
	if c < Column(flow.NumFields) {
		f := flow.Field(c)
		if r.Present.Add(f); c.IsAddr() {
			r.SetAddr(f, v.Addr())
		} else {
			r.SetNumber(f, v.Lo)
		}
		return
	}
	switch {
	case c == ObservationDomain:
		r.Domain, x.Domain = uint32(v.Lo), uint32(v.Lo)
	case c == EtherType:
		x.Layer2.EtherType = uint16(v.Lo)
		x.Has |= 1 << elLayer2
	case c >= MPLSLabel && c < InACL:
		r.Present.Add(flow.MPLS)
		r.MPLS[c-MPLSLabel] = uint32(v.Lo)
		r.MPLSDepth = max(r.MPLSDepth, uint8(c-MPLSLabel)+1)
	}
}

// Column returns the value of a column of the current flow, 0 or 0.0.0.0 where the flow
// has none.
func (d *Decoder) Column(c Column) flow.Value {
	if c < Column(flow.NumFields) {
		return d.rec.Value(flow.Field(c))
	}
	if c == SysID {
		return flow.Value{Lo: uint64(d.sysid)}
	}
	if d.have&(1<<places[c].id) == 0 {
		return flow.Value{}
	}
	return flow.Value{Lo: d.columnNumber(c)}
}

// columnNumber returns the number of a column that is no field and is there.
func (d *Decoder) columnNumber(c Column) uint64 {
	switch {
	case c == ObservationDomain:
		return uint64(d.extra.Domain)
	case c == ClientDelay:
		return d.extra.ClientDelay
	case c == ServerDelay:
		return d.extra.ServerDelay
	case c == AppDelay:
		return d.extra.AppDelay
	case c == EtherType:
		return uint64(d.extra.Layer2.EtherType)
	case c == Application:
		return application(d.rec.AppID)
	case c < InACL:
		return uint64(d.rec.MPLS[c-MPLSLabel])
	case c < OutACL:
		return uint64(be.Uint32(d.rec.IngressACL[4*(c-InACL):]))
	}
	return uint64(be.Uint32(d.rec.EgressACL[4*(c-OutACL):]))
}

// application returns the number of an application id: of one of another length than 4,
// its first bytes and as many zeros.
func application(id []byte) uint64 {
	var b [4]byte
	copy(b[:], id)
	return uint64(be.Uint32(b[:]))
}

// width is how the value of a column lies in its element.
type width uint8

const (
	absent     width = iota // it is 0
	noAddr                  // it is 0.0.0.0
	byExporter              // it is the address of the exporter with the flow's sysid
	number1
	number2
	number4
	number8
	numberMAC
	numberACL // 4 bytes as on the wire
	addrIPv4
	addrIPv6
	decoded // a Decoder knows
)

// where is where the values of a column lie. What has an IPv4 address is in one element
// or the other, the second has an offset of its own.
type where struct {
	id, id6   uint16
	off, off6 uint16
	width     width
}

// places are where the columns lie that an Extractor knows.
var places = [numColumns]where{
	flow.Src:        {elIPv4, elIPv6, 0, 0, addrIPv4},
	flow.Dst:        {elIPv4, elIPv6, 4, 16, addrIPv4},
	flow.NextHop:    {elNext4, elNext6, 0, 0, addrIPv4},
	flow.BGPNextHop: {elBGPNext4, elBGPNext6, 0, 0, addrIPv4},
	flow.Router:     {elReceived4, elReceived6, 0, 0, addrIPv4},
	flow.XlateSrc:   {elXlate4, elXlate6, 0, 0, addrIPv4},
	flow.XlateDst:   {elXlate4, elXlate6, 4, 16, addrIPv4},
	flow.TunSrc:     {elTunnel4, elTunnel6, 0, 0, addrIPv4},
	flow.TunDst:     {elTunnel4, elTunnel6, 4, 16, addrIPv4},

	flow.SrcPort:          {elGeneric, 0, 40, 0, number2},
	flow.DstPort:          {elGeneric, 0, 42, 0, number2},
	flow.Proto:            {elGeneric, 0, 44, 0, number1},
	flow.TCPFlags:         {elGeneric, 0, 45, 0, number1},
	flow.FwdStatus:        {elGeneric, 0, 46, 0, number1},
	flow.SrcTOS:           {elGeneric, 0, 47, 0, number1},
	flow.Input:            {elMisc, 0, 0, 0, number4},
	flow.Output:           {elMisc, 0, 4, 0, number4},
	flow.SrcMask:          {elMisc, 0, 8, 0, number1},
	flow.DstMask:          {elMisc, 0, 9, 0, number1},
	flow.Direction:        {elMisc, 0, 10, 0, number1},
	flow.DstTOS:           {elMisc, 0, 11, 0, number1},
	flow.SrcVLAN:          {elVLAN, 0, 0, 0, number2},
	flow.DstVLAN:          {elVLAN, 0, 4, 0, number2},
	flow.SrcAS:            {elAS, 0, 0, 0, number4},
	flow.DstAS:            {elAS, 0, 4, 0, number4},
	flow.NextAS:           {elASAdjacent, 0, 0, 0, number4},
	flow.PrevAS:           {elASAdjacent, 0, 4, 0, number4},
	flow.InSrcMAC:         {elMAC, 0, 0, 0, numberMAC},
	flow.OutDstMAC:        {elMAC, 0, 8, 0, numberMAC},
	flow.InDstMAC:         {elMAC, 0, 16, 0, numberMAC},
	flow.OutSrcMAC:        {elMAC, 0, 24, 0, numberMAC},
	flow.FwXEvent:         {elNSEL, 0, 12, 0, number2},
	flow.FwEvent:          {elNSEL, 0, 14, 0, number1},
	flow.XlateSPort:       {elXlatePort, 0, 0, 0, number2},
	flow.XlateDPort:       {elXlatePort, 0, 2, 0, number2},
	flow.EgressVRF:        {elVRF, 0, 0, 0, number4},
	flow.IngressVRF:       {elVRF, 0, 4, 0, number4},
	flow.ObservationPoint: {elObservation, 0, 0, 0, number8},
	flow.MinTTL:           {elIPInfo, 0, 2, 0, number1},
	flow.MaxTTL:           {elIPInfo, 0, 3, 0, number1},
	flow.NATEvent:         {elNAT, 0, 0, 0, decoded},
	flow.TunProto:         {elTunnel4, 0, 0, 0, decoded},

	ObservationDomain: {elObservation, 0, 8, 0, number4},
	SysID:             {0, 0, 0, 0, decoded},
	ClientDelay:       {elLatency, 0, 0, 0, number8},
	ServerDelay:       {elLatency, 0, 8, 0, number8},
	AppDelay:          {elLatency, 0, 16, 0, number8},
	EtherType:         {elLayer2, 0, 24, 0, number2},
	Application:       {elNBAR, 0, 0, 0, decoded},
	MPLSLabel:         {elMPLS, 0, 0, 0, number4},
	MPLSLabel + 1:     {elMPLS, 0, 4, 0, number4},
	MPLSLabel + 2:     {elMPLS, 0, 8, 0, number4},
	MPLSLabel + 3:     {elMPLS, 0, 12, 0, number4},
	MPLSLabel + 4:     {elMPLS, 0, 16, 0, number4},
	MPLSLabel + 5:     {elMPLS, 0, 20, 0, number4},
	MPLSLabel + 6:     {elMPLS, 0, 24, 0, number4},
	MPLSLabel + 7:     {elMPLS, 0, 28, 0, number4},
	MPLSLabel + 8:     {elMPLS, 0, 32, 0, number4},
	MPLSLabel + 9:     {elMPLS, 0, 36, 0, number4},
	InACL:             {elACL, 0, 0, 0, numberACL},
	InACL + 1:         {elACL, 0, 4, 0, numberACL},
	InACL + 2:         {elACL, 0, 8, 0, numberACL},
	OutACL:            {elACL, 0, 12, 0, numberACL},
	OutACL + 1:        {elACL, 0, 16, 0, numberACL},
	OutACL + 2:        {elACL, 0, 20, 0, numberACL},
}
