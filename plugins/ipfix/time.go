package ipfix

import (
	"encoding/binary"
	"math"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/wire"
)

const (
	milli    = flow.Time(1e6) // a millisecond
	aSecond  = flow.Time(1e9) // a second
	future   = 60 * aSecond   // more than this after export is absurd
	ahead    = 3600_000       // milliseconds: see Age
	epoch    = 2208988800     // seconds from 1900, where NTP begins, to 1970
	maxMilli = math.MaxInt64 / uint64(milli)

	// beginning is when 2000 began, before which no exporter measured flows as here.
	beginning = 946684800 * aSecond

	// estimateAge is how old the last packet of a flow may be at export before
	// an estimated start of the exporter is given up (see Uptime).
	estimateAge = 600 * aSecond
)

// Uptime is the clock of an exporter that counts milliseconds since its start:
// NetFlow v9 and v5 tell it in each header, IPFIX in element 160 or not at all.
// The arithmetic is 32-bit, so that the wrap after 49.7 days does no harm (see Age).
type Uptime struct {
	boot      flow.Time // when the count was 0; wrapped counts wrap back
	known     bool
	estimated bool
}

// Set says that the exporter's count was uptime milliseconds at time at.
func (u *Uptime) Set(at flow.Time, uptime uint32) {
	*u = Uptime{boot: at - flow.Time(uptime)*milli, known: true}
}

// SetBoot says when the exporter started. 0 says nothing.
func (u *Uptime) SetBoot(boot flow.Time) {
	if boot > 0 {
		*u = Uptime{boot: boot, known: true}
	}
}

// Known says whether the exporter itself has told its start.
func (u *Uptime) Known() bool { return u.known && !u.estimated }

// estimate learns from a flow whose last packet was at count last and which was
// exported at the given time: the packet came before the export, so the
// exporter started at exported-last or before. An estimate that would make the
// flow older than estimateAge is from before a restart, and dropped.
func (u *Uptime) estimate(exported flow.Time, last uint32) {
	limit := exported - flow.Time(last)*milli
	if !u.known || limit < u.boot || limit-u.boot > estimateAge {
		*u = Uptime{boot: limit, known: true, estimated: true}
	}
}

// at returns the exporter's count at a time, and the time when it began to be that.
func (u *Uptime) at(exported flow.Time) (count uint32, since flow.Time) {
	up := exported - u.boot
	return uint32(up / milli), exported - up%milli
}

// times are the raw times of one record, until all its fields are read.
type times struct {
	first, last     flow.Time // absolute, 0 unknown
	upFirst, upLast uint32    // counts since the start of the exporter
	hasUp           uint8     // 1 upFirst, 2 upLast
	duration        flow.Time
	boot            uint64 // element 160, milliseconds
}

// milliseconds takes the times of a record that has both in 8 bytes.
func (t *times) milliseconds(first, last []byte) {
	t.first, t.last = flow.Milli(binary.BigEndian.Uint64(first)), flow.Milli(binary.BigEndian.Uint64(last))
}

// set takes one time of a record.
func (t *times) set(o op, f flow.Field, b []byte, r *flow.Record) {
	v := wire.Uint(b)
	var at flow.Time
	switch o {
	case opSeconds:
		at = flow.Milli(min(v, maxMilli/1000) * 1000)
	case opMilliseconds:
		at = flow.Milli(v)
	case opNTP:
		at = ntp(v, len(b))
	case opBefore:
		at = r.Exported - flow.Time(uint32(v))*1000
	case opUptime:
		t.setUptime(f, uint32(v))
		return
	case opBoot:
		t.boot = v
	case opDuration:
		t.duration = flow.Time(uint32(v)) * milli
	case opDurationMicro:
		t.duration = flow.Time(uint32(v)) * 1000
	}
	switch f {
	case flow.FirstSeen:
		t.first = at
	case flow.LastSeen:
		t.last = at
	case flow.EventTime:
		r.EventTime = at
	}
}

// setUptime takes a time that counts from the start of the exporter.
func (t *times) setUptime(f flow.Field, v uint32) {
	if f == flow.FirstSeen {
		t.upFirst, t.hasUp = v, t.hasUp|1
	} else {
		t.upLast, t.hasUp = v, t.hasUp|2
	}
}

// ntp converts a time of n bytes in NTP's format (RFC 7011, sections 6.1.9 and
// 6.1.10): seconds since 1900 and a 32-bit fraction. Exporters that count
// microseconds since 1970 instead are recognised, as their times would lie
// before 1970.
func ntp(v uint64, n int) flow.Time {
	if n != 8 {
		return flow.Milli(v)
	}
	if sec := v >> 32; sec >= epoch {
		return flow.Time(sec-epoch)*aSecond + flow.Time((v&math.MaxUint32)*uint64(aSecond)>>32)
	}
	if v > math.MaxInt64/1000 {
		return 0
	}
	return flow.Time(v) * 1000
}

// apply sets the record's First and Last from the raw times.
func (t *times) apply(r *flow.Record, up *Uptime) {
	if t.hasUp != 0 && up != nil {
		t.fromUptime(r, up)
	}
	if t.duration != 0 {
		if t.first == 0 && t.last == 0 {
			t.last = r.Exported
		}
		if t.first == 0 {
			t.first = t.last - t.duration
		} else if t.last == 0 {
			t.last = t.first + t.duration
		}
	}
	SetTimes(r, t.first, t.last)
}

// fromUptime fills in the times that count from the exporter's start.
func (t *times) fromUptime(r *flow.Record, up *Uptime) {
	if t.boot != 0 {
		up.SetBoot(flow.Milli(t.boot))
	} else if !up.Known() {
		if t.hasUp&2 != 0 {
			up.estimate(r.Exported, t.upLast)
		} else {
			up.estimate(r.Exported, t.upFirst)
		}
	}
	now, since := up.at(r.Exported)
	if t.hasUp&1 != 0 {
		t.first = since - Age(now, t.upFirst)
	}
	if t.hasUp&2 != 0 {
		t.last = since - Age(now, t.upLast)
	}
}

// Age returns how long before the count now an exporter's count of milliseconds was then.
// Counts wrap after 49.7 days, so what seems to lie up to an hour ahead does, and
// everything else is past: a flow may have begun weeks ago.
func Age(now, then uint32) flow.Time {
	age := now - then
	if age > math.MaxUint32-ahead {
		return flow.Time(int32(age)) * milli
	}
	return flow.Time(age) * milli
}

// SetTimes sets First and Last of r to the exporter's times, of which 0 is
// unknown. What is missing is the time of an event (of the end only), else the
// other of the two, else the time of export, else of receipt. How long a flow has
// lasted, or how long ago it was, says nothing against its times (RFC 7012 bounds
// neither). Only what contradicts itself is repaired: a time more than a minute after
// both export and receipt, one before there was any NetFlow of an exporter whose clock
// is right, and an end before the start. The end is then the export, or the start where
// that is later, and the start is the end; the other of the two stays. Present then says
// TimeRepair.
func SetTimes(r *flow.Record, first, last flow.Time) {
	ref := r.Exported
	if ref <= 0 {
		ref = r.Received
	}
	if first > 0 {
		r.Present.Add(flow.FirstSeen)
	}
	if last > 0 {
		r.Present.Add(flow.LastSeen)
	}
	if last <= 0 && r.EventTime > 0 {
		last = r.EventTime
	}
	if first <= 0 && last <= 0 {
		first, last = ref, ref
	}
	if last <= 0 {
		last = first
	}
	if first <= 0 {
		first = last
	}
	repair := false
	latest, earliest := max(ref, r.Received)+future, flow.Time(0)
	if ref > beginning {
		earliest = beginning
	}
	wrongFirst := first > latest || first < earliest
	if last > latest || last < earliest {
		last, repair = ref, true
		if !wrongFirst {
			last = max(first, ref)
		}
	}
	if wrongFirst || first > last {
		first, repair = last, true
	}
	if repair {
		r.Present.Add(flow.TimeRepair)
	}
	r.First, r.Last = first, last
}
