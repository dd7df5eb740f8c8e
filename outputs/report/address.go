package report

import "net/netip"

// addrWidth returns the width of a column with addresses.
func (o *Options) addrWidth() int {
	if o.LongIPv6 {
		return 39
	}
	return 16
}

// addrTag stands before addresses that NfSen is to make links of.
const addrTag = 1

// appendAddr appends an address right-justified. A long IPv6 address is shortened
// in its middle, a missing address is 0.0.0.0.
func (o *Options) appendAddr(b []byte, a netip.Addr, width int) []byte {
	if !a.IsValid() {
		a = netip.IPv4Unspecified()
	}
	if o.TagAddrs {
		b = append(b, addrTag)
	}
	n := len(b)
	b = appendSpaces(b, width)
	b = appendPlainAddr(b, a)
	long := len(b) - n - width
	if long > 16 && !o.LongIPv6 {
		p := b[n+width:]
		m := copy(p[7:], "..")
		copy(p[7+m:], p[long-7:])
		b, long = b[:n+width+16], 16
	}
	// The blanks before are too many by what has been appended.
	keep := max(0, width-long)
	copy(b[n+keep:], b[n+width:])
	return b[:n+keep+long]
}

// appendPlainAddr appends an address, nothing where there is none.
func appendPlainAddr(b []byte, a netip.Addr) []byte {
	if !a.Is4() {
		return a.AppendTo(b)
	}
	v := a.As4()
	for i, c := range v {
		if i > 0 {
			b = append(b, '.')
		}
		if c >= 100 {
			b = append(b, '0'+c/100)
		}
		if c >= 10 {
			b = append(b, '0'+c/10%10)
		}
		b = append(b, '0'+c%10)
	}
	return b
}

// appendAddrOrZero appends an address, 0.0.0.0 where there is none.
func appendAddrOrZero(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "0.0.0.0"...)
	}
	return appendPlainAddr(b, a)
}

// network returns an address under a mask, as nfdump 1.7 does: a mask of no bits leaves
// an IPv4 address as it is, and the upper half of an IPv6 address.
func network(a netip.Addr, bits uint8) netip.Addr {
	switch {
	case !a.IsValid():
		return a
	case a.Is4() && (bits == 0 || bits > 32):
		return a
	case a.Is6() && bits == 0:
		bits = 64
	case a.Is6():
		bits = min(bits, 128)
	}
	p, err := a.Prefix(int(bits))
	if err != nil {
		return a
	}
	return p.Addr()
}

// appendSeparator appends what stands between an address and its port.
func appendSeparator(b []byte, a netip.Addr) []byte {
	if a.Is6() {
		return append(b, '.')
	}
	return append(b, ':')
}

// appendMAC appends a hardware address.
func appendMAC(b []byte, mac [6]byte) []byte {
	const hex = "0123456789abcdef"
	for i, c := range mac {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[c>>4], hex[c&15])
	}
	return b
}
