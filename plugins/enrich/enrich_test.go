package enrich

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// written is a data base that MaxMind's own writer has written.
func written(t testing.TB, ipVersion int, records map[string]mmdbtype.DataType) []byte {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", IPVersion: ipVersion, RecordSize: 24,
		IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	length := func(prefix string) int { return netip.MustParsePrefix(prefix).Bits() }
	order := slices.SortedFunc(maps.Keys(records), func(a, b string) int { return length(a) - length(b) })
	for _, prefix := range order { // a later one takes the place of those within it
		record := records[prefix]
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(network, record); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// file writes a file and returns its path.
func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// publishers write the same of 198.51.100.0/24 and 2001:db8:1::/48, each in a way of its
// own.
var publishers = map[string]func(as uint32, country string) mmdbtype.DataType{
	"MaxMind's ASN": func(as uint32, _ string) mmdbtype.DataType {
		return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(as),
			"autonomous_system_organization": mmdbtype.String("Example")}
	},
	"MaxMind's Country": func(_ uint32, country string) mmdbtype.DataType {
		return mmdbtype.Map{"country": mmdbtype.Map{"geoname_id": mmdbtype.Uint32(7),
			"iso_code": mmdbtype.String(country)}}
	},
	"ip-location-db's country": func(_ uint32, country string) mmdbtype.DataType {
		return mmdbtype.Map{"country_code": mmdbtype.String(country)}
	},
	"text": func(as uint32, country string) mmdbtype.DataType {
		return mmdbtype.Map{"asn": mmdbtype.String(fmt.Sprintf("AS%d", as)), "country": mmdbtype.String(country)}
	},
}

// TestMMDB reads data bases of several publishers' ways, written by MaxMind's own writer.
func TestMMDB(t *testing.T) {
	for name, record := range publishers {
		for _, version := range []int{4, 6} {
			records := map[string]mmdbtype.DataType{
				"10.0.0.0/8":       mmdbtype.Map{"other": mmdbtype.Bool(true)},
				"198.51.100.0/24":  record(64500, "DE"),
				"198.51.100.77/32": record(4200000001, "AT"),
			}
			if version == 6 {
				records["2001:db8:1::/48"] = record(64501, "CH")
			}
			tables, err := Open([]string{file(t, "a.mmdb", written(t, version, records))})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for addr, want := range map[string]Entry{
				"198.51.100.1": {AS: 64500, Country: "DE"}, "198.51.100.77": {AS: 4200000001, Country: "AT"},
				"::ffff:198.51.100.1": {AS: 64500, Country: "DE"}, "10.1.2.3": {}, "192.0.2.1": {},
				"2001:db8:1::5": {AS: 64501, Country: "CH"}, "2001:db8:2::5": {},
			} {
				if name == "MaxMind's ASN" {
					want.Country = ""
				}
				if strings.HasPrefix(name, "MaxMind's C") || strings.HasPrefix(name, "ip-loc") {
					want.AS = 0
				}
				a := netip.MustParseAddr(addr)
				if version == 4 && a.Unmap().Is6() {
					want = Entry{}
				}
				for range 2 { // the second time from memory
					if got := tables.Lookup(a); got != want {
						t.Errorf("%s, version %d: %s is %+v, want %+v", name, version, addr, got, want)
					}
				}
			}
		}
	}
}

// TestCSV reads files of prefixes: the longest that has an address counts.
func TestCSV(t *testing.T) {
	for name, text := range map[string]string{
		"plain":     "10.0.0.0/8,all\n# a comment\n10.1.0.0/16, office \n10.1.2.3,printer\n2001:db8::/32,lab\n",
		"countries": "10.0.0.0,10.255.255.255,DE\n",
		"systems":   "10.0.0.0,10.255.255.255,64500,\"Example, Inc.\"\n",
		"named": "\xef\xbb\xbfname,Country,extra,prefix,as\nall,,x,10.0.0.0/8,\noffice,de,x,10.1.0.0/16,64500\n" +
			"printer,AT,,10.1.2.3/32,AS64501\nlab,,,2001:db8::/32,0\n",
		"ranges": "first,last,name\n10.0.0.0,10.0.255.255,all\n10.2.0.0,10.255.255.255,all\n" +
			"10.1.0.0,10.1.2.2,office\n10.1.2.3,10.1.2.3,printer\n10.1.2.4,10.1.255.255,office\n" +
			"2001:db8::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,lab\n",
	} {
		tables, err := Open([]string{file(t, "a.CSV", []byte(text))})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for addr, want := range map[string]Entry{"10.9.9.9": {Network: "all"}, "11.0.0.0": {},
			"10.1.0.0": {64500, "DE", "office"}, "10.1.255.255": {64500, "DE", "office"}, "10.2.0.0": {Network: "all"},
			"10.1.2.3": {64501, "AT", "printer"}, "2001:db8::1": {Network: "lab"},
			"::ffff:10.1.2.4": {64500, "DE", "office"},
		} {
			switch ten := strings.HasPrefix(strings.TrimPrefix(addr, "::ffff:"), "10."); {
			case name == "countries" && ten:
				want = Entry{Country: "DE"}
			case name == "systems" && ten:
				want = Entry{AS: 64500}
			case name == "countries" || name == "systems":
				want = Entry{}
			case name != "named":
				want.AS, want.Country = 0, ""
			}
			if got := tables.Lookup(netip.MustParseAddr(addr)); got != want {
				t.Errorf("%s: %s is %+v, want %+v", name, addr, got, want)
			}
		}
	}
}

// TestMistakes: what is wrong is told with its line.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "no prefix in it",
		"prefix,name\n":                  "no prefix in it",
		"10.0.0.0/33,a\n":                `line 1: "10.0.0.0/33" is no prefix`,
		"10.0.0.0/8,a\n10.0.0.1/8,b\n":   "line 2: 10.0.0.1/8 has bits beyond its length, expected 10.0.0.0/8",
		"10.0.0.0/8,a\n\n10.0.0.0/8,b\n": "line 3: 10.0.0.0/8 is in line 1 too",
		"network,owner\n10.0.0.0/8,a\n": `line 1: columns ["network" "owner"]: ` +
			"expected prefix, or first and last",
		"prefix,owner\n10.0.0.0/8,a\n": "expected one of name, as, country",
		"prefix,as\n10.0.0.0/8,x\n":    `line 2: AS "x": expected a number`,
		"prefix,as\n10.0.0.0/8,4294967296\n": `line 2: AS "4294967296": expected ` +
			"a number of at most 4294967295",
		"prefix,country\n10.0.0.0/8,DEU\n":              `line 2: country "DEU": expected two letters`,
		"first,last,name\n10.0.0.9,10.0.0.1,a\n":        `line 2: from "10.0.0.9" to "10.0.0.1" is no range`,
		"10.0.0.0/8," + strings.Repeat("a", 257) + "\n": "line 1: the name has 257 bytes, expected at most 256",
		"10.0.0.0/8,\"a\n":                              "line 1",
	} {
		_, err := Open([]string{file(t, "a.csv", []byte(text))})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a.csv: ") {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
	telling := written(t, 6, map[string]mmdbtype.DataType{"10.0.0.0/8": mmdbtype.Map{"city": mmdbtype.String("Ulm")}})
	for name, data := range map[string][]byte{"a.mmdb": []byte("nothing"), "b.mmdb": telling, "c.txt": nil} {
		if _, err := Open([]string{file(t, name, data)}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for _, path := range []string{t.TempDir(), "/nonexistent/a.csv"} {
		if _, err := Open([]string{path}); err == nil {
			t.Errorf("%s was taken", path)
		}
	}
}

// TestReload: a file that changes is read anew, also one that another is moved over; one
// that is wrong, or is gone, leaves what was read, and is told once.
func TestReload(t *testing.T) {
	path := file(t, "a.csv", []byte("10.0.0.0/8,before\n"))
	tables, err := Open([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	step := 0
	replace := func(text string) {
		step++
		next := filepath.Join(filepath.Dir(path), "next")
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(step) * time.Second)
		if err := os.Chtimes(next, at, at); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		text string // to replace it with
		want string // the name of the network
		errs int
	}{
		{"10.0.0.0/8,after\n", "after", 0}, {"10.0.0.0/99,wrong\n", "after", 1}, {"", "after", 1},
		{"10.0.0.0/8,right\n", "right", 0},
	} {
		replace(c.text)
		for i, want := range []int{c.errs, 0} {
			if errs := tables.Reload(); len(errs) != want {
				t.Errorf("%q, %d: %v, want %d errors", c.text, i, errs, want)
			}
		}
		if got := tables.Lookup(netip.MustParseAddr("10.1.1.1")).Network; got != c.want {
			t.Errorf("%q: the network is %s, want %s", c.text, got, c.want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for look, want := range []int{0, 1, 0} { // at the first it may be about to be replaced
		errs := tables.Reload()
		if len(errs) != want || tables.Lookup(netip.MustParseAddr("10.1.1.1")).Network != "right" {
			t.Errorf("a file that is gone, look %d: %v", look, errs)
		}
	}
	replace("10.0.0.0/8,back\n")
	if errs := tables.Reload(); len(errs) != 0 || tables.Lookup(netip.MustParseAddr("10.1.1.1")).Network != "back" {
		t.Errorf("a file that is back: %v", errs)
	}
	if reloads, errors := tables.Stats(); reloads != 3 || errors != 3 {
		t.Errorf("%d reloads and %d errors, want 3 and 3", reloads, errors)
	}
}

// TestEnrich: a flow gets names, and AS numbers where it has none; of several files the
// first that knows something counts.
func TestEnrich(t *testing.T) {
	as := written(t, 6, map[string]mmdbtype.DataType{"198.51.100.0/24": publishers["text"](64500, "DE")})
	tables, err := Open([]string{
		file(t, "own.csv", []byte("prefix,name,country\n198.51.100.0/25,dmz,\n198.51.100.128/25,,FR\n")),
		file(t, "as.mmdb", as),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r        flow.Record
		src, dst uint32
		names    flow.Names
	}{
		{flow.Record{Src: netip.MustParseAddr("198.51.100.1"), Dst: netip.MustParseAddr("198.51.100.200")}, 64500,
			64500, flow.Names{SrcCountry: "DE", SrcNetwork: "dmz", DstCountry: "FR"}},
		{flow.Record{Src: netip.MustParseAddr("198.51.100.1"), SrcAS: 7}, 7, 0,
			flow.Names{SrcCountry: "DE", SrcNetwork: "dmz"}},
		{flow.Record{}, 0, 0, flow.Names{}},
	} {
		var n flow.Names
		had := c.r.SrcAS != 0
		tables.Enrich(&c.r, &n)
		if n != c.names || c.r.SrcAS != c.src || c.r.DstAS != c.dst {
			t.Errorf("%v: AS %d and %d, %+v; want %d, %d, %+v", c.r.Src, c.r.SrcAS, c.r.DstAS, n, c.src, c.dst, c.names)
		}
		if !had && c.r.Has(flow.SrcAS) != (c.src != 0) || c.r.Has(flow.DstAS) != (c.dst != 0) {
			t.Errorf("%v: AS numbers are there: %v, %v", c.r.Src, c.r.Has(flow.SrcAS), c.r.Has(flow.DstAS))
		}
	}
}

// TestLongestPrefix compares with a search through all prefixes.
func TestLongestPrefix(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	prefixes := map[netip.Prefix]string{}
	var text strings.Builder
	for i := range 2000 {
		p, err := netip.AddrFrom4([4]byte{10, byte(rng.IntN(4)), byte(rng.Uint32()), byte(rng.Uint32())}).
			Prefix(8 + rng.IntN(25))
		if err != nil {
			t.Fatal(err)
		}
		if prefixes[p] == "" {
			prefixes[p] = fmt.Sprint("n", i)
			fmt.Fprintf(&text, "%s,%s\n", p, prefixes[p])
		}
	}
	tables, err := Open([]string{file(t, "a.csv", []byte(text.String()))})
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		a := netip.AddrFrom4([4]byte{10, byte(rng.IntN(5)), byte(rng.Uint32()), byte(rng.Uint32())})
		bits, want := -1, ""
		for p, name := range prefixes {
			if p.Contains(a) && p.Bits() > bits {
				bits, want = p.Bits(), name
			}
		}
		if got := tables.Lookup(a).Network; got != want {
			t.Fatalf("%s is in %q, want %q", a, got, want)
		}
	}
}

// TestIPLocationDB reads the countries of the world as ip-location-db publishes them, in
// both kinds of file, which must agree. FLOWGRAF_ENGINES is where make engines has put them.
func TestIPLocationDB(t *testing.T) {
	dir := filepath.Join(os.Getenv("FLOWGRAF_ENGINES"), "node_modules/@ip-location-db")
	const name = "geo-whois-asn-country"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no countries of ip-location-db here: make engines gets them from npm")
	}
	mmdb, err := Open([]string{filepath.Join(dir, name+"-mmdb", name+".mmdb")})
	if err != nil {
		t.Fatal(err)
	}
	csv, err := Open([]string{filepath.Join(dir, name, name+"-ipv4.csv"), filepath.Join(dir, name, name+"-ipv6.csv")})
	if err != nil {
		t.Fatal(err)
	}
	rng, known := rand.New(rand.NewPCG(1, 2)), 0
	for range 500_000 {
		a := netip.AddrFrom4([4]byte{byte(rng.IntN(224)), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
		if rng.IntN(2) == 0 {
			a = netip.AddrFrom16([16]byte{0x20 | byte(rng.IntN(16)), byte(rng.Uint32()), byte(rng.Uint32()),
				byte(rng.Uint32()), byte(rng.Uint32())})
		}
		of, in := mmdb.Lookup(a), csv.Lookup(a)
		if of != in {
			t.Fatalf("%s is %+v in the .mmdb file, %+v in the .csv files", a, of, in)
		}
		if of.Country != "" {
			known++
		}
	}
	if known < 100_000 {
		t.Errorf("of 500,000 addresses %d have a country", known)
	}
}

// realistic are tables as users have them: networks of their own, and a data base.
func realistic(t testing.TB) *Tables {
	records := map[string]mmdbtype.DataType{}
	for i := range 20000 {
		records[fmt.Sprintf("%d.%d.0.0/16", 1+i/256, i%256)] = publishers["text"](uint32(64000+i), "DE")
	}
	tables, err := Open([]string{file(t, "own.csv", []byte("10.0.0.0/8,all\n10.1.0.0/16,office\n")),
		file(t, "as.mmdb", written(t, 6, records))})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// TestNoAllocation: a flow to addresses whose networks have been seen allocates nothing.
func TestNoAllocation(t *testing.T) {
	tables := realistic(t)
	var n flow.Names
	r := flow.Record{Src: netip.MustParseAddr("10.1.2.3"), Dst: netip.MustParseAddr("20.7.2.3")}
	if count := testing.AllocsPerRun(100, func() { r.SrcAS, r.DstAS = 0, 0; tables.Enrich(&r, &n) }); count > 0 {
		t.Errorf("%v allocations", count)
	}
}

func BenchmarkEnrich(b *testing.B) {
	tables := realistic(b)
	rng := rand.New(rand.NewPCG(1, 2))
	var records [4096]flow.Record
	for i := range records {
		records[i].Src = netip.AddrFrom4([4]byte{10, byte(rng.IntN(3)), byte(rng.Uint32()), byte(rng.Uint32())})
		records[i].Dst = netip.AddrFrom4([4]byte{byte(1 + rng.IntN(78)), byte(rng.Uint32()), 1, 1})
	}
	var n flow.Names
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := &records[i%len(records)]
		r.SrcAS, r.DstAS = 0, 0
		tables.Enrich(r, &n)
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("prefix,name,as,country\n10.0.0.0/8,all,64500,DE\n2001:db8::/32,\"a,b\",,\n"))
	f.Add([]byte("first,last,name\n10.0.0.0,10.0.0.255,a\n::1,::ffff,b\n"))
	f.Add([]byte("10.0.0.0/8,a\n10.0.0.1,b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := readCSV(data)
		if err != nil {
			return
		}
		for p, want := range table.(*networks).All() {
			got := table.lookup(p.Addr())
			if inner, ok := table.(*networks).LookupPrefix(p); !ok || inner != want {
				t.Fatalf("%s is %+v, want %+v", p, inner, want)
			}
			if len(got.Network) > 3*maxName || got.Country != "" && !isCountry(got.Country) {
				t.Fatalf("%s is %+v", p, got)
			}
		}
	})
}

func FuzzMMDB(f *testing.F) {
	for _, name := range []string{"MaxMind's ASN", "MaxMind's Country", "text"} {
		f.Add(written(f, 6, map[string]mmdbtype.DataType{"198.51.100.0/24": publishers[name](64500, "DE"),
			"2001:db8::/32": publishers[name](64501, "AT")}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := readMMDB(data)
		if err != nil {
			return
		}
		for _, a := range []string{"198.51.100.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::"} {
			if e := table.lookup(netip.MustParseAddr(a)); e.Country != "" && !isCountry(e.Country) {
				t.Fatalf("%s is %+v", a, e)
			}
		}
	})
}
