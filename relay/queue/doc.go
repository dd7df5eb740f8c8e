// Package queue keeps mails on disk until they are delivered. It knows nothing of
// SMTP sessions or of next servers.
//
// # Promises
//
// When Add returns nil the mail is on stable storage and survives a kill of the
// process and a loss of power. A mail leaves the queue only by Remove or Fail.
// What cannot be read is set aside in a directory of its own, never deleted. A
// result recorded with Record is on stable storage too; a crash between the next
// server's answer and Record may deliver a mail twice, never zero times.
//
// # The spool directory
//
//	lock          held by the process that uses the spool
//	instance      8 hex digits, the first part of every mail's id
//	queue/ID.mail a mail that waits
//	failed/       mails that could not be delivered, for a person to look at
//	held/         an empty file for each mail on hold, named by its id
//	control       a socket, see package control
//	corrupt/      files that could not be read
//	journal/      the write-ahead log
//
// Add appends a mail to the journal; one sync answers for all mails that came in
// meanwhile (group commit). A mail that is delivered at once leaves only a mark
// there. One that has to wait gets a file of its own when a result is recorded, or
// when few mails keep many segments: then these files are synced. A segment is
// deleted when no mail needs it, in order. Making and unlinking a file for every mail
// would cost more than the sync: ext4 does not reuse an inode for some seconds and
// searches past all that were freed.
//
// Open reads the segments and leaves them where they are: a mail that is neither in
// queue/ nor in failed/ nor marked done waits in its segment. Where queue/ has it too,
// the file counts; where failed/ has it, that. The end of every mail is marked as long as
// any segment has its record, whichever of them counts. Close leaves everything as it is.
//
// # A mail file
//
// Integers are big endian. E and B are the lengths of envelope and body.
//
//	offset     size  content
//	0          8     "FGMAIL1\n"
//	8          4     E, at most 1 MiB
//	12         8     B, at most 1 GiB
//	20         E     envelope, JSON
//	20+E       B     the message as it goes onto the wire, before dot-stuffing
//	20+E+B     4     CRC-32C of all octets before
//	24+E+B     8     "\nFGEND1\n"
//
// Result records follow, one for each outcome of an attempt; a torn last one is
// ignored:
//
//	0          4     L, at most 64 KiB
//	4          L     Result, JSON
//	4+L        4     CRC-32C of the octets before, from L on
//
// A journal segment is a sequence of such mails without result records, and of
// marks for mails that are done:
//
//	0          8     "FGDONE1\n"
//	8          2     length N of the id
//	10         N     id
//	10+N       4     CRC-32C of the octets before
package queue
