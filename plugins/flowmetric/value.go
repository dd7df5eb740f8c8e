package flowmetric

import (
	"bytes"
	"encoding/hex"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/flowgraf/flowgraf/plugins/wire"
)

// kind is how the bytes of an element become a value of a metric.
type kind uint8

const (
	kindNone kind = iota // no value: the element is left out
	kindUint
	kindInt
	kindHex
	kindString
	kindIP
	kindMAC
	kindProto
	kindFloat32
	kindFloat64
	kindBool
	kindByte0
	kindByte1
	kindTCPFlags
	kindFragmentFlags
	kindSampleAlgo
	kindEngineType
	kindMPLSType
	kindIPVersion
	kindDirection
	kindFwdStatus
	kindFwdReason
	kindFwEvent
	kindFlowEndReason
	kindBiflowDirection
	kindObservationPointType
	kindValueDistMethod
	kindCaptureTimeSemantics
	kindTechnology
	kindAnonStabilityClass
	kindAnonFlags
	kindAnonTechnique
	kindNATType
	kindSelectorAlgo
	kindDatalinkFrameType
	kindIPv4Options
	kindUUID // 16 bytes, or text
)

// stockField is a field of a metric that an element becomes.
type stockField struct {
	name  string
	kind  kind
	share share
}

// share is what becomes of the name of an element where the metric has it already.
type share uint8

const (
	alone    share = iota // it has not, unless the record has the element twice
	shared                // of several elements of this name one that is not zero counts
	corrects              // a field of flow.Record has written it, and is smaller than what was sent
)

// lookup returns the fields of an element of IANA's, or a vendor's type of
// NetFlow v9. Both names are empty when the stock plugin has none.
func lookup(id uint16) [2]stockField {
	if int(id) < len(stockTable) {
		return stockTable[id]
	}
	return stockVendor(id)
}

// value returns what b is as a value of kind k, nil when it cannot be: too short
// or of the wrong length.
func (c *cache) value(k kind, b []byte) any {
	v := c.of(k, b)
	return c.box(&v)
}

// of is value for the metric at hand.
func (c *cache) of(k kind, b []byte) value {
	switch k {
	case kindUint, kindInt:
		if len(b) > 8 {
			return value{}
		}
		if k == kindInt {
			return value{form: formInt, bits: uint64(wire.Int(b))}
		}
		return number(wire.Uint(b))
	case kindHex:
		return c.hex(b)
	case kindString:
		return c.valid(b)
	case kindIP:
		if a, ok := netip.AddrFromSlice(b); ok {
			return address(a)
		}
		return value{}
	case kindMAC:
		return c.mac(b)
	case kindFloat32, kindFloat64:
		return float(k, b)
	case kindIPv4Options:
		if len(b) != 4 {
			return value{}
		}
		return boxed(ipv4Options(uint32(wire.Uint(b))))
	case kindTCPFlags:
		return c.tcpFlags(b)
	case kindUUID:
		return c.uuid(b)
	}
	if len(b) == 0 {
		return value{}
	}
	if k >= kindAnonTechnique {
		return boxed(wideEnum(k, wire.Uint(b)))
	}
	return c.enum(k, b)
}

// float returns a number of 4 bytes, or of 8 where the kind has as many.
func float(k kind, b []byte) value {
	var v float64
	switch {
	case len(b) == 4:
		v = float64(math.Float32frombits(uint32(wire.Uint(b))))
	case len(b) == 8 && k == kindFloat64:
		v = math.Float64frombits(wire.Uint(b))
	default:
		return value{}
	}
	return value{form: formFloat, bits: math.Float64bits(v)}
}

// enum returns the value of the kinds that look at one or two bytes: the last ones, as
// exporters send numbers in more bytes than they have.
func (c *cache) enum(k kind, b []byte) value {
	last := b[len(b)-1]
	switch k {
	case kindProto:
		return boxed(protocolNames[last])
	case kindBool:
		switch last {
		case 1:
			return boxed(true)
		case 2:
			return boxed(false)
		}
		return number(uint64(last))
	case kindByte0:
		return number(uint64(uint16(wire.Uint(b[max(0, len(b)-2):])) >> 8))
	case kindByte1:
		return number(uint64(last))
	case kindFragmentFlags:
		return c.flagsOf(last, fragmentLetters)
	case kindTechnology:
		return boxed(technology(b))
	case kindAnonStabilityClass:
		if len(b) < 2 {
			return value{}
		}
		return boxed([...]any{"undefined", "session", "exporter-collector", "stable"}[b[1]&3])
	case kindAnonFlags:
		return boxed([...]any{"", "PmA", "LOR", "PmA,LOR"}[b[0]>>2&3])
	}
	return boxed(enumOf(k, last))
}

// enumOf returns the name of a number of one byte.
func enumOf(k kind, v uint8) any {
	switch k {
	case kindSampleAlgo:
		return named(v, []any{nil, "deterministic", "random"}, nil)
	case kindEngineType:
		return named(v, engineTypes[:], nil)
	case kindMPLSType:
		return named(v, mplsTypes[:], nil)
	case kindIPVersion:
		return named(v, []any{4: "IPv4", 6: "IPv6"}, nil)
	case kindDirection:
		return named(v, directions[:], nil)
	case kindFwdStatus:
		return fwdStatuses[v>>6]
	case kindFwdReason:
		return named(v, fwdReasons[:], "invalid")
	case kindFwEvent:
		return named(v, fwEvents[:], nil)
	case kindFlowEndReason:
		return named(v, endReasons[:], "unassigned")
	case kindBiflowDirection:
		return named(v, biflowDirections[:], "unassigned")
	case kindObservationPointType:
		return named(v, []any{"invalid", "physical port", "port channel", "vlan"}, "unassigned")
	case kindValueDistMethod:
		return named(v, distributions[:], "unassigned")
	case kindCaptureTimeSemantics:
		return named(v, []any{"undefined", "begin", "end", "export", "average"}, "unassigned")
	}
	return nil
}

// named returns the name of v, else otherwise, else the number in decimal.
func named(v uint8, names []any, otherwise any) any {
	if int(v) < len(names) && names[v] != nil {
		return names[v]
	}
	if otherwise != nil {
		return otherwise
	}
	return strconv.Itoa(int(v))
}

// The names of numbers, as the stock plugin spells them.
var (
	directions  = [...]any{"ingress", "egress"}
	engineTypes = [...]any{"RP", "VIP/linecard", "PFC/DFC"}
	fwdStatuses = [...]any{"unknown", "forwarded", "dropped", "consumed"}
	fwEvents    = [...]any{"ignore", "flow created", "flow deleted", "flow denied", "flow alert", "flow update"}
	endReasons  = [...]any{"reserved", "idle timeout", "active timeout", "end of flow", "forced end",
		"lack of resources"}
	biflowDirections = [...]any{"arbitrary", "initiator", "reverse initiator", "perimeter"}
	mplsTypes        = [...]any{"unknown", "TE-MIDPT", "Pseudowire", "VPN", "BGP", "LDP", "Path computation element",
		"OSPFv2", "OSPFv3", "IS-IS", "BGP segment routing Prefix-SID"}
	distributions = [...]any{"unspecified", "start interval", "end interval", "mid interval",
		"simple uniform distribution", "proportional uniform distribution", "simulated process", "direct"}
	fwdReasons = [...]any{0: "unknown", 14: "", 64: "unknown", 65: "fragmented", 66: "not fragmented",
		128: "unknown", 129: "ACL deny", 130: "ACL drop", 131: "unroutable", 132: "adjacency",
		133: "fragmentation and DF set", 134: "bad header checksum", 135: "bad total length", 136: "bad header length",
		137: "bad TTL", 138: "policer", 139: "WRED", 140: "RPF", 141: "for us", 142: "bad output interface",
		143: "hardware",
		192: "unknown", 193: "terminate punt adjacency", 194: "terminate incomplete adjacency", 195: "terminate for us"}
	anonTechniques = [...]any{"undefined", "none", "precision degradation", "binning", "enumeration", "permutation",
		"structure permutation", "reverse truncation", "noise", "offset"}
	natTypes      = [...]any{"unknown", "NAT44", "NAT64", "NAT46", "IPv4 no NAT", "NAT66", "IPv6 no NAT"}
	selectorAlgos = [...]any{"reserved", "systematic count-based sampling", "systematic time-based sampling",
		"random n-out-of-N sampling", "uniform probabilistic sampling", "property match filtering",
		"hash based filtering using BOB", "hash based filtering using IPSX", "hash based filtering using CRC",
		"flow-state dependent"}
	ipv4OptionNames = [32]string{"EOOL", "NOP", "SEC", "LSR", "TS", "E-SEC", "CIPSO", "RR", "SID", "SSR", "ZSU", "MTUP",
		"MTUR", "FINN", "VISA", "ENCODE", "IMITD", "EIP", "TR", "ADDEXT", "RTRALT", "SDB", 23: "DPS", 24: "UMP",
		25: "QS", 30: "EXP"}
)

// wideEnum returns the name of a number that the stock plugin reads from two
// bytes, here from as many as there are.
func wideEnum(k kind, v uint64) any {
	names := []any{1: "IEEE802.3 ethernet", 2: "IEEE802.11 MAC"}
	switch k {
	case kindAnonTechnique:
		names = anonTechniques[:]
	case kindNATType:
		names = natTypes[:]
	case kindSelectorAlgo:
		names = selectorAlgos[:]
	}
	if v < uint64(len(names)) && names[v] != nil {
		return names[v]
	}
	return "unassigned"
}

// technology returns the answer of elements 288 to 290, which is a letter, a
// word or a number.
func technology(b []byte) any {
	switch string(b) {
	case "yes", "y", "1", "\x01":
		return "yes"
	case "no", "n", "2", "\x02":
		return "no"
	case "unassigned", "u", "0", "\x00":
		return "unassigned"
	}
	return "undefined"
}

// appendHex appends b in hex behind 0x, nothing for no bytes.
func appendHex(dst, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	return hex.AppendEncode(append(dst, "0x"...), b)
}

// hex returns b in hex behind 0x, empty for no bytes.
func (c *cache) hex(b []byte) value {
	from := len(c.scratch)
	c.scratch = appendHex(c.scratch, b)
	return c.since(from)
}

// valid returns text of an exporter without the zeros behind it, as UTF-8.
func (c *cache) valid(b []byte) value {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	if !utf8.Valid(b) {
		b = bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	from := len(c.scratch)
	c.scratch = append(c.scratch, b...)
	return c.since(from)
}

// uuid returns b as a UUID is written (RFC 9562, section 4) where it has 16 bytes
// that are no text, else as text.
func (c *cache) uuid(b []byte) value {
	binary := func(v byte) bool { return v < ' ' || v > '~' }
	if len(b) != 16 || !slices.ContainsFunc(b, binary) {
		return c.valid(b)
	}
	from := len(c.scratch)
	for i := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			c.scratch = append(c.scratch, '-')
		}
		c.scratch = hex.AppendEncode(c.scratch, b[i:i+1])
	}
	return c.since(from)
}

// mac returns b in hex with colons.
func (c *cache) mac(b []byte) value {
	from := len(c.scratch)
	for i := range b {
		if i > 0 {
			c.scratch = append(c.scratch, ':')
		}
		c.scratch = hex.AppendEncode(c.scratch, b[i:i+1])
	}
	return c.since(from)
}

// The letters of flags, from the highest bit.
const (
	tcpLetters      = "CEUAPRSF"
	tcpUpperLetters = "********"
	fragmentLetters = "RDM*****" // element 197: reserved, don't fragment, more fragments
)

// appendFlags appends one letter per bit, from the highest, and dots for those unset.
func appendFlags(dst []byte, v uint8, letters string) []byte {
	for i := range 8 {
		if v&(0x80>>i) != 0 {
			dst = append(dst, letters[i])
		} else {
			dst = append(dst, '.')
		}
	}
	return dst
}

// flagsOf returns flags of one byte.
func (c *cache) flagsOf(v uint8, letters string) value {
	from := len(c.scratch)
	c.scratch = appendFlags(c.scratch, v, letters)
	return c.since(from)
}

// tcpFlags returns the flags of TCP, which are the last two bytes; the upper one, where
// it came, is written as stars.
func (c *cache) tcpFlags(b []byte) value {
	switch len(b) {
	case 0:
		return boxed("")
	case 1:
		return boxed(c.tcp1(b[0]))
	}
	return c.tcp2(uint16(wire.Uint(b[len(b)-2:])))
}

// tcp2 returns the flags of TCP of two bytes.
func (c *cache) tcp2(v uint16) value {
	from := len(c.scratch)
	c.scratch = appendFlags(c.scratch, uint8(v>>8), tcpUpperLetters)
	c.scratch = appendFlags(c.scratch, uint8(v), tcpLetters)
	return c.since(from)
}

// ipv4Options returns the names of the options that element 208 has seen.
func ipv4Options(flags uint32) any {
	var names []string
	for i, name := range ipv4OptionNames {
		if flags>>i&1 == 0 {
			continue
		}
		if name == "" {
			name = "UA" + strconv.Itoa(i)
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}
