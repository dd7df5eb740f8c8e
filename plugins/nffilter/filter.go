// Package nffilter reads nfdump's filter language and tells which flows match.
//
// It takes the filters of nfdump 1.7.1, 1.7.8 and 1.8 alike, whose dialects differ, and
// a few things that people try and nfdump does not know: '!=', a network behind "ip",
// the name of a protocol or a port, the fields by their names in metrics, and names of
// interfaces, virtual machines and applications. Where the dialects disagree:
//
//   - "not flags SA" is none of the flags, as in 1.7.1 and in the manual;
//   - "net" ignores bits behind the length;
//   - what a flow does not have matches nothing, but "flows" is 1 without an element,
//     and ports, TCP flags, type of service and counters are 0;
//   - numbers of autonomous systems need no geo data base, labels are counted from 1;
//   - a filter of comments only is "any"; a duration is never below 0.
//
// A Filter looks at flow.Record, wherever the flow came from: one language serves
// tools, roll-ups, alerts and pages.
//
//	f, err := nffilter.Parse("proto tcp and dst port in [80 443]", nffilter.Options{})
//	…
//	if f.Match(r, nil) {
//
// To add a test, see primitives in primitive.go.
package nffilter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Options says how a filter is read. The zero value is safe for filters of strangers:
// no file is read and no name looked up.
type Options struct {
	// Lookup returns the addresses of a host's name. Without it names are refused.
	Lookup func(name string) ([]netip.Addr, error)

	// Include returns the text of a file for "@include name". Without it that is
	// refused.
	Include func(name string) (string, error)

	// Countries says that flows have the countries of their addresses in Record.Names.
	// Without it "geo" and "country" are refused: they would match nothing.
	Countries bool

	// Location is the time zone of times; nil is time.Local.
	Location *time.Location
}

func (o *Options) location() *time.Location {
	if o.Location == nil {
		return time.Local
	}
	return o.Location
}

// Filter is a filter ready for use, by any number of goroutines.
type Filter struct {
	root   *node
	tests  []test
	fields flow.Set
	needs  bool // something of Context
	beyond bool // something of flow.Record that is no field
	hints  []string
}

// Parse reads a filter. An error is an *Error, which says where and what to write
// instead.
func Parse(text string, o Options) (*Filter, error) {
	text, err := include(text, &o, 0)
	if err != nil {
		return nil, err
	}
	list, bad := tokens(text)
	if bad != nil {
		return nil, bad
	}
	p := parser{text: text, tokens: list, opt: &o}
	root, bad := p.filter()
	if bad != nil {
		return nil, bad
	}
	f := &Filter{root: root, hints: p.hints}
	f.compile()
	return f, nil
}

// Hints tells what in the filter nfdump does not know, or knows differently.
func (f *Filter) Hints() []string { return f.hints }

// Fields returns the fields of a flow.Record that the filter reads: a reader may leave
// all others out.
func (f *Filter) Fields() flow.Set { return f.fields }

// NeedsRecord says whether the filter asks for what a flow.Record has besides its fields: the
// version of the protocol, names, elements without a field.
func (f *Filter) NeedsRecord() bool { return f.beyond }

// NeedsContext says whether the filter asks for what is in Context.
func (f *Filter) NeedsContext() bool { return f.needs }

// NeedsCountries says whether the filter asks for the countries of addresses, which
// Record.Names have.
func (f *Filter) NeedsCountries() bool {
	return slices.ContainsFunc(f.tests, func(t test) bool {
		return t.operand == opSrcCountry || t.operand == opDstCountry
	})
}

// NeedsOrder says whether the filter asks for the number of a flow in what is read.
func (f *Filter) NeedsOrder() bool {
	return slices.ContainsFunc(f.tests, func(t test) bool { return t.operand == opCount })
}

// maxInclude bounds how deep files include others.
const maxInclude = 10

// include puts the texts of files where "@include" stands.
func include(text string, o *Options, depth int) (string, error) {
	if !strings.Contains(text, "@include") {
		return text, nil
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "@include")
		if !ok {
			b.WriteString(line)
			continue
		}
		name = strings.Trim(strings.TrimSpace(name), `"'`)
		switch {
		case o.Include == nil:
			return "", &Error{Message: "@include is not allowed here"}
		case depth == maxInclude:
			return "", &Error{Message: fmt.Sprintf("%q is included more than %d deep", name, maxInclude)}
		}
		inner, err := o.Include(name)
		if err != nil {
			return "", &Error{Message: fmt.Sprintf("@include %q: %v", name, err)}
		}
		if inner, err = include(inner, o, depth+1); err != nil {
			return "", err
		}
		if b.Len()+len(inner) > maxText {
			return "", &Error{Message: fmt.Sprintf("with what it includes the filter is longer than %d bytes", maxText)}
		}
		b.WriteString(inner)
		b.WriteByte('\n')
	}
	return b.String(), nil
}
