package enrich

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
	"go4.org/netipx"
)

// maxName is how many bytes the name of a network may have.
const maxName = 256

// columns are where a line has what.
type columns struct{ prefix, first, last, name, as, country int }

// plainColumns are those of a file without a first line that names them: a prefix and a
// name, or a range of addresses and what its first line tells, a country, the number of an
// autonomous system or a name.
func plainColumns(cells []string) columns {
	none := columns{-1, -1, -1, -1, -1, -1}
	if len(cells) > 2 {
		if _, err := netip.ParseAddr(strings.TrimSpace(cells[1])); err == nil {
			c := none
			c.first, c.last = 0, 1
			switch what := strings.TrimSpace(cells[2]); {
			case isCountry(what):
				c.country = 2
			case asOf(what) != 0:
				c.as = 2
			default:
				c.name = 2
			}
			return c
		}
	}
	none.prefix, none.name = 0, 1
	return none
}

// networks are the prefixes of a CSV file: the longest that has an address counts.
type networks struct{ bart.Table[Entry] }

// readCSV reads lines of a prefix and a name, or of a range of addresses and what is known
// of it. A first line may name the columns, in any order: prefix, or first and last of a
// range; name, as, country.
func readCSV(data []byte) (table, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	r.Comment, r.FieldsPerRecord, r.ReuseRecord, r.TrimLeadingSpace = '#', -1, true, true
	t, c := &networks{}, columns{}
	lines := map[netip.Prefix]int{}
	for first := true; ; first = false {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		if first && names(cells) {
			if c, err = columnsOf(cells); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			continue
		}
		if first {
			c = plainColumns(cells)
		}
		prefixes, e, err := c.readRow(cells)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		for _, p := range prefixes {
			if other := lines[p]; other != 0 && c.prefix >= 0 { // ranges of publishers overlap: the last counts
				return nil, fmt.Errorf("line %d: %s is in line %d too", line, p, other)
			}
			lines[p] = line
			t.Insert(p, e)
		}
	}
	if t.Size() == 0 {
		return nil, errors.New("no prefix in it: expected lines as 192.0.2.0/24,office")
	}
	return t, nil
}

// names says whether a line names columns: it begins with no address.
func names(cells []string) bool {
	cell, _, _ := strings.Cut(strings.TrimSpace(cells[0]), "/")
	_, err := netip.ParseAddr(cell)
	return err != nil
}

// columnsOf reads the line that names the columns. Others than those that are known are
// passed over.
func columnsOf(cells []string) (columns, error) {
	var names []string
	for _, cell := range cells {
		names = append(names, strings.ToLower(strings.TrimSpace(cell)))
	}
	at := func(name string) int { return slices.Index(names, name) }
	c := columns{at("prefix"), at("first"), at("last"), at("name"), at("as"), at("country")}
	switch {
	case c.prefix < 0 && (c.first < 0 || c.last < 0):
		return c, fmt.Errorf("columns %q: expected prefix, or first and last, and any of name, as, country", names)
	case c.name < 0 && c.as < 0 && c.country < 0:
		return c, fmt.Errorf("columns %q: expected one of name, as, country", names)
	}
	return c, nil
}

// readRow reads a line.
func (c columns) readRow(cells []string) (prefixes []netip.Prefix, e Entry, err error) {
	cell := func(i int) string {
		if i < 0 || i >= len(cells) {
			return ""
		}
		return strings.TrimSpace(cells[i])
	}
	if c.prefix >= 0 {
		p, err := prefixOf(cell(c.prefix))
		if err != nil {
			return nil, e, err
		}
		prefixes = append(prefixes, p)
	} else {
		r, err := netipx.ParseIPRange(cell(c.first) + "-" + cell(c.last))
		if err != nil {
			return nil, e, fmt.Errorf("from %q to %q is no range of addresses", cell(c.first), cell(c.last))
		}
		prefixes = r.Prefixes()
	}
	e.Network, e.Country = strings.ToValidUTF8(cell(c.name), "\uFFFD"), strings.ToUpper(cell(c.country))
	switch text := cell(c.as); {
	case len(e.Network) > maxName:
		return nil, e, fmt.Errorf("the name has %d bytes, expected at most %d", len(e.Network), maxName)
	case e.Country != "" && !isCountry(e.Country):
		return nil, e, fmt.Errorf("country %q: expected two letters, as DE", e.Country)
	case text != "" && text != "0":
		if e.AS = asOf(text); e.AS == 0 {
			return nil, e, fmt.Errorf("AS %q: expected a number of at most 4294967295", text)
		}
	}
	return prefixes, e, nil
}

// prefixOf reads a prefix, or an address, which is one of a single address.
func prefixOf(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is no prefix, expected one as 192.0.2.0/24", text)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%s has bits beyond its length, expected %s", p, p.Masked())
	}
	return p, nil
}

// lookup implements table.
func (n *networks) lookup(a netip.Addr) Entry {
	e, _ := n.Lookup(a)
	return e
}
