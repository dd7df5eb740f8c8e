package report

import (
	"encoding/binary"
	"net/netip"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// eventTime is when the event of a firewall or address translator happened.
func eventTime(t *Text, b []byte, f row) []byte {
	return t.appendTime(t.clock, b, f.EventTime.Milli())
}

// connection is the number of a connection of a firewall.
func connection(_ *Text, b []byte, f row) []byte {
	if !f.Has(flow.FwEvent) {
		return appendUint(b, 0, 10)
	}
	return appendUint(b, f.FlowID, 10)
}

// securityGroup is a tag of nfdump 1.7.1 of which files keep nothing.
func securityGroup(_ *Text, b []byte, _ row) []byte { return appendUint(b, 0, 5) }

// aclNumbers returns the three numbers of an access list. nfdump 1.7.8 takes what the
// file has in the order of the wire for its own.
func aclNumbers(v [12]byte, c Compat) (n [3]uint64) {
	for i := range n {
		n[i] = uint64(binary.BigEndian.Uint32(v[4*i:]))
		if c == Nfdump178 {
			n[i] = uint64(binary.LittleEndian.Uint32(v[4*i:]))
		}
	}
	return n
}

// appendACL appends the numbers of an access list between slashes.
func appendACL(b []byte, v [12]byte, c Compat) []byte {
	for i, n := range aclNumbers(v, c) {
		if i > 0 {
			b = append(b, '/')
		}
		b = appendHex(append(b, "0x"...), n, 1)
	}
	return b
}

func ingressACL(t *Text, b []byte, f row) []byte {
	for i, v := range aclNumbers(f.IngressACL, t.opt.Compat) {
		if i > 0 {
			b = append(b, ' ')
		}
		n := len(b) + len("0x")
		b = appendLeftFrom(appendHex(append(b, "0x"...), v, 1), n, 8)
	}
	return b
}

func egressACL(t *Text, b []byte, f row) []byte {
	for i, v := range aclNumbers(f.EgressACL, t.opt.Compat) {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendUint(b, v, 10)
	}
	return b
}

func user(_ *Text, b []byte, f row) []byte {
	if len(f.User) == 0 {
		return append(b, "<empty>"...)
	}
	return appendText(b, f.User)
}

// appID is the classification engine and the number of an application (RFC 6759).
func appID(t *Text, b []byte, f row) []byte {
	if len(f.AppID) == 0 && t.newer {
		return append(b, "0..0..0"...)
	}
	return appendAppID(b, f.AppID)
}

// appendAppID appends the id of an application; engine 20 has the number of a vendor.
func appendAppID(b, id []byte) []byte {
	if len(id) == 0 {
		return append(b, " 0..0"...)
	}
	b = append(appendUint(b, uint64(id[0]), 2), ".."...)
	rest := id[1:]
	if id[0] == 20 && len(rest) >= 4 {
		b = append(appendUint(b, uint64(binary.BigEndian.Uint32(rest)), 0), ".."...)
		rest = rest[4:]
	}
	var v uint64
	for _, c := range rest {
		v = v<<8 | uint64(c)
	}
	return appendUint(b, v&0xffffffff, 0)
}

func appName(t *Text, b []byte, f row) []byte {
	if len(f.AppID) == 0 && t.newer {
		return append(b, "<no nbar>"...)
	}
	if name := t.names.app(f); name != "" {
		return appendText(b, name)
	}
	return append(b, "<no info>"...)
}

// country is a column of the country of an address.
func country(field flow.Field) column {
	return func(t *Text, b []byte, f row) []byte {
		return appendCountry(b, t.opt.CountryOf(f.Flow, field))
	}
}

// appendCountry appends the two letters of a country, ".." where it is not known.
func appendCountry(b []byte, code string) []byte {
	if code == "" || code[0] == 0 {
		return append(b, ".."...)
	}
	return append(b, code...)
}

// appendCountry appends the country of an address, ".." where it is not known.
func (t *Text) appendCountry(b []byte, a netip.Addr) []byte {
	return appendCountry(b, t.opt.country(a))
}

// Nobody knows places, time zones, organisations and Tor.

func zone(_ *Text, b []byte, _ row) []byte { return append(b, ".."...) }

func location(t *Text, b []byte, _ row) []byte {
	if t.newer {
		return append(b, "<no location info>"...)
	}
	return b
}

func organisation(_ *Text, b []byte, _ row) []byte { return append(b, "none"...) }

func tor(_ *Text, b []byte, _ row) []byte { return append(b, "  .."...) }

// maxPayload is how many bytes of a payload are printed.
const maxPayload = 256

func inPayload(t *Text, b []byte, f row) []byte {
	return t.payload(b, f.Extra.InPayload, f.Extra.Has&nffile.HasPayload != 0)
}

func outPayload(t *Text, b []byte, f row) []byte {
	return t.payload(b, f.Extra.OutPayload, f.Extra.Has&nffile.HasOutPayload != 0)
}

// payload appends a payload: text as it is, all else in hexadecimal.
func (t *Text) payload(b, payload []byte, has bool) []byte {
	switch {
	case !has && t.newer:
		return append(b, "<no payload>"...)
	case !has:
		return append(b, '\n')
	}
	payload = payload[:min(len(payload), maxPayload)]
	if isText(payload) {
		return append(append(b, payload...), '\n')
	}
	return appendDump(b, payload, t.newer)
}

// isText says whether a terminal shows b as it is.
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

// appendDump appends b in hexadecimal, 16 bytes a line with their text behind them, and
// since nfdump 1.7.8 with their place before them.
func appendDump(b, data []byte, newer bool) []byte {
	for at := 0; at < len(data); at += 16 {
		if newer {
			b = append(appendHex(b, uint64(at), 8), ' ')
		}
		line := data[at:min(at+16, len(data))]
		for i := range 16 {
			if i < len(line) {
				const hex = "0123456789ABCDEF"
				b = append(b, hex[line[i]>>4], hex[line[i]&15], ' ')
			} else {
				b = append(b, "   "...)
			}
			if i == 7 {
				b = append(b, ' ')
			}
		}
		b = append(b, " |  "...)
		for _, c := range line {
			if c < ' ' || c > '~' {
				c = '.'
			}
			b = append(b, c)
		}
		b = append(b, " \n"...)
	}
	return b
}

// Fingerprints of TLS are not made: a flow has none.

func ja3(t *Text, b []byte, _ row) []byte {
	if t.newer {
		return appendRightText(b, "no ja3", 38)
	}
	return appendSpaces(b, 32)
}

func ja4(_ *Text, b []byte, _ row) []byte { return appendRightText(b, "no ja4", 38) }

func sni(t *Text, b []byte, _ row) []byte {
	if t.newer {
		return append(b, "   0"...)
	}
	return appendSpaces(b, 6)
}

func tlsVersion(_ *Text, b []byte, _ row) []byte { return append(b, "   0"...) }

// Actions and reasons of OpenBSD's packet filter.
var (
	pfActions = [...]string{"pass", "block", "scrub", "noscrub", "nat", "nonat", "binat", "nobinat", "rdr", "nordr",
		"synblock", "defer", "match", "divert", "rt", "afrt"}
	pfReasons = [...]string{"match", "bad-offset", "fragment", "short", "normalize", "memory", "bad-timestamp",
		"congestion", "ip-option", "proto-cksum", "state-mismatch", "state-insert", "state-limit", "src-limit",
		"synproxy", "translate", "no-route"}
)

// nameOf returns the name of a number.
func nameOf(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "<undef>"
}

func pfInterface(_ *Text, b []byte, f row) []byte {
	if !f.hasPF() {
		return appendRightText(b, "<no-pf>", 9)
	}
	b = appendSpaces(b, 9-len(f.Extra.PF.Interface))
	return appendText(b, f.Extra.PF.Interface)
}

// hasPF says whether a packet filter has said something of the flow.
func (f row) hasPF() bool { return f.Extra.Has&nffile.HasPF != 0 }

func pfAction(_ *Text, b []byte, f row) []byte {
	if !f.hasPF() {
		return append(b, "<no-pf>"...)
	}
	return appendRightText(b, nameOf(pfActions[:], f.Extra.PF.Action), 6)
}

func pfReason(_ *Text, b []byte, f row) []byte {
	if !f.hasPF() {
		return append(b, "<no-pf>"...)
	}
	return appendRightText(b, nameOf(pfReasons[:], f.Extra.PF.Reason), 6)
}

// pfWay returns the way of a packet through the filter.
func (f row) pfWay() string {
	if f.Extra.PF.Direction != 0 {
		return "in"
	}
	return "out"
}

func pfDirection(_ *Text, b []byte, f row) []byte {
	if !f.hasPF() {
		return append(b, "<no pfinfo>"...)
	}
	return appendRightText(b, f.pfWay(), 3)
}

func pfRule(_ *Text, b []byte, f row) []byte {
	if !f.hasPF() {
		return appendUint(b, 0, 4)
	}
	return appendUint(b, uint64(f.Extra.PF.Rule), 4)
}

func flowID(_ *Text, b []byte, f row) []byte {
	if f.Has(flow.FwEvent) {
		return appendUint(append(b, "0x"...), 0, 13)
	}
	return appendUint(append(b, "0x"...), f.FlowID, 13)
}

// nokia returns the service ids of a Nokia address translator.
func (f row) nokia() (in, out uint64) {
	if f.Extra.Has&nffile.HasNokia == 0 {
		return 0, 0
	}
	return uint64(f.Extra.NokiaIn), uint64(f.Extra.NokiaOut)
}

func nokiaIn(_ *Text, b []byte, f row) []byte {
	in, _ := f.nokia()
	return appendUint(b, in, 8)
}

func nokiaOut(_ *Text, b []byte, f row) []byte {
	_, out := f.nokia()
	return appendUint(b, out, 8)
}

func nokiaText(_ *Text, b []byte, f row) []byte {
	if f.Extra.Has&nffile.HasNokiaText == 0 {
		return append(b, "<unknown>"...)
	}
	return appendText(b, f.Extra.NokiaText)
}
