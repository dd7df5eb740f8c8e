package alert

import (
	"math"
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		got, want string
	}{
		{formatBytes(int64(0)), "0 B"}, {formatBytes(int64(999)), "999 B"}, {formatBytes(1.5), "1.5 B"},
		{formatBytes(uint64(1000)), "1.0 kB"}, {formatBytes(int64(110_688_421)), "110.7 MB"},
		{formatBytes(999_949.0), "999.9 kB"},
		{formatBytes(999_950.0), "1.0 MB"}, {formatBytes(uint64(math.MaxUint64)), "18.4 EB"},
		{formatBytes(-2e9), "-2.0 GB"},
		{formatBytes(1e30), "1000000000000.0 EB"}, {formatBytes(nil), "-"}, {formatBytes("many"), "many"},
		{formatBytes(true), "true"},
		{formatBytes(math.NaN()), "NaN"}, {formatBytes(math.Inf(1)), "+Inf"},
		{formatSI(int64(12)), "12"}, {formatSI(int64(1_234_567)), "1.2 M"}, {formatSI(8.8e8, "bit/s"), "880.0 Mbit/s"},
		{formatDuration(time.Duration(0)), "0 ms"}, {formatDuration(250 * time.Millisecond), "250 ms"},
		{formatDuration(45 * time.Second), "45 s"},
		{formatDuration(60 * time.Second), "1 min"}, {formatDuration(200 * time.Second), "3 min 20 s"},
		{formatDuration(2 * time.Hour), "2 h"},
		{formatDuration(2*time.Hour + 5*time.Minute + 59*time.Second), "2 h 5 min"},
		{formatDuration(time.Hour + time.Second), "1 h"},
		{formatDuration(49 * time.Hour), "2 d 1 h"}, {formatDuration(int64(90)), "1 min 30 s"},
		{formatDuration(-90.0), "-1 min 30 s"},
		{formatDuration(59.6), "1 min"}, {formatDuration(nil), "-"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
