package tests

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// generatedProtocols are all that flowgraf generate has.
var generatedProtocols = []string{"v1", "v5", "v7", "v9", "ipfix", "vmware", "sflow"}

// sentTo returns the datagrams that send sends to the address it gets.
func sentTo(t testing.TB, send func(addr string)) [][]byte {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var all [][]byte
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			all = append(all, bytes.Clone(buf[:n]))
		}
	})
	send(conn.LocalAddr().String())
	conn.SetReadDeadline(time.Now().Add(time.Second)) // what was sent is in the buffer
	reading.Wait()
	return all
}

// decoded is what our decoder makes of datagrams: a record for each flow or option,
// in their order.
type decoded struct {
	flow     *flow.Record // with its own memory
	option   *flow.OptionRecord
	datagram int
}

// decode decodes datagrams of one exporter.
func decode(t testing.TB, datagrams [][]byte) (all []decoded, counters []flow.CounterRecord) {
	t.Helper()
	dec := collector.NewDecoder(collector.Options{})
	for i, b := range datagrams {
		h := collector.Handler{
			Flow: func(r *flow.Record) { all = append(all, decoded{flow: cloneFlow(r), datagram: i}) },
			Option: func(o *flow.OptionRecord) {
				c := *o
				c.Scope, c.Fields = cloneElements(o.Scope), cloneElements(o.Fields)
				all = append(all, decoded{option: &c, datagram: i})
			},
			Counter: func(c *flow.CounterRecord) {
				one := *c
				one.Counters = append([]flow.Counter(nil), c.Counters...)
				for j := range one.Counters {
					if text := one.Counters[j].Text; text != nil {
						one.Counters[j].Text = append([]byte{}, text...)
					}
				}
				counters = append(counters, one)
			},
		}
		d := collector.Datagram{Exporter: netip.MustParseAddrPort("127.0.0.1:40000"), Received: time.Now(), Payload: b}
		if err := dec.Decode(d, h); err != nil {
			t.Logf("datagram %d: %v", i, err)
		}
	}
	return all, counters
}

func cloneFlow(r *flow.Record) *flow.Record {
	c := *r
	c.Extra = cloneElements(r.Extra)
	if r.Sample != nil {
		s := *r.Sample
		c.Sample = &s
	}
	return &c
}

func cloneElements(list []flow.Element) []flow.Element {
	list = append([]flow.Element(nil), list...)
	for i := range list {
		list[i].Value = bytes.Clone(list[i].Value)
	}
	return list
}

// cflowFields are the values of a record under tshark's names. What has no name here
// must be in Extra, byte for byte.
var cflowFields = map[string]func(r *flow.Record) any{
	"cflow.srcaddr":          func(r *flow.Record) any { return r.Src },
	"cflow.dstaddr":          func(r *flow.Record) any { return r.Dst },
	"cflow.srcaddrv6":        func(r *flow.Record) any { return r.Src },
	"cflow.dstaddrv6":        func(r *flow.Record) any { return r.Dst },
	"cflow.nexthop":          func(r *flow.Record) any { return r.NextHop },
	"cflow.nexthopv6":        func(r *flow.Record) any { return r.NextHop },
	"cflow.srcport":          func(r *flow.Record) any { return r.SrcPort },
	"cflow.dstport":          func(r *flow.Record) any { return r.DstPort },
	"cflow.protocol":         func(r *flow.Record) any { return r.Proto },
	"cflow.tos":              func(r *flow.Record) any { return r.SrcTOS },
	"cflow.tcpflags":         func(r *flow.Record) any { return r.TCPFlags },
	"cflow.octets":           func(r *flow.Record) any { return orPost{r.Bytes, r.OutBytes} },
	"cflow.packets":          func(r *flow.Record) any { return orPost{r.Packets, r.OutPackets} },
	"cflow.permanent_octets": func(r *flow.Record) any { return r.Bytes },
	"cflow.permanent_packets": func(r *flow.Record) any {
		return r.Packets
	},
	"reverse cflow.permanent_octets":         func(r *flow.Record) any { return r.RevBytes },
	"reverse cflow.permanent_packets":        func(r *flow.Record) any { return r.RevPackets },
	"cflow.post_octets":                      func(r *flow.Record) any { return r.OutBytes },
	"cflow.post_packets":                     func(r *flow.Record) any { return r.OutPackets },
	"cflow.inputint":                         func(r *flow.Record) any { return r.Input },
	"cflow.outputint":                        func(r *flow.Record) any { return r.Output },
	"cflow.srcas":                            func(r *flow.Record) any { return r.SrcAS },
	"cflow.dstas":                            func(r *flow.Record) any { return r.DstAS },
	"cflow.srcmask":                          func(r *flow.Record) any { return r.SrcMask },
	"cflow.dstmask":                          func(r *flow.Record) any { return r.DstMask },
	"cflow.srcmaskv6":                        func(r *flow.Record) any { return r.SrcMask },
	"cflow.dstmaskv6":                        func(r *flow.Record) any { return r.DstMask },
	"cflow.direction":                        func(r *flow.Record) any { return r.Direction },
	"cflow.flow_end_reason":                  func(r *flow.Record) any { return r.EndReason },
	"cflow.ttl_max":                          func(r *flow.Record) any { return r.MaxTTL },
	"cflow.ip_version":                       func(r *flow.Record) any { return r.IPVersion },
	"cflow.layer2_segment_id":                func(r *flow.Record) any { return r.SegmentID },
	"cflow.srcmac":                           func(r *flow.Record) any { return mac(r.InSrcMAC) },
	"cflow.post_srcmac":                      func(r *flow.Record) any { return mac(r.OutSrcMAC) },
	"cflow.dstmac":                           func(r *flow.Record) any { return mac(r.InDstMAC) },
	"cflow.post_dstmac":                      func(r *flow.Record) any { return mac(r.OutDstMAC) },
	"cflow.post_vlanid":                      func(r *flow.Record) any { return r.DstVLAN },
	"cflow.vlanid":                           func(r *flow.Record) any { return r.SrcVLAN },
	"cflow.bgpnexthop":                       func(r *flow.Record) any { return r.BGPNextHop },
	"cflow.bgpnexthopv6":                     func(r *flow.Record) any { return r.BGPNextHop },
	"cflow.ttl_min":                          func(r *flow.Record) any { return r.MinTTL },
	"cflow.ttl_minimum":                      func(r *flow.Record) any { return r.MinTTL },
	"cflow.post_natsource_ipv4_address":      func(r *flow.Record) any { return r.XlateSrc },
	"cflow.post_natdestination_ipv4_address": func(r *flow.Record) any { return r.XlateDst },
	"cflow.firewall_event":                   func(r *flow.Record) any { return r.FwEvent },
	"cflow.observation_point_id":             func(r *flow.Record) any { return r.ObservationPoint },
	"cflow.flow_id":                          func(r *flow.Record) any { return r.FlowID },
	"cflow.icmp_type_code_ipv4":              func(r *flow.Record) any { return r.ICMP },
	"cflow.forwarding_status":                func(r *flow.Record) any { return r.FwdStatus },
	"cflow.icmp_ipv4_type":                   func(r *flow.Record) any { return r.ICMP >> 8 },
	"cflow.icmp_ipv4_code":                   func(r *flow.Record) any { return r.ICMP & 0xff },
	"cflow.fw_ext_event":                     func(r *flow.Record) any { return r.FwXEvent },
	"cflow.ingress_acl_id":                   func(r *flow.Record) any { return r.IngressACL[:] },
	"cflow.egress_acl_id":                    func(r *flow.Record) any { return r.EgressACL[:] },
	"cflow.aaa_username":                     func(r *flow.Record) any { return r.User },
	"cflow.engine_type":                      func(r *flow.Record) any { return r.EngineType },
	"cflow.engine_id":                        func(r *flow.Record) any { return r.EngineID },
	"cflow.sampling_interval":                func(r *flow.Record) any { return r.SamplingRate },
	"cflow.routersc":                         func(r *flow.Record) any { return extra(r, 130) },
}

// mac is a MAC address.
type mac [6]byte

// orPost is a counter, and that of the packets that leave, which stands for it where
// it is 0.
type orPost [2]uint64

// extra returns an address that rides along.
func extra(r *flow.Record, id uint16) netip.Addr {
	for _, e := range r.Extra {
		if e.PEN == 0 && e.ID == id {
			a, _ := netip.AddrFromSlice(e.Value)
			return a
		}
	}
	return netip.Addr{}
}

// same says whether a value of ours is what the bytes on the wire say.
func same(ours any, wire []byte) bool {
	switch v := ours.(type) {
	case netip.Addr:
		return bytes.Equal(v.AsSlice(), wire)
	case mac:
		return bytes.Equal(v[:], wire)
	case []byte:
		return bytes.Equal(v, bytes.TrimRight(wire, "\x00")) || bytes.Equal(v, wire)
	}
	var n uint64
	for _, b := range wire {
		n = n<<8 | uint64(b)
	}
	switch v := ours.(type) {
	case orPost:
		return v[0] == n || n == 0 && v[0] == v[1]
	case port:
		return uint64(v) == n || v == 0 && n == 0x3fffffff
	}
	return fmt.Sprint(ours) == fmt.Sprint(n)
}

// wireNumber returns the bytes of a field as a number, 0 where there is none.
func wireNumber(d *dissected) (n int64) {
	if d != nil {
		for _, b := range d.raw() {
			n = n<<8 | int64(b)
		}
	}
	return n
}

// wireTimes are the times of a flow as tshark reads them. A relative one is in
// milliseconds on the clock of the exporter where the header does not say when that
// began: then only the difference of two tells.
type wireTimes struct {
	first, last flow.Time
	relative    bool
}

// readTime takes a field for a time, and says whether it is one.
func (w *wireTimes) readTime(packet, f *dissected) bool {
	to := &w.first
	switch f.Name {
	case "cflow.timeend", "cflow.abstimeend":
		to = &w.last
	case "cflow.timestart", "cflow.abstimestart":
	default:
		return false
	}
	if strings.HasPrefix(f.Name, "cflow.abs") {
		if at, err := time.Parse("Jan _2, 2006 15:04:05.999999999 MST", f.Show); err == nil && at.Unix() > 0 {
			*to = flow.TimeOf(at)
		}
		return true
	}
	uptime := packet.find("cflow.sysuptime")
	if uptime == nil {
		*to, w.relative = flow.Time(wireNumber(f))*1e6, true
		return true
	}
	export := wireNumber(packet.find("cflow.unix_secs"))*1e9 + wireNumber(packet.find("cflow.unix_nsecs"))
	// Uptimes wrap after 49.7 days: one up to an hour ahead of the header's is that, any
	// other is of the past, however long a flow lasts.
	ago := int64(uint32(wireNumber(uptime) - wireNumber(f)))
	if ago > 1<<32-1-3600_000 {
		ago -= 1 << 32
	}
	*to = flow.Time(export - ago*1e6)
	return true
}

// compare expects the times of r, but for those that are 0, and for a flow that ends
// before it begins.
func (w *wireTimes) compare(t *testing.T, r *flow.Record) {
	t.Helper()
	if r.First > r.Last {
		t.Errorf("a flow from %s to %s", r.First.Time(), r.Last.Time())
	}
	switch {
	case w.first > w.last && w.last != 0:
	case w.relative:
		if r.Last-r.First != w.last-w.first {
			t.Errorf("a flow of %v ms, tshark reads %v", (r.Last-r.First)/1e6, (w.last-w.first)/1e6)
		}
	case w.first != 0 && r.First.Milli() != w.first.Milli(), w.last != 0 && r.Last.Milli() != w.last.Milli():
		t.Errorf("from %s to %s, tshark reads %s to %s", r.First.Time(), r.Last.Time(), w.first.Time(), w.last.Time())
	}
}

// compareFlow compares a flow field by field with what tshark reads in its bytes,
// and returns the names of the fields that were compared.
func compareFlow(t *testing.T, packet, theirs *dissected, r *flow.Record) (names []string) {
	t.Helper()
	rest := r.Extra
	taken := func(wire []byte) bool {
		for i, e := range rest {
			if bytes.Equal(e.Value, wire) {
				rest = rest[i+1:]
				return true
			}
		}
		return len(r.User) > 0 && same(r.User, wire) // Palo Alto's has no name in tshark
	}
	var times wireTimes
	for _, f := range theirs.leaves() {
		name := f.Name
		if strings.Contains(f.Showname, "(Reverse Type") {
			name = "reverse " + name
		}
		names = append(names, name)
		value, known := cflowFields[name]
		switch {
		case name == "cflow.padding" || name == "cflow.reserved":
		case name == "cflow.flags": // version 7's: which fields are valid
		case times.readTime(packet, f):
			taken(f.raw()) // relative ones ride along as well
		case known && same(value(r), f.raw()):
		case !taken(f.raw()):
			ours := any("not in Extra")
			if known {
				ours = value(r)
			}
			t.Errorf("%s: ours is %v, tshark reads %s", name, ours, f.Showname)
		}
	}
	times.compare(t, r)
	return names
}

// compareOption expects an option record to have the bytes that tshark reads, field
// by field.
func compareOption(t *testing.T, theirs *dissected, o *flow.OptionRecord) {
	t.Helper()
	var ours []byte
	for _, e := range append(append([]flow.Element(nil), o.Scope...), o.Fields...) {
		ours = append(ours, e.Value...)
	}
	for _, f := range theirs.leaves() {
		wire := f.raw()
		if length := f.find("cflow.string_len_long", "cflow.string_len_short"); length != nil { // in front of a string
			wire = wire[length.Size:]
		}
		if f.Name == "cflow.padding" {
			continue
		}
		if !bytes.HasPrefix(ours, wire) {
			t.Errorf("option: ours is %x, tshark reads %x, %s", ours, wire, f.Showname)
			return
		}
		ours = ours[len(wire):]
	}
	if len(ours) > 0 {
		t.Errorf("option: tshark does not read %x", ours)
	}
}

// compareFlows decodes datagrams of NetFlow or IPFIX and compares every field of every
// record with tshark's trees of them. It returns how many flows, options and fields
// that were.
func compareFlows(t *testing.T, datagrams [][]byte, trees []dissected) (flows, options int, fields map[string]int) {
	t.Helper()
	ours, _ := decode(t, datagrams)
	fields = map[string]int{}
	for i := range trees {
		for n, theirs := range dissectedFlows(&trees[i]) {
			if len(ours) == 0 || ours[0].datagram != i {
				t.Fatalf("datagram %d: tshark reads a record %d that we do not: %+v", i, n+1, theirs)
			}
			one := ours[0]
			ours = ours[1:]
			if one.option != nil {
				compareOption(t, theirs, one.option)
				options++
				continue
			}
			flows++
			for _, name := range compareFlow(t, &trees[i], theirs, one.flow) {
				fields[name]++
			}
			if t.Failed() {
				t.Fatalf("datagram %d, record %d:\n%+v", i, n+1, *one.flow)
			}
		}
		if len(ours) > 0 && ours[0].datagram == i {
			t.Fatalf("datagram %d: tshark does not read %+v", i, ours[0])
		}
	}
	return flows, options, fields
}

// withCount raises the count in the header of NetFlow v9, which is of records: tshark
// takes it for the number of FlowSets, and ends there.
func withCount(datagrams [][]byte) (list [][]byte) {
	for _, b := range datagrams {
		if len(b) > 4 && binary.BigEndian.Uint16(b) == 9 {
			b = bytes.Clone(b)
			binary.BigEndian.PutUint16(b[2:], 0xffff)
		}
		list = append(list, b)
	}
	return list
}

// generatedDatagrams returns what flowgraf generate sends.
func generatedDatagrams(t testing.TB, protocol, mix string, count int) [][]byte {
	t.Helper()
	var sent generated
	all := sentTo(t, func(addr string) {
		sent = generate(t, "--to", addr, "--protocol", protocol, "--mix", mix, "--count", fmt.Sprint(count), "--rate",
			"20000")
	})
	if uint64(len(all)) != sent.datagrams {
		t.Fatalf("%d datagrams came, %d were sent", len(all), sent.datagrams)
	}
	return all
}

// generatedMixes are those of flowgraf generate.
var generatedMixes = []string{"plain", "realistic"}

// What flowgraf generate sends is what tshark, an implementation that is not ours,
// reads: every field of every flow, without a complaint.
func TestTsharkReadsGeneratedDatagrams(t *testing.T) {
	peer(t, "tshark")
	const count = 300
	for _, mix := range generatedMixes {
		groups := make([][][]byte, len(generatedProtocols))
		for i, protocol := range generatedProtocols {
			groups[i] = generatedDatagrams(t, protocol, mix, count)
		}
		sflow := len(groups) - 1
		trees := make([][]dissected, len(groups))
		trees[sflow] = dissectOne(t, "sflow", groups[sflow])
		for i, of := range dissect(t, "cflow", groups[:sflow]...) {
			trees[i] = of
		}
		for i, protocol := range generatedProtocols {
			t.Run(mix+" "+protocol, func(t *testing.T) {
				if i == sflow {
					compareSamples(t, groups[i], trees[i], count)
				} else if flows, _, fields := compareFlows(t, groups[i], trees[i]); flows != count || len(fields) < 14 {
					t.Errorf("%d flows were compared in %v, want %d", flows, fields, count)
				}
				for n := range trees[i] {
					for _, complaint := range complaints(&trees[i][n]) {
						t.Fatalf("datagram %d: tshark says: %s", n, complaint)
					}
				}
			})
		}
	}
}

// sixFlows is a capture of six flows, the n-th of which has n packets of 28 + 10 n
// octets.
func sixFlows(t testing.TB) (pcap string) {
	var packets []timedPacket
	for n := 1; n <= 6; n++ {
		c := conversation{src: fmt.Sprintf("10.3.0.%d", n), dst: fmt.Sprintf("203.0.113.%d", n),
			sport: uint16(41000 + n), dport: 4000,
			proto: "udp", packets: n, payload: 10 * n}
		for k := range n {
			at := capture.Add(time.Duration(n)*time.Second + time.Duration(k)*time.Millisecond)
			packets = append(packets, timedPacket{at, packet(t, c)[:14+28+10*n]}) // without Ethernet's padding
		}
	}
	pcap = filepath.Join(t.TempDir(), "six.pcap")
	writePcap(t, pcap, packets)
	return pcap
}

// softflowd lets softflowd export a capture.
func softflowd(t testing.TB, pcap, version, addr string) {
	outputOf(t, peer(t, "softflowd"), "-r", pcap, "-n", addr, "-v", version, "-d", "-c", "none", "-p",
		filepath.Join(t.TempDir(), "pid"))
}

// What real exporters send is read as tshark reads it, in every protocol they have.
func TestTsharkReadsWhatExportersSend(t *testing.T) {
	t.Parallel() // it waits for exporters that send what they have once a second
	peer(t, "tshark")
	pcap, six := filepath.Join(t.TempDir(), "capture.pcap"), sixFlows(t)
	writePcap(t, pcap, captured(t))
	cases := []struct {
		name  string
		flows int
		send  func(addr string)
	}{
		{"softflowd v1", 4, func(addr string) { softflowd(t, pcap, "1", addr) }},
		{"softflowd v1, six flows", 6, func(addr string) { softflowd(t, six, "1", addr) }},
		{"softflowd v5", 4, func(addr string) { softflowd(t, pcap, "5", addr) }},
		{"softflowd v9", 5, func(addr string) { softflowd(t, pcap, "9", addr) }},
		{"softflowd v9, six flows", 6, func(addr string) { softflowd(t, six, "9", addr) }},
		{"softflowd IPFIX", 5, func(addr string) { softflowd(t, pcap, "10", addr) }},
		{"nfprobe v5", 4, func(addr string) { pmacct(t, pcap, addr, "nfprobe", "nfprobe_version[p]: 5") }},
		{"nfprobe v9", 5, func(addr string) { pmacct(t, pcap, addr, "nfprobe", "nfprobe_version[p]: 9") }},
		{"nfprobe IPFIX", 5, func(addr string) { pmacct(t, pcap, addr, "nfprobe", "nfprobe_version[p]: 10") }},
	}
	groups, counted := make([][][]byte, len(cases)), make([][][]byte, len(cases))
	for i, c := range cases {
		groups[i] = sentTo(t, c.send)
		counted[i] = withCount(groups[i])
	}
	for i, trees := range dissect(t, "cflow", counted...) {
		t.Run(cases[i].name, func(t *testing.T) {
			if flows, _, fields := compareFlows(t, groups[i], trees); flows != cases[i].flows || len(fields) < 12 {
				t.Errorf("%d flows were compared in %v, want %d", flows, fields, cases[i].flows)
			}
		})
	}
	ours, _ := decode(t, groups[1])
	var octets []uint64
	for _, one := range ours {
		octets = append(octets, one.flow.Bytes)
	}
	slices.Sort(octets)
	if !slices.Equal(octets, []uint64{38, 96, 174, 272, 390, 528}) {
		t.Errorf("octets of softflowd's six flows in NetFlow v1: %d", octets)
	}
	t.Run("sfprobe", func(t *testing.T) {
		packets := 0
		for _, c := range conversations {
			packets += c.packets
		}
		var datagrams [][]byte
		for range 5 { // on a busy machine it is ended too early, see TestPmacctAsSFlow
			datagrams = sentTo(t, func(addr string) { pmacct(t, pcap, addr, "sfprobe", "sampling_rate: 1") })
			if samples, _ := decode(t, datagrams); len(samples) >= packets {
				break
			}
		}
		compareSamples(t, datagrams, dissectOne(t, "sflow", datagrams), packets)
	})
}

// sampleDir returns where captured datagrams of real exporters lie, which the
// repository does not hold. Without them the test is skipped.
func sampleDir(t testing.TB) string {
	t.Helper()
	dir := peers.Samples("flows")
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST.md")); err != nil {
		t.Skip("no captured datagrams here (FLOWGRAF_SAMPLES says where they are): ", err)
	}
	return dir
}

// What agents in the field have sent as sFlow, in the test cases of Telegraf's own
// plugin, is read as tshark reads it.
func TestTsharkReadsCapturedSamples(t *testing.T) {
	peer(t, "tshark")
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/influxdata/telegraf").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(module)),
		"plugins/inputs/netflow/testcases/sflow*/*.bin"))
	if len(files) < 4 {
		t.Skip("the source of Telegraf is not here")
	}
	var datagrams [][]byte
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		datagrams = append(datagrams, b)
	}
	fields := compareSamples(t, datagrams, dissectOne(t, "sflow", datagrams), 6)
	if len(fields) < 20 {
		t.Errorf("compared were only %v", fields)
	}
}

// Every field of every captured datagram is read as tshark reads it.
func TestTsharkReadsCapturedDatagrams(t *testing.T) {
	peer(t, "tshark")
	dir := sampleDir(t)
	manifest, err := os.ReadFile(filepath.Join(dir, "MANIFEST.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names, want []string
	var groups, counted [][][]byte
	for line := range strings.Lines(string(manifest)) {
		cells := strings.Split(line, "|")
		if len(cells) != 9 || !strings.Contains(cells[2], ".dat") {
			continue
		}
		var datagrams [][]byte
		for _, name := range strings.Split(cells[2], ",") {
			b, err := os.ReadFile(filepath.Join(dir, strings.TrimSpace(name)))
			if err != nil {
				t.Fatal(err)
			}
			datagrams = append(datagrams, b)
		}
		names, groups, counted = append(names, strings.TrimSpace(cells[1])), append(groups, datagrams),
			append(counted, withCount(datagrams))
		want = append(want, strings.TrimSpace(cells[4])+" flows, "+strings.TrimSpace(cells[5])+" options")
	}
	fields := map[string]int{}
	for i, trees := range dissect(t, "cflow", counted...) {
		t.Run(names[i], func(t *testing.T) {
			flows, options, found := compareFlows(t, groups[i], trees)
			if got := fmt.Sprintf("%d flows, %d options", flows, options); got != want[i] {
				t.Errorf("%s were compared, want %s", got, want[i])
			}
			maps.Copy(fields, found)
		})
	}
	if len(groups) < 20 || len(fields) < 80 {
		t.Errorf("%d groups were compared in %d fields: %v", len(groups), len(fields), slices.Sorted(maps.Keys(fields)))
	}
}
