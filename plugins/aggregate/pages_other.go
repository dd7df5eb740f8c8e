//go:build !linux

package aggregate

// wantHugePages does nothing: only Linux takes such a hint.
func wantHugePages([]uint64) {}
