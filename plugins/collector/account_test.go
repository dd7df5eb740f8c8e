package collector

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// nameTable returns a message of a domain with a template of interface names and names
// for interfaces from first on.
func nameTable(t *testing.T, domain, first uint32, n int, suffix string) []byte {
	t.Helper()
	tmpl := compiled(t, 256, ipfix.FieldSpec{ID: 10, Length: 4, Scope: true}, spec(82, 200))
	var records []flow.OptionRecord
	for i := range n {
		name := make([]byte, 200)
		copy(name, suffix+strings.Repeat("x", 180))
		records = append(records, flow.OptionRecord{
			Scope:  []flow.Element{{ID: 10, Value: binary.BigEndian.AppendUint32(nil, first+uint32(i))}},
			Fields: []flow.Element{{ID: 82, Value: name}},
		})
	}
	e := ipfix.Encoder{Domain: domain}
	e.Begin(nil, exported)
	e.AddTemplates(tmpl)
	e.AddOptions(tmpl, records)
	return e.End()
}

// TestNamesAreBounded lets one address name interfaces under ever new domains: what it
// has stays within its share, in the accounts and on the heap.
func TestNamesAreBounded(t *testing.T) {
	const limit = 4 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d, s := NewDecoder(Options{MaxBytes: limit}), newSender()
	for domain := range uint32(400) {
		payload := nameTable(t, domain, 0, 100, string(rune('a'+domain%26)))
		_ = d.Decode(Datagram{Exporter: address(1), Received: s.at, Payload: payload}, Handler{})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if most := d.opt.MaxBytes / addressShare; d.accounts[address(1).Addr()].bytes > most || d.bytes > most {
		t.Errorf("%d bytes are counted, the share is %d", d.bytes, most)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 3*limit {
		t.Errorf("the heap has grown by %d bytes, the bound is %d", grown, limit)
	}
	for _, dom := range d.domains {
		if name := dom.name(nameInterface, 5); name == "" {
			t.Errorf("domain %d has no name", dom.key.domain)
		}
	}
	runtime.KeepAlive(d)
}

// TestStrangersGoFirst lets 40,000 messages without any set come from as many addresses,
// and as many from one address under as many domains: the template of an exporter that
// sends flows stays.
func TestStrangersGoFirst(t *testing.T) {
	d, s := NewDecoder(Options{MaxExporters: 1000}), newSender()
	flows := 0
	h := Handler{Flow: func(*flow.Record) { flows++ }}
	tmpl := compiled(t, 256, spec(1, 4), spec(2, 4))
	data := func(e *ipfix.Encoder) { e.AddData(tmpl, []flow.Record{{Bytes: 1}}) }
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(tmpl) })
	s.send(t, d, h, data)
	for i := range 40000 {
		from, e := address(i), ipfix.Encoder{Domain: uint32(i)}
		if i >= 20000 {
			from = address(1 << 20)
		}
		e.Begin(nil, exported)
		_ = d.Decode(Datagram{Exporter: from, Received: s.at, Payload: e.End()}, h)
	}
	s.send(t, d, h, data)
	if flows != 2 {
		t.Errorf("%d flows are decoded, expected 2", flows)
	}
	if n := d.strangers.Len() + d.proven.Len(); n != len(d.domains) || d.proven.Len() != 1 || len(d.exporters) > 1000 {
		t.Errorf("%d domains of %d are listed, %d of them have sent flows, %d exporters", n, len(d.domains),
			d.proven.Len(), len(d.exporters))
	}
}

// TestAnAddressHasItsShare lets one address define templates under ever new domains: it
// loses its own, and another exporter, which has been idle longer, loses nothing.
func TestAnAddressHasItsShare(t *testing.T) {
	d, s := NewDecoder(Options{MaxBytes: 1 << 20}), newSender()
	flows := 0
	h := Handler{Flow: func(*flow.Record) { flows++ }}
	tmpl := compiled(t, 256, spec(1, 4), spec(2, 4))
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddTemplates(tmpl) })
	var fields []ipfix.FieldSpec
	for i := range uint16(100) {
		fields = append(fields, spec(1+i, 4))
	}
	wide := compiled(t, 300, fields...)
	for domain := range uint32(1000) {
		e := ipfix.Encoder{Domain: domain}
		e.Begin(nil, exported)
		e.AddTemplates(wide)
		e.AddData(wide, []flow.Record{{Bytes: 1}})
		_ = d.Decode(Datagram{Exporter: address(1), Received: s.at, Payload: e.End()}, Handler{})
	}
	s.send(t, d, h, func(e *ipfix.Encoder) { e.AddData(tmpl, []flow.Record{{Bytes: 1}}) })
	if a := d.accounts[address(1).Addr()]; flows != 1 || a.bytes > d.opt.MaxBytes/addressShare || a.domains.Len() < 10 {
		t.Errorf("%d flows of the other exporter; the greedy one has %d bytes in %d domains", flows, a.bytes,
			a.domains.Len())
	}
	total := 0
	for addr, a := range d.accounts {
		total += a.bytes
		if addr != a.addr || d.largest[a.place] != a || d.largest[0].bytes < a.bytes {
			t.Errorf("the account of %s is at the wrong place", addr)
		}
	}
	if total != d.bytes {
		t.Errorf("the accounts have %d bytes, all together %d", total, d.bytes)
	}
	for len(d.domains) > 0 {
		d.forget(d.leastProven())
	}
	if d.bytes != 0 || len(d.accounts) != 0 || len(d.exporters) != 0 || len(d.largest) != 0 || d.newest != nil {
		t.Errorf("without domains %d bytes, %d accounts and %d exporters are left", d.bytes, len(d.accounts),
			len(d.exporters))
	}
}

// TestRandomSourcesKeepAccounts compares the accounts with what there is, after forged
// sources of many kinds.
func TestRandomSourcesKeepAccounts(t *testing.T) {
	d, s := NewDecoder(Options{MaxBytes: 64 << 10, MaxDomains: 50, MaxExporters: 20}), newSender()
	for i := range 3000 {
		from := netip.AddrPortFrom(address(i*7%37).Addr(), uint16(i%3))
		_ = d.Decode(Datagram{Exporter: from, Received: s.at,
			Payload: nameTable(t, uint32(i%5), uint32(i), 1+i%4, "if")}, Handler{})
	}
	bytes := 0
	for _, exp := range d.exporters {
		bytes += exp.names
	}
	for _, dom := range d.domains {
		bytes += dom.bytes
	}
	if bytes != d.bytes || d.bytes > 64<<10 || len(d.domains) > 50 || len(d.exporters) > 20 {
		t.Errorf("%d bytes are counted, there are %d; %d domains, %d exporters", d.bytes, bytes, len(d.domains),
			len(d.exporters))
	}
}
