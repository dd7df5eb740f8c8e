package query

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limit is what nfdump's -l and -L ask of a row: a counter above a number, or below it. The
// zero value asks nothing.
type Limit struct {
	Set  bool
	Less bool // below it
	Than uint64
}

// ParseLimit reads a limit: a number, with k, m, g or t for powers of 1000, behind a + or
// nothing for more than it, behind a - for less.
func ParseLimit(s string) (Limit, error) {
	digits, less := strings.CutPrefix(s, "-")
	if !less {
		digits = strings.TrimPrefix(s, "+")
	}
	factor := uint64(1)
	if n := len(digits) - 1; n > 0 {
		if power := strings.IndexByte("kmgt", digits[n]|0x20) + 1; power > 0 {
			digits = digits[:n]
			for range power {
				factor *= 1000
			}
		}
	}
	v, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || v > math.MaxUint64/factor {
		return Limit{}, fmt.Errorf("%q: expected a number such as 1000, 10k or 5m, for more than that, "+
			"or -10k for less", s)
	}
	return Limit{Set: true, Less: less, Than: v * factor}, nil
}

// String returns the limit as nfdump says it, as in "> 1000".
func (l Limit) String() string {
	if l.Less {
		return "< " + strconv.FormatUint(l.Than, 10)
	}
	return "> " + strconv.FormatUint(l.Than, 10)
}

// has says whether a counter is within the limit.
func (l Limit) has(v uint64) bool {
	switch {
	case !l.Set:
		return true
	case l.Less:
		return v < l.Than
	}
	return v > l.Than
}
