package query

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// seriesKey is a protocol and a port, or a slot of them.
type seriesKey struct {
	proto uint8
	port  uint16
	slot  int64
}

// A series has the sums that adding up all flows one by one has, in lines and in all others
// together, by file and by time; partial results only ever grow.
func TestSeriesIsExact(t *testing.T) {
	files := tree(t)
	slotOf := func(path string) int64 { return int64(slices.Index(files, path)) - 1 }
	for _, step := range []int64{0, 250, 60_000} {
		want, sums := map[seriesKey]SlotSum{}, map[seriesKey]uint64{}
		for _, file := range files {
			_, err := Each(context.Background(), []string{file}, func(r *flow.Record) error {
				slot := slotOf(file)
				if step > 0 {
					slot = int64(r.Last.Milli()) / step
				}
				k := seriesKey{r.Proto, r.DstPort, slot}
				s := want[k]
				want[k] = SlotSum{slot, s.Flows + flowsOf(r), s.Packets + r.Packets + r.RevPackets,
					s.Bytes + r.Bytes + r.RevBytes}
				sums[seriesKey{r.Proto, r.DstPort, 0}] += r.Bytes + r.RevBytes
				return nil
			})
			must(t, err)
		}
		a, err := ParseAggregation("proto,dstport")
		must(t, err)
		ask := Series{Aggregation: a, Lines: 7, By: ByBytes, Step: step}
		if step == 0 {
			ask.Slot = slotOf
		}
		compareSeries(t, Input{Files: files}, ask, want, sums)
	}
}

// compareSeries compares a series with the sums of its slots and of its keys.
func compareSeries(t *testing.T, in Input, ask Series, want map[seriesKey]SlotSum, sums map[seriesKey]uint64) {
	t.Helper()
	partial := uint64(0)
	v, err := in.View(context.Background(), View{
		Stats: []Stat{{Element: Proto, Orders: []Order{ByBytes}}}, Series: []Series{ask, {Slot: ask.Slot,
			Step: ask.Step}},
		Every: time.Nanosecond, Partial: func(v *Viewed) {
			if now := v.Series[0].Total.Bytes; now < partial || now != v.Totals.Bytes {
				t.Errorf("a partial result has %d bytes of %d, the one before %d", now, v.Totals.Bytes, partial)
			}
			partial = v.Series[0].Total.Bytes
		}})
	must(t, err)
	got := v.Series[0]
	if got.Keys != len(sums) || len(got.Lines) != min(7, len(sums)) {
		t.Errorf("%d keys in %d lines, of %d", got.Keys, len(got.Lines), len(sums))
	}
	largest := slices.SortedFunc(maps.Values(sums), func(a, b uint64) int { return int(b) - int(a) })
	rest := map[int64]SlotSum{}
	for _, s := range want {
		addSlot(rest, s)
	}
	if total := lineOf(rest); fmt.Sprint(total.Slots) != fmt.Sprint(got.Total.Slots) ||
		fmt.Sprint(total.Slots) != fmt.Sprint(v.Series[1].Lines[0].Slots) {
		t.Errorf("the total is %v, want %v", got.Total, total)
	}
	for i, line := range got.Lines {
		if line.Bytes != largest[i] {
			t.Errorf("line %d has %d bytes, want %d", i, line.Bytes, largest[i])
		}
		for _, s := range line.Slots {
			if w := want[seriesKey{line.Flow.Proto, line.Flow.DstPort, s.Slot}]; w != s {
				t.Errorf("line %d: %v, want %v", i, s, w)
			}
			sum := rest[s.Slot]
			rest[s.Slot] = SlotSum{s.Slot, sum.Flows - s.Flows, sum.Packets - s.Packets, sum.Bytes - s.Bytes}
		}
	}
	maps.DeleteFunc(rest, func(_ int64, s SlotSum) bool { return s.Flows == 0 })
	if others := lineOf(rest); fmt.Sprint(others.Slots) != fmt.Sprint(got.Rest.Slots) {
		t.Errorf("the rest is %v, want %v", got.Rest.Slots, others.Slots)
	}
	if len(v.Tables) != 1 || v.Totals.Bytes != got.Total.Bytes {
		t.Errorf("%d tables, %d bytes of %d", len(v.Tables), got.Total.Bytes, v.Totals.Bytes)
	}
}

// The line with the largest slot comes first when lines are asked for by their peak, and
// with no memory for all rows the rest says so.
func TestSeriesByPeakAndBounded(t *testing.T) {
	files := tree(t)
	a, err := ParseAggregation("srcip")
	must(t, err)
	ask := Series{Aggregation: a, Lines: 3, By: ByPackets, Peak: true, Step: 100}
	v, err := Input{Files: files}.View(context.Background(), View{Series: []Series{ask}})
	must(t, err)
	before := ^uint64(0)
	for _, line := range v.Series[0].Lines {
		peak := slices.MaxFunc(line.Slots, func(a, b SlotSum) int { return int(a.Packets) - int(b.Packets) }).Packets
		if peak > before {
			t.Errorf("a peak of %d behind one of %d", peak, before)
		}
		before = peak
	}
	ask.Lines = 0
	all, err := Input{Files: files}.View(context.Background(), View{Series: []Series{ask}})
	must(t, err)
	bounded, err := Input{Files: files, Memory: 2000}.View(context.Background(), View{Series: []Series{ask}})
	must(t, err)
	if bounded.Totals.Rest.Flows == 0 || bounded.Series[0].Total.Bytes != all.Series[0].Total.Bytes {
		t.Errorf("rest %v, total %d bytes of %d", bounded.Totals.Rest, bounded.Series[0].Total.Bytes,
			all.Series[0].Total.Bytes)
	}
	lines := bounded.Series[0].Rest.Bytes
	for _, line := range bounded.Series[0].Lines {
		lines += line.Bytes
	}
	if !slices.Equal(bounded.Series[0].Total.Slots, all.Series[0].Total.Slots) || lines != all.Series[0].Total.Bytes {
		t.Errorf("%d bytes in all lines and the rest, want %d; the slots are %v, want %v", lines,
			all.Series[0].Total.Bytes, bounded.Series[0].Total.Slots, all.Series[0].Total.Slots)
	}
}
