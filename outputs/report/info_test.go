package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
)

// statOf returns statistics whose figures are all different.
func statOf(n uint64) *nffile.Stat {
	return &nffile.Stat{Flows: n, Bytes: n + 1, Packets: n + 2,
		ProtoFlows:   [4]uint64{n + 3, n + 4, n + 5, n + 6},
		ProtoBytes:   [4]uint64{n + 7, n + 8, n + 9, n + 10},
		ProtoPackets: [4]uint64{n + 11, n + 12, n + 13, n + 14}, First: 1767323045006, Last: 1767323105999,
		SequenceFailures: n + 15}
}

// infoNames are the fields of -I in JSON and csv, in their order.
var infoNames = strings.Fields("ident flows flows_tcp flows_udp flows_icmp flows_other packets packets_tcp " +
	"packets_udp packets_icmp packets_other bytes bytes_tcp bytes_udp bytes_icmp bytes_other first last msec_first " +
	"msec_last sequence_failures")

// TestInfoInFormats: JSON, an object on a line and csv are read by Go's own readers, and say the same,
// up to the highest numbers.
func TestInfoInFormats(t *testing.T) {
	zone := time.FixedZone("", 5*3600+1800)
	for _, n := range []uint64{0, 1000, math.MaxUint64 - 20} {
		s := statOf(n)
		offsets := []uint64{0, 3, 4, 5, 6, 2, 11, 12, 13, 14, 1, 7, 8, 9, 10}
		want := map[string]string{"ident": `edge "1", here`, "first": "2026-01-02T08:34:05.006",
			"last": "2026-01-02T08:35:05.999", "msec_first": "1767323045006", "msec_last": "1767323105999",
			"sequence_failures": strconv.FormatUint(n+15, 10)}
		for i, offset := range offsets {
			want[infoNames[1+i]] = strconv.FormatUint(n+offset, 10)
		}
		for _, format := range []string{"json", "ndjson", "json-log", "json6", "csv", "csv6"} {
			var out bytes.Buffer
			if err := Info(&out, want["ident"], s, format, Options{Location: zone}); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			if strings.HasPrefix(format, "csv") {
				rows, err := csv.NewReader(&out).ReadAll()
				if err != nil || len(rows) != 2 || !slices.Equal(rows[0], infoNames) {
					t.Fatalf("%s: %q, %v", format, rows, err)
				}
				for i, name := range rows[0] {
					got[name] = rows[1][i]
				}
			} else {
				if lines := strings.Count(out.String(), "\n"); format[0] == 'n' && lines != 1 {
					t.Errorf("%s has %d lines", format, lines)
				}
				d := json.NewDecoder(&out)
				d.UseNumber()
				var object map[string]any
				if err := d.Decode(&object); err != nil {
					t.Fatalf("%s: %v", format, err)
				}
				for name, v := range object {
					got[name] = fmt.Sprint(v)
				}
			}
			for name, v := range want {
				if got[name] != v {
					t.Errorf("%s: %s is %q, expected %q", format, name, got[name], v)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s has %d fields, expected %d", format, len(got), len(want))
			}
		}
		var quiet bytes.Buffer
		if err := Info(&quiet, "x", s, "csv", Options{Quiet: true}); err != nil ||
			strings.Count(quiet.String(), "\n") != 1 {
			t.Errorf("quiet: %q, %v", &quiet, err)
		}
	}
}

// TestFormatsOfInfo: which formats -I takes, and what is said of others.
func TestFormatsOfInfo(t *testing.T) {
	for _, format := range []string{"line", "line6", "long", "extended", "biline", "nsel", "raw", "null", "json",
		"ndjson",
		"json-log", "csv"} {
		if err := CheckInfo(format); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
	for _, format := range []string{"fmt:%ts", "csv:%ts", "csv-fast", "table", "table:%ts", "parquet", "pipe"} {
		err := CheckInfo(format)
		var out bytes.Buffer
		if again := Info(&out, "x", statOf(1), format, Options{}); err == nil || again == nil || out.Len() > 0 ||
			!strings.Contains(err.Error(), "-o "+format+" prints flows, not the sums that files keep of themselves: "+
				"-I takes line, json, ndjson and csv") {
			t.Errorf("%s: %v, %v", format, err, again)
		}
	}
}

// TestFormatsOfStatistics: which formats -s takes.
func TestFormatsOfStatistics(t *testing.T) {
	for _, format := range append(Formats(), "json-log", "line6", "fmt:%ts", "csv:%ts", "table:%ts") {
		err := CheckTables(format, Options{})
		switch format {
		case "fmt":
			if err == nil || !strings.Contains(err.Error(), "without tags") {
				t.Errorf("%s: %v", format, err)
			}
		case "parquet":
			if err == nil || !strings.Contains(err.Error(), "prints flows, not statistics") {
				t.Errorf("%s: %v", format, err)
			}
		default:
			if err != nil {
				t.Errorf("%s: %v", format, err)
			}
		}
	}
	for format, want := range map[string]string{"jsn": "did you mean json?", "": "there is no output format",
		"fmt:%zz": "%zz",
		"csv:x":   "takes tags between commas, got the text"} {
		if err := CheckTables(format, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %q", format, err, want)
		}
	}
}

// TestHelpOfFormats: the help names every format and every tag once, with the heading of its column.
func TestHelpOfFormats(t *testing.T) {
	extension := Extension{Name: "influx", What: "lines for a data base"}
	var out bytes.Buffer
	if err := Help(&out, []Extension{extension}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, name := range append(Formats(), extension.Name) {
		if name == "fmt" {
			name = "fmt:TAGS"
		}
		if n := strings.Count(text, "\n  "+fmt.Sprintf("%-10s ", name)); n < 1 {
			t.Errorf("the help does not name the format %s", name)
		}
	}
	_, below, _ := strings.Cut(text, "Tags of fmt: and csv:\n")
	named := map[string]bool{}
	for line := range strings.Lines(below) {
		words := strings.Fields(line)
		if named[words[0]] {
			t.Errorf("%s is there twice", words[0])
		}
		named[words[0]] = true
		if _, err := NewText(&bytes.Buffer{}, words[0], Options{}); err != nil {
			t.Errorf("%s: %v", words[0], err)
		}
	}
	if len(named) != len(tags) {
		t.Errorf("the help has %d tags, there are %d", len(named), len(tags))
	}
	for _, info := range Tags() {
		if !named[info.Name] || info.Heading == "" {
			t.Errorf("%+v is not in the help, or has no heading", info)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if len(line) > 120 {
			t.Errorf("the help has a line of %d columns: %s", len(line), line)
		}
	}
}

// TestCompatibilities are named as nfdump's versions are.
func TestCompatibilities(t *testing.T) {
	for name, want := range map[string]Compat{"best": Best, "1.7.1": Nfdump171, "1.7.8": Nfdump178} {
		if got, err := ParseCompat(name); err != nil || got != want || got.String() != name {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if want.or(Nfdump178) != max(want, 1) && want != Best {
			t.Errorf("%s becomes another version", name)
		}
	}
	if Best.or(Nfdump178) != Nfdump178 || Nfdump171.or(Nfdump178) != Nfdump171 {
		t.Error("a version that is asked for is not kept")
	}
	for _, bad := range []string{"", "1.7", "1.7.2", "BEST"} {
		if _, err := ParseCompat(bad); err == nil || !strings.Contains(err.Error(),
			"expected one of best, 1.7.1, 1.7.8") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestSharesAndAverages compares percentages and averages with exact arithmetic, to the digit that is
// shown.
func TestSharesAndAverages(t *testing.T) {
	rng := rand.New(rand.NewPCG(101, 102))
	for range 5000 {
		total := 1 + rng.Uint64()>>(12+rng.IntN(50))
		v := rng.Uint64N(total + 1)
		exact, _ := new(big.Rat).SetFrac(new(big.Int).Mul(new(big.Int).SetUint64(v), big.NewInt(100)),
			new(big.Int).SetUint64(total)).Float64()
		if got, want := string(appendPercent(nil, v, total)), fmt.Sprintf("%.1f", exact); got != want {
			a, _ := strconv.ParseFloat(got, 64)
			if math.Abs(a-exact) > 0.0500001 { // a half is rounded either way
				t.Errorf("%d of %d: %s, expected %s", v, total, got, want)
			}
		}
	}
	if got := string(appendPercent(nil, 5, 0)); got != "0.0" {
		t.Errorf("of nothing: %s", got)
	}
	for _, c := range []struct {
		t             query.Totals
		compat        Compat
		bps, pps, bpp uint64
	}{
		{query.Totals{First: 1000, Last: 9000, FirstTraffic: 1000, Bytes: 4000, Packets: 40}, Best, 4000, 5, 100},
		{query.Totals{First: 0, Last: 8000, FirstTraffic: 4000, Bytes: 4000, Packets: 40}, Best, 4000, 5, 100},
		{query.Totals{First: 0, Last: 8000, FirstTraffic: 4000, Bytes: 4000, Packets: 40}, Nfdump178, 8000, 10, 100},
		{query.Totals{First: 5, Last: 5, FirstTraffic: 5, Bytes: 4000, Packets: 40}, Best, 0, 0, 100},
		{query.Totals{First: 5, Last: 5, FirstTraffic: 5, Bytes: 4000, Packets: 40}, Nfdump171, 0, 0, 0},
		{query.Totals{First: 9, Last: 5, FirstTraffic: 9, Bytes: 4000, Packets: 40}, Nfdump178, 0, 0, 100},
		{query.Totals{}, Best, 0, 0, 0},
		{query.Totals{First: 1000, Last: 1001, FirstTraffic: 1000, Bytes: math.MaxUint64}, Best, math.MaxUint64, 0, 0},
	} {
		if bps, pps, bpp := averages(&c.t, c.compat); bps != c.bps || pps != c.pps || bpp != c.bpp {
			t.Errorf("%+v for %s: %d, %d, %d, expected %d, %d, %d", c.t, c.compat, bps, pps, bpp, c.bps, c.pps, c.bpp)
		}
	}
}

// TestValuesOfStatistics: what tables, JSON and the page show of a value of each kind.
func TestValuesOfStatistics(t *testing.T) {
	for _, c := range []struct {
		e    query.Element
		v    uint64
		want string
	}{
		{query.SrcPort, 65535, "65535"}, {query.Flags, 0x12, "...A..S."}, {query.Flags, 0xff, "CEUAPRSF"},
		{query.InSrcMAC, 0x00005e005301, "00:00:5e:00:53:01"}, {query.MAC, 1<<48 - 1, "ff:ff:ff:ff:ff:ff"},
		{query.MPLS1, 1048575<<4 | 7<<1 | 1, "1048575-7-1"}, {query.MPLS10, 16 << 4, "16-0-0"},
		{query.ClientLatency, 1234567, "1234.567"}, {query.AppLatency, 7, "0.007"},
		{query.NBAR, 13<<24 | 453, "13..453"},
		{query.InACL, 0xdeadbeef, "0xdeadbeef"}, {query.OutXACE, 0, "0x0"}, {query.ObservationPoint, 255, "0xff"},
		{query.EtherType, 0x86dd, "0x86dd"}, {query.Event, 2, "DELETE"}, {query.Event, 9, "UNKNOW"},
		{query.NATEvent, 4, "ADD44"}, {query.NATEvent, 255, "UNKNOW"}, {query.SrcCountry, 'D'<<8 | 'E', "DE"},
		{query.AS, math.MaxUint32, "4294967295"}, {query.Dir, 1, "1"}, {query.MinTTL, 64, "64"},
	} {
		if got := string(appendNumber([]byte("x"), c.e, c.v)); got != "x"+c.want {
			t.Errorf("%s %d: %q, expected %q", c.e, c.v, got[1:], c.want)
		}
	}
}
