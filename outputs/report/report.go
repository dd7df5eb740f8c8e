// Package report prints flows, statistics and summaries: nfdump's output formats, with
// the columns, widths and rounding of nfdump, so that scripts which read its output read
// this, and formats of our own. FORMATS.md describes all of them.
//
// nfdump's versions differ: Options.Compat chooses one. Without it each format is
// printed as the version does that does it better, which for the tables of text is 1.7.1.
//
// To add a tag of fmt:, add its line to tags; to add a format, add it to formats.
package report

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Options say how to print. The zero value prints as nfdump without options.
type Options struct {
	Location *time.Location // of times; nil is the local one
	Plain    bool           // -N: plain numbers, protocols by number, durations in seconds
	LongIPv6 bool           // -6: IPv6 addresses in full
	Quiet    bool           // -q: no header and no summary
	Compat   Compat         // whose output it has to be
	TagAddrs bool           // -T: a byte 1 before addresses in text, for NfSen's links
	Terminal Terminal       // where a table goes

	// Country returns the country of an address in two letters, "" where it is not known, for
	// the formats and tags that have countries. nil knows none.
	Country func(netip.Addr) string

	Extensions []Extension // formats that others print

	partial  bool // more follows: no summary
	saidNone bool // it is printed already that no flow has matched
}

// location returns the location of times.
func (o *Options) location() *time.Location {
	if o.Location == nil {
		return time.Local
	}
	return o.Location
}

// country returns the country of an address, two letters or "".
func (o *Options) country(a netip.Addr) string {
	if o.Country == nil || !a.IsValid() {
		return ""
	}
	if code := o.Country(a); len(code) == 2 {
		return code
	}
	return ""
}

// CountryOf returns the country of an end of a flow, two letters, or "" where it is not known:
// that which is a key of a row, or that of the address in a field.
func (o *Options) CountryOf(f *query.Flow, field flow.Field) string {
	code := f.SrcCountry
	if field == flow.Dst {
		code = f.DstCountry
	}
	if code == "" {
		code = o.country(f.Addr(field))
	}
	return code
}

// Compat is a version of nfdump whose output is printed, byte for byte.
type Compat uint8

// The versions. Best is none: each format as the version does that does it better.
const (
	Best Compat = iota
	Nfdump171
	Nfdump178
)

// compatNames are the versions as users write them.
var compatNames = [...]string{"best", "1.7.1", "1.7.8"}

// ParseCompat reads a version.
func ParseCompat(s string) (Compat, error) {
	for i, name := range compatNames {
		if s == name {
			return Compat(i), nil
		}
	}
	return Best, fmt.Errorf("--compat %s: expected one of %s", s, strings.Join(compatNames[:], ", "))
}

// String returns the version.
func (c Compat) String() string { return compatNames[c] }

// or returns c, and another version in place of Best.
func (c Compat) or(version Compat) Compat {
	if c == Best {
		return version
	}
	return c
}

// row is a flow, or the sum of several, that is printed.
type row struct{ *query.Flow }

// noExtra is the Extra of what has none.
var noExtra nffile.Extra

// flows returns how many flows f stands for.
func (f row) flows() uint64 {
	if f.Has(flow.Flows) {
		return f.Flows
	}
	return 1
}

// router returns the address of the exporter where the record itself has it.
func (f row) router() netip.Addr {
	if f.isFile() && !nffile.HasRouter(f.Elements) {
		return netip.Addr{}
	}
	return f.Exporter
}

// isICMP says whether the destination port is a type and a code.
func (f row) isICMP() bool { return f.Proto == 1 || f.Proto == 58 }

// tunnelled says whether the flow was seen inside a tunnel.
func (f row) tunnelled() bool { return f.TunSrc.IsValid() || f.TunDst.IsValid() }

// milliseconds returns how long the flow took.
func (f row) milliseconds() uint64 {
	first, last := f.First.Milli(), f.Last.Milli()
	return last - min(first, last)
}

// Printer prints flows in one format. What it is given is copied.
type Printer interface {
	// Begin prints what stands before the first flow.
	Begin() error
	// Flow prints a flow.
	Flow(f *query.Flow) error
	// End prints what stands behind the last flow, and writes out what is buffered.
	End(t *query.Totals, u Usage) error
}
