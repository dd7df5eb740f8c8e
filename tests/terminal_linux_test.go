package tests

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// pseudoTerminal returns both ends of a new one: what a person has before him, and what a
// program has.
func pseudoTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo terminals here: ", err)
	}
	t.Cleanup(func() { person.Close() })
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// longArchive makes an archive that takes long to read: many names of one file that is packed
// with BZ2. It returns how many flows it has.
func longArchive(t *testing.T, dir string) int {
	t.Helper()
	const flows, names = 20000, 3000
	path := filepath.Join(dir, "nfcapd.202611280000")
	w, err := nffile.Create(path, nffile.Options{Compression: nffile.BZ2})
	if err != nil {
		t.Fatal(err)
	}
	at := flow.TimeOf(time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC))
	for i := range uint32(flows) {
		x := (i + 1) * 2654435761
		r := flow.Record{Version: flow.V9, First: at, Last: at + flow.Time(x>>20)*1e6, Received: at + 5e9, Proto: 6,
			Packets: 1 + uint64(x>>24), Bytes: 40 + uint64(x>>12), SrcPort: uint16(x), DstPort: 443}
		r.Src = netip.AddrFrom4([4]byte{10, 0, byte(x >> 29), byte(x >> 16)})
		r.Dst = netip.AddrFrom4([4]byte{192, 0, 2, byte(x >> 8)})
		if err := w.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < names; i++ {
		name := fmt.Sprintf("nfcapd.202611%02d%02d%02d", 1+i/1440, i/60%24, i%60)
		if err := os.Link(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return flows * names
}

// interrupted runs flowgraf on a terminal, with standard output elsewhere, and types Ctrl-C once
// the terminal shows how far it is. It returns what the terminal has shown, and the output; the
// exit code is 1.
func interrupted(t *testing.T, progress string, args ...string) (shown, output string) {
	t.Helper()
	person, program := pseudoTerminal(t)
	cmd := exec.Command(flowgraf, args...)
	var out bytes.Buffer
	cmd.Env = append(os.Environ(), "TZ=UTC", "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, &out, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	screen := &logBuffer{}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close()
	read := make(chan bool)
	go func() { // until nobody has the other end
		defer close(read)
		buf := make([]byte, 4096)
		for n, err := person.Read(buf); err == nil; n, err = person.Read(buf) {
			screen.Write(buf[:n])
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	waitFor(t, time.Minute, "how far it is", func() bool {
		return regexp.MustCompile(progress).MatchString(screen.String())
	})
	if _, err := person.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("ended with %v, expected exit code 1", err)
		}
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		t.Fatal("goes on after Ctrl-C")
	}
	<-read
	return screen.String(), out.String()
}

// TestCtrlC: a query that takes longer than a second shows on the terminal how far it is; a
// Ctrl-C there ends it, with what was found until then, exit code 1, and a word about it.
func TestCtrlC(t *testing.T) {
	dir := t.TempDir()
	all := longArchive(t, dir)
	for _, c := range []struct{ options, want string }{
		{"-s srcip/bytes -o line",
			`(?s)^Top 10 Src IP Addr ordered by bytes:\n.*10\.0\..*\nSummary: total flows: (\d+),`},
		{"-A dstport -o line", `(?s)^Date first seen .*443 .*\nSummary: total flows: (\d+),`},
	} {
		t.Run(c.options, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"dump", "-R", dir}, strings.Fields(c.options)...)
			shown, out := interrupted(t, `reading +[0-9]+%`, args...)
			if !strings.Contains(shown, "interrupted: what is printed is of the flows read until then") {
				t.Errorf("the terminal shows %q", shown)
			}
			m := regexp.MustCompile(c.want).FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("printed %q", out)
			}
			if n, _ := strconv.Atoi(m[1]); n == 0 || n >= all {
				t.Errorf("sums of %d flows of %d", n, all)
			}
		})
	}
}

// TestCtrlCOfTools: so do the other commands that read many files. What is done is told, and
// no half of a file is left.
func TestCtrlCOfTools(t *testing.T) {
	dir := t.TempDir()
	longArchive(t, dir)
	collector, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	whole := filepath.Join(t.TempDir(), "anonymised")
	const files, key = `[0-9]+ of 3000`, "01234567890123456789012345678901"
	for _, c := range []struct{ args, progress, shown, output string }{
		{"index " + dir, files, "flowgraf: interrupted\r\n", `indexes made: [1-9]`},
		{"verify " + dir, files, "flowgraf: interrupted in .* files are verified", `: sound; layout 2`},
		{"repair " + dir, files, "flowgraf: interrupted in .* files are looked at", `^$`},
		{"anonymise -K " + key + " -r " + dir + " -w " + whole, files, "interrupted, there is no " + whole, `^$`},
		{"anonymise -K " + key + " -r " + dir, files, `interrupted, [0-9]+ of 3000 files are anonymised`, `(flows\n)*`},
		{"replay -R " + dir + " --rate 20000 --to " + collector.LocalAddr().String(), `[0-9]+ flows sent`,
			"flowgraf: interrupted\r\n", `(?m)^flows: [1-9]`},
	} {
		name, _, _ := strings.Cut(c.args, "/")
		t.Run(name, func(t *testing.T) {
			shown, output := interrupted(t, c.progress, strings.Fields(c.args)...)
			if !regexp.MustCompile(c.shown).MatchString(shown) || !regexp.MustCompile(c.output).MatchString(output) {
				t.Errorf("the terminal shows %q, and it prints %q", shown, output)
			}
		})
	}
	if _, err := os.Stat(whole); err == nil {
		t.Error("there is a half of " + whole)
	}
	odd, err := filepath.Glob(filepath.Join(dir, "nfcapd.current.[^i]*"))
	if err != nil || len(odd) > 0 {
		t.Errorf("left behind: %q, %v", odd, err)
	}
}
