package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
)

// TestStatisticsAreJSON: the tables of several statistics are one array, or an object on
// each line, with the counters that text has.
func TestStatisticsAreJSON(t *testing.T) {
	file, opt := everyKind(t), Options{Location: time.UTC}
	specs := []string{"srcip/bytes", "dstport:p/packets", "flags"}
	var array, objects []map[string]any
	if err := json.Unmarshal([]byte(statistics(t, file, 5, "json", opt, specs...)), &array); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(statistics(t, file, 5, "ndjson", opt, specs...)) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	rows, err := csv.NewReader(bytes.NewReader([]byte(statistics(t, file, 5, "csv", opt, specs...)))).ReadAll()
	if err != nil || len(array) != 15 || len(objects) != 15 || len(rows) != 15+3 {
		t.Fatalf("%d rows in the array, %d on lines, %d in csv: %v", len(array), len(objects), len(rows), err)
	}
	for i, name := range []string{"srcip", "dstport", "flags"} {
		if array[5*i][name] == nil || objects[5*i][name] != array[5*i][name] {
			t.Errorf("%s: %v and %v", name, array[5*i], objects[5*i])
		}
	}
	for _, e := range query.Elements() { // whatever their values are written like
		if text := statistics(t, file, 2, "json", opt, e); e != "record" && !json.Valid([]byte(text)) {
			t.Errorf("%s: no JSON: %s", e, text)
		}
	}
	for _, format := range []string{"json", "ndjson"} {
		if got := statistics(t, file, 5, format, opt); format == "json" && got != "[\n]\n" || format == "ndjson" &&
			got != "" {
			t.Errorf("no statistics are %q", got)
		}
	}
}

// TestLiveStatisticsInFormats compares the tables of csv and pipe with nfdump's.
func TestLiveStatisticsInFormats(t *testing.T) {
	file, opt := ourFile(t, nffile.None), Options{Location: time.UTC, Compat: Nfdump171}
	for _, format := range []string{"csv", "pipe"} {
		for _, spec := range []string{"srcip/bytes", "dstport:p/opkg", "ip/ibps", "proto", "as/pps"} {
			compareLines(t, format+" "+spec, sortLines(statistics(t, file, 0, format, opt, spec)),
				sortLines(nfdump(t, "-r", file, "-n", "0", "-o", format, "-s", spec)))
		}
	}
}

// sortLines sorts lines: nfdump leaves rows of equal value in the order of a hash table.
func sortLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
