package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// hostileTexts are what an exporter may call a user.
var hostileTexts = []string{"alice", "", `a"b`, "a,b", "a\\b", "a\nb", "a\r\nb", "\x1b[31mred", "a\x00b", "a\xffb",
	"\u00e9t\u00e9",
	"\u6771\u4eac", "</script>", "'; DROP TABLE flows; --", "a\tb", "\u2028", "%s%n", " blanks ", "=1+1", "\U0001f600"}

// hostileFile writes a flow for each of these texts, with the highest numbers that there are.
func hostileFile(t *testing.T) string {
	return fileOf(t, len(hostileTexts), func(r *flow.Record, i int) {
		r.User, r.Bytes, r.Packets = []byte(hostileTexts[i]), math.MaxUint64>>1, uint64(i)
		r.SrcPort, r.DstPort = uint16(i), 65535
		r.Present.Add(flow.User)
	})
}

// TestTextsOfExportersInFormats: whatever an exporter calls somebody, JSON and csv are read by Go's own
// readers as a row for each flow, and nothing that moves a cursor reaches a terminal.
func TestTextsOfExportersInFormats(t *testing.T) {
	file := hostileFile(t)
	for _, compat := range []Compat{Best, Nfdump171, Nfdump178} {
		opt := Options{Location: time.UTC, Compat: compat, Quiet: true}
		var array []map[string]any
		if err := json.Unmarshal([]byte(printed(t, file, "json", opt)), &array); err != nil ||
			len(array) != len(hostileTexts) {
			t.Errorf("%s: json has %d flows, expected %d: %v", compat, len(array), len(hostileTexts), err)
		}
		n := 0
		for line := range strings.Lines(printed(t, file, "ndjson", opt)) {
			var object map[string]any
			if err := json.Unmarshal([]byte(line), &object); err != nil {
				t.Errorf("%s: %v in %q", compat, err, line)
			}
			if n < len(array) && fmt.Sprint(object["src_port"]) != fmt.Sprint(array[n]["src_port"]) {
				t.Errorf("%s: line %d is another flow than that of the array", compat, n)
			}
			n++
		}
		if n != len(hostileTexts) {
			t.Errorf("%s: ndjson has %d lines, expected %d", compat, n, len(hostileTexts))
		}
		for _, format := range []string{"csv:%sp,%uname,%dp", "csv:%uname"} {
			rows, err := csv.NewReader(strings.NewReader(printed(t, file, format, opt))).ReadAll()
			if err != nil || len(rows) < len(hostileTexts)-1 {
				t.Errorf("%s: %s has %d rows, %v", compat, format, len(rows), err)
			}
			for i, row := range rows {
				if len(rows) == len(hostileTexts) && len(row) == 3 && (row[0] != fmt.Sprint(i) || row[2] != "65535") {
					t.Errorf("%s: row %d is %q", compat, i, row)
				}
			}
		}
		for _, format := range []string{"line", "long", "extended", "raw", "csv", "csv-fast", "json", "ndjson", "table",
			"pipe",
			"nsel", "nel", "biline", "fmt:%uname %sa", "csv:%uname", "table:%uname,%sp"} {
			text := printed(t, file, format, opt)
			if i := strings.IndexFunc(text, func(c rune) bool {
				return c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0
			}); i >= 0 {
				t.Errorf("%s: %s has a control character: %q", compat, format, text[max(0, i-20):min(len(text), i+20)])
			}
			if !utf8.ValidString(text) {
				t.Errorf("%s: %s is no UTF-8", compat, format)
			}
		}
	}
}

// TestNumbersInJSON: numbers of 64 bits are whole, as Go's own reader has them, and addresses those of
// net/netip.
func TestNumbersInJSON(t *testing.T) {
	for name, text := range map[string]string{"json": printed(t, hostileFile(t), "json", Options{Location: time.UTC})} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var all []map[string]any
		if err := d.Decode(&all); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, object := range all {
			if got := fmt.Sprint(object["in_bytes"]); got != fmt.Sprint(uint64(math.MaxUint64>>1)) {
				t.Errorf("flow %d has %s bytes", i, got)
			}
			if a, err := netip.ParseAddr(fmt.Sprint(object["src4_addr"])); err != nil ||
				a != netip.MustParseAddr("192.0.2.7") {
				t.Errorf("flow %d is from %v: %v", i, object["src4_addr"], err)
			}
		}
	}
}
