package flow

import "testing"

func TestPolicyText(t *testing.T) {
	for text, want := range map[string]Policy{
		"":                   {},
		"sampling_rate=4096": {Rate: 4096},
		"sampling_rate=10 sampling=override count=delivered ports=separate": {Rate: 10, Override: true,
			Count: CountDelivered, SeparatePorts: true},
		"count=egress":         {Count: CountEgress},
		"out_counters=reverse": {OutCounters: OutReverse},
		"out_counters=same":    {OutCounters: OutSame},
		"out_counters=ignore":  {OutCounters: OutIgnore},
	} {
		got, err := ParsePolicy(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: got %+v, %v, which is %q", text, got, err, got)
		}
	}
	if got, err := ParsePolicy("hue=blue sampling_rate=5"); err != nil || got.Rate != 5 {
		t.Errorf("an option of a later version: got %+v, %v", got, err)
	}
	for _, bad := range []string{"sampling_rate=-1", "sampling_rate=4294967296", "count=some",
		"out_counters=backwards"} {
		if got, err := ParsePolicy(bad); err == nil || got != (Policy{}) {
			t.Errorf("%q was accepted: %+v", bad, got)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add("sampling_rate=10 sampling=override count=delivered ports=separate")
	f.Add("out_counters=reverse")
	f.Add("count=")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		if again, err := ParsePolicy(p.String()); err != nil || again != p {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}

// What counts of traffic that is seen at several places: NetFlow's direction (61), and
// where VMware's switch takes a packet from and hands it to (888, 890).
func TestCounts(t *testing.T) {
	const in, out = 0, 1
	directed := func(n uint8) *Record { return &Record{Present: SetOf(Direction), Direction: n} }
	ports := func(from, to uint16) *Record {
		return &Record{Present: SetOf(IngressAttr, EgressAttr), IngressAttr: from, EgressAttr: to}
	}
	for _, test := range []struct {
		name string
		r    *Record
		want [4]bool // both, ingress, egress, delivered
	}{
		{"nothing is told", &Record{}, [4]bool{true, true, true, true}},
		{"not told, though set", &Record{Direction: out, EgressAttr: attrUplink}, [4]bool{true, true, true, true}},
		{"seen coming in", directed(in), [4]bool{true, true, false, true}},
		{"seen going out", directed(out), [4]bool{true, false, true, true}},
		{"a direction that is none", directed(2), [4]bool{true, false, false, true}},
		{"from outside to a VM", ports(attrUplink, attrVM), [4]bool{true, true, true, true}},
		{"from VM to VM", ports(attrVM, attrVM), [4]bool{true, true, true, true}},
		{"from a VM to the outside", ports(attrVM, attrUplink), [4]bool{true, true, true, false}},
		{"from outside to outside", ports(attrUplink, attrUplink), [4]bool{true, true, true, false}},
		{"from elsewhere to a VM", ports(3, attrVM), [4]bool{true, true, true, false}},
		{"to elsewhere", ports(attrUplink, 3), [4]bool{true, true, true, false}},
	} {
		for mode, want := range test.want {
			if got := CountMode(mode).Counts(test.r); got != want {
				t.Errorf("%s: %q counts it: %v, want %v", test.name, countModes[mode], got, want)
			}
		}
	}
}

// A policy of values that no name stands for is written without them.
func TestPolicyOfUnknownValues(t *testing.T) {
	p := Policy{Rate: 10, Count: CountMode(len(countModes)), OutCounters: OutCounters(len(outCounters))}
	if got := p.String(); got != "sampling_rate=10" {
		t.Errorf("%q", got)
	}
}
