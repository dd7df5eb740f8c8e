// Package handover lets what one configuration has open outlive its reload: sockets
// whose exporters go on sending, and what was learned from them.
//
// The agent calls Begin before it stops the inputs of the old configuration; an input
// that is stopped then leaves what is expected by name, instead of closing it; the input
// of the new configuration takes it. Without a reload nothing can be left, so nothing
// outlives a stop. There is one agent in a process, so there is one place for that.
package handover

import "sync"

// Estate is what is left. Stop closes it; it is called when nobody takes it.
type Estate interface{ Stop() }

var (
	mu       sync.Mutex
	expected map[string]bool
	left     map[string]Estate
)

// Begin starts a reload: what has one of the names may be left from now on. What was
// left before, and not taken yet, stays when it has one of the names: one reload may come
// while the inputs of the one before are about to start. The rest is stopped.
func Begin(names ...string) {
	mu.Lock()
	before := left
	expected, left = map[string]bool{}, map[string]Estate{}
	for _, name := range names {
		expected[name] = true
		if e, waits := before[name]; waits {
			left[name] = e
			delete(before, name)
		}
	}
	mu.Unlock()
	for _, e := range before {
		e.Stop()
	}
}

// Expected says whether an estate of this name may be left now.
func Expected(name string) bool {
	mu.Lock()
	defer mu.Unlock()
	return expected[name]
}

// Leave leaves an estate under a name. It returns false when it is not expected: then
// it is still the caller's.
func Leave(name string, e Estate) bool {
	mu.Lock()
	defer mu.Unlock()
	if _, waits := left[name]; waits || !expected[name] {
		return false
	}
	delete(expected, name)
	left[name] = e
	return true
}

// Take returns what was left under a name, nil when nothing was. It is the caller's
// from then on.
func Take(name string) Estate {
	mu.Lock()
	defer mu.Unlock()
	e := left[name]
	delete(left, name)
	return e
}

// End ends a reload: what nobody took is stopped.
func End() {
	mu.Lock()
	rest := left
	expected, left = nil, nil
	mu.Unlock()
	for _, e := range rest {
		e.Stop()
	}
}
