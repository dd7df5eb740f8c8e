package report

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// goldenFormats are the options of nfdump behind the recorded outputs that are not named
// as a format is.
var goldenFormats = map[string]struct {
	format string
	opt    Options
}{
	"line-N": {format: "line", opt: Options{Plain: true}},
	"line-q": {format: "line", opt: Options{Quiet: true}},
	"fmt":    {format: "fmt:%ts %te %td %pr %sa %sp %da %dp %flg %tos %pkt %byt %fl %in %out %sas %das"},
}

// TestRecordedOutputs compares with what nfdump 1.7.1 and 1.7.8 have printed of a file:
// each recording that is named as a format is, or stands in goldenFormats.
func TestRecordedOutputs(t *testing.T) {
	dir := samples(t)
	recorded, err := filepath.Glob(filepath.Join(dir, "out", "17[18]-*.txt"))
	if err != nil || len(recorded) == 0 {
		t.Fatal("no recordings", err)
	}
	compared := 0
	for _, path := range recorded {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		version, what, _ := strings.Cut(name, "-")
		golden, ok := goldenFormats[what]
		if !ok {
			golden.format = what
		}
		opt := golden.opt
		opt.Location, opt.Compat = time.UTC, Nfdump171
		if version == "178" {
			opt.Compat = Nfdump178
		}
		if _, err := Open(nil, golden.format, opt); err != nil {
			continue // a recording of another mode
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := usageLine.ReplaceAllString(string(data), "")
		if strings.HasPrefix(want, "Unknown output mode") {
			continue // this version lacks it
		}
		compared++
		got := printed(t, filepath.Join(dir, "filtertest-8records.nf"), golden.format, opt)
		if want := recordCount.ReplaceAllString(want, ""); recordCount.ReplaceAllString(got, "") != want {
			compareLines(t, name, recordCount.ReplaceAllString(got, ""), want)
		}
	}
	if compared < 30 {
		t.Errorf("only %d recordings were compared", compared)
	}
}

// recordCount is the line of raw with the number of a record: nfdump 1.7.8 counts those
// that are not flows too.
var recordCount = regexp.MustCompile(`(?m)^  RecordCount .*\n`)

// TestRecordedStatistics compares with the tables that nfdump has printed of a file.
func TestRecordedStatistics(t *testing.T) {
	dir := samples(t)
	for name, c := range map[string]struct {
		format string
		compat Compat
	}{
		"171-stat-csv": {"csv", Nfdump171}, "171-stat-pipe": {"pipe", Nfdump171}, "178-stat-csv": {"csv", Nfdump178},
		"178-stat-json": {"json", Nfdump178},
	} {
		want, err := os.ReadFile(filepath.Join(dir, "out", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		got := statistics(t, filepath.Join(dir, "filtertest-8records.nf"), 3, c.format,
			Options{Location: time.UTC, Compat: c.compat}, "srcip/bytes")
		compareLines(t, name, got, string(want))
	}
}
