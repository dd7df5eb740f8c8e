// Package archive writes a tree of nfdump files as nfcapd does: one file for each
// slot of time, named after the slot's start, in sub-directories by date.
//
// Slots are aligned to 1970 UTC; names are in local time, or
// in that of Options. Flows go by the time at
// which they were received. A slot's file is open under the name
// nfcapd.current.<start of the slot in seconds since 1970> and gets its name when
// the slot is over, or the archive is closed; both names are in the directory
// that the layout gives. A file that has its name already, after a restart within
// the slot or in the hour that summer time repeats, is opened again and appended
// to.
//
// A Group divides flows among archives by their exporter and writes them all or
// none. Expire removes what is old or too much, Command runs a program for each
// complete file.
//
// What Write has returned nil for has left the process: a kill loses none of it.
// Open makes whole what a kill left behind.
package archive
