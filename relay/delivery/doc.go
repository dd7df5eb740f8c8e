// Package delivery sends the queue's mails to smarthosts: an SMTP client (RFC 5321,
// with PIPELINING, SIZE, 8BITMIME and STARTTLS, RFC 3207) and a scheduler.
//
// The client is our own and small. It says our name from the first EHLO on, caps
// what a server may answer, puts a deadline on every step, and tells at which step
// a server refused, which decides what the refusal means:
//
//	no connection, banner, EHLO, TLS, AUTH  the server's fault: it is paused and the next
//	                                   one is tried
//	MAIL refused                       the mail waits; the next server is tried
//	4xx, or no answer before the dot   the recipients concerned wait; the next is tried
//	5xx about this relay               the same, and an alarm
//	5xx otherwise                      these recipients have failed for good
//	no answer to the dot               the mail waits; another server would make it two
//
// What one mail provokes is not the server's fault: the next mail is tried at once on a
// fresh connection. Only when it happens to several different mails in a row the server
// is in doubt, and paused for a short time. An attempt that lasts long gives its place to
// another mail.
//
// A smarthost's name stands for all of its addresses, each a server with its own pauses
// (RFC 5321 section 5.1). A paused server gets one connection as a probe, by a critical
// mail when there is one; when that works, the whole queue drains. Mails that were never
// tried are not put off by it. Age alone expires nothing: a mail is given up after an
// attempt that failed. After a failed write of a body the socket is closed, so that half a
// mail can never be completed.
//
// Files: sender.go has the workers, entry.go the waiting mails, route.go their
// destinations, place.go and mx.go the servers of these, host.go the state of one server,
// attempt.go one mail's way through them, client.go and transaction.go the dialogue,
// reply.go what is answered, verdict.go what that means, result.go what becomes of it,
// expiry.go when enough is enough.
//
// It logs in with PLAIN, LOGIN, CRAM-MD5 or XOAUTH2 (RFC 4954), over encrypted and
// verified connections unless told otherwise. In the place of a smarthost may stand a
// maildir, an mbox (RFC 4155) or a file on this machine.
//
// It promises that a mail leaves the queue only when every recipient has a final
// result, recorded before the queue forgets it.
package delivery
