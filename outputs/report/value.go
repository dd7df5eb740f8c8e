package report

import (
	"strconv"

	"github.com/flowgraf/flowgraf/outputs/query"
)

// appendNumber appends a value of an element of statistics that is a number.
func appendNumber(b []byte, e query.Element, v uint64) []byte {
	switch e.Kind() {
	case query.KindFlags:
		return appendFlags(b, uint8(v))
	case query.KindMAC:
		return appendMAC(b, [6]byte{byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
	case query.KindMPLS:
		b = append(strconv.AppendUint(b, v>>4, 10), '-')
		b = append(strconv.AppendUint(b, v>>1&7, 10), '-')
		return strconv.AppendUint(b, v&1, 10)
	case query.KindLatency:
		return appendDigits(append(strconv.AppendUint(b, v/1000, 10), '.'), v%1000, 3)
	case query.KindNBAR:
		return strconv.AppendUint(append(strconv.AppendUint(b, v>>24, 10), ".."...), v&0xffffff, 10)
	case query.KindCountry:
		return appendCountry(b, string([]byte{byte(v >> 8), byte(v)}))
	case query.KindHex:
		return strconv.AppendUint(append(b, "0x"...), v, 16)
	case query.KindEvent:
		return append(b, firewallEvent(uint8(v))...)
	case query.KindNATEvent:
		short, _ := natEvent(uint8(v))
		return append(b, short...)
	}
	return strconv.AppendUint(b, v, 10)
}
