package main

import "os"

// garbageBytes is how many bytes of garbage may gather before they are collected,
// besides as many as are in use. A collector makes much garbage and keeps little,
// metrics in the outputs' buffers: where the heap may only double, as Go has it,
// collecting a few megabytes over and over is a third of what a metric costs.
const garbageBytes = 64 << 20

// garbageRoom makes room for garbage, for as long as the result is kept alive, unless
// GOGC or GOMEMLIMIT say how much there may be. It is never read nor written, so the
// system gives it no memory; but for Go's collector it is in use, and the heap may grow
// by as much again.
func garbageRoom() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, garbageBytes)
}
