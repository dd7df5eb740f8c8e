package report

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// format is one of the output formats.
type format struct {
	name string
	what string // one line of help
	open func(w io.Writer, opt Options) (Printer, error)
}

// predefined are nfdump's formats that are made of tags, with the tags of the version
// whose they are by default.
var predefined = []struct {
	name string
	tags string
	what string
}{
	{"line", "%ts %td %pr %sap -> %dap %pkt %byt %fl", "a flow on a line: times, addresses, counters"},
	{"long", "%ts %td %pr %sap -> %dap %flg %tos %pkt %byt %fl", "line, with TCP flags and type of service"},
	{"extended", "%ts %td %pr %sap -> %dap %flg %tos %pkt %byt %pps %bps %bpp %fl",
		"long, with packets and bits a second, bytes a packet"},
	{"gline", "%ts %td %pr %gsap -> %gdap %pkt %byt %fl", "line, with the countries of -G"},
	{"glong", "%ts %td %pr %gsap -> %gdap %flg %tos %pkt %byt %fl", "long, with the countries of -G"},
	{"biline", "%ts %td %pr %sap <-> %dap %opkt %ipkt %obyt %ibyt %fl", "line, with the counters of both directions"},
	{"bilong", "%ts %td %pr %sap <-> %dap %flg %tos %opkt %ipkt %obyt %ibyt %fl",
		"long, with the counters of both directions"},
	{"nsel", "%ts %evt %xevt %pr %sap -> %dap %xsap -> %xdap %ibyt %obyt", "events of Cisco's firewalls"},
	{"nel", "%tevt %nevt %pr %sap -> %dap %nsap -> %ndap", "events of address translators"},
	{"nat", "%ts %nevt %pr %sap -> %dap %nsap -> %ndap", "the same, as nfdump 1.7.8 calls it"},
}

// olderNSEL are the tags of nsel in nfdump 1.7.1.
const olderNSEL = "%tevt %evt %xevt %pr %sap -> %dap %xsap -> %xdap %ibyt %obyt"

// formats are all others.
var formats = []format{
	{"raw", "everything that is known of a flow, a line for each value", openRaw},
	{"csv", "comma separated values, the 48 columns of nfdump 1.7.1; csv:TAGS chooses columns", openCSV},
	{"csv-fast", "comma separated values, the 17 columns of nfdump 1.7.8", openCSVFast},
	{"json", "an array of objects", openJSON},
	{"ndjson", "an object on each line; json-log is the same", openNDJSON},
	{"pipe", "values between bars, addresses as numbers, as nfdump 1.7.1", openPipe},
	{"table", "columns as wide as what is in them, fitted to a terminal; table:TAGS chooses columns",
		func(w io.Writer, opt Options) (Printer, error) { return openTable(w, tableTags, opt) }},
	{"parquet", "an Apache Parquet file, for ClickHouse, DuckDB and Spark: put it into a file with >", openParquet},
	{"null", "no flows, only the summary", openNull},
}

// Formats returns the names of all formats.
func Formats() []string {
	var all []string
	for _, p := range predefined {
		all = append(all, p.name)
	}
	for _, f := range formats {
		all = append(all, f.name)
	}
	return append(all, "fmt")
}

// Open returns what prints flows to w in a format, as nfdump's -o names it: a name, one
// with a 6 behind it for IPv6 addresses in full, or fmt: or csv: with tags.
func Open(w io.Writer, name string, opt Options) (Printer, error) {
	if tags, ok := strings.CutPrefix(name, "fmt:"); ok {
		return NewText(w, tags, opt)
	}
	if tags, ok := strings.CutPrefix(name, "csv:"); ok {
		return openTagCSV(w, tags, opt)
	}
	if tags, ok := strings.CutPrefix(name, "table:"); ok {
		return openTable(w, tags, opt)
	}
	if name == "json-log" {
		name = "ndjson"
	}
	base, long := strings.CutSuffix(name, "6")
	opt.LongIPv6 = opt.LongIPv6 || long
	for _, p := range predefined {
		if p.name == base {
			return openPredefined(w, p.name, p.tags, opt)
		}
	}
	for _, f := range formats {
		if f.name == base {
			return f.open(w, opt)
		}
	}
	for _, x := range opt.Extensions {
		if base, rest, _ := strings.Cut(name, ":"); base == x.Name {
			return x.Open(w, rest, opt)
		}
	}
	return nil, unknownFormat(name, opt.Extensions)
}

// openPredefined opens a format that is made of tags.
func openPredefined(w io.Writer, name, tags string, opt Options) (Printer, error) {
	if name == "nsel" || name == "nat" {
		if opt.Compat = opt.Compat.or(Nfdump178); opt.Compat == Nfdump171 && name == "nsel" {
			tags = olderNSEL
		}
	}
	t, err := NewText(w, tags, opt)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// unknownFormat says that there is no format of a name.
func unknownFormat(name string, extensions []Extension) error {
	if name == "fmt" {
		return errors.New("-o fmt without tags: expected some behind it, as in 'fmt:%ts %sa -> %da'")
	}
	text, all := fmt.Sprintf("there is no output format %q", name), Formats()
	for _, x := range extensions {
		all = append(all, x.Name)
	}
	if near := nffilter.Similar(name, all); near != "" {
		text += fmt.Sprintf(", did you mean %s?", near)
	}
	return fmt.Errorf("%s; '-o help' lists them", text)
}

// Extension is a format that somebody else prints: one that needs packages which this
// one does not know.
type Extension struct {
	Name, What string
	// Open returns what prints flows to w; rest is what stands behind a colon.
	Open func(w io.Writer, rest string, opt Options) (Printer, error)
}

// FormatLines returns a line of help for each format.
func FormatLines(extensions []Extension) []string {
	var lines []string
	add := func(name, what string) { lines = append(lines, fmt.Sprintf("%-10s %s", name, what)) }
	for _, p := range predefined {
		add(p.name, p.what)
	}
	for _, f := range formats {
		add(f.name, f.what)
	}
	for _, x := range extensions {
		add(x.Name, x.What)
	}
	add("fmt:TAGS", "tags and text of your own, as in 'fmt:%ts %sa -> %da %byt'")
	return lines
}

// Help writes the formats, their tags, and all tags with their headings.
func Help(w io.Writer, extensions []Extension) error {
	var b strings.Builder
	b.WriteString("Formats of -o:\n")
	for _, line := range FormatLines(extensions) {
		b.WriteString("  " + line + "\n")
	}
	b.WriteString("\nA 6 behind a name, as in line6, prints IPv6 addresses in full; so does -6.\n\nMade of tags:\n")
	for _, p := range predefined {
		fmt.Fprintf(&b, "  %-9s %s\n", p.name, p.tags)
	}
	b.WriteString("\nTags of fmt: and csv:\n")
	for i := range tags {
		t := &tags[i]
		if t.name == "n" {
			fmt.Fprintf(&b, "  %%%-8s %s\n", t.name, "a new line")
			continue
		}
		heading := strings.TrimSpace(t.header)
		if heading == "" {
			heading = strings.TrimSpace(t.newer)
		}
		fmt.Fprintf(&b, "  %%%-8s %-26s %s\n", t.name, heading, t.csv)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
