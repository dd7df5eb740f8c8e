package nffilter

// protocols are the names that "proto" knows, as IANA and nfdump have them.
var protocols = map[string]uint64{
	"hopopt": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipip": 4, "ipv4": 4, "st": 5, "tcp": 6, "cbt": 7, "egp": 8, "igp": 9,
	"pup": 12, "chaos": 16, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33, "xtp": 36,
	"ddp": 37, "ipv6": 41, "idrp": 45, "rsvp": 46, "gre": 47, "dsr": 48, "bna": 49, "esp": 50, "ah": 51, "skip": 57,
	"icmp6": 58, "icmpv6": 58, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "vmtp": 81, "eigrp": 88, "ospf": 89,
	"ax.25": 93, "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115, "isis": 124,
	"sctp": 132, "fc": 133, "udplite": 136, "mpls-in-ip": 137, "hip": 139, "shim6": 140, "rohc": 142,
}

// forwardingStates are nfdump's short names of information element 89 (RFC 7270,
// section 4.12, is where the numbers are from).
var forwardingStates = map[string]uint64{
	"ukwn": 0, "forw": 64, "frag": 65, "notfrag": 66, "drop": 128, "acldeny": 129, "acldrop": 130, "noroute": 131,
	"dadj": 132, "dfrag": 133, "dbadh": 134, "dbadtlen": 135, "dbadhlen": 136, "dbadttl": 137, "dpolicy": 138,
	"dwred": 139, "drpf": 140, "dforus": 141, "dbadof": 142, "dhw": 143, "term": 192, "tadj": 193, "tincadj": 194,
	"tforus": 195,
}

// directions are the words of information element 61.
var directions = map[string]uint64{"ingress": 0, "egress": 1}

// firewallEvents are the words of information element 233.
var firewallEvents = map[string]uint64{
	"ignore": 0, "create": 1, "add": 1, "delete": 2, "del": 2, "term": 2, "denied": 3, "deny": 3, "alert": 4,
	"update": 5,
}

// denials are the reasons of Cisco's extended event, v9 type 33002.
var denials = map[string]uint64{"ingress": 1001, "egress": 1002, "interface": 1003, "access": 1003, "nosyn": 1004}

// natEvents are the words of information element 230 (RFC 8158, section 4.3, and
// IANA's registry of NAT event types), nfdump's older words as well.
var natEvents = map[string]uint64{
	"add": 1, "create": 1, "delete": 2, "exhaust": 3, "add44": 4, "del44": 5, "add64": 6, "del64": 7,
	"add44bib": 8, "del44bib": 9, "add64bib": 10, "del64bib": 11, "pexhaust": 12, "quotaexh": 13,
	"addaddr": 14, "deladdr": 15, "addpblk": 16, "delpblk": 17, "threshld": 18,
}

// flagLetters are the TCP flags by their letters, as nfdump prints them (RFC 9293,
// section 3.1).
var flagLetters = map[byte]uint64{'F': 1, 'S': 2, 'R': 4, 'P': 8, 'A': 16, 'U': 32, 'E': 64, 'C': 128, 'X': 63}
