package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// statements are the blocks of SQL of a document: for one engine what it names, in
// questions what is for both.
type statements struct {
	ClickHouse, DuckDB, Questions []string
}

// readStatements reads the blocks of CLICKHOUSE.md.
func readStatements(t *testing.T) (s statements) {
	t.Helper()
	doc, err := os.ReadFile("CLICKHOUSE.md")
	if err != nil {
		t.Fatal(err)
	}
	to := map[string]*[]string{"sql clickhouse": &s.ClickHouse, "sql duckdb": &s.DuckDB, "sql": &s.Questions}
	for i, part := range strings.Split(string(doc), "```") {
		kind, text, _ := strings.Cut(part, "\n")
		if list := to[kind]; i%2 == 1 && list != nil {
			for one := range strings.SplitSeq(text, ";\n") {
				if one = strings.TrimSpace(one); one != "" {
					*list = append(*list, one)
				}
			}
		}
	}
	return s
}

// TestQuestionsAreTen: the document has as many as it says.
func TestQuestionsAreTen(t *testing.T) {
	if s := readStatements(t); len(s.Questions) != 10 || len(s.ClickHouse) < 7 || len(s.DuckDB) < 3 {
		t.Errorf("%d questions, %d and %d statements before", len(s.Questions), len(s.ClickHouse), len(s.DuckDB))
	}
}

// twoDays writes flows of two days whose answers are known, and returns the file.
func twoDays(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(path, nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(at string, lasts time.Duration, exporter, src, dst string, port uint16, packets, octets uint64) {
		first, err := time.Parse(time.DateTime, at)
		if err != nil {
			t.Fatal(err)
		}
		r := flow.Record{Version: flow.V9, Exporter: netip.MustParseAddr(exporter), First: flow.TimeOf(first),
			Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), SrcPort: 50000, DstPort: port, Proto: 6,
			Packets: packets, Bytes: octets, Input: 1, Output: 2}
		r.Last = r.First + flow.Time(lasts)
		r.Received = r.Last
		r.Present.Add(flow.Input)
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	const edge, core = "192.0.2.1", "192.0.2.2"
	for hour := range 24 { // the same each hour, twice as much on the second day
		for five := range 12 {
			at := fmt.Sprintf("%02d:%02d:30", hour, 5*five)
			add("2026-11-27 "+at, 0, edge, "10.0.0.1", "198.51.100.1", 443, 10, 3_000_000)
			add("2026-11-28 "+at, 0, edge, "10.0.0.1", "198.51.100.1", 443, 10, 6_000_000)
		}
	}
	// The second exporter is silent for ten minutes, the third all day.
	add("2026-11-27 13:00:00", 0, "192.0.2.3", "2001:db8::9", "2001:db8::8", 53, 1, 100)
	for minute := range 60 {
		if minute < 20 || minute >= 30 {
			add(fmt.Sprintf("2026-11-28 12:%02d:00", minute), 0, core, "2001:db8::7", "2001:db8::8", 53, 1, 100)
		}
	}
	for i := range 200 { // who scans is new
		add("2026-11-28 12:10:00", 0, edge, "10.0.0.66", fmt.Sprintf("10.9.%d.%d", i/100, i%100), 22, 1, 60)
	}
	// Ten minutes, of which five are asked for.
	add("2026-11-28 02:57:30", 10*time.Minute, edge, "10.0.0.9", "198.51.100.2", 80, 1000, 60_000_000)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// answers are what twoDays says to the ten questions: the first line of each, and how many
// there are; the last is to the fourth about an exporter that has hardly any traffic.
var answers = []struct {
	lines int
	first []any
}{
	{3, []any{"10.0.0.1", 72_000_000., 12.}},
	{1, []any{"192.0.2.1", "wan", (72_000_000. + 200*60) * 8 / 3600 * 100 / 1_000_000}},
	{3, []any{6., 443., 72_000_000.}},
	{1, []any{160_000.}},
	{3, []any{"10.0.0.1", 72_000_000., 36_000_000.}},
	{3, []any{"192.0.2.3", 60.}},
	{2, []any{"10.0.0.66", nil, 12_000.}},
	{1, []any{"10.0.0.66", 200., 1., 1.}},
	{2, []any{"10.0.0.9", "198.51.100.2", 800_000.}},
	{1, []any{nil, 288*6_000_000. + 60_000_000 + 200*60 + 50*100, (288*6_000_000. + 60_000_000 + 200*60 + 50*100) /
		(288*3_000_000 + 100)}},
	{1, []any{0.}},
}

// questionsScript asks DuckDB and ClickHouse, and writes the lines of each answer as arrays.
const questionsScript = `
import { DuckDBInstance } from '@duckdb/node-api';
import { Session } from 'chdb';
import { readFileSync } from 'node:fs';
const { ClickHouse, DuckDB, Questions, File } = JSON.parse(readFileSync(0));
const session = new Session();
for (const s of ClickHouse) session.query(s);
session.query("INSERT INTO flows FROM INFILE '" + File + "' SETTINGS input_format_parquet_allow_missing_columns = 1 " +
	"FORMAT Parquet");
const duck = await (await DuckDBInstance.create(':memory:')).connect();
await duck.run("SET TimeZone = 'UTC'");
for (const s of DuckDB) await duck.run(s.replace('*.parquet', File));
for (const q of Questions) {
	const rows = (await duck.runAndReadAll(q)).getRowsJson();
	const lines = session.query(q, 'JSONCompactEachRow').trim();
	console.log(JSON.stringify({ DuckDB: rows, ClickHouse: lines === '' ? [] : lines.split('\n').map(JSON.parse) }));
}
const sums = "SELECT sum(in_bytes), sum(in_packets), sum(records) FROM ";
for (const table of ['flows_by_interface', 'flows_by_service'])
	console.log(session.query(sums + table, 'JSONCompactEachRow').trim());
session.cleanup();
`

// TestQuestionsInEngines: the schema and the ten questions of CLICKHOUSE.md, on ClickHouse and
// on DuckDB; the roll-ups have the sums of the flows. "make engines" installs them.
func TestQuestionsInEngines(t *testing.T) {
	dir := os.Getenv("FLOWGRAF_ENGINES")
	if dir == "" {
		t.Skip("DuckDB and ClickHouse are not there: make engines installs them and runs this test")
	}
	script := filepath.Join(dir, "questions.mjs")
	if err := os.WriteFile(script, []byte(questionsScript), 0o600); err != nil {
		t.Fatal(err)
	}
	all := readStatements(t)
	all.Questions = append(all.Questions, strings.Replace(all.Questions[3], "192.0.2.1", "192.0.2.2", 1))
	input, err := json.Marshal(struct {
		statements
		File string
	}{all, writeParquet(t, twoDays(t))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &complaint
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != len(answers)+2 {
		t.Fatalf("%v\n%s%s", err, out, complaint.String())
	}
	for i, want := range answers {
		var got map[string][][]any
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatalf("%v: %s", err, lines[i])
		}
		for engine, rows := range got {
			if len(rows) != want.lines {
				t.Errorf("question %d, %s: %d lines, want %d: %v", i+1, engine, len(rows), want.lines, rows)
				continue
			}
			for k, cell := range want.first {
				if cell != nil && !alike(rows[0][k], cell) {
					t.Errorf("question %d, %s: the first line is %v, want %v", i+1, engine, rows[0], want.first)
					break
				}
			}
		}
		for n, row := range got["DuckDB"] {
			for k, cell := range row {
				if other := got["ClickHouse"][n][k]; want.first[k] != nil && !alike(other, cell) {
					t.Errorf("question %d, line %d: DuckDB says %v, ClickHouse %v", i+1, n, row, got["ClickHouse"][n])
					break
				}
			}
		}
	}
	const octets, packets, records = 288*9_000_000 + 60_000_000 + 200*60 + 51*100, 2*288*10 + 1000 + 200 + 51,
		2*288 + 252
	for _, line := range lines[len(answers):] {
		var sums []any
		if err := json.Unmarshal([]byte(line), &sums); err != nil || !alike(sums[0], float64(octets)) ||
			!alike(sums[1], float64(packets)) || !alike(sums[2], float64(records)) {
			t.Errorf("a roll-up has %s, want %d, %d and %d: %v", line, octets, packets, records, err)
		}
	}
}

// alike compares what engines write as numbers, or as text of numbers.
func alike(a, b any) bool {
	number := func(v any) (float64, bool) {
		var f float64
		n, err := fmt.Sscan(fmt.Sprint(v), &f)
		return f, n == 1 && err == nil && !strings.ContainsAny(fmt.Sprint(v), ":") &&
			strings.Count(fmt.Sprint(v), ".") < 2
	}
	x, isX := number(a)
	y, isY := number(b)
	if isX && isY {
		return math.Abs(x-y) <= 1e-9*math.Max(math.Abs(x), math.Abs(y))
	}
	return fmt.Sprint(a) == fmt.Sprint(b)
}
