package query_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// writeFlows writes a few flows into a file of a directory that is removed by done.
func writeFlows() (path string, done func()) {
	dir, err := os.MkdirTemp("", "query")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, "nfcapd.202611221200")
	w, err := nffile.Create(path, nffile.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 9 {
		r := flow.Record{First: flow.Milli(1795348800000), Last: flow.Milli(1795348801000), Proto: 6,
			SrcPort: uint16(50000 + i),
			DstPort: uint16(80 + i%3), Packets: 1, Bytes: uint64(100 * (i + 1)),
			Src: netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 2)}),
			Dst: netip.AddrFrom4([4]byte{198, 51, 100, 1})}
		if err := w.Append(&r); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	return path, func() { os.RemoveAll(dir) }
}

// The two sources with most bytes to a port.
func ExampleInput_Top() {
	path, done := writeFlows()
	defer done()
	filter, err := nffilter.Parse("dst port 80", nffilter.Options{})
	if err != nil {
		log.Fatal(err)
	}
	stat, err := query.ParseStat("srcip/bytes")
	if err != nil {
		log.Fatal(err)
	}
	in := query.Input{Files: []string{path}, Filter: filter}
	tables, totals, err := in.Top(context.Background(), []query.Stat{stat}, 2)
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range tables[0].Rows {
		fmt.Println(row.Addr(), row.InBytes)
	}
	fmt.Println("of", totals.Bytes)
	// Output:
	// 192.0.2.0 800
	// 192.0.2.1 400
	// of 1200
}

// Flows summed up by network and port, most bytes first.
func ExampleInput_Rows() {
	path, done := writeFlows()
	defer done()
	aggregation, err := query.ParseAggregation("srcip4/24,dstport")
	if err != nil {
		log.Fatal(err)
	}
	listing := query.Listing{Aggregation: aggregation, Sort: &query.Sort{By: query.ByBytes}}
	in := query.Input{Files: []string{path}}
	_, err = in.Rows(context.Background(), listing, func(f *query.Flow) error {
		fmt.Println(f.Src, f.DstPort, f.Flows, f.Bytes)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 192.0.2.0 82 3 1800
	// 192.0.2.0 81 3 1500
	// 192.0.2.0 80 3 1200
}
