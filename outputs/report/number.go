package report

import (
	"math/bits"
	"strconv"

	"github.com/flowgraf/flowgraf/outputs/query"
)

// appendSpaces appends n blanks.
func appendSpaces(b []byte, n int) []byte {
	const blanks = "                                                                "
	for ; n > len(blanks); n -= len(blanks) {
		b = append(b, blanks...)
	}
	if n > 0 {
		b = append(b, blanks[:n]...)
	}
	return b
}

// appendRight appends s right-justified in width columns.
func appendRight(b, s []byte, width int) []byte {
	return append(appendSpaces(b, width-len(s)), s...)
}

// appendRightText is appendRight of a string.
func appendRightText(b []byte, s string, width int) []byte {
	return append(appendSpaces(b, width-len(s)), s...)
}

// appendLeft appends s left-justified in width columns.
func appendLeft(b []byte, s string, width int) []byte {
	return appendSpaces(append(b, s...), width-len(s))
}

// appendLeftFrom fills what has been appended after start to width columns.
func appendLeftFrom(b []byte, start, width int) []byte {
	return appendSpaces(b, start+width-len(b))
}

// appendDigits appends v with n digits.
func appendDigits(b []byte, v uint64, n int) []byte {
	div := uint64(1)
	for ; n > 1; n-- {
		div *= 10
	}
	for ; div > 0; div /= 10 {
		b = append(b, byte('0'+v/div%10))
	}
	return b
}

// perSecond returns v per second over ms milliseconds, rounded down, 0 when ms is: as nfdump
// calculates a ranking's where its output is asked for, with binary fractions of seconds, in
// which 7 packets in 0.28 s are 24 a second.
func (o *Options) perSecond(v, ms uint64) uint64 {
	if o.Compat == Best || ms == 0 {
		return query.PerSecond(v, ms)
	}
	return uint64(float64(v) / (float64(ms) / 1000))
}

// digits returns how many decimal digits v has.
func digits(v uint64) int {
	n := 1
	for ; v >= 10; v /= 10 {
		n++
	}
	return n
}

// appendUint appends v right-justified in width columns.
func appendUint(b []byte, v uint64, width int) []byte {
	return strconv.AppendUint(appendSpaces(b, width-digits(v)), v, 10)
}

// appendHex appends v in hexadecimal, with at least width digits.
func appendHex(b []byte, v uint64, width int) []byte {
	for n := max(1, (bits.Len64(v)+3)/4); n < width; n++ {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, v, 16)
}

// appendCount appends a counter right-justified in width columns; from a million
// on it is scaled by 1000.
func (o *Options) appendCount(b []byte, v uint64, width int) []byte {
	if o.Plain || v < scaled {
		return appendUint(b, v, width)
	}
	var buf [32]byte
	return appendRight(b, o.count(buf[:0], v), width)
}

// scaled is the least number that is scaled.
const scaled = 1000000

// count appends a counter.
func (o *Options) count(b []byte, v uint64) []byte {
	switch {
	case o.Plain || v < scaled:
		return strconv.AppendUint(b, v, 10)
	case v < 1e9:
		return append(strconv.AppendFloat(b, float64(v)/1e6, 'f', 1, 64), " M"...)
	case v < 1e12:
		return append(strconv.AppendFloat(b, float64(v)/1e9, 'f', 1, 64), " G"...)
	}
	return append(strconv.AppendFloat(b, float64(v)/1e12, 'f', 1, 64), " T"...)
}

// appendDuration appends a duration in ms, 16 wide.
func (o *Options) appendDuration(b []byte, ms uint64) []byte {
	if o.Plain {
		return appendSeconds(b, ms, 16)
	}
	const day = 24 * 60 * 60 * 1000
	if ms >= day {
		b = appendUint(b, ms/day, 2)
		b = append(b, "d "...)
		ms %= day
	} else {
		b = append(b, "    "...)
	}
	b = appendDigits(b, ms/3600000, 2)
	b = append(b, ':')
	b = appendDigits(b, ms/60000%60, 2)
	b = append(b, ':')
	b = appendDigits(b, ms/1000%60, 2)
	b = append(b, '.')
	return appendDigits(b, ms%1000, 3)
}

// appendSeconds appends ms milliseconds as seconds, right-justified in width columns.
func appendSeconds(b []byte, ms uint64, width int) []byte {
	b = appendUint(b, ms/1000, max(0, width-4))
	return appendDigits(append(b, '.'), ms%1000, 3)
}

// appendMilliseconds appends us microseconds as milliseconds, as C's %9.3f.
func appendMilliseconds(b []byte, us uint64) []byte {
	return appendSeconds(b, us, 9)
}
