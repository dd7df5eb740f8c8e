package nffile_test

import (
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// A flow is written into a new file and read from it again.
func Example() {
	dir, err := os.MkdirTemp("", "nffile")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "nfcapd.202611221200")
	w, err := nffile.Create(path, nffile.Options{Compression: nffile.LZ4, Ident: "edge1"})
	if err != nil {
		log.Fatal(err)
	}
	err = w.Append(&flow.Record{First: flow.Milli(1795348800000), Last: flow.Milli(1795348801000), Proto: 17,
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.53"), SrcPort: 50000, DstPort: 53,
		Packets: 1, Bytes: 70})
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	r, err := nffile.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for r.Next() {
		f := r.Record()
		fmt.Println(r.Ident(), f.First.Time().Format("15:04:05"), f.Src, f.Dst, f.DstPort, f.Bytes)
	}
	if err := r.Err(); err != nil {
		log.Fatal(err)
	}
	// Output: edge1 12:00:00 192.0.2.1 198.51.100.53 53 70
}
