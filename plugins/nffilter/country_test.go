package nffilter

import (
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestCountries: geo and country ask for what Record.Names tell, of either address or of one,
// and say so.
func TestCountries(t *testing.T) {
	r := flow.Record{Names: &flow.Names{SrcCountry: "DE", DstCountry: "FR"}}
	unknown := flow.Record{}
	for text, want := range map[string]bool{
		"geo DE": true, "src geo DE": true, "dst geo DE": false, "country fr": true, "src country FR": false,
		"geo = 'FR'": true, "src geo != DE": false, "not geo CH": true, "src and dst geo DE": false,
		"src or dst country DE": true,
	} {
		f, err := Parse(text, Options{Countries: true})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !f.NeedsCountries() || f.Match(&r, nil) != want {
			t.Errorf("%s: needs countries: %v; expected a match: %v", text, f.NeedsCountries(), want)
		}
		if has := f.Fields(); !has.Has(flow.Src) && !has.Has(flow.Dst) {
			t.Errorf("%s: reads no address", text)
		}
		if text == "geo DE" && f.Match(&unknown, nil) {
			t.Errorf("%s matches a flow without countries", text)
		}
	}
	for _, text := range []string{"geo", "geo DEU", "geo 12", "geo > DE", "country"} {
		if _, err := Parse(text, Options{Countries: true}); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	if f, err := Parse("ip 192.0.2.1", Options{}); err != nil || f.NeedsCountries() {
		t.Errorf("an address: %v", err)
	}
}
