package index

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// slot is when the flows of the tests begin.
var slot = flow.TimeOf(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))

// host returns an address that flows of the tests may have.
func host(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// write writes n flows of random hosts into a file, of several blocks where n is large.
func write(t testing.TB, path string, n, hosts int, seed uint64) []flow.Record {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	w, err := nffile.Create(path, nffile.Options{Compression: nffile.LZ4})
	if err != nil {
		t.Fatal(err)
	}
	var all []flow.Record
	for i := range n {
		r := flow.Record{
			Exporter: netip.MustParseAddr("192.0.2.250"), Version: flow.V9, Domain: 5,
			Src: host(rng.IntN(hosts)), Dst: host(rng.IntN(hosts)), SrcPort: uint16(rng.IntN(30000)), DstPort: 443,
			Proto: 6, IPVersion: 4, Packets: 1, Bytes: 100, First: slot + flow.Time(i)*1e6,
			Last:  slot + flow.Time(i)*1e6 + 1e9,
			SrcAS: uint32(rng.IntN(3000)), DstAS: 64500,
		}
		r.Present = flow.SetOf(flow.Src, flow.Dst, flow.SrcPort, flow.DstPort, flow.Proto, flow.Bytes, flow.Packets,
			flow.SrcAS, flow.DstAS, flow.IPVersion)
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// parse returns a filter.
func parse(t testing.TB, text string) *nffilter.Filter {
	t.Helper()
	f, err := nffilter.Parse(text, nffilter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// matches counts the flows of a file that match, without and with a Guide.
func matches(t testing.TB, path string, filter *nffilter.Filter, g *Guide) (found int) {
	t.Helper()
	f, err := nffile.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if g != nil {
		places, _, _ := g.Omit(f)
		f.Omit(places)
	}
	var b nffile.Block
	d := nffile.NewDecoder()
	for {
		err := f.ReadBlock(&b)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err == nil {
			err = b.Unpack()
		}
		if err != nil {
			t.Fatal(err)
		}
		for d.Next(&b) {
			if filter.Match(d.Record(), nil) {
				found++
			}
		}
	}
}

// build makes the index of a file.
func build(t testing.TB, path string) Built {
	t.Helper()
	built, err := Build(path)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// What is found with an index is what is found without, for hosts that are there and for
// those that are not, and most blocks are not read.
func TestIndexFindsTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	all := write(t, path, 60000, 1<<20, 1)
	built := build(t, path)
	if built.Records != 60000 || built.Blocks < 4 {
		t.Fatalf("%+v", built)
	}
	for _, text := range []string{
		"ip " + all[0].Src.String(), "ip " + all[59999].Dst.String(), "src ip " + all[30000].Dst.String(),
		"ip 10.200.0.1", "src as 65000", "as 7 and port 5", "port 60000 or ip 192.0.2.1",
		"ip " + all[777].Src.String() + " and not port " + fmt.Sprint(all[777].SrcPort),
		"ip in [" + all[5].Src.String() + " " + all[50000].Dst.String() + "]",
	} {
		filter := parse(t, text)
		g := NewGuide(filter, 0, 0, func(format string, args ...any) { t.Errorf(format, args...) })
		if want, got := matches(t, path, filter, nil), matches(t, path, filter, g); got != want {
			t.Errorf("%s: %d flows with the index, %d without", text, got, want)
		}
		if s := g.Stats(); s.Files != 1 || s.Blocks != built.Blocks || s.Omitted == 0 {
			t.Errorf("%s: %+v", text, s)
		}
	}
	for _, text := range []string{"proto tcp", "not ip 10.0.0.1", "any", "port > 5", "count 3 and ip 10.0.0.1"} {
		if NewGuide(parse(t, text), 0, 0, nil) != nil {
			t.Errorf("%s: an index cannot help", text)
		}
	}
}

// Of absent hosts fewer than one in a hundred may be in a block with many.
func TestFewAbsentHostsMayBeThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	write(t, path, 40000, 1<<20, 2)
	build(t, path)
	x, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	maybe, asked := 0, 0
	for i := range x.entries {
		f, err := x.filter(i, ofAddresses)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 4000 {
			k := nffilter.Key{Kind: nffilter.KeyAddress, Value: flow.ValueOf(host(1<<21 + n))}
			asked++
			if f.mayHave(hash(k)) {
				maybe++
			}
		}
	}
	if rate := float64(maybe) / float64(asked); rate > 0.01 || rate == 0 {
		t.Errorf("%d of %d absent hosts may be there: %.2f %%", maybe, asked, 100*rate)
	}
}

// A block outside of the window is not read, whoever is in it.
func TestIndexKnowsTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	all := write(t, path, 60000, 1<<20, 3)
	built := build(t, path)
	filter := parse(t, "port 443")
	g := NewGuide(filter, all[59000].First.Milli(), 0, nil)
	matches(t, path, filter, g)
	if s := g.Stats(); s.Omitted < built.Blocks-3 {
		t.Errorf("%+v", s)
	}
}

// An index of another file, of what the file was before, that is cut at any length or
// has a changed byte anywhere, is not used or proves nothing wrong.
func TestDamagedIndexesProveNothing(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "nfcapd.202611221200"), filepath.Join(dir, "nfcapd.202611221205")
	all := write(t, path, 400, 1<<20, 4)
	write(t, other, 500, 1<<20, 5)
	build(t, path)
	build(t, other)
	good, err := os.ReadFile(Path(path))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(Path(other))
	if err != nil {
		t.Fatal(err)
	}
	some := &all[200] // of whom every kind of filter is asked
	filter := parse(t, fmt.Sprintf("ip %s and src port %d and src as %d", some.Src, some.SrcPort, some.SrcAS))
	want := matches(t, path, filter, nil)
	try := func(name string, b []byte, used bool) {
		if err := os.WriteFile(Path(path), b, 0o600); err != nil {
			t.Fatal(err)
		}
		warnings := ""
		g := NewGuide(filter, 0, 0, func(format string, args ...any) { warnings += fmt.Sprintf(format, args...) })
		if got := matches(t, path, filter, g); got != want {
			t.Fatalf("%s: %d flows, expected %d", name, got, want)
		}
		if (g.Stats().Files == 1) != used || (warnings == "") != used {
			t.Fatalf("%s: %+v, warnings %q", name, g.Stats(), warnings)
		}
	}
	try("as it was made", good, true)
	try("of another file", foreign, false)
	for n := 0; n < len(good); n += 1 + n/5 {
		try(fmt.Sprintf("cut at %d", n), good[:n], false)
	}
	for n := 0; n < len(good); n += 1 + n/40 {
		bad := append([]byte{}, good...)
		bad[n] ^= 0x10
		try(fmt.Sprintf("byte %d changed", n), bad, false)
	}
	try("as it was made", good, true)
	if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	try("before the file was touched", good, false)
	build(t, path)
	if good, err = os.ReadFile(Path(path)); err != nil {
		t.Fatal(err)
	}
	try("made anew", good, true)
}

// Files that an index cannot be made of say why, and leave none behind.
func TestNotIndexable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nfcapd.202611221200")
	write(t, path, 1000, 100, 6)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"cut": b[:len(b)/2], "text": []byte("no flows"), "empty": nil,
		"changed": append(append([]byte{}, b[:500]...), append([]byte("damaged!"), b[508:]...)...)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(path); !errors.Is(err, ErrNotIndexable) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(Path(path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: an index was made", name)
		}
	}
}

// nfdump lists a directory with indexes as it does without, in all its ways to name one.
func TestNfdumpDoesNotSeeIndexes(t *testing.T) {
	nfdump, err := exec.LookPath("nfdump")
	if err != nil {
		t.Skip("nfdump is not installed")
	}
	dir := filepath.Join(t.TempDir(), "a")
	if err := os.MkdirAll(filepath.Join(dir, "2026"), 0o700); err != nil {
		t.Fatal(err)
	}
	var files []string
	for i := range 3 {
		path := filepath.Join(dir, "2026", fmt.Sprintf("nfcapd.20261122120%d", i))
		write(t, path, 50, 100, uint64(i))
		files = append(files, path)
	}
	list := func() string {
		out := ""
		for _, args := range [][]string{{"-R", dir}, {"-r", dir}, {"-R", filepath.Join(dir, "2026")}, {"-R", files[0]},
			{"-R", files[0] + ":" + filepath.Base(files[2])}, {"-M", dir, "-R", "2026/nfcapd.202611221200"}} {
			b, err := exec.Command(nfdump, append(args, "-q", "-o", "line")...).CombinedOutput()
			out += fmt.Sprint(args, err, "\n", string(b))
		}
		return out
	}
	before := list()
	for _, path := range files {
		build(t, path)
	}
	if after := list(); after != before || strings.Count(before, "\n") < 50*3*6 {
		t.Errorf("before:\n%.2000s\nafter:\n%.2000s", before, after)
	}
}

// FuzzOpen: whatever is in an index, looking up in it ends, and reaches nothing outside.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "nfcapd.202611221200")
	write(f, path, 300, 1<<20, 7)
	build(f, path)
	good, err := os.ReadFile(Path(path))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[headSize+entrySize:])
	f.Add([]byte{1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
		11, 12})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeFilter(b)
		if err != nil {
			return
		}
		for n := range uint64(1000) {
			x.mayHave(mix(n))
		}
	})
}

// BenchmarkBuild is of a file with 60,000 flows.
func BenchmarkBuild(b *testing.B) {
	path := filepath.Join(b.TempDir(), "nfcapd.202611221200")
	write(b, path, 60000, 1<<17, 8)
	for b.Loop() {
		built, err := Build(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(built.Bytes)/0.06, "bytes/Mflow")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/60000, "ns/flow")
}
