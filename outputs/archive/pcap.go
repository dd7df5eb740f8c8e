package archive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Pcap writes datagrams exactly as they were received to rotating pcap files that
// Wireshark, tcpdump and tcpreplay read: link type 1 (Ethernet, for tcpreplay sends
// nothing else as it should be), times in nanoseconds, an IP and a UDP header made
// from the exporter's address and port before each payload. Files are named pcap.YYYYMMDDhhmm.pcap after their slot, or
// …pcap.zst, of which each batch is one zstd frame, and pcap.current.… while they
// are written.
//
// A batch is written whole or not at all; when Commit has returned, it survives a
// kill of the process. It is not safe for concurrent use.
type Pcap struct {
	opt  PcapOptions
	lock *os.File
	enc  *zstd.Encoder

	f     *os.File
	slot  int64
	end   int64           // of what is committed
	later *disk.LaterSync // of f
	batch []byte
	pack  []byte
}

// PcapOptions say where and how.
type PcapOptions struct {
	Dir      string
	Interval time.Duration  // of a slot: whole seconds, 0 is five minutes
	Location *time.Location // of names; nil is the local one
	Access   disk.Access    // of the files
	Zstd     bool
	Micro    bool   // times in microseconds, for programs that read no others, as nfpcapd
	Ident    string // of Complete
	Port     uint16 // destination port of the datagrams: where the collector listens

	// Sync lets Prepare wait for the disk. SyncEvery, when not 0, writes to the disk
	// that often instead.
	Sync      bool
	SyncEvery time.Duration

	Errorf    func(format string, args ...any) // takes log lines; nil drops them
	Completed func(Complete)                   // called after each complete file, nil is not
}

// Check says why it could not be opened. It leaves everything as it was.
func (p *Pcap) Check() error { return CheckDirectory(p.opt.Dir) }

// The pcap format: magic of files with nanoseconds, sizes, link type.
const (
	pcapMagic      = 0xA1B23C4D
	pcapMicro      = 0xA1B2C3D4 // with microseconds
	pcapHeadSize   = 24
	pcapPacketSize = 16
	pcapEthernet   = 1
	pcapSnap       = 1 << 18
	pcapCurrent    = "pcap.current."
)

// NewPcap returns a Pcap after checking its options. It touches nothing.
func NewPcap(opt PcapOptions) (*Pcap, error) {
	if opt.Interval == 0 {
		opt.Interval = 5 * time.Minute
	}
	if opt.Location == nil {
		opt.Location = time.Local
	}
	if opt.Errorf == nil {
		opt.Errorf = func(string, ...any) {}
	}
	switch {
	case opt.Dir == "":
		return nil, errors.New("no directory for pcap files is given")
	case opt.Interval < time.Second || opt.Interval%time.Second != 0:
		return nil, fmt.Errorf("rotation interval %s: expected whole seconds, at least one", opt.Interval)
	}
	return &Pcap{opt: opt}, nil
}

// Open takes the directory, completes what a kill left behind, and begins the file
// of the current slot.
func (p *Pcap) Open() (err error) {
	if err := os.MkdirAll(p.opt.Dir, 0o755); err != nil {
		return err
	}
	if p.lock, err = disk.Lock(p.opt.Dir); err != nil {
		return err
	}
	if p.opt.Zstd {
		p.enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	}
	if err == nil {
		err = p.recover()
	}
	if err == nil {
		err = p.begin(slotOf(time.Now(), p.opt.Interval))
	}
	if err != nil {
		return errors.Join(err, p.Close())
	}
	return nil
}

// recover gives files that a kill left behind their names.
func (p *Pcap) recover() error {
	return eachFile(p.opt.Dir, func(e Entry) error {
		slot, ours := pcapSlot(e.Name())
		if !ours || e.Outside {
			return nil
		}
		if err := cutTorn(e.Path); err != nil {
			return err
		}
		return p.complete(e.Path, slot)
	})
}

// pcapSlot returns the slot in the name of an open file, false when the name is not one
// of a Pcap.
func pcapSlot(name string) (int64, bool) {
	digits, ours := strings.CutPrefix(name, pcapCurrent)
	digits, whole := strings.CutSuffix(strings.TrimSuffix(digits, ".zst"), ".pcap")
	slot, err := strconv.ParseInt(digits, 10, 64)
	return slot, ours && whole && err == nil && slot >= 0 && strconv.FormatInt(slot, 10) == digits
}

// cutTorn cuts off what a kill left at the end of a file that is no whole packet,
// or no whole frame of zstd.
func cutTorn(path string) error {
	f, err := disk.OpenOwn(path, 0, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size, end := info.Size(), int64(0)
	if r := bufio.NewReaderSize(f, 1<<16); strings.HasSuffix(path, ".zst") {
		end = wholeFrames(r)
	} else {
		end = wholePackets(r)
	}
	if end == size {
		return nil
	}
	return f.Truncate(end)
}

// wholePackets returns the size of a pcap file up to its last whole packet.
func wholePackets(r *bufio.Reader) (end int64) {
	for size := pcapHeadSize; ; {
		if n, err := r.Discard(size); n < size || err != nil {
			return end
		}
		end += int64(size)
		head, err := r.Peek(pcapPacketSize)
		if err != nil {
			return end
		}
		size = pcapPacketSize + int(binary.LittleEndian.Uint32(head[8:]))
	}
}

// wholeFrames returns the size of a file of zstd frames up to the last whole one.
func wholeFrames(r *bufio.Reader) (end int64) {
	for {
		n, ok := skipFrame(r)
		if !ok {
			return end
		}
		end += n
	}
}

// skipFrame reads over a zstd frame and returns its size, false when it is not
// whole.
func skipFrame(r *bufio.Reader) (size int64, ok bool) {
	var h zstd.Header
	b, _ := r.Peek(zstd.HeaderMaxSize)
	if h.Decode(b) != nil || h.Skippable || h.HeaderSize == 0 {
		return 0, false
	}
	for n, last := h.HeaderSize, false; ; {
		if m, err := r.Discard(n); m < n || err != nil {
			return 0, false
		}
		size += int64(n)
		if last {
			return size, true
		}
		b, err := r.Peek(3)
		if err != nil {
			return 0, false
		}
		block := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		n = 3 + block>>3
		if block>>1&3 == 1 { // one byte, repeated
			n = 3 + 1
		}
		if last = block&1 == 1; last && h.HasCheckSum {
			n += 4
		}
	}
}

// suffix ends the names of the files.
func (p *Pcap) suffix() string {
	if p.opt.Zstd {
		return ".pcap.zst"
	}
	return ".pcap"
}

// complete gives a file its name, and tells of it; where the name is taken, it gets
// one with a number. What has no datagrams is removed.
func (p *Pcap) complete(path string, slot int64) error {
	suffix := filepath.Ext(path)
	if suffix == ".zst" {
		suffix = ".pcap.zst"
	}
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return os.Remove(path)
	}
	start := time.Unix(slot, 0).In(p.opt.Location)
	base := "pcap." + strings.TrimPrefix(finalName(start, p.opt.Interval), "nfcapd.")
	for i := range 1000 {
		name := filepath.Join(filepath.Dir(path), base+suffix)
		if i > 0 {
			name = filepath.Join(filepath.Dir(path), fmt.Sprintf("%s-%d%s", base, i, suffix))
		}
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.Rename(path, name); err != nil {
			return err
		}
		if p.opt.Completed != nil {
			p.opt.Completed(Complete{Dir: p.opt.Dir, File: filepath.Base(name), Slot: start, Ident: p.opt.Ident})
		}
		return nil
	}
	return fmt.Errorf("no free name for %s: move the files %s-* away", path, base)
}

// begin begins the file of a slot.
func (p *Pcap) begin(slot int64) error {
	if err := p.finish(); err != nil {
		return err
	}
	path := filepath.Join(p.opt.Dir, fmt.Sprintf("%s%d%s", pcapCurrent, slot, p.suffix()))
	f, err := p.opt.Access.Create(path)
	if err != nil {
		return err
	}
	if p.opt.Sync || p.opt.SyncEvery > 0 {
		if err := disk.SyncDir(p.opt.Dir); err != nil {
			return errors.Join(err, f.Close(), os.Remove(path))
		}
	}
	p.f, p.slot, p.end, p.later = f, slot, 0, new(disk.LaterSync)
	return nil
}

// finish completes the open file. When it fails, the file stays open, and finish may
// be tried again.
func (p *Pcap) finish() error {
	if p.f == nil {
		return nil
	}
	if err := p.f.Sync(); err != nil {
		return err
	}
	if !p.named() { // it has been removed, or another directory is in the place of its own
		err := p.f.Close()
		p.f = nil
		return err
	}
	if err := p.complete(p.f.Name(), p.slot); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := p.f.Close()
	p.f = nil
	return err
}

// Close completes the open file and unlocks the directory. It is safe on a Pcap
// that is not open. A file that could not be made complete is left for the next Open.
func (p *Pcap) Close() error {
	err := p.finish()
	if p.f != nil {
		err = errors.Join(err, p.f.Close())
		p.f = nil
	}
	if p.lock != nil {
		err = errors.Join(err, p.lock.Close())
		p.lock = nil
	}
	return err
}

// Add puts a datagram into the batch.
func (p *Pcap) Add(dg flow.Datagram) {
	n := len(p.batch)
	p.batch = append(p.batch, make([]byte, pcapPacketSize)...)
	p.batch = appendFrame(p.batch, dg, p.opt.Port)
	head, size := p.batch[n:], uint32(len(p.batch)-n-pcapPacketSize)
	ns := max(dg.Received.UnixNano(), 0)
	le := binary.LittleEndian
	le.PutUint32(head[0:], uint32(ns/1e9))
	le.PutUint32(head[4:], uint32(ns%1e9))
	if p.opt.Micro {
		le.PutUint32(head[4:], uint32(ns%1e9/1000))
	}
	le.PutUint32(head[8:], size)
	le.PutUint32(head[12:], size)
}

// Rollback drops the batch.
func (p *Pcap) Rollback() { p.batch = p.batch[:0] }

// Prepare writes the batch; Commit makes it permanent, Undo takes it back.
func (p *Pcap) Prepare() error {
	if p.lock == nil && p.f == nil {
		return ErrClosed
	}
	if err := p.present(); err != nil {
		return err
	}
	if slot := slotOf(time.Now(), p.opt.Interval); p.f == nil || slot != p.slot {
		if err := p.begin(slot); err != nil {
			return err
		}
	}
	out := p.batch
	if p.end == 0 {
		out = append(p.head(), out...)
	}
	if p.enc != nil {
		p.pack = p.enc.EncodeAll(out, p.pack[:0])
		out = p.pack
	}
	if len(p.batch) == 0 {
		return nil
	}
	if _, err := p.f.WriteAt(out, p.end); err != nil {
		return errors.Join(fmt.Errorf("writing %d bytes to %s: %w", len(out), p.f.Name(), err), p.f.Truncate(p.end))
	}
	if p.opt.Sync {
		if err := p.f.Sync(); err != nil {
			return errors.Join(err, p.f.Truncate(p.end))
		}
	}
	p.batch = p.batch[:0]
	return nil
}

// present sees to it that the directory is there, and that what is written to is in
// it: somebody may have removed either.
func (p *Pcap) present() (err error) {
	if p.f != nil {
		if same, err := disk.Same(p.opt.Dir, p.lock); same && err == nil && p.named() {
			return nil
		}
		p.opt.Errorf("%s has been removed while it was written: beginning another one", p.f.Name())
		p.f.Close()
		p.f = nil
	}
	if err := os.MkdirAll(p.opt.Dir, 0o755); err != nil {
		return err
	}
	p.lock, err = disk.LockAgain(p.opt.Dir, p.lock)
	return err
}

// named says whether the open file still has its name.
func (p *Pcap) named() bool {
	info, err := p.f.Stat()
	return err == nil && disk.Names(p.f.Name(), info)
}

// Held says whether the directory is still the one that was taken by Open.
func (p *Pcap) Held() bool {
	same, err := disk.Same(p.opt.Dir, p.lock)
	return same && err == nil
}

// Commit makes permanent what Prepare wrote.
func (p *Pcap) Commit() error {
	if p.f == nil {
		return nil
	}
	info, err := p.f.Stat()
	if err == nil && info.Size() != p.end {
		p.end = info.Size()
		p.later.Written(p.f, p.opt.SyncEvery, func(err error) { p.opt.Errorf("writing to the disk: %v", err) })
	}
	return err
}

// Undo takes back what Prepare wrote.
func (p *Pcap) Undo() error {
	p.Rollback()
	if p.f == nil {
		return nil
	}
	return p.f.Truncate(p.end)
}

// head returns the header of a pcap file.
func (p *Pcap) head() []byte {
	le := binary.LittleEndian
	b := make([]byte, pcapHeadSize, pcapHeadSize+1<<16)
	le.PutUint32(b[0:], pcapMagic)
	if p.opt.Micro {
		le.PutUint32(b[0:], pcapMicro)
	}
	le.PutUint16(b[4:], 2)
	le.PutUint16(b[6:], 4)
	le.PutUint32(b[16:], pcapSnap)
	le.PutUint32(b[20:], pcapEthernet)
	return b
}

// The Ethernet addresses of frames: locally administered ones, where from and to.
const (
	frameTo   = "\x02\x00\x00\x00\x00\x02"
	frameFrom = "\x02\x00\x00\x00\x00\x01"
)

// appendFrame appends the datagram as an Ethernet frame with an IP packet. The
// destination is the loopback address of the family: where it was received is not
// known.
func appendFrame(b []byte, dg flow.Datagram, port uint16) []byte {
	be := binary.BigEndian
	src := dg.Exporter.Addr()
	b = append(b, frameTo+frameFrom...)
	if src.Is4() {
		b = append(b, 0x08, 0x00)
	} else {
		b = append(b, 0x86, 0xdd)
	}
	udp := 8 + len(dg.Payload)
	at := len(b)
	if src.Is4() {
		b = append(b, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0)
		from, to := src.As4(), [4]byte{127, 0, 0, 1}
		b = append(append(b, from[:]...), to[:]...)
		be.PutUint16(b[at+2:], uint16(20+udp))
		be.PutUint16(b[at+10:], ^checksum(0, b[at:at+20]))
	} else {
		if !src.IsValid() {
			src = netip.IPv6Unspecified()
		}
		b = append(b, 0x60, 0, 0, 0, byte(udp>>8), byte(udp), 17, 64)
		from, to := src.As16(), netip.IPv6Loopback().As16()
		b = append(append(b, from[:]...), to[:]...)
	}
	head := len(b)
	b = be.AppendUint16(b, dg.Exporter.Port())
	b = be.AppendUint16(b, port)
	b = be.AppendUint16(b, uint16(udp))
	b = be.AppendUint16(b, 0)
	b = append(b, dg.Payload...)
	addresses := b[head-8 : head]
	if !src.Is4() {
		addresses = b[head-32 : head]
	}
	sum := ^checksum(uint32(checksum(uint32(udp)+17, addresses)), b[head:])
	if sum == 0 {
		sum = 0xffff
	}
	be.PutUint16(b[head+6:], sum)
	return b
}

// checksum is the sum of RFC 1071, not inverted, of b and what was before.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
