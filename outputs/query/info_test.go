package query

import (
	"path/filepath"
	"testing"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// A file that is being written has no statistics: what it holds is counted, and is what
// its statistics say in the end.
func TestInfoOfAFileBeingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.current.1")
	w, err := nffile.Create(path, nffile.Options{Ident: "edge"})
	must(t, err)
	var r flow.Record
	var bytes uint64
	for i := range 1000 {
		makeFlow(&r, i)
		bytes += r.Bytes + r.RevBytes
		must(t, w.Append(&r))
	}
	must(t, w.Flush())
	_, open, err := Info(t.Context(), []string{path})
	must(t, err)
	if open.Flows != 1000 || open.Bytes != bytes {
		t.Errorf("%d flows and %d bytes while it is written, want 1000 and %d", open.Flows, open.Bytes, bytes)
	}
	must(t, w.Close())
	ident, closed, err := Info(t.Context(), []string{path})
	must(t, err)
	if ident != "edge" || open != closed {
		t.Errorf("%q: %+v, while it was written %+v", ident, closed, open)
	}
}
