package flowmetric

import (
	"fmt"
	"strings"
	"testing"
)

// registryNames are the names of the values of elements as IANA's registry, or the RFC named, has
// them, in small letters; numbers that it does not name are what otherwise says: "" is the number.
var registryNames = []struct {
	kind      kind
	source    string
	wide      bool // read from two octets and more
	otherwise string
	names     map[int]string
}{
	{kindFlowEndReason, "IANA, flowEndReason (136)", false, "unassigned",
		map[int]string{0: "reserved", 1: "idle timeout",
			2: "active timeout", 3: "end of flow", 4: "forced end", 5: "lack of resources"}},
	{kindFwEvent, "IANA, firewallEvent (233)", false, "", map[int]string{0: "ignore", 1: "flow created",
		2: "flow deleted",
		3: "flow denied", 4: "flow alert", 5: "flow update"}},
	{kindBiflowDirection, "IANA, biflowDirection (239)", false, "unassigned", map[int]string{0: "arbitrary",
		1: "initiator", 2: "reverse initiator", 3: "perimeter"}},
	{kindDirection, "IANA, flowDirection (61)", false, "", map[int]string{0: "ingress", 1: "egress"}},
	{kindIPVersion, "IANA, ipVersion (60)", false, "", map[int]string{4: "ipv4", 6: "ipv6"}},
	{kindMPLSType, "IANA, MPLS label type (46)", false, "", map[int]string{0: "unknown", 1: "te-midpt", 2: "pseudowire",
		3: "vpn", 4: "bgp", 5: "ldp", 6: "path computation element", 7: "ospfv2", 8: "ospfv3", 9: "is-is",
		10: "bgp segment routing prefix-sid"}},
	{kindEngineType, "Cisco, ENGINE_TYPE (38)", false, "", map[int]string{0: "rp", 1: "vip/linecard", 2: "pfc/dfc"}},
	{kindSampleAlgo, "IANA, samplingAlgorithm (35)", false, "", map[int]string{1: "deterministic", 2: "random"}},
	{kindObservationPointType, "IANA, observationPointType (277)", false, "unassigned", map[int]string{0: "invalid",
		1: "physical port", 2: "port channel", 3: "vlan"}},
	{kindValueDistMethod, "RFC 7373, valueDistributionMethod (384)", false, "unassigned",
		map[int]string{0: "unspecified",
			1: "start interval", 2: "end interval", 3: "mid interval", 4: "simple uniform distribution",
			5: "proportional uniform distribution", 6: "simulated process", 7: "direct"}},
	{kindNATType, "IANA, natType (297)", true, "unassigned", map[int]string{0: "unknown", 1: "nat44", 2: "nat64",
		3: "nat46", 4: "ipv4 no nat", 5: "nat66", 6: "ipv6 no nat"}},
	{kindSelectorAlgo, "IANA, PSAMP, selectorAlgorithm (304)", true, "unassigned", map[int]string{0: "reserved",
		1: "systematic count-based sampling", 2: "systematic time-based sampling", 3: "random n-out-of-n sampling",
		4: "uniform probabilistic sampling", 5: "property match filtering", 6: "hash based filtering using bob",
		7: "hash based filtering using ipsx", 8: "hash based filtering using crc", 9: "flow-state dependent"}},
	{kindDatalinkFrameType, "IANA, dataLinkFrameType (408)", true, "unassigned", map[int]string{1: "ieee802.3 ethernet",
		2: "ieee802.11 mac"}},
}

// TestNamesOfRegistries gives each kind every octet, alone and behind others.
func TestNamesOfRegistries(t *testing.T) {
	var c cache
	for _, r := range registryNames {
		for v := range 256 {
			want := r.names[v]
			if want == "" {
				want = r.otherwise
			}
			if want == "" {
				want = fmt.Sprint(v)
			}
			for _, b := range [][]byte{{byte(v)}, {0, byte(v)}, {0, 0, 0, byte(v)}} {
				if got, _ := c.value(r.kind, b).(string); !strings.EqualFold(got, want) {
					t.Errorf("%s, %x: %q, expected %q", r.source, b, got, want)
				}
			}
			far, _ := c.value(r.kind, []byte{1, byte(v)}).(string)
			if known := r.names[v]; r.wide && far != "unassigned" || !r.wide && known != "" &&
				!strings.EqualFold(far, known) {
				t.Errorf("%s, 01%02x: %q", r.source, v, far)
			}
		}
	}
}

// TestForwardingStatusOfRFC7270: two bits of status, and with the six others the reason (section 4.12).
func TestForwardingStatusOfRFC7270(t *testing.T) {
	reasons := map[int]string{0: "unknown", 64: "unknown", 65: "fragmented", 66: "not fragmented", 128: "unknown",
		129: "acl deny", 130: "acl drop", 131: "unroutable", 132: "adjacency", 133: "fragmentation and df set",
		134: "bad header checksum", 135: "bad total length", 136: "bad header length", 137: "bad ttl", 138: "policer",
		139: "wred", 140: "rpf", 141: "for us", 142: "bad output interface", 143: "hardware", 192: "unknown",
		193: "terminate punt adjacency", 194: "terminate incomplete adjacency", 195: "terminate for us"}
	var c cache
	for v := range 256 {
		status := [...]string{"unknown", "forwarded", "dropped", "consumed"}[v>>6]
		if got := c.value(kindFwdStatus, []byte{byte(v)}); got != status {
			t.Errorf("%d: %v, expected %s", v, got, status)
		}
		want := reasons[v]
		if got, _ := c.value(kindFwdReason, []byte{byte(v)}).(string); want != "" && !strings.EqualFold(got, want) ||
			want == "" && got != "invalid" && v != 14 {
			t.Errorf("the reason of %d: %q, expected %q", v, got, want)
		}
	}
}

// TestFlagsOfHeaders: TCP's as RFC 9293, section 3.1, and RFC 3168 have them, those of fragments as
// RFC 791 does, each of the highest bit first.
func TestFlagsOfHeaders(t *testing.T) {
	var c cache
	letters := func(v int, names string) string {
		var b strings.Builder
		for i := range 8 {
			if v&(128>>i) != 0 {
				b.WriteByte(names[i])
			} else {
				b.WriteByte('.')
			}
		}
		return b.String()
	}
	for v := range 256 {
		tcp := letters(v, "CEUAPRSF")
		for _, upper := range []int{0, 1, 0x80, 0xff} {
			if got, want := c.value(kindTCPFlags, []byte{byte(upper), byte(v)}),
				letters(upper, "********")+tcp; got != want {
				t.Errorf("%02x%02x: %v, expected %s", upper, v, got, want)
			}
		}
		if got := c.value(kindTCPFlags, []byte{byte(v)}); got != tcp {
			t.Errorf("%02x: %v, expected %s", v, got, tcp)
		}
		if got, want := c.value(kindFragmentFlags, []byte{byte(v)}), letters(v, "RDM*****"); got != want {
			t.Errorf("fragment flags %02x: %v, expected %s", v, got, want)
		}
	}
}

// TestOptionsOfIPv4: bit n of element 208 is the option that IANA numbers n in its table of
// ipv4Options, lowest bit first.
func TestOptionsOfIPv4(t *testing.T) {
	names := []string{"EOOL", "NOP", "SEC", "LSR", "TS", "E-SEC", "CIPSO", "RR", "SID", "SSR", "ZSU", "MTUP", "MTUR",
		"FINN",
		"VISA", "ENCODE", "IMITD", "EIP", "TR", "ADDEXT", "RTRALT", "SDB", "UA22", "DPS", "UMP", "QS", "UA26", "UA27",
		"UA28", "UA29", "EXP", "UA31"}
	var c cache
	for i, name := range names {
		for j := range i {
			bits := uint32(1)<<i | uint32(1)<<j
			b := []byte{byte(bits >> 24), byte(bits >> 16), byte(bits >> 8), byte(bits)}
			if got, want := c.value(kindIPv4Options, b), names[j]+","+name; got != want {
				t.Errorf("bits %d and %d: %v, expected %s", j, i, got, want)
			}
		}
	}
	if got := c.value(kindIPv4Options, make([]byte, 4)); got != "" {
		t.Errorf("no options: %v", got)
	}
	for _, n := range []int{0, 1, 3, 5, 8} {
		if got := c.value(kindIPv4Options, make([]byte, n)); got != nil {
			t.Errorf("%d octets are options: %v", n, got)
		}
	}
}
