// Package ie is the registry of IPFIX information elements: which name, data
// type and unit stands behind a number in a template.
//
// It covers the IANA registry (RFC 7012) and the enterprise elements of 21
// vendors. An element is known by its private enterprise number (PEN, 0 for
// IANA) and its id, never by the id alone: vendors' ids collide with IANA's.
// NetFlow v9 field types below 128 are the same numbers.
//
// To add an element, add its line to registry/iana.csv or
// registry/enterprise.csv and run go generate.
package ie

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

//go:generate go run ./generate

// Type is an abstract data type of RFC 7012, section 3.1.
type Type uint8

// The abstract data types.
const (
	OctetArray Type = iota
	Unsigned8
	Unsigned16
	Unsigned32
	Unsigned64
	Unsigned256
	Signed8
	Signed16
	Signed32
	Signed64
	Float32
	Float64
	Boolean
	MACAddress
	String
	DateTimeSeconds
	DateTimeMilliseconds
	DateTimeMicroseconds
	DateTimeNanoseconds
	IPv4Address
	IPv6Address
	BasicList
	SubTemplateList
	SubTemplateMultiList
)

var typeNames = [...]string{
	OctetArray: "octetArray", Unsigned8: "unsigned8", Unsigned16: "unsigned16",
	Unsigned32: "unsigned32", Unsigned64: "unsigned64", Unsigned256: "unsigned256",
	Signed8: "signed8", Signed16: "signed16", Signed32: "signed32", Signed64: "signed64",
	Float32: "float32", Float64: "float64", Boolean: "boolean", MACAddress: "macAddress",
	String: "string", DateTimeSeconds: "dateTimeSeconds",
	DateTimeMilliseconds: "dateTimeMilliseconds", DateTimeMicroseconds: "dateTimeMicroseconds",
	DateTimeNanoseconds: "dateTimeNanoseconds", IPv4Address: "ipv4Address",
	IPv6Address: "ipv6Address", BasicList: "basicList", SubTemplateList: "subTemplateList",
	SubTemplateMultiList: "subTemplateMultiList",
}

// String returns the type's name as RFC 7012 spells it.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// ParseType returns the type of the given RFC 7012 name.
func ParseType(name string) (Type, error) {
	for t, n := range typeNames {
		if n == name {
			return Type(t), nil
		}
	}
	return 0, fmt.Errorf("%q is no abstract data type of RFC 7012", name)
}

// ReversePEN marks an element of the other direction of a flow (RFC 5103,
// section 6.1): (29305, id) is IANA's element id, reversed.
const ReversePEN = 29305

// Private enterprise numbers of vendors whose elements are told apart by name.
const (
	CiscoPEN    = 9
	NokiaPEN    = 637
	CERTPEN     = 6871
	VMwarePEN   = 6876
	PaloAltoPEN = 25461
	NtopPEN     = 35632
)

// Types of NetFlow v9 that vendors have given themselves, above IANA's numbers.
const (
	NFIngressACL       uint16 = 33000 // NF_F_INGRESS_ACL_ID of Cisco's ASA, as those that follow
	NFEgressACL        uint16 = 33001
	NFFirewallXEvent   uint16 = 33002 // NF_F_FW_EXT_EVENT
	NFUsername         uint16 = 40000
	NFXlateSrcAddrIPv4 uint16 = 40001 // of old releases, as those up to 40005
	NFXlateDstAddrIPv4 uint16 = 40002
	NFXlateSrcPort     uint16 = 40003
	NFXlateDstPort     uint16 = 40004
	NFFirewallEvent    uint16 = 40005
	PaloAltoAppID      uint16 = 56701
	PaloAltoUserID     uint16 = 56702
)

// Elements of CERT's YAF from before RFC 5103, of the other direction of a flow.
const (
	CERTReverseOctetTotalCount  uint16 = 12
	CERTReversePacketTotalCount uint16 = 13
)

// Element is one information element.
type Element struct {
	PEN       uint32 // private enterprise number, 0 is IANA
	ID        uint16
	Name      string
	Type      Type
	Semantics string // data type semantics of RFC 7012, section 3.2; often empty for vendors
	Units     string // octets, packets, milliseconds, …; often empty
}

// Lookup returns the element of the given number.
func Lookup(pen uint32, id uint16) (Element, bool) {
	i := sort.Search(len(elements), func(i int) bool {
		e := &elements[i]
		return e.PEN > pen || e.PEN == pen && e.ID >= id
	})
	if i < len(elements) && elements[i].PEN == pen && elements[i].ID == id {
		return elements[i], true
	}
	return Element{}, false
}

// ByName returns the element with an IANA name ("octetDeltaCount"), a vendor's
// name behind its PEN ("6876/virtualObsID"), or a number ("95", "6876/888").
// Numbers that the registry does not know are octet arrays without a name. It
// searches the whole table: resolve names once, not per flow.
func ByName(s string) (Element, error) {
	pen, name := uint32(0), s
	if before, after, ok := strings.Cut(s, "/"); ok {
		n, err := strconv.ParseUint(before, 10, 32)
		if err != nil {
			return Element{}, fmt.Errorf("information element %q: expected a private enterprise number before the "+
				"slash", s)
		}
		pen, name = uint32(n), after
	}
	if id, err := strconv.ParseUint(name, 10, 16); err == nil {
		e, ok := Lookup(pen, uint16(id))
		if !ok {
			e = Element{PEN: pen, ID: uint16(id)}
		}
		return e, nil
	}
	for i := range elements {
		if elements[i].PEN == pen && elements[i].Name == name {
			return elements[i], nil
		}
	}
	return Element{}, fmt.Errorf("information element %q is not in the registry: expected an IANA name, PEN/name or "+
		"PEN/number", s)
}

// All returns every element, sorted by PEN and id. The slice is shared: do not
// change it.
func All() []Element { return elements[:] }
