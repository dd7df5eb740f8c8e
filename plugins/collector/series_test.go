package collector

import (
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestSeriesAreBounded: an address that sends under ever new domains makes no more series
// than it may, however many of them are forgotten meanwhile; others are not concerned, and
// places become free after a day of silence.
func TestSeriesAreBounded(t *testing.T) {
	d := NewDecoder(Options{MaxDomains: 512})
	d.maxSeries = 100
	now := received
	pass(d, &now)
	series := map[domainKey]bool{}
	gather := func() {
		d.Exporters(func(s *ExporterStats) {
			if !s.Unlisted {
				series[domainKey{addr: s.Exporter, domain: s.Domain}] = true
			}
		})
	}
	opt := compiled(t, 300, ipfix.FieldSpec{ID: 10, Length: 4, Scope: true}, spec(82, 4))
	options, flows := map[uint32]bool{}, 0
	h := Handler{Option: func(o *flow.OptionRecord) { options[o.Domain] = true }, Flow: func(*flow.Record) { flows++ }}
	data := compiled(t, 256, spec(1, 4))
	send := func(i int, domain uint32) {
		e := ipfix.Encoder{Domain: domain}
		e.Begin(nil, exported)
		e.AddTemplates(opt, data)
		e.AddOptions(opt, []flow.OptionRecord{{}})
		e.AddData(data, []flow.Record{{Bytes: 1}})
		_ = d.Decode(Datagram{Exporter: address(i), Received: now, Payload: e.End()}, h)
	}
	for domain := range uint32(2000) {
		send(1, domain)
		if domain%100 == 0 {
			gather()
		}
	}
	gather()
	if len(series) != 100 || len(options) != 100 || flows != 2000 || d.Unlisted() == 0 {
		t.Errorf("%d series, %d of options, %d unlisted, %d flows", len(series), len(options), d.Unlisted(), flows)
	}
	for i := range 50 {
		send(10+i, 7)
	}
	gather()
	if len(series) != 150 {
		t.Errorf("%d series, want those of 50 other exporters too", len(series))
	}
	now = now.Add(23 * time.Hour)
	send(1, 5) // one that has a place
	now = now.Add(2 * time.Hour)
	series = map[domainKey]bool{}
	for domain := range uint32(2000) {
		send(1, 10000+domain)
		if domain%50 == 0 {
			gather()
		}
	}
	if n := len(series); n != 99+50 && n != 100+50 || d.listed > 100+50 {
		t.Errorf("after a day: %d series, %d listed", n, d.listed)
	}
	for _, a := range d.accounts {
		for a.domains.Len() > 0 {
			d.forget(a.domains.Front().Value.(*domain))
		}
	}
	if d.listed != 0 {
		t.Errorf("%d are listed when all is forgotten", d.listed)
	}
}
