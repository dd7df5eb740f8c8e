package collector

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestVMware compares the manifest's VMware records, which are known in full.
func TestVMware(t *testing.T) {
	d := NewDecoder(Options{})
	var got []string
	h := Handler{Flow: func(r *flow.Record) {
		got = append(got, fmt.Sprintf("%v:%d > %v:%d proto %d flags %#x bytes %d packets %d if %d>%d dir %d seg %d "+
			"ttl %d end %d %s %s attr %d>%d",
			r.Src, r.SrcPort, r.Dst, r.DstPort, r.Proto, r.TCPFlags, r.Bytes, r.Packets, r.Input, r.Output, r.Direction,
			r.SegmentID, r.MaxTTL, r.EndReason, r.First.Time().Format("15:04:05.000"),
			r.Last.Time().Format("15:04:05.000"),
			r.IngressAttr, r.EgressAttr))
		role := -1
		for _, e := range r.Extra {
			if e.PEN == 6876 && e.ID == 889 {
				role = int(e.Value[0])
			}
		}
		if len(got) == 1 && role != 0 {
			t.Errorf("vxlanExportRole: got %d, want 0", role)
		}
	}}
	for _, name := range []string{"ipfix_test_vmware_vds_tpl.dat", "ipfix_test_vmware_vds_data264.dat",
		"ipfix_test_vmware_vds_data266.dat", "ipfix_test_vmware_vds_data266_267.dat"} {
		if err := d.Decode(datagram(sample(t, name)), h); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"172.18.65.21:61209 > 172.18.65.211:5985 proto 6 flags 0x2 bytes 100 packets 2 if 3>11 dir 1 seg 0 ttl 128 " +
			"end 1 12:17:37.000 12:17:37.000 attr 1>2",
		"172.18.65.91:138 > 172.18.65.255:138 proto 17 flags 0x0 bytes 229 packets 1 if 2>10 dir 1 seg 0 ttl 128 end " +
			"1 12:17:42.000 12:17:42.000 attr 1>2",
		"172.18.65.91:138 > 172.18.65.255:138 proto 17 flags 0x0 bytes 229 packets 1 if 3>11 dir 1 seg 0 ttl 128 end " +
			"1 12:17:42.000 12:17:42.000 attr 1>2",
		"172.18.65.21:61329 > 224.0.0.252:5355 proto 17 flags 0x0 bytes 104 packets 2 if 3>11 dir 1 seg 0 ttl 1 " +
			"end 1 12:25:49.000 12:25:49.000 attr 1>2",
		"fe80::5187:5cd8:d750:cdc9:61329 > ff02::1:3:5355 proto 17 flags 0x0 bytes 144 packets 2 if 3>11 dir 1 seg 0 " +
			"ttl 1 end 1 12:25:49.000 12:25:49.000 attr 1>2",
	}
	if len(got) != len(want) {
		t.Fatalf("got %d flows, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("record %d:\n got %s\nwant %s", i+1, got[i], want[i])
		}
	}
}

// TestVMwareHostsBehindASwitchIP gives the captured datagrams to a collector as of
// two hosts behind one address: each port is an exporter with its own templates, and
// counting what was delivered counts every flow of the capture, once per host.
func TestVMwareHostsBehindASwitchIP(t *testing.T) {
	d := NewDecoder(Options{Exporters: []ExporterConfig{{Prefix: netip.PrefixFrom(from.Addr(), 32),
		Policy: flow.Policy{SeparatePorts: true, Count: flow.CountDelivered, Rate: 4096}}}})
	flows := map[uint16]int{}
	h := Handler{Flow: func(r *flow.Record) {
		flows[r.Names.Port]++
		if r.SamplingRate != 4096 || r.SamplingSource != flow.RateConfig {
			t.Errorf("sampling rate %d from %d", r.SamplingRate, r.SamplingSource)
		}
	}}
	decode := func(port uint16, name string) {
		dg := datagram(sample(t, name))
		dg.Exporter = netip.AddrPortFrom(dg.Exporter.Addr(), port)
		if err := d.Decode(dg, h); err != nil {
			t.Fatal(err)
		}
	}
	decode(1001, "ipfix_test_vmware_vds_tpl.dat")
	decode(1002, "ipfix_test_vmware_vds_data264.dat") // another host, whose templates have not come
	if len(flows) != 0 {
		t.Fatal("a host was decoded by another's templates")
	}
	decode(1002, "ipfix_test_vmware_vds_tpl.dat")
	decode(1001, "ipfix_test_vmware_vds_data266_267.dat")
	decode(1002, "ipfix_test_vmware_vds_data266.dat")
	var uncounted uint64
	d.Exporters(func(s *ExporterStats) { uncounted += s.Uncounted })
	if flows[1001] != 2 || flows[1002] != 3 || uncounted != 0 {
		t.Errorf("flows by port: %v, %d not counted", flows, uncounted)
	}
}
