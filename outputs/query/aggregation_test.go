package query

import (
	"strings"
	"testing"
)

// TestParseAggregation reads keys as nfdump does, and says what is wrong with others.
func TestParseAggregation(t *testing.T) {
	for text, want := range map[string]string{
		"proto,srcip,dstip,srcport,dstport": "%pr %sa %da %sp %dp",
		"SRCIP4/24,srcip6/64":               "%sa",
		"dstip6/64,proto,":                  "%da %pr",
		"srcnet, dstnet":                    "%sn %dn",
		"inif,srcas,bgpnext,flags":          "%in %sas %nhb %flg",
	} {
		a, err := ParseAggregation(text)
		must(t, err)
		if got := a.Format(); got != "%ts %td  "+want+"  %pkt %byt %bps %bpp %fl" {
			t.Errorf("%q is printed as %q", text, got)
		}
	}
	for text, want := range map[string]string{
		"":                  "expected keys",
		"srcip4":            "srcip4/24",
		"srcip/24":          "srcip4/24",
		"srcip4/33":         "1 to 32",
		"srcip6/0":          "1 to 128",
		"proto/3":           "take a length",
		"srcip,srcip":       "same key",
		"srcip4/8,srcip":    "same key",
		"srcgeo/24":         "take a length",
		"srcgeo,srcgeo":     "same key",
		"size":              "there is no key",
		"srcip4/24,dstip/x": "dstip4/x",
	} {
		if _, err := ParseAggregation(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %q", text, err, want)
		}
	}
}

// FuzzParseAggregation: what is read can be printed, and read again.
func FuzzParseAggregation(f *testing.F) {
	for _, seed := range []string{"srcip4/24,dstip6/64,proto", "srcnet,dstport", "srcip,,srcip", "srcip4/", "/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAggregation(text)
		if err == nil && (len(a.Keys) == 0 || len(a.Keys) > maxKeys || !strings.HasPrefix(a.Format(), "%ts %td  %")) {
			t.Errorf("%q is %+v", text, a)
		}
	})
}
