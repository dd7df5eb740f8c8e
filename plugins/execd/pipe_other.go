//go:build !linux

package execd

import "io"

// widen returns what to write to Telegraf with: to itself. Only Linux lets a pipe be made
// larger.
func widen(to io.Writer) io.Writer { return to }
