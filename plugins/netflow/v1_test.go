package netflow

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// fixedSeeds are datagrams of v1 and v7.
func fixedSeeds() (v1, v7 []byte) {
	recs := []flow.Record{{
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.2"), SrcPort: 1024, DstPort: 53,
		Proto: 17, Bytes: 70, Packets: 1,
		First: 1767323040e9, Last: 1767323041e9, SrcTOS: 4, Input: 2, Output: 3,
		Extra: []flow.Element{{ID: routerElement, Value: []byte{10, 9, 9, 9}}},
	}}
	h := V5Header{SysUptime: 1e6, Seconds: 1767323044, Sequence: 9}
	return AppendV1(nil, h, recs), AppendV7(nil, h, recs)
}

func TestV1AndV7RoundTrip(t *testing.T) {
	v1, v7 := fixedSeeds()
	if len(v1) != V1HeaderLen+V1RecordLen || len(v7) != V7HeaderLen+V7RecordLen {
		t.Fatalf("got %d and %d bytes", len(v1), len(v7))
	}
	h, records, err := ParseV7Header(v7)
	if err != nil || h.Sequence != 9 || h.Count != 1 {
		t.Fatalf("got %+v, %v", h, err)
	}
	var r, base flow.Record
	V7Base(&base, h)
	Begin(&r, &base)
	DecodeV7(&r, records)
	again := AppendV7(nil, h, []flow.Record{r})
	if string(again) != string(v7) {
		t.Errorf("v7: got %x, want %x", again, v7)
	}
	h, records, err = ParseV1Header(v1)
	if err != nil {
		t.Fatal(err)
	}
	V1Base(&base, h)
	Begin(&r, &base)
	DecodeV1(&r, records)
	if again := AppendV1(nil, h, []flow.Record{r}); string(again) != string(v1) {
		t.Errorf("v1: got %x, want %x", again, v1)
	}
}

// TestV1AsCiscoDocumentsIt has two records byte by byte, so that the decoder and the
// encoder do not only agree with each other: 48 bytes each, of which the last 7 are
// padding and reserved.
func TestV1AsCiscoDocumentsIt(t *testing.T) {
	datagram := []byte{
		0, 1, 0, 2, 0, 0, 0x27, 0x10, 0x69, 0x57, 0x33, 0x20, 0, 0, 0, 0, // version, count, uptime 10 s, time
		192, 0, 2, 1, 198, 51, 100, 2, 10, 0, 0, 1, 0, 3, 0, 4, // addresses, next hop, interfaces
		0, 0, 0, 5, 0, 0, 2, 88, 0, 0, 0x1f, 0x40, 0, 0, 0x23, 0x28, // packets, octets, from 8 s to 9 s
		0x9c, 0x41, 1, 0xbb, 0, 0, 6, 0xb8, 0x1b, 0, 0, 0, 0, 0, 0, 0, // ports, protocol, TOS, flags
		192, 0, 2, 7, 198, 51, 100, 8, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 1, 0, 0, 0, 96, 0, 0, 0x23, 0x28, 0, 0, 0x23, 0x28,
		0x9c, 0x42, 0, 53, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	}
	h, records, err := ParseV1Header(datagram)
	if err != nil || len(records) != 2*V1RecordLen {
		t.Fatalf("got %d bytes of records, %v", len(records), err)
	}
	var base flow.Record
	recs := make([]flow.Record, 2)
	V1Base(&base, h)
	for i := range recs {
		Begin(&recs[i], &base)
		DecodeV1(&recs[i], records[i*V1RecordLen:])
	}
	r, at := &recs[0], flow.Time(0x69573320)*1e9
	if r.Src != netip.MustParseAddr("192.0.2.1") || r.Dst != netip.MustParseAddr("198.51.100.2") ||
		r.NextHop != netip.MustParseAddr("10.0.0.1") ||
		r.Input != 3 || r.Output != 4 || r.Packets != 5 || r.Bytes != 600 || r.SrcPort != 40001 || r.DstPort != 443 ||
		r.Proto != 6 || r.SrcTOS != 0xb8 || r.TCPFlags != 0x1b || r.First != at-2e9 || r.Last != at-1e9 {
		t.Errorf("the first record: got %+v", r)
	}
	r = &recs[1]
	if r.Src != netip.MustParseAddr("192.0.2.7") || r.Bytes != 96 || r.SrcPort != 40002 || r.DstPort != 53 ||
		r.Proto != 17 {
		t.Errorf("the second record: got %+v", r)
	}
	if got := AppendV1(nil, h, recs); string(got) != string(datagram) {
		t.Errorf("encoded: got\n%x, want\n%x", got, datagram)
	}
}

func FuzzV1V7(f *testing.F) {
	v1, v7 := fixedSeeds()
	f.Add(v1)
	f.Add(v7)
	f.Add(v7[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, base flow.Record
		if h, records, _ := ParseV1Header(b); len(records) >= V1RecordLen {
			V1Base(&base, h)
			Begin(&r, &base)
			DecodeV1(&r, records[:V1RecordLen])
		}
		if h, records, _ := ParseV7Header(b); len(records) >= V7RecordLen {
			V7Base(&base, h)
			Begin(&r, &base)
			DecodeV7(&r, records[:V7RecordLen])
			if len(r.Extra) != 3 {
				t.Fatalf("got %d elements", len(r.Extra))
			}
		}
	})
}
