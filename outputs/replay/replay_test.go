package replay

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

var addr = netip.MustParseAddr

// sentAt is when the flows of the tests came in, months ago.
var sentAt = flow.TimeOf(time.Date(2026, 3, 1, 12, 0, 30, 250e6, time.UTC))

// stored is a flow of a file, and what the file says of it besides.
type stored struct {
	flow.Record
	extra nffile.Extra
}

// kinds returns flows of all kinds that files hold: the nth of each.
func kinds(n int) []stored {
	at := sentAt + flow.Time(n)*1e7
	base := flow.Record{
		Exporter: addr("127.0.0.5"), Version: flow.V9, Domain: 77, First: at - 5e9, Last: at - 1e9, Received: at,
		Src: addr("10.1.2.3"), Dst: addr("192.0.2.10"), SrcPort: uint16(n), DstPort: 443, Proto: 6, IPVersion: 4,
		TCPFlags: 0x1b, SrcTOS: 184, Packets: uint64(10 + n), Bytes: 1 << 34,
	}
	base.Present = flow.SetOf(flow.FirstSeen, flow.LastSeen, flow.Bytes, flow.Packets, flow.SrcPort, flow.DstPort,
		flow.Proto, flow.TCPFlags, flow.SrcTOS, flow.Src, flow.Dst, flow.FwdStatus)
	with := func(r flow.Record, change func(*flow.Record), fields ...flow.Field) stored {
		change(&r)
		r.Present = r.Present.Union(flow.SetOf(fields...))
		return stored{Record: r}
	}
	wide := with(base, func(r *flow.Record) {
		r.RevPackets, r.RevBytes, r.Flows, r.DstTOS, r.FwdStatus = 8, 700, 3, 46, 64
		r.Input, r.Output, r.SrcMask, r.DstMask, r.Direction, r.BiflowDir, r.EndReason = 70000, 7, 24, 16, 1, 2, 3
		r.SrcVLAN, r.DstVLAN, r.SrcAS, r.DstAS, r.NextAS, r.PrevAS = 101, 202, 64500, 4200000001, 65010, 65020
		r.NextHop, r.BGPNextHop = addr("198.51.100.1"), addr("198.51.100.2")
		r.MPLS, r.MPLSDepth = [10]uint32{100<<4 | 3<<1, 200 << 4, 300<<4 | 1}, 3
		r.InSrcMAC, r.OutDstMAC = [6]byte{1, 2, 3, 4, 5, 6}, [6]byte{11, 2, 3, 4, 5, 6}
		r.InDstMAC, r.OutSrcMAC = [6]byte{21, 2, 3, 4, 5, 6}, [6]byte{31, 2, 3, 4, 5, 6}
		r.AppID, r.ObservationPoint, r.IngressVRF, r.EgressVRF = []byte{3, 0, 0, 80}, 1<<40, 9, 8
		r.PortBlock = [4]uint16{20000, 20511, 1, 512}
		r.FragFlags, r.MinTTL, r.MaxTTL, r.FlowID = 0x40, 57, 64, 1<<40
	}, flow.RevBytes, flow.Flows, flow.DstTOS, flow.Input, flow.SrcVLAN, flow.SrcAS, flow.NextAS, flow.NextHop,
		flow.BGPNextHop, flow.MPLS, flow.InSrcMAC, flow.AppID, flow.ObservationPoint, flow.IngressVRF, flow.PortBlock,
		flow.FragFlags, flow.MinTTL, flow.FlowID)
	v6 := with(wide.Record, func(r *flow.Record) {
		r.Exporter, r.Version, r.Domain, r.IPVersion = addr("127.0.0.6"), flow.IPFIX, 4096, 6
		r.Src, r.Dst = addr("2001:db8::1"), addr("2001:db8:ffff::2")
		r.NextHop, r.BGPNextHop = addr("fe80::1"), addr("fe80::2")
		r.TunSrc, r.TunDst, r.TunProto = addr("2001:db8:3::1"), addr("2001:db8:4::1"), 4
		r.SegmentID = 5001
	}, flow.TunSrc, flow.SegmentID)
	v6.extra = nffile.Extra{Has: nffile.HasLayer2, Layer2: nffile.Layer2{VLAN: 5, PostVLAN: 6, EtherType: 0x86dd,
		Ingress: 11, Egress: 12, IPVersion: 6}}
	event := with(base, func(r *flow.Record) {
		r.Event, r.First, r.Last, r.EventTime, r.Bytes, r.Packets = true, at, at, at, 500, 0
		r.FlowID, r.FwEvent, r.FwXEvent, r.NATEvent, r.NATPool = 123456, 3, 1001, 4, 5
		r.IngressACL, r.EgressACL = [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, [12]byte{12, 11, 10}
		r.User, r.XlateSrc, r.XlateDst = []byte("alice"), addr("203.0.113.1"), addr("203.0.113.2")
		r.XlateSPort, r.XlateDPort = 1000, 2000
	}, flow.EventTime, flow.FwEvent, flow.NATEvent, flow.IngressACL, flow.User, flow.XlateSrc, flow.XlateSPort,
		flow.FlowID)
	v5 := with(base, func(r *flow.Record) {
		r.Exporter, r.Version, r.Domain, r.EngineType, r.EngineID = addr("127.0.0.7"), flow.V5, 0x102, 1, 2
		r.Bytes, r.Input, r.Output, r.SrcAS, r.DstAS, r.NextHop = 1000, 5, 6, 64500, 64501, addr("198.51.100.1")
	}, flow.Input, flow.SrcAS, flow.NextHop)
	icmp := with(base, func(r *flow.Record) { r.Proto, r.SrcPort, r.DstPort, r.ICMP = 1, 0, 8<<8, 8<<8 }, flow.ICMP)
	delays := with(base, func(*flow.Record) {})
	delays.extra = nffile.Extra{Has: nffile.HasDelays, ClientDelay: 1_500_001, ServerDelay: 20, AppDelay: 3}
	return []stored{wide, v6, event, v5, icmp, delays}
}

// write writes flows into a new file.
func write(t *testing.T, flows []stored) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd.202603011200")
	w, err := nffile.Create(path, nffile.Options{Compression: nffile.LZ4, Extended: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range flows {
		if err := w.AppendExtra(&flows[i].Record, &flows[i].extra); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// readFlows returns what is in a file, a text of all fields for each flow but those of its
// receipt, sorted.
func readFlows(t *testing.T, path string, without ...string) (texts []string) {
	t.Helper()
	_, err := query.Input{Files: []string{path}}.List(context.Background(), func(f *query.Flow) error {
		texts = append(texts, text(reflect.ValueOf(*f.Record), append(without, "Received"))+
			fmt.Sprintf(" %x", f.Extra.Has)+extraText(f.Extra))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(texts)
	return texts
}

// text returns the fields that are not zero.
func text(v reflect.Value, without []string) string {
	var b strings.Builder
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; !v.Field(i).IsZero() && !slices.Contains(without, name) {
			fmt.Fprintf(&b, "%s=%v ", name, v.Field(i))
		}
	}
	return b.String()
}

// extraText returns what Has says is there.
func extraText(x *nffile.Extra) string {
	out := ""
	if x.Has&nffile.HasDelays != 0 {
		out += fmt.Sprint(x.ClientDelay, x.ServerDelay, x.AppDelay)
	}
	if x.Has&nffile.HasLayer2 != 0 {
		out += fmt.Sprintf("%+v", x.Layer2)
	}
	return out
}

// listen opens a socket on loopback.
func listen(t *testing.T, on string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(on)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadBuffer(8 << 20)
	return conn
}

// receive decodes what comes until there are n flows, into a new file.
func receive(t *testing.T, conn *net.UDPConn, n int) <-chan string {
	path := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(path, nffile.Options{Extended: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		defer close(done)
		dec := collector.NewDecoder(collector.Options{})
		buf := make([]byte, 65536)
		conn.SetReadDeadline(time.Now().Add(60 * time.Second))
		for got := 0; got < n; {
			size, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				t.Errorf("%d flows came, expected %d: %v", got, n, err)
				return
			}
			dec.Decode(collector.Datagram{Exporter: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()),
				Received: time.Now(), Payload: bytes.Clone(buf[:size])},
				collector.Handler{Flow: func(r *flow.Record) {
					got++
					if err := w.Append(r); err != nil {
						t.Error(err)
					}
				}})
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		done <- path
	}()
	return done
}

// send sends a file's flows.
func send(t *testing.T, path string, o Options) Totals {
	t.Helper()
	o.Warn = t.Logf
	if o.Pace == (Pace{}) {
		o.Pace.Rate = 20000
	}
	s, err := NewSender(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = query.Input{Files: []string{path}}.List(context.Background(), func(f *query.Flow) error {
		return s.Flow(context.Background(), f.Record, f.Extra)
	})
	if err == nil {
		err = s.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Totals()
}

// manyKinds returns flows of all kinds, mixed.
func manyKinds(rounds int) (flows []stored) {
	for n := range rounds {
		all := kinds(n)
		flows = append(flows, all...)
		flows = append(flows, all[n%len(all)])
	}
	return flows
}

// From an archive over the wire into another: every flow has every field that it had, its
// times, its version and its exporter.
func TestArchiveReplayArchive(t *testing.T) {
	flows := manyKinds(60)
	path := write(t, flows)
	conn := listen(t, "127.0.0.1:0")
	got := receive(t, conn, len(flows))
	totals := send(t, path, Options{To: conn.LocalAddr().(*net.UDPAddr).AddrPort()})
	compare(t, readFlows(t, <-got), readFlows(t, path))
	if int(totals.Flows) != len(flows) || totals.Exporters != 3 || len(totals.Lost) > 0 || totals.Dropped > 0 {
		t.Errorf("%+v", totals)
	}
}

// compare compares the texts of two files.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d flows, expected %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("got\n%s\nexpected\n%s", got[i], want[i])
		}
	}
}

// An exporter that cannot be sent for has an observation domain that says who he is.
func TestExporterBecomesTheDomain(t *testing.T) {
	flows := manyKinds(3)
	for i := range flows {
		flows[i].Exporter = addr("192.0.2.1")
		if i%2 == 0 {
			flows[i].Exporter = addr("2001:db8::7")
		}
	}
	conn := listen(t, "127.0.0.1:0")
	got := receive(t, conn, len(flows))
	send(t, write(t, flows), Options{To: conn.LocalAddr().(*net.UDPAddr).AddrPort(), Identity: Domain,
		Version: flow.IPFIX})
	domains := map[uint32]int{}
	_, err := query.Each(context.Background(), []string{<-got}, func(r *flow.Record) error {
		domains[r.Domain]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if domains[3221225985] != len(flows)/2 || domains[DomainOf(addr("2001:db8::7"))] != len(flows)-len(flows)/2 {
		t.Errorf("domains %v", domains)
	}
}

// An address of somebody else is kept where the system lets this process send from it,
// else it is the domain, and a user is told.
func TestForeignExporterIsKeptWhereTheSystemAllows(t *testing.T) {
	flows := kinds(1)[:1]
	flows[0].Exporter = addr("192.0.2.77")
	conn := listen(t, "127.0.0.1:0")
	to := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	probe, err := dial(flows[0].Exporter, 0, to, true)
	if err == nil {
		probe.Close()
	}
	got := receive(t, conn, 1)
	send(t, write(t, flows), Options{To: to})
	query.Each(context.Background(), []string{<-got}, func(r *flow.Record) error {
		switch {
		case err == nil && (r.Exporter != flows[0].Exporter || r.Domain != 77):
			t.Errorf("sent from %s, domain %d", r.Exporter, r.Domain)
		case err != nil && (r.Exporter != addr("127.0.0.1") || r.Domain != DomainOf(flows[0].Exporter)):
			t.Errorf("not allowed (%v), and sent from %s, domain %d", err, r.Exporter, r.Domain)
		}
		return nil
	})
}

// What the version that is asked for cannot carry is counted by its name.
func TestTotalsNameWhatIsLost(t *testing.T) {
	conn := listen(t, "127.0.0.1:0")
	path := write(t, kinds(1))
	to := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	ten := send(t, path, Options{To: to, Version: flow.IPFIX})
	want := map[string]uint64{"fw_event_ext": 1, "in_acl_id": 1, "out_acl_id": 1, "microseconds of delays": 1}
	if !reflect.DeepEqual(ten.Lost, want) || ten.Flows != 6 {
		t.Errorf("IPFIX: %+v", ten)
	}
	five := send(t, path, Options{To: to, Version: flow.V5})
	if five.Flows != 4 || five.Dropped != 2 || five.Lost["in_bytes"] != 3 {
		t.Errorf("v5: %+v", five)
	}
}

// nfcapd of nfdump gets what was in the file, events of firewalls and translators among it, as it
// came, and all of it as NetFlow v9 and as IPFIX, at a rate and at a multiple of the pace: nfdump
// lists of both the same, but for when it was received.
func TestReplayIntoNfcapd(t *testing.T) {
	for _, c := range []struct {
		version flow.Version
		pace    Pace
	}{{0, Pace{Rate: 2000}}, {flow.V9, Pace{Rate: 2000}}, {flow.IPFIX, Pace{Rate: 2000}}, {0, Pace{Speed: 2}}} {
		t.Run(fmt.Sprint(c.version, c.pace), func(t *testing.T) {
			replayIntoNfcapd(t, storedForNfcapd(c.version), Options{Version: c.version, Pace: c.pace})
		})
	}
}

// storedForNfcapd returns flows of all kinds, with what nfcapd 1.7.1 takes in a version, or in
// that in which they came.
func storedForNfcapd(version flow.Version) (flows []stored) {
	for n := range 40 {
		for i, f := range kinds(n) {
			if i == 5 {
				continue // delays: this nfcapd knows other elements for them
			}
			f.TunSrc, f.TunDst, f.TunProto, f.extra = netip.Addr{}, netip.Addr{}, 0, nffile.Extra{}
			f.BiflowDir, f.EndReason = 0, 0 // which it takes of IPFIX only
			f.Present = f.Present.Without(flow.SetOf(flow.TunSrc, flow.SegmentID, flow.MinTTL, flow.FlowID,
				flow.ObservationPoint))
			if f.FwEvent != 0 {
				f.Present.Add(flow.FlowID)
			}
			// Of IPFIX it does not take these, or in the order of its own bytes.
			if f.Version == flow.IPFIX || version == flow.IPFIX {
				f.FwdStatus, f.AppID = 0, nil
				f.Present = f.Present.Without(flow.SetOf(flow.NextAS, flow.PrevAS, flow.PortBlock, flow.AppID,
					flow.FwEvent, flow.IngressACL, flow.User, flow.FlowID))
				f.Event = false
			}
			flows = append(flows, f)
		}
	}
	return flows
}

// replayIntoNfcapd sends flows to nfcapd, and compares.
func replayIntoNfcapd(t *testing.T, flows []stored, o Options) {
	t.Helper()
	nfcapd, nfdump := peer(t, "nfcapd"), peer(t, "nfdump")
	path := filepath.Join(t.TempDir(), "nfcapd.202603011200")
	w, err := nffile.Create(path, nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range flows {
		w.Append(&flows[i].Record)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	port := freePort(t)
	cmd := exec.Command(nfcapd, "-w", dir, "-b", "127.0.0.1", "-p", fmt.Sprint(port), "-t", "3600", "-B", "4000000")
	var log bytes.Buffer
	cmd.Stderr, cmd.Stdout = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(addr("127.0.0.1"), port)
	waitFor(t, func() bool { return taken(to) })
	o.To = to
	send(t, path, o)
	waitFor(t, func() bool { return drained(t, port) })
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	files, _ := filepath.Glob(filepath.Join(dir, "nfcapd.2*"))
	if len(files) != 1 {
		t.Fatalf("nfcapd wrote %d files:\n%s", len(files), &log)
	}
	without := "received" // Flags tell the version
	if o.Version != 0 {
		without = "Flags"
	}
	got, want := listed(t, nfdump, files[0], without), listed(t, nfdump, path, without)
	compare(t, got, want)
	if len(got) != len(flows) {
		t.Errorf("nfdump lists %d flows of %d", len(got), len(flows))
	}
}

// listed returns what nfdump says of each flow of a file, sorted, but for one line.
func listed(t *testing.T, nfdump, path, without string) []string {
	t.Helper()
	out, err := exec.Command(nfdump, "-r", path, "-q", "-o", "raw").CombinedOutput()
	if err != nil {
		t.Fatalf("nfdump: %v\n%s", err, out)
	}
	var texts []string
	for _, record := range strings.Split(string(out), "\nFlow Record:") {
		var lines []string
		for _, line := range strings.Split(record, "\n") {
			name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch name {
			case "", without, "Flow", "received", "RecordCount", "engine", "export": // nfcapd makes engines of the domain
			default:
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if len(lines) > 2 {
			texts = append(texts, strings.Join(lines, "\n"))
		}
	}
	slices.Sort(texts)
	return texts
}

// What nfreplay of nfdump sends of our file arrives here as it is in the file, in all
// that nfreplay sends.
func TestNfreplayIntoOurs(t *testing.T) {
	nfreplay := peer(t, "nfreplay")
	var flows []stored
	for n := range 100 {
		all := kinds(n)
		f := all[0]
		if n%2 == 0 {
			f = all[1]
			f.TunSrc, f.TunDst, f.TunProto, f.extra, f.SegmentID = netip.Addr{}, netip.Addr{}, 0, nffile.Extra{}, 0
		}
		f.Exporter, f.Version, f.Domain, f.AppID = addr("127.0.0.1"), flow.V9, 1, nil
		f.Present = f.Present.Without(flow.SetOf(flow.TunSrc, flow.SegmentID, flow.MinTTL, flow.FlowID, flow.IngressVRF,
			flow.PortBlock, flow.AppID, flow.ObservationPoint))
		f.BiflowDir, f.EndReason, f.FragFlags = 0, 0, 0 // which nfreplay does not send
		f.RevPackets = f.Packets + 1                    // so that what went out is known to be the other direction
		flows = append(flows, f)
	}
	path := write(t, flows)
	conn := listen(t, "127.0.0.1:0")
	got := receive(t, conn, len(flows))
	out, err := exec.Command(nfreplay, "-r", path, "-H", "127.0.0.1", "-p",
		fmt.Sprint(conn.LocalAddr().(*net.UDPAddr).Port), "-d", "100").CombinedOutput()
	if err != nil {
		t.Fatalf("nfreplay: %v\n%s", err, out)
	}
	compare(t, readFlows(t, <-got, "Present", "EngineType", "EngineID"),
		readFlows(t, path, "Present", "EngineType", "EngineID"))
}

// peer returns where a program of nfdump's is. Without it the test is skipped.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// freePort returns a port of loopback that nothing listens on.
func freePort(t *testing.T) uint16 {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return uint16(conn.LocalAddr().(*net.UDPAddr).Port)
}

// taken says whether somebody listens on a port.
func taken(at netip.AddrPort) bool {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err == nil {
		conn.Close()
	}
	return err != nil
}

// drained says whether what was sent to a port of loopback has been read.
func drained(t *testing.T, port uint16) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Skipf("the system does not tell what waits in sockets: %v", err)
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			return strings.HasSuffix(f[4], ":00000000")
		}
	}
	return false
}

// waitFor waits for a condition.
func waitFor(t *testing.T, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ready(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing happened in a minute")
		}
	}
}
