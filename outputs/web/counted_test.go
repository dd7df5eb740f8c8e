package web

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// writeSums appends records that stand for several flows, some with both directions.
func writeSums(t *testing.T, w *nffile.Writer, start int64, n int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(18, 4))
	var r flow.Record
	for i := range n {
		fixtureFlow(rnd, start, "198.51.100.1", &r)
		r.Flows = uint64(2 + i%5)
		r.Present.Add(flow.Flows)
		if i%3 == 0 {
			r.RevPackets, r.RevBytes = uint64(i+1), uint64(100*i+40)
			r.Present.Add(flow.RevPackets)
			r.Present.Add(flow.RevBytes)
		}
		must(t, w.Append(&r))
	}
}

// ofStat is a file's statistics as the page has them.
func ofStat(s nffile.Stat) (c [numClasses]Counters) {
	for class := range c {
		c[class] = counters(&s, class)
	}
	return c
}

// The page, dump -I and nfdump -I have the same numbers, by protocol too, of single and of
// aggregated records: of a file that is being written those that nfdump has when it is
// complete. A profile's channel for all flows has them as well.
func TestCountedAsNfdump(t *testing.T) {
	const start, records = int64(1_700_000_100), 504
	dir := t.TempDir()
	current := filepath.Join(dir, "live", "edge1", fmt.Sprintf("nfcapd.current.%d", start))
	must(t, os.MkdirAll(filepath.Dir(current), 0o755))
	w, err := nffile.Create(current, nffile.Options{Compression: nffile.LZ4})
	must(t, err)
	writeSums(t, w, start, records)
	must(t, w.Flush())
	s, h := serve(t, dir, Options{Access: Access{Users: users(t, "alice")}, Grants: Grants{"alice": {RightProfiles}}})
	alice := loggedIn(t, h, "alice")
	all := &Profile{Name: "all", Kind: "live", Channels: []Channel{{Name: "any", Colour: "#0072b2", Sign: "+", Order: 1},
		{Name: "tcp", Filter: "proto tcp", Colour: "#e69f00", Sign: "+", Order: 2}}}
	if code, text := send(t, alice, h, "profile", all); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	span := fmt.Sprintf("from=%d&to=%d", start, start+slotSeconds)
	page := func(more string) Table {
		must(t, s.archive.Refresh(t.Context()))
		for s.archive.build(t.Context(), time.Minute) {
		}
		return fetch[Table](t, alice, h, "statistics?"+span+more)
	}
	info := func(path string) [numClasses]Counters {
		_, stat, err := query.Info(t.Context(), []string{path})
		must(t, err)
		return ofStat(stat)
	}
	writing, dumped, profile := page("").Total.Counters, info(current), page("&profile=all")
	if writing[0].Flows != records || writing[1].Flows < records/2 || writing[3].Flows == 0 {
		t.Errorf("while it is written: %v of %d records", writing, records)
	}
	if dumped != writing {
		t.Errorf("while it is written: dump -I %v, the page %v", dumped, writing)
	}
	if got := profile.Rows[0].Counters; got != writing {
		t.Errorf("a channel of all flows has %v, the source %v", got, writing)
	}
	for class, c := range profile.Rows[1].Counters {
		if want := writing[1].Flows; class < 2 && c.Flows != want || class > 1 && c.Flows != 0 {
			t.Errorf("a channel of TCP has %d flows of class %d, the source %d of TCP", c.Flows, class, want)
		}
	}
	must(t, w.Close())
	closed := filepath.Join(dir, "live", "edge1", "nfcapd.202311142215")
	must(t, os.Rename(current, closed))
	theirs := map[string]uint64{}
	for class, word := range []string{"", "_tcp", "_udp", "_icmp", "_other"} {
		if class == 0 {
			theirs = nfdumpInfo(t, "-r", closed)
		}
		want := Counters{theirs["Flows"+word], theirs["Packets"+word], theirs["Bytes"+word]}
		for what, got := range map[string][numClasses]Counters{"while it was written": writing,
			"dump -I": info(closed), "the page": page("").Total.Counters, "a channel": page("&profile=all").Rows[0].Counters} {
			if got[class] != want {
				t.Errorf("%s: class %q is %v, nfdump -I %v", what, word, got[class], want)
			}
		}
	}
	// nfdump writes what it has aggregated itself.
	must(t, os.Remove(closed))
	single := filepath.Join(t.TempDir(), "single")
	writeSlot(t, single, start, "198.51.100.1", 2000, 0)
	peers.Run(t, "nfdump", "-r", single, "-A", "proto,srcip4/24", "-w", closed)
	if rows := strings.Count(peers.Run(t, "nfdump", "-r", closed, "-q", "-o", "fmt:%pr"), "\n"); rows == 0 ||
		page("").Total.Counters != info(closed) || page("").Total.Counters[0].Flows != nfdumpInfo(t, "-r", closed)["Flows"] {
		t.Errorf("%d rows of nfdump: the page %v, dump -I %v, nfdump -I %v", rows, page("").Total.Counters, info(closed),
			nfdumpInfo(t, "-r", closed))
	}
}
