//go:build !linux

package aggregate

// WantHugePages does nothing: only Linux takes such a hint.
func WantHugePages[T any]([]T) {}
