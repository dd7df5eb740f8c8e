package web

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A file that cannot be read is a gap and not a measured zero, the status tells of it, and
// exporters are those of the file before. It is read when it has changed, by the next run
// too.
func TestUnreadFileIsAGap(t *testing.T) {
	tr := makeTree(t, 6, 20)
	wrong := tr.slotPath("edge1", tr.to-slotSeconds)
	whole, err := os.ReadFile(wrong)
	must(t, err)
	must(t, os.WriteFile(wrong, []byte("this is no file of flows"), 0o644))
	store := filepath.Join(t.TempDir(), "web.db")
	run := func(check func(problem string, unread int, seconds int64, flows uint64, from int64)) {
		t.Helper()
		a, err := OpenArchive(tr.dir, store, time.UTC, t.Logf)
		must(t, err)
		defer a.Close()
		for range 2 { // the second look finds nothing new
			must(t, a.Refresh(t.Context()))
			_, h := serveArchive(t, a, Options{})
			st := ask[Status](t, h, "status")
			span := fmt.Sprintf("?source=live/edge1&from=%d&to=%d", tr.from, tr.to)
			g := ask[Graph](t, h, "graph"+span).Sources[0]
			table := ask[Table](t, h, "statistics"+span).Total
			if sum := int64(len(g.Seconds)-1)*slotSeconds + g.Seconds[5]; table.Seconds != sum {
				t.Errorf("the table is of %d seconds, the graph of %d", table.Seconds, sum)
			}
			e := ask[Exporters](t, h, "exporters?source=live/edge1")
			if len(e.Exporters) != 1 || len(e.Problems) != st.Unread {
				t.Fatalf("exporters: %+v", e)
			}
			check(st.Problem, st.Unread, g.Seconds[5], g.Flows[5], e.Exporters[0].Start)
		}
	}
	gap := func(problem string, unread int, seconds int64, flows uint64, from int64) {
		if seconds != 0 || flows != 0 || unread != 1 || !strings.Contains(problem, filepath.Base(wrong)) {
			t.Errorf("%d s, %d flows, %d files: %q", seconds, flows, unread, problem)
		}
		if from != tr.to-2*slotSeconds {
			t.Errorf("exporters are of the slot at %d", from)
		}
	}
	run(gap)
	run(gap)
	info, err := os.Stat(wrong)
	must(t, err)
	must(t, os.WriteFile(wrong, append(whole, 0)[:len(whole)], 0o644))
	must(t, os.Chtimes(wrong, info.ModTime(), info.ModTime().Add(time.Second)))
	run(func(problem string, unread int, seconds int64, flows uint64, from int64) {
		if seconds != slotSeconds || flows != 20 || unread != 0 || problem != "" || from != tr.to-slotSeconds {
			t.Errorf("behind the change: %d s, %d flows, %d files: %q, exporters of %d", seconds, flows, unread,
				problem, from)
		}
	})
}
