package tests

import (
	"bytes"
	"errors"
	"fmt"
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
			person, program := pseudoTerminal(t)
			cmd := exec.Command(flowgraf, append([]string{"dump", "-R", dir}, strings.Fields(c.options)...)...)
			var out bytes.Buffer
			cmd.Env = append(os.Environ(), "TZ=UTC", "TERM=xterm")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = program, &out, program
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
			shown := &logBuffer{}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			program.Close()
			go func() { // until nobody has the other end
				buf := make([]byte, 4096)
				for n, err := person.Read(buf); err == nil; n, err = person.Read(buf) {
					shown.Write(buf[:n])
				}
			}()
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			waitFor(t, time.Minute, "the bar", func() bool {
				return regexp.MustCompile(`reading +[0-9]+%`).MatchString(shown.String())
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
			waitFor(t, time.Minute, "a word about it", func() bool {
				return strings.Contains(shown.String(), "interrupted: what is printed is of the flows read until then")
			})
			m := regexp.MustCompile(c.want).FindStringSubmatch(out.String())
			if m == nil {
				t.Fatalf("printed %q", out.String())
			}
			if n, _ := strconv.Atoi(m[1]); n == 0 || n >= all {
				t.Errorf("sums of %d flows of %d", n, all)
			}
		})
	}
}
