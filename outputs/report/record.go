package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/query"
)

// recordTable prints the statistic of flows: they are printed as in a list, in text below a
// title and without a summary, as other tables may follow.
func recordTable(w io.Writer, t *query.Table, totals *query.Totals, format string, opt Options) error {
	opt.partial = ForPeople(format)
	if opt.partial && totals.Records == 0 {
		return nil // that nothing matches is told at the end
	}
	if opt.partial && !opt.Quiet {
		number := ""
		if t.N > 0 {
			number = fmt.Sprint(t.N, " ")
		}
		fmt.Fprintf(w, "Top %s%s ordered by %s:\n", number, t.Stat.Element.Title(), t.Order)
	}
	p, err := Open(w, format, opt)
	if err != nil {
		return err
	}
	if err := p.Begin(); err != nil {
		return err
	}
	if err := t.Each(p.Flow); err != nil {
		return err
	}
	return p.End(totals, Usage{})
}

// ForPeople says whether a format prints lines for people.
func ForPeople(format string) bool {
	base := strings.TrimSuffix(format, "6")
	for _, p := range predefined {
		if p.name == base {
			return true
		}
	}
	return strings.HasPrefix(format, "fmt:")
}
