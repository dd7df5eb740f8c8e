package tests

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// port is an interface; the agent itself, 0x3fffffff on the wire, is none here.
type port uint32

// sampleFields are the values of a sample under tshark's names, but for the packet.
var sampleFields = map[string]func(r *flow.Record) any{
	"sflow.flow_sample.sequence_number": func(r *flow.Record) any { return r.Sample.Sequence },
	"sflow.flow_sample.source_id_class": func(r *flow.Record) any { return r.Sample.SourceType },
	"sflow.flow_sample.index":           func(r *flow.Record) any { return r.Sample.Source },
	"sflow.flow_sample.sampling_rate":   func(r *flow.Record) any { return r.SamplingRate },
	"sflow.flow_sample.sample_pool":     func(r *flow.Record) any { return r.Sample.Pool },
	"sflow.flow_sample.dropped_packets": func(r *flow.Record) any { return r.Sample.Drops },
	"sflow.flow_sample.input_interface": func(r *flow.Record) any { return port(r.Input) },
	"sflow.flow_sample.output_interface_value": func(r *flow.Record) any {
		if r.Sample.OutFormat != 0 { // several interfaces, or a reason
			return nil
		}
		return port(r.Output)
	},
	"sflow_245.header_protocol":                   func(r *flow.Record) any { return r.Sample.Protocol },
	"sflow_245.header.frame_length":               func(r *flow.Record) any { return r.Bytes },
	"sflow_245.extended_switch.src_vlan":          func(r *flow.Record) any { return r.Sample.SrcVLAN },
	"sflow_245.extended_switch.src_priority":      func(r *flow.Record) any { return r.Sample.SrcPriority },
	"sflow_245.extended_switch.dst_vlan":          func(r *flow.Record) any { return r.Sample.DstVLAN },
	"sflow_245.extended_switch.dst_priority":      func(r *flow.Record) any { return r.Sample.DstPriority },
	"sflow_245.extended_switch.source_vlan":       func(r *flow.Record) any { return r.Sample.SrcVLAN },
	"sflow_245.vlan.in":                           func(r *flow.Record) any { return r.Sample.SrcVLAN },
	"sflow_245.vlan.out":                          func(r *flow.Record) any { return r.Sample.DstVLAN },
	"sflow_245.pri.in":                            func(r *flow.Record) any { return r.Sample.SrcPriority },
	"sflow_245.pri.out":                           func(r *flow.Record) any { return r.Sample.DstPriority },
	"sflow_245.nexthop":                           func(r *flow.Record) any { return r.NextHop },
	"sflow_245.nexthop.src_mask":                  func(r *flow.Record) any { return r.SrcMask },
	"sflow_245.nexthop.dst_mask":                  func(r *flow.Record) any { return r.DstMask },
	"sflow_245.as":                                func(r *flow.Record) any { return r.Sample.AS },
	"sflow_245.srcAS":                             func(r *flow.Record) any { return r.SrcAS },
	"sflow_245.peerAS":                            func(r *flow.Record) any { return r.PrevAS },
	"sflow.flow_sample.source_id_type":            func(r *flow.Record) any { return r.Sample.SourceType },
	"sflow.flow_sample.source_id_index":           func(r *flow.Record) any { return r.Sample.Source },
	"sflow.flow_sample.input_interface_value":     func(r *flow.Record) any { return r.Input },
	"sflow.flow_sample.output_interface_format":   func(r *flow.Record) any { return r.Sample.OutFormat },
	"sflow.flow_sample.output_interface_expanded": func(r *flow.Record) any { return r.Output },
}

// packetFields are the values of a sampled packet under tshark's names. Of a name that
// comes more than once the last counts: that of the innermost header.
var packetFields = map[string]func(r *flow.Record) any{
	"eth.src":     func(r *flow.Record) any { return mac(r.InSrcMAC) },
	"eth.dst":     func(r *flow.Record) any { return mac(r.OutDstMAC) },
	"ip.src":      func(r *flow.Record) any { return r.Src },
	"ip.dst":      func(r *flow.Record) any { return r.Dst },
	"ip.dsfield":  func(r *flow.Record) any { return r.SrcTOS },
	"ip.len":      func(r *flow.Record) any { return r.Sample.IPLength },
	"ip.id":       func(r *flow.Record) any { return r.Sample.IPID },
	"ip.ttl":      func(r *flow.Record) any { return r.Sample.TTL },
	"ip.proto":    func(r *flow.Record) any { return r.Proto },
	"ipv6.src":    func(r *flow.Record) any { return r.Src },
	"ipv6.dst":    func(r *flow.Record) any { return r.Dst },
	"ipv6.plen":   func(r *flow.Record) any { return r.Sample.IPLength },
	"ipv6.flow":   func(r *flow.Record) any { return r.Sample.FlowLabel },
	"ipv6.hlim":   func(r *flow.Record) any { return r.Sample.TTL },
	"tcp.srcport": func(r *flow.Record) any { return r.SrcPort },
	"tcp.dstport": func(r *flow.Record) any { return r.DstPort },
	"tcp.seq_raw": func(r *flow.Record) any { return r.Sample.TCPSeq },
	"tcp.ack_raw": func(r *flow.Record) any { return r.Sample.TCPAck },
	"tcp.window_size_value": func(r *flow.Record) any {
		return r.Sample.TCPWindow
	},
	"udp.srcport":  func(r *flow.Record) any { return r.SrcPort },
	"udp.dstport":  func(r *flow.Record) any { return r.DstPort },
	"udp.length":   func(r *flow.Record) any { return r.Sample.UDPLength },
	"sctp.srcport": func(r *flow.Record) any { return r.SrcPort },
	"sctp.dstport": func(r *flow.Record) any { return r.DstPort },
	"dccp.srcport": func(r *flow.Record) any { return r.SrcPort },
	"dccp.dstport": func(r *flow.Record) any { return r.DstPort },
	"icmp.type":    func(r *flow.Record) any { return r.ICMP >> 8 },
	"icmp.code":    func(r *flow.Record) any { return r.ICMP & 0xff },
	"icmpv6.type":  func(r *flow.Record) any { return r.ICMP >> 8 },
	"icmpv6.code":  func(r *flow.Record) any { return r.ICMP & 0xff },
	"vxlan.vni":    func(r *flow.Record) any { return r.Sample.VNI },
}

// compareSamples decodes sFlow datagrams and compares every field of every sample, and
// of the packet in it, with tshark's trees, and every counter. It expects want samples.
func compareSamples(t *testing.T, datagrams [][]byte, trees []dissected, want int) (fields map[string]int) {
	t.Helper()
	flows, counters := decode(t, datagrams)
	flows = slices.DeleteFunc(flows, func(d decoded) bool { // tshark has no notices of discarded packets
		return d.flow.Sample.Kind == flow.SampleDiscarded
	})
	fields = map[string]int{}
	for i := range trees {
		datagram := trees[i].find("sflow") // the first one: a sampled packet may be sFlow itself
		if datagram == nil {
			t.Fatalf("datagram %d: tshark finds no sFlow", i)
		}
		datagram.walk(func(f *dissected) bool {
			switch {
			case strings.HasPrefix(f.Show, "Flow sample,"), strings.HasPrefix(f.Show, "Expanded flow sample,"):
				if len(flows) == 0 || flows[0].datagram != i {
					t.Fatalf("datagram %d: tshark reads a sample that we do not: %s", i, f.Show)
				}
				compareSample(t, f, flows[0].flow, fields)
				if t.Failed() {
					t.Fatalf("datagram %d, %s:\n%+v\n%+v", i, f.Show, *flows[0].flow, *flows[0].flow.Sample)
				}
				flows = flows[1:]
				want--
				return false
			case strings.HasPrefix(f.Show, "Counters sample,"), strings.HasPrefix(f.Show, "Expanded counters sample,"):
				counters = compareCounters(t, f, counters, fields)
				return false
			}
			return true
		})
	}
	if len(flows) > 0 || len(counters) > 0 || want != 0 {
		t.Errorf("tshark does not read %d of our samples and %d of our counter records; it reads %d samples less than "+
			"expected", len(flows), len(counters), want)
	}
	return fields
}

// compareSample compares one sample.
func compareSample(t *testing.T, theirs *dissected, r *flow.Record, fields map[string]int) {
	t.Helper()
	last := map[string]*dissected{}
	inside := false // an ICMP error has headers of another packet
	theirs.walk(func(f *dissected) bool {
		if value, known := sampleFields[f.Name]; known {
			fields[f.Name]++
			if ours := value(r); ours != nil && !same(ours, bits(f)) {
				t.Errorf("%s: ours is %v, tshark reads %s", f.Name, ours, f.Showname)
			}
		}
		if _, known := packetFields[f.Name]; known && !inside && f.Hide != "yes" {
			last[f.Name] = f
		}
		inside = inside || f.Name == "icmp.code" || f.Name == "icmpv6.code"
		return true
	})
	for name, f := range last {
		fields[name]++
		if value := packetFields[name](r); !same(value, bits(f)) {
			t.Errorf("%s: ours is %v, tshark reads %s", name, value, f.Showname)
		}
	}
}

// bits returns the value of a bit field, moved to its right end, as tshark shows it in
// hex; of another field its bytes.
func bits(f *dissected) []byte {
	if f.Unmasked == "" {
		return f.raw()
	}
	one := dissected{Value: strings.Repeat("0", len(f.Value)&1) + f.Value}
	return one.raw()
}

// counterKinds are the formats of counter records that are decoded, and what they are
// called here.
var counterKinds = map[string]string{
	"1": "interface", "2": "ethernet", "5": "vlan", "7": "lag", "1001": "processor", "1004": "openflow_port",
	"1005": "port_name",
	"2000": "host", "2002": "host_parent", "2003": "host_cpu", "2004": "host_memory", "2005": "host_disk",
	"2006": "host_net",
}

// compareCounters compares the records of one counter sample, number by number in the
// order of their bytes, and returns those of ours that are left. Records that tshark
// does not take apart are passed over.
func compareCounters(t *testing.T, sample *dissected, ours []flow.CounterRecord,
	fields map[string]int) []flow.CounterRecord {
	t.Helper()
	source, lost := sample.find("sflow.counters_sample.source_id_index"), false
	sample.walk(func(f *dissected) bool {
		format := f.find("sflow_245.counters_record_format")
		if f.Name != "" || format == nil {
			return true
		}
		kind, decoded := counterKinds[format.Show]
		if !decoded || lost {
			return false
		}
		if f.Show == "Unknown sample format" { // tshark goes on within the record
			lost = true
			for of := ours[0].Sequence; len(ours) > 0 && ours[0].Sequence == of; {
				ours = ours[1:]
			}
			return false
		}
		if len(ours) == 0 || ours[0].Kind != kind {
			t.Fatalf("tshark reads counters that we do not: %s, %s", f.Show, format.Showname)
		}
		record := ours[0]
		ours = ours[1:]
		if source == nil || !same(record.Source, bits(source)) {
			t.Errorf("%s: ours is of source %d, tshark reads %v", f.Show, record.Source, source)
		}
		var wire []byte
		for _, leaf := range f.leaves() {
			if leaf.Pos >= f.Pos+8 { // behind format and length
				wire = append(wire, leaf.raw()...)
			}
		}
		fields[record.Kind]++
		if len(wire) > 0 && !bytes.HasPrefix(counterBytes(&record), wire) {
			t.Errorf("%s: ours is %+v,\ntshark reads %x", f.Show, record, wire)
		}
		return false
	})
	return ours
}

// counterBytes returns the counters of a record as sFlow has them on the wire: those
// that are 64 bits wide are named.
func counterBytes(o *flow.CounterRecord) (b []byte) {
	for _, c := range o.Counters {
		switch {
		case c.Text != nil:
			b = binary.BigEndian.AppendUint32(b, uint32(len(c.Text)))
			b = append(b, c.Text...)
		case c.Name == "speed", c.Name == "in_bytes", c.Name == "out_bytes", c.Name == "bytes",
			strings.HasPrefix(c.Name, "memory_"), c.Name == "datapath_id":
			b = binary.BigEndian.AppendUint64(b, c.Value)
		default:
			b = binary.BigEndian.AppendUint32(b, uint32(c.Value))
		}
	}
	return b
}
