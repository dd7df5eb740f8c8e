package smtpd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"time"
)

// body is a message as it was read, dots removed.
type body struct {
	octets  []byte
	tooLong bool          // over the limit; octets are incomplete
	places  chan struct{} // that it has a place of; nil when it has none
	bare    bool          // has a CR without LF or a LF without CR
}

// readBody reads a message after DATA up to CRLF.CRLF. An error means that it was
// cut, and ends the session.
func (c *conn) readBody() (*body, error) {
	opts := c.srv.options()
	c.wait(time.Now().Add(opts.DataTimeout), true)
	defer c.silentSince.Store(0)
	if err := c.flush(); err != nil {
		c.err = err
		return nil, err
	}
	b := &body{octets: make([]byte, 0, 4<<10)}
	lineStart, afterCR := true, false
	for {
		if c.r.Buffered() == 0 {
			c.silentSince.Store(time.Now().UnixNano())
		}
		piece, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			c.err = err
			b.release()
			return nil, fmt.Errorf("message cut short: %w", err)
		}
		if lineStart && string(piece) == ".\r\n" {
			c.bodyEnd = true
			return b, nil
		}
		if lineStart && piece[0] == '.' {
			piece = piece[1:]
		}
		lineStart = b.addPiece(piece, &afterCR, opts.MaxMessageSize)
		if err := b.grow(c.srv); err != nil {
			c.err = err
			return nil, err
		}
	}
}

// Large messages, each of which takes several times its size while it is edited and
// stored, are kept in memory a few at a time; further ones are not read on meanwhile.
const (
	largeMessage  = 1 << 20 // octets
	largeMessages = 8
	largeWait     = time.Minute
)

var errCrowded = errors.New("too many large messages at a time")

// grow gets a place for a message that has become large.
func (b *body) grow(s *Server) error {
	if b.places != nil || len(b.octets) <= largeMessage {
		return nil
	}
	timer := time.NewTimer(min(s.options().largeWait, s.options().DataTimeout))
	defer timer.Stop()
	select {
	case s.large <- struct{}{}:
		b.places = s.large
		return nil
	case <-timer.C:
		return errCrowded
	}
}

// release frees the message's place.
func (b *body) release() {
	if b.places != nil {
		<-b.places
		b.places = nil
	}
}

// addPiece takes a piece that has no LF but maybe a last one, and tells whether a line
// ended with CRLF. afterCR carries over that the piece before ended with CR.
func (b *body) addPiece(piece []byte, afterCR *bool, limit int64) (lineEnd bool) {
	if len(piece) == 0 {
		return false
	}
	text := piece
	if piece[len(piece)-1] == '\n' {
		text = piece[:len(piece)-1]
		if len(text) > 0 && text[len(text)-1] == '\r' {
			text = text[:len(text)-1]
			lineEnd = true
			b.bare = b.bare || *afterCR
		} else {
			lineEnd = len(text) == 0 && *afterCR
			b.bare = b.bare || !lineEnd
		}
		*afterCR = false
	} else {
		b.bare = b.bare || *afterCR
		*afterCR = text[len(text)-1] == '\r'
		if *afterCR {
			text = text[:len(text)-1]
		}
	}
	b.bare = b.bare || bytes.IndexByte(text, '\r') >= 0
	if int64(len(b.octets)+len(piece)) > limit {
		b.tooLong = true
		return lineEnd
	}
	b.octets = append(b.octets, piece...)
	return lineEnd
}
