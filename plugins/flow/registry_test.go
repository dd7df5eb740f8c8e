package flow

import (
	"encoding/csv"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// registered is a line of IANA's registry.
type registered struct{ name, typ, semantics, units string }

// iana returns IANA's registry of information elements, from the file itself.
func iana(t *testing.T) map[uint16]registered {
	t.Helper()
	f, err := os.Open("../ie/registry/iana.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	list := map[uint16]registered{}
	for _, row := range rows[1:] {
		id, err := strconv.ParseUint(row[0], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		list[uint16(id)] = registered{row[1], row[2], row[3], row[4]}
	}
	return list
}

// typesOf are the types of the registry that a field of a kind is filled from.
var typesOf = map[Kind][]string{
	KindNumber:    {"unsigned8", "unsigned16", "unsigned32", "unsigned64"},
	KindFlags:     {"unsigned8", "unsigned16"},
	KindAddress:   {"ipv4Address", "ipv6Address"},
	KindMAC:       {"macAddress"},
	KindText:      {"string"},
	KindOctets:    {"octetArray"},
	KindTimestamp: {"dateTimeSeconds", "dateTimeMilliseconds", "dateTimeMicroseconds", "dateTimeNanoseconds"},
	KindLabel:     {"octetArray"},
	KindList:      {"unsigned16"},
}

// What fills a field has a type that the field can hold.
func TestElementsFitTheirFields(t *testing.T) {
	registry := iana(t)
	for _, u := range AllUses() {
		if u.PEN != 0 && u.PEN != 29305 || u.ID >= 1<<15 { // vendors' own
			continue
		}
		e, ok := registry[u.ID]
		if !ok {
			if u.ID != 56702 {
				t.Errorf("%s: element %d is not registered", u.Field, u.ID)
			}
			continue
		}
		d := u.Field.Describe()
		types := typesOf[d.Kind]
		switch u.Form {
		case FormBefore, FormUptime:
			types = []string{"unsigned32"}
		case FormHigh, FormLow:
			types = []string{"unsigned8"}
		}
		if !slices.Contains(types, e.typ) {
			t.Errorf("%s, of kind %d, is filled from %s, of type %s", u.Field, d.Kind, e.name, e.typ)
		}
	}
}

// Times are read in the unit that the registry says.
func TestFormsOfTimes(t *testing.T) {
	registry := iana(t)
	forms := map[string]Form{"dateTimeSeconds": FormSeconds, "dateTimeMilliseconds": FormMilliseconds,
		"dateTimeMicroseconds": FormNTP, "dateTimeNanoseconds": FormNTP}
	units := map[Form]string{FormBefore: "microseconds", FormUptime: "milliseconds"}
	seen := 0
	for _, u := range AllUses() {
		if u.Field.Describe().Kind != KindTimestamp {
			if u.Form >= FormSeconds {
				t.Errorf("%s is no time, and read as one", u.Field)
			}
			continue
		}
		seen++
		e := registry[u.ID]
		if want, absolute := forms[e.typ]; absolute && u.Form != want {
			t.Errorf("%s of %s is read by form %d, want %d", u.Field, e.typ, u.Form, want)
		} else if !absolute && units[u.Form] != e.units {
			t.Errorf("%s of %s in %q is read by form %d", u.Field, e.name, e.units, u.Form)
		}
	}
	if seen < 15 {
		t.Errorf("%d elements are times", seen)
	}
}

// The unit of a field is that of the elements that fill it.
func TestUnitsOfFields(t *testing.T) {
	registry := iana(t)
	for _, u := range AllUses() {
		e, ok := registry[u.ID]
		d := u.Field.Describe()
		if !ok || u.PEN != 0 && u.PEN != 29305 || d.Kind != KindNumber || e.units == "" && d.Unit == "" {
			continue
		}
		if want := d.Unit; e.units != want && !(want == "packets" && (e.units == "frames" || e.units == "")) {
			t.Errorf("%s is in %q, element %s in %q", u.Field, want, e.name, e.units)
		}
	}
}

// opposite are the words of the registry's names for the two directions.
var opposite = strings.NewReplacer("source", "destination", "destination", "source", "Source", "Destination",
	"Destination", "Source", "ingress", "egress", "egress", "ingress", "Src", "Dst", "Dst", "Src",
	"initiator", "responder", "responder", "initiator", "bgpSource", "bgpDestination", "bgpDestination", "bgpSource")

// An element of one direction and that of the other, by their names in the registry, fill
// the two fields of a pair, in the same way.
func TestDirectionsFillPairs(t *testing.T) {
	registry := iana(t)
	byName := map[string]uint16{}
	for id, e := range registry {
		byName[e.name] = id
	}
	seen := 0
	for _, u := range AllUses() {
		pair := u.Field.Describe().Pair
		if u.PEN != 0 || pair == u.Field || u.ID >= 1<<15 {
			continue
		}
		name := registry[u.ID].name
		other, ok := byName[opposite.Replace(name)]
		if !ok || other == u.ID {
			continue
		}
		seen++
		want := u
		want.ID, want.Field = other, pair
		if !slices.ContainsFunc(Uses(0, other), func(o Use) bool {
			return o.Field == want.Field && o.Form == want.Form && o.Index == want.Index && o.Keep == want.Keep
		}) {
			t.Errorf("%s fills %s, but %s does not fill %s so: %+v", name, u.Field, registry[other].name, pair,
				Uses(0, other))
		}
	}
	if seen < 30 {
		t.Errorf("%d elements have one of the other direction", seen)
	}
}

// What an element of RFC 5103 says of the reverse direction fills the field of the other
// direction than that of IANA's element.
func TestReverseElementsFillReverseFields(t *testing.T) {
	seen := 0
	for _, u := range AllUses() {
		if u.PEN != 29305 {
			continue
		}
		seen++
		forward := Uses(0, u.ID)
		if !slices.ContainsFunc(forward, func(o Use) bool { return o.Field == u.Field.Describe().Pair }) {
			t.Errorf("the reverse of %d fills %s, itself %+v", u.ID, u.Field, forward)
		}
		if !u.Keep {
			t.Errorf("the reverse of %d is not kept beside %s", u.ID, u.Field)
		}
	}
	if seen < 8 {
		t.Errorf("%d elements of RFC 5103", seen)
	}
}

// Of the elements of a field, each has a rank of its own, from 0 without a gap.
func TestRanks(t *testing.T) {
	ranks := map[Field][]uint8{}
	for _, u := range AllUses() {
		ranks[u.Field] = append(ranks[u.Field], u.Rank)
	}
	for f, list := range ranks {
		slices.Sort(list)
		for i, n := range list {
			if int(n) != i {
				t.Errorf("the elements of %s have the ranks %d", f, list)
				break
			}
		}
	}
}
