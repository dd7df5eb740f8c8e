// Package smtpd receives mail: an SMTP server (RFC 5321 with PIPELINING, 8BITMIME,
// ENHANCEDSTATUSCODES, CHUNKING, SIZE, DSN, STARTTLS and AUTH) that takes mail for
// relaying from allowed networks to allowed domains and hands it over before it
// answers 250.
//
// go-smtp speaks the protocol. A guard stands between it and the socket (conn.go,
// command.go): it passes on one command line at a time, checked and rewritten in a
// canonical form, reads message bodies itself, and does STARTTLS and AUTH. So there is one reader of what
// arrives, and the library never sees an octet that was not understood here.
//
// What is promised:
//
//   - Addresses pass the grammar of package address in the form they have on the
//     wire, before any quoting is undone.
//
//   - A line ends with CRLF and a body with CRLF.CRLF, nothing else; a body with a
//     bare CR or LF is refused with 554 5.5.2.
//
//   - A read error ends the session; nothing read after it is a command. A body
//     that is cut short is never accepted.
//
//   - A mail of exactly the size limit is accepted, one octet more is not.
//
//   - A MAIL inside a transaction is refused with 503 and ends that transaction. A
//     MAIL after a recipient was refused starts afresh: clients such as Kapacitor
//     send no RSET then.
//
//   - Connections, commands without a mail, errors and recipients are capped, and
//     every wait has a deadline.
//
//   - A listener is plain, needs STARTTLS before a mail, or begins with TLS. What
//     came before the handshake is forgotten; what came behind STARTTLS in plain
//     text ends the session.
//
//   - Users log in over TLS only (AUTH PLAIN and LOGIN), against hashes; failures
//     are slow and capped.
//
//   - Each client's connections, mails and recipients a minute can be limited.
//
// It knows neither the spool's format nor the next server.
package smtpd
