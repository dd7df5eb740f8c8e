package flowmetric

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// samples are what the agent says of a packet, and the fields that become of it, beside
// those of every sample.
var samples = map[string]struct {
	sample flow.Sample
	want   map[string]any
}{
	"tagged frame": {
		flow.Sample{Headers: flow.HasFrame | flow.HasEthernet | flow.HasVLAN, Protocol: 1, FrameLength: 1518,
			EtherType: 0x8100, VLAN: 7, VLANClass: 0b1011, OuterVLAN: 4094},
		map[string]any{"l2_protocol": "ETHERNET-ISO8023", "l2_bytes": uint64(1518), "datalink_frame_type": "Dot1Q",
			"vlan_id": uint64(7), "vlan_priority": uint64(5), "vlan_drop_eligible": true,
			"vlan_outer_id": uint64(4094)},
	},
	"IPv4 and TCP": {
		flow.Sample{Headers: flow.HasFrame | flow.HasIPv4 | flow.HasTCP, Protocol: 11, FrameLength: 60, TTL: 64,
			IPLength: 40, HeaderLen: 20, IPID: 4711, FragOffset: 185, FragFlags: 2, TCPSeq: 1 << 31, TCPAck: 5,
			TCPWindow: 65535, TCPUrgent: 9},
		map[string]any{"l2_protocol": "IPv4", "l2_bytes": uint64(60), "ttl": uint64(64), "ip_total_len": uint64(40),
			"ipv4_total_len": uint64(40), "ipv4_inet_header_len": uint64(20), "ipv4_id": uint64(4711),
			"fragment_offset": uint64(185), "fragment_flags": "......D.", "tcp_seq_number": uint64(1 << 31),
			"tcp_ack_number": uint64(5), "tcp_window_size": uint64(65535), "tcp_urgent_ptr": uint64(9)},
	},
	"IPv6 in VXLAN": {
		flow.Sample{Headers: flow.HasFrame | flow.HasIPv6 | flow.HasVNI, Protocol: 99, FrameLength: 90, TTL: 1,
			IPLength: 72, FlowLabel: 0xabcde, VNI: 0xffffff},
		map[string]any{"l2_protocol": "unknown", "l2_bytes": uint64(90), "ttl": uint64(1), "ip_total_len": uint64(72),
			"ipv6_total_len": uint64(72), "flow_label": "0x000abcde", "vni": uint64(0xffffff)},
	},
	"switch": {
		flow.Sample{Extended: flow.HasSwitch, SrcVLAN: 10, SrcPriority: 1, DstVLAN: 20, DstPriority: 2},
		map[string]any{"vlan_src": uint64(10), "vlan_src_priority": uint64(1), "vlan_dst": uint64(20),
			"vlan_dst_priority": uint64(2)},
	},
	"gateway": {
		flow.Sample{Extended: flow.HasGateway, AS: 64500, GatewayVersion: 2, ASPathType: 2, ASPathLength: 3,
			Communities: []byte{0xfc, 0x00, 0x00, 0x2a, 0, 0, 0, 1, 9}, LocalPref: 100},
		map[string]any{"bgp_as": uint64(64500), "next_hop_ip_version": uint64(2), "bgp_as_path_type": uint64(2),
			"bgp_as_path_length": uint64(3), "community_length": uint64(2), "communities": "0xfc00002a,0x1",
			"local_pref": uint64(100)},
	},
	"queue, access list, function": {
		flow.Sample{Extended: flow.HasQueue | flow.HasACL | flow.HasFunction, Queue: 3, ACL: 101,
			ACLName: []byte("edge-in"), Function: []byte("acl_drop")},
		map[string]any{"out_queue": uint64(3), "acl_id": uint64(101), "acl_name": "edge-in", "function": "acl_drop"},
	},
	"frame and packets as the agent has seen them": {
		flow.Sample{Extended: flow.HasEthernetSample | flow.HasIPv4Sample, EthLength: 64, EtherType: 0x0806,
			IPLength: 46},
		map[string]any{"eth_total_len": uint64(64), "datalink_frame_type": "ARP", "ipv4_total_len": uint64(46)},
	},
	"a type of Ethernet's without a name": {
		flow.Sample{Headers: flow.HasFrame | flow.HasEthernet, Protocol: 1, EtherType: 0x22f3},
		map[string]any{"l2_protocol": "ETHERNET-ISO8023", "l2_bytes": uint64(0), "datalink_frame_type": "0x22f3"},
	},
	"discarded, on a VLAN": {
		flow.Sample{Kind: flow.SampleDiscarded, SourceType: 1, Source: 12, Reason: 262, Drops: 4},
		map[string]any{"reason": uint64(262), "in_vlan_id": uint64(12), "sampling_drops": uint64(4)},
	},
	"flow sample of a physical entity": {
		flow.Sample{Kind: flow.SampleFlow, SourceType: 2, Source: 5, Interval: 400, Pool: 8000},
		map[string]any{"in_phy_interface": uint64(5), "sampling_interval": uint64(400),
			"in_total_packets": uint64(8000)},
	},
}

// TestSamples: what sFlow tells of a packet stands in the metric, and nothing that it
// does not tell.
func TestSamples(t *testing.T) {
	for name, c := range samples {
		t.Run(name, func(t *testing.T) {
			c.sample.Agent = netip.MustParseAddr("192.0.2.9")
			c.sample.SubAgent, c.sample.Uptime, c.sample.Sequence = 1, 2000, 30
			want := map[string]any{"agent_ip": "192.0.2.9", "agent_subid": uint64(1), "sys_uptime": uint64(2000),
				"seq_number": uint64(30), "sampling_drops": uint64(0)}
			if c.sample.Kind == flow.SampleFlow {
				want["sampling_interval"], want["in_total_packets"] = uint64(0), uint64(0)
			}
			maps.Copy(want, c.want)
			r := flow.Record{Version: flow.SFlow, Sample: &c.sample}
			b := builder(t, Options{})
			got := b.Flow(&r, time.Unix(1, 0)).Fields()
			for _, every := range []string{"flow_start", "flow_end", "sampling_rate", "sampling_source"} {
				delete(got, every)
			}
			if !maps.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}
