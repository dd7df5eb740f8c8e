package nffile

import (
	"testing"

	"github.com/flowgraf/flowgraf/internal/peers"
)

// nfdump runs nfdump and returns what it printed on both channels.
func nfdump(t testing.TB, args ...string) string {
	t.Helper()
	return peers.Run(t, "nfdump", args...)
}

func TestNfdumpReads(t *testing.T) {
	for _, c := range []Compression{None, LZ4} {
		path := writePlain(t, 20000, Options{Compression: c, Ident: "edge1"})
		t.Log(nfdump(t, "-r", path, "-o", "line", "-c", "3"))
		t.Log(nfdump(t, "-I", "-r", path))
		t.Log(nfdump(t, "-v", path))
		t.Log(nfdump(t, "-E", path))
		t.Log(nfdump(t, "-r", path, "-s", "srcas", "-n", "3"))
	}
}
