package line

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"
)

// Numbers are written as strconv writes them: around each power of ten and of two, and
// others of every length.
func TestNumbers(t *testing.T) {
	list := []uint64{0, 1, 9, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}
	for power := uint64(1); ; power *= 10 {
		list = append(list, power-1, power, power+1)
		if power > math.MaxUint64/10 {
			break
		}
	}
	for shift := range 64 {
		list = append(list, 1<<shift-1, 1<<shift, 1<<shift+1, rand.Uint64()>>shift, rand.Uint64()>>shift)
	}
	for _, v := range list {
		if got, want := string(AppendUint([]byte("x"), v)), "x"+strconv.FormatUint(v, 10); got != want {
			t.Errorf("%d is written as %q", v, got)
		}
		i := int64(v)
		if got, want := string(AppendInt([]byte("x"), i)), "x"+strconv.FormatInt(i, 10); got != want {
			t.Errorf("%d is written as %q", i, got)
		}
	}
}

// Addresses are written as netip writes them.
func TestAddresses(t *testing.T) {
	for octet := range 256 {
		o := byte(octet)
		for _, a := range [][4]byte{{o, o, o, o}, {o, 0, 9, 10}, {99, o, 100, 1}, {byte(rand.Uint32()), 255, o, 8}} {
			v := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
			if got, want := string(AppendIPv4([]byte("x"), v)), "x"+netip.AddrFrom4(a).String(); got != want {
				t.Errorf("%v is written as %q", a, got)
			}
		}
	}
}

func BenchmarkNumbers(b *testing.B) {
	list := make([]uint64, 512)
	for i := range list {
		list[i] = rand.Uint64() >> rand.N(64)
	}
	for name, appendTo := range map[string]func([]byte, uint64) []byte{
		"own":     AppendUint,
		"strconv": func(b []byte, v uint64) []byte { return strconv.AppendUint(b, v, 10) },
	} {
		b.Run(name, func(b *testing.B) {
			buf, n := make([]byte, 0, 64), 0
			for b.Loop() {
				buf = appendTo(buf[:0], list[n%len(list)])
				n++
			}
		})
	}
}

// All numbers of eight digits that make a difference: each half, and each with the other.
func TestDigits(t *testing.T) {
	for half := range uint32(10_000) {
		for _, v := range []uint32{half, half * 10_000, half*10_000 + 9_999, 99_990_000 + half, 10_000*half + half} {
			if got, want := string(AppendUint(nil, uint64(v))), strconv.FormatUint(uint64(v), 10); got != want {
				t.Fatalf("%s is written as %q", want, got)
			}
		}
	}
}
