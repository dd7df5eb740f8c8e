package report

import "strconv"

// appendProto appends the name of a protocol, 5 wide.
func (o *Options) appendProto(b []byte, proto uint8) []byte {
	n := len(b)
	return appendLeftFrom(o.appendProtoName(b, proto), n, 5)
}

// appendProtoName appends the name of a protocol, or its number.
func (o *Options) appendProtoName(b []byte, proto uint8) []byte {
	if name := protoNames[proto]; name != "" && !o.Plain {
		return append(b, name...)
	}
	return strconv.AppendUint(b, uint64(proto), 10)
}

// protoText returns the name of a protocol, or its number.
func protoText(proto uint8) string {
	if name := protoNames[proto]; name != "" {
		return name
	}
	return strconv.Itoa(int(proto))
}

// lastProto is the last protocol that nfdump has a name for.
const lastProto = 137

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
