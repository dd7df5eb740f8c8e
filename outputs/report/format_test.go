package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestUnknownFormats: whoever mistypes a format or a tag is told where, and what was
// probably meant.
func TestUnknownFormats(t *testing.T) {
	for _, c := range []struct{ format, want string }{
		{"lnie", `no output format "lnie", did you mean line?`},
		{"ndjosn", "did you mean ndjson?"},
		{"xyzzy", `no output format "xyzzy"; '-o help' lists them`},
		{"fmt:", "expected tags behind it"},
		{"fmt:%ts %dsp", "unknown tag \"%dsp\" at character 5 of the format"},
		{"fmt:%ts %pakt", "did you mean %pkt?"},
		{"fmt:%ts %pakt", "\n  %ts %pakt\n      ^"},
		{"fmt:100%", "a % without a tag at character 4"},
		{"csv:", "a format without tags"},
		{"fmt", "-o fmt without tags: expected some behind it"},
		{"csv:,", "without tags"},
		{"csv:%ts -> %te", `got the text "->"`},
		{"line66", "did you mean"},
	} {
		if _, err := Open(io.Discard, c.format, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.format, err, c.want)
		}
	}
}

// TestUnknownEnd: the end of a sum that is not among its keys is of the other's family.
func TestUnknownEnd(t *testing.T) {
	for src, want := range map[string]string{
		"2001:db8::1": "::.443 ::",
		"192.0.2.1":   "0.0.0.0:443 0.0.0.0",
	} {
		var out bytes.Buffer
		text, err := NewText(&out, "%dap %da", Options{Quiet: true})
		if err != nil {
			t.Fatal(err)
		}
		r := &flow.Record{Src: netip.MustParseAddr(src), DstPort: 443}
		text.Flow(&query.Flow{Record: r, Extra: &noExtra})
		text.End(&query.Totals{Records: 1}, Usage{})
		if got := strings.Join(strings.Fields(out.String()), " "); got != want {
			t.Errorf("%s: %q, expected %q", src, got, want)
		}
	}
}

// TestFormatsOfTags: tags stand beside each other and beside text, and names of formats
// among them.
func TestFormatsOfTags(t *testing.T) {
	f := &query.Flow{Record: &flow.Record{Src: netip.MustParseAddr("192.0.2.1"), Proto: 6, SrcAS: 64500, Bytes: 1500,
		MPLS: [10]uint32{9: 5<<4 | 1}}, Extra: &noExtra}
	for format, want := range map[string]string{
		"%sa%pr|":   "       192.0.2.1TCP  |",
		"%sas1":     " 645001", // no tag of that name: nfdump takes the digit for text
		"%mpls10":   "       5-0-1",
		"%n%byt":    "\n    1500",
		"%sas %pr,": " 64500 TCP  ,",
	} {
		var out bytes.Buffer
		text, err := NewText(&out, format, Options{Quiet: true})
		if err != nil {
			t.Fatal(err)
		}
		text.Flow(f)
		text.End(&query.Totals{Records: 1}, Usage{})
		if out.String() != want+"\n" {
			t.Errorf("%q is %q, want %q", format, out.String(), want)
		}
	}
	if a, b := formatted(t, "%line %sas"), formatted(t, "%ts %td %pr %sap -> %dap %pkt %byt %fl %sas"); a != b {
		t.Errorf("%%line is %q, want %q", a, b)
	}
}

// formatted returns the header of a format.
func formatted(t *testing.T, format string) string {
	t.Helper()
	text, err := NewText(io.Discard, format, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return string(text.header(nil))
}

// hostile is a flow whose texts try to leave the place where they are printed.
func hostile() *query.Flow {
	r := &flow.Record{Version: flow.IPFIX, Src: netip.MustParseAddr("2001:db8::1"), Proto: 6,
		User: []byte("a\"b\\c\n\x00\xff\xfe,\x1b[2J\u2028é")}
	for _, f := range []flow.Field{flow.Src, flow.Dst, flow.User, flow.Proto, flow.AppID} {
		r.Present.Add(f)
	}
	return &query.Flow{Record: r, Number: 1, Ident: "edge\"1\\\xc3\x28\x7f",
		Extra: &nffile.Extra{Has: nffile.HasLabel, Label: []byte("\",\"admin\":true,\"x\":\"\x01")}}
}

// TestHostileTexts: JSON is JSON, csv has as many cells as columns, and text moves no
// cursor, whatever an exporter calls a user.
func TestHostileTexts(t *testing.T) {
	for _, format := range []string{"json", "ndjson", "csv:%uname,%lbl,%sa,%idt", "csv", "fmt:%uname %lbl %idt",
		"raw"} {
		for _, compat := range []Compat{Best, Nfdump171, Nfdump178} {
			var out bytes.Buffer
			p, err := Open(&out, format, Options{Compat: compat, Quiet: strings.HasPrefix(format, "fmt")})
			if err != nil {
				t.Fatal(err)
			}
			p.Begin()
			p.Flow(hostile())
			p.Flow(hostile())
			p.End(&query.Totals{Records: 2}, Usage{})
			checkHostile(t, format+" "+compat.String(), out.Bytes(), compat)
		}
	}
}

// checkHostile checks what has been printed of two hostile flows.
func checkHostile(t *testing.T, what string, out []byte, compat Compat) {
	t.Helper()
	var objects []map[string]any
	switch format, _, _ := strings.Cut(what, " "); {
	case format == "json":
		if err := json.Unmarshal(out, &objects); err != nil || len(objects) != 2 {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	case format == "ndjson":
		for line := range bytes.Lines(out) {
			var object map[string]any
			if err := json.Unmarshal(line, &object); err != nil {
				t.Errorf("%s: %v\n%s", what, err, line)
			}
			objects = append(objects, object)
		}
	case format == "csv" && compat == Nfdump171: // has nfdump's summary behind it
	case strings.HasPrefix(format, "csv"):
		if rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll(); err != nil || len(rows) != 3 {
			t.Errorf("%s: %d rows, %v\n%s", what, len(rows), err, out)
		}
	default:
		for _, c := range out {
			if c < ' ' && c != '\n' || c == 0x7f {
				t.Errorf("%s: the character %#x in\n%q", what, c, out)
				break
			}
		}
	}
	for _, object := range objects {
		if object["user_name"] != "a\"b\\c\n\x00\ufffd\ufffd,\x1b[2J\u2028é" || object["admin"] != nil {
			t.Errorf("%s: %v", what, object)
		}
	}
}

// TestNoMatchingFlows: an empty list is an empty array, and text says that there is
// nothing, as nfdump does.
func TestNoMatchingFlows(t *testing.T) {
	for format, want := range map[string]string{
		"json": "[\n]\n", "ndjson": "", "pipe": "No matching flows\n", "csv-fast": "",
		"line": "No matching flows\n", "null": "No matching flows\n", "fmt:%sa": "No matching flows\n", "csv:%sa": "",
		"csv": "",
	} {
		var out bytes.Buffer
		p, err := Open(&out, format, Options{Quiet: true})
		if err != nil {
			t.Fatal(err)
		}
		p.Begin()
		p.End(&query.Totals{Read: 9}, Usage{})
		if out.String() != want {
			t.Errorf("%s: %q, want %q", format, out.String(), want)
		}
	}
}

// TestNoMatchingStatistics: where nfdump begins statistics of nothing with saying so, so is
// it here.
func TestNoMatchingStatistics(t *testing.T) {
	for _, c := range []struct {
		format string
		compat Compat
		want   string
	}{
		{"line", Best, "No matching flows\n\n"}, {"fmt:%sa", Best, "No matching flows\n\n"},
		{"pipe", Best, "No matching flows\n\n"}, {"json", Best, "[\n]\n"}, {"ndjson", Best, ""},
		{"csv", Nfdump171, "No matching flows\n" + "ts,te,td,pr,val,fl,flP,ipkt,ipktP,ibyt,ibytP,ipps,ibps,ibpp\n\n"},
		{"csv", Best, "ts,te,td,pr,val,fl,flP,ipkt,ipktP,ibyt,ibytP,ipps,ibps,ibpp\n"},
	} {
		var out bytes.Buffer
		tables := []query.Table{{Stat: query.Stat{Element: query.IP}}}
		err := Tables(&out, tables, &query.Totals{Read: 9}, Usage{}, c.format, Options{Quiet: true, Compat: c.compat})
		if err != nil || out.String() != c.want {
			t.Errorf("%s, %s: %v: %q, want %q", c.format, c.compat, err, out.String(), c.want)
		}
	}
}

// TestCompatOfSums: nfdump 1.7.1 has no bytes a packet of what has taken no time, and with -6
// statistics of addresses have a line of their own.
func TestCompatOfSums(t *testing.T) {
	totals := query.Totals{Records: 1, Flows: 1, Packets: 2, Bytes: 140, First: 5000, Last: 5000}
	tables := []query.Table{{Stat: query.Stat{Element: query.SrcIP}, N: 1}}
	for compat, want := range map[Compat][2]string{
		Nfdump171: {"avg bpp: 0\n", " Proto" + strings.Repeat(" ", 29) + "Src IP Addr "},
		Best:      {"avg bpp: 70\n", " Proto" + strings.Repeat(" ", 30) + "Src IP Addr "},
	} {
		var out bytes.Buffer
		err := Tables(&out, tables, &totals, Usage{}, "line6", Options{Compat: compat})
		if err != nil || !strings.Contains(out.String(), want[0]) || !strings.Contains(out.String(), want[1]) {
			t.Errorf("%s: %v: %s", compat, err, out.String())
		}
	}
}

// TestProtocolsOfCSV: nfdump 1.7.1's csv of flows has names of protocols with -N too, that
// of statistics numbers, five wide.
func TestProtocolsOfCSV(t *testing.T) {
	f := query.Flow{Record: &flow.Record{Proto: 6}, Extra: &noExtra}
	for compat, want := range map[Compat]string{Nfdump171: ",TCP,", Best: ",6,"} {
		var out bytes.Buffer
		p, err := Open(&out, "csv", Options{Quiet: true, Plain: true, Compat: compat})
		if err != nil {
			t.Fatal(err)
		}
		p.Flow(&f)
		p.End(&query.Totals{Records: 1}, Usage{})
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s", compat, out.String())
		}
	}
}

// TestNoAllocation: no format allocates for a flow.
func TestNoAllocation(t *testing.T) {
	at := flow.TimeOf(time.Unix(60*clockMinutes*2_000_000, 0)) // a clock keeps it where it keeps the other flow's
	flows := []*query.Flow{hostile(), {Extra: &noExtra, Record: &flow.Record{
		First: at, Last: at, Src: netip.MustParseAddr("192.0.2.1"),
		Dst: netip.MustParseAddr("2001:db8:1:2:3:4:5:6"), Proto: 1, DstPort: 771, Packets: 1e9, Bytes: 1e13}}}
	for _, format := range []string{"line", "extended6", "bilong", "csv", "csv-fast", "json", "ndjson", "pipe", "nsel",
		"csv:%ts,%sa,%uname", "fmt:%ts %te %sn %uname %mpls %ismc"} {
		p, err := Open(io.Discard, format, Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := 1.0
		for try := 0; n > 0 && try < 20; try++ { // what earlier tests have left running is counted, too
			time.Sleep(time.Duration(try) * 50 * time.Millisecond)
			n = testing.AllocsPerRun(1000, func() {
				for _, f := range flows {
					p.Flow(f)
				}
			})
		}
		if n > 0 {
			t.Errorf("%s: %v allocations for two flows", format, n)
		}
	}
}

// FuzzParseFormat: a format that is read has a header, and prints a line.
func FuzzParseFormat(f *testing.F) {
	for _, seed := range []string{"%ts %sap -> %dap", "%mpls10%mpls1", "%line %sas1", "%", "%%", "x%n\n%ipl", "%TS"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, format string) {
		for _, compat := range []Compat{Nfdump171, Nfdump178} {
			text, err := NewText(io.Discard, format, Options{Compat: compat})
			if err != nil {
				if format != "" && !strings.Contains(err.Error(), "character") {
					t.Errorf("%q: %v", format, err)
				}
				continue
			}
			if header := text.header(nil); header[len(header)-1] != '\n' {
				t.Errorf("%q has the header %q", format, header)
			}
			if line := text.line(nil, row{hostile()}); len(line) == 0 || line[len(line)-1] != '\n' {
				t.Errorf("%q prints %q", format, line)
			}
		}
	})
}
