package nffile

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// jsonText is what nfdump -o json prints of a flow, by its keys, as text.
func jsonText(r *flow.Record, x *Extra) map[string]string {
	n := func(v any) string { return fmt.Sprint(v) }
	stamp := func(t flow.Time) string { return t.Time().Format("2006-01-02T15:04:05.000") }
	letters := []byte("CEUAPRSF")
	for i := range letters {
		if r.TCPFlags&(0x80>>i) == 0 {
			letters[i] = '.'
		}
	}
	micro := func(v uint64) string { return fmt.Sprintf("%.6f", float64(v)/1000) }
	acl := func(a [12]byte) string {
		return fmt.Sprintf("%#x/%#x/%#x", be.Uint32(a[0:]), be.Uint32(a[4:]), be.Uint32(a[8:]))
	}
	out := map[string]string{
		"sampled": "0", "first": stamp(r.First), "last": stamp(r.Last), "received": stamp(r.Received),
		"in_packets": n(r.Packets), "in_bytes": n(r.Bytes), "proto": n(r.Proto), "tcp_flags": string(letters),
		"src_port": n(r.SrcPort), "dst_port": n(r.DstPort), "icmp_type": n(r.ICMP >> 8), "icmp_code": n(r.ICMP & 255),
		"src_tos": n(r.SrcTOS), "dst_tos": n(r.DstTOS), "fwd_status": n(r.FwdStatus), "direction": n(r.Direction),
		"input_snmp": n(r.Input), "output_snmp": n(r.Output), "src_mask": n(r.SrcMask), "dst_mask": n(r.DstMask),
		"out_packets": n(r.RevPackets), "out_bytes": n(r.RevBytes), "aggr_flows": n(r.Flows),
		"src_vlan": n(r.SrcVLAN), "dst_vlan": n(r.DstVLAN), "src_as": n(r.SrcAS), "dst_as": n(r.DstAS),
		"next_as": n(r.NextAS), "prev_as": n(r.PrevAS),
		"in_src_mac": macText(r.InSrcMAC), "out_dst_mac": macText(r.OutDstMAC), "in_dst_mac": macText(r.InDstMAC),
		"out_src_mac": macText(r.OutSrcMAC),
		"connect_id":  n(r.FlowID), "event_id": n(r.FwEvent), "xevent_id": n(r.FwXEvent), "t_event": stamp(r.EventTime),
		"src_xlt_port": n(r.XlateSPort), "dst_xlt_port": n(r.XlateDPort), "ingress_acl": acl(r.IngressACL),
		"egress_acl": acl(r.EgressACL),
		"user_name":  string(r.User), "ingress_vrf": n(r.IngressVRF), "egress_vrf": n(r.EgressVRF),
		"nat_event_id": n(r.NATEvent), "nat_pool_id": n(r.NATPool),
		"pblock_start": n(r.PortBlock[0]), "pblock_end": n(r.PortBlock[1]), "pblock_step": n(r.PortBlock[2]),
		"pblock_size": n(r.PortBlock[3]),
		"cli_latency": micro(x.ClientDelay), "srv_latency": micro(x.ServerDelay), "app_latency": micro(x.AppDelay),
		"tun_proto": n(r.TunProto), "tun proto": n(r.TunProto), "observationPointID": n(r.ObservationPoint),
		"observationDomainID": n(x.Domain), "observationDoaminID": n(x.Domain),
	}
	for i, label := range r.MPLS {
		out[fmt.Sprintf("mpls_%d", i+1)] = fmt.Sprintf("%d-%d-%d", label>>4, label>>1&7, label&1)
	}
	for format, a := range map[string]netip.Addr{"src%d_addr": r.Src, "dst%d_addr": r.Dst,
		"bgp%d_next_hop": r.BGPNextHop, "ip%d_next_hop": r.NextHop,
		"ip%d_router": r.Exporter, "src%d_xlt_ip": r.XlateSrc, "dst%d_xlt_ip": r.XlateDst, "src%d_tun_ip": r.TunSrc,
		"dst%d_tun_ip": r.TunDst} {
		out[fmt.Sprintf(format, map[bool]int{true: 4, false: 6}[a.Is4()])] = a.String()
	}
	return out
}

// notOfTheFlow are keys of nfdump's JSON that it makes itself: numbers of the list,
// words for numbers, networks from a mask, what the file's tail says, and the
// exporter's number.
var notOfTheFlow = []string{"cnt", "ident", "type", "export_sysid", "src_net", "dst_net", "event", "nat_event", "label",
	"src4_geo", "dst4_geo", "src6_geo", "dst6_geo"}

// TestRecordedJSON compares every field with the JSON that nfdump 1.7.1 and 1.7.8
// have printed of a file.
func TestRecordedJSON(t *testing.T) {
	dir := samples(t)
	for name, list := range map[string]func(string) []map[string]any{"171-json.txt": jsonArray,
		"178-ndjson.txt": jsonLines} {
		text, err := os.ReadFile(filepath.Join(dir, "out", name))
		must(t, err)
		want := list(string(text))
		r, err := Open(filepath.Join(dir, "filtertest-8records.nf"))
		must(t, err)
		defer r.Close()
		for i, flow := range want {
			if !r.Next() {
				t.Fatalf("%s: %d flows, expected %d: %v", name, i, len(want), r.Err())
			}
			if r.Record().Event { // nfdump prints the event's time, or 1970
				delete(flow, "first")
				delete(flow, "last")
			}
			if strings.HasPrefix(name, "178") { // 1.7.8 prints the bytes the other way round
				delete(flow, "ingress_acl")
				delete(flow, "egress_acl")
			}
			got := jsonText(r.Record(), r.dec.Extra())
			for key, value := range flow {
				if mine, ok := got[key]; !slices.Contains(notOfTheFlow, key) && (!ok || mine != fmt.Sprint(value)) {
					t.Errorf("%s, flow %d: %s is %q, expected %q", name, i+1, key, mine, fmt.Sprint(value))
				}
			}
		}
		if len(want) != 8 || r.Next() {
			t.Errorf("%s: %d flows are compared, expected all 8", name, len(want))
		}
	}
}

func jsonArray(text string) (list []map[string]any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&list) != nil {
		return nil
	}
	return list
}

func jsonLines(text string) (list []map[string]any) {
	for line := range strings.Lines(text) {
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		if flow := map[string]any{}; strings.HasPrefix(line, "{") && d.Decode(&flow) == nil {
			list = append(list, flow)
		}
	}
	return list
}

// nfcapd starts nfcapd on a free port, lets send use it, and stops it. It returns
// the directory with its files; while reads the one that it is writing.
func nfcapd(t *testing.T, option string, send func(net.Conn), while func(current string)) string {
	t.Helper()
	dir := t.TempDir()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	must(t, err)
	c.Close()
	cmd := exec.Command(peers.Path(t, "nfcapd"), "-w", dir, "-b", "127.0.0.1", "-p", port, "-t", "3600", "-B",
		"4000000", option)
	cmd.Env = append(cmd.Environ(), "TZ=UTC")
	must(t, cmd.Start())
	var current []string
	for range 100 {
		time.Sleep(20 * time.Millisecond)
		if current, _ = filepath.Glob(filepath.Join(dir, "nfcapd.current.*")); len(current) > 0 {
			break
		}
	}
	if len(current) != 1 {
		t.Fatal("nfcapd has not begun a file within 2 s")
	}
	time.Sleep(100 * time.Millisecond) // the socket is opened after the file
	conn, err := net.Dial("udp4", "127.0.0.1:"+port)
	must(t, err)
	defer conn.Close()
	send(conn)
	time.Sleep(300 * time.Millisecond)
	while(current[0])
	must(t, cmd.Process.Signal(os.Interrupt))
	must(t, cmd.Wait())
	return dir
}

// TestNfcapdLive reads what nfcapd 1.7.1 has just written of captured datagrams, in
// each of its compressions, and compares every field with nfdump's raw output.
func TestNfcapdLive(t *testing.T) {
	captures, err := filepath.Glob(filepath.Join(samples(t), "../flows/*.dat"))
	must(t, err)
	if len(captures) < 30 {
		t.Fatalf("%d captured datagrams, expected at least 30", len(captures))
	}
	slices.SortStableFunc(captures, func(a, b string) int { // templates first
		return strings.Compare(strings.Replace(a, "tpl", "0", 1), strings.Replace(b, "tpl", "0", 1))
	})
	for _, option := range []string{"-e", "-z", "-y", "-j"} { // -e changes nothing
		dir := nfcapd(t, option, func(c net.Conn) {
			for range 2 {
				for _, name := range captures {
					b, err := os.ReadFile(name)
					must(t, err)
					_, err = c.Write(b)
					must(t, err)
					time.Sleep(time.Millisecond)
				}
			}
		}, func(current string) {
			if r, err := Verify(current, nil); err != nil || !r.Sound() || !r.Open {
				t.Errorf("the file that is written: %s %v %v", &r, r.Problems, err)
			}
		})
		files, err := filepath.Glob(filepath.Join(dir, "nfcapd.2*"))
		must(t, err)
		if len(files) != 1 {
			t.Fatalf("files %v", files)
		}
		flows := rawFlows(nfdump(t, "-r", files[0], "-o", "raw"))
		if len(flows) < 30 {
			t.Fatalf("nfcapd %s has written %d flows, expected at least 30", option, len(flows))
		}
		t.Logf("nfcapd %s: %d flows", option, len(flows))
		compareRaw(t, files[0], flows)
		if r, err := Verify(files[0], nil); err != nil || !r.Sound() {
			t.Errorf("nfcapd %s: %s %v %v", option, &r, r.Problems, err)
		}
	}
}
