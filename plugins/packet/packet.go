// Package packet dissects the first bytes of a packet, as samples of sFlow and packet
// sections of IPFIX carry them, and writes such bytes.
//
// It keeps no state between packets, sets the fields of a reused flow.Record without
// allocation, never panics on what a peer sends, and looks at a bounded number of
// headers.
//
// To add a header, add what leads to it to byEtherType, transport or udp, and
// a case to walk; when the header may lie below what most packets have, usual must leave
// those packets to the walk.
package packet

import "encoding/binary"

// word returns the i-th word of b.
func word(b []byte, i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
