package execd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// longestLog is how much of a line of the log is passed on: Telegraf's reader ends at
// 64 KiB.
const longestLog = 16 << 10

// RedirectLog passes on what is logged to the standard error of the process in the way
// that Telegraf reads it: lines that begin with their level, "I! ", so that they get the
// same level there. What an output logs is an error there whatever its level: what is
// none goes to info then, which is logged as information. It returns a function that
// writes the rest and restores standard error. Telegraf's logger has to be set up after
// it.
func RedirectLog(direction Direction, info, errs io.Writer) (restore func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	before := os.Stderr
	os.Stderr = w
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.Close()
		relayLog(direction, r, info, errs)
	}()
	return sync.OnceFunc(func() {
		os.Stderr = before
		w.Close()
		<-done
	}), nil
}

// relayLog writes the lines of from in Telegraf's form until it ends.
func relayLog(direction Direction, from io.Reader, info, errs io.Writer) {
	lines := bufio.NewReaderSize(from, longestLog)
	var level byte = 'E'
	for fresh := true; ; {
		line, err := lines.ReadSlice('\n')
		whole := err == nil
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && len(line) == 0 {
			return
		}
		text := bytes.TrimRight(line, "\r\n")
		if fresh {
			if l, rest := levelOf(text); l != 0 {
				level, text = l, rest
			}
			to := errs
			if direction == Output && (level == 'I' || level == 'D' || level == 'T') {
				to = info
			} else {
				text = append([]byte{level, '!', ' '}, text...)
			}
			if len(text) > 0 {
				_, _ = to.Write(append(bytes.Clone(text), '\n')) // nobody could be told
			}
		}
		fresh = whole
	}
}

// levelOf gives the level of a line of Telegraf's logger and what stands behind it; 0 for
// a line of something else, or the second one of a message.
func levelOf(line []byte) (level byte, text []byte) {
	if at, rest, found := bytes.Cut(line, []byte(" ")); found {
		if _, err := time.Parse(time.RFC3339, string(at)); err == nil {
			line = rest
		}
	}
	if len(line) >= 3 && line[1] == '!' && line[2] == ' ' && bytes.IndexByte([]byte("EWIDT"), line[0]) >= 0 {
		return line[0], line[3:]
	}
	return 0, line
}
