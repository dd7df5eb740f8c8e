package line

import "testing"

// What Tag does to a text; package flowmetric has the test that others read it.
func TestTag(t *testing.T) {
	for text, want := range map[string]string{"Gi0/1": "Gi0/1", "a b": "a b", "a\x00b": "a b", "a\tb\n": "a b",
		"x\xff": "x\uFFFD", `x\`: "x", " x": " x"} {
		if got := Tag(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
