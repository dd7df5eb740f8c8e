// Package web is the page over an archive of nfdump files, and its API: what NfSen shows,
// from one process that reads the files and needs nothing beside it.
//
// An Archive knows the files of a tree (tree.go) and the statistics that each keeps
// (store.go); graphs of sources are drawn from these. A Question about flows is answered
// by one scan of outputs/query, whatever it asks for (question.go, answer.go): equal
// questions share a scan, and so many run at most (scans.go). Server (server.go) is the
// API, which openapi.json describes, and the page itself (assets).
//
// Nothing that a user sends becomes part of a file's name or of a command that is run;
// nothing is written but the store, which can be removed at any time.
package web
