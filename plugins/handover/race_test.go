package handover

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// owned is an estate that knows how often it was stopped, and how often taken.
type owned struct{ stopped, taken atomic.Int32 }

func (o *owned) Stop() { o.stopped.Add(1) }

// TestEachEstateHasOneOwner lets inputs leave and take while reloads begin and end: what was
// left is either taken or stopped, and once; what was not accepted is neither.
func TestEachEstateHasOneOwner(t *testing.T) {
	names := []string{"udp://:2055", "udp://:4739", "tcp://:4739", "udp://:6343"}
	var mine, left []*owned
	var keep sync.Mutex
	var all sync.WaitGroup
	for worker := range 6 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 91))
			for range 2000 {
				name := names[rng.IntN(len(names))]
				switch rng.IntN(8) {
				case 0:
					Begin(names[:rng.IntN(len(names)+1)]...)
				case 1:
					End()
				case 2, 3:
					if e := Take(name); e != nil {
						e.(*owned).taken.Add(1)
					}
				case 4:
					Expected(name)
				default:
					o := &owned{}
					accepted := Leave(name, o)
					keep.Lock()
					if accepted {
						left = append(left, o)
					} else {
						mine = append(mine, o)
					}
					keep.Unlock()
				}
			}
		})
	}
	all.Wait()
	End()
	for i, o := range left {
		if o.stopped.Load()+o.taken.Load() != 1 {
			t.Fatalf("estate %d of %d: stopped %d times, taken %d times", i, len(left), o.stopped.Load(), o.taken.Load())
		}
	}
	for _, o := range mine {
		if o.stopped.Load()+o.taken.Load() != 0 {
			t.Fatalf("an estate that was not accepted: stopped %d times, taken %d times", o.stopped.Load(), o.taken.Load())
		}
	}
	if len(left) < 10 || len(mine) < 10 {
		t.Errorf("%d were accepted, %d were not", len(left), len(mine))
	}
}

// TestReloadsInARow: what was left for one reload, and what is expected, after each of the ways
// in which the next one can come.
func TestReloadsInARow(t *testing.T) {
	for _, c := range []struct {
		name     string
		steps    []string // begin NAMES, leave NAME, take NAME, end
		stopped  string   // names of estates, in their order, of which none was stopped twice
		expected string
	}{
		{"nothing left", []string{"begin a b", "end"}, "", ""},
		{"left and ended", []string{"begin a b", "leave a", "end"}, "a", ""},
		{"left and taken", []string{"begin a", "leave a", "take a", "end"}, "", ""},
		{"begun again with it", []string{"begin a", "leave a", "begin a"}, "", "a"},
		{"begun again with it, and ended", []string{"begin a", "leave a", "begin a", "end"}, "a", ""},
		{"begun again without it", []string{"begin a b", "leave a", "leave b", "begin b"}, "a", "b"},
		{"begun again with no name", []string{"begin a", "leave a", "begin"}, "a", ""},
		{"not begun", []string{"leave a", "end"}, "", ""},
		{"behind the end", []string{"begin a", "end", "leave a", "end"}, "", ""},
		{"a name that is not expected", []string{"begin a", "leave b", "end"}, "", ""},
		{"taken late and left again", []string{"begin a", "leave a", "begin a", "take a", "leave a", "end"}, "a", ""},
	} {
		End()
		estates := map[string]*owned{}
		for _, step := range c.steps {
			var verb, first, second string
			fmt.Sscan(step, &verb, &first, &second)
			switch verb {
			case "begin":
				var names []string
				for _, name := range []string{first, second} {
					if name != "" {
						names = append(names, name)
					}
				}
				Begin(names...)
			case "leave":
				if o := (&owned{}); Leave(first, o) {
					estates[first] = o
				}
			case "take":
				if Take(first) == nil {
					t.Errorf("%s: nothing to take", c.name)
				}
			case "end":
				End()
			}
		}
		stopped, expected := "", ""
		for _, name := range []string{"a", "b"} {
			if o := estates[name]; o != nil && o.stopped.Load() > 0 {
				stopped += name
				if o.stopped.Load() > 1 {
					t.Errorf("%s: %s was stopped %d times", c.name, name, o.stopped.Load())
				}
			}
			if Expected(name) {
				expected += name
			}
		}
		if stopped != c.stopped || expected != c.expected {
			t.Errorf("%s: %q were stopped, want %q; %q are expected, want %q", c.name, stopped, c.stopped, expected, c.expected)
		}
		End()
	}
}
