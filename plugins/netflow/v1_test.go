package netflow

import (
	"net/netip"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// fixedSeeds are datagrams of v1 and v7.
func fixedSeeds() (v1, v7 []byte) {
	recs := []flow.Record{{
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.2"), SrcPort: 1024, DstPort: 53, Proto: 17, Bytes: 70, Packets: 1,
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
