package decoding

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// ipfixMessage returns an IPFIX message with one set.
func ipfixMessage(id uint16, body []byte) collector.Datagram {
	b := binary.BigEndian.AppendUint16(nil, 10)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(body)))
	b = append(b, 0x69, 0x57, 0x37, 0xe4, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(body)))
	return collector.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.1:2055"), Received: time.Unix(1767323045, 0),
		Payload: append(b, body...)}
}

// TestSmallRecordsAreBounded sends records of one byte: there is no need to hold the
// metrics of all datagrams that came at once, which would be a thousand times as much.
func TestSmallRecordsAreBounded(t *testing.T) {
	const datagrams, records = 12, 10_000
	n := newPool(t, nil)
	n.acc = &decodingtest.Accumulator{}
	list := []collector.Datagram{ipfixMessage(2, []byte{1, 0, 0, 1, 0, 4, 0, 1})} // template 256: protocolIdentifier
	for i := range datagrams {
		list = append(list, ipfixMessage(256, bytes.Repeat([]byte{byte(i)}, records)))
	}
	w := n.workers[0]
	w.receive(list)
	got := n.acc.(*decodingtest.Accumulator).List()
	if len(got) != datagrams*records {
		t.Fatalf("%d flows, want %d", len(got), datagrams*records)
	}
	if most := cap(w.metrics); most > 2*(maxMetrics+records) {
		t.Errorf("%d metrics were held at once, of %d", most, len(got))
	}
}

// TestSmallRecordsThatWaitedAreBounded sends such records before their template, which
// releases all that have waited at once.
func TestSmallRecordsThatWaitedAreBounded(t *testing.T) {
	const datagrams, records = 12, 20_000
	n := newPool(t, nil)
	n.acc = &decodingtest.Accumulator{}
	var list []collector.Datagram
	for i := range datagrams {
		list = append(list, ipfixMessage(256, bytes.Repeat([]byte{byte(i)}, records)))
	}
	w := n.workers[0]
	w.receive(append(list, ipfixMessage(2, []byte{1, 0, 0, 1, 0, 4, 0, 1})))
	if got := len(n.acc.(*decodingtest.Accumulator).List()); got != datagrams*records {
		t.Fatalf("%d flows, want %d", got, datagrams*records)
	}
	if most := max(cap(w.metrics), cap(w.spare), cap(w.lanes[0].metrics)); most > 2*(mostMetrics+records) {
		t.Errorf("%d metrics were held at once, of %d", most, datagrams*records)
	}
}

// TestForgedSourcesAreBounded lets 100,000 forged addresses send templates, data, and
// data without a template: memory stays where it was after the first 20,000, no more than
// max_exporters of them make series, what is dropped is counted, and a real exporter is
// decoded throughout.
func TestForgedSourcesAreBounded(t *testing.T) {
	const forged, settled = 100_000, 20_000
	n := newPool(t, func(o *Options) { o.Workers, o.Wants.Datagrams = 2, true })
	good := decodingtest.Datagrams(t, 1)
	orphan := append([]byte(nil), good[1]...)
	binary.BigEndian.PutUint16(orphan[16:], 999) // of a template that never comes
	flows, sources := 0, map[string]bool{}
	send := func(addr netip.Addr, payload []byte) {
		dg := collector.Datagram{Exporter: netip.AddrPortFrom(addr, 2055), Received: time.Unix(1767323045, 0),
			Payload: payload}
		for _, m := range n.workers[n.shard(&dg)].decodeAll([]collector.Datagram{dg}) {
			source, _ := m.GetTag("source")
			sources[source] = true
			if m.Name() == flowmetric.Measurement {
				flows++
			}
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	start, plateau := heap(), uint64(0)
	known := netip.MustParseAddr("192.0.2.1")
	for i := range uint32(forged) {
		addr := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24+i)))
		for _, b := range [][]byte{good[0], good[1], orphan} {
			send(addr, b)
		}
		if i%1000 == 0 {
			send(known, good[0])
			send(known, good[1])
		}
		if i == settled {
			plateau = heap()
		}
	}
	end := heap()
	t.Logf("heap: %d MiB before, %d MiB after %d addresses, %d MiB after %d", start>>20, plateau>>20, settled, end>>20,
		forged)
	if end > plateau+plateau/4 {
		t.Errorf("the heap grows: %d bytes after %d addresses, %d after %d", plateau, settled, end, forged)
	}
	if want := defaultMaxExporters - 1 + forged/1000; flows != want || len(sources) != defaultMaxExporters {
		t.Errorf("%d flows of %d sources, want %d of %d", flows, len(sources), want, defaultMaxExporters)
	}
	counted := map[string]any{}
	n.Count(counted)
	if over := counted["over_max_exporters"]; over != uint64(3*(forged-defaultMaxExporters+1)) {
		t.Errorf("%d datagrams are counted as over the bound", over)
	}
	domains := n.Exporters()
	var forgotten, waiting uint64
	for _, w := range n.workers {
		forgotten += w.decoder.Forgotten()
	}
	for _, d := range domains {
		waiting += uint64(d.SetsWaiting)
	}
	if len(domains) > defaultMaxExporters || forgotten+uint64(len(domains)) != defaultMaxExporters || waiting == 0 {
		t.Errorf("%d domains, %d forgotten, %d sets waiting", len(domains), forgotten, waiting)
	}
}
