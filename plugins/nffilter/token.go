package nffilter

import (
	"fmt"
	"strings"
)

// kind is what a token is.
type kind uint8

const (
	endToken     kind = iota
	wordToken         // letters, digits and _ : . - /
	quotedToken       // in ' or "
	symbolToken       // ( ) [ ] , %
	compareToken      // = == < > <= >= !=
	notToken          // !
	andToken          // &&
	orToken           // ||
)

// token is a piece of a filter and where it begins.
type token struct {
	kind kind
	text string // without quotes
	off  int    // bytes from the start of the filter
	end  int
}

// is says whether t is the word, in any case of letters.
func (t token) is(word string) bool { return t.kind == wordToken && strings.EqualFold(t.text, word) }

// symbol says whether t is the symbol.
func (t token) symbol(s string) bool { return t.kind == symbolToken && t.text == s }

// maxText bounds a filter, what it includes as well, in bytes.
const maxText = 1 << 20

// tokens cuts a filter into tokens, the last of which is an endToken. Comments, from
// # to the end of the line, are passed over.
func tokens(text string) ([]token, *Error) {
	if len(text) > maxText {
		return nil, &Error{Message: fmt.Sprintf("a filter has at most %d bytes, this one has %d", maxText, len(text))}
	}
	var list []token
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case isBlank(c):
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		default:
			t, err := next(text, i)
			if err != nil {
				return nil, err
			}
			list = append(list, t)
			i = t.end
		}
	}
	return append(list, token{kind: endToken, off: len(text), end: len(text)}), nil
}

// next returns the token that begins at off.
func next(text string, off int) (token, *Error) {
	if c := text[off]; c == '\'' || c == '"' {
		n := strings.IndexByte(text[off+1:], c)
		if n < 0 {
			return token{}, at(text, off, len(text), "the text that begins with %c has no end", c)
		}
		return token{quotedToken, text[off+1 : off+1+n], off, off + n + 2}, nil
	}
	for _, s := range []struct {
		text string
		kind kind
	}{
		{"&&", andToken}, {"||", orToken}, {"==", compareToken}, {"<=", compareToken}, {">=", compareToken},
		{"!=", compareToken}, {"=", compareToken}, {"<", compareToken}, {">", compareToken}, {"!", notToken},
		{"(", symbolToken}, {")", symbolToken}, {"[", symbolToken}, {"]", symbolToken}, {",", symbolToken},
		{"%", symbolToken},
	} {
		if strings.HasPrefix(text[off:], s.text) {
			return token{s.kind, s.text, off, off + len(s.text)}, nil
		}
	}
	end := off
	for end < len(text) && isWord(text[end]) {
		end++
	}
	if end == off {
		return token{}, at(text, off, off+1, "%q has no meaning in a filter", text[off:off+1])
	}
	return token{wordToken, text[off:end], off, end}, nil
}

func isBlank(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}

// isWord says whether c stands in words: names, numbers, addresses, networks, times.
func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_:.-/@+", c) >= 0
}
