package alert

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// numberOf gives a field's value as a number, a duration in seconds.
func numberOf(v any) (x float64, ok bool) {
	switch v := v.(type) {
	case int:
		x = float64(v)
	case int64:
		x = float64(v)
	case uint64:
		x = float64(v)
	case float64:
		x = v
	case time.Duration:
		x = v.Seconds()
	default:
		return 0, false
	}
	return x, !math.IsNaN(x) && !math.IsInf(x, 0)
}

var prefixes = [...]string{"", "k", "M", "G", "T", "P", "E"}

// formatSI writes a number with an SI prefix and at most one decimal: "110.7 M", with
// a unit "110.7 Mbit/s". What is no number stays as it is.
func formatSI(v any, unit ...string) string {
	x, ok := numberOf(v)
	if !ok {
		return formatOther(v)
	}
	sign := ""
	if x < 0 {
		sign, x = "-", -x
	}
	i := 0
	for ; i < len(prefixes)-1 && math.Round(x*10)/10 >= 1000; i++ {
		x /= 1000
	}
	number := fmt.Sprintf("%.1f", x)
	if i == 0 {
		number = strings.TrimSuffix(number, ".0")
	}
	return strings.TrimRight(sign+number+" "+prefixes[i]+strings.Join(unit, ""), " ")
}

// formatBytes writes a number of octets: "110.7 MB", in powers of 1000.
func formatBytes(v any) string { return formatSI(v, "B") }

// formatDuration writes a time, or a number of seconds, in its two largest units:
// "2 h 5 min".
func formatDuration(v any) string {
	x, ok := numberOf(v)
	if !ok {
		return formatOther(v)
	}
	sign := ""
	if x < 0 {
		sign, x = "-", -x
	}
	if x < 1 {
		return fmt.Sprintf("%s%d ms", sign, int64(math.Round(x*1000)))
	}
	const day = 24 * 3600
	rest := math.Round(x)
	units := []struct {
		seconds float64
		name    string
	}{{day, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}
	for i, unit := range units {
		n := math.Floor(rest / unit.seconds)
		if n == 0 && i < len(units)-1 {
			continue
		}
		text := fmt.Sprintf("%.0f %s", n, unit.name)
		if i < len(units)-1 {
			next := units[i+1]
			if below := math.Floor((rest - n*unit.seconds) / next.seconds); below > 0 {
				text += fmt.Sprintf(" %.0f %s", below, next.name)
			}
		}
		return sign + text
	}
	return ""
}

// formatOther writes what is no number; a field that is absent is "-".
func formatOther(v any) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(v)
}
