package sflow

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// Each counter record says whose it is, and which is the first of its sample: records of
// one sample become one metric, with the tags of its agent.
func TestCounterRecordsSayWhoseTheyAre(t *testing.T) {
	iface := rec(1, u32s(7, 6, 1, 2, 1, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25))
	ethernet := rec(2, u32s(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13))
	b := cat(u32s(5, 2), addr("2001:db8::fe").AsSlice(), u32s(3, 77, 5000, 2),
		rec(CounterSample, cat(u32s(9, 1<<24|7, 3), rec(4242, nil), iface, ethernet)),
		rec(ExpandedCounterSample, cat(u32s(10, 5, 1<<24|8, 2), ethernet, iface)))
	_, _, got, err := decodeAll(t, b)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	for i, want := range []flow.CounterRecord{
		{Sequence: 9, SourceType: 1, Source: 7, First: true, Kind: "interface"},
		{Sequence: 9, SourceType: 1, Source: 7, Kind: "ethernet"},
		{Sequence: 10, SourceType: 5, Source: 1<<24 | 8, First: true, Kind: "ethernet"},
		{Sequence: 10, SourceType: 5, Source: 1<<24 | 8, Kind: "interface"},
	} {
		r := got[i]
		if r.Agent != addr("2001:db8::fe") || r.Domain != 3 || r.Uptime != 5000 || r.Sequence != want.Sequence ||
			r.SourceType != want.SourceType || r.Source != want.Source || r.First != want.First || r.Kind != want.Kind {
			t.Errorf("record %d: got %+v, want %+v", i, r, want)
		}
	}
}

// Counters whose bits are all set are those that the agent does not have, in their own width.
func TestUnknownCounters(t *testing.T) {
	const all = 1<<32 - 1
	iface := rec(1, u32s(7, 6, 0, all, 1, 3, all, all, all, 11, 12, 13, 14, 15, all, 0, 20, 21, 22, 23, 24, 25))
	b := cat(u32s(5, 1), addr("192.0.2.1").AsSlice(), u32s(3, 77, 5000, 1), rec(CounterSample, cat(u32s(9, 7, 1), iface)))
	_, _, got, err := decodeAll(t, b)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	var unknown []string
	for _, c := range got[0].Counters {
		if c.Unknown {
			unknown = append(unknown, c.Name)
		}
	}
	if want := []string{"in_bytes", "in_unicast_packets_total"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown: %v, want %v", unknown, want)
	}
}

// A counter record that is cut anywhere has the counters that are whole, as those of older
// agents have, or is an error and none: half a number would be a jump in a graph. The
// records beside it are decoded.
func TestCounterRecordsCutAnywhere(t *testing.T) {
	behind := rec(2, u32s(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13))
	sizes := map[shape]int{u32: 4, u64: 8, f32: 4, octet: 1, mac: 8, uuid: 16}
	tried := 0
	for i := range counterFormats {
		f := &counterFormats[i]
		var ends []int // of the columns
		size := 0
		for _, c := range f.columns {
			if sizes[c.shape] == 0 {
				ends = nil
				break
			}
			size += sizes[c.shape]
			ends = append(ends, size)
		}
		if ends == nil {
			continue // with texts: tested by themselves
		}
		tried++
		body := make([]byte, size+8) // and something behind it
		for j := range body {
			body[j] = byte(1 + j)
		}
		for n := 0; n <= len(body); n++ {
			_, _, got, err := decodeAll(t, one(CounterSample, u32s(9, 1, 2), rec(f.format, body[:n:n]), behind))
			whole := 0
			for whole < len(ends) && ends[whole] <= n {
				whole++
			}
			complete := whole == len(ends) || whole > 0 && ends[whole-1] == n
			if complete != (err == nil) || !complete && !errors.Is(err, wire.ErrShort) {
				t.Fatalf("%s of %d bytes: %v", f.kind, n, err)
			}
			if want := map[bool]int{true: 2, false: 1}[complete]; len(got) != want {
				t.Fatalf("%s of %d bytes: %d records, want %d", f.kind, n, len(got), want)
			}
			if last := got[len(got)-1]; last.Kind != "ethernet" || len(last.Counters) != 13 ||
				last.First == complete {
				t.Fatalf("%s of %d bytes: behind it %+v", f.kind, n, last)
			}
			if complete && len(got[0].Counters) != whole {
				t.Fatalf("%s of %d bytes: %d counters, want %d", f.kind, n, len(got[0].Counters), whole)
			}
		}
	}
	if tried < 15 {
		t.Errorf("%d kinds were tried", tried)
	}
}

// The name of a port is read where its length is right and where it is not; names of
// other records must be whole.
func TestNamesOfPorts(t *testing.T) {
	for _, c := range []struct {
		body []byte
		want string
	}{
		{cat(u32s(4), []byte("eno1")), "eno1"}, {cat(u32s(3), []byte("eth\x00")), "eth"}, {u32s(0), ""},
		{cat(u32s(400), []byte("swp1")), "swp1"}, {cat(u32s(400), []byte("swp1\x00\x00")), "swp1"},
		{cat(u32s(5), []byte("lo\x00\x00\x00\x00\x00\x00")), "lo"},
	} {
		_, _, got, err := decodeAll(t, one(CounterSample, u32s(9, 1, 1), rec(1005, c.body)))
		if err != nil || len(got) != 1 || string(got[0].Counters[0].Text) != c.want {
			t.Errorf("%q: %+v, %v, want %q", c.body, got, err, c.want)
		}
	}
	for _, body := range [][]byte{nil, {0, 0}, u32s(400)} {
		if _, _, got, err := decodeAll(t, one(CounterSample, u32s(9, 1, 1), rec(1005, body))); len(got) != 0 ||
			!errors.Is(err, wire.ErrShort) {
			t.Errorf("%q: %+v, %v", body, got, err)
		}
	}
}

// An IP header that the agent has taken apart (formats 3 and 4) is read only when it is
// whole: of half of one the addresses would be those of nobody.
func TestSampledHeadersCutAnywhere(t *testing.T) {
	for format, src := range map[uint32]netip.Addr{3: addr("10.0.0.1"), 4: addr("2001:db8::1")} {
		body := cat(u32s(1400, 6), src.AsSlice(), src.Next().AsSlice(), u32s(50001, 443, 0x112, 0x1b8))
		head := u32s(1, 3, 100, 0, 0, 3, 4, 1)
		r, p := decodeOne(t, one(FlowSample, head, rec(format, body)))
		if r.Src != src || r.Dst != src.Next() || r.Proto != 6 || r.SrcPort != 50001 || r.DstPort != 443 ||
			r.TCPFlags != 0x12 || r.SrcTOS != 0xb8 || p.IPLength != 1400 {
			t.Errorf("format %d: %+v\n%+v", format, r, p)
		}
		for n := range body {
			flows, _, _, err := decodeAll(t, one(FlowSample, head, rec(format, body[:n:n])))
			if !errors.Is(err, wire.ErrShort) || len(flows) != 1 || flows[0].Has(flow.Src) || flows[0].Src.IsValid() {
				t.Fatalf("format %d of %d bytes: %+v, %v", format, n, flows, err)
			}
		}
	}
}

// The header of a datagram that is cut anywhere, or is of another version, is an error
// that says so; one that announces more samples than there are gives those that there are.
func TestHeadersOfDatagrams(t *testing.T) {
	whole := cat(u32s(5, 1), addr("192.0.2.254").AsSlice(), u32s(3, 77, 5000, 9), rec(CounterSample, u32s(9, 1, 0)))
	for n := range 28 {
		if _, _, err := ParseHeader(whole[:n:n]); !errors.Is(err, wire.ErrShort) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	h, samples, err := ParseHeader(whole)
	if err != nil || h != (Header{Agent: addr("192.0.2.254"), SubAgent: 3, Sequence: 77, Uptime: 5000, Samples: 9}) {
		t.Fatalf("%+v, %v", h, err)
	}
	n := 0
	for {
		s, ok := samples.Next()
		if !ok {
			break
		}
		n++
		if s.Format != CounterSample || len(s.Body) != 12 {
			t.Errorf("%+v", s)
		}
	}
	if _, again := samples.Next(); n != 1 || again || !errors.Is(samples.Err(), wire.ErrShort) {
		t.Errorf("%d samples, one more: %v; %v", n, again, samples.Err())
	}
	for _, version := range []uint32{0, 2, 4, 6} {
		b := append([]byte(nil), whole...)
		binary.BigEndian.PutUint32(b, version)
		if _, _, err := ParseHeader(b); err == nil || errors.Is(err, wire.ErrShort) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	if h, _, err := ParseHeader(u32s(5, 0, 3, 77, 5000, 0)); err != nil || h.Agent.IsValid() || h.SubAgent != 3 {
		t.Errorf("without an agent: %+v, %v", h, err)
	}
	if _, _, err := ParseHeader(cat(u32s(5, 7), make([]byte, 40))); err == nil {
		t.Error("an address of kind 7 is read")
	}
}
