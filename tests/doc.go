// Package tests is the evidence on the whole binary: it builds flowgraf, runs
// it as a user would, and lets it talk to the real programs of the field.
// Every server is started here, on loopback and a free port, and stopped here.
//
// A test whose peer is not installed is skipped and says which; with
// FLOWGRAF_PEERS=required, as in CI, it fails. "make test" installs them.
package tests
