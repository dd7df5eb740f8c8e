package query

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Aggregation says what flows have in common that are summed up into one: nfdump's -a,
// -A, -b and -B. What comes out of it are flows again, so that every format that prints
// flows prints them.
type Aggregation struct {
	Keys []AggregationKey

	// Custom is an aggregation with keys that the user has named: -A. Its rows have only
	// the keys; those of the five keys of -a, -b and -B have all else of their first flow.
	Custom bool

	// Bidirectional (-b) sums a flow and the one that goes back up into one, with the
	// counters of the way back in RevPackets and RevBytes. Client (-B) also turns it so
	// that the side with the port of a service, below 1024 and lower than the other, is
	// the destination.
	Bidirectional, Client bool
}

// AggregationKey is one of the keys of an Aggregation.
type AggregationKey struct {
	Name   string     // nfdump's, as in "srcip4"
	Field  flow.Field // whose value is the key
	Tag    string     // the tag of the field in nfdump's formats, as in "%sa"
	Family uint8      // 4 or 6: of addresses of the other one all are the same; 0 is both
	Bits   uint8      // of an address that count, where Family is not 0
	Net    bool       // as many bits of the address count as the flow says
}

// aggregationKeys are all there are: the names of 1.7.1, those of 1.7.8 and "flags",
// "ivrf" and "evrf", which nfdump lacks.
var aggregationKeys = []AggregationKey{
	{Name: "proto", Field: flow.Proto, Tag: "%pr"},
	{Name: "srcip", Field: flow.Src, Tag: "%sa"},
	{Name: "dstip", Field: flow.Dst, Tag: "%da"},
	{Name: "srcip4", Field: flow.Src, Tag: "%sa", Family: 4},
	{Name: "dstip4", Field: flow.Dst, Tag: "%da", Family: 4},
	{Name: "srcip6", Field: flow.Src, Tag: "%sa", Family: 6},
	{Name: "dstip6", Field: flow.Dst, Tag: "%da", Family: 6},
	{Name: "srcnet", Field: flow.Src, Tag: "%sn", Net: true},
	{Name: "dstnet", Field: flow.Dst, Tag: "%dn", Net: true},
	{Name: "srcport", Field: flow.SrcPort, Tag: "%sp"},
	{Name: "dstport", Field: flow.DstPort, Tag: "%dp"},
	{Name: "srcmask", Field: flow.SrcMask, Tag: "%smk"},
	{Name: "dstmask", Field: flow.DstMask, Tag: "%dmk"},
	{Name: "srcvlan", Field: flow.SrcVLAN, Tag: "%svln"},
	{Name: "dstvlan", Field: flow.DstVLAN, Tag: "%dvln"},
	{Name: "srcas", Field: flow.SrcAS, Tag: "%sas"},
	{Name: "dstas", Field: flow.DstAS, Tag: "%das"},
	{Name: "nextas", Field: flow.NextAS, Tag: "%nas"},
	{Name: "prevas", Field: flow.PrevAS, Tag: "%pas"},
	{Name: "inif", Field: flow.Input, Tag: "%in"},
	{Name: "outif", Field: flow.Output, Tag: "%out"},
	{Name: "next", Field: flow.NextHop, Tag: "%nh"},
	{Name: "bgpnext", Field: flow.BGPNextHop, Tag: "%nhb"},
	{Name: "insrcmac", Field: flow.InSrcMAC, Tag: "%ismc"},
	{Name: "outdstmac", Field: flow.OutDstMAC, Tag: "%odmc"},
	{Name: "indstmac", Field: flow.InDstMAC, Tag: "%idmc"},
	{Name: "outsrcmac", Field: flow.OutSrcMAC, Tag: "%osmc"},
	{Name: "tos", Field: flow.SrcTOS, Tag: "%tos"},
	{Name: "srctos", Field: flow.SrcTOS, Tag: "%stos"},
	{Name: "dsttos", Field: flow.DstTOS, Tag: "%dtos"},
	{Name: "flags", Field: flow.TCPFlags, Tag: "%flg"},
	{Name: "router", Field: flow.Router, Tag: "%ra"},
	{Name: "opid", Field: flow.ObservationPoint, Tag: "%opid"},
	{Name: "xsrcip", Field: flow.XlateSrc, Tag: "%xsa"},
	{Name: "xdstip", Field: flow.XlateDst, Tag: "%xda"},
	{Name: "xsrcport", Field: flow.XlateSPort, Tag: "%xsp"},
	{Name: "xdstport", Field: flow.XlateDPort, Tag: "%xdp"},
	{Name: "ivrf", Field: flow.IngressVRF, Tag: "%ivrf"},
	{Name: "evrf", Field: flow.EgressVRF, Tag: "%evrf"},
	{Name: "minttl", Field: flow.MinTTL, Tag: "%minttl"},
	{Name: "maxttl", Field: flow.MaxTTL, Tag: "%maxttl"},
}

// connection are the keys of -a.
var connection = []string{"proto", "srcip", "dstip", "srcport", "dstport"}

// maxKeys bounds the keys of an aggregation.
const maxKeys = 16

// Connections returns the aggregation of nfdump's -a: by protocol, addresses and ports.
func Connections() Aggregation {
	var a Aggregation
	for _, name := range connection {
		a.Keys = append(a.Keys, *aggregationKey(name))
	}
	return a
}

// AggregationKeys returns the names of all keys.
func AggregationKeys() []string {
	names := make([]string, len(aggregationKeys))
	for i := range aggregationKeys {
		names[i] = aggregationKeys[i].Name
	}
	return names
}

// aggregationKey returns the key of a name, nil when there is none.
func aggregationKey(name string) *AggregationKey {
	i := slices.IndexFunc(aggregationKeys, func(k AggregationKey) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return &aggregationKeys[i]
}

// ParseAggregation reads keys as nfdump's -A has them, as in
// "srcip4/24,dstip6/64,dstport,proto".
func ParseAggregation(text string) (Aggregation, error) {
	a := Aggregation{Custom: true}
	for word := range strings.SplitSeq(strings.ToLower(text), ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		k, err := parseKey(word)
		if err != nil {
			return Aggregation{}, fmt.Errorf("aggregation %q: %w", text, err)
		}
		for i := range a.Keys {
			if o := &a.Keys[i]; o.Field == k.Field && (o.Family == k.Family || o.Family == 0 || k.Family == 0) {
				return Aggregation{}, fmt.Errorf("aggregation %q: %s and %s are the same key", text, o.Name, k.Name)
			}
		}
		if a.Keys = append(a.Keys, k); len(a.Keys) > maxKeys {
			return Aggregation{}, fmt.Errorf("aggregation %q: expected at most %d keys", text, maxKeys)
		}
	}
	if len(a.Keys) == 0 {
		return Aggregation{}, errors.New("aggregation: expected keys, as in srcip4/24,dstport")
	}
	return a, nil
}

// parseKey reads one key, with its length of a prefix.
func parseKey(word string) (AggregationKey, error) {
	name, length, hasLength := strings.Cut(word, "/")
	key := aggregationKey(name)
	switch {
	case key == nil && strings.HasSuffix(name, "geo"):
		return AggregationKey{}, fmt.Errorf("%s needs a geo data base, which flowgraf does not read", name)
	case key == nil:
		return AggregationKey{}, fmt.Errorf("there is no key %q: expected some of %s", name,
			strings.Join(AggregationKeys(), " "))
	case hasLength && (name == "srcip" || name == "dstip"):
		return AggregationKey{}, fmt.Errorf("%s: whose bits? Write %s4/%s or %s6/%s, or both", word, name, length, name,
			length)
	case hasLength && key.Family == 0:
		return AggregationKey{}, fmt.Errorf("%s: only srcip4, srcip6, dstip4 and dstip6 take a length", word)
	case key.Family == 0:
		return *key, nil
	case !hasLength:
		return AggregationKey{}, fmt.Errorf("%s: expected the length of the prefix, as in %s/24", word, name)
	}
	k, most := *key, 32
	if k.Family == 6 {
		most = 128
	}
	bits, err := strconv.Atoi(length)
	if err != nil || bits < 1 || bits > most {
		return AggregationKey{}, fmt.Errorf("%s: expected a length of 1 to %d", word, most)
	}
	k.Bits = uint8(bits)
	return k, nil
}

// Format returns the format in which nfdump prints the rows of -A where -o does not say
// another one: its tags, without "fmt:". An address that is cut in both families is
// printed once.
func (a *Aggregation) Format() string {
	tags := []string{"%ts", "%td"}
	for i := range a.Keys {
		if tag := a.Keys[i].Tag; !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return strings.Join(append(tags, "%pkt", "%byt", "%bps", "%bpp", "%fl"), " ")
}
