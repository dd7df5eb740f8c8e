package anonymise

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/outputs/index"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

var addr = netip.MustParseAddr

// testKey is the key of Crypto-PAn's own sample.
var testKey = [KeySize]byte{21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131,
	121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2}

// TestSample: what Crypto-PAn's own sample makes of its addresses.
func TestSample(t *testing.T) {
	m := NewMapping(testKey)
	for from, to := range map[string]string{
		"128.11.68.132": "135.242.180.132", "129.118.74.4": "134.136.186.123", "130.132.252.244": "133.68.164.234",
		"141.223.7.43": "141.167.8.160",
	} {
		if got := m.Addr(addr(from)); got != addr(to) {
			t.Errorf("%s becomes %s, expected %s", from, got, to)
		}
	}
}

// common returns how many bits two addresses have in common.
func common(a, b netip.Addr) int {
	for n := a.BitLen(); n > 0; n-- {
		if netip.PrefixFrom(a, n).Masked() == netip.PrefixFrom(b, n).Masked() {
			return n
		}
	}
	return 0
}

// Two addresses have as long a prefix in common as before, so that no two become the
// same.
func TestPrefixesArePreserved(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := NewMapping(testKey)
	for _, size := range []int{4, 16} {
		for range 300 {
			b := make([]byte, size)
			for i := range b {
				b[i] = byte(rng.UintN(256))
			}
			a, _ := netip.AddrFromSlice(b)
			bit := rng.IntN(8 * size)
			b[bit/8] ^= 0x80 >> (bit % 8)
			if bit < 8*size-8 {
				b[size-1] = byte(rng.UintN(256))
			}
			other, _ := netip.AddrFromSlice(b)
			if want, got := common(a, other), common(m.Addr(a), m.Addr(other)); got != want {
				t.Fatalf("%s and %s have %d bits in common, %s and %s have %d", a, other, want, m.Addr(a),
					m.Addr(other), got)
			}
		}
	}
	if got := m.Addr(netip.Addr{}); got.IsValid() {
		t.Errorf("no address becomes %s", got)
	}
}

// TestParseKey: both forms that nfanon takes, and what is none.
func TestParseKey(t *testing.T) {
	text := "abcdefghijklmnopqrstuvwxyz012345"
	a, err := ParseKey(text)
	if err != nil || string(a[:]) != text {
		t.Errorf("%q, %v", a, err)
	}
	if b, err := ParseKey(fmt.Sprintf("0x%X", text)); err != nil || b != a {
		t.Errorf("%q, %v", b, err)
	}
	for _, text := range []string{"", "short", "0x12", "0x" + strings.Repeat("g", 64), strings.Repeat("a", 33)} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// telling returns a flow with all that could tell who somebody is.
func telling() (flow.Record, nffile.Extra) {
	r := flow.Record{
		Exporter: addr("192.0.2.250"), Version: flow.V9, Domain: 5, First: 1.7e18, Last: 1.7e18, Received: 1.7e18,
		Proto: 6, Src: addr("10.1.2.3"), Dst: addr("192.0.2.10"), SrcPort: 1, DstPort: 2, IPVersion: 4, Bytes: 7,
		Packets: 1, NextHop: addr("198.51.100.1"), BGPNextHop: addr("198.51.100.2"), XlateSrc: addr("203.0.113.1"),
		XlateDst: addr("203.0.113.2"), TunSrc: addr("10.9.9.9"), TunDst: addr("10.9.9.8"), TunProto: 4, SrcAS: 64500,
		DstAS: 64501, NextAS: 64502, PrevAS: 64503, InSrcMAC: [6]byte{1, 2, 3, 4, 5, 6}, User: []byte("alice"),
	}
	r.Present = flow.SetOf(flow.Src, flow.Dst, flow.NextHop, flow.BGPNextHop, flow.XlateSrc, flow.TunSrc, flow.SrcAS,
		flow.NextAS, flow.InSrcMAC, flow.User)
	return r, nffile.Extra{Has: nffile.HasPayload | nffile.HasLabel | nffile.HasFrame, InPayload: []byte("GET /alice"),
		Label: []byte("alice"), Frame: []byte("alice's frame")}
}

// write writes a file with a telling flow.
func write(t *testing.T, path string) {
	t.Helper()
	w, err := nffile.Create(path, nffile.Options{Ident: "edge1"})
	if err != nil {
		t.Fatal(err)
	}
	r, x := telling()
	if err := w.AppendExtra(&r, &x); err != nil {
		t.Fatal(err)
	}
	if err := w.Names([]nffile.Name{{Kind: nffile.InterfaceName, ID: 3, Name: "to alice"}}); err != nil {
		t.Fatal(err)
	}
	w.Sampler(nffile.Sampler{Exporter: nffile.Exporter{Addr: r.Exporter, Version: r.Version, Domain: r.Domain}, ID: 1,
		Interval: 1, Space: 9})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// A file that is anonymised in place has nothing in it that tells who somebody was, but
// everything else; its index is gone.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	write(t, path)
	if _, err := index.Build(path); err != nil {
		t.Fatal(err)
	}
	m := NewMapping(testKey)
	if n, err := File(path, m, Kept{}, nil); n != 1 || err != nil {
		t.Fatalf("%d flows, %v", n, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, _ := telling()
	for _, a := range []netip.Addr{old.Exporter, old.Src, old.Dst, old.NextHop, old.BGPNextHop, old.XlateSrc,
		old.XlateDst, old.TunSrc, old.TunDst} {
		v := a.As4()
		if bytes.Contains(b, []byte{v[3], v[2], v[1], v[0]}) || bytes.Contains(b, v[:]) {
			t.Errorf("%s is still in the file", a)
		}
	}
	if bytes.Contains(b, []byte("alice")) || bytes.Contains(b, []byte{6, 5, 4, 3, 2, 1}) {
		t.Error("a name, a payload or a MAC address is still in the file")
	}
	r, err := nffile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !r.Next() {
		t.Fatal(r.Err())
	}
	got := r.Record()
	if got.Src != m.Addr(old.Src) || got.TunDst != m.Addr(old.TunDst) || got.Exporter != m.Addr(old.Exporter) ||
		got.Bytes != 7 || got.DstPort != 2 || got.Domain != 5 || got.SrcAS|got.NextAS != 0 || r.Ident() != "edge1" {
		t.Errorf("%+v, ident %s", got, r.Ident())
	}
	if r.Next() || r.Err() != nil {
		t.Errorf("another flow, or %v", r.Err())
	}
	if report, err := nffile.Verify(path, nil); err != nil || !report.Sound() {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := os.Stat(index.Path(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the index is still there: %v", err)
	}
}

// What is to be kept is kept.
func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	write(t, path)
	kept, err := ParseKept("as,mac,user,payload,names")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := File(path, NewMapping(testKey), kept, nil); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"GET /alice", "alice's frame", "to alice", "alice\x00", "\x06\x05\x04\x03\x02\x01",
		"\xf4\xfb\x00\x00"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%q is gone", want)
		}
	}
	if _, err := ParseKept("as,everything"); err == nil {
		t.Error("a word that means nothing is taken")
	}
}

// A file that is damaged stays what it was, and nothing is left beside it.
func TestDamagedFilesStay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nfcapd.202611221200")
	write(t, path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(b); n += 13 {
		if err := os.WriteFile(path, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := File(path, NewMapping(testKey), Kept{}, nil); err == nil {
			t.Fatalf("cut at %d: no error", n)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, b[:n]) {
			t.Fatalf("cut at %d: the file is another one: %v", n, err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// nfanon of nfdump makes the same of IPv4 addresses with the same key, wherever they are
// that it looks at.
func TestLikeNfanon(t *testing.T) {
	nfanon, err := exec.LookPath("nfanon")
	if err != nil {
		t.Skip("nfanon is not installed")
	}
	ours, theirs := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	rng := rand.New(rand.NewPCG(3, 4))
	some := func() netip.Addr { return netip.AddrFrom4([4]byte(fmt.Appendf(nil, "%04x", rng.UintN(1<<16)))) }
	for _, path := range []string{ours, theirs} {
		rng = rand.New(rand.NewPCG(3, 4))
		w, err := nffile.Create(path, nffile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			r, _ := telling()
			r.Src, r.Dst, r.NextHop, r.BGPNextHop = some(), some(), some(), some()
			r.XlateSrc, r.XlateDst = some(), some()
			r.TunSrc, r.TunDst = netip.Addr{}, netip.Addr{} // which it leaves as they are
			if err := w.Append(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text := "abcdefghijklmnopqrstuvwxyz012345"
	if out, err := exec.Command(nfanon, "-q", "-K", text, "-r", theirs).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key, _ := ParseKey(text)
	if _, err := File(ours, NewMapping(key), Kept{}, nil); err != nil {
		t.Fatal(err)
	}
	a, b := addresses(t, ours), addresses(t, theirs)
	if a != b || strings.Count(a, "\n") != 100 {
		t.Errorf("ours:\n%.600s\nnfanon's:\n%.600s", a, b)
	}
}

// addresses returns the addresses of all flows, and AS numbers, a line each.
func addresses(t *testing.T, path string) string {
	t.Helper()
	r, err := nffile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	for r.Next() {
		f := r.Record()
		fmt.Fprintln(&b, f.Src, f.Dst, f.NextHop, f.BGPNextHop, f.XlateSrc, f.XlateDst, f.Exporter, f.SrcAS, f.DstAS,
			f.NextAS, f.PrevAS)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return b.String()
}
