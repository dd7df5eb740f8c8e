package execd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// The bounds of what is read: a line, and how many names are kept to be used again.
const (
	maxLine  = 16 << 20
	maxNames = 4096
	maxName  = 256 // bytes
)

// errLine is wrapped by the error about a line that is no line protocol: the one behind
// it can be read.
var errLine = errors.New("no line protocol")

// reader reads metrics.
type reader struct {
	from   *bounded
	dec    *lineprotocol.Decoder
	names  map[string]string
	tags   []telegraf.Tag
	fields []telegraf.Field
}

func newReader(from io.Reader) *reader {
	b := &bounded{from: from}
	return &reader{from: b, dec: lineprotocol.NewDecoder(b), names: map[string]string{}}
}

// next returns the next metric, io.EOF at the end, and an error that wraps errLine when a
// line was left out.
func (r *reader) next() (telegraf.Metric, error) {
	if !r.dec.Next() {
		err := r.from.err
		if err == nil {
			err = r.dec.Err()
		}
		if err == nil || errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("reading metrics from Telegraf: %w", err)
	}
	m, err := r.metric()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLine, err)
	}
	return m, nil
}

// metric decodes the line at hand.
func (r *reader) metric() (telegraf.Metric, error) {
	b, err := r.dec.Measurement()
	if err != nil {
		return nil, err
	}
	name := r.name(b)
	r.tags, r.fields = r.tags[:0], r.fields[:0]
	for {
		key, value, err := r.dec.NextTag()
		if err != nil {
			return nil, err
		}
		if key == nil {
			break
		}
		r.tags = append(r.tags, telegraf.Tag{Key: r.name(key), Value: r.name(value)})
	}
	for {
		key, value, err := r.dec.NextField()
		if err != nil {
			return nil, err
		}
		if key == nil {
			break
		}
		r.fields = append(r.fields, telegraf.Field{Key: r.name(key), Value: value.Interface()})
	}
	at, err := r.dec.Time(lineprotocol.Nanosecond, time.Time{})
	if err != nil {
		return nil, err
	}
	if at.IsZero() {
		at = time.Now()
	}
	r.orderTags()
	return flowmetric.New(name, r.tags, r.fields, at), nil
}

// orderTags sorts the tags by key; of two with one key the later one stays.
func (r *reader) orderTags() {
	byKey := func(a, b telegraf.Tag) int { return strings.Compare(a.Key, b.Key) }
	slices.SortStableFunc(r.tags, byKey)
	kept := r.tags[:0]
	for i, tag := range r.tags {
		if i == len(r.tags)-1 || r.tags[i+1].Key != tag.Key {
			kept = append(kept, tag)
		}
	}
	r.tags = kept
}

// name returns b as a string. Names come again and again.
func (r *reader) name(b []byte) string {
	if s, known := r.names[string(b)]; known {
		return s
	}
	s := string(b)
	if len(s) <= maxName && len(r.names) < maxNames {
		r.names[s] = s
	}
	return s
}

// bounded ends the stream at a line that is longer than memory should be. It keeps the
// error of the stream, which the decoder does not tell from those of lines.
type bounded struct {
	from io.Reader
	line int
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.from.Read(p)
	if last := bytes.LastIndexByte(p[:n], '\n'); last >= 0 {
		b.line = n - last - 1
	} else {
		b.line += n
	}
	if err == nil && b.line > maxLine {
		err = fmt.Errorf("a line has more than %d bytes", maxLine)
	}
	b.err = err
	return n, err
}
