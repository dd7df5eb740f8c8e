// Package anonymise replaces the addresses in flow files by others, so that they can be
// given away: two addresses with a prefix in common have one of the same length in common
// afterwards (Crypto-PAn: Xu, Fan, Ammar and Moon, 2002). With the same key the same
// address becomes the same other one, in every file, and with nfdump's nfanon too.
package anonymise

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// KeySize is the size of a key in bytes.
const KeySize = 32

// ParseKey reads a key as nfanon takes it: 32 characters, or 0x and 64 hexadecimal
// digits.
func ParseKey(text string) (key [KeySize]byte, err error) {
	if digits, ok := strings.CutPrefix(text, "0x"); ok && len(digits) == 2*KeySize {
		if _, err := hex.Decode(key[:], []byte(digits)); err != nil {
			return key, errors.New("key: expected 64 hexadecimal digits behind 0x")
		}
		return key, nil
	}
	if len(text) != KeySize {
		return key, fmt.Errorf("key of %d characters: expected 32, or 0x and 64 hexadecimal digits", len(text))
	}
	copy(key[:], text)
	return key, nil
}

// mostRemembered bounds the addresses whose others are remembered: each costs up to 128
// encryptions.
const mostRemembered = 1 << 18

// Mapping maps addresses. It is not safe for concurrent use.
type Mapping struct {
	block cipher.Block
	pad   [aes.BlockSize]byte
	known map[netip.Addr]netip.Addr
}

// NewMapping returns the Mapping of a key: half of it is the AES key, the other half
// what fills the blocks.
func NewMapping(key [KeySize]byte) *Mapping {
	block, err := aes.NewCipher(key[:aes.BlockSize])
	if err != nil {
		panic(err) // of a size that AES has
	}
	m := &Mapping{block: block, known: map[netip.Addr]netip.Addr{}}
	block.Encrypt(m.pad[:], key[aes.BlockSize:])
	return m
}

// Addr returns what stands for an address. What is no address stays so.
func (m *Mapping) Addr(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return a
	}
	if other, ok := m.known[a]; ok {
		return other
	}
	b := a.AsSlice()
	m.replace(b)
	other, _ := netip.AddrFromSlice(b)
	if len(m.known) >= mostRemembered {
		clear(m.known)
	}
	m.known[a] = other
	return other
}

// Record replaces all addresses of a flow.
func (m *Mapping) Record(r *flow.Record) {
	for _, a := range [...]*netip.Addr{&r.Src, &r.Dst, &r.NextHop, &r.BGPNextHop, &r.XlateSrc, &r.XlateDst, &r.TunSrc,
		&r.TunDst, &r.Exporter} {
		*a = m.Addr(*a)
	}
}

// replace replaces the bits of an address, the first first: each is turned or not by an
// encryption of those before it, behind which the pad's follow.
func (m *Mapping) replace(addr []byte) {
	var in, out [aes.BlockSize]byte
	var turn [aes.BlockSize]byte
	for bit := range 8 * len(addr) {
		copy(in[:], m.pad[:])
		whole, part := bit/8, bit%8
		copy(in[:], addr[:whole])
		if part > 0 {
			mask := byte(0xff) << (8 - part)
			in[whole] = addr[whole]&mask | m.pad[whole]&^mask
		}
		m.block.Encrypt(out[:], in[:])
		turn[whole] |= out[0] >> 7 << (7 - part)
	}
	for i := range addr {
		addr[i] ^= turn[i]
	}
}
