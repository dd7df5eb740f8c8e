package main

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// flowFile writes a file with flows that came in at the same time.
func flowFile(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(path, nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := flow.TimeOf(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))
	for i := range n {
		r := flow.Record{Version: flow.V9, First: at, Last: at + 1e9, Received: at + 2e9, Proto: 6, Packets: 2,
			Bytes: uint64(100 + i)}
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// dumped runs dump and returns what it prints.
func dumped(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newDumpCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.Execute()
	return out.String(), err
}

// TestDumpCountries: -G names the file that tells the countries of addresses.
func TestDumpCountries(t *testing.T) {
	const src, dst = "2001:db8::1", "2001:db8::2"
	file := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(file, nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := flow.Record{Version: flow.V9, Proto: 6, Packets: 2, Bytes: 100, Src: netip.MustParseAddr(src),
		Dst: netip.MustParseAddr(dst), IPVersion: 6, Present: flow.SetOf(flow.Src, flow.Dst)}
	if err := errors.Join(w.Append(&r), w.Close()); err != nil {
		t.Fatal(err)
	}
	countries := filepath.Join(t.TempDir(), "countries.csv")
	if err := os.WriteFile(countries, []byte("prefix,country\n"+src+",CH\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ output, want, without string }{
		{"fmt:%sc %dc %stz", "CH .. ..", ".. .. .."},
		{"fmt:%gsa", src + "(CH)", src + "(..)"},
		{"gline", src + "(CH).", src + "(..)."},
		{"glong", dst + "(..).", dst + "(..)."},
		{"csv:%sc,%dc", "CH,..", "..,.."},
	} {
		with, err := dumped(t, "-r", file, "-6", "-G", countries, "-o", c.output)
		without, err2 := dumped(t, "-r", file, "-6", "-G", "none", "-o", c.output)
		if err != nil || err2 != nil || !strings.Contains(with, c.want) || !strings.Contains(without, c.without) {
			t.Errorf("-o %s: %v %v\n%s\nexpected %q, and %q without a file:\n%s", c.output, err, err2, with, c.want,
				c.without, without)
		}
	}
	if out, err := dumped(t, "-r", file, "-G", countries, "-o", "json", "--compat", "1.7.8"); err != nil ||
		!strings.Contains(out, `"CH"`) {
		t.Errorf("JSON: %v\n%s", err, out)
	}
	for _, c := range []struct{ line, want string }{
		{"-s srcgeo -o csv", ",any,CH,1,"}, {"-s dstgeo -o csv", ",any,..,1,"}, {"-s geo -n 0 -o csv", ",any,CH,1,"},
		{"-s srcgeo:p/bytes -o ndjson", `"srcgeo":"CH"`}, {"-s srcgeo", "CH        1(100.0)"},
		{"-A srcgeo,dstgeo", "CH ..         2      100"}, {"-A srcgeo,srcip -o fmt:%sc%sa", "CH     2001:db8::1"},
		{"-A srcgeo -o json", `"src_geo" : "CH"`}, {"-A dstgeo -O bytes -o fmt:(%dc)", "(..)"},
		{"-s record -A srcgeo -o fmt:(%sc)", "(CH)"}, {"src geo CH", "2001:db8::1.0"}, {"country ch", "2001:db8::1.0"},
		{"geo = 'CH' and proto tcp", "2001:db8::1.0"}, {"dst geo CH", "No matching flows"},
		{"not geo CH", "No matching flows"}, {"geo != CH", "No matching flows"}, {"dst country CH", "No matching"},
	} {
		args := []string{c.line}
		if c.line[0] == '-' {
			args = strings.Fields(c.line)
		}
		out, err := dumped(t, append(args, "-r", file, "-G", countries)...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v: %s\nexpected %s", c.line, err, out, c.want)
		}
		if _, err := dumped(t, append(args, "-r", file)...); err == nil || !strings.Contains(err.Error(), "-G") {
			t.Errorf("%s without a file: %v", c.line, err)
		}
	}
	for _, bad := range []string{file, filepath.Join(t.TempDir(), "none.mmdb")} {
		if _, err := dumped(t, "-r", file, "-G", bad); err == nil || !strings.Contains(err.Error(), "-G: ") {
			t.Errorf("-G %s: %v", bad, err)
		}
	}
}

// TestDumpSystems: where flows tell no AS numbers, they are those of the file of -G, also for
// filters that have an index; files that are written have what the flows tell.
func TestDumpSystems(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(file, nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, told := range []uint32{0, 64500} {
		r := flow.Record{Version: flow.V9, Proto: 6, Packets: 1, Bytes: uint64(100 + i), IPVersion: 4, SrcAS: told,
			Src: netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}), Dst: netip.MustParseAddr("192.0.2.1"),
			Present: flow.SetOf(flow.Src, flow.Dst, flow.SrcAS, flow.DstAS)}
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	systems := filepath.Join(t.TempDir(), "systems.csv")
	const lines = "prefix,as,country\n10.0.0.0/24,64510,CH\n192.0.2.0/24,64520,\n"
	if err := os.WriteFile(systems, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := commandError(newIndexCommand(), file); err != nil {
		t.Fatal(err)
	}
	written := filepath.Join(t.TempDir(), "written")
	for _, c := range []struct{ line, want string }{
		{"-o csv:%sas,%das", "64510,64520\n64500,64520\n"}, {"-o fmt:%sas -O bytes", " 64500\n 64510\n"},
		{"src as 64510", "10.0.0.1"}, {"dst as 64520 and not src as 64510", "10.0.0.2"}, {"src as 64500", "10.0.0.2"},
		{"src as 0", ""}, {"as in [64510 1]", "10.0.0.1"},
		{"-s as -n 1 -o csv", ",any,64520,2,"}, {"-s srcas:p -o csv", ",TCP,64510,1,"},
		{"-A srcas,dstas -o csv:%sas,%das,%fl", "64510,64520,1\n64500,64520,1\n"},
		{"-A dstas -o csv:%das,%fl", "64520,2\n"}, {"-a -P src~as~64510 -o csv:%sa,%sas", "10.0.0.1,64510\n"},
		{"-o json -c 1", `"src_as" : 64510`}, {"-o ndjson", `"src_as":64510`}, {"-s record -o fmt:%sas", " 64510\n"},
		{"-c 1 -o influx", `bgp_src_as=64510i,bgp_dst_as=64520i`}, {"-c 1 -o influx", `src_country="CH"`},
		{"-A srcgeo -o influx", `src_country="CH"`},
	} {
		args := []string{c.line}
		if c.line[0] == '-' {
			args = strings.Fields(c.line)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "~", " ")
			}
		}
		out, err := dumped(t, append(args, "-q", "-r", file, "-G", systems)...)
		if err != nil && c.want != "" || !strings.Contains(out, c.want) || c.want == "" && len(out) > 30 {
			t.Errorf("%s: %v: %s\nexpected %s", c.line, err, out, c.want)
		}
	}
	for i, more := range [][]string{{"src as 64510"}, {"-a"}, {"-A", "srcas,dstas"}} {
		to := written + strconv.Itoa(i)
		if _, err := dumped(t, append(more, "-r", file, "-G", systems, "-w", to)...); err != nil {
			t.Fatal(err)
		}
		want := []string{"0,0\n", "0,0\n64500,0\n", "64510,64520\n64500,64520\n"}[i]
		if out, err := dumped(t, "-r", to, "-q", "-o", "csv:%sas,%das"); err != nil || out != want {
			t.Errorf("%q -w: %v, %q in the file, expected %q", more, err, out, want)
		}
	}
}

// TestDumpSystemsOfFlowsWithout: each flow without a place for AS numbers has those of its own
// addresses, in lists and for filters; rows whose addresses are masked, or whose flows may tell
// others, have none.
func TestDumpSystemsOfFlowsWithout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nfcapd.202611281200")
	w, err := nffile.Create(file, nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range []string{"10.0.0.1", "10.0.1.1", "10.0.0.200", "172.16.0.1", "10.0.0.2"} {
		r := flow.Record{Version: flow.V9, Proto: 6, Packets: 1, Bytes: 100, IPVersion: 4, Src: netip.MustParseAddr(src),
			Dst: netip.MustParseAddr("192.0.2.1"), Present: flow.SetOf(flow.Src, flow.Dst)}
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	systems := filepath.Join(t.TempDir(), "systems.csv")
	const lines = "prefix,as\n10.0.0.0/25,64500\n10.0.1.0/24,64501\n"
	if err := os.WriteFile(systems, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	const all = "10.0.0.1,64500\n10.0.1.1,64501\n10.0.0.200,0\n172.16.0.1,0\n10.0.0.2,64500\n"
	for line, want := range map[string]string{
		"-o csv:%sa,%sas":                                all,
		"-o csv:%sa,%sas -O tstart":                      all,
		"-o csv:%sa,%sas src~as~64500":                   "10.0.0.1,64500\n10.0.0.2,64500\n",
		"-o csv:%sa,%sas not~src~as~64500":               "10.0.1.1,64501\n10.0.0.200,0\n172.16.0.1,0\n",
		"-o csv:%sa,%sas,%fl -A srcip4/24 -O flows -n 1": "10.0.0.0,0,3\n",
		"-o csv:%sas,%fl -A srcas -O flows":              "64500,2\n0,2\n64501,1\n",
	} {
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "~", " ")
		}
		out, err := dumped(t, append(args, "-q", "-r", file, "-G", systems)...)
		if err != nil || out != want {
			t.Errorf("%s: %v: %q\nexpected %q", line, err, out, want)
		}
	}
}

// TestDumpInflux: every flow is a point of its own, of the measurement of inputs.netflow,
// at the time when it came in, and the sums are those of the file.
func TestDumpInflux(t *testing.T) {
	out, err := dumped(t, "-r", flowFile(t, 500), "-o", "influx:protocol")
	if err != nil {
		t.Fatal(err)
	}
	points, octets := map[time.Time]bool{}, int64(0)
	d := lineprotocol.NewDecoder(strings.NewReader(out))
	for d.Next() {
		name, err := d.Measurement()
		if err != nil || string(name) != "netflow" {
			t.Fatalf("%q: %v", name, err)
		}
		tags := map[string]string{}
		for key, value, err := d.NextTag(); key != nil; key, value, err = d.NextTag() {
			if err != nil {
				t.Fatal(err)
			}
			tags[string(key)] = string(value)
		}
		if tags["protocol"] != "tcp" || tags["version"] != "NetFlowV9" {
			t.Fatal(tags)
		}
		for key, value, err := d.NextField(); key != nil; key, value, err = d.NextField() {
			if err != nil {
				t.Fatal(err)
			}
			if string(key) == "in_bytes" {
				octets += value.IntV()
			}
		}
		at, err := d.Time(lineprotocol.Nanosecond, time.Time{})
		if err != nil || !at.Truncate(time.Millisecond).Equal(time.Date(2026, 11, 28, 12, 0, 2, 0, time.UTC)) {
			t.Fatal(at, err)
		}
		points[at] = true
	}
	if len(points) != 500 || octets != 500*100+499*500/2 {
		t.Errorf("%d points of %d octets", len(points), octets)
	}
}

// TestDumpOutputMistakes: what is wrong with the output is said before anything is read.
func TestDumpOutputMistakes(t *testing.T) {
	file := flowFile(t, 1)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-o", "jsno"}, "did you mean json?"},
		{[]string{"-o", "infux"}, "did you mean influx?"},
		{[]string{"-o", "influx", "-s", "srcip"}, "prints flows, not statistics"},
		{[]string{"-o", "influx:nosuch"}, "expected the name of a field of netflow"},
		{[]string{"--compat", "1.7.2"}, "expected one of best, 1.7.1, 1.7.8"},
		{[]string{"--tz", "Berlin"}, "no such time zone"},
	} {
		out, err := dumped(t, append(c.args, "-r", file)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("%q: %v, %q; want %q", c.args, err, out, c.want)
		}
	}
	if out, err := dumped(t, "-o", "help"); err != nil || !strings.Contains(out, "%sap") {
		t.Errorf("-o help: %v %q", err, out)
	}
	if out, err := dumped(t, "-r", file, "-o", "fmt:%ts", "-q", "--tz", "Asia/Tokyo"); err != nil ||
		out != "2026-11-28 21:00:00.000\n" {
		t.Errorf("--tz: %v %q", err, out)
	}
}

// TestTerminalOfAFile: a file is no terminal.
func TestTerminalOfAFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if terminal := terminalOf(f); terminal.Colours || terminal.Width != 0 {
		t.Errorf("%+v", terminal)
	}
}
