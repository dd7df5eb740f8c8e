package query

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/exporter"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// decodedFilters are those that mean the same for a flow that comes in and for the one that
// a file gives back. Not among them: what only a file has (count, ident), and whether masks,
// directions and MAC addresses that were never told are 0, for which files have a place.
var decodedFilters = append([]string{
	"ipv4", "ipv6", "inet", "inet6", "not ipv6", "not ipv4", "ipv4 and proto tcp", "ipv6 or proto udp",
	"proto tcp", "not proto tcp", "dst port 443", "src port > 1024", "bytes > 1000", "packets = 1", "bpp > 500",
	"flags S and not flags R", "tos 184", "in if 1", "out if 3", "src as > 65000", "dst as 0", "not src as 65001",
	"next ip 192.0.2.5", "bgp next ip 192.0.2.105", "not dir 1",
	"icmp-type 8", "duration > 1000", "router ip 192.0.2.1", "engine-type 0", "flows > 0", "net 10.0.0.0/8",
	"net 2001:db8::/32", "in packets > 3", "out packets > 0", "mpls label1 > 0",
}, slices.DeleteFunc(slices.Clone(filters), func(f string) bool {
	return strings.HasPrefix(f, "count") || strings.HasPrefix(f, "ident") || strings.HasPrefix(f, "mask")
})...)

// sampledFilters ask for counters. A file has those of sFlow as estimates, as sfcapd writes
// them.
var sampledFilters = []string{"bytes", "packets", "in packets", "bpp", "bps", "duration"}

// A filter matches flows as they come in, in a roll-up or a rule, where it matches them in
// the archive: in each protocol.
func TestFiltersOnDecodedFlows(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	for _, protocol := range []string{"v1", "v5", "v7", "v9", "ipfix", "vmware", "sflow"} {
		path := filepath.Join(t.TempDir(), "nfcapd.202611221000")
		w, err := nffile.Create(path, nffile.Options{})
		must(t, err)
		programs := make([]*nffilter.Filter, len(decodedFilters))
		for i, text := range decodedFilters {
			programs[i], err = nffilter.Parse(text, nffilter.Options{})
			must(t, err)
		}
		came := make([]int, len(programs))
		flows := decoded(t, protocol, now, func(r *flow.Record) {
			for i, f := range programs {
				if f.Match(r, nil) {
					came[i]++
				}
			}
			must(t, w.Append(r))
		})
		must(t, w.Close())
		for i, text := range decodedFilters {
			if protocol == "sflow" && slices.ContainsFunc(sampledFilters, func(f string) bool {
				return strings.HasPrefix(text, f)
			}) {
				continue
			}
			kept := 0
			_, err := Input{Files: []string{path}, Filter: programs[i]}.Each(context.Background(),
				func(*flow.Record) error { kept++; return nil })
			must(t, err)
			if came[i] != kept {
				t.Errorf("%s: %q matches %d of %d flows that come in, and %d of the file", protocol, text, came[i],
					flows, kept)
			}
		}
	}
}

// decoded calls fn for each flow of generated datagrams, as they are decoded, and returns
// how many there were.
func decoded(t *testing.T, protocol string, now time.Time, fn func(*flow.Record)) (n int) {
	t.Helper()
	e, err := exporter.New(exporter.Options{Protocol: protocol, Mix: exporter.Realistic, Seed: 5})
	must(t, err)
	d := collector.NewDecoder(collector.Options{})
	decode := func(b []byte) {
		must(t, d.Decode(collector.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.1:40000"), Received: now,
			Payload: b}, collector.Handler{Flow: func(r *flow.Record) { n++; fn(r) }}))
	}
	if b := e.Templates(nil, now); b != nil {
		decode(b)
	}
	for left := e.Flows(600, now); len(left) > 0; {
		b, sent := e.Data(nil, now, left)
		decode(b)
		left = left[sent:]
	}
	return n
}
