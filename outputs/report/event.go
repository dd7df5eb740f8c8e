package report

import (
	"strconv"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Names of NAT events (IPFIX element 230): short as in nfdump 1.7.8's text, and long as
// in JSON.
var natEvents = [...]struct{ short, long string }{
	{"INVALID", "Reserved"},
	{"ADD", "NAT translation create"},
	{"DELETE", "NAT translation delete"},
	{"EXHAUST", "NAT Addresses exhausted"},
	{"ADD44", "NAT44 session create"},
	{"DEL44", "NAT44 session delete"},
	{"ADD64", "NAT64 session create"},
	{"DEL64", "NAT64 session delete"},
	{"ADD44BIB", "NAT44 BIB create"},
	{"DEL44BIB", "NAT44 BIB delete"},
	{"ADD64BIB", "NAT64 BIB create"},
	{"DEL64BIB", "NAT64 BIB delete"},
	{"PEXHAUST", "NAT ports exhausted"},
	{"QUOTAEXC", "Quota Exceeded"},
	{"ADDADDR", "Address binding create"},
	{"DELADDR", "Address binding delete"},
	{"ADDPBLK", "Port block allocation"},
	{"DELPBLK", "Port block de-allocation"},
	{"THRESHLD", "Threshold Reached"},
}

// firewallEvents are the names of element 233's values.
var firewallEvents = [...]string{"IGNORE", "CREATE", "DELETE", "DENIED", "ALERT", "UPDATE"}

// firewallEvent returns the name of a firewall event.
func firewallEvent(v uint8) string {
	if int(v) < len(firewallEvents) {
		return firewallEvents[v]
	}
	return "UNKNOW"
}

// natEvent returns the names of a NAT event.
func natEvent(v uint8) (short, long string) {
	if int(v) < len(natEvents) {
		return natEvents[v].short, natEvents[v].long
	}
	return "UNKNOW", "Unassigned"
}

// extendedEventName returns the name of an extended event, of the extended events of Cisco's firewalls.
func extendedEventName(v uint16) string {
	switch v {
	case 0:
		return "Ignore"
	case 1001:
		return "I-ACL"
	case 1002:
		return "E-ACL"
	case 1003:
		return "Adap"
	case 1004:
		return "No Syn"
	}
	return ""
}

// extendedEventText returns the name of an extended event, or its number.
func extendedEventText(v uint16) string {
	if name := extendedEventName(v); name != "" {
		return name
	}
	return strconv.Itoa(int(v))
}

// olderEvent is what nfdump 1.7.1 calls an event.
func olderEvent(uint8) string { return "UNKNOW" }

// event is the event of a firewall or address translator. nfdump 1.7.1 knows names only
// of those with an extended event.
func event(t *Text, b []byte, f row) []byte {
	if !t.newer {
		switch {
		case f.FwXEvent != 0:
			return appendRightText(b, firewallEvent(f.FwEvent), 7)
		case f.NATEvent != 0 && t.opt.Compat != Nfdump171:
			short, _ := natEvent(f.NATEvent)
			return appendRightText(b, short, 7)
		case f.FwEvent != 0 || f.NATEvent != 0:
			return appendRightText(b, olderEvent(f.FwEvent|f.NATEvent), 7)
		}
		return append(b, "INVALID"...)
	}
	isFirewall, isNAT := f.Has(flow.FwEvent), f.Has(flow.NATEvent)
	name, value := "<no-evt>", uint8(0)
	switch {
	case isFirewall:
		name, value = firewallEvent(f.FwEvent), f.FwEvent
	case isNAT:
		name, _ = natEvent(f.NATEvent)
		value = f.NATEvent
	}
	if t.opt.Plain {
		return appendUint(b, uint64(value), 0)
	}
	return appendRightText(b, name, 8)
}

func extendedEvent(t *Text, b []byte, f row) []byte {
	if t.newer && !f.Has(flow.FwXEvent) {
		return append(b, "<no-evt>"...)
	}
	if name := extendedEventName(f.FwXEvent); name != "" {
		return appendRightText(b, name, 7)
	}
	return appendUint(b, uint64(f.FwXEvent), 7)
}
