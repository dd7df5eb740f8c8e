package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// writeParquet writes the flows of a file as Parquet and returns its path.
func writeParquet(t *testing.T, file string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flows.parquet")
	data := printed(t, file, "parquet", Options{})
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestParquet reads what has been written again: every flow is there, in order, with
// what the lists have, and null where the flow lacks a field.
func TestParquet(t *testing.T) {
	file := everyKind(t)
	data := []byte(printed(t, file, "parquet", Options{}))
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	columns := map[string]int{}
	for i, column := range f.Schema().Columns() {
		if parquetColumns[i].name != column[0] {
			t.Fatalf("column %d is %s, want %s", i, column[0], parquetColumns[i].name)
		}
		columns[column[0]] = i
	}
	r := parquet.NewReader(f)
	defer r.Close()
	rows := make([]parquet.Row, 500)
	n, _ := r.ReadRows(rows)
	lines := strings.Split(strings.TrimSpace(printed(t, file,
		"csv:%tsr,%sa,%da,%sp,%byt,%obyt,%fl,%in,%sas,%ismc,%uname,%iacl", Options{Quiet: true})), "\n")
	if n != 400 || len(lines) != 400 {
		t.Fatalf("%d rows of %d flows", n, len(lines))
	}
	at := func(i int, name string) parquet.Value { return rows[i][columns[name]] }
	nulls := 0
	for i, line := range lines {
		first := at(i, "flow_start").Int64()
		mac, acl := at(i, "in_src_mac").String(), at(i, "in_acl_id").String()
		if at(i, "in_src_mac").IsNull() {
			mac = "00:00:00:00:00:00"
			nulls++
		}
		if at(i, "in_acl_id").IsNull() {
			acl = "0x0/0x0/0x0"
		}
		user := at(i, "username").String()
		if at(i, "username").IsNull() {
			user = "<empty>"
		}
		number := func(name string) uint64 {
			if v := at(i, name); !v.IsNull() {
				return v.Uint64()
			}
			return 0
		}
		got := fmt.Sprintf("%d.%03d,%s,%s,%d,%d,%d,%d,%d,%d,%s,%s,%s", first/1000, first%1000, at(i, "src"),
			at(i, "dst"),
			number("src_port"), number("in_bytes"), number("rev_bytes"), number("flows"), number("in_snmp"),
			uint32(number("bgp_src_as")), mac, user, acl)
		cells := strings.Split(line, ",")
		cells[11] = strings.Join(strings.Fields(cells[11]), "/")
		if want := strings.Join(cells, ","); got != want {
			t.Fatalf("row %d is\n%s\nwant\n%s", i, got, want)
		}
	}
	if nulls == 0 || nulls == 400 {
		t.Errorf("%d rows without hardware addresses", nulls)
	}
}

// TestParquetHostile: what is no UTF-8 is made some, as Parquet's text has to be.
func TestParquetHostile(t *testing.T) {
	var out bytes.Buffer
	p, err := Open(&out, "parquet", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := p.Flow(hostile()); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.End(&query.Totals{}, Usage{}); err != nil {
		t.Fatal(err)
	}
	type named struct {
		User string `parquet:"username,optional"`
	}
	rows, err := parquet.Read[named](bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil || len(rows) != 3 || rows[2].User != "a\"b\\c\n\x00\ufffd\ufffd,\x1b[2J\u2028é" {
		t.Errorf("%q %v", rows, err)
	}
}

// TestParquetNames: countries are those of -G, and names those of the file.
func TestParquetNames(t *testing.T) {
	country := func(a netip.Addr) string {
		if a.Is4() {
			return "DE"
		}
		return ""
	}
	var out bytes.Buffer
	p, err := Open(&out, "parquet", Options{Country: country})
	if err != nil {
		t.Fatal(err)
	}
	r := flow.Record{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("2001:db8::1"), Input: 7, EngineID: 3,
		AppID: []byte{13, 0, 1, 2}, Present: flow.SetOf(flow.Src, flow.Dst, flow.Input, flow.Output, flow.EngineID)}
	names := []nffile.Name{{Kind: nffile.InterfaceName, ID: 7, Name: "eth7"}, {Kind: nffile.AppName, App: string(r.AppID),
		Name: "ssh"}}
	f := query.Flow{Record: &r, Extra: &nffile.Extra{Has: nffile.HasLayer2, Layer2: nffile.Layer2{EtherType: 0x86dd}},
		SysID: 5, Names: names}
	row := query.Flow{Record: &flow.Record{}, Extra: &noExtra, SrcCountry: "FR", DstCountry: "CH"}
	if err := errors.Join(p.Flow(&f), p.Flow(&row), p.End(&query.Totals{}, Usage{})); err != nil {
		t.Fatal(err)
	}
	type named struct {
		Src    string `parquet:"src_country,optional"`
		Dst    string `parquet:"dst_country,optional"`
		In     string `parquet:"in_interface,optional"`
		Out    string `parquet:"out_interface,optional"`
		App    string `parquet:"app_name,optional"`
		Ether  uint16 `parquet:"ethertype,optional"`
		Engine uint8  `parquet:"engine_id,optional"`
		SysID  uint32 `parquet:"exporter_sysid,optional"`
	}
	rows, err := parquet.Read[named](bytes.NewReader(out.Bytes()), int64(out.Len()))
	want := []named{{Src: "DE", In: "eth7", App: "ssh", Ether: 0x86dd, Engine: 3, SysID: 5}, {Src: "FR", Dst: "CH"}}
	if err != nil || !slices.Equal(rows, want) {
		t.Errorf("%v: %+v, want %+v", err, rows, want)
	}
}

// extraFile writes a file of flows that have what only files have: every second one, first
// bytes also in the other ones.
func extraFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(path, nffile.Options{Extended: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		r := flow.Record{First: flow.TimeOf(time.Date(2026, 11, 28, 12, 0, i, 0, time.UTC)), Version: flow.IPFIX,
			Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), Proto: 6, Bytes: uint64(i),
			Present: flow.SetOf(flow.Src, flow.Dst)}
		r.Last = r.First
		x := nffile.Extra{Has: nffile.HasPayload, InPayload: fmt.Appendf(nil, "GET /%d\xff\x00", i)}
		if i%2 == 0 {
			x.Has |= nffile.HasOutPayload | nffile.HasPF | nffile.HasNokia | nffile.HasNokiaText
			x.OutPayload, x.NokiaIn, x.NokiaOut, x.NokiaText = []byte{0, byte(i)}, 65535, uint16(i), []byte("pool1")
			x.PF = nffile.PF{Action: 1, Reason: 2, Direction: 1, Rewritten: 1, Rule: 4294967295, Subrule: uint32(i), UID: 1000,
				PID: 70000, Interface: []byte("em0")}
		}
		if err := w.AppendExtra(&r, &x); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestParquetExtra: what only files have comes back out of the columns as it is, null where a
// flow has none.
func TestParquetExtra(t *testing.T) {
	type extra struct {
		Payload    []byte  `parquet:"payload,optional"`
		OutPayload *string `parquet:"out_payload,optional"`
		Interface  string  `parquet:"pf_interface,optional"`
		Action     *uint8  `parquet:"pf_action,optional"`
		Reason     uint8   `parquet:"pf_reason,optional"`
		Direction  uint8   `parquet:"pf_direction,optional"`
		Rewritten  uint8   `parquet:"pf_rewritten,optional"`
		Rule       uint32  `parquet:"pf_rule,optional"`
		Subrule    uint32  `parquet:"pf_subrule,optional"`
		UID        uint32  `parquet:"pf_uid,optional"`
		PID        uint32  `parquet:"pf_pid,optional"`
		In         uint16  `parquet:"in_service_id,optional"`
		Out        *uint16 `parquet:"out_service_id,optional"`
		NAT        string  `parquet:"nat_string,optional"`
	}
	data := printed(t, extraFile(t), "parquet", Options{})
	rows, err := parquet.Read[extra](strings.NewReader(data), int64(len(data)))
	if err != nil || len(rows) != 10 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, got := range rows {
		want := extra{Payload: fmt.Appendf(nil, "GET /%d\xff\x00", i)}
		if i%2 == 0 {
			out, action, service := string([]byte{0, byte(i)}), uint8(1), uint16(i)
			want = extra{want.Payload, &out, "em0", &action, 2, 1, 1, 4294967295, uint32(i), 1000, 70000, 65535, &service,
				"pool1"}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("row %d is %+v, want %+v", i, got, want)
		}
	}
}

// TestParquetIsDocumented: PARQUET.md has a line for each column, in their order.
func TestParquetIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("PARQUET.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(doc)
	for _, c := range parquetColumns {
		null := "null"
		if !c.optional {
			null = ""
		}
		line := fmt.Sprintf("\n| %s | %s | %s |", c.name, parquetType(c.node), null)
		i := strings.Index(rest, strings.Replace(line, "|  |", "| |", 1))
		if i < 0 {
			t.Fatalf("PARQUET.md lacks %q, or has it in another place", line)
		}
		rest = rest[i+1:]
	}
}

// parquetType returns the type of a column as PARQUET.md calls it.
func parquetType(node parquet.Node) string {
	text := strings.ToLower(node.Type().String())
	switch {
	case text == "byte_array":
		return "binary"
	case strings.HasPrefix(text, "timestamp"):
		return "timestamp"
	case strings.HasPrefix(text, "int("):
		bits, _, _ := strings.Cut(text[len("int("):], ",")
		return "uint" + bits
	}
	return text
}

// sums are what the engines are asked for.
type sums struct {
	Flows, Octets, Packets, Reverse uint64
	First, Last                     int64
	Sources, Payload, Rule          uint64
}

// engineScript asks DuckDB and ClickHouse for the sums over a file.
const engineScript = `
import { DuckDBInstance } from '@duckdb/node-api';
import { query } from 'chdb';
const file = process.argv[2];
const db = await (await DuckDBInstance.create(':memory:')).connect();
const duck = await db.runAndReadAll("select count(*)::varchar as \"Flows\", sum(in_bytes)::varchar as \"Octets\", " +
	"sum(in_packets)::varchar as \"Packets\", sum(rev_bytes)::varchar as \"Reverse\", " +
	"epoch_ms(min(flow_start))::varchar as \"First\", epoch_ms(max(flow_end))::varchar as \"Last\", " +
	"count(distinct src)::varchar as \"Sources\", coalesce(sum(octet_length(payload)), 0)::varchar as \"Payload\", " +
	"coalesce(sum(pf_rule), 0)::varchar as \"Rule\" from '" + file + "'");
console.log(JSON.stringify(duck.getRowObjectsJson()[0]));
console.log(query("select toString(count()) as Flows, toString(sum(in_bytes)) as Octets, toString(sum(in_packets)) " +
	"as Packets, toString(sum(rev_bytes)) as Reverse, toString(toUnixTimestamp64Milli(min(flow_start))) as First, " +
	"toString(toUnixTimestamp64Milli(max(flow_end))) as Last, toString(uniqExact(src)) as Sources, " +
	"toString(ifNull(sum(length(payload)), 0)) as Payload, toString(ifNull(sum(pf_rule), 0)) as Rule from file('" + file +
	"', Parquet) format JSONEachRow").trim());
`

// TestParquetInEngines: DuckDB and ClickHouse read the file, and their sums are ours.
// "make engines" installs them and runs it.
func TestParquetInEngines(t *testing.T) {
	dir := os.Getenv("FLOWGRAF_ENGINES")
	if dir == "" {
		t.Skip("DuckDB and ClickHouse are not there: make engines installs them and runs this test")
	}
	script := filepath.Join(dir, "sums.mjs")
	if err := os.WriteFile(script, []byte(engineScript), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{ourFile(t, nffile.LZ4), everyKind(t), extraFile(t)} {
		path, want, sources := writeParquet(t, file), sums{}, map[string]bool{}
		totals, err := query.Input{Files: []string{file}}.List(context.Background(), func(f *query.Flow) error {
			want.Octets, want.Packets, want.Reverse = want.Octets+f.Bytes, want.Packets+f.Packets,
				want.Reverse+f.RevBytes
			sources[f.Src.String()] = true
			if f.Extra.Has&nffile.HasPayload != 0 {
				want.Payload += uint64(len(f.Extra.InPayload))
			}
			if f.Extra.Has&nffile.HasPF != 0 {
				want.Rule += uint64(f.Extra.PF.Rule)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want.Flows, want.First, want.Last = totals.Records, int64(totals.First), int64(totals.Last)
		want.Sources = uint64(len(sources))
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, "node", script, path).Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		for i, engine := range []string{"DuckDB", "ClickHouse"} {
			var answer map[string]string
			if err := json.Unmarshal(lines[i], &answer); err != nil {
				t.Fatalf("%s: %v\n%s", engine, err, lines[i])
			}
			got := fmt.Sprint(answer["Flows"], answer["Octets"], answer["Packets"], answer["Reverse"], answer["First"],
				answer["Last"], answer["Sources"], answer["Payload"], answer["Rule"])
			if s := fmt.Sprint(fmt.Sprint(want.Flows), fmt.Sprint(want.Octets), fmt.Sprint(want.Packets),
				fmt.Sprint(want.Reverse), fmt.Sprint(want.First), fmt.Sprint(want.Last),
				fmt.Sprint(want.Sources), fmt.Sprint(want.Payload), fmt.Sprint(want.Rule)); got != s {
				t.Errorf("%s says %s, want %s", engine, got, s)
			} else {
				t.Logf("%s: %s", engine, lines[i])
			}
		}
	}
}
