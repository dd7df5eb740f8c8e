package ipfix_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/ipfix"
)

// ntpOf returns a time in NTP's format (RFC 7011, section 6.1.9), in exact arithmetic.
func ntpOf(t time.Time) uint64 {
	since := big.NewInt(t.UnixNano())
	since.Add(since, new(big.Int).Mul(big.NewInt(2208988800), big.NewInt(1e9))) // 1900
	since.Lsh(since, 32)
	since.Add(since, big.NewInt(1e9-1)) // rounded up: it must not come before the time
	return since.Div(since, big.NewInt(1e9)).Uint64()
}

// TestNTPIsExact decodes times of NTP's format to the nanosecond, and encodes them with an
// error of less than one.
func TestNTPIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 44))
	times := []time.Time{time.Unix(0, 5e8), time.Unix(0, 1), time.Unix(1, 0), time.Unix(2085978495, 999_999_999),
		time.Date(2026, 5, 4, 3, 2, 1, 999_999_999, time.UTC), time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC)}
	for range 500 {
		times = append(times, time.Unix(rng.Int64N(2085978496), rng.Int64N(1e9)))
	}
	tmpl := template(t, 256, f(324, 8), f(154, 8))
	for _, at := range times {
		text := fmt.Sprintf("%016x", ntpOf(at))
		r := one(t, flow.Record{Exported: exported}, text+text, tmpl.Fields...)
		if r.EventTime != flow.Time(at.UnixNano()) {
			t.Fatalf("%v is %v", at.UTC(), r.EventTime.Time())
		}
		var e ipfix.Encoder
		e.Begin(nil, exported)
		e.AddData(tmpl, []flow.Record{{EventTime: r.EventTime, First: r.EventTime, Last: r.EventTime}})
		b := e.End()[20:]
		for _, n := range []uint64{bigEndian(b[:8]), bigEndian(b[8:16])} {
			if diff := int64(ntpOf(at) - n); diff < 0 || diff > 5 { // 4.3 units are a nanosecond
				t.Fatalf("%v is written as %x, want %x", at.UTC(), n, ntpOf(at))
			}
		}
	}
}

// TestEventTimes: each of the elements of an event's time in the unit that IANA's registry
// says, at the bounds of what a time can hold, decoded and written back.
func TestEventTimes(t *testing.T) {
	const s = 1_000_000_000
	for _, c := range []struct {
		id     uint16
		record string
		want   flow.Time
		back   string
	}{
		{322, "00000000", 0, "00000000"},
		{322, "00000001", s, "00000001"},
		{322, "ffffffff", math.MaxUint32 * s, "ffffffff"},
		{323, "0000000000000001", 1_000_000, "0000000000000001"},
		{323, "000008637bd05af6", 9223372036854 * 1_000_000, "000008637bd05af6"}, // the last of a Time
		{323, "000008637bd05af7", 0, "0000000000000000"},
		{323, "ffffffffffffffff", 0, "0000000000000000"},
		{324, "0020c49ba5e353f7", math.MaxInt64 / 1000 * 1000, ""}, // microseconds since 1970, the last
		{324, "0020c49ba5e353f8", 0, ""},
		{324, "83aa7e8000000000", 0, ""}, // NTP's 1970
		{324, "83aa7e7fffffffff", 0, ""}, // and just before
		{325, "83aa7e8180000000", s + s/2, "83aa7e8180000000"},
	} {
		length := uint16(len(c.record) / 2)
		r := one(t, flow.Record{Exported: exported}, c.record, f(c.id, length))
		if r.EventTime != c.want {
			t.Errorf("element %d of %s: %d, want %d", c.id, c.record, r.EventTime, c.want)
		}
		if c.back == "" {
			continue
		}
		r.Extra = nil
		var e ipfix.Encoder
		e.Begin(nil, exported)
		e.AddData(template(t, 256, f(c.id, length)), []flow.Record{r})
		if got := hex.EncodeToString(e.End()[20 : 20+length]); got != c.back {
			t.Errorf("element %d of %s is written as %s, want %s", c.id, c.record, got, c.back)
		}
	}
}

// TestDurations: how long a flow took (161 in milliseconds, 162 in microseconds) tells the
// end that is not told otherwise; with neither, the flow ends when it is exported.
func TestDurations(t *testing.T) {
	x, first := exported, exported-9*1e9
	at := fmt.Sprintf("%016x", first.Milli())
	for _, c := range []struct {
		name        string
		record      string
		fields      []ipfix.FieldSpec
		first, last flow.Time
	}{
		{"start and ms", at + "00000bb8", []ipfix.FieldSpec{f(152, 8), f(161, 4)}, first, first + 3e9},
		{"start and µs", at + "00000bb8", []ipfix.FieldSpec{f(152, 8), f(162, 4)}, first, first + 3e6},
		{"ms and end", "00000bb8" + at, []ipfix.FieldSpec{f(161, 4), f(153, 8)}, first - 3e9, first},
		{"µs and end", "00000bb8" + at, []ipfix.FieldSpec{f(162, 4), f(153, 8)}, first - 3e6, first},
		{"ms alone", "00000bb8", []ipfix.FieldSpec{f(161, 4)}, x - 3e9, x},
		{"µs alone", "00000bb8", []ipfix.FieldSpec{f(162, 4)}, x - 3e6, x},
		{"none of them", "06", []ipfix.FieldSpec{f(4, 1)}, x, x},
		{"all three, which do not agree", at + at + "00000bb8", []ipfix.FieldSpec{f(152, 8), f(153, 8), f(161, 4)}, first,
			first},
		{"a duration of 0", at + "00000000", []ipfix.FieldSpec{f(153, 8), f(161, 4)}, first, first},
	} {
		r := one(t, flow.Record{Exported: x}, c.record, c.fields...)
		if r.First != c.first || r.Last != c.last || r.Has(flow.TimeRepair) {
			t.Errorf("%s: from %v to %v, want %v to %v", c.name, r.First.Time(), r.Last.Time(), c.first.Time(),
				c.last.Time())
		}
		r.Extra = nil
		var e ipfix.Encoder
		e.Begin(nil, x)
		e.AddData(template(t, 256, f(161, 4), f(162, 4)), []flow.Record{r})
		took := c.last - c.first
		if got, want := hex.EncodeToString(e.End()[20:28]), fmt.Sprintf("%08x%08x", took/1e6, took/1e3); got != want {
			t.Errorf("%s: durations are written as %s, want %s", c.name, got, want)
		}
	}
}

// TestTimesAtTheirBounds: what is a minute after export is believed, what is later is not,
// and nothing before 2000 where the exporter's clock is right.
func TestTimesAtTheirBounds(t *testing.T) {
	x := exported
	const y2000 = flow.Time(946684800 * 1e9)
	for _, c := range []struct {
		name        string
		exported    flow.Time
		first, last flow.Time
		want        [2]flow.Time
		repair      bool
	}{
		{"a minute ahead", x, x + 60e9, x + 60e9, [2]flow.Time{x + 60e9, x + 60e9}, false},
		{"a nanosecond more", x, x + 60e9 + 1, x + 60e9 + 1, [2]flow.Time{x, x}, true},
		{"an end beyond, a start that may be", x, x + 5e9, x + 61e9, [2]flow.Time{x + 5e9, x + 5e9}, true},
		{"an end beyond, a start before", x, x - 5e9, x + 61e9, [2]flow.Time{x - 5e9, x}, true},
		{"a start beyond", x, x + 61e9, x - 5e9, [2]flow.Time{x - 5e9, x - 5e9}, true},
		{"2000", x, y2000, x, [2]flow.Time{y2000, x}, false},
		{"just before 2000", x, y2000 - 1, x, [2]flow.Time{x, x}, true},
		{"an end in 2000", x, y2000, y2000, [2]flow.Time{y2000, y2000}, false},
		{"an end before 2000", x, y2000 - 2, y2000 - 1, [2]flow.Time{x, x}, true},
		{"a clock of 2000", y2000, y2000 - 2, y2000 - 1, [2]flow.Time{y2000 - 2, y2000 - 1}, false},
		{"a clock of just later", y2000 + 1, y2000 - 2, y2000, [2]flow.Time{y2000, y2000}, true},
	} {
		r := flow.Record{Exported: c.exported}
		ipfix.SetTimes(&r, c.first, c.last)
		if got := [2]flow.Time{r.First, r.Last}; got != c.want || r.Has(flow.TimeRepair) != c.repair {
			t.Errorf("%s: %v to %v, repaired %v, want %v to %v, %v", c.name, got[0].Time(), got[1].Time(),
				r.Has(flow.TimeRepair), c.want[0].Time(), c.want[1].Time(), c.repair)
		}
	}
}

// TestClockIsLeftAlone: a record without counts from the exporter's start says nothing of
// it, and counts without any clock are no times.
func TestClockIsLeftAlone(t *testing.T) {
	var up ipfix.Uptime
	d := ipfix.RecordDecoder{Base: flow.Record{Exported: exported}, Uptime: &up}
	var r flow.Record
	if _, err := d.Decode(template(t, 256, f(4, 1)), &r, []byte{6}); err != nil || up != (ipfix.Uptime{}) {
		t.Errorf("%v, the clock is %+v", err, up)
	}
	if r := one(t, flow.Record{Exported: exported}, "000003e8"+"000007d0", f(22, 4), f(21, 4)); r.First != exported ||
		r.Last != exported || r.Has(flow.FirstSeen) || r.Has(flow.LastSeen) {
		t.Errorf("from %v to %v", r.First.Time(), r.Last.Time())
	}
	for _, c := range []struct{ at, uptime, want flow.Time }{
		{exported, 0, exported}, {exported, 1000, exported - 1e9}, {exported, math.MaxUint32, exported - math.MaxUint32*1e6},
	} {
		var told, same ipfix.Uptime
		told.Set(c.at, uint32(c.uptime))
		same.SetBoot(c.want)
		if !told.Known() || told != same {
			t.Errorf("%d ms at %v: %+v, want %+v", c.uptime, c.at.Time(), told, same)
		}
	}
}
