package web

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// slotSeconds is the interval of the files of fixtures.
const slotSeconds = 300

// services are protocol and port of the flows of fixtures.
var services = []struct {
	proto uint8
	port  uint16
}{{6, 443}, {6, 443}, {6, 443}, {17, 443}, {6, 80}, {17, 53}, {17, 53}, {6, 22}, {1, 0x800}, {50, 0}, {6, 25}}

// fixtureFlow makes flow number i of a slot.
func fixtureFlow(rnd *rand.Rand, start int64, exporter string, r *flow.Record) {
	*r = flow.Record{Version: flow.IPFIX}
	s := services[rnd.IntN(len(services))]
	r.Proto, r.DstPort = s.proto, s.port
	if s.proto == 6 || s.proto == 17 {
		r.SrcPort = uint16(32768 + rnd.IntN(28000))
	}
	r.Src = netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(4)), byte(rnd.ExpFloat64() * 20)})
	r.Dst = netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.ExpFloat64() * 15)})
	if rnd.IntN(8) == 0 {
		r.Src = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", rnd.IntN(30)))
		r.Dst = netip.MustParseAddr(fmt.Sprintf("2001:db8:1::%x", rnd.IntN(10)))
	}
	if rnd.IntN(3) == 0 { // the way back
		r.Src, r.Dst, r.SrcPort, r.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
	}
	day := 1 + 0.6*math.Sin(float64(start%86400)/86400*2*math.Pi-2)
	r.Packets = uint64(1 + rnd.ExpFloat64()*400*day)
	r.Bytes = r.Packets * uint64(60+rnd.IntN(1300))
	first := uint64(start)*1000 + uint64(rnd.IntN(slotSeconds*900))
	r.First, r.Last = flow.Milli(first), flow.Milli(first+uint64(rnd.IntN(20_000)))
	r.Input, r.Output = uint32(1+rnd.IntN(3)), uint32(4+rnd.IntN(2))
	r.SrcAS, r.DstAS = 64500, uint32(64501+rnd.IntN(4))
	r.TCPFlags, r.SrcTOS = 0x1b, uint8(rnd.IntN(2)*0xb8)
	r.Exporter = netip.MustParseAddr(exporter)
	r.Present = flow.SetOf(flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto, flow.Packets, flow.Bytes,
		flow.FirstSeen, flow.LastSeen, flow.Input, flow.Output, flow.SrcAS, flow.DstAS, flow.TCPFlags, flow.SrcTOS)
}

// writeSlot writes a file of so many flows; lost are failures of the sequence.
func writeSlot(t testing.TB, path string, start int64, exporter string, flows int, lost uint64) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	w, err := nffile.Create(path, nffile.Options{Compression: nffile.LZ4})
	must(t, err)
	rnd := rand.New(rand.NewPCG(uint64(start), uint64(len(path))))
	var r flow.Record
	for range flows {
		fixtureFlow(rnd, start, exporter, &r)
		must(t, w.Append(&r))
	}
	w.Datagrams(nffile.Exporter{Addr: netip.MustParseAddr(exporter), Version: flow.IPFIX}, uint64(flows/20+1), lost)
	must(t, w.Close())
}

// tree is an archive of a test, as NfSen has it.
type tree struct {
	dir        string
	from, to   int64 // slots, to is not in it
	gap        int64 // a slot of edge2 that is missing
	lossy      int64 // a slot of edge1 in which something was lost
	everySlots int
}

// slotPath returns the path of a slot's file.
func (tr tree) slotPath(source string, start int64) string {
	when := time.Unix(start, 0).UTC()
	return filepath.Join(tr.dir, "live", source, when.Format("2006/01/02"), "nfcapd."+when.Format("200601021504"))
}

// makeTree writes two sources of so many slots before now, with so many flows each.
func makeTree(t testing.TB, slots, flows int) tree {
	t.Helper()
	now := time.Now().Unix() / slotSeconds * slotSeconds
	tr := tree{dir: t.TempDir(), from: now - int64(slots)*slotSeconds, to: now, everySlots: slots}
	tr.gap, tr.lossy = tr.from+int64(slots/2)*slotSeconds, tr.from+int64(slots/3)*slotSeconds
	for start := tr.from; start < tr.to; start += slotSeconds {
		lost := uint64(0)
		if start == tr.lossy {
			lost = 77
		}
		writeSlot(t, tr.slotPath("edge1", start), start, "198.51.100.1", flows, lost)
		if start != tr.gap {
			writeSlot(t, tr.slotPath("edge2", start), start, "198.51.100.2", flows/2, 0)
		}
	}
	return tr
}

// serve serves a tree, whose files have been found.
func serve(t testing.TB, dir string, opt Options) (*Server, *httptest.Server) {
	t.Helper()
	a, err := OpenArchive(dir, filepath.Join(t.TempDir(), "web.db"), time.UTC, t.Logf)
	must(t, err)
	t.Cleanup(func() { must(t, a.Close()) })
	must(t, a.Refresh(t.Context()))
	return serveArchive(t, a, opt)
}

// serveArchive serves an archive as it is.
func serveArchive(t testing.TB, a *Archive, opt Options) (*Server, *httptest.Server) {
	t.Helper()
	opt.Version = "test"
	s, err := New(a, opt)
	must(t, err)
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.CloseClientConnections() // streams do not end by themselves
		h.Close()
	})
	return s, h
}

// getJSON asks the API and returns the status.
func getJSON(t testing.TB, url string, into any) int {
	t.Helper()
	res, err := http.Get(url)
	must(t, err)
	defer res.Body.Close()
	must(t, json.NewDecoder(res.Body).Decode(into))
	return res.StatusCode
}

// ask asks the API, which has to answer.
func ask[T any](t testing.TB, h *httptest.Server, request string) T {
	t.Helper()
	var raw json.RawMessage
	var v T
	if code := getJSON(t, h.URL+"/api/v1/"+request, &raw); code != http.StatusOK {
		t.Fatalf("%s: status %d: %s", request, code, raw)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v: %.300s", request, err, strings.TrimSpace(string(raw)))
	}
	return v
}
