package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// nfdumpFlows returns how many flows nfdump reads of a file, and how it ends.
func nfdumpFlows(t *testing.T, path string) (flows int) {
	t.Helper()
	out := peers.Run(t, "nfdump", "-r", path, "-q", "-o", "fmt:%sp")
	return strings.Count(out, "\n")
}

// TestDamagedFilesComeBack cuts a file at many lengths: verify says so, salvage and repair get out what
// nfdump then reads in full, and say how many flows that are.
func TestDamagedFilesComeBack(t *testing.T) {
	dir := t.TempDir()
	whole := secondsFile(t, filepath.Join(dir, "nfcapd.202611221200"), 40000)
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runLine(t, "flowgraf", "verify", whole); code != 0 || !strings.Contains(out, "40000 flows") {
		t.Errorf("verify: %d\n%s%s", code, out, errs)
	}
	if code, out, _ := runLine(t, "flowgraf", "verify", "-q", whole); code != 0 || out != "" {
		t.Errorf("verify -q of a sound file: %d, %q", code, out)
	}
	for i, n := range []int{len(data) - 1, len(data) * 3 / 4, len(data) / 2} {
		cut, saved := filepath.Join(dir, fmt.Sprintf("nfcapd.20261122130%d", i)),
			filepath.Join(dir, fmt.Sprint("saved", i))
		if err := os.WriteFile(cut, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := runLine(t, "flowgraf", "verify", "-q", cut)
		if code != 1 || !strings.Contains(out, cut) || !strings.Contains(errs, "1 of 1 files are damaged") {
			t.Errorf("verify of %d bytes: %d\n%s%s", n, code, out, errs)
		}
		code, out, errs = runLine(t, "flowgraf", "salvage", cut, "-w", saved)
		var flows, blocks, lost, lostFlows int
		if _, err := fmt.Sscanf(strings.TrimPrefix(out, saved), ": %d flows in %d blocks; %d bytes are lost, %d flows",
			&flows, &blocks, &lost, &lostFlows); code != 1 || err != nil {
			t.Fatalf("salvage of %d bytes: %d, %v\n%s%s", n, code, err, out, errs)
		}
		if got := nfdumpFlows(t, saved); got != flows || flows+lostFlows > 40000 || flows == 0 && n > len(data)/2 {
			t.Errorf("salvage of %d bytes says %d flows, nfdump reads %d", n, flows, got)
		}
		code, out, _ = runLine(t, "flowgraf", "repair", "--dry-run", cut)
		if now, err := os.ReadFile(cut); code != 1 || err != nil || !bytes.Equal(now, data[:n]) ||
			!strings.Contains(out, "can be mended") || !strings.Contains(out, "sound 0, to be mended 1, not mended 0") {
			t.Errorf("repair --dry-run of %d bytes: %d\n%s", n, code, out)
		}
		code, out, _ = runLine(t, "flowgraf", "repair", cut)
		if code != 1 || !strings.Contains(out, fmt.Sprintf("mended; %d flows in %d blocks", flows, blocks)) {
			t.Errorf("repair of %d bytes: %d\n%s", n, code, out)
		}
		if got := nfdumpFlows(t, cut); got != flows {
			t.Errorf("nfdump reads %d flows of the repaired file, expected %d", got, flows)
		}
		kept, err := os.ReadFile(filepath.Join(dir, "nfcapd.current.damaged-"+filepath.Base(cut)))
		if err != nil || !bytes.Equal(kept, data[:n]) {
			t.Errorf("the damaged file is not kept as it was: %v", err)
		}
		if code, out, _ = runLine(t, "flowgraf", "repair", cut); code != 0 ||
			!strings.Contains(out, "sound 1, mended 0") {
			t.Errorf("repair again: %d\n%s", code, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "nfcapd.202611221400"), []byte("no flows"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runLine(t, "flowgraf", "repair", dir)
	if code != 1 || !strings.Contains(out, "nfcapd.202611221400: not mended: ") ||
		!strings.Contains(errs, "files are damaged") {
		t.Errorf("repair of what is no file of flows: %d\n%s%s", code, out, errs)
	}
}

// TestFilesLeftBehindAreMended: a file that was left while it was written is not damaged, so
// repair ends with 0, and a trial does too.
func TestFilesLeftBehindAreMended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nfcapd.202611221200")
	w, err := nffile.Create(path, nffile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := flow.Record{Version: flow.V9, Proto: 6, Packets: 1, Bytes: 100, Src: netip.MustParseAddr("192.0.2.1"),
		Dst: netip.MustParseAddr("192.0.2.2"), Present: flow.SetOf(flow.Src, flow.Dst)}
	if err := w.Append(&r); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ option, want string }{
		{"--dry-run", "sound 0, to be mended 1, not mended 0"}, {"", "sound 0, mended 1, not mended 0"},
		{"--dry-run", "sound 1, to be mended 0, not mended 0"},
	} {
		line := append([]string{"repair"}, strings.Fields(c.option+" "+path)...)
		if code, out, errs := runLine(t, "flowgraf", line...); code != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%q: %d\n%s%s\nexpected 0 and %q", line, code, out, errs, c.want)
		}
	}
}

// TestIndexesOfFiles makes, keeps, replaces and removes them, and the same flows are found.
func TestIndexesOfFiles(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "nfcapd.202611221200"), filepath.Join(dir, "nfcapd.202611221205")
	secondsFile(t, one, 3000)
	secondsFile(t, two, 100)
	found := func() string {
		_, out, errs := runLine(t, "flowgraf", "dump", "-R", dir, "-q", "-o", "fmt:%sa %sp", "src ip 10.0.0.77")
		if errs != "" {
			t.Error(errs)
		}
		return out
	}
	want := found()
	if strings.Count(want, "\n") != 2 {
		t.Fatalf("without an index: %q", want)
	}
	for _, c := range []struct{ line, want string }{
		{"DIR/", "files: 2\nindexes made: 2, "}, {"DIR/", "indexes made: 0, 0 bytes\nindexes that were current: 2\n"},
		{"--force DIR/", "indexes made: 2, "}, {"DIR/nfcapd.202611221200", "files: 1\nindexes made: 0"},
		{"--remove DIR/nfcapd.202611221200", "indexes removed: 1\n"}, {"DIR/", "indexes made: 1, "},
		{"--remove DIR/", "indexes removed: 2\n"}, {"--remove DIR/", "indexes removed: 0\n"},
		{"DIR/", "indexes made: 2, "},
	} {
		code, out, errs := runLine(t, "flowgraf", append([]string{"index"}, inDir(dir, c.line)...)...)
		if code != 0 || !strings.Contains(out, c.want) {
			t.Errorf("index %s: %d, expected %q\n%s%s", c.line, code, c.want, out, errs)
		}
		if got := found(); got != want {
			t.Errorf("after index %s is found %q, expected %q", c.line, got, want)
		}
	}
	if err := os.Remove(two); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := runLine(t, "flowgraf", "index", dir); !strings.Contains(out, "whose files are gone: 1\n") {
		t.Errorf("the index of a file that is gone stays:\n%s", out)
	}
	if err := os.WriteFile(two, []byte("no flows"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runLine(t, "flowgraf", "index", dir); code != 1 || !strings.Contains(errs, two) ||
		!strings.Contains(out, "files: 2\n") {
		t.Errorf("of what is no file of flows: %d\n%s%s", code, out, errs)
	}
}

// TestGeneratedTotals: what generate says that it has sent is what stands in the datagrams, by the
// layouts of Cisco's versions 1, 5 and 7, read here octet by octet.
func TestGeneratedTotals(t *testing.T) {
	for protocol, header := range map[string]int{"v1": 16, "v5": 24, "v7": 24} {
		record := 48
		if protocol == "v7" {
			record = 52
		}
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadBuffer(4 << 20)
		type sums struct{ Datagrams, Flows, Packets, Bytes uint64 }
		const flows = 95
		code, out, errs := runLine(t, "flowgraf", "generate", "--to", conn.LocalAddr().String(), "--protocol", protocol,
			"--count", fmt.Sprint(flows), "--rate", "0", "--seed", "7", "--json")
		var said, got sums
		if err := json.Unmarshal([]byte(out), &said); code != 0 || err != nil {
			t.Fatalf("%s: %d, %v\n%s%s", protocol, code, err, out, errs)
		}
		b := make([]byte, 65536)
		for got.Flows < flows {
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			n, err := conn.Read(b)
			if err != nil {
				t.Fatalf("%s: %v after %+v", protocol, err, got)
			}
			count := int(binary.BigEndian.Uint16(b[2:]))
			if version := binary.BigEndian.Uint16(b); fmt.Sprint("v", version) != protocol || n != header+count*record {
				t.Fatalf("%s: a datagram of version %d with %d flows and %d octets", protocol, version, count, n)
			}
			got.Datagrams++
			got.Flows += uint64(count)
			for i := range count {
				r := b[header+i*record:]
				got.Packets += uint64(binary.BigEndian.Uint32(r[16:]))
				got.Bytes += uint64(binary.BigEndian.Uint32(r[20:]))
			}
		}
		conn.Close()
		if got != said {
			t.Errorf("%s: sent %+v, and it says %+v", protocol, got, said)
		}
	}
}

// TestPasswordsOfUsers: the line of flowgraf web user is a name and a hash that another bcrypt takes
// for the password that was typed, without the end of its line.
func TestPasswordsOfUsers(t *testing.T) {
	for typed, password := range map[string]string{"correct horse\n": "correct horse", "batteries\r\n": "batteries",
		"staple it": "staple it", "the first\nline\n": "the first", " blanks  \n": " blanks  "} {
		root := newRootCommand()
		var out, errs bytes.Buffer
		root.SetIn(strings.NewReader(typed))
		root.SetOut(&out)
		code := runCommand(t.Context(), root, []string{"flowgraf", "web", "user", "alice"}, &errs)
		name, hash, found := strings.Cut(strings.TrimSuffix(out.String(), "\n"), ":")
		if code != 0 || !found || name != "alice" {
			t.Fatalf("%q: %d, %q\n%s", typed, code, &out, &errs)
		}
		if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)); err != nil {
			t.Errorf("%q: %v", typed, err)
		}
	}
	for name, password := range map[string]string{"a:b": "long enough", "": "long enough", "alice": "seven77",
		"bob": "", "carol": strings.Repeat("x", 73)} {
		root := newRootCommand()
		var errs bytes.Buffer
		root.SetIn(strings.NewReader(password))
		root.SetOut(io.Discard)
		if code := runCommand(t.Context(), root, []string{"flowgraf", "web", "user", name}, &errs); code != 2 {
			t.Errorf("%q with the password %q: %d, %s", name, password, code, &errs)
		}
	}
}

// TestProgressIsForTerminals: long work is told on a terminal alone, after a second, and its line is
// taken away.
func TestProgressIsForTerminals(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, out := range []io.Writer{file, &bytes.Buffer{}} {
		if p := newProgress(t.Context(), out, false); p.out != nil {
			t.Errorf("%T is taken for a terminal", out)
		}
	}
	var b bytes.Buffer
	p := newProgress(t.Context(), io.Discard, false)
	p.out = &b
	p.file(2, 5, "/var/lib/nfcapd.1")
	step := func(what string, fn func(), want string) {
		t.Helper()
		b.Reset()
		fn()
		if b.String() != want {
			t.Errorf("%s: %q, expected %q", what, &b, want)
		}
	}
	done := func() {
		if err := p.bytes(5<<20+1, 10<<20); err != nil {
			t.Error(err)
		}
	}
	step("within the first second", done, "")
	step("nothing to take away", p.clear, "")
	p.next = time.Time{}
	step("after it", done, "\r\x1b[K3 of 5, nfcapd.1: 5 of 10 MB")
	step("at once again", done, "")
	step("the end", p.clear, "\r\x1b[K")
	step("the end again", p.clear, "")
	p.next = time.Time{}
	step("words", func() { p.say("%d of %d files", 7, 9) }, "\r\x1b[K7 of 9 files")
	p.out = nil
	p.next = time.Time{}
	step("no terminal", done, "")
}

// TestConfigurationFiles: files in their order, then those of directories, sorted; a directory's other
// files are none.
func TestConfigurationFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"d/b.conf", "d/a.conf", "d/c.txt", "d/sub/z.conf", "e/1.conf", "main.conf",
		"empty/x"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	under := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	for _, c := range []struct{ files, dirs, want []string }{
		{under("main.conf"), nil, under("main.conf")},
		{under("main.conf"), under("d"), under("main.conf", "d/a.conf", "d/b.conf", "d/sub/z.conf")},
		{nil, under("e", "d"), under("e/1.conf", "d/a.conf", "d/b.conf", "d/sub/z.conf")},
		{under("missing.conf"), nil, under("missing.conf")}, // told when it is read
	} {
		if got, err := configFiles(c.files, c.dirs); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q and %q: %q, %v, expected %q", c.files, c.dirs, got, err, c.want)
		}
	}
	for name, want := range map[string]string{"main.conf": "expected a directory, use --config for files",
		"missing": "no such file"} {
		if _, err := configFiles(nil, under(name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the directory %s: %v, expected %q", name, err, want)
		}
	}
}
