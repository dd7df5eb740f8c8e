package collector

import (
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// TestPortsBorrowTemplatesLate: data of a port whose own template may still come wait for
// it, where another port uses the same id; after a grace they are decoded with that.
func TestPortsBorrowTemplatesLate(t *testing.T) {
	first := compiled(t, 256, spec(1, 4), spec(2, 4))
	second := compiled(t, 256, spec(2, 4), spec(1, 4))
	for _, comes := range []bool{true, false} {
		var got []uint64
		h := Handler{Flow: func(r *flow.Record) { got = append(got, r.Bytes) }}
		d, s := NewDecoder(Options{}), newSender()
		pass(d, &s.at)
		send := func(port uint16, fill func(e *ipfix.Encoder)) {
			s.port = port
			s.send(t, d, h, fill)
		}
		data := func(tmpl *ipfix.Template, bytes uint64) func(*ipfix.Encoder) {
			return func(e *ipfix.Encoder) { e.AddData(tmpl, []flow.Record{{Bytes: bytes, Packets: 9}}) }
		}
		send(1, func(e *ipfix.Encoder) { e.AddTemplates(first) })
		send(1, data(first, 500))
		theirs := first
		if comes {
			theirs = second
		}
		send(2, data(theirs, 700))
		if len(got) != 1 {
			t.Fatalf("comes %t: data of a port without a template are decoded at once: %d", comes, got)
		}
		if comes {
			send(2, func(e *ipfix.Encoder) { e.AddTemplates(second) })
		} else {
			s.at = s.at.Add(31 * time.Second)
			send(2, data(theirs, 800))
		}
		want := []uint64{500, 700, 800}[:len(got)]
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("comes %t: got %d", comes, got)
			}
		}
		if n := map[bool]int{true: 2, false: 3}[comes]; len(got) != n {
			t.Errorf("comes %t: got %d, want %d flows", comes, got, n)
		}
	}
}
