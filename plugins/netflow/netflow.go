// Package netflow decodes and encodes Cisco's NetFlow export datagrams: versions
// 1, 5 and 7 with their fixed records, and version 9 (RFC 3954), whose templates
// and records are those of package ipfix.
//
// Like ipfix it keeps no state between datagrams, decodes into a reused
// flow.Record without allocation, and never panics on what a peer sends.
package netflow
