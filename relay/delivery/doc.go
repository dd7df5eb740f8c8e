// Package delivery sends the queue's mails to smarthosts: an SMTP client (RFC 5321,
// with PIPELINING, SIZE, 8BITMIME and STARTTLS, RFC 3207) and a scheduler.
//
// The client is our own and small. It says our name from the first EHLO on, caps
// what a server may answer, puts a deadline on every step, and tells at which step
// a server refused, which decides what the refusal means:
//
//	no connection, banner, EHLO, TLS, AUTH  the smarthost's fault: it is paused and the
//	                                   next one is tried
//	MAIL refused                       the mail waits; the next smarthost is tried
//	RCPT 5xx                           this recipient has failed for good
//	RCPT 4xx                           this recipient waits
//	DATA or the final dot, 5xx         all accepted recipients have failed for good
//	DATA or the final dot, 4xx         they wait
//	connection lost inside a mail      the mail waits and the smarthost is paused
//
// A paused smarthost gets one connection as a probe; when that works, the whole
// queue drains. Mails that were never tried are not put off by it. After a failed
// write of a body the socket is closed, so that half a mail can never be completed.
//
// It logs in with PLAIN, LOGIN, CRAM-MD5 or XOAUTH2 (RFC 4954), over encrypted and
// verified connections unless told otherwise. In the place of a smarthost may stand a
// maildir, an mbox (RFC 4155) or a file on this machine.
//
// It promises that a mail leaves the queue only when every recipient has a final
// result, recorded before the queue forgets it.
package delivery
