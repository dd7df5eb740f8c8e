package query

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Aggregation says what flows have in common that are summed up into one: nfdump's -a,
// -A, -b and -B. What comes out of it are flows again, so that every format that prints
// flows prints them.
type Aggregation struct {
	Keys []AggregationKey

	// Whole says that rows have all of their first flow besides the keys and the sums, as
	// those of -a, -b, -B and all that -w writes. Others have nothing else.
	Whole bool

	// Bidirectional (-b) sums a flow and the one that goes back up into one, with the
	// counters of the way back in RevPackets and RevBytes. Client (-B) also turns it so
	// that the side with the port of a service, below 1024 and lower than the other, is
	// the destination.
	Bidirectional, Client bool

	// Mapped cuts an address by the length for the other family where there is none for its
	// own, as if IPv4 were the last 32 bits of IPv6, as nfdump 1.7.1 does; without it all are
	// "::" or 0.0.0.0, as for 1.7.8.
	Mapped bool
}

// AggregationKey is one of the keys of an Aggregation.
type AggregationKey struct {
	Name   string        // nfdump's, as in "srcip4"
	Column nffile.Column // whose value is the key
	Tag    string        // the tag of the column in nfdump's formats, as in "%sa"
	Family uint8         // 4 or 6: of addresses of the other one all are the same; 0 is both
	Bits   uint8         // of an address that count, where Family is not 0
	Net    bool          // as many bits of the address count as the flow says

	Country bool // that of the address counts, which Input.Country tells
}

// aggregationKeys are all there are: the names of 1.7.1, 1.7.8 and 1.8, and "ivrf" and
// "evrf", which nfdump lacks.
var aggregationKeys = []AggregationKey{
	{Name: "proto", Column: nffile.Column(flow.Proto), Tag: "%pr"},
	{Name: "srcip", Column: nffile.Column(flow.Src), Tag: "%sa"},
	{Name: "dstip", Column: nffile.Column(flow.Dst), Tag: "%da"},
	{Name: "srcip4", Column: nffile.Column(flow.Src), Tag: "%sa", Family: 4},
	{Name: "dstip4", Column: nffile.Column(flow.Dst), Tag: "%da", Family: 4},
	{Name: "srcip6", Column: nffile.Column(flow.Src), Tag: "%sa", Family: 6},
	{Name: "dstip6", Column: nffile.Column(flow.Dst), Tag: "%da", Family: 6},
	{Name: "srcnet", Column: nffile.Column(flow.Src), Tag: "%sn", Net: true},
	{Name: "dstnet", Column: nffile.Column(flow.Dst), Tag: "%dn", Net: true},
	{Name: "srcgeo", Column: nffile.Column(flow.Src), Tag: "%sc", Country: true},
	{Name: "dstgeo", Column: nffile.Column(flow.Dst), Tag: "%dc", Country: true},
	{Name: "srcport", Column: nffile.Column(flow.SrcPort), Tag: "%sp"},
	{Name: "dstport", Column: nffile.Column(flow.DstPort), Tag: "%dp"},
	{Name: "srcmask", Column: nffile.Column(flow.SrcMask), Tag: "%smk"},
	{Name: "dstmask", Column: nffile.Column(flow.DstMask), Tag: "%dmk"},
	{Name: "srcvlan", Column: nffile.Column(flow.SrcVLAN), Tag: "%svln"},
	{Name: "dstvlan", Column: nffile.Column(flow.DstVLAN), Tag: "%dvln"},
	{Name: "srcasn", Column: nffile.Column(flow.SrcAS), Tag: "%sas"},
	{Name: "dstasn", Column: nffile.Column(flow.DstAS), Tag: "%das"},
	{Name: "srcas", Column: nffile.Column(flow.SrcAS), Tag: "%sas"},
	{Name: "dstas", Column: nffile.Column(flow.DstAS), Tag: "%das"},
	{Name: "nextas", Column: nffile.Column(flow.NextAS), Tag: "%nas"},
	{Name: "prevas", Column: nffile.Column(flow.PrevAS), Tag: "%pas"},
	{Name: "inif", Column: nffile.Column(flow.Input), Tag: "%in"},
	{Name: "outif", Column: nffile.Column(flow.Output), Tag: "%out"},
	{Name: "next", Column: nffile.Column(flow.NextHop), Tag: "%nh"},
	{Name: "bgpnext", Column: nffile.Column(flow.BGPNextHop), Tag: "%nhb"},
	{Name: "insrcmac", Column: nffile.Column(flow.InSrcMAC), Tag: "%ismc"},
	{Name: "outdstmac", Column: nffile.Column(flow.OutDstMAC), Tag: "%odmc"},
	{Name: "indstmac", Column: nffile.Column(flow.InDstMAC), Tag: "%idmc"},
	{Name: "outsrcmac", Column: nffile.Column(flow.OutSrcMAC), Tag: "%osmc"},
	{Name: "tos", Column: nffile.Column(flow.SrcTOS), Tag: "%tos"},
	{Name: "srctos", Column: nffile.Column(flow.SrcTOS), Tag: "%stos"},
	{Name: "dsttos", Column: nffile.Column(flow.DstTOS), Tag: "%dtos"},
	{Name: "flags", Column: nffile.Column(flow.TCPFlags), Tag: "%flg"},
	{Name: "router", Column: nffile.Router, Tag: "%ra"},
	{Name: "mpls1", Column: nffile.MPLSLabel, Tag: "%mpls1"},
	{Name: "mpls2", Column: nffile.MPLSLabel + 1, Tag: "%mpls2"},
	{Name: "mpls3", Column: nffile.MPLSLabel + 2, Tag: "%mpls3"},
	{Name: "mpls4", Column: nffile.MPLSLabel + 3, Tag: "%mpls4"},
	{Name: "mpls5", Column: nffile.MPLSLabel + 4, Tag: "%mpls5"},
	{Name: "mpls6", Column: nffile.MPLSLabel + 5, Tag: "%mpls6"},
	{Name: "mpls7", Column: nffile.MPLSLabel + 6, Tag: "%mpls7"},
	{Name: "mpls8", Column: nffile.MPLSLabel + 7, Tag: "%mpls8"},
	{Name: "mpls9", Column: nffile.MPLSLabel + 8, Tag: "%mpls9"},
	{Name: "mpls10", Column: nffile.MPLSLabel + 9, Tag: "%mpls10"},
	{Name: "odid", Column: nffile.ObservationDomain, Tag: "%odid"},
	{Name: "opid", Column: nffile.Column(flow.ObservationPoint), Tag: "%opid"},
	{Name: "xsrcip", Column: nffile.Column(flow.XlateSrc), Tag: "%xsa"},
	{Name: "xdstip", Column: nffile.Column(flow.XlateDst), Tag: "%xda"},
	{Name: "xsrcport", Column: nffile.Column(flow.XlateSPort), Tag: "%xsp"},
	{Name: "xdstport", Column: nffile.Column(flow.XlateDPort), Tag: "%xdp"},
	{Name: "ivrf", Column: nffile.Column(flow.IngressVRF), Tag: "%ivrf"},
	{Name: "evrf", Column: nffile.Column(flow.EgressVRF), Tag: "%evrf"},
	{Name: "minttl", Column: nffile.Column(flow.MinTTL), Tag: "%minttl"},
	{Name: "maxttl", Column: nffile.Column(flow.MaxTTL), Tag: "%maxttl"},
}

// connection are the keys of -a.
var connection = []string{"proto", "srcip", "dstip", "srcport", "dstport"}

// maxKeys bounds the keys of an aggregation.
const maxKeys = 16

// Connections returns the aggregation of nfdump's -a: by protocol, addresses and ports.
func Connections() Aggregation {
	a := Aggregation{Whole: true}
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
	var a Aggregation
	for word := range strings.SplitSeq(strings.ToLower(text), ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		k, err := parseKey(word)
		if err != nil {
			return Aggregation{}, fmt.Errorf("aggregation %q: %w", text, err)
		}
		for i := range a.Keys {
			if o := &a.Keys[i]; o.Column == k.Column && o.Country == k.Country &&
				(o.Family == k.Family || o.Family == 0 || k.Family == 0) {
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

// NeedsCountries says whether a key is the country of an address.
func (a *Aggregation) NeedsCountries() bool {
	return slices.ContainsFunc(a.Keys, func(k AggregationKey) bool { return k.Country })
}

// Format returns the format in which nfdump prints the rows of -A where -o does not say
// another one: its tags, without "fmt:". An address that is cut in both families is
// printed once.
func (a *Aggregation) Format() string {
	var tags []string
	for i := range a.Keys {
		if tag := a.Keys[i].Tag; !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return "%ts %td  " + strings.Join(tags, " ") + "  %pkt %byt %bps %bpp %fl"
}
