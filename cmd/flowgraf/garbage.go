package main

import "os"

// garbageRoom is how many bytes of garbage may gather before they are collected,
// besides as many as are in use. A collector makes much garbage and keeps little,
// metrics in the outputs' buffers: where the heap may only double, as Go has it,
// collecting a few megabytes over and over is a quarter of what a metric costs.
const garbageRoom = 64 << 20

// room is never read nor written, so the system gives it no memory; but for Go's
// collector it is in use, and the heap may grow by as much again.
var room []byte

// makeGarbageRoom makes room for garbage, unless GOGC or GOMEMLIMIT say how much there
// may be.
func makeGarbageRoom() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		room = make([]byte, garbageRoom)
	}
}
