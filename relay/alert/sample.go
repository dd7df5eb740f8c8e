package alert

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Sample is one metric.
type Sample struct {
	// Name is the measurement.
	Name string
	// Tags and Fields are only read; they must not change after Apply, which keeps the
	// last ones of an id that is not OK.
	Tags map[string]string
	// Fields hold int64, uint64, float64, string and bool.
	Fields map[string]any
	// Time is the metric's own time.
	Time time.Time
}

// group names the series among those of its measurement: "tag=value,…" in the
// order of the tags' names, or "nil" without tags.
func (s *Sample) group() string {
	if len(s.Tags) == 0 {
		return "nil"
	}
	var b strings.Builder
	for i, key := range slices.Sorted(maps.Keys(s.Tags)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(key + "=" + s.Tags[key])
	}
	return b.String()
}

// Level is how bad something is.
type Level int

// The levels, in their order.
const (
	OK Level = iota
	Info
	Warning
	Critical
)

var levelNames = [...]string{"OK", "INFO", "WARNING", "CRITICAL"}

// String gives the level's name as it stands in templates and mails.
func (l Level) String() string {
	if l < OK || l > Critical {
		return "unknown"
	}
	return levelNames[l]
}
