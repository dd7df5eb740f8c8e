package flow

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Policy is what an administrator says of how an exporter is to be read. It goes with
// the exporter's datagrams, so that whoever decodes them reads them alike. The zero value
// leaves all to the exporter.
type Policy struct {
	Rate     uint32 // one packet in so many; 0 is not configured
	Override bool   // Rate beats what the exporter says, else it is for want of that
	Count    CountMode

	OutCounters OutCounters

	// SeparatePorts makes every source port of the address an exporter of its own:
	// VMware's hosts behind one "switch IP" share address and domain.
	SeparatePorts bool
}

// CountMode says which flows of an exporter are counted.
type CountMode uint8

// The count modes.
const (
	CountAll CountMode = iota

	// CountIngress and CountEgress count the flows that were seen coming in or
	// going out, and those that do not say.
	CountIngress
	CountEgress

	// CountDelivered counts what a VMware virtual switch has delivered, once:
	// flows from an uplink or a VM to a VM (elements 890 and 888), and flows that do
	// not say.
	CountDelivered
)

// countModes are the names of the modes.
var countModes = [...]string{CountAll: "both", CountIngress: "ingress", CountEgress: "egress",
	CountDelivered: "delivered"}

// ParseCountMode reads a name; "" is "both".
func ParseCountMode(name string) (CountMode, error) {
	if name == "" {
		return CountAll, nil
	}
	for mode, known := range countModes {
		if name == known {
			return CountMode(mode), nil
		}
	}
	return 0, fmt.Errorf("count: expected 'both', 'ingress', 'egress' or 'delivered', got %q", name)
}

// Counts says whether r is counted.
func (c CountMode) Counts(r *Record) bool {
	switch c {
	case CountIngress:
		return !r.Has(Direction) || r.Direction == 0
	case CountEgress:
		return !r.Has(Direction) || r.Direction == 1
	case CountDelivered:
		return !r.Has(EgressAttr) || r.EgressAttr == attrVM && (r.IngressAttr == attrUplink || r.IngressAttr == attrVM)
	}
	return true
}

// OutCounters says what an exporter counts in elements 23 and 24, which are by their
// definition the same packets behind the device.
type OutCounters uint8

// What is counted.
const (
	OutLearned OutCounters = iota // the other direction if more or mostly fewer packets go out, else the same
	OutReverse                    // the other direction: nProbe, Cisco's Meraki MX
	OutSame                       // the same packets: FortiGate
	OutIgnore                     // nothing that is to be kept
)

// outCounters are the names of the configuration.
var outCounters = [...]string{OutLearned: "auto", OutReverse: "reverse", OutSame: "same", OutIgnore: "ignore"}

// ParseOutCounters reads a name; "" is "auto".
func ParseOutCounters(name string) (OutCounters, error) {
	if name == "" {
		return OutLearned, nil
	}
	for o, known := range outCounters {
		if name == known {
			return OutCounters(o), nil
		}
	}
	return 0, fmt.Errorf("out_counters: expected 'auto', 'reverse', 'same' or 'ignore', got %q", name)
}

// The values of VMware's elements 888 and 890.
const (
	attrUplink = 1
	attrVM     = 2
)

// String returns the policy as the options of the configuration that it comes from,
// "" of the zero value: "sampling_rate=4096 sampling=override".
func (p Policy) String() string {
	var words []string
	if p.Rate != 0 {
		words = append(words, "sampling_rate="+strconv.FormatUint(uint64(p.Rate), 10))
	}
	if p.Override {
		words = append(words, "sampling=override")
	}
	if p.Count != CountAll && int(p.Count) < len(countModes) {
		words = append(words, "count="+countModes[p.Count])
	}
	if p.SeparatePorts {
		words = append(words, "ports=separate")
	}
	if p.OutCounters != OutLearned && int(p.OutCounters) < len(outCounters) {
		words = append(words, "out_counters="+outCounters[p.OutCounters])
	}
	return strings.Join(words, " ")
}

// ParsePolicy reads what String returns. Options that it does not know, of a later
// version, are left out.
func ParsePolicy(text string) (p Policy, err error) {
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "sampling_rate":
			rate, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return Policy{}, fmt.Errorf("sampling_rate: expected one packet in 1 to %d, got %q",
					uint32(math.MaxUint32), value)
			}
			p.Rate = uint32(rate)
		case "sampling":
			p.Override = value == "override"
		case "count":
			if p.Count, err = ParseCountMode(value); err != nil {
				return Policy{}, err
			}
		case "ports":
			p.SeparatePorts = value == "separate"
		case "out_counters":
			if p.OutCounters, err = ParseOutCounters(value); err != nil {
				return Policy{}, err
			}
		}
	}
	return p, nil
}
