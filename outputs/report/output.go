package report

import (
	"bufio"
	"io"

	"github.com/flowgraf/flowgraf/outputs/query"
)

// output is where a format goes: a line is appended to buf and written from there.
type output struct {
	opt   Options
	w     *bufio.Writer
	buf   []byte
	clock *clock
}

// newOutput returns an output to w.
func newOutput(w io.Writer, opt Options) output {
	return output{opt: opt, w: bufio.NewWriterSize(w, bufferSize), clock: newClock(&opt)}
}

// write writes b, whose memory is used again.
func (o *output) write(b []byte) error {
	o.buf = b[:0]
	_, err := o.w.Write(b)
	return err
}

// noMatch is what nfdump prints when no flow has matched.
const noMatch = "No matching flows\n"

// none prints no flows.
type none struct{ output }

func openNull(w io.Writer, opt Options) (Printer, error) {
	return &none{newOutput(w, opt)}, nil
}

// Begin prints nothing.
func (n *none) Begin() error { return nil }

// Flow prints nothing.
func (n *none) Flow(*query.Flow) error { return nil }

// End prints the summary.
func (n *none) End(t *query.Totals, u Usage) error { return n.summary(t, u) }

// summary prints the lines of sums.
func (o *output) summary(t *query.Totals, u Usage) error {
	if o.opt.partial {
		return o.w.Flush()
	}
	if t.Records == 0 && !o.opt.saidNone {
		o.w.WriteString(noMatch)
	}
	if !o.opt.Quiet {
		if err := Summary(o.w, t, u, o.opt); err != nil {
			return err
		}
	}
	return o.w.Flush()
}
