package query

import (
	"testing"
	"time"
)

// FuzzParseStat: what is read has an element and orders, which can be read again.
func FuzzParseStat(f *testing.F) {
	for _, seed := range []string{"srcip", "record/bytes/tstart:a", "port:p:d/ipkg/obytes", "geo", "ip:x", "/",
		"mpls10:p"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseStat(text)
		if err != nil {
			return
		}
		if s.Element >= numElements || len(s.Orders) == 0 {
			t.Fatalf("%q is %+v", text, s)
		}
		for _, o := range s.Orders {
			again, err := ParseStat(s.Element.String() + "/" + o.String())
			if err != nil || again.Element != s.Element || again.Orders[0] != o {
				t.Errorf("%q: %s/%s is %+v, %v", text, s.Element, o, again, err)
			}
		}
	})
}

// FuzzParseSort: what is read can be read again.
func FuzzParseSort(f *testing.F) {
	for _, seed := range []string{"bytes", "tstart:d", "obytes:a", "tend:", ":a", "pps:d:a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSort(text)
		if err != nil {
			return
		}
		direction := ":d"
		if s.Ascending {
			direction = ":a"
		}
		if again, err := ParseSort(s.By.String() + direction); err != nil || again != s {
			t.Errorf("%q is %v, again %v, %v", text, s, again, err)
		}
	})
}

// FuzzParseWindow: a window does not end before it begins.
func FuzzParseWindow(f *testing.F) {
	for _, seed := range []string{"2026/11/22.13:30:00-2026/11/22.14", "2026", "2026/02/30", "+5", "-", "1969/12/31",
		"9999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ParseWindow(text, nil, time.UTC)
		if err == nil && w.To != 0 && w.To < w.From {
			t.Errorf("%q is %+v", text, w)
		}
	})
}
