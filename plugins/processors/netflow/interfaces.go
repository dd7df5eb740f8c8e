package netflow

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// defaultInterfaces are the measurements that Telegraf's documentation gives a table of
// interfaces of inputs.snmp.
var defaultInterfaces = []string{"interface"}

// interfaceCounters takes what inputs.snmp has read of an interface, for netflow_quality
// to compare with the bytes of its flows. What does not say whose counters they are is not
// compared.
func (n *NetFlow) interfaceCounters(m telegraf.Metric) {
	if !n.wants.Quality || !slices.Contains(n.Interfaces, m.Name()) {
		return
	}
	device, ok := n.device(m)
	if !ok {
		return
	}
	index, ok := interfaceIndex(m)
	if !ok {
		return
	}
	in, ok := counter(m, "ifHCInOctets")
	if !ok {
		return
	}
	out, both := counter(m, "ifHCOutOctets")
	n.pool.Interface(device, index, in, out, both, m.Time())
}

// device returns the address of the device that was asked: the tag source, or agent_host as
// inputs.snmp calls it without agent_host_tag, is one, or the name of an exporter.
func (n *NetFlow) device(m telegraf.Metric) (netip.Addr, bool) {
	for _, tag := range []string{"source", "agent_host"} {
		text, ok := m.GetTag(tag)
		if !ok {
			continue
		}
		if a, err := netip.ParseAddr(text); err == nil {
			return a.Unmap(), true
		}
		for i := range n.Exporters {
			if n.Exporters[i].Name != text {
				continue
			}
			if p, err := flow.ParseNetwork(n.Exporters[i].Address); err == nil && p.IsSingleIP() {
				return p.Addr().Unmap(), true
			}
		}
	}
	return netip.Addr{}, false
}

// interfaceIndex returns the interface: the tag index, which inputs.snmp has with
// index_as_tag, or ifIndex as a tag or field.
func interfaceIndex(m telegraf.Metric) (uint32, bool) {
	for _, tag := range []string{"ifIndex", "index"} {
		if text, ok := m.GetTag(tag); ok {
			i, err := strconv.ParseUint(text, 10, 32)
			return uint32(i), err == nil
		}
	}
	i, ok := counter(m, "ifIndex")
	return uint32(i), ok && i <= 1<<32-1
}

// counter returns a field that is a number, of whatever type it has after a queue.
func counter(m telegraf.Metric, name string) (uint64, bool) {
	switch v, _ := m.GetField(name); v := v.(type) {
	case uint64:
		return v, true
	case int64:
		return uint64(v), v >= 0
	case float64:
		return uint64(v), v >= 0 && v < 1<<63
	}
	return 0, false
}
