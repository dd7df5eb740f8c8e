// Package startup keeps Go's garbage collector from running before main does.
//
// The packages of Telegraf's plugins fill some megabytes of tables while they initialise,
// just enough for one collection, which finds next to nothing to free: it is a quarter of
// what the start of the process costs, and most of what flowgraf dump costs for few flows.
// Go initialises a package as soon as all that it imports is, in the order of their
// paths: this one, which imports next to nothing, comes before those with the tables.
package startup

import "runtime/debug"

// percent is what GOGC says, or Go's 100.
var percent = debug.SetGCPercent(-1)

// Done lets garbage be collected from now on, as GOGC says. It must be called.
func Done() { debug.SetGCPercent(percent) }
