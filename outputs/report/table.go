package report

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/flowgraf/flowgraf/outputs/query"
)

// Terminal is where a table goes. The zero value is a file: as wide as the table is, and
// without colours.
type Terminal struct {
	Width   int  // columns, 0 is without a bound
	Colours bool // escape sequences of ECMA-48 are understood
}

// tableTags are the columns of a table.
const tableTags = "%ts %td %pr %sa %sp %da %dp %flg %pkt %byt %fl"

// tableRows is how many rows decide how wide columns are; those behind them are fitted.
const tableRows = 1000

// table prints flows in columns that are as wide as what is in them. Where a terminal is
// narrower, addresses and names are cut in their middle.
type table struct {
	*Text
	waiting [][]string // rows, until the widths are known
	columns columns    // without widths until they are known
	cell    []byte
}

// openTable opens a table of tags.
func openTable(w io.Writer, format string, opt Options) (Printer, error) {
	pieces, err := parseFormat(format)
	if err != nil {
		return nil, err
	}
	opt.LongIPv6 = true
	t := &table{Text: newText(w, opt)}
	t.width, t.newer = 0, opt.Compat == Nfdump178
	for _, p := range pieces {
		if p.tag != nil && p.tag.name != "n" {
			t.pieces = append(t.pieces, p)
		}
	}
	if len(t.pieces) == 0 {
		return nil, formatError(format, 0)
	}
	return t, nil
}

// Begin prints nothing: the names of the columns come with the first rows.
func (t *table) Begin() error { return nil }

// Flow prints a flow, or keeps it until the widths are known.
func (t *table) Flow(q *query.Flow) error {
	cells := make([]string, len(t.pieces))
	for i := range t.pieces {
		t.cell = t.pieces[i].tag.append(t.Text, t.cell[:0], row{q})
		cells[i] = string(bytes.TrimSpace(t.cell))
	}
	if t.columns.widths != nil {
		return t.print(cells, t.colour(q))
	}
	t.waiting = append(t.waiting, cells)
	if len(t.waiting) < tableRows {
		return nil
	}
	return t.release()
}

// headings returns the names of the columns.
func (t *table) headings() []string {
	names := make([]string, len(t.pieces))
	for i, p := range t.pieces {
		names[i] = strings.TrimSpace(p.tag.header)
	}
	return names
}

// release finds the widths and prints what waits.
func (t *table) release() error {
	names := t.headings()
	t.columns = fit(names, t.waiting, t.opt.Terminal.Width)
	if !t.opt.Quiet {
		if err := t.print(names, bold); err != nil {
			return err
		}
	}
	for _, cells := range t.waiting {
		if err := t.print(cells, colourOf(t.protocol(cells))); err != nil {
			return err
		}
	}
	t.waiting = nil
	return nil
}

// protocol returns the protocol in a row of cells, "" without one.
func (t *table) protocol(cells []string) string {
	for i, p := range t.pieces {
		if p.tag.name == "pr" {
			return cells[i]
		}
	}
	return ""
}

// colour returns the colour of a flow.
func (t *table) colour(q *query.Flow) string { return colourOf(protoNames[q.Proto]) }

// Colours.
const (
	bold   = "\x1b[1m"
	normal = "\x1b[0m"
)

// colourOf returns the colour of a protocol.
func colourOf(proto string) string {
	switch proto {
	case "TCP":
		return "\x1b[32m"
	case "UDP":
		return "\x1b[36m"
	case "ICMP", "ICMP6":
		return "\x1b[33m"
	}
	return ""
}

// print prints a row.
func (t *table) print(cells []string, colour string) error {
	b := t.buf[:0]
	if !t.opt.Terminal.Colours {
		colour = ""
	}
	b = append(b, colour...)
	for i, cell := range cells {
		t.widen(i, utf8.RuneCountInString(trimmed(cell, t.columns.trims[i])))
	}
	for i, cell := range cells {
		if i > 0 {
			b = append(b, "  "...)
		}
		cell = trimmed(cell, t.columns.trims[i])
		if !t.columns.numbers[i] {
			cell = shorten(cell, t.columns.widths[i])
		}
		gap := t.columns.widths[i] - utf8.RuneCountInString(cell)
		switch {
		case t.columns.numbers[i]:
			b = append(appendSpaces(b, gap), cell...)
		case i == len(cells)-1:
			b = append(b, cell...)
		default:
			b = appendSpaces(append(b, cell...), gap)
		}
	}
	if colour != "" {
		b = append(b, normal...)
	}
	t.buf = append(b, '\n')
	_, err := t.w.Write(t.buf)
	return err
}

// widen makes a column as wide as a cell where there is room for it: the flows behind the
// first may have longer addresses.
func (t *table) widen(i, width int) {
	more, most := width-t.columns.widths[i], t.opt.Terminal.Width
	if most > 0 && !t.columns.numbers[i] {
		more = min(more, most-t.columns.width())
	}
	if more <= 0 {
		return
	}
	if t.columns.widths[i] += more; most > 0 {
		t.columns.narrow(most)
	}
}

// End prints what waits, and the summary.
func (t *table) End(totals *query.Totals, u Usage) error {
	if t.columns.widths == nil {
		if err := t.release(); err != nil {
			return err
		}
	}
	return t.Text.End(totals, u)
}

// least is how far a column is narrowed, at most.
const least = 7

// columns are how the columns of a table are printed.
type columns struct {
	widths  []int
	numbers []bool // only numbers, which stand on the right
	trims   []int  // how much of times is left out: see trimmed
}

// maxTrim is the most that is left out of times.
const maxTrim = 2

// trimmed returns a cell without what a narrow terminal has no room for: of a time the
// year and the milliseconds, then the date; of a duration the milliseconds.
func trimmed(cell string, trim int) string {
	const second, millisecond = len("2006-01-02 15:04:05"), len("2006-01-02 15:04:05.000")
	switch {
	case trim > 0 && len(cell) == millisecond && cell[10] == ' ' && cell[second] == '.':
		if trim == 1 {
			return cell[len("2006-"):second]
		}
		return cell[len("2006-01-02 "):second]
	case trim > 0 && strings.Count(cell, ":") == 2 && strings.HasSuffix(cell[:max(0, len(cell)-3)], "."):
		return cell[:len(cell)-len(".000")]
	}
	return cell
}

// fit returns how columns are printed. Where they are wider than most together (0 is no
// bound), times are trimmed, and then the widest column narrowed.
func fit(names []string, cells [][]string, most int) columns {
	c := columns{make([]int, len(names)), make([]bool, len(names)), make([]int, len(names))}
	for {
		c.measure(names, cells)
		if most == 0 || c.width() <= most {
			return c
		}
		if trim := c.trims[0]; trim < maxTrim {
			for i := range c.trims {
				c.trims[i] = trim + 1
			}
			continue
		}
		c.narrow(most)
		return c
	}
}

// narrow makes the widest columns narrower until all are as wide as most together, or
// there are only numbers left.
func (c *columns) narrow(most int) {
	for c.width() > most {
		widest := -1
		for i, w := range c.widths {
			if !c.numbers[i] && w > least && (widest < 0 || w > c.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		c.widths[widest]--
	}
}

// measure finds the widths of columns with the times trimmed as they are.
func (c *columns) measure(names []string, cells [][]string) {
	for i, name := range names {
		c.widths[i], c.numbers[i] = utf8.RuneCountInString(name), len(cells) > 0
		longest, shorter := 0, false
		for _, line := range cells {
			cell := trimmed(line[i], c.trims[i])
			longest, shorter = max(longest, utf8.RuneCountInString(cell)), shorter || len(cell) < len(line[i])
			c.numbers[i] = c.numbers[i] && isNumber(cell)
		}
		if shorter {
			c.widths[i] = longest // the heading is cut
		} else {
			c.widths[i] = max(longest, c.widths[i])
		}
	}
}

// width returns how wide a row is.
func (c *columns) width() int {
	all := 2 * (len(c.widths) - 1)
	for _, w := range c.widths {
		all += w
	}
	return all
}

// isNumber says whether a cell is a number, scaled or not.
func isNumber(cell string) bool {
	digits, dots := 0, 0
	for _, c := range strings.TrimRight(cell, " MGT") {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.':
			dots++
		default:
			return false
		}
	}
	return digits > 0 && dots < 2
}

// shorten cuts a text in its middle to n characters.
func shorten(text string, n int) string {
	if len(text) <= n || utf8.RuneCountInString(text) <= n {
		return text
	}
	runes := []rune(text)
	if n < 3 {
		return string(runes[:n])
	}
	head := (n - 1) / 2
	return string(runes[:head]) + "…" + string(runes[len(runes)-(n-1-head):])
}

// tableTables prints statistics in columns, as table does flows.
type tableTables struct{ output }

func (p *tableTables) table(t *query.Table, totals *query.Totals) error {
	names := []string{"First seen", "Duration", "Proto", strings.TrimSpace(t.Stat.Element.Title()), "Flows", "%",
		"Packets", "%", "Bytes", "%", "pps", "bps", "bpp"}
	cells := make([][]string, len(t.Rows))
	for i := range t.Rows {
		cells[i] = p.cells(t, &t.Rows[i], totals)
	}
	text := &table{Text: &Text{opt: p.opt, w: p.w}}
	text.columns = fit(names, cells, p.opt.Terminal.Width)
	if !p.opt.Quiet {
		p.w.WriteString("Top " + t.Stat.Element.String() + " by " + t.Order.String() + "\n")
	}
	for i, line := range append([][]string{names}, cells...) {
		colour := ""
		if i == 0 {
			colour = bold
		}
		if err := text.print(line, colour); err != nil {
			return err
		}
	}
	return p.w.WriteByte('\n')
}

// cells returns the cells of a row.
func (p *tableTables) cells(t *query.Table, r *query.Row, totals *query.Totals) []string {
	packets, octets := r.Counters(t.Order)
	return []string{
		string(p.clock.time(nil, r.First)), string(bytes.TrimSpace(p.opt.appendDuration(nil, r.Duration()))),
		string(p.opt.appendAny(nil, r)), string(bytes.TrimSpace(appendValue(nil, t.Stat.Element, r))),
		string(p.opt.count(nil, r.Flows)), string(appendPercent(nil, r.Flows, totals.Flows)),
		string(p.opt.count(nil, packets)), string(appendPercent(nil, packets, totals.Packets)),
		string(p.opt.count(nil, octets)), string(appendPercent(nil, octets, totals.Bytes)),
		string(p.opt.count(nil, query.PerSecond(packets, r.Duration()))),
		string(p.opt.count(nil, query.PerSecond(8*octets, r.Duration()))),
		string(p.opt.count(nil, query.PerPacket(octets, packets))),
	}
}

func (p *tableTables) end(totals *query.Totals, u Usage) error { return p.summary(totals, u) }
