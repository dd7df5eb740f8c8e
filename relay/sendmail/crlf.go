package sendmail

import (
	"bufio"
	"io"
)

// crlfReader gives what r has with CRLF at the end of each line, as SMTP wants it.
func crlfReader(r io.Reader) io.Reader {
	return &crlf{in: bufio.NewReader(r)}
}

type crlf struct {
	in      *bufio.Reader
	last    byte
	pending bool // an LF is to be given
}

// Read implements io.Reader. It waits for no more than one line.
func (c *crlf) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.pending {
			c.pending, c.last = false, '\n'
			p[n] = '\n'
			n++
			return n, nil
		}
		b, err := c.in.ReadByte()
		if err != nil {
			return n, err
		}
		if b == '\n' && c.last != '\r' {
			b, c.pending = '\r', true
		}
		c.last = b
		p[n] = b
		n++
		if b == '\n' {
			return n, nil
		}
	}
	return n, nil
}
