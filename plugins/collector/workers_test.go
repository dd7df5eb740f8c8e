package collector

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// feed returns IPFIX messages of several exporters with two domains each. Before
// each message of data the layout changes: a decoder that gets them in another
// order decodes other values.
func feed(t testing.TB, exporters, rounds int) (list []Datagram, flows int) {
	t.Helper()
	layouts := []*ipfix.Template{compiled(t, 256, spec(1, 4), spec(2, 4)), compiled(t, 256, spec(2, 4), spec(1, 4))}
	encoders := map[string]*ipfix.Encoder{}
	for round := range rounds {
		for x := range exporters {
			for domain := range uint32(2) {
				name := fmt.Sprint(x, domain)
				e := encoders[name]
				if e == nil {
					e = &ipfix.Encoder{Domain: domain}
					encoders[name] = e
				}
				add := func(fill func()) {
					e.Begin(nil, exported)
					fill()
					addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(x)})
					list = append(list, Datagram{Exporter: netip.AddrPortFrom(addr, 2055), Received: received,
						Payload: e.End()})
				}
				tmpl := layouts[round%2]
				add(func() { e.AddTemplates(tmpl) })
				for range 3 {
					add(func() {
						flows += e.AddData(tmpl,
							[]flow.Record{{Bytes: 1000, Packets: 1}, {Bytes: 1000, Packets: 1}})
					})
				}
			}
		}
	}
	return list, flows
}

// TestWorkersKeepTheOrderOfADomain changes templates all the time under four
// workers.
func TestWorkersKeepTheOrderOfADomain(t *testing.T) {
	const n = 4
	list, want := feed(t, 8, 50)
	decoders := NewDecoders(n, Options{})
	var flows, wrong, used [n]int
	w := NewWorkers(n, func(dg *Datagram) int { return decoders[0].Shard(dg, n) }, func(i int, list []Datagram) {
		used[i]++
		for _, dg := range list {
			_ = decoders[i].Decode(dg, Handler{Flow: func(r *flow.Record) {
				flows[i]++
				if r.Bytes != 1000 || r.Packets != 1 {
					wrong[i]++
				}
			}})
		}
	})
	for len(list) > 0 {
		k := min(len(list), 13)
		w.Dispatch(list[:k])
		list = list[k:]
	}
	w.Stop()
	all, bad, busy := 0, 0, 0
	var lost uint64
	for i := range n {
		all, bad = all+flows[i], bad+wrong[i]
		if used[i] > 0 {
			busy++
		}
		decoders[i].Exporters(func(s *ExporterStats) {
			lost += s.SequenceLost + s.SequenceLate +
				s.SetsWithoutTemplate
		})
	}
	if all != want || bad != 0 || lost != 0 || busy < 2 {
		t.Errorf("%d flows of %d, %d wrong, %d lost or late, %d workers", all, want, bad, lost, busy)
	}
}

// TestFullQueueIsCounted holds a worker until its queue is full: nothing is lost,
// and the wait is counted.
func TestFullQueueIsCounted(t *testing.T) {
	hold := make(chan struct{})
	var got atomic.Int64
	w := NewWorkers(1, func(*Datagram) int { return 0 }, func(_ int, list []Datagram) {
		<-hold
		got.Add(int64(len(list)))
	})
	const sent = 3 * queueLength
	var wg sync.WaitGroup
	wg.Go(func() {
		for range sent {
			w.Dispatch([]Datagram{{Payload: []byte("x")}})
		}
	})
	for deadline := time.Now().Add(time.Minute); w.Full() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the queue never was full")
		}
	}
	close(hold)
	wg.Wait()
	w.Stop()
	if got.Load() != sent {
		t.Errorf("got %d datagrams of %d", got.Load(), sent)
	}
}

// TestDomainsOfAnExporterShareWhatItTells sends the options under one domain and the
// data under others, which other decoders have.
func TestDomainsOfAnExporterShareWhatItTells(t *testing.T) {
	const n = 4
	decoders := NewDecoders(n, Options{})
	e := ipfix.Encoder{}
	decode := func(h Handler, fill func()) int {
		e.Begin(nil, exported)
		fill()
		dg := Datagram{Exporter: from, Received: received, Payload: e.End()}
		i := decoders[0].Shard(&dg, n)
		if err := decoders[i].Decode(dg, h); err != nil {
			t.Fatal(err)
		}
		return i
	}
	options := compiled(t, 300, ipfix.FieldSpec{ID: 10, Length: 4, Scope: true}, spec(82, 4), spec(34, 4))
	e.Domain = 99
	at := decode(Handler{}, func() {
		e.AddTemplates(options)
		e.AddOptions(options, []flow.OptionRecord{{Scope: []flow.Element{{ID: 10, Value: []byte{0, 0, 0, 3}}},
			Fields: []flow.Element{{ID: 82, Value: []byte("wan0")}, {ID: 34, Value: []byte{0, 0, 0, 100}}}}})
	})
	data := compiled(t, 256, spec(1, 4), spec(10, 4))
	elsewhere := false
	for e.Domain = 0; e.Domain < 8; e.Domain++ {
		var name string
		var rate uint32
		h := Handler{Flow: func(r *flow.Record) {
			rate = r.SamplingRate
			if r.Names != nil {
				name = r.Names.Input
			}
		}}
		elsewhere = decode(h, func() {
			e.AddTemplates(data)
			e.AddData(data,
				[]flow.Record{{Bytes: 1, Input: 3}})
		}) != at || elsewhere
		if name != "wan0" || rate != 100 {
			t.Errorf("domain %d: interface %q, rate %d", e.Domain, name, rate)
		}
	}
	if !elsewhere {
		t.Error("all domains went to one decoder")
	}
}

// TestShardReadsTheDomainOfTheDecoder compares, for all captured datagrams, the
// domain that Shard goes by with the one the decoder finds.
func TestShardReadsTheDomainOfTheDecoder(t *testing.T) {
	for _, s := range streams(t) {
		d := NewDecoder(Options{})
		if err := d.Decode(datagram(s.data), Handler{}); err != nil {
			t.Fatal(err)
		}
		if got := only(t, d); peekDomain(got.Version, s.data) != got.Domain {
			t.Errorf("%s: Shard sees domain %d, the decoder %d", s.name, peekDomain(got.Version, s.data), got.Domain)
		}
	}
}

// TestSeparatePorts has two hosts of a virtual switch behind one address: with one
// domain id, other layouts under one template id, and sequences of their own.
func TestSeparatePorts(t *testing.T) {
	config := ExporterConfig{Prefix: netip.PrefixFrom(from.Addr(), 32), Policy: flow.Policy{SeparatePorts: true}}
	d := NewDecoder(Options{Exporters: []ExporterConfig{config}})
	var got []flow.Record
	var ports []uint16
	h := Handler{Flow: func(r *flow.Record) { got = append(got, *r); ports = append(ports, r.Names.Port) }}
	hosts := []*sender{newSender(), newSender()}
	layouts := []*ipfix.Template{compiled(t, 256, spec(1, 4), spec(2, 4)), compiled(t, 256, spec(2, 4), spec(1, 4))}
	hosts[1].port = 50000
	for round := range 3 {
		for i, host := range hosts {
			host.send(t, d, h, func(e *ipfix.Encoder) {
				if round == 0 {
					e.AddTemplates(layouts[i])
				}
				e.AddData(layouts[i], []flow.Record{{Bytes: uint64(10 * (i + 1)), Packets: 1}})
			})
		}
	}
	for i, r := range got {
		if r.Bytes != uint64(10*(i%2+1)) || ports[i] != hosts[i%2].port {
			t.Errorf("flow %d: %d bytes from port %d", i, r.Bytes, ports[i])
		}
	}
	domains := 0
	d.Exporters(func(s *ExporterStats) {
		domains++
		if s.Flows != 3 || s.SequenceLost+s.SequenceLate+s.SequenceRestarts != 0 || s.Port == 0 {
			t.Errorf("port %d: %+v", s.Port, *s)
		}
	})
	if len(got) != 6 || domains != 2 {
		t.Errorf("%d flows of %d domains", len(got), domains)
	}
}
