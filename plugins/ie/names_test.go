package ie

import (
	"slices"
	"strings"
	"testing"
)

// The abstract data types are those of RFC 7012, section 3.1, unsigned256 of RFC 9487's
// registry, and the lists of RFC 6313.
func TestNamesOfTypes(t *testing.T) {
	want := strings.Fields("octetArray unsigned8 unsigned16 unsigned32 unsigned64 unsigned256 signed8 signed16 signed32 " +
		"signed64 float32 float64 boolean macAddress string dateTimeSeconds dateTimeMilliseconds dateTimeMicroseconds " +
		"dateTimeNanoseconds ipv4Address ipv6Address basicList subTemplateList subTemplateMultiList")
	for i, name := range want {
		if got := Type(i).String(); got != name {
			t.Errorf("type %d is %s, want %s", i, got, name)
		}
		if got, err := ParseType(name); err != nil || got != Type(i) {
			t.Errorf("%s is type %d, %v", name, got, err)
		}
	}
	if got := Type(len(want)).String(); got != "type 24" {
		t.Errorf("behind the last one: %s", got)
	}
	for _, name := range []string{"", "Unsigned8", "unsigned128", "type 24"} {
		if got, err := ParseType(name); err == nil {
			t.Errorf("%q is type %s", name, got)
		}
	}
}

// Elements are sorted, each number once, and within an enterprise each name once: else one
// could not be found by it. Gigamon's own list has one name twice.
func TestNumbersAndNamesAreUnique(t *testing.T) {
	type name struct {
		pen  uint32
		name string
	}
	seen := map[name]uint16{}
	for i, e := range All() {
		if i > 0 {
			if b := All()[i-1]; b.PEN > e.PEN || b.PEN == e.PEN && b.ID >= e.ID {
				t.Errorf("%d/%d stands behind %d/%d", e.PEN, e.ID, b.PEN, b.ID)
			}
		}
		if other, twice := seen[name{e.PEN, e.Name}]; twice && e.Name != "" && e.Name != "ssl_server_name_raw" {
			t.Errorf("%d/%d and %d/%d are both %s", e.PEN, other, e.PEN, e.ID, e.Name)
		}
		seen[name{e.PEN, e.Name}] = e.ID
		if got, err := ByName(e.Name); e.PEN == 0 && (err != nil || got != e) {
			t.Errorf("%s is %+v, %v", e.Name, got, err)
		}
	}
}

// Numbers, types and units of elements as IANA's registry has them, one of each kind.
func TestElementsOfTheRegistry(t *testing.T) {
	for _, want := range []Element{
		{ID: 1, Name: "octetDeltaCount", Type: Unsigned64, Semantics: "deltaCounter", Units: "octets"},
		{ID: 4, Name: "protocolIdentifier", Type: Unsigned8, Semantics: "identifier"},
		{ID: 6, Name: "tcpControlBits", Type: Unsigned16, Semantics: "flags"},
		{ID: 22, Name: "flowStartSysUpTime", Type: Unsigned32, Units: "milliseconds"},
		{ID: 56, Name: "sourceMacAddress", Type: MACAddress, Semantics: "default"},
		{ID: 82, Name: "interfaceName", Type: String},
		{ID: 86, Name: "packetTotalCount", Type: Unsigned64, Semantics: "totalCounter", Units: "packets"},
		{ID: 95, Name: "applicationId", Type: OctetArray, Semantics: "default"},
		{ID: 150, Name: "flowStartSeconds", Type: DateTimeSeconds, Semantics: "default", Units: "seconds"},
		{ID: 154, Name: "flowStartMicroseconds", Type: DateTimeMicroseconds, Semantics: "default",
			Units: "microseconds"},
		{ID: 156, Name: "flowStartNanoseconds", Type: DateTimeNanoseconds, Semantics: "default", Units: "nanoseconds"},
		{ID: 276, Name: "dataRecordsReliability", Type: Boolean, Semantics: "default"},
		{ID: 311, Name: "samplingProbability", Type: Float64, Semantics: "quantity"},
		{ID: 434, Name: "mibObjectValueInteger", Type: Signed32, Semantics: "quantity"},
	} {
		got, ok := Lookup(0, want.ID)
		if !ok || got.Name != want.Name || got.Type != want.Type ||
			want.Semantics != "" && got.Semantics != want.Semantics || got.Units != want.Units {
			t.Errorf("element %d is %+v, want %+v", want.ID, got, want)
		}
	}
}

// What is written in the place of an element, and is none.
func TestNamesRefused(t *testing.T) {
	for text, want := range map[string]string{
		"6876/":                 "not in the registry",
		"/5":                    "expected a private enterprise number",
		"-1/5":                  "expected a private enterprise number",
		"4294967296/5":          "expected a private enterprise number",
		"6876/888/1":            "not in the registry",
		"65536":                 "not in the registry",
		"-1":                    "not in the registry",
		"OctetDeltaCount":       "not in the registry",
		" octetDeltaCount":      "not in the registry",
		"9/octetDeltaCount":     "not in the registry",
		"6876/octetDeltaCount ": "not in the registry",
	} {
		if e, err := ByName(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(),
			text) {
			t.Errorf("%q: %+v, %v, want %q", text, e, err, want)
		}
	}
	numbers := []string{"0", "65535", "0/1", "4294967295/65535"}
	if i := slices.IndexFunc(numbers, func(s string) bool { _, err := ByName(s); return err != nil }); i >= 0 {
		t.Errorf("%q is no number of an element", numbers[i])
	}
}
