package main

import (
	"bytes"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/archive"
)

// TestScaledNumbers compares sizes and lifetimes with exact arithmetic: units of either case, with and
// without a B, and fractions.
func TestScaledNumbers(t *testing.T) {
	sizes := map[string]int64{"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "KB": 1 << 10,
		"MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
	hour := int64(time.Hour)
	times := map[string]int64{"": hour, "H": hour, "D": 24 * hour, "W": 168 * hour, "M": hour / 60}
	for _, number := range []string{"0", "1", "7", "1.5", "0.25", "12.125", "1000", "007", "1e3", ".5"} {
		for _, c := range []struct {
			option string
			units  map[string]int64
			get    func(l archive.Limits) int64
		}{{"size", sizes, func(l archive.Limits) int64 { return l.Size }},
			{"lifetime", times, func(l archive.Limits) int64 { return int64(l.Age) }}} {
			for unit, factor := range c.units {
				exact, _ := new(big.Rat).SetString(number)
				exact.Mul(exact, new(big.Rat).SetInt64(factor))
				want := new(big.Int).Div(exact.Num(), exact.Denom()).Int64()
				for _, text := range []string{number + unit, number + strings.ToLower(unit)} {
					o, limits := expireOptions{}, archive.Limits{}
					if c.option == "size" {
						o.size = text
					} else {
						o.lifetime = text
					}
					if err := o.change(&limits); err != nil || c.get(limits) != want {
						t.Errorf("%s %s: %d, %v, expected %d", c.option, text, c.get(limits), err, want)
					}
				}
			}
		}
	}
	for _, bad := range []string{"-1", "-1G", "x", "G", "1X", "1GG", "1GiB", "1 G", "1,5G", "NaN", "Inf", "1e400",
		"9223372036854775807T", "0x10", "1BB", "--1", "1K1"} {
		for _, o := range []expireOptions{{size: bad}, {lifetime: bad}} {
			if err := o.change(&archive.Limits{}); err == nil || !strings.Contains(err.Error(), strconv.Quote(bad)) {
				t.Errorf("%q is taken: %v", bad, err)
			}
		}
	}
}

// TestSizesForPeople: one digit behind the point, rounded, in the largest unit of which there is one.
func TestSizesForPeople(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 1: "1 B", 999: "999 B", 999.4: "999 B", 1000: "1.0 kB",
		1049: "1.0 kB",
		1051: "1.1 kB", 99_949: "99.9 kB", 999_940: "999.9 kB", 999_951: "1.0 MB", 1e6: "1.0 MB", 1.55e9: "1.6 GB",
		2e12: "2.0 TB", 3.14e15: "3.1 PB", 5e18: "5.0 EB", 5e21: "5000.0 EB"} {
		if got := sizeOf(n); got != want {
			t.Errorf("%g is %q, expected %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1024 = 1.0 KB", 1 << 20: "1048576 = 1.0 MB",
		1<<20 - 1: "1048575 = 1024.0 KB", 3 << 29: "1610612736 = 1.5 GB", 5 << 40: "5497558138880 = 5.0 TB",
		5000 << 40: "5497558138880000 = 5000.0 TB"} {
		if got := inBytes(n); got != want {
			t.Errorf("%d is %q, expected %q", n, got, want)
		}
	}
}

// TestStatusOfOthers reads what nfexpire, or somebody, has left in .nfstat: what is no number is no limit,
// and nothing overflows.
func TestStatusOfOthers(t *testing.T) {
	for text, want := range map[string]archive.Limits{
		"":                                     {},
		"maxsize=5\nlifetime=60\nwatermark=90": {Size: 5, Age: time.Minute, Watermark: 90},
		"maxsize = 7 \n lifetime=0\n":          {Size: 7},
		"maxsize=-1\nlifetime=x\nwatermark=\n": {},
		"maxsize=9223372036854775807":          {Size: 1<<63 - 1},
		"maxsize=9223372036854775808":          {},
		"lifetime=9223372036854775807":         {Age: (1<<63 - 1) / time.Second * time.Second},
		"watermark=250":                        {Watermark: 100},
		"maxsize=1\nmaxsize=2":                 {Size: 2},
		"MAXSIZE=1\nsize=3\nnumfiles=4":        {},
		"\x00\xff=1\nmaxsize=6":                {Size: 6},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, statusName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := readStatus(dir); err != nil || !s.exists || s.limits != want {
			t.Errorf("%q: %+v, %v, expected %+v", text, s, err, want)
		}
	}
	if s, err := readStatus(t.TempDir()); err != nil || s.exists {
		t.Errorf("without a file: %+v, %v", s, err)
	}
}

// TestHoldingIsNfexpires: flowgraf expire -l says of an archive what nfexpire says, for limits in each
// unit; the watermark where one is set: nfexpire shows that of 0 otherwise, and heeds 95.
func TestHoldingIsNfexpires(t *testing.T) {
	nfexpire, err := exec.LookPath("nfexpire")
	if err != nil {
		t.Skip("nfexpire is not installed")
	}
	t.Setenv("TZ", "UTC")
	now := time.Now().UTC().Truncate(time.Minute)
	for _, limits := range []string{"-s 500", "-s 1023 -t 1M", "-s 1K -t 59M", "-s 1500000 -t 60M -w 80", "-t 36H",
		"-t 6d",
		"-s 5G -t 7d", "-s 1T -t 90d -w 100", "-t 89M"} {
		for _, days := range []int{1, 2, 9} {
			dir := archiveOf(t, days, now)
			words := append([]string{"expire", "-u", dir}, strings.Fields(limits)...)
			if code, _, errs := runLine(t, "flowgraf", words...); code != 0 {
				t.Fatal(errs)
			}
			out, err := exec.Command(nfexpire, "-r", dir).CombinedOutput() // counts, and tells
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, got, errs := runLine(t, "flowgraf", "expire", "-l", dir, "--utc")
			for _, name := range []string{"Numfiles:", "Lifetime:", "Max Size:", "Max Life:", "Watermark:"} {
				if a, b := lineWith(got, name), lineWith(string(out), name); a != b && name+b != "Watermark:0%" {
					t.Errorf("%d files, %s, %s: %q, nfexpire says %q\n%s", days, limits, name, a, b, errs)
				}
			}
		}
	}
	for d, want := range map[time.Duration]string{0: "0 sec", 59 * time.Second: "59 sec", time.Minute: "60 = 1.0 min",
		time.Hour - time.Second: "3599 = 60.0 min", time.Hour: "3600 = 1.0 hours", 24 * time.Hour: "86400 = 1.0 days"} {
		if got := inSeconds(d); got != want {
			t.Errorf("%s is %q, expected %q", d, got, want)
		}
	}
}

// lineWith returns the rest of the line that begins with some words.
func lineWith(text, begin string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, begin); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "no such line"
}

// TestSizesOfMemory: --memory takes sizes of a megabyte and more, or 0, and is shown in megabytes.
func TestSizesOfMemory(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1MB": 1e6, "512MB": 512e6, "8GB": 8e9, "1MiB": 1 << 20,
		"1000000": 1e6, "1.5GB": 1.5e9} {
		var m memorySize
		if err := m.Set(text); err != nil || int64(m) != want || m.String() != fmt.Sprintf("%dMB", want/1e6) {
			t.Errorf("%s: %d, %s, %v, expected %d", text, m, &m, err, want)
		}
	}
	for _, bad := range []string{"", "-1MB", "999999", "1", "1kB", "much", "1 XB", "99999999999GB"} {
		m := memorySize(5e6)
		if err := m.Set(bad); err == nil || !strings.Contains(err.Error(), "expected a size of at least 1MB") ||
			m != 5e6 {
			t.Errorf("%q: %d, %v", bad, m, err)
		}
	}
	for text, want := range map[string]uint64{"0": 0, "1": 1, "18446744073709551615": 1<<64 - 1} {
		var n flowCount
		if err := n.Set(text); err != nil || uint64(n) != want || n.String() != text {
			t.Errorf("%s: %d, %v", text, n, err)
		}
	}
	for _, bad := range []string{"", "-1", "1.5", "1k", "18446744073709551616", "0x1"} {
		if err := new(flowCount).Set(bad); err == nil || err.Error() != "expected a number of flows, or 0 for all" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestValueOfABareZ: the word behind -z is a compression's name, or the one without which the others are
// a filter; else the words are the filter.
func TestValueOfABareZ(t *testing.T) {
	for words, want := range map[string]int{"": -1, "lz4": 0, "zstd:5": 0, "bz2 proto tcp": 0, "proto tcp lz4": 2,
		"proto tcp": -1, "any": -1, "nonsense": 0, "nonsense proto tcp": 0, "proto tcp nonsense": 2,
		"proto nonsense tcp and port 80": 1, "two wrong words": -1, "src ip 192.0.2.1": -1} {
		if got := compressionIn(strings.Fields(words)); got != want {
			t.Errorf("%q: %d, expected %d", words, got, want)
		}
	}
	if got := compressionIn([]string{"proto tcp"}); got != -1 {
		t.Errorf("a filter in one word: %d", got)
	}
}

// TestExpireIsRepeatable: what is within the limits stays, whatever its size, and a second run removes
// nothing.
func TestExpireIsRepeatable(t *testing.T) {
	now := time.Now().Truncate(time.Minute)
	for _, limit := range []string{"0", "1", "150K", "500K", "100M"} {
		dir := archiveOf(t, 8, now)
		var first, second bytes.Buffer
		o := expireOptions{expire: dir, size: limit}
		err := o.expireFlows(&first, now)
		if limit == "0" {
			if err == nil || !strings.Contains(err.Error(), "has no limits") || filesIn(dir) != 8 {
				t.Errorf("a limit of 0: %v, %d files are left", err, filesIn(dir))
			}
			continue
		}
		left := filesIn(dir)
		if err != nil || left < 1 || limit == "100M" && left != 8 || limit == "1" && left != 1 {
			t.Errorf("%s: %v, %d files are left\n%s", limit, err, left, &first)
		}
		if err := o.expireFlows(&second, now); err != nil || filesIn(dir) != left ||
			!strings.Contains(second.String(), "Expired files:      0\n") {
			t.Errorf("%s again: %v, %d files are left\n%s", limit, err, filesIn(dir), &second)
		}
	}
}
