package nffilter

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/plugins/wire"
)

// value reads the comparison and the value behind a primitive.
func (p *parser) value(kind *primitive, chosen []choice, every bool) (*node, *Error) {
	switch kind.form {
	case nothing:
		if len(kind.choices) == 0 {
			return leaf(test{op: opTrue}), nil
		}
		return equals(kind.choices[0].operand, kind.max), nil
	case absent:
		t := p.tokens[p.pos-1]
		return nil, p.errorf(t, "'%s' is a test of nfdump's that is not supported here", kind.words)
	case aPortBlock:
		return each(chosen, every, test{op: opInPortBlock}), nil
	case anAddress, aNetwork:
		return p.addressValue(kind, chosen, every)
	case aMAC:
		return p.macValue(chosen, every)
	case aText:
		return p.textValue(kind, chosen, every)
	case aCountry:
		return p.countryValue(kind, chosen, every)
	case aTime:
		return p.timeValue(kind, chosen, every)
	case aPattern, anExpr:
		return p.payloadValue(kind, chosen)
	case someFlags:
		return p.flagsValue(kind, chosen)
	case mplsAny:
		chosen = nil
		for i := range uint8(10) {
			chosen = append(chosen, choice{operand: opMPLSLabel, index: i})
		}
	}
	return p.numberValue(kind, chosen, every)
}

// each returns a test of each operand: one has to match, or every.
func each(chosen []choice, every bool, t test) *node {
	var list []*node
	for _, c := range chosen {
		t.operand, t.index = c.operand, c.index
		list = append(list, leaf(t))
	}
	if every {
		return join(isAnd, list...)
	}
	return join(isOr, list...)
}

// equals returns the test that an operand has one of the values.
func equals(o operand, values ...uint64) *node {
	var list []*node
	for _, v := range values {
		list = append(list, leaf(test{op: opNumber, compare: equal, operand: o, value: v}))
	}
	return join(isOr, list...)
}

var comparisons = map[string]comparison{
	"=": equal, "==": equal, "eq": equal, "!=": unequal, "ne": unequal, "<": less, "lt": less, ">": greater,
	"gt": greater, "<=": lessOrEqual, "le": lessOrEqual, ">=": greaterOrEqual, "ge": greaterOrEqual,
}

// comparison reads a comparison; without one it is "=".
func (p *parser) comparison(kind *primitive) (comparison, *Error) {
	t := p.peek()
	if t.kind != compareToken && t.kind != wordToken {
		return equal, nil
	}
	c, ok := comparisons[strings.ToLower(t.text)]
	if !ok {
		return equal, nil
	}
	p.takeToken()
	if c == unequal {
		p.hint("nfdump has no '!=': write 'not %s …'", kind.words)
	} else if c != equal && !kind.compare {
		return equal, p.errorf(t, "%q has no order: only '=' and '!=' make sense", kind.words)
	}
	return c, nil
}

// inList says whether a list in brackets follows, and passes over what opens it.
func (p *parser) inList() bool {
	if p.peek().is("in") && p.ahead(1).symbol("[") {
		p.pos += 2
		return true
	}
	return false
}

// list reads the items of a list and its bracket.
func (p *parser) list(item func(token) *Error) *Error {
	for n := 0; ; n++ {
		t := p.takeToken()
		switch {
		case t.symbol("]") && n > 0:
			return nil
		case t.kind == endToken:
			return p.expected(t, "']' at the end of the list")
		case t.kind != wordToken && t.kind != quotedToken:
			return p.expected(t, "an item of the list")
		}
		if err := item(t); err != nil {
			return err
		}
		if p.peek().symbol(",") {
			p.takeToken()
		}
	}
}

// numberValue reads a number or a list of them.
func (p *parser) numberValue(kind *primitive, chosen []choice, every bool) (*node, *Error) {
	if p.inList() {
		var list []uint64
		err := p.list(func(t token) *Error {
			v, err := p.number(kind, t)
			list = append(list, v)
			return err
		})
		if err != nil {
			return nil, err
		}
		slices.Sort(list)
		return each(chosen, every, test{op: opNumberIn, list: slices.Compact(list)}), nil
	}
	c, err := p.comparison(kind)
	if err != nil {
		return nil, err
	}
	v, err := p.number(kind, p.takeToken())
	if err != nil {
		return nil, err
	}
	t := test{op: opNumber, compare: c, value: v}
	if c == unequal {
		t.compare = equal
		return negate(each(chosen, every, t)), nil
	}
	return each(chosen, every, t), nil
}

// number reads a number within the bound of a primitive, or one of its words.
func (p *parser) number(kind *primitive, t token) (uint64, *Error) {
	if t.kind != wordToken && t.kind != quotedToken {
		return 0, p.expected(t, "a number after '"+kind.words+"'")
	}
	if v, ok := kind.names[strings.ToLower(t.text)]; ok {
		return v, nil
	}
	v, ok := parseNumber(t.text)
	if !ok && strings.HasSuffix(kind.words, "port") {
		v, ok = p.service(t)
	}
	if !ok {
		err := p.expected(t, "a number after '"+kind.words+"'")
		if s := Similar(t.text, sortedNames(kind.names)); s != "" {
			err.Suggestion = fmt.Sprintf("did you mean %q?", s)
		}
		return 0, err
	}
	if v > kind.max {
		return 0, p.errorf(t, "expected a number from 0 to %d after '%s', got %s", kind.max, kind.words, t.text)
	}
	return v, nil
}

// service returns the port of a service's name.
func (p *parser) service(t token) (uint64, bool) {
	for _, network := range []string{"tcp", "udp"} {
		if port, err := net.LookupPort(network, strings.ToLower(t.text)); err == nil && t.text != "" {
			p.hint("nfdump knows no names of ports: write %d", port)
			return uint64(port), true
		}
	}
	return 0, false
}

func sortedNames(names map[string]uint64) []string {
	var list []string
	for n := range names {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// parseNumber reads a decimal or hexadecimal number, with k, m, g or t for powers of
// 1000.
func parseNumber(s string) (uint64, bool) {
	if hex, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		v, err := strconv.ParseUint(hex, 16, 64)
		return v, err == nil
	}
	factor := uint64(1)
	if n := len(s); n > 1 {
		if i := strings.IndexByte("kmgt", s[n-1]|0x20); i >= 0 {
			s = s[:n-1]
			for range i + 1 {
				factor *= 1000
			}
		}
	}
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	v, err := strconv.ParseUint(s, 10, 64)
	return v * factor, err == nil && v <= math.MaxUint64/factor
}

// flagsValue reads letters of TCP flags, or a number to compare all of them with.
func (p *parser) flagsValue(kind *primitive, chosen []choice) (*node, *Error) {
	c, err := p.comparison(kind)
	if err != nil {
		return nil, err
	}
	explicit := p.tokens[p.pos-1].kind == compareToken || comparisons[strings.ToLower(p.tokens[p.pos-1].text)] != 0
	t := p.takeToken()
	if t.kind != wordToken {
		return nil, p.expected(t, "flags like SA, or a number,")
	}
	mask, letters := flagMask(t.text)
	if !letters {
		v, ok := parseNumber(t.text)
		if !ok || v > kind.max {
			return nil, p.expected(t, "letters of CEUAPRSF or X, or a number up to 255,")
		}
		mask = v
	}
	test := test{op: opNumber, compare: c, value: mask}
	if letters && !explicit {
		test.op = opFlagsAll
	}
	if c == unequal {
		test.compare = equal
		return negate(each(chosen, false, test)), nil
	}
	return each(chosen, false, test), nil
}

// flagMask returns the flags of letters.
func flagMask(s string) (mask uint64, ok bool) {
	for _, c := range []byte(strings.ToUpper(s)) {
		bit, known := flagLetters[c]
		if !known {
			return 0, false
		}
		mask |= bit
	}
	return mask, s != ""
}

// addressValue reads an address, a network, or a list of both.
func (p *parser) addressValue(kind *primitive, chosen []choice, every bool) (*node, *Error) {
	set := &addressSet{}
	if kind.form == anAddress && p.inList() {
		if err := p.list(func(t token) *Error { return p.addAddress(kind, set, t, true) }); err != nil {
			return nil, err
		}
		set.prepare()
		return each(chosen, every, test{op: opAddressIn, addresses: set}), nil
	}
	c, err := p.comparison(kind)
	if err != nil {
		return nil, err
	}
	if err := p.addAddress(kind, set, p.takeToken(), false); err != nil {
		return nil, err
	}
	set.prepare()
	n := each(chosen, every, test{op: opAddressIn, addresses: set})
	if c == unequal {
		n = negate(n)
	}
	return n, nil
}

// addAddress adds what a token of an address says to a set: one alone, or an item of a list,
// in which nfdump takes networks too.
func (p *parser) addAddress(kind *primitive, set *addressSet, t token, item bool) *Error {
	if t.kind != wordToken && t.kind != quotedToken {
		return p.expected(t, "an address after '"+kind.words+"'")
	}
	base, length, slash := strings.Cut(t.text, "/")
	switch {
	case slash:
		if kind.form == anAddress && !item {
			p.hint("nfdump wants 'net', not '%s', before a network", kind.words)
		}
		return p.addNetwork(set, t, base, length)
	case kind.form == aNetwork:
		return p.addMasked(set, t)
	}
	if a, err := netip.ParseAddr(t.text); err == nil {
		set.addPrefix(netip.PrefixFrom(a.WithZone("").Unmap(), a.Unmap().BitLen()))
		return nil
	}
	return p.addHost(set, t)
}

// addNetwork adds a network with a length. IPv4's may be short: 10.1/16.
func (p *parser) addNetwork(set *addressSet, t token, base, length string) *Error {
	a, err := netip.ParseAddr(base)
	if err != nil {
		short := base
		for n := strings.Count(base, "."); n < 3; n++ {
			short += ".0"
		}
		if a, err = netip.ParseAddr(short); err != nil {
			return p.expected(t, "a network like 192.0.2.0/24 or 2001:db8::/32")
		}
	}
	bits, err := strconv.ParseUint(length, 10, 8)
	if err != nil || int(bits) > a.BitLen() {
		return p.errorf(t, "expected a length from 0 to %d after the slash, got %q", a.BitLen(), length)
	}
	if a.Is4In6() && bits >= 96 {
		a, bits = a.Unmap(), bits-96
	}
	set.addPrefix(netip.PrefixFrom(a.WithZone(""), int(bits)).Masked())
	return nil
}

// addMasked adds a network whose mask follows its address: 10.1.0.0 255.255.0.0.
func (p *parser) addMasked(set *addressSet, t token) *Error {
	a, err := netip.ParseAddr(t.text)
	if err != nil {
		return p.expected(t, "a network like 192.0.2.0/24 or 2001:db8::/32")
	}
	m := p.takeToken()
	mask, err := netip.ParseAddr(m.text)
	if m.kind != wordToken || err != nil || !mask.Is4() || !a.Is4() {
		return p.expected(m, "the mask of the network, like 255.255.255.0, or a length as in "+t.text+"/24,")
	}
	ones, bits := net.IPMask(mask.AsSlice()).Size()
	if bits == 0 {
		return p.errorf(m, "%s is no mask of a network: its ones and zeros alternate", m.text)
	}
	set.addPrefix(netip.PrefixFrom(a, ones).Masked())
	return nil
}

// addHost adds the addresses of a name.
func (p *parser) addHost(set *addressSet, t token) *Error {
	numeric := strings.Trim(t.text, "0123456789.:") == "" || strings.Contains(t.text, ":")
	if numeric || p.opt.Lookup == nil {
		return p.expected(t, "an IPv4 or IPv6 address")
	}
	list, err := p.opt.Lookup(t.text)
	if err != nil || len(list) == 0 {
		return p.errorf(t, "the name %q has no address that can be found: %v", t.text, err)
	}
	for _, a := range list {
		a = a.Unmap().WithZone("")
		set.addPrefix(netip.PrefixFrom(a, a.BitLen()))
	}
	return nil
}

// macValue reads a MAC address.
func (p *parser) macValue(chosen []choice, every bool) (*node, *Error) {
	t := p.takeToken()
	if t.kind == compareToken {
		t = p.takeToken()
	}
	hw, err := net.ParseMAC(t.text)
	if t.kind != wordToken || err != nil || len(hw) != 6 || strings.Count(t.text, ":") != 5 {
		return nil, p.expected(t, "a MAC address like 00:00:5e:00:53:01")
	}
	return each(chosen, every, test{op: opMAC, value: wire.Uint(hw)}), nil
}

// textValue reads a text to be equal to.
func (p *parser) textValue(kind *primitive, chosen []choice, every bool) (*node, *Error) {
	c, err := p.comparison(kind)
	if err != nil {
		return nil, err
	}
	t := p.takeToken()
	if t.kind != wordToken && t.kind != quotedToken || t.text == "" {
		return nil, p.expected(t, "a text after '"+kind.words+"'")
	}
	n := each(chosen, every, test{op: opText, text: []byte(t.text)})
	if c == unequal {
		n = negate(n)
	}
	return n, nil
}

// countryValue reads the two letters of a country.
func (p *parser) countryValue(kind *primitive, chosen []choice, every bool) (*node, *Error) {
	word := p.tokens[p.pos-1]
	if !p.opt.Countries {
		return nil, p.errorf(word, "'%s' asks for the countries of addresses, which are not known here: flowgraf dump "+
			"reads them from a file with -G", kind.words)
	}
	c, err := p.comparison(kind)
	if err != nil {
		return nil, err
	}
	t := p.takeToken()
	code := strings.ToUpper(t.text)
	if t.kind != wordToken && t.kind != quotedToken || len(code) != 2 || strings.Trim(code, letters) != "" {
		return nil, p.expected(t, "a country of two letters, like DE,")
	}
	n := each(chosen, every, test{op: opText, text: []byte(code)})
	if c == unequal {
		n = negate(n)
	}
	return n, nil
}

// letters are those of the codes of countries.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// payloadValue reads what the first bytes of a flow are searched for. Without a side
// only those of the flow itself are.
func (p *parser) payloadValue(kind *primitive, chosen []choice) (*node, *Error) {
	t := p.takeToken()
	if t.kind != wordToken && t.kind != quotedToken || t.text == "" {
		return nil, p.expected(t, "a text after '"+kind.words+"'")
	}
	if kind.form == aPattern {
		return each(chosen, false, test{op: opContains, text: []byte(t.text)}), nil
	}
	pattern := t.text
	if f := p.peek(); f.kind == wordToken && strings.Trim(f.text, "ims") == "" {
		p.takeToken()
		pattern = "(?" + f.text + ")" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, p.errorf(t, "this is no regular expression of RE2's: %v", err)
	}
	return each(chosen, false, test{op: opRegexp, re: re}), nil
}

// timeForms are the forms of a time, the longest first; a shorter one stands for all of
// its day, hour and so on.
var timeForms = []struct {
	layout string
	end    func(time.Time) time.Time
}{
	{"2006-01-02T15:04:05.999", func(t time.Time) time.Time { return t.Add(time.Millisecond) }},
	{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(time.Second) }},
	{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15", func(t time.Time) time.Time { return t.Add(time.Hour) }},
	{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
}

// timeValue reads a time of Options.Location. "<", ">" and their like compare with its
// beginning; "=" is anywhere within it, so that "first seen 2026-11-28" is a whole day.
func (p *parser) timeValue(kind *primitive, chosen []choice, every bool) (*node, *Error) {
	c, err := p.comparison(kind)
	if err != nil {
		return nil, err
	}
	t := p.takeToken()
	begin, end, ok := parseTime(t.text, p.opt.location())
	if t.kind != wordToken && t.kind != quotedToken || !ok {
		return nil, p.expected(t, "a time like 2026-11-28T13:30:00, or less of it,")
	}
	number := func(c comparison, v int64) *node {
		return each(chosen, every, test{op: opNumber, compare: c, value: uint64(v)})
	}
	switch c {
	case equal:
		return join(isAnd, number(greaterOrEqual, begin), number(less, end)), nil
	case unequal:
		return join(isOr, number(less, begin), number(greaterOrEqual, end)), nil
	}
	return number(c, begin), nil
}

// parseTime returns when a time begins and when it is over, in milliseconds since 1970.
func parseTime(s string, loc *time.Location) (begin, end int64, ok bool) {
	fraction := strings.Contains(s, ".")
	for i, f := range timeForms {
		if (i == 0) != fraction {
			continue
		}
		if t, err := time.ParseInLocation(f.layout, strings.ToUpper(s), loc); err == nil && t.UnixMilli() >= 0 {
			return t.UnixMilli(), f.end(t).UnixMilli(), true
		}
	}
	return 0, 0, false
}
