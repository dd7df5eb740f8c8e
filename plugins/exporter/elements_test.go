package exporter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ie"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// eachSet walks over the sets of a datagram by the layouts of RFC 3954, section 5.1, and
// RFC 7011, section 3: not with the decoder of the house.
func eachSet(t *testing.T, b []byte, fn func(id uint16, body []byte)) {
	t.Helper()
	header := 16
	if binary.BigEndian.Uint16(b) == 9 {
		header = 20
	} else if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b) {
		t.Fatalf("a message of %d bytes says %d", len(b), n)
	}
	for b = b[header:]; len(b) > 0; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			t.Fatalf("a set of %d bytes, %d left", n, len(b))
		}
		fn(binary.BigEndian.Uint16(b), b[4:n])
		b = b[n:]
	}
}

// templatesOf reads the templates of a datagram: the elements of each by its id, as
// "id:length" or "pen/id:length".
func templatesOf(t *testing.T, b []byte) map[uint16][]string {
	t.Helper()
	found := map[uint16][]string{}
	eachSet(t, b, func(set uint16, body []byte) {
		for set == 0 && len(body) >= 4 || set == 2 && len(body) >= 4 {
			id, n := binary.BigEndian.Uint16(body), int(binary.BigEndian.Uint16(body[2:]))
			body = body[4:]
			for range n {
				element, size := binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
				body = body[4:]
				name := fmt.Sprintf("%d:%d", element, size)
				if set == 2 && element >= 0x8000 {
					name = fmt.Sprintf("%d/%d:%d", binary.BigEndian.Uint32(body), element&0x7fff, size)
					body = body[4:]
				}
				found[id] = append(found[id], name)
			}
		}
	})
	return found
}

// The elements of a template are those that other collectors look for: numbers and sizes
// of the IANA registry, of RFC 3954 (section 8) for NetFlow v9, chosen by hand here.
func TestElementsAreTheRegistrys(t *testing.T) {
	four, six := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	for name, c := range map[string]struct {
		r           flow.Record
		fields      []flow.Field
		nine, ipfix string
	}{
		"flags of 8 bits": {r: flow.Record{TCPFlags: 0x1b}, fields: []flow.Field{flow.TCPFlags}, nine: "6:1",
			ipfix: "6:1"},
		"flags of 16 bits (RFC 7125)": {r: flow.Record{TCPFlags: 0x1ff}, fields: []flow.Field{flow.TCPFlags},
			nine: "6:1", ipfix: "6:2"},
		"flags of 16 bits that are small": {r: flow.Record{TCPFlags: 2},
			fields: []flow.Field{flow.TCPFlags, flow.TCPFlagsWide}, nine: "6:1", ipfix: "6:2"},
		"ICMP": {r: flow.Record{Proto: 1, ICMP: 0x0800}, fields: []flow.Field{flow.Proto, flow.ICMP},
			nine: "4:1 32:2", ipfix: "4:1 32:2"},
		"ICMPv6": {r: flow.Record{Proto: 58, ICMP: 0x8000}, fields: []flow.Field{flow.Proto, flow.ICMP},
			nine: "4:1 32:2", ipfix: "4:1 139:2"},
		"a label": {r: flow.Record{MPLSDepth: 1, MPLS: [10]uint32{16 << 4}}, fields: []flow.Field{flow.MPLS},
			nine: "70:3", ipfix: "70:3"},
		"three labels": {r: flow.Record{MPLSDepth: 3}, fields: []flow.Field{flow.MPLS}, nine: "70:3 71:3 72:3",
			ipfix: "70:3 71:3 72:3"},
		"an application (RFC 6759)": {r: flow.Record{AppID: []byte{13, 0, 0, 80}}, fields: []flow.Field{flow.AppID},
			nine: "95:4", ipfix: "95:4"},
		"an application of another length": {r: flow.Record{AppID: []byte{20, 0, 0, 0, 9, 0, 0, 1}},
			fields: []flow.Field{flow.AppID}, nine: "95:8", ipfix: "95:65535"},
		"a block of ports": {r: flow.Record{PortBlock: [4]uint16{1, 2, 3, 4}}, fields: []flow.Field{flow.PortBlock},
			nine: "361:2 362:2 363:2 364:2", ipfix: "361:2 362:2 363:2 364:2"},
		"an engine": {r: flow.Record{EngineID: 1}, nine: "38:1 39:1", ipfix: "38:1 39:1"},
		"addresses of IPv4": {r: flow.Record{Src: four, Dst: four, SrcMask: 24, IPVersion: 4},
			fields: []flow.Field{flow.Src, flow.Dst, flow.SrcMask, flow.IPVersion}, nine: "8:4 12:4 9:1",
			ipfix: "8:4 12:4 9:1"},
		"addresses of IPv6": {r: flow.Record{Src: six, Dst: six, SrcMask: 64, DstMask: 64, IPVersion: 6},
			fields: []flow.Field{flow.Src, flow.Dst, flow.SrcMask, flow.DstMask, flow.IPVersion},
			nine:   "27:16 28:16 29:1 30:1", ipfix: "27:16 28:16 29:1 30:1"},
		"a next hop of IPv4 for IPv6": {r: flow.Record{Src: six, NextHop: four, IPVersion: 6},
			fields: []flow.Field{flow.Src, flow.NextHop}, nine: "27:16 15:4", ipfix: "27:16 15:4"},
		"no address": {r: flow.Record{IPVersion: 6}, fields: []flow.Field{flow.IPVersion}, nine: "60:1",
			ipfix: "60:1"},
		"a connection of a firewall": {r: flow.Record{FlowID: 7, FwEvent: 2},
			fields: []flow.Field{flow.FlowID, flow.FwEvent}, nine: "148:4 233:1", ipfix: "148:4 233:1"},
		"a connection with a long number": {r: flow.Record{FlowID: 1 << 32, FwEvent: 2},
			fields: []flow.Field{flow.FlowID, flow.FwEvent}, nine: "148:8 233:1", ipfix: "148:8 233:1"},
		"counters back (RFC 5103)": {r: flow.Record{RevBytes: 1, RevPackets: 1},
			fields: []flow.Field{flow.RevBytes, flow.RevPackets}, nine: "232:8 299:8",
			ipfix: "29305/1:8 29305/2:8"},
		"a user's name": {r: flow.Record{User: []byte("alice")}, fields: []flow.Field{flow.User},
			nine: "40000:65", ipfix: "371:65535"},
		"nothing": {nine: "152:8", ipfix: "152:8"},
	} {
		for _, f := range c.fields {
			c.r.Present.Add(f)
		}
		for v, want := range map[flow.Version]string{flow.V9: c.nine, flow.IPFIX: c.ipfix} {
			got := map[uint16][]string{}
			e := NewResender(v, 1, func(b []byte) error {
				for id, elements := range templatesOf(t, b) {
					got[id] = elements
				}
				return nil
			}, nil)
			if err := e.Add(&c.r); err != nil {
				t.Fatal(err)
			}
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
			if s := strings.Join(got[256], " "); s != want || len(got) != 1 {
				t.Errorf("%s, %v: %q in %d templates, expected %q", name, v, s, len(got), want)
			}
		}
	}
}

// Elements without a field of their own: which need a place, and which version has one.
// An element that is taken for needless is lost without a word.
func TestPlacesOfElements(t *testing.T) {
	for _, c := range []struct {
		what     string
		pen      uint32
		id       uint16
		size     int
		v9, ten  string
		sizeIn10 uint16 // in IPFIX's template
	}{
		{"a vendor's", 637, 91, 2, "impossible", "possible", 2},
		{"IANA's number", 0, ie.PaddingOctets + 1, 4, "possible", "possible", 4},
		{"IANA's text", 0, ie.InterfaceName, 4, "possible", "possible", 65535},
		{"IANA's octets", 0, 313, 40, "possible", "possible", 65535},
		{"nobody knows", 0, 32000, 3, "possible", "possible", 3},
		{"the last number with IPFIX", 0, 0x7fff, 3, "possible", "possible", 3},
		{"a number of NetFlow v9 alone", 0, 0x8000, 3, "possible", "impossible", 0},
		{"without a value", 637, 92, 0, "impossible", "needless", 0},
		{"padding (RFC 7011, section 5.1)", 0, 210, 3, "needless", "needless", 0},
		{"the time before the deltas", 0, 157, 8, "needless", "needless", 0},
		{"the first delta", 0, 158, 4, "needless", "needless", 0},
		{"the last duration", 0, 162, 4, "needless", "needless", 0},
		{"behind the durations", 0, 163, 8, "possible", "possible", 8},
		{"a vendor's with padding's number", 637, 210, 3, "impossible", "possible", 3},
		{"start in seconds", 0, 150, 4, "needless", "needless", 0},
		{"observed", 0, 323, 8, "needless", "needless", 0},
		{"the longest", 637, 91, 65534, "impossible", "possible", 65534},
		{"too long", 637, 91, 65535, "impossible", "impossible", 65535},
	} {
		x := flow.Element{PEN: c.pen, ID: c.id, Value: make([]byte, c.size)}
		for v, want := range map[flow.Version]string{flow.V9: c.v9, flow.IPFIX: c.ten} {
			spec, needed, possible := extraElement(v, &x)
			got := "possible"
			if !possible {
				got = "impossible"
			} else if !needed {
				got = "needless"
			}
			if got != want {
				t.Errorf("%s (%d/%d), %v: %s, expected %s", c.what, c.pen, c.id, v, got, want)
			}
			if got == "possible" && (spec.PEN != c.pen || spec.ID != c.id ||
				v == flow.IPFIX && spec.Length != c.sizeIn10) {
				t.Errorf("%s (%d/%d), %v: %+v", c.what, c.pen, c.id, v, spec)
			}
			r := flow.Record{Extra: []flow.Element{x}}
			if ok := Carries(v, &r); ok != (want != "impossible") && c.size > 0 {
				t.Errorf("%s (%d/%d), %v: Carries says %v", c.what, c.pen, c.id, v, ok)
			}
		}
	}
}

// Of an element that stands twice in a record, as in lists of a vendor's, both travel; of
// one that fills a field of the flow there is no second.
func TestRepeatedElementsTravel(t *testing.T) {
	r := flow.Record{First: sentAt, Last: sentAt, Received: sentAt, Bytes: 7}
	r.Present = flow.SetOf(flow.FirstSeen, flow.LastSeen, flow.Bytes)
	r.Extra = []flow.Element{
		{ID: 1, Value: []byte{0, 0, 0, 7}}, // octetDeltaCount, which is in Bytes
		{PEN: 637, ID: 5, Value: []byte{1}}, {PEN: 637, ID: 5, Nth: 1, Value: []byte{2}},
	}
	got := resend(t, flow.IPFIX, []flow.Record{r}, func(f string, _ *flow.Record) { t.Errorf("%q is lost", f) })
	if len(got) != 1 || got[0].Bytes != 7 {
		t.Fatalf("%+v came back", got)
	}
	var values []byte
	for _, x := range got[0].Extra {
		if x.PEN == 637 && x.ID == 5 {
			values = append(values, x.Value...)
		}
	}
	if !bytes.Equal(values, []byte{1, 2}) {
		t.Errorf("values %v of the vendor's element came back, expected 1 and 2", values)
	}
}

// A flow that fits into no datagram is told as lost, and hurts none of its neighbours.
func TestTheLargestFlow(t *testing.T) {
	large := wide(false)
	for _, c := range []struct {
		size int
		lost bool
	}{{1000, false}, {59000, false}, {60000, true}, {65000, true}} {
		large.Extra = []flow.Element{{ID: 315, Value: make([]byte, c.size)}}
		var lost []string
		got := resend(t, flow.IPFIX, []flow.Record{wide(false), large, wide(true)},
			func(field string, r *flow.Record) {
				if len(r.Extra) == 0 {
					t.Error("a neighbour is told as lost")
				}
				lost = append(lost, field)
			})
		if want := 3 - len(lost); len(got) != want || (len(lost) == 1) != c.lost {
			t.Errorf("%d bytes: %d flows came back, %q is lost", c.size, len(got), lost)
		}
	}
}

// A collector that starts late gets all templates within five seconds or 4,096 flows:
// RFC 3954, section 9, asks for both.
func TestTemplatesAreSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		e := NewResender(flow.V9, 1, func(b []byte) error {
			sent += len(templatesOf(t, b))
			return nil
		}, nil)
		resendOne := func(r flow.Record) int {
			t.Helper()
			before := sent
			if err := e.Add(&r); err != nil {
				t.Fatal(err)
			}
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
			return sent - before
		}
		if a, b := resendOne(wide(false)), resendOne(wide(true)); a != 1 || b != 1 {
			t.Errorf("%d and %d templates before their first flows", a, b)
		}
		time.Sleep(templateEvery - time.Millisecond)
		if n := resendOne(wide(false)); n != 0 {
			t.Errorf("%d templates before their time", n)
		}
		time.Sleep(time.Millisecond)
		if n := resendOne(wide(false)); n != 2 {
			t.Errorf("%d templates after %v, expected both", n, templateEvery)
		}
		at := 0
		for i := range templateFlows {
			if resendOne(wide(i%2 == 0)) > 0 {
				at = i + 1
				break
			}
		}
		if at != templateFlows-1 && at != templateFlows {
			t.Errorf("templates came again after %d flows, expected %d", at, templateFlows)
		}
	})
}

// No datagram of templates is larger than a link carries whole, however many there are.
func TestManyTemplatesStaySmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[uint16]bool{}
		e := NewResender(flow.IPFIX, 1, func(b []byte) error {
			if len(b) > ipfix.DefaultLimit {
				t.Errorf("a datagram of %d bytes", len(b))
			}
			for id := range templatesOf(t, b) {
				seen[id] = true
			}
			return nil
		}, nil)
		const kinds = 100
		resendAll := func() {
			for i := range kinds {
				r := wide(i%2 == 0)
				r.Extra = []flow.Element{{PEN: 637, ID: uint16(1 + i), Value: []byte{1}}}
				if err := e.Add(&r); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		resendAll()
		clear(seen)
		time.Sleep(templateEvery)
		resendAll()
		if len(seen) != kinds {
			t.Errorf("%d of %d templates were sent again", len(seen), kinds)
		}
	})
}

// The error of the socket ends the re-sending: the user hears of it, and of no success.
func TestResendEndsWithTheSocketsError(t *testing.T) {
	closed := fmt.Errorf("the socket is closed")
	for _, v := range []flow.Version{flow.V5, flow.V9, flow.IPFIX} {
		e := NewResender(v, 1, func([]byte) error { return closed }, nil)
		r := wide(false)
		if err := e.Add(&r); err != nil {
			t.Fatal(err)
		}
		if err := e.Flush(); err != closed {
			t.Errorf("%v: %v", v, err)
		}
	}
}

// Counters of interfaces are what the samples of these interfaces add up to, and the
// length of a sampled frame is that of its IP packet (RFC 791, section 3.1; RFC 8200,
// section 3) with Ethernet's 18 bytes: else rates by counters and by samples differ.
func TestSFlowCountersAndSamplesAgree(t *testing.T) {
	now := time.Now()
	e, err := New(Options{Protocol: "sflow", Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	octets, packets := map[uint64]uint64{}, map[uint64]uint64{}
	outOctets, outPackets := map[uint64]uint64{}, map[uint64]uint64{}
	dec := collector.NewDecoder(collector.Options{})
	decode := func(b []byte, h collector.Handler) {
		err := dec.Decode(collector.Datagram{Exporter: netip.MustParseAddrPort("192.0.2.1:6343"), Received: now,
			Payload: b}, h)
		if err != nil {
			t.Fatal(err)
		}
	}
	smallest, largest := uint64(1<<20), uint64(0)
	for recs := e.Flows(2000, now); len(recs) > 0; {
		b, n := e.Data(nil, now, recs)
		if n == 0 || len(b) > ipfix.DefaultLimit {
			t.Fatalf("%d samples in %d bytes", n, len(b))
		}
		if n < 3 && n < len(recs) {
			t.Fatalf("a datagram of %d samples is not full", n)
		}
		decode(b, collector.Handler{Flow: func(r *flow.Record) {
			octets[uint64(r.Input)] += r.Bytes * uint64(r.SamplingRate)
			packets[uint64(r.Input)] += r.Packets * uint64(r.SamplingRate)
			outOctets[uint64(r.Output)] += r.Bytes * uint64(r.SamplingRate)
			outPackets[uint64(r.Output)] += r.Packets * uint64(r.SamplingRate)
			smallest, largest = min(smallest, r.Bytes), max(largest, r.Bytes)
		}})
		recs = recs[n:]
	}
	if smallest < 64 || largest > 1518 || smallest == largest { // IEEE 802.3's frames
		t.Errorf("frames of %d to %d bytes", smallest, largest)
	}
	checked := 0
	decode(e.Templates(nil, now), collector.Handler{Counter: func(c *flow.CounterRecord) {
		number := func(name string) uint64 {
			for _, n := range c.Counters {
				if n.Name == name {
					return n.Value
				}
			}
			t.Errorf("an interface without %s", name)
			return 0
		}
		i := number("interface")
		if number("in_bytes") != octets[i] || number("in_unicast_packets_total") != packets[i] {
			t.Errorf("interface %d counts %d bytes in %d packets, the samples say %d in %d", i, number("in_bytes"),
				number("in_unicast_packets_total"), octets[i], packets[i])
		}
		if number("out_bytes") != outOctets[i] || number("out_unicast_packets_total") != outPackets[i] {
			t.Errorf("interface %d counts %d bytes in %d packets out, the samples say %d in %d", i, number("out_bytes"),
				number("out_unicast_packets_total"), outOctets[i], outPackets[i])
		}
		if octets[i] > 0 && outOctets[i] > 0 {
			checked++
		}
	}})
	if checked < 5 {
		t.Errorf("%d interfaces with traffic and counters", checked)
	}
}

// The sums that generate prints are what a user compares the collector's with: line by
// line, by name.
func TestTotalsArePrinted(t *testing.T) {
	var s Totals
	for _, r := range []flow.Record{
		{Proto: 6, IPVersion: 4, Packets: 10, Bytes: 1000}, {Proto: 17, IPVersion: 6, Packets: 1, Bytes: 76},
		{Proto: 1, IPVersion: 4, Packets: 2, Bytes: 168}, {Proto: 58, IPVersion: 6, Packets: 4, Bytes: 336},
		{Proto: 47, IPVersion: 4, Packets: 5, Bytes: 5000},
	} {
		s.Add(&r)
	}
	s.Datagrams = 2
	var out bytes.Buffer
	s.Print(&out)
	const want = "datagrams: 2\nflows: 5\npackets: 22\nbytes: 6580\nflows_tcp: 1\nflows_udp: 1\nflows_icmp: 2\n" +
		"flows_ipv6: 2\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nexpected\n%s", &out, want)
	}
}
