// Package nffile reads nfdump's flow files of layouts 1, 2 and 3 (nfdump 1.6, 1.7
// and 1.8), and writes layout 2.
//
// Writer appends flows to a file block by block, so that what it has flushed
// survives a kill of the process, and it writes only what nfdump 1.7.1 and
// 1.7.8 both accept. Reader gives the flows back, from files of nfdump and of
// this package alike, without allocating per flow; an Extractor reads of each
// flow just what a ranking needs, a Copier takes flows from file to file.
// Resume and Recover make a file whole that a kill left behind; Verify says
// what is wrong with one, and Salvage gets every whole block out of it.
//
// FORMAT.md is the page of the format: the offsets of every structure. All
// integers in a file are little-endian. Encrypted files, and those of big-endian
// machines, are refused with an error that says so.
//
// To add an element: give it a constant and a place in FORMAT.md, write it in
// encode.go (with its bit in planOf), read it in decode.go with the fields it
// makes present and what clears them, and extend wideRecord in the tests. A field
// to rank by has a place in extract.go. An element that is written as it is read
// may stand in writersOrder (copy.go), in its place among those of encode.go.
package nffile
