package query

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/flowgraf/flowgraf/outputs/index"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// With indexes a query finds what it finds without, and its sums are the same but for
// what was read.
func TestQueryWithIndexes(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for n := range 3 {
		path := filepath.Join(dir, fmt.Sprintf("nfcapd.20261122120%d", n))
		w, err := nffile.Create(path, nffile.Options{Compression: nffile.LZ4})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30000 {
			r := flow.Record{
				Exporter: netip.MustParseAddr("192.0.2.254"), Version: flow.V9, Proto: 6, IPVersion: 4,
				Src: netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)}),
				Dst: netip.MustParseAddr("198.51.100.1"), SrcPort: uint16(i), DstPort: 443, Packets: 1,
				Bytes: uint64(i), First: flow.Milli(uint64(1.8e12) + uint64(i)),
			}
			r.Last = r.First
			r.Present = flow.SetOf(flow.Src, flow.Dst)
			if err := w.Append(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := index.Build(path); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	for _, text := range []string{"ip 10.1.77.5", "ip 10.9.9.9", "src port 77 or ip 10.2.100.1",
		"port 443 and src port 29999"} {
		filter, err := nffilter.Parse(text, nffilter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		list := func(in Input) (found []string, totals Totals) {
			totals, err := in.Each(context.Background(), func(r *flow.Record) error {
				found = append(found, fmt.Sprint(r.Src, r.SrcPort, r.Bytes))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return found, totals
		}
		in := Input{Files: files, Filter: filter}
		want, all := list(in)
		in.Omit = index.NewGuide(filter, 0, 0, nil).Omit
		var last, total int64
		in.Progress = func(done, of int64) { last, total = done, of }
		got, some := list(in)
		if !reflect.DeepEqual(got, want) || some.BytesRead >= all.BytesRead*2/3 {
			t.Errorf("%s: found %v, expected %v; %d bytes read of %d", text, got, want, some.BytesRead, all.BytesRead)
		}
		if last < total*9/10 {
			t.Errorf("%s: progress ended at %d of %d", text, last, total)
		}
		some.BytesRead = all.BytesRead
		if !reflect.DeepEqual(some, all) {
			t.Errorf("%s: %+v, expected %+v", text, some, all)
		}
	}
}
