package collector

import (
	"fmt"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/netflow"
)

// sets decodes the sets of a v9 datagram or an IPFIX message.
func (d *Decoder) sets(m *message, body []byte) {
	data, options := uint16(ipfix.TemplateSet), uint16(ipfix.OptionsTemplateSet)
	if m.dom.key.version == flow.V9 {
		data, options = netflow.V9TemplateSet, netflow.V9OptionsTemplateSet
	}
	sets := ipfix.NewSets(body)
	for {
		set, ok := sets.Next()
		if !ok {
			break
		}
		switch {
		case set.ID == data || set.ID == options:
			d.define(m, set.Body, set.ID == options)
		case set.ID >= ipfix.FirstTemplate:
			d.dataSet(m, set)
		default:
			d.fail(m, fmt.Errorf("expected a set of templates or data, got id %d", set.ID))
		}
	}
	if err := sets.Err(); err != nil {
		d.fail(m, err)
		m.unsure = true
	}
}

// dataSet decodes the records of one set.
func (d *Decoder) dataSet(m *message, set ipfix.Set) {
	t := d.template(m, set.ID)
	if t == nil {
		d.missing(m, set)
		return
	}
	if m.late {
		m.dom.stats.SetsResumed++
	}
	if !t.Options() {
		if !d.opt.TemplatesOnly {
			d.assign(work{m: m, template: t, body: set.Body})
		}
		return
	}
	d.settle() // what the options say is of what comes behind them
	for body := set.Body; len(body) >= t.MinLength(); {
		n, err := ipfix.DecodeOption(t, &d.option, body)
		if err != nil {
			d.fail(m, err)
			m.unsure = true
			return
		}
		d.emitOption(m, body[:n])
		body = body[n:]
	}
}

// emitOption learns from the option record at hand and gives it to the handler.
func (d *Decoder) emitOption(m *message, raw []byte) {
	o, b := &d.option, m.base
	o.Exporter, o.ExporterPort, o.Domain, o.Version = b.Exporter, b.ExporterPort, b.Domain, b.Version
	o.Exported, o.Received = b.Exported, b.Received
	d.learn(m, o)
	d.remember(m, o, raw)
	m.options++
	if m.resent {
		return
	}
	m.dom.stats.Options++
	d.compare(m, o)
	if m.handler.Option != nil && !m.dom.unlisted {
		m.handler.Option(o)
	}
}
