//go:build !race

package main

// raceDetector says whether this is a test with the race detector.
const raceDetector = false
