package delivery

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// hidden stands where a server has echoed a secret.
const hidden = "[hidden]"

// gram is how many octets in a row a text must share with a secret to be hidden.
const gram = 5

// secrets are what a server was told to log in, in the shapes in which it may echo it:
// as it is, in base64 at any alignment, in hex and in a URL, whole or in parts. The zero
// value knows none. It is safe for concurrent use.
type secrets struct {
	mu     sync.RWMutex
	values []string // the newest ones
	grams  map[string]bool
	short  []string // shapes shorter than gram, looked for as a whole
}

// maxSecrets is how many are remembered of one server; passwords and tokens change.
const maxSecrets = 16

// addSecrets takes secrets into account.
func (s *secrets) addSecrets(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := len(s.values)
	for _, value := range values {
		if value != "" && !slices.Contains(s.values, value) {
			s.values = append(s.values, value)
		}
	}
	if len(s.values) == known {
		return
	}
	s.values = s.values[max(0, len(s.values)-maxSecrets):]
	s.grams, s.short = map[string]bool{}, nil
	for _, value := range s.values {
		shapes := []string{value, hex.EncodeToString([]byte(value)), url.QueryEscape(value)}
		for alignment := range 3 {
			for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				shapes = append(shapes, aligned(encoding, value, alignment))
			}
		}
		for _, shape := range shapes {
			s.addShape(lower(shape))
		}
	}
}

func (s *secrets) addShape(shape string) {
	if len(shape) < gram {
		if shape != "" {
			s.short = append(s.short, shape)
		}
		return
	}
	for i := range len(shape) - gram + 1 {
		s.grams[shape[i:i+gram]] = true
	}
}

// aligned gives the characters of base64 that a value alone decides when so many octets
// stand in front of it.
func aligned(encoding *base64.Encoding, value string, before int) string {
	text := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + value))
	text = text[min(len(text), (8*before+5)/6):]
	if (before+len(value))%3 != 0 && text != "" {
		text = text[:len(text)-1]
	}
	return text
}

// hide gives a text without the secrets.
func (s *secrets) hide(text string) string {
	if s == nil {
		return text
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.values) == 0 {
		return text
	}
	low := lower(text)
	covered := make([]bool, len(low))
	cover := func(from, to int) {
		for i := from; i < to; i++ {
			covered[i] = true
		}
	}
	for i := range max(0, len(low)-gram+1) {
		if s.grams[low[i:i+gram]] {
			cover(i, i+gram)
		}
	}
	for _, shape := range s.short {
		for i := 0; ; i++ {
			at := strings.Index(low[i:], shape)
			if at < 0 {
				break
			}
			i += at
			cover(i, i+len(shape))
		}
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !covered[i]:
			b.WriteByte(text[i])
		case i == 0 || !covered[i-1]:
			b.WriteString(hidden)
		}
	}
	return b.String()
}

// lower turns ASCII letters only, so that offsets stay.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
