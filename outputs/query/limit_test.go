package query

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestParseLimit(t *testing.T) {
	for text, want := range map[string]Limit{
		"0": {Set: true}, "1000": {Set: true, Than: 1000}, "+5": {Set: true, Than: 5},
		"-5":  {Set: true, Less: true, Than: 5},
		"10k": {Set: true, Than: 10000}, "2M": {Set: true, Than: 2000000},
		"-3g": {Set: true, Less: true, Than: 3000000000},
		"1t":  {Set: true, Than: 1000000000000}, "18446744073709551615": {Set: true, Than: 18446744073709551615},
	} {
		if got, err := ParseLimit(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v, expected %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "k", "-", "+", "--5", "-+5", "5x", "1.5m", "5 k",
		"18446744073709551616", "18446744073710m"} {
		if got, err := ParseLimit(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

// TestLimits chooses rows of a ranking by their sums, before the first of them are taken.
func TestLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221000")
	makeFile(t, path, 0, 3000)
	rows := func(packets, bytes Limit, n int) []Row {
		s, err := ParseStat("srcip/bytes")
		must(t, err)
		s.Packets, s.Bytes = packets, bytes
		tables, _, err := Top(t.Context(), []string{path}, []Stat{s}, n)
		must(t, err)
		return tables[0].Rows
	}
	all := rows(Limit{}, Limit{}, 0)
	edge := all[len(all)/2]
	for _, c := range []struct{ packets, bytes Limit }{
		{Limit{Set: true, Than: edge.InPackets}, Limit{}},
		{Limit{Set: true, Less: true, Than: edge.InPackets}, Limit{}},
		{Limit{}, Limit{Set: true, Than: edge.InBytes}}, {Limit{}, Limit{Set: true, Less: true, Than: edge.InBytes}},
		{Limit{Set: true, Less: true, Than: edge.InPackets}, Limit{Set: true, Than: edge.InBytes}},
		{Limit{Set: true}, Limit{Set: true, Less: true}},
	} {
		var want []Row
		for _, r := range all {
			packets, bytes := r.InPackets+r.OutPackets, r.InBytes+r.OutBytes
			if (!c.packets.Set || packets != c.packets.Than && packets < c.packets.Than == c.packets.Less) &&
				(!c.bytes.Set || bytes != c.bytes.Than && bytes < c.bytes.Than == c.bytes.Less) {
				want = append(want, r)
			}
		}
		if got := rows(c.packets, c.bytes, 0); !slices.Equal(got, want) {
			t.Errorf("%+v: %d rows, expected %d of %d", c, len(got), len(want), len(all))
		}
		if got := rows(c.packets, c.bytes, 1); len(want) > 0 && (len(got) != 1 || got[0] != want[0]) {
			t.Errorf("%+v: first %+v, expected %+v", c, got, want[0])
		}
	}
}
