package collector

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

// corpus returns the streams of our own making and, where they are, the captured
// datagrams: for each protocol what a hostile one is made from.
func corpus(t testing.TB) map[string][]byte {
	all := map[string][]byte{}
	for _, s := range streams(t) {
		all[s.name] = s.data
		if s.templates != nil {
			all[s.name+" templates"] = s.templates
			all[s.name+" both"] = append(append([]byte(nil), s.templates...), s.data[ipfix.HeaderLen:]...)
		}
	}
	files, _ := filepath.Glob(filepath.Join(sampleDir, "*.dat"))
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			all[filepath.Base(f)] = b
		}
	}
	return all
}

// checkAlive expects the decoder to be within its bounds, and to decode the next
// good datagrams of a fresh exporter.
func checkAlive(t testing.TB, d *Decoder) {
	t.Helper()
	checkAliveWith(t, d, streams(t))
}

// checkAliveWith is checkAlive with streams made before.
func checkAliveWith(t testing.TB, d *Decoder, good []stream) {
	t.Helper()
	if d.bytes > d.opt.MaxBytes || len(d.domains) > d.opt.MaxDomains || len(d.exporters) > len(d.domains) {
		t.Fatalf("out of bounds: %d bytes, %d domains, %d exporters", d.bytes, len(d.domains), len(d.exporters))
	}
	source := netip.MustParseAddrPort("198.51.100.77:4739")
	for _, s := range good {
		n := 0
		h := Handler{Flow: func(r *flow.Record) {
			if r.Bytes == 123456 && r.Dst.IsValid() {
				n++
			}
		}}
		for _, b := range [][]byte{s.templates, s.data} {
			if b == nil {
				continue
			}
			if err := d.Decode(Datagram{Exporter: source, Received: received, Payload: b}, h); err != nil {
				t.Fatalf("%s: a good datagram after bad ones: %v", s.name, err)
			}
		}
		if n != s.records {
			t.Fatalf("%s: a good datagram after bad ones gave %d flows, want %d", s.name, n, s.records)
		}
	}
}

// use touches everything that a record points to.
func use(sum *int) Handler {
	return Handler{
		Flow: func(r *flow.Record) {
			for _, e := range r.Extra {
				for _, b := range e.Value {
					*sum += int(b)
				}
			}
			*sum += len(r.AppID) + len(r.User)
			if r.First <= 0 || r.Last < r.First {
				panic("a flow without times, or that ends before it starts")
			}
		},
		Option: func(o *flow.OptionRecord) { *sum += len(o.Scope) + len(o.Fields) },
	}
}

// maxWork is how many records and elements a byte of a datagram may become: what a
// datagram costs in time and memory is bounded by its length, whatever is in it.
const maxWork = 4

// useCounted returns a handler that does what use does, and counts records and elements.
func useCounted(sum, work *int) Handler {
	h := use(sum)
	look, learn := h.Flow, h.Option
	h.Flow = func(r *flow.Record) {
		*work += 1 + len(r.Extra) + len(r.Nested)
		look(r)
	}
	h.Option = func(o *flow.OptionRecord) {
		*work += 1 + len(o.Scope) + len(o.Fields)
		learn(o)
	}
	return h
}

func TestCutAtEveryLength(t *testing.T) {
	sum := 0
	d := NewDecoder(Options{})
	for name, b := range corpus(t) {
		fresh := NewDecoder(Options{})
		for n := range len(b) {
			cut := append([]byte(nil), b[:n]...)
			_ = d.Decode(datagram(cut), use(&sum))
			_ = fresh.Decode(datagram(cut), use(&sum))
		}
		errors := uint64(0)
		fresh.Exporters(func(s *ExporterStats) { errors += s.DecodeErrors + s.Unsupported })
		if errors == 0 {
			t.Errorf("%s: cut at every length, and no error was counted", name)
		}
	}
	checkAlive(t, d)
}

func TestEveryByteFlipped(t *testing.T) {
	sum := 0
	d := NewDecoder(Options{})
	for _, b := range corpus(t) {
		for i := range b {
			for _, bits := range []byte{0xff, 0x01, 0x80} {
				bad := append([]byte(nil), b...)
				bad[i] ^= bits
				_ = d.Decode(datagram(bad), use(&sum))
			}
		}
	}
	checkAlive(t, d)
}

// message frames sets as an IPFIX message or a v9 datagram.
func framed(version uint16, sets ...[]byte) []byte {
	w := wire.Writer{}
	w.Uint16(version)
	w.Uint16(0)
	if version == 9 {
		w.Uint32(1000)
	}
	w.Uint32(uint32(exported / 1e9))
	w.Uint32(1)
	w.Uint32(1)
	for _, s := range sets {
		w.Bytes(s)
	}
	if version == 10 {
		w.PutUint16(2, uint16(w.Len()))
	}
	return w.Buf()
}

// set frames the body of a set; claimed is the length it claims, 0 the right one.
func set(id uint16, claimed int, body string) []byte {
	b, err := hex.DecodeString(body)
	if err != nil {
		panic(err)
	}
	if claimed == 0 {
		claimed = len(b) + 4
	}
	return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, id), uint16(claimed)), b...)
}

func TestHostileDatagrams(t *testing.T) {
	for _, c := range []struct {
		name   string
		b      []byte
		flows  uint64
		errors uint64
		missed uint64
	}{
		{"template without fields", framed(9, set(0, 0, "01000000"), set(256, 0, "0102030405060708")), 0, 1, 1},
		{"template whose fields have no length",
			framed(9, set(0, 0, "0100000200080000000c0000"), set(256, 0, "01020304")), 0, 1, 1},
		{"the same in IPFIX", framed(10, set(2, 0, "0100000200080000000c0000"), set(256, 0, "01020304")), 0, 1, 1},
		{"template with more fields than bytes", framed(10, set(2, 0, "0100ffff00080004")), 0, 1, 0},
		{"template id under 256", framed(10, set(2, 0, "00ff000100080004")), 0, 1, 0},
		{"records of 65,535 bytes and more", framed(10, set(2, 0, "0100000200087fff000cfff0")), 0, 1, 0},
		{"options template with more scopes than fields", framed(10, set(3, 0, "0100000100020008000400")), 0, 1, 0},
		{"v9 options template with odd lengths", framed(9, set(1, 0, "010000030005000800040000")), 0, 1, 0},
		{"set length 0", framed(10, set(2, 0, "0100000100080004"), set(256, 1, "01020304")), 0, 1, 0},
		{"set length past the end", framed(10, set(2, 0, "0100000100080004"), set(256, 0xffff, "0102030405060708")), 2,
			1, 0},
		{"reserved set", framed(10, set(77, 0, "01020304"), set(2, 0, "0100000100080004"), set(256, 0, "01020304")), 1,
			1, 0},
		{"unknown template between two known",
			framed(10, set(2, 0, "0100000100080004"), set(256, 0, "01020304"), set(300, 0, "0102030405"),
				set(256, 0, "01020304")), 2, 0, 1},
		{"zero fill behind the last set", framed(9, set(0, 0, "0100000100080004"), set(256, 0, "01020304"),
			make([]byte, 99)), 1, 0, 0},
		{"variable length past the set", framed(10, set(2, 0, "0100000200080004017bffff"),
			set(256, 0, "01020304ffffff00")), 0, 1, 0},
		{"variable length in three bytes", framed(10, set(2, 0, "0100000200080004017bffff"),
			set(256, 0, "01020304ff0001410102030400")), 2, 0, 0},
		{"padding in a set", framed(10, set(2, 0, "0100000100080004"), set(256, 0, "01020304000000")), 1, 0, 0},
		{"v5 with a count of 0xffff", append([]byte{0, 5, 0xff, 0xff}, make([]byte, 20+48)...), 1, 1, 0},
		{"an address of 3 bytes", framed(10, set(2, 0, "0100000100080003"), set(256, 0, "010203")), 1, 0, 0},
		{"an integer of 9 bytes", framed(10, set(2, 0, "0100000100010009"), set(256, 0, "ffffffffffffffffff")), 1, 0,
			0},
	} {
		t.Run(c.name, func(t *testing.T) {
			sum := 0
			d := NewDecoder(Options{})
			_ = d.Decode(datagram(c.b), use(&sum))
			var got ExporterStats
			d.Exporters(func(s *ExporterStats) { got = *s })
			if got.Flows != c.flows || got.DecodeErrors != c.errors || got.SetsWithoutTemplate != c.missed {
				t.Errorf("flows, errors, sets without a template: got %d, %d, %d, want %d, %d, %d",
					got.Flows, got.DecodeErrors, got.SetsWithoutTemplate, c.flows, c.errors, c.missed)
			}
			checkAlive(t, d)
		})
	}
}

// TestCountersOfOnes decodes a flow whose numbers are all as large as they can be.
func TestCountersOfOnes(t *testing.T) {
	for _, s := range streams(t) {
		b := append([]byte(nil), s.data...)
		head := 24
		for i := head; i < len(b); i++ {
			b[i] = 0xff
		}
		sum := 0
		d := NewDecoder(Options{})
		if s.templates != nil {
			_ = d.Decode(datagram(s.templates), use(&sum))
		}
		_ = d.Decode(datagram(b), use(&sum))
		checkAlive(t, d)
	}
}

// TestForgedSourcesStayBounded sends templates and data from ever new addresses
// and domains.
func TestForgedSourcesStayBounded(t *testing.T) {
	const limit = 500
	d := NewDecoder(Options{MaxDomains: limit, MaxBytes: 100 << 10})
	v9 := streams(t)[1]
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for i := range 20 * limit {
		if i == 5*limit {
			before = heap()
		}
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(i))
		b := append([]byte(nil), v9.templates...)
		binary.BigEndian.PutUint32(b[16:], uint32(i%3))
		_ = d.Decode(Datagram{Exporter: from, Received: received.Add(time.Duration(i) * time.Millisecond), Payload: b},
			Handler{})
	}
	if after := heap(); after > before+before/2+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if len(d.domains) > limit || d.bytes > 100<<10 || d.Forgotten() == 0 {
		t.Errorf("%d domains, %d bytes, %d forgotten", len(d.domains), d.bytes, d.Forgotten())
	}
	checkAlive(t, d)
}

// TestManyTemplatesStayBounded sends ever new template ids and ports from one
// exporter.
func TestManyTemplatesStayBounded(t *testing.T) {
	d := NewDecoder(Options{MaxTemplates: 100})
	for i := range 5000 {
		body := set(2, 0, "0000000100080004")
		binary.BigEndian.PutUint16(body[4:], uint16(256+i%3000))
		dg := datagram(framed(10, body))
		dg.Exporter = netip.AddrPortFrom(from.Addr(), uint16(i%50))
		_ = d.Decode(dg, Handler{})
	}
	d.Exporters(func(s *ExporterStats) {
		if s.TemplatesKnown > 100 {
			t.Errorf("%d templates, want at most 100", s.TemplatesKnown)
		}
	})
	checkAlive(t, d)
}

func TestLogIsBounded(t *testing.T) {
	lines := 0
	d := NewDecoder(Options{Log: func(string, ...any) { lines++ }})
	for i := range 10000 {
		dg := datagram(framed(10, set(uint16(256+i%1000), 0, "01020304")))
		dg.Exporter = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 1)
		_ = d.Decode(dg, Handler{})
		_ = d.Decode(Datagram{Exporter: dg.Exporter, Received: received, Payload: []byte("garbage\n")}, Handler{})
	}
	if lines == 0 || lines > 20 {
		t.Errorf("got %d lines in one moment, want a few", lines)
	}
}

// FuzzDecode decodes two datagrams one after the other, so that the second can use
// the first one's templates.
func FuzzDecode(f *testing.F) {
	good := streams(f)
	for _, s := range good {
		f.Add(s.templates, s.data)
	}
	f.Add(framed(10, set(2, 0, "0100000200080004017bffff")), framed(10, set(256, 0, "01020304ff0001410102030400")))
	f.Add(framed(9, set(1, 0, "010000040004000100040022000400")), framed(9, set(256, 0, "0000000100000064")))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		sum, work := 0, 0
		d := NewDecoder(Options{MaxTemplates: 50, MaxBytes: 1 << 20})
		_ = d.Decode(datagram(a), useCounted(&sum, &work))
		_ = d.Decode(datagram(b), useCounted(&sum, &work))
		if most := maxWork * (len(a) + len(b)); work > most {
			t.Errorf("%d bytes have become %d records and elements, expected %d at most", len(a)+len(b), work, most)
		}
		one := len(a) % len(good) // all in turn: each takes longer than the two datagrams
		checkAliveWith(t, d, good[one:one+1])
	})
}

// BenchmarkWorst decodes what costs most for its length: records of one byte, and of a
// thousand fields of one byte. The figure for README is that of a byte.
func BenchmarkWorst(b *testing.B) {
	var wide []ipfix.FieldSpec
	for i := range uint16(1000) {
		wide = append(wide, ipfix.FieldSpec{PEN: 1, ID: i, Length: 1})
	}
	for name, fields := range map[string][]ipfix.FieldSpec{"records": {{ID: 4, Length: 1}}, "fields": wide} {
		b.Run(name, func(b *testing.B) {
			tmpl, err := ipfix.NewTemplate(256, fields)
			if err != nil {
				b.Fatal(err)
			}
			d, sum := NewDecoder(Options{}), 0
			e := ipfix.Encoder{}
			e.Begin(nil, exported)
			e.AddTemplates(tmpl)
			_ = d.Decode(datagram(e.End()), Handler{})
			payload := unknownSet(0, 256, 60000)
			b.SetBytes(int64(len(payload)))
			b.ResetTimer()
			for range b.N {
				_ = d.Decode(datagram(payload), use(&sum))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(payload)), "ns/byte")
		})
	}
}
