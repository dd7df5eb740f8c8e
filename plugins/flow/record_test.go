package flow

import (
	"net/netip"
	"testing"
	"time"
)

func TestResetKeepsNothingButMemory(t *testing.T) {
	r := Record{Src: netip.MustParseAddr("192.0.2.1"), Bytes: 7, Extra: make([]Element, 3, 8)}
	r.Present.Add(Src)
	r.Reset()
	if r.Src.IsValid() || r.Bytes != 0 || r.Has(Src) || len(r.Extra) != 0 {
		t.Fatalf("something is left: %+v", r)
	}
	if cap(r.Extra) != 8 {
		t.Fatal("the memory of Extra was given away")
	}
}

func TestSet(t *testing.T) {
	var s Set
	for f := Field(0); f < numFields; f++ {
		s.Add(f)
	}
	for f := Field(0); f < numFields; f++ {
		if !s.Has(f) {
			t.Fatalf("field %d is missing", f)
		}
		s.Remove(f)
		if s.Has(f) {
			t.Fatalf("field %d is still there", f)
		}
	}
	if s != (Set{}) {
		t.Fatalf("left over: %x", s)
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]Field{}
	for f := Field(0); f < numFields; f++ {
		name := f.Name()
		if name == "" {
			continue
		}
		if other, ok := seen[name]; ok {
			t.Errorf("fields %d and %d are both %q", other, f, name)
		}
		seen[name] = f
		if got, ok := FieldByName(name); !ok || got != f {
			t.Errorf("FieldByName(%q) = %d, %t", name, got, ok)
		}
	}
	if _, ok := FieldByName(""); ok {
		t.Error("the empty name is a field")
	}
}

func TestTime(t *testing.T) {
	at := time.Date(2016, 12, 22, 12, 17, 37, 5e6, time.UTC)
	if ft := TimeOf(at); ft.Milli() != 1482409057005 || !ft.Time().Equal(at) || Milli(1482409057005) != ft {
		t.Fatalf("%v is not the same after a round trip", at)
	}
	if Milli(1<<63) != 0 || TimeOf(time.Unix(-1, 0)) != 0 || TimeOf(time.Unix(1<<40, 0)) != 0 {
		t.Fatal("a time out of range is not unknown")
	}
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		r    Record
		want uint64
	}{{Record{}, 1}, {Record{SamplingRate: 1}, 1}, {Record{SamplingRate: 100}, 100},
		{Record{SamplingRate: 100, Event: true}, 1}} {
		if got := c.r.Rate(); got != c.want {
			t.Errorf("Rate of %d (event %t) = %d, want %d", c.r.SamplingRate, c.r.Event, got, c.want)
		}
	}
}
