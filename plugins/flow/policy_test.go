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
	for _, bad := range []string{"sampling_rate=-1", "sampling_rate=4294967296", "count=some", "out_counters=backwards"} {
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
