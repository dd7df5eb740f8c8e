package ie

import (
	"encoding/csv"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// rowsOf reads a file of the registry without its head.
func rowsOf(t *testing.T, name string) [][]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

// TestTableIsTheRegistry: each line of the two files is an element, with all that it says, found by
// its number; there are no others.
func TestTableIsTheRegistry(t *testing.T) {
	n := 0
	for _, row := range rowsOf(t, "registry/iana.csv") {
		n++
		id, err := strconv.ParseUint(row[0], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := Lookup(0, uint16(id))
		if !ok || e.PEN != 0 || e.Name != row[1] || e.Type.String() != row[2] || e.Semantics != row[3] || e.Units != row[4] {
			t.Errorf("%q is %+v, %v", row, e, ok)
		}
	}
	for _, row := range rowsOf(t, "registry/enterprise.csv") {
		n++
		e, err := ByName(row[0] + "/" + row[1])
		if err != nil || strconv.Itoa(int(e.PEN)) != row[0] || e.Name != row[2] || e.Type.String() != row[3] ||
			e.Semantics != "" || e.Units != "" {
			t.Errorf("%q is %+v, %v", row, e, err)
		}
	}
	if n != len(All()) {
		t.Errorf("%d elements, the registry has %d lines", len(All()), n)
	}
}

// constants returns the constants of a file, by the names that Go gives them.
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for _, d := range f.Decls {
		d, ok := d.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			continue
		}
		for _, spec := range d.Specs {
			spec := spec.(*ast.ValueSpec)
			list[spec.Names[0].Name] = spec.Values[0].(*ast.BasicLit).Value
		}
	}
	return list
}

// TestConstantsAreTheRegistrys: the constants have the numbers that the registry has for these
// names, and each of IANA's and VMware's elements has one.
func TestConstantsAreTheRegistrys(t *testing.T) {
	list := constants(t, "numbers.go")
	seen := 0
	has := func(prefix, name, typ, id string) {
		seen++
		constant := prefix + strings.ToUpper(name[:1]) + name[1:]
		if strings.HasSuffix(typ, "List") {
			constant += "ID"
		}
		if list[constant] != id {
			t.Errorf("%s is %q, the registry says %s", constant, list[constant], id)
		}
	}
	for _, row := range rowsOf(t, "registry/iana.csv") {
		has("", row[1], row[2], row[0])
	}
	for _, row := range rowsOf(t, "registry/enterprise.csv") {
		if row[0] == "6876" {
			has("VMware", row[2], row[3], row[1])
		}
	}
	if seen != len(list) {
		t.Errorf("%d constants for %d elements", len(list), seen)
	}
}

// rfc are elements as RFCs define them, which the registry may only add to: RFC 5102, section 5
// (1 to 238), RFC 5477, section 8, RFC 5103, RFC 6313, section 4.6, RFC 7133 and RFC 8158.
var rfc = map[uint16]string{
	1: "octetDeltaCount unsigned64", 2: "packetDeltaCount unsigned64", 4: "protocolIdentifier unsigned8",
	5: "ipClassOfService unsigned8", 6: "tcpControlBits unsigned16", 7: "sourceTransportPort unsigned16",
	8: "sourceIPv4Address ipv4Address", 9: "sourceIPv4PrefixLength unsigned8", 10: "ingressInterface unsigned32",
	11: "destinationTransportPort unsigned16", 12: "destinationIPv4Address ipv4Address",
	13: "destinationIPv4PrefixLength unsigned8", 14: "egressInterface unsigned32", 15: "ipNextHopIPv4Address ipv4Address",
	16: "bgpSourceAsNumber unsigned32", 17: "bgpDestinationAsNumber unsigned32", 18: "bgpNextHopIPv4Address ipv4Address",
	21: "flowEndSysUpTime unsigned32", 22: "flowStartSysUpTime unsigned32", 23: "postOctetDeltaCount unsigned64",
	24: "postPacketDeltaCount unsigned64", 25: "minimumIpTotalLength unsigned64", 26: "maximumIpTotalLength unsigned64",
	27: "sourceIPv6Address ipv6Address", 28: "destinationIPv6Address ipv6Address", 29: "sourceIPv6PrefixLength unsigned8",
	30: "destinationIPv6PrefixLength unsigned8", 31: "flowLabelIPv6 unsigned32", 32: "icmpTypeCodeIPv4 unsigned16",
	33: "igmpType unsigned8", 36: "flowActiveTimeout unsigned16", 37: "flowIdleTimeout unsigned16",
	40: "exportedOctetTotalCount unsigned64", 41: "exportedMessageTotalCount unsigned64",
	42: "exportedFlowRecordTotalCount unsigned64", 44: "sourceIPv4Prefix ipv4Address",
	45: "destinationIPv4Prefix ipv4Address",
	52: "minimumTTL unsigned8", 53: "maximumTTL unsigned8", 54: "fragmentIdentification unsigned32",
	55: "postIpClassOfService unsigned8", 56: "sourceMacAddress macAddress", 57: "postDestinationMacAddress macAddress",
	58: "vlanId unsigned16", 59: "postVlanId unsigned16", 60: "ipVersion unsigned8", 61: "flowDirection unsigned8",
	62: "ipNextHopIPv6Address ipv6Address", 63: "bgpNextHopIPv6Address ipv6Address",
	70: "mplsTopLabelStackSection octetArray",
	80: "destinationMacAddress macAddress", 81: "postSourceMacAddress macAddress", 85: "octetTotalCount unsigned64",
	86: "packetTotalCount unsigned64", 88: "fragmentOffset unsigned16", 128: "bgpNextAdjacentAsNumber unsigned32",
	129: "bgpPrevAdjacentAsNumber unsigned32", 130: "exporterIPv4Address ipv4Address",
	131: "exporterIPv6Address ipv6Address",
	132: "droppedOctetDeltaCount unsigned64", 136: "flowEndReason unsigned8", 138: "observationPointId unsigned64",
	139: "icmpTypeCodeIPv6 unsigned16", 141: "lineCardId unsigned32", 142: "portId unsigned32",
	143: "meteringProcessId unsigned32",
	144: "exportingProcessId unsigned32", 145: "templateId unsigned16", 146: "wlanChannelId unsigned8",
	147: "wlanSSID string",
	148: "flowId unsigned64", 149: "observationDomainId unsigned32", 150: "flowStartSeconds dateTimeSeconds",
	151: "flowEndSeconds dateTimeSeconds", 152: "flowStartMilliseconds dateTimeMilliseconds",
	153: "flowEndMilliseconds dateTimeMilliseconds", 154: "flowStartMicroseconds dateTimeMicroseconds",
	155: "flowEndMicroseconds dateTimeMicroseconds", 156: "flowStartNanoseconds dateTimeNanoseconds",
	157: "flowEndNanoseconds dateTimeNanoseconds", 158: "flowStartDeltaMicroseconds unsigned32",
	159: "flowEndDeltaMicroseconds unsigned32", 160: "systemInitTimeMilliseconds dateTimeMilliseconds",
	161: "flowDurationMilliseconds unsigned32", 162: "flowDurationMicroseconds unsigned32", 176: "icmpTypeIPv4 unsigned8",
	177: "icmpCodeIPv4 unsigned8", 178: "icmpTypeIPv6 unsigned8", 179: "icmpCodeIPv6 unsigned8",
	180: "udpSourcePort unsigned16", 181: "udpDestinationPort unsigned16", 182: "tcpSourcePort unsigned16",
	183: "tcpDestinationPort unsigned16", 184: "tcpSequenceNumber unsigned32", 189: "ipHeaderLength unsigned8",
	197: "fragmentFlags unsigned8", 200: "mplsTopLabelTTL unsigned8", 205: "udpMessageLength unsigned16",
	210: "paddingOctets octetArray", 224: "ipTotalLength unsigned64", 239: "biflowDirection unsigned8",
	291: "basicList basicList", 292: "subTemplateList subTemplateList", 293: "subTemplateMultiList subTemplateMultiList",
	302: "selectorId unsigned64", 304: "selectorAlgorithm unsigned16", 305: "samplingPacketInterval unsigned32",
	306: "samplingPacketSpace unsigned32", 309: "samplingSize unsigned32", 310: "samplingPopulation unsigned32",
	311: "samplingProbability float64", 313: "ipHeaderPacketSection octetArray", 315: "dataLinkFrameSection octetArray",
	323: "observationTimeMilliseconds dateTimeMilliseconds", 346: "privateEnterpriseNumber unsigned32",
	361: "portRangeStart unsigned16", 362: "portRangeEnd unsigned16", 363: "portRangeStepSize unsigned16",
	364: "portRangeNumPorts unsigned16",
}

// TestElementsOfTheRFCs: names and types are those of the documents that defined them.
func TestElementsOfTheRFCs(t *testing.T) {
	for id, want := range rfc {
		name, typ, _ := strings.Cut(want, " ")
		if e, ok := Lookup(0, id); !ok || e.Name != name || e.Type.String() != typ {
			t.Errorf("element %d is %s of %s, the RFC has %s", id, e.Name, e.Type, want)
		}
		if e, err := ByName(name); err != nil || e.ID != id || e.PEN != 0 {
			t.Errorf("%s is %d/%d, %v, want %d", name, e.PEN, e.ID, err, id)
		}
	}
}

// TestGeneratorRefuses: a registry that is wrong makes no tables, and the message says in which
// line.
func TestGeneratorRefuses(t *testing.T) {
	bin := generator(t)
	const iana, enterprise = "id,name,type,semantics,units\n", "pen,id,name,type\n"
	good := iana + "1,octetDeltaCount,unsigned64,deltaCounter,octets\n291,basicList,basicList,list,\n"
	vendors := enterprise + "6876,888,egressInterfaceAttr,unsigned16\n"
	for _, c := range []struct{ name, iana, enterprise, want string }{
		{"sound", good, vendors, ""},
		{"no file", "-", vendors, "registry/iana.csv"},
		{"no vendors' file", good, "-", "registry/enterprise.csv"},
		{"an empty file", "", vendors, `registry/iana.csv:1: expected "id,name,type,semantics,units"`},
		{"an empty vendors' file", good, "", `registry/enterprise.csv:1: expected "pen,id,name,type"`},
		{"the other's head", enterprise, vendors, `registry/iana.csv:1: expected "id,name,type,semantics,units"`},
		{"no number", iana + "x,octetDeltaCount,unsigned64,,\n", vendors, "registry/iana.csv:2:"},
		{"a large number", iana + "65536,octetDeltaCount,unsigned64,,\n", vendors, "registry/iana.csv:2:"},
		{"an unknown type", good + "2,packetDeltaCount,unsigned65,,\n", vendors,
			`registry/iana.csv:4: "unsigned65" is no abstract data type of RFC 7012`},
		{"a column less", good + "2,packetDeltaCount,unsigned64\n", vendors, "registry/iana.csv: record on line 4"},
		{"no enterprise", good, vendors + "x,1,y,unsigned8\n", "registry/enterprise.csv:3:"},
		{"twice", good + "1,other,unsigned8,,\n", vendors, "element 0/1 is in the registry twice"},
		{"a vendor's twice", good, vendors + "6876,888,other,unsigned8\n", "element 6876/888 is in the registry twice"},
		{"no name", good + "2,,unsigned8,,\n", vendors, "registry/iana.csv:4: element 0/2 has no name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			where := t.TempDir()
			if err := os.Mkdir(filepath.Join(where, "registry"), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"iana.csv": c.iana, "enterprise.csv": c.enterprise} {
				if text == "-" {
					continue
				}
				if err := os.WriteFile(filepath.Join(where, "registry", name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(bin)
			cmd.Dir = where
			out, err := cmd.CombinedOutput()
			_, statErr := os.Stat(filepath.Join(where, "numbers.go"))
			if (err == nil) != (c.want == "") || (statErr == nil) != (c.want == "") || !strings.Contains(string(out), c.want) ||
				strings.Contains(string(out), "goroutine") {
				t.Errorf("%v, %v: %s, want %q", err, statErr, out, c.want)
			}
		})
	}
}
