package archive

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// datagram returns a datagram of an exporter.
func datagram(exporter, payload string) flow.Datagram {
	return flow.Datagram{Exporter: netip.MustParseAddrPort(exporter), Received: time.Unix(1700000000, 123456789),
		Payload: []byte(payload)}
}

// openPcap opens pcap files in a directory.
func openPcap(t *testing.T, opt PcapOptions) *Pcap {
	t.Helper()
	opt.Location = time.UTC
	p, err := NewPcap(opt)
	must(t, err)
	must(t, p.Check())
	must(t, p.Open())
	t.Cleanup(func() { p.Close() })
	return p
}

// writePcap writes one batch.
func writePcap(t *testing.T, p *Pcap, datagrams ...flow.Datagram) {
	t.Helper()
	for _, dg := range datagrams {
		p.Add(dg)
	}
	must(t, p.Prepare())
	must(t, p.Commit())
}

// tshark prints packets of a file: source, ports, time, checksums, payload.
func tshark(t *testing.T, file string) string {
	t.Helper()
	args := []string{"-r", file, "-n", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-T", "fields"}
	for _, f := range []string{"ip.src", "ipv6.src", "udp.srcport", "udp.dstport", "frame.time_epoch",
		"ip.checksum.status", "udp.checksum.status", "udp.payload"} {
		args = append(args, "-e", f)
	}
	out, err := exec.Command(peers.Path(t, "tshark"), args...).Output()
	must(t, err)
	return string(out)
}

// TestPcapMicroseconds: nfpcapd, which takes no nanoseconds, reads the file.
func TestPcapMicroseconds(t *testing.T) {
	dir := t.TempDir()
	p := openPcap(t, PcapOptions{Dir: dir, Port: 2055, Micro: true})
	writePcap(t, p, datagram("192.0.2.1:4711", "hello"))
	must(t, p.Close())
	files, err := filepath.Glob(filepath.Join(dir, "pcap.*.pcap"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	if out := tshark(t, files[0]); !strings.Contains(out, "1700000000.123456000") {
		t.Errorf("tshark says %s", out)
	}
	flows := t.TempDir()
	peers.Run(t, "nfpcapd", "-r", files[0], "-l", flows)
	if out := peers.Run(t, "nfdump", "-R", flows, "-q", "-o", "line"); !strings.Contains(out, "192.0.2.1:4711") {
		t.Errorf("nfpcapd made of it\n%s", out)
	}
}

// TestPcapReplays: tcpreplay sends every frame of a file.
func TestPcapReplays(t *testing.T) {
	tcpreplay := peers.Path(t, "tcpreplay")
	if os.Getuid() != 0 {
		t.Skip("tcpreplay sends as root only")
	}
	dir := t.TempDir()
	p := openPcap(t, PcapOptions{Dir: dir, Port: 9})
	for i := range 20 {
		writePcap(t, p, datagram("192.0.2.1:50000", strings.Repeat("x", 60*i)),
			datagram("[2001:db8::1]:50001", strings.Repeat("y", 60*i)))
	}
	must(t, p.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*.pcap"))
	must(t, err)
	out, err := exec.Command(tcpreplay, append([]string{"--topspeed", "-i", "lo"}, files...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Successful packets:        40") ||
		!strings.Contains(string(out), "Failed packets:            0") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestPcap: Wireshark reads what was received, plain and compressed, with right
// checksums; a batch that is taken back is not there.
func TestPcap(t *testing.T) {
	for _, packed := range []bool{false, true} {
		dir := t.TempDir()
		p := openPcap(t, PcapOptions{Dir: dir, Zstd: packed, Port: 2055, Sync: true})
		writePcap(t, p, datagram("192.0.2.1:50000", "first"), datagram("[2001:db8::1]:50001", "second!"))
		p.Add(datagram("192.0.2.9:1", "never"))
		must(t, p.Prepare())
		must(t, p.Undo())
		p.Add(datagram("192.0.2.9:1", "never"))
		p.Rollback()
		writePcap(t, p)
		writePcap(t, p, datagram("192.0.2.2:50002", "third"))
		must(t, p.Close())
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		must(t, err)
		if len(files) != 1 || strings.HasSuffix(files[0], ".zst") != packed {
			t.Fatalf("files %v", files)
		}
		want := "192.0.2.1\t\t50000\t2055\t1700000000.123456789\t1\t1\t6669727374\n" +
			"\t2001:db8::1\t50001\t2055\t1700000000.123456789\t\t1\t7365636f6e6421\n" +
			"192.0.2.2\t\t50002\t2055\t1700000000.123456789\t1\t1\t7468697264\n"
		if got := tshark(t, files[0]); got != want {
			t.Errorf("packed %v: tshark prints\n%sexpected\n%s", packed, got, want)
		}
	}
}

// TestPcapKilled: what a kill left behind gets its name, without half a packet.
func TestPcapKilled(t *testing.T) {
	for _, packed := range []bool{false, true} {
		dir := t.TempDir()
		p := openPcap(t, PcapOptions{Dir: dir, Zstd: packed})
		writePcap(t, p, datagram("192.0.2.1:1", "first"), datagram("192.0.2.1:2", "second"))
		whole := p.end
		writePcap(t, p, datagram("192.0.2.1:3", "third"))
		left, err := os.ReadFile(p.f.Name())
		must(t, err)
		name := filepath.Base(p.f.Name())
		for cut := whole; cut < int64(len(left)); cut++ {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, name), left[:cut], 0o644))
			q := openPcap(t, PcapOptions{Dir: dir, Zstd: packed})
			must(t, q.Close())
			files, err := filepath.Glob(filepath.Join(dir, "pcap.2*"))
			must(t, err)
			if len(files) != 1 {
				t.Fatalf("files %v", files)
			}
			if info, err := os.Stat(files[0]); err != nil || info.Size() != whole {
				t.Fatalf("cut to %d: %v, expected %d bytes: %v", cut, info, whole, err)
			}
		}
		must(t, p.Close())
	}
}

// TestPcapNameLater: a file that cannot get its name is written on, and gets it with
// the next batch.
func TestPcapNameLater(t *testing.T) {
	dir := t.TempDir()
	p := openPcap(t, PcapOptions{Dir: dir, Interval: time.Second})
	writePcap(t, p, datagram("192.0.2.1:1", "first"))
	base := filepath.Join(dir, "pcap."+time.Unix(p.slot, 0).UTC().Format("20060102150405"))
	must(t, os.WriteFile(base+".pcap", nil, 0o644))
	for i := 1; i < 1000; i++ {
		must(t, os.WriteFile(fmt.Sprintf("%s-%d.pcap", base, i), nil, 0o644))
	}
	time.Sleep(1100 * time.Millisecond)
	p.Add(datagram("192.0.2.1:1", "second"))
	if err := p.Prepare(); err == nil || !strings.Contains(err.Error(), "no free name") {
		t.Errorf("no name is free: %v", err)
	}
	must(t, p.Undo())
	must(t, os.Remove(base+".pcap"))
	writePcap(t, p, datagram("192.0.2.1:1", "second"))
	if content, err := os.ReadFile(base + ".pcap"); err != nil || !strings.HasSuffix(string(content), "first") {
		t.Errorf("the file of the first slot: %q %v", content, err)
	}
	must(t, p.Close())
	if left, _ := filepath.Glob(filepath.Join(dir, "pcap.current.*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestPcapRotates: one file for each slot in which something came; a removed
// directory is made anew; a second process is refused.
func TestPcapRotates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pcap")
	var completed []Complete
	p := openPcap(t, PcapOptions{Dir: dir, Interval: time.Second, Ident: "edge1", SyncEvery: time.Millisecond,
		Completed: func(c Complete) { completed = append(completed, c) }})
	writePcap(t, p, datagram("192.0.2.1:1", "first"))
	time.Sleep(1100 * time.Millisecond)
	writePcap(t, p, datagram("192.0.2.1:1", "second"))
	refused := func() {
		t.Helper()
		q, err := NewPcap(PcapOptions{Dir: dir})
		must(t, err)
		if err := q.Open(); err == nil || !strings.Contains(err.Error(), "another process or output") {
			t.Errorf("a second process: %v", err)
		}
	}
	refused()
	files, _ := filepath.Glob(filepath.Join(dir, "pcap.2*"))
	if len(files) != 1 || len(completed) != 1 || completed[0].Ident != "edge1" ||
		filepath.Join(completed[0].Dir, completed[0].File) != files[0] {
		t.Errorf("complete files %v, told of %+v", files, completed)
	}
	must(t, os.RemoveAll(dir))
	writePcap(t, p, datagram("192.0.2.1:1", "third"))
	refused()
	must(t, p.Close())
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
		t.Errorf("files after the directory was removed: %v", files)
	}
	if err := p.Prepare(); !errors.Is(err, ErrClosed) {
		t.Errorf("writing when closed: %v", err)
	}
	for _, name := range []string{"pcap.202611221200.pcap", "pcap.20261122120000-3.pcap.zst"} {
		if _, ok := SlotTime(name, time.UTC); !ok {
			t.Errorf("%s does not expire", name)
		}
	}
	for _, opt := range []PcapOptions{{}, {Dir: "d", Interval: time.Millisecond}} {
		if _, err := NewPcap(opt); err == nil {
			t.Errorf("%s is accepted", fmt.Sprint(opt.Dir, opt.Interval))
		}
	}
}
