package exporter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestKindsOfFlows sends pairs of flows, in turns, that differ in one thing on which their
// template depends: each comes back with what it had, and nothing of the other.
func TestKindsOfFlows(t *testing.T) {
	six, four := netip.MustParseAddr("2001:db8::77"), netip.MustParseAddr("203.0.113.77")
	for name, change := range map[string]func(r *flow.Record){
		"a destination of IPv6": func(r *flow.Record) { r.Src, r.Dst, r.IPVersion = six, six, 6 },
		"no addresses":          func(r *flow.Record) { r.Src, r.Dst = netip.Addr{}, netip.Addr{} },
		"a next hop of IPv6":    func(r *flow.Record) { r.NextHop = six },
		"no next hop":           func(r *flow.Record) { r.NextHop = netip.Addr{} },
		"BGP's of IPv6":         func(r *flow.Record) { r.BGPNextHop = six },
		"no next hop of BGP":    func(r *flow.Record) { r.BGPNextHop = netip.Addr{} },
		"translated to IPv6":    func(r *flow.Record) { r.XlateSrc, r.XlateDst = six, six },
		"a source translated":   func(r *flow.Record) { r.XlateSrc = six },
		"not translated":        func(r *flow.Record) { r.XlateSrc, r.XlateDst = netip.Addr{}, netip.Addr{} },
		"no destination there":  func(r *flow.Record) { r.XlateDst = netip.Addr{} },
		"flags of two bytes":    func(r *flow.Record) { r.TCPFlags = 0x100 },
		"flags of one":          func(r *flow.Record) { r.TCPFlags = 0xff },
		"no engine":             func(r *flow.Record) { r.EngineType, r.EngineID = 0, 0 },
		"an engine's id alone":  func(r *flow.Record) { r.EngineType = 0 },
		"a long flow id":        func(r *flow.Record) { r.FlowID = 1 << 32 },
		"one of 32 bits":        func(r *flow.Record) { r.FlowID = 1<<32 - 1 },
		"more labels":           func(r *flow.Record) { r.MPLS[3], r.MPLSDepth = 0x4440, 4 },
		"one label":             func(r *flow.Record) { r.MPLS, r.MPLSDepth = [10]uint32{0x1110}, 1 },
		"a longer application":  func(r *flow.Record) { r.AppID = []byte("longer than four") },
		"another application":   func(r *flow.Record) { r.AppID = []byte{9, 9, 9, 9} },
		"an element":            func(r *flow.Record) { r.Extra = []flow.Element{{PEN: 637, ID: 91, Value: []byte{1}}} },
		"one of two bytes":      func(r *flow.Record) { r.Extra = []flow.Element{{PEN: 637, ID: 91, Value: []byte{1, 2}}} },
		"another of the vendor": func(r *flow.Record) { r.Extra = []flow.Element{{PEN: 637, ID: 92, Value: []byte{1}}} },
		"another vendor's":      func(r *flow.Record) { r.Extra = []flow.Element{{PEN: 638, ID: 91, Value: []byte{1}}} },
		"two of an element": func(r *flow.Record) {
			r.Extra = []flow.Element{{PEN: 637, ID: 91, Value: []byte{1}}, {PEN: 637, ID: 91, Nth: 1, Value: []byte{2}}}
		},
		"a field less": func(r *flow.Record) { r.SegmentID = 0; r.Present.Remove(flow.SegmentID) },
		"a tunnel":     func(r *flow.Record) { r.TunSrc, r.TunDst, r.TunProto = four, four, 47 },
		"one of IPv6":  func(r *flow.Record) { r.TunSrc, r.TunDst, r.TunProto = six, six, 47 },
	} {
		plain, other := wide(false), wide(false)
		if name != "an element" {
			plain.Extra = []flow.Element{{PEN: 637, ID: 91, Value: []byte{1}}}
			other.Extra = plain.Extra
		}
		change(&other)
		present(&other)
		if name == "a tunnel" || name == "one of IPv6" {
			plain = tunnelled(name == "a tunnel")
		}
		in := []flow.Record{plain, other, other, plain, other, plain}
		got := resend(t, flow.IPFIX, in, func(field string, _ *flow.Record) { t.Errorf("%s: %q is lost", name, field) })
		if len(got) != len(in) {
			t.Fatalf("%s: %d flows of %d came back", name, len(got), len(in))
		}
		for i := range got {
			if d := differ(&got[i], &in[i]); d != "" {
				t.Errorf("%s, flow %d: %s", name, i, d)
			}
			if a, b := vendorsOf(&got[i]), vendorsOf(&in[i]); a != b {
				t.Errorf("%s, flow %d: elements %s, expected %s", name, i, a, b)
			}
		}
	}
}

// vendorsOf lists a flow's elements of Nokia and its neighbour in the registry of enterprises.
func vendorsOf(r *flow.Record) (text string) {
	for _, x := range r.Extra {
		if x.PEN == 637 || x.PEN == 638 {
			text += fmt.Sprintf("%d/%d[%d]=%x ", x.PEN, x.ID, x.Nth, x.Value)
		}
	}
	return text
}

// TestFlowsAreCopied: what Add has taken is the caller's again; flows that wait do not change
// with it, nor with each other.
func TestFlowsAreCopied(t *testing.T) {
	var in []flow.Record
	var told []string
	for i := range 40 {
		r := firewallEvent()
		r.SrcPort = uint16(i)
		r.User = fmt.Appendf(nil, "user %d", i)
		r.AppID = fmt.Appendf(nil, "app%d", i%10)
		r.Extra = []flow.Element{{PEN: 637, ID: 91, Value: fmt.Appendf(nil, "value %d", i)}}
		r.Names, r.Sample = &flow.Names{Exporter: "x"}, &flow.Sample{}
		present(&r)
		in = append(in, r)
		told = append(told, fmt.Sprintf("%s %s %s", r.User, r.AppID, r.Extra[0].Value))
	}
	e := NewResender(flow.IPFIX, 1, func([]byte) error { return nil }, nil)
	shared := flow.Record{}
	for i := range in {
		shared = in[i]
		shared.User, shared.AppID = slices.Clone(in[i].User), slices.Clone(in[i].AppID)
		shared.Extra = []flow.Element{{PEN: 637, ID: 91, Value: slices.Clone(in[i].Extra[0].Value)}}
		if err := e.Add(&shared); err != nil {
			t.Fatal(err)
		}
		clear(shared.User)
		clear(shared.AppID)
		clear(shared.Extra[0].Value)
	}
	for i, r := range e.pending {
		if got := fmt.Sprintf("%s %s %s", r.User, r.AppID, r.Extra[0].Value); got != told[i] {
			t.Errorf("flow %d waits as %q, and was %q", i, got, told[i])
		}
		if r.Names != nil || r.Sample != nil || r.SrcPort != uint16(i) {
			t.Errorf("flow %d waits as %+v", i, r)
		}
	}
}

// TestTimesOfDatagrams: a datagram is exported in the whole second in which all of its flows
// have ended, events been, and, within thirty days, flows been received.
func TestTimesOfDatagrams(t *testing.T) {
	const s, day = flow.Time(1e9), flow.Time(24 * time.Hour)
	x := sentAt / s * s
	for _, c := range []struct {
		name                  string
		last, event, received flow.Time
		want                  flow.Time
	}{
		{"a whole second", x, 0, 0, x},
		{"within one", x + 1, 0, 0, x + s},
		{"the end of one", x + s - 1, 0, 0, x + s},
		{"an event after", x, x + 5*s, 0, x + 5*s},
		{"received after", x, 0, x + 7*s + 1, x + 8*s},
		{"received before", x, 0, x - 7*s, x},
		{"received long after", x, 0, x + 30*day, x + 30*day},
		{"received later", x, 0, x + 31*day, x + 30*day},
	} {
		for _, v := range []flow.Version{flow.V9, flow.IPFIX} {
			var at []flow.Time
			e := NewResender(v, 1, func(b []byte) error {
				seconds := binary.BigEndian.Uint32(b[4:])
				if v == flow.V9 {
					seconds = binary.BigEndian.Uint32(b[8:])
				}
				at = append(at, flow.Time(seconds)*s)
				return nil
			}, nil)
			r := flow.Record{First: c.last - s, Last: c.last, EventTime: c.event, Received: c.received, Bytes: 1}
			r.Present = flow.SetOf(flow.Bytes, flow.FirstSeen, flow.LastSeen)
			if err := e.Add(&r); err != nil {
				t.Fatal(err)
			}
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
			if last := at[len(at)-1]; last != c.want {
				t.Errorf("%s, %v: exported at %v, want %v", c.name, v, last.Time(), c.want.Time())
			}
		}
	}
}

// TestDatagramsOfVersion5: their sequence numbers count flows, each has at most thirty, and
// its uptime is that of its latest flow.
func TestDatagramsOfVersion5(t *testing.T) {
	be := binary.BigEndian
	flows, sequence := 0, uint32(0)
	e := NewResender(flow.V5, 0x0305, func(b []byte) error {
		n := int(be.Uint16(b[2:]))
		if n > 30 || len(b) != 24+48*n || be.Uint32(b[16:]) != sequence || b[20] != 3 || b[21] != 5 {
			t.Errorf("%d flows in %d bytes: header %x", n, len(b), b[:24])
		}
		at := flow.Time(be.Uint32(b[8:]))*1e9 + flow.Time(be.Uint32(b[12:]))
		if be.Uint32(b[12:])%1e6 != 0 {
			t.Errorf("a time of %d ns, which its records cannot tell", be.Uint32(b[12:]))
		}
		boot := at - flow.Time(be.Uint32(b[4:]))*1e6
		for r := b[24:]; len(r) > 0; r = r[48:] {
			i := flow.Time(be.Uint16(r[32:]))
			first, last := boot+flow.Time(be.Uint32(r[24:]))*1e6, boot+flow.Time(be.Uint32(r[28:]))*1e6
			if want := sentAt/1e6*1e6 + i*1e6; last != want || first != want-1e9 || last > at {
				t.Errorf("flow %d is from %v to %v, want the end %v", i, first.Time(), last.Time(), want.Time())
			}
		}
		flows += n
		sequence += uint32(n)
		return nil
	}, nil)
	for i := range 100 {
		last := sentAt/1e6*1e6 + flow.Time(i)*1e6
		r := flow.Record{First: last - 1e9, Last: last, Received: last + 1, Src: netip.MustParseAddr("192.0.2.1"),
			Dst: netip.MustParseAddr("192.0.2.2"), SrcPort: uint16(i), Proto: 6, IPVersion: 4, Bytes: 1, Packets: 1}
		if err := e.Add(&r); err != nil {
			t.Fatal(err)
		}
		if want := (i + 1) / 30 * 30; flows != want {
			t.Fatalf("%d flows are sent after %d, want %d", flows, i+1, want)
		}
	}
	if err := e.Flush(); err != nil || flows != 100 {
		t.Errorf("%d flows are sent, %v", flows, err)
	}
	before := sequence
	if err := e.Flush(); err != nil || sequence != before {
		t.Errorf("an empty datagram: %v", err)
	}
}

// TestFlowsThatVersion5CannotCarry: of IPv6 and of events none goes out, whichever address it
// is; the caller hears of each.
func TestFlowsThatVersion5CannotCarry(t *testing.T) {
	six, four := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")
	for name, c := range map[string]struct {
		r    flow.Record
		lost bool
	}{
		"IPv4":        {flow.Record{Src: four, Dst: four}, false},
		"no address":  {flow.Record{}, false},
		"IPv6 source": {flow.Record{Src: six, Dst: four}, true},
		"IPv6 target": {flow.Record{Src: four, Dst: six}, true},
		"an event":    {flow.Record{Src: four, Dst: four, Event: true}, true},
	} {
		c.r.First, c.r.Last, c.r.Received = sentAt, sentAt, sentAt
		sent, lost := 0, 0
		e := NewResender(flow.V5, 1, func(b []byte) error {
			sent += int(binary.BigEndian.Uint16(b[2:]))
			return nil
		}, func(field string, _ *flow.Record) {
			if field == "" {
				lost++
			}
		})
		if err := e.Add(&c.r); err != nil {
			t.Fatal(err)
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		if sent+lost != 1 || (lost == 1) != c.lost || Carries(flow.V5, &c.r) == c.lost {
			t.Errorf("%s: %d sent, %d lost, Carries says %v", name, sent, lost, Carries(flow.V5, &c.r))
		}
	}
}

// TestTemplatesOnce: a template goes out before its first flow and not again with every
// datagram; where all are forgotten, those that come are sent anew.
func TestTemplatesOnce(t *testing.T) {
	synctest.Test(t, templatesOnce) // where no time passes, none is sent again for that
}

func templatesOnce(t *testing.T) {
	templates, flows := 0, 0
	e := NewResender(flow.IPFIX, 1, func(b []byte) error {
		if len(b) > 1400 {
			t.Errorf("a datagram of %d bytes", len(b))
		}
		known := templatesOf(t, b)
		templates += len(known)
		eachSet(t, b, func(id uint16, body []byte) {
			if id >= 256 && len(bytes.Trim(body, "\x00")) > 0 {
				flows++
			}
		})
		return nil
	}, nil)
	e.allAt = time.Now()
	for range 6 {
		for i := range 3 {
			r := wide(i == 0)
			r.Extra = []flow.Element{{PEN: 637, ID: uint16(i), Value: []byte{1}}}
			if err := e.Add(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if templates != 3 || flows < 18 {
		t.Errorf("%d templates for %d sets of flows of 3 kinds", templates, flows)
	}
	for i := range maxLayouts { // the first three are forgotten
		r := wide(false)
		r.Extra = []flow.Element{{PEN: 637, ID: uint16(1000 + i), Value: []byte{1}}}
		if err := e.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := 3 + maxLayouts; templates != want || len(e.byID) > maxLayouts || len(e.layouts) != len(e.byID) {
		t.Errorf("%d templates are sent, want %d; %d are known, %d by their kind", templates, want, len(e.byID),
			len(e.layouts))
	}
}
