package flowmetric

import (
	"encoding/hex"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

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
	switch k {
	case kindUint:
		if len(b) > 8 {
			return nil
		}
		return c.uint(wire.Uint(b))
	case kindInt:
		if len(b) > 8 {
			return nil
		}
		return wire.Int(b)
	case kindHex:
		return hexString(b)
	case kindString:
		return c.text(b)
	case kindIP:
		if a, ok := netip.AddrFromSlice(b); ok {
			return c.addr(a)
		}
		return nil
	case kindMAC:
		return macString(b)
	case kindFloat32:
		if len(b) == 4 {
			return float64(math.Float32frombits(uint32(wire.Uint(b))))
		}
		return nil
	case kindFloat64:
		switch len(b) {
		case 4:
			return float64(math.Float32frombits(uint32(wire.Uint(b))))
		case 8:
			return math.Float64frombits(wire.Uint(b))
		}
		return nil
	case kindIPv4Options:
		if len(b) != 4 {
			return nil
		}
		return ipv4Options(uint32(wire.Uint(b)))
	case kindTCPFlags:
		return tcpFlags(b)
	case kindUUID:
		return c.uuid(b)
	}
	if len(b) == 0 {
		return nil
	}
	if k >= kindAnonTechnique {
		return wideEnum(k, wire.Uint(b))
	}
	return c.enum(k, b)
}

// enum returns the value of the kinds that look at one or two bytes: the last ones, as
// exporters send numbers in more bytes than they have.
func (c *cache) enum(k kind, b []byte) any {
	last := b[len(b)-1]
	switch k {
	case kindProto:
		return protocolNames[last]
	case kindBool:
		switch last {
		case 1:
			return true
		case 2:
			return false
		}
		return c.uint(uint64(last))
	case kindByte0:
		return c.uint(uint64(uint16(wire.Uint(b[max(0, len(b)-2):])) >> 8))
	case kindByte1:
		return c.uint(uint64(last))
	case kindFragmentFlags:
		return fragmentFlags(last)
	case kindTechnology:
		return technology(b)
	case kindAnonStabilityClass:
		if len(b) < 2 {
			return nil
		}
		return []any{"undefined", "session", "exporter-collector", "stable"}[b[1]&3]
	case kindAnonFlags:
		var names []string
		if b[0]&4 != 0 {
			names = append(names, "PmA")
		}
		if b[0]&8 != 0 {
			names = append(names, "LOR")
		}
		return strings.Join(names, ",")
	}
	return enumOf(k, last)
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

// hexString returns b in hex behind 0x, empty for no bytes.
func hexString(b []byte) any {
	if len(b) == 0 {
		return ""
	}
	out := make([]byte, 2, 2+2*len(b))
	out[0], out[1] = '0', 'x'
	return string(hex.AppendEncode(out, b))
}

// uuid returns b as a UUID is written (RFC 9562, section 4) where it has 16 bytes
// that are no text, else as text.
func (c *cache) uuid(b []byte) any {
	binary := func(v byte) bool { return v < ' ' || v > '~' }
	if len(b) != 16 || !slices.ContainsFunc(b, binary) {
		return c.text(b)
	}
	var out [36]byte
	hex.Encode(out[:8], b[:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:], b[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

// macString returns b in hex with colons.
func macString(b []byte) any {
	const digits = "0123456789abcdef"
	if len(b) == 0 {
		return ""
	}
	out := make([]byte, 0, 3*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15], ':')
	}
	return string(out[:len(out)-1])
}

// flagsOf writes one letter per bit, from the highest, and dots for those unset.
func flagsOf(v uint8, letters string) string {
	var out [8]byte
	for i := range out {
		out[i] = '.'
		if v&(0x80>>i) != 0 {
			out[i] = letters[i]
		}
	}
	return string(out[:])
}

// tcpFlags returns the flags of TCP, which are the last two bytes; the upper one, where
// it came, is written as stars.
func tcpFlags(b []byte) any {
	switch len(b) {
	case 0:
		return ""
	case 1:
		return flagsOf(b[0], "CEUAPRSF")
	}
	b = b[len(b)-2:]
	return flagsOf(b[0], "********") + flagsOf(b[1], "CEUAPRSF")
}

// fragmentFlags returns element 197: reserved, don't fragment, more fragments.
func fragmentFlags(v uint8) any { return flagsOf(v, "RDM*****") }

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
