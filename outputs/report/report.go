// Package report prints flows and statistics as nfdump 1.7.1 does: the output
// format "line", the tables of -s and the summary. Columns, widths and rounding
// are nfdump's, so that scripts which read its output read this.
//
// One thing differs on purpose: an IPv6 address below 2^32 is not printed as an
// IPv4 one in the tables of -s.
package report

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Options say how to print. The zero value prints as nfdump without options.
type Options struct {
	Location *time.Location // of times; nil is the local one
	Plain    bool           // -N: plain numbers, protocols by number, durations in seconds
	LongIPv6 bool           // -6: IPv6 addresses in full
}

// location returns the location of times.
func (o *Options) location() *time.Location {
	if o.Location == nil {
		return time.Local
	}
	return o.Location
}

// addrWidth returns the width of a column with addresses.
func (o *Options) addrWidth() int {
	if o.LongIPv6 {
		return 39
	}
	return 16
}

// appendTime appends a time of ms milliseconds since 1970.
func (o *Options) appendTime(b []byte, ms uint64) []byte {
	return time.UnixMilli(int64(ms)).In(o.location()).AppendFormat(b, "2006-01-02 15:04:05.000")
}

// appendDuration appends a duration in ms, 16 wide.
func (o *Options) appendDuration(b []byte, ms uint64) []byte {
	if o.Plain {
		return fmt.Appendf(b, "%16.3f", float64(ms)/1000)
	}
	const day = 24 * 60 * 60 * 1000
	if ms >= day {
		b = appendRight(b, strconv.AppendUint(nil, ms/day, 10), 2)
		b = append(b, "d "...)
		ms %= day
	} else {
		b = append(b, "    "...)
	}
	b = appendDigits(b, ms/3600000, 2)
	b = append(b, ':')
	b = appendDigits(b, ms/60000%60, 2)
	b = append(b, ':')
	b = appendDigits(b, ms/1000%60, 2)
	b = append(b, '.')
	return appendDigits(b, ms%1000, 3)
}

// appendDigits appends v with n digits.
func appendDigits(b []byte, v uint64, n int) []byte {
	div := uint64(1)
	for ; n > 1; n-- {
		div *= 10
	}
	for ; div > 0; div /= 10 {
		b = append(b, byte('0'+v/div%10))
	}
	return b
}

// appendRight appends s right-justified in width columns.
func appendRight(b, s []byte, width int) []byte {
	for n := width - len(s); n > 0; n-- {
		b = append(b, ' ')
	}
	return append(b, s...)
}

// appendLeft appends s left-justified in width columns.
func appendLeft(b []byte, s string, width int) []byte {
	b = append(b, s...)
	for n := width - len(s); n > 0; n-- {
		b = append(b, ' ')
	}
	return b
}

// appendCount appends a counter right-justified in width columns; from a million
// on it is scaled by 1000.
func (o *Options) appendCount(b []byte, v uint64, width int) []byte {
	var buf [32]byte
	return appendRight(b, o.count(buf[:0], v), width)
}

// count appends a counter.
func (o *Options) count(b []byte, v uint64) []byte {
	const scaled = 1000000
	switch {
	case o.Plain || v < scaled:
		return strconv.AppendUint(b, v, 10)
	case v < 1e9:
		return append(strconv.AppendFloat(b, float64(v)/1e6, 'f', 1, 64), " M"...)
	case v < 1e12:
		return append(strconv.AppendFloat(b, float64(v)/1e9, 'f', 1, 64), " G"...)
	}
	return append(strconv.AppendFloat(b, float64(v)/1e12, 'f', 1, 64), " T"...)
}

// appendProto appends the name of a protocol, 5 wide.
func (o *Options) appendProto(b []byte, proto uint8) []byte {
	if name := protoNames[proto]; name != "" && !o.Plain {
		return appendLeft(b, name, 5)
	}
	return appendLeft(b, strconv.Itoa(int(proto)), 5)
}

// appendAddr appends an address right-justified. A long IPv6 address is shortened
// in its middle, a missing address is 0.0.0.0.
func (o *Options) appendAddr(b []byte, a netip.Addr, width int) []byte {
	if !a.IsValid() {
		a = netip.IPv4Unspecified()
	}
	var buf [64]byte
	s := a.AppendTo(buf[:0])
	if len(s) > 16 && !o.LongIPv6 {
		n := copy(s[7:], "..")
		copy(s[7+n:], s[len(s)-7:])
		s = s[:16]
	}
	return appendRight(b, s, width)
}

// protoNames are nfdump's names of the protocols, at most 5 characters.
var protoNames = [256]string{
	1: "ICMP", 2: "IGMP", 3: "GGP", 4: "IPIP", 5: "ST", 6: "TCP", 7: "CBT", 8: "EGP", 9: "IGP",
	10: "BBN", 11: "NVPII", 12: "PUP", 13: "ARGUS", 14: "ENCOM", 15: "XNET", 16: "CHAOS", 17: "UDP",
	18: "MUX", 19: "DCN", 20: "HMP", 21: "PRM", 22: "XNS", 23: "Trnk1", 24: "Trnk2", 25: "Leaf1",
	26: "Leaf2", 27: "RDP", 28: "IRTP", 29: "ISO-4", 30: "NETBK", 31: "MFESP", 32: "MEINP",
	33: "DCCP", 34: "3PC", 35: "IDPR", 36: "XTP", 37: "DDP", 38: "IDPR", 39: "TP++", 40: "IL",
	41: "IPv6", 42: "SDRP", 43: "Rte6", 44: "Frag6", 45: "IDRP", 46: "RSVP", 47: "GRE", 48: "MHRP",
	49: "BNA", 50: "ESP", 51: "AH", 52: "INLSP", 53: "SWIPE", 54: "NARP", 55: "MOBIL", 56: "TLSP",
	57: "SKIP", 58: "ICMP6", 59: "NOHE6", 60: "OPTS6", 61: "HOST", 62: "CFTP", 63: "NET", 64: "SATNT",
	65: "KLAN", 66: "RVD", 67: "IPPC", 68: "FS", 69: "SATM", 70: "VISA", 71: "IPCV", 72: "CPNX",
	73: "CPHB", 74: "WSN", 75: "PVP", 76: "BSATM", 77: "SUNND", 78: "WBMON", 79: "WBEXP", 80: "ISOIP",
	81: "VMTP", 82: "SVMTP", 83: "VINES", 84: "TTP", 85: "NSIGP", 86: "DGP", 87: "TCF", 88: "EIGRP",
	89: "OSPF", 90: "S-RPC", 91: "LARP", 92: "MTP", 93: "AX.25", 94: "OS", 95: "MICP", 96: "SCCSP",
	97: "ETHIP", 98: "ENCAP", 100: "GMTP", 101: "IFMP", 102: "PNNI", 103: "PIM", 104: "ARIS",
	105: "SCPS", 106: "QNX", 107: "A/N", 108: "IPcmp", 109: "SNP", 110: "CpqPP", 111: "IPXIP",
	112: "VRRP", 113: "PGM", 114: "0hop", 115: "L2TP", 116: "DDX", 117: "IATP", 118: "STP",
	119: "SRP", 120: "UTI", 121: "SMP", 122: "SM", 123: "PTP", 124: "ISIS4", 125: "FIRE", 126: "CRTP",
	127: "CRUDP", 129: "IPLT", 130: "SPS", 131: "PIPE", 132: "SCTP", 133: "FC", 135: "MHEAD",
	136: "UDP-L", 137: "MPLS",
}
