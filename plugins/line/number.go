package line

import (
	"encoding/binary"
	"math/bits"
)

// AppendUint appends a number in decimal. It works on eight digits at once and without
// branches, as numbers of changing length make strconv's loop mispredict.
func AppendUint(b []byte, v uint64) []byte {
	switch {
	case v < 1e8:
		return appendDigits(b, digits8(uint32(v)))
	case v < 1e16:
		b = appendDigits(b, digits8(uint32(v/1e8)))
	default:
		b = AppendUint(b, v/1e16)
		b = binary.LittleEndian.AppendUint64(b, digits8(uint32(v/1e8%1e8))|zeros8)
	}
	return binary.LittleEndian.AppendUint64(b, digits8(uint32(v%1e8))|zeros8)
}

// zeros8 are the characters of eight zeros.
const zeros8 = 0x3030303030303030

// digits8 returns the eight decimal digits of a number below 10^8, the first one in the
// lowest byte: the number is halved into two of four digits, those into two of two digits,
// each side by side.
func digits8(v uint32) uint64 {
	x := uint64(v/1e4) | uint64(v%1e4)<<32
	q := x * 10486 >> 20 & 0x7f0000007f // by 100
	x = q | (x-q*100)<<16
	q = x * 103 >> 10 & 0x0f000f000f000f // by 10
	return q | (x-q*10)<<8
}

// appendDigits appends what digits8 has returned, without leading zeros.
func appendDigits(b []byte, digits uint64) []byte {
	zeros := bits.TrailingZeros64(digits|1<<56) / 8 // the last digit is written always
	n := len(b)
	return binary.LittleEndian.AppendUint64(b, (digits|zeros8)>>(8*zeros))[:n+8-zeros]
}

// AppendInt appends a number in decimal.
func AppendInt(b []byte, v int64) []byte {
	if v < 0 {
		return AppendUint(append(b, '-'), -uint64(v))
	}
	return AppendUint(b, uint64(v))
}

// AppendIPv4 appends an address of IPv4, whose first octet is the highest byte.
func AppendIPv4(b []byte, a uint32) []byte {
	b = appendOctet(b, a>>24)
	b = appendOctet(b, a>>16&0xff)
	b = appendOctet(b, a>>8&0xff)
	b = appendOctet(b, a&0xff)
	return b[:len(b)-1]
}

// appendOctet appends a number below 256 and a dot, as appendDigits does.
func appendOctet(b []byte, v uint32) []byte {
	hundreds := v * 41 >> 12
	v -= hundreds * 100
	tens := v * 103 >> 10
	digits := hundreds | tens<<8 | (v-tens*10)<<16
	zeros := bits.TrailingZeros32(digits|1<<16) / 8
	n := len(b)
	return binary.LittleEndian.AppendUint32(b, (digits|'.'<<24|'0'<<16|'0'<<8|'0')>>(8*zeros))[:n+4-zeros]
}
