package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
)

// garbageBytes is how many bytes of garbage may gather before they are collected,
// besides as many as are in use. A collector makes much garbage and keeps little,
// metrics in the outputs' buffers: where the heap may only double, as Go has it, a few
// megabytes are collected over and over. More than this makes nothing cheaper: pages
// that the heap has not had before cost as much as collections.
const garbageBytes = 16 << 20

// garbageRoom makes room for garbage, for as long as the result is kept alive, unless
// GOGC or GOMEMLIMIT say how much there may be. It is never read nor written, so the
// system gives it no memory; but for Go's collector it is in use, and the heap may grow
// by as much again.
func garbageRoom() []byte {
	if garbageIsSet() {
		return nil
	}
	return make([]byte, garbageBytes)
}

// garbageIsSet says whether the user has said how much garbage there may be.
func garbageIsSet() bool { return os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" }

// lateBytes is how much memory a query takes before garbage is collected for the first time.
const lateBytes = 128 << 20

// collectLate puts the first collection of garbage off until the memory is lateBytes, unless
// GOGC or GOMEMLIMIT say how much there may be: most queries are over by then, and the
// first collection, through all that packages have filled, costs more than what it finds.
// From then on there may be percent of what is in use.
func collectLate(percent int) {
	if garbageIsSet() {
		return
	}
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(lateBytes)
	runtime.AddCleanup(&struct{ self *int }{}, func(percent int) { // of no use, so the first collection finds it
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(math.MaxInt64)
	}, percent)
}
