package archive

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// MaxLayout is the highest sub-directory layout, as of nfcapd's -S.
const MaxLayout = 8

// currentPrefix begins the name of a file that is being written; nfdump's scans
// of directories skip it.
const currentPrefix = currentStem + "."

// currentStem begins it, with nfcapd too.
const currentStem = "nfcapd.current"

// leastSlot is the least number that is taken for a slot in a current file's name.
// nfcapd puts its process id there, which is below.
const leastSlot = 100_000_000

// slotOf returns the start of the slot of t, in seconds since 1970.
func slotOf(t time.Time, interval time.Duration) int64 {
	s := int64(interval / time.Second)
	unix := t.Unix()
	return unix - (unix%s+s)%s
}

// subdir returns the sub-directory of a slot in a layout (specification: nfcapd's
// -S, strftime forms: 0 none, 1 %Y/%m/%d, 2 %Y/%m/%d/%H, 3 %Y/%W/%u, 4 %Y/%W/%u/%H,
// 5 %Y/%j, 6 %Y/%j/%H, 7 %Y-%m-%d, 8 %Y-%m-%d/%H).
func subdir(layout int, t time.Time) string {
	var dir string
	switch layout {
	case 1, 2:
		dir = t.Format("2006/01/02")
	case 3, 4:
		monday := (int(t.Weekday()) + 6) % 7 // days since Monday
		week := (t.YearDay() - 1 + 7 - monday) / 7
		dir = fmt.Sprintf("%04d/%02d/%d", t.Year(), week, monday+1)
	case 5, 6:
		dir = fmt.Sprintf("%04d/%03d", t.Year(), t.YearDay())
	case 7, 8:
		dir = t.Format("2006-01-02")
	default:
		return ""
	}
	if layout%2 == 0 {
		dir += t.Format("/15")
	}
	return filepath.FromSlash(dir)
}

// finalName returns the name of a slot's file.
func finalName(t time.Time, interval time.Duration) string {
	if interval < time.Minute {
		return "nfcapd." + t.Format("20060102150405")
	}
	return "nfcapd." + t.Format("200601021504")
}

// currentName returns the name of a slot's file while it is open.
func currentName(slot int64) string { return currentPrefix + strconv.FormatInt(slot, 10) }

// currentSlot returns the slot in the name of an open file, false when the name is
// not one of this package.
func currentSlot(name string) (int64, bool) {
	digits, ok := strings.CutPrefix(name, currentPrefix)
	if !ok {
		return 0, false
	}
	slot, err := strconv.ParseInt(digits, 10, 64)
	return slot, err == nil && slot >= leastSlot && currentName(slot) == name
}
