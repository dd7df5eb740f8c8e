package rewrite

// place is what a field holds where a domain is, or is missing.
type place struct {
	local, localEnd int // what stands before it, when that is one atom

	domain, end int  // the domain, or where it belongs
	bare        bool // it is missing
}

// scanner finds domains in a list of addresses (RFC 5322 section 3.4), and names that
// have none.
type scanner struct {
	field []byte
	at    int

	begin int  // of the last atom
	words int  // atoms and quoted strings of the address so far
	last  int  // end of the last one, when it was an atom
	has   bool // it has a domain, or brackets that are read already
}

// next gives the next place, nil at the end.
func (s *scanner) next() *place {
	for s.at < len(s.field) {
		switch c := s.field[s.at]; {
		case c == '(':
			s.comment()
		case c == '"':
			s.quoted()
			s.words, s.last = s.words+1, 0
		case c == '@':
			s.has = true
			return s.domain()
		case c == '<':
			s.at++
			s.words, s.last, s.has = 0, 0, false
		case c == '>':
			if p := s.missing(); p != nil {
				return p
			}
			s.at++
			s.has = true
		case c == ',' || c == ';':
			if p := s.missing(); p != nil {
				return p
			}
			s.at++
			s.words, s.last, s.has = 0, 0, false
		case c == ':': // what stands before is the name of a group
			s.at++
			s.words, s.last = 0, 0
		case isAtext(c):
			s.begin = s.at
			for s.at < len(s.field) && (isAtext(s.field[s.at]) || s.field[s.at] == '.') {
				s.at++
			}
			s.words, s.last = s.words+1, s.at
		default:
			s.at++
		}
	}
	return s.missing()
}

// missing tells where the address that ends here lacks its domain: it is one atom. Of
// several words without brackets none is known to be the address.
func (s *scanner) missing() *place {
	if s.has || s.words != 1 || s.last == 0 {
		return nil
	}
	s.has = true
	return &place{local: s.begin, localEnd: s.last, domain: s.last, end: s.last, bare: true}
}

// domain reads what stands behind an "@".
func (s *scanner) domain() *place {
	var p place
	if s.last == s.at && s.last > 0 {
		p.local, p.localEnd = s.begin, s.last
	}
	s.at++
	p.domain = s.at
	for s.at < len(s.field) && isDomainOctet(s.field[s.at]) {
		s.at++
	}
	p.end = s.at
	return &p
}

// quoted skips a quoted string, comment one with those inside of it.
func (s *scanner) quoted() {
	for s.at++; s.at < len(s.field); s.at++ {
		switch s.field[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return
		}
	}
}

func (s *scanner) comment() {
	for depth := 0; s.at < len(s.field); s.at++ {
		switch s.field[s.at] {
		case '\\':
			s.at++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				s.at++
				return
			}
		}
	}
}

// isAtext is RFC 5322 section 3.2.3.
func isAtext(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '/', '=', '?', '^', '_', '`', '{', '|', '}', '~':
		return true
	}
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
