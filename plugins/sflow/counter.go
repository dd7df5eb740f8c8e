package sflow

import (
	"bytes"
	"fmt"
	"math"
	"net"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// shape is how a counter lies in a record.
type shape uint8

const (
	u32      shape = iota
	u64            // 8 bytes
	f32            // IEEE 754
	octet          // the first of 4 bytes; the others follow as octets too
	mac            // 6 bytes, padded to 8
	uuid           // 16 bytes
	text           // length and bytes
	adapters       // a list of network adapters: index and MAC addresses
)

// column is one counter of a record.
type column struct {
	name  string
	shape shape
}

// counterFormat is the layout of one counter record.
type counterFormat struct {
	format  uint32
	kind    string
	columns []column
}

// columns returns columns of one shape.
func columns(s shape, names ...string) []column {
	list := make([]column, len(names))
	for i, name := range names {
		list[i] = column{name, s}
	}
	return list
}

// join puts lists of columns behind each other.
func join(lists ...[]column) []column {
	var all []column
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// counterFormats are the counter records that are decoded: those of sFlow
// version 5, of its LAG and OpenFlow structures, of host sFlow, and of HTTP servers. Names of the
// interface and Ethernet records are those of Telegraf's stock plugin.
var counterFormats = [...]counterFormat{
	{1, "interface", join(
		columns(u32, "interface", "interface_type"), columns(u64, "speed"),
		columns(u32, "interface_direction", "interface_status"),
		columns(u64, "in_bytes"),
		columns(u32, "in_unicast_packets_total", "in_mcast_packets_total", "in_broadcast_packets_total",
			"in_dropped_packets", "in_errors", "in_unknown_protocol"),
		columns(u64, "out_bytes"),
		columns(u32, "out_unicast_packets_total", "out_mcast_packets_total", "out_broadcast_packets_total",
			"out_dropped_packets", "out_errors", "promiscuous"))},
	{2, "ethernet", columns(u32, "errors_alignment", "errors_fcs", "collision_frames_single", "collision_frames_multi",
		"errors_sqetest", "deferred", "collisions_late", "collisions_excessive", "errors_internal_mac_tx",
		"errors_carrier_sense", "errors_frame_too_long", "errors_internal_mac_rx", "errors_symbols")},
	{5, "vlan", join(columns(u32, "vlan_id"), columns(u64, "bytes"),
		columns(u32, "unicast_packets", "mcast_packets", "broadcast_packets", "dropped_packets"))},
	{7, "lag", join(columns(mac, "actor_system", "partner_system"), columns(u32, "attached_aggregator"),
		columns(octet, "actor_admin_state", "actor_oper_state", "partner_admin_state", "partner_oper_state"),
		columns(u32, "lacpdus_rx", "marker_pdus_rx", "marker_responses_rx", "unknown_rx", "illegal_rx", "lacpdus_tx",
			"marker_pdus_tx", "marker_responses_tx"))},
	{1001, "processor", join(columns(u32, "cpu_5s", "cpu_1m", "cpu_5m"), columns(u64, "memory_total", "memory_free"))},
	{1004, "openflow_port", join(columns(u64, "datapath_id"), columns(u32, "port_no"))},
	{1005, "port_name", columns(text, "port_name")},
	{2000, "host", join(columns(text, "hostname"), columns(uuid, "uuid"), columns(u32, "machine_type", "os_name"),
		columns(text, "os_release"))},
	{2001, "host_adapters", columns(adapters, "adapters")},
	{2002, "host_parent", columns(u32, "container_type", "container_index")},
	{2003, "host_cpu", join(columns(f32, "load_1m", "load_5m", "load_15m"),
		columns(u32, "processes_running", "processes", "cpus", "mhz", "uptime_s", "user_ms", "nice_ms", "system_ms",
			"idle_ms",
			"iowait_ms", "irq_ms", "softirq_ms", "interrupts", "context_switches", "steal_ms", "guest_ms",
			"guest_nice_ms"))},
	{2004, "host_memory", join(columns(u64, "total", "free", "shared", "buffers", "cached", "swap_total", "swap_free"),
		columns(u32, "page_in", "page_out", "swap_in", "swap_out"))},
	{2005, "host_disk", join(columns(u64, "total", "free"), columns(u32, "part_max_used", "reads"),
		columns(u64, "read_bytes"),
		columns(u32, "read_ms", "writes"), columns(u64, "write_bytes"), columns(u32, "write_ms"))},
	{2006, "host_net", hostNet},
	{2100, "virt_node", join(columns(u32, "mhz", "cpus"), columns(u64, "memory", "memory_free"),
		columns(u32, "domains"))},
	{2101, "virt_cpu", columns(u32, "state", "cpu_ms", "cpus")},
	{2102, "virt_memory", columns(u64, "memory", "memory_max")},
	{2103, "virt_disk", join(columns(u64, "capacity", "allocation", "available"), columns(u32, "reads"),
		columns(u64, "read_bytes"),
		columns(u32, "writes"), columns(u64, "write_bytes"), columns(u32, "errors"))},
	{2104, "virt_net", hostNet},
	{2201, "http", columns(u32, "method_option", "method_get", "method_head", "method_post", "method_put",
		"method_delete", "method_trace",
		"method_connect", "method_other", "status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_5xx",
		"status_other")},
}

// hostNet is the traffic of all interfaces of a host or a virtual machine.
var hostNet = join(columns(u64, "in_bytes"), columns(u32, "in_packets", "in_errors", "in_dropped_packets"),
	columns(u64, "out_bytes"), columns(u32, "out_packets", "out_errors", "out_dropped_packets"))

// CounterNames calls fn with the kind and names of every counter record that is
// decoded.
func CounterNames(fn func(kind, name string)) {
	for i := range counterFormats {
		for _, c := range counterFormats[i].columns {
			fn(counterFormats[i].kind, c.name)
		}
	}
}

// Counters decodes a sample of format CounterSample or ExpandedCounterSample and
// calls fn for every record of a known format. What o holds of the datagram stays;
// the rest is replaced, and valid until fn returns.
func (d *Decoder) Counters(o *flow.CounterRecord, h *Header, s Sample, fn func(*flow.CounterRecord)) error {
	b := wire.NewReader(s.Body)
	o.Agent, o.Domain, o.Uptime = h.Agent, h.SubAgent, h.Uptime
	o.Sequence, o.First = b.Uint32(), true
	if s.Format == CounterSample {
		source := b.Uint32()
		o.SourceType, o.Source = uint8(source>>24), source&0xffffff
	} else {
		o.SourceType, o.Source = uint8(b.Uint32()), b.Uint32()
	}
	count := b.Uint32()
	if err := b.Err(); err != nil {
		return fmt.Errorf("sflow: counter sample: %w", err)
	}
	records := Samples{b: b.Rest(), left: count}
	var failed error
	for {
		rec, ok := records.Next()
		if !ok {
			break
		}
		f := formatOf(rec.Format)
		if f == nil {
			d.Skipped++
			continue
		}
		if err := d.counter(o, f, rec.Body); err != nil {
			if failed == nil {
				failed = err
			}
			continue
		}
		fn(o)
		o.First = false
	}
	if failed == nil {
		failed = records.Err()
	}
	return failed
}

// formatOf returns the layout of a counter record, nil when it is unknown.
func formatOf(format uint32) *counterFormat {
	for i := range counterFormats {
		if counterFormats[i].format == format {
			return &counterFormats[i]
		}
	}
	return nil
}

// counter reads one record. Agents of older versions leave out counters at the
// end; half a record is an error.
func (d *Decoder) counter(o *flow.CounterRecord, f *counterFormat, body []byte) error {
	o.Kind, o.Counters = f.kind, d.counters[:0]
	b := wire.NewReader(body)
	for _, c := range f.columns {
		if b.Len() == 0 && len(o.Counters) > 0 {
			break
		}
		v := flow.Counter{Name: c.name}
		switch c.shape {
		case u32:
			v.Value = uint64(b.Uint32())
			v.Unknown = v.Value == math.MaxUint32
		case u64:
			v.Value = b.Uint64()
			v.Unknown = v.Value == math.MaxUint64
		case f32:
			v.Real, v.Float = true, float64(math.Float32frombits(b.Uint32()))
		case octet:
			v.Value = uint64(b.Uint8())
		case mac:
			v.Text = b.Bytes(6)
			b.Skip(2)
		case uuid:
			v.Text = b.Bytes(16)
		case text:
			v.Text = d.text(&b, f, body)
		case adapters:
			v.Text = adapterList(&b)
		}
		if b.Err() != nil {
			return fmt.Errorf("sflow: counter record %s: %w", f.kind, b.Err())
		}
		o.Counters = append(o.Counters, v)
	}
	return nil
}

// text reads a string. It is never nil.
func (d *Decoder) text(b *wire.Reader, f *counterFormat, body []byte) []byte {
	t := opaque(b)
	if b.Err() != nil && f.format == 1005 && len(body) > 4 {
		// There are agents whose length is wrong; the name is what is there.
		*b = wire.NewReader(nil)
		t = body[4:]
	}
	t = bytes.TrimRight(t, "\x00")
	if t == nil {
		t = []byte{}
	}
	return t
}

// adapterList reads the network adapters of a host and returns them as text, such as
// "2=00:50:56:00:00:01,3=00:50:56:00:00:02": the index of the interface and its MAC
// address. An adapter with several addresses comes as often as it has one.
func adapterList(b *wire.Reader) []byte {
	list := []byte{}
	for n := b.Uint32(); n > 0 && b.Err() == nil; n-- {
		index := b.Uint32()
		for macs := b.Uint32(); macs > 0 && b.Err() == nil; macs-- {
			addr := b.Bytes(macLen)
			b.Skip(macLenXDR - macLen)
			if b.Err() != nil {
				break
			}
			if len(list) > 0 {
				list = append(list, ',')
			}
			list = fmt.Appendf(list, "%d=%s", index, net.HardwareAddr(addr))
		}
	}
	return list
}

// TextKind says how a counter's Text is to be read: "mac", "uuid" or "string".
func TextKind(c *flow.Counter, kind string) string {
	switch {
	case kind == "lag":
		return "mac"
	case c.Name == "uuid":
		return "uuid"
	}
	return "string"
}
