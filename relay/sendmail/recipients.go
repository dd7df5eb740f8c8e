package sendmail

import "strings"

// mailboxes gives the addresses of a list as RFC 5322 section 3.4 has it, in a header field
// or on a command line: without names, comments, routes and the names of groups, and as they
// are written otherwise. An address may lack its domain.
func mailboxes(list string) (addresses []string) {
	var plain strings.Builder // the words of one address, outside of quotes and comments
	angle := ""
	bracketed := false
	end := func() {
		text := strings.TrimSpace(plain.String())
		if bracketed {
			text = angle
		}
		if text != "" {
			addresses = append(addresses, text)
		}
		plain.Reset()
		angle, bracketed = "", false
	}
	for i := 0; i < len(list); {
		switch c := list[i]; c {
		case '"':
			n := quoted(list[i:])
			plain.WriteString(list[i : i+n])
			i += n
			continue
		case '(':
			i += comment(list[i:])
			continue
		case '<':
			n := brackets(list[i:])
			angle, bracketed = unrouted(list[i+1:i+n]), true
			i += n
			continue
		case ',', ';':
			end()
		case ':': // what stands before is the name of a group
			plain.Reset()
		case '\r', '\n', '\t':
			plain.WriteByte(' ')
		default:
			plain.WriteByte(c)
		}
		i++
	}
	end()
	return addresses
}

// quoted gives the length of the quoted string that s begins with.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// comment gives the length of the comment that s begins with, with those in it.
func comment(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// brackets gives the length of what stands in the angle brackets that s begins with, with the
// first one and without the last.
func brackets(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			i += quoted(s[i:]) - 1
		case '>':
			return i
		}
	}
	return len(s)
}

// unrouted takes a source route off, "@a,@b:c@d" (RFC 5321 appendix C), and spaces.
func unrouted(s string) string {
	if strings.HasPrefix(s, "@") {
		if _, behind, found := strings.Cut(s, ":"); found {
			s = behind
		}
	}
	return strings.TrimSpace(s)
}
