package report

import "time"

// clock writes times of a location. It keeps the texts of the minutes written last:
// the flows of a file are within a few.
type clock struct {
	location *time.Location
	minutes  [clockMinutes]minute
}

// clockMinutes is how many minutes a clock keeps, a power of two.
const clockMinutes = 16

// minute is the text of a minute.
type minute struct {
	number uint64 // since 1970, plus one; 0 is none
	text   [len(minuteLayout)]byte
}

// The layouts of times and of the minutes in them.
const (
	minuteLayout = "2006-01-02 15:04:"
	timeLayout   = "2006-01-02 15:04:05"
)

// newClock returns a clock of the location of o.
func newClock(o *Options) *clock { return &clock{location: o.location()} }

// seconds appends a time of ms milliseconds since 1970, to the second.
func (c *clock) seconds(b []byte, ms uint64) []byte {
	s := ms / 1000
	m := &c.minutes[s/60%clockMinutes]
	if m.number != s/60+1 {
		t := time.Unix(int64(s/60*60), 0).In(c.location)
		if t.Second() != 0 || t.Year() > 9999 { // an offset that is no whole minute; a longer text
			return time.Unix(int64(s), 0).In(c.location).AppendFormat(b, timeLayout)
		}
		t.AppendFormat(m.text[:0], minuteLayout)
		m.number = s/60 + 1
	}
	s %= 60
	b = append(b, m.text[:]...)
	return append(b, byte('0'+s/10), byte('0'+s%10))
}

// time appends a time of ms milliseconds since 1970.
func (c *clock) time(b []byte, ms uint64) []byte {
	b = append(c.seconds(b, ms), '.')
	ms %= 1000
	return append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

// iso appends a time as time does, with a T between date and time.
func (c *clock) iso(b []byte, ms uint64) []byte {
	n := len(b)
	b = c.time(b, ms)
	if len(b) > n+10 {
		b[n+10] = 'T'
	}
	return b
}
