package nffile

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Options say what file to write. The zero value is a file without compression
// and with nfdump's ident "none".
type Options struct {
	Compression Compression
	Level       int    // of BZ2, LZ4 and ZSTD; 0 is the compression's own
	Extended    bool   // elements above 37 too, which nfdump 1.7.1 complains about
	Ident       string // at most MaxIdent bytes, printable, without blanks

	Access disk.Access // of a new file

	// SlotStart and SlotEnd are the times that a file without flows gets in its
	// statistics, as nfcapd does it. Zero leaves them out.
	SlotStart, SlotEnd time.Time

	// MakeRoom, which may be nil, is called where the process may open no more files:
	// it gives others back, and says whether it could, so that one is tried again.
	MakeRoom func() bool
}

// CheckIdent says what is wrong with an ident, nil when nothing is.
func CheckIdent(ident string) error {
	if len(ident) > MaxIdent {
		return fmt.Errorf("ident has %d characters, nfdump takes at most %d", len(ident), MaxIdent)
	}
	if i := strings.IndexFunc(ident, func(c rune) bool { return c <= ' ' || c > '~' }); i >= 0 {
		return fmt.Errorf("ident %q: character %d is not a printable ASCII character other than a blank", ident, i+1)
	}
	return nil
}

// Exporter is who sends flows: nfdump's exporter record.
type Exporter struct {
	Addr    netip.Addr
	Version flow.Version
	Domain  uint32 // v9 source id, IPFIX domain, v5 engine type<<8 | id
}

// exporterState is one exporter of a file; its sysid is its index + 1. The counts
// are those since the last record with statistics.
type exporterState struct {
	id               Exporter
	datagrams, flows uint64
	failures         uint64
}

// state is what a failed write takes a Writer back to.
type state struct {
	off       int64 // end of the data blocks
	blocks    uint32
	stat      Stat
	exporters []exporterState
}

// Writer writes one file. Flows are appended to a block in memory; Flush hands
// the block to the kernel, Close makes the file complete.
//
// When a write fails (a full disk), the file is taken back to what it was after
// the last successful Flush, everything appended since is dropped, and the
// Writer goes on as if it had never been there: the caller may append it again.
//
// A Writer is not safe for concurrent use.
type Writer struct {
	f    medium // nil once closed
	path string
	opt  Options
	head Header

	state
	kept state // as of the last Flush or Commit

	block   []byte // records of the open block
	records uint32
	packed  []byte // header and compressed payload of the block being written
	packer  *packer
	extra   Extra // of a flow of Append

	sysids      map[Exporter]uint16
	lastID      Exporter // whose flow was the last one, its number and its element
	lastSys     uint16
	received    []byte // in receivedBuf
	receivedBuf [receivedRoom]byte
	counts      counts // of the flow at hand
	plan        uint64
	planFor     flow.Set
	planEvnt    bool
}

// medium is what a file is written to.
type medium interface {
	storage
	io.WriterAt
	Truncate(size int64) error
	Sync() error
}

// ErrClosed says that a Writer has been closed.
var ErrClosed = errors.New("the file is closed")

// Create creates the file path, which must not exist, and writes its header. In
// nfdump's eyes the file is empty until Close.
func Create(path string, opt Options) (*Writer, error) {
	if err := CheckCompression(opt.Compression, opt.Level); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := CheckIdent(opt.Ident); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := opt.Access.Create(path)
	if err != nil {
		return nil, err
	}
	w := newWriter(&parkable{file: f, path: path, room: opt.MakeRoom}, path, opt)
	w.head = Header{Layout: layout2, NfdumpVersion: nfdumpVersion, Created: time.Now().Unix(),
		Compression: opt.Compression}
	if err := w.writeHeader(w.head); err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return w, nil
}

// newWriter returns a Writer for an open file whose data begin after the header.
func newWriter(f medium, path string, opt Options) *Writer {
	w := &Writer{f: f, path: path, opt: opt, sysids: map[Exporter]uint16{}}
	w.off = headerSize
	w.kept.copyFrom(&w.state)
	return w
}

// copyFrom makes s equal to t and keeps its memory.
func (s *state) copyFrom(t *state) {
	exporters := append(s.exporters[:0], t.exporters...)
	*s = *t
	s.exporters = exporters
}

// Stat returns the statistics of all flows appended so far.
func (w *Writer) Stat() Stat { return w.stat }

// Path returns the name that the file was opened with.
func (w *Writer) Path() string { return w.path }

// Size returns the bytes that are in the file, without the open block.
func (w *Writer) Size() int64 { return w.off }

// Kept returns the bytes that are in the file since the last Flush or Commit, which
// no Rollback takes away.
func (w *Writer) Kept() int64 { return w.kept.off }

// Append adds a flow. It copies what it needs from r and does not allocate,
// except for an exporter that is new to the file. When it returns an error,
// everything since the last Flush is dropped.
//
// Counters are written multiplied by r.Rate(); Last is at least First; of an
// event, both are the event's time. An application id of more than 1024 bytes is
// left out, a user name is cut to 65 bytes.
//
// Of r.Extra, what has an element in the file goes there: delays that nprobe
// measures, and with Options.Extended the VLANs and physical interfaces of layer 2,
// frames, and Nokia's service ids.
func (w *Writer) Append(r *flow.Record) error {
	if len(r.Extra) == 0 {
		return w.AppendExtra(r, &noExtra)
	}
	w.extra.takeFields(r, w.opt.Extended)
	return w.AppendExtra(r, &w.extra)
}

// noExtra is the Extra of a flow that has none; it is only read.
var noExtra Extra

// AppendExtra adds a flow with what flow.Record has no field for. It keeps to what
// Append says; texts and payloads that would make a record longer than 2048 bytes
// are left out.
func (w *Writer) AppendExtra(r *flow.Record, x *Extra) error {
	if err := w.makeRoom(); err != nil {
		return err
	}
	if r.Present != w.planFor || r.Event != w.planEvnt || w.plan == 0 {
		w.planFor, w.planEvnt = r.Present, r.Event
		w.plan = planOf(r.Present, r.Event, w.opt.Extended)
	}
	sysid := w.sysid(Exporter{r.Exporter, r.Version, r.Domain})
	c := &w.counts
	c.of(r)
	w.block = slices.Grow(w.block, maxRecord)
	n := len(w.block)
	n += w.encode(w.block[n:n+maxRecord], r, x, c, sysid)
	w.block = w.block[:n]
	w.stat.addFlow(r.Proto, c.first, c.last, c.packets, c.bytes, c.revPackets, c.revBytes)
	w.counted(sysid)
	return nil
}

// appendAsIs adds a flow by its record, of which only the number of the exporter
// changes.
func (w *Writer) appendAsIs(rec []byte, id Exporter, f *Brief) error {
	if err := w.makeRoom(); err != nil {
		return err
	}
	sysid := w.sysid(id)
	n := len(w.block)
	w.block = append(slices.Grow(w.block, maxRecord), rec...)
	le.PutUint16(w.block[n+8:], sysid)
	w.stat.addFlow(f.Proto, f.First, f.Last, f.Packets, f.Bytes, f.RevPackets, f.RevBytes)
	w.counted(sysid)
	return nil
}

// makeRoom writes the open block when it has no room for another flow.
func (w *Writer) makeRoom() error {
	if len(w.block)+maxRecord <= blockLimit {
		return nil
	}
	if err := w.writeBlock(); err != nil {
		return w.rollback(err)
	}
	return nil
}

// counted counts a flow record of an exporter that is in the block.
func (w *Writer) counted(sysid uint16) {
	w.records++
	if sysid > 0 {
		w.exporters[sysid-1].flows++
	}
}

// Datagrams counts datagrams received from an exporter and its sequence failures
// into the file's statistics.
func (w *Writer) Datagrams(id Exporter, datagrams, failures uint64) {
	w.stat.SequenceFailures += failures
	if sysid := w.sysid(id); sysid > 0 {
		e := &w.exporters[sysid-1]
		e.datagrams += datagrams
		e.failures += failures
	}
}

// sysid returns the number of an exporter in this file. For one that is new it
// writes the exporter record first. Exporters without an address, and those after
// the first MaxExporters, have number 0: none.
func (w *Writer) sysid(id Exporter) uint16 {
	if id == w.lastID {
		return w.lastSys
	}
	sysid, ok := w.sysids[id]
	if !ok && id.Addr.IsValid() && len(w.exporters) < MaxExporters {
		w.exporters = append(w.exporters, exporterState{id: id})
		sysid = uint16(len(w.exporters))
		w.sysids[id] = sysid
		n := len(w.block)
		w.block = append(w.block, make([]byte, exporterSize)...)
		encodeExporter(w.block[n:], id, sysid)
		w.records++
	}
	w.lastID, w.lastSys = id, sysid
	e := encoder{b: w.receivedBuf[:]}
	e.address(elReceived4, elReceived6, id.Addr)
	w.received = e.b[:e.n]
	return sysid
}

// sflowVersion is the number of sFlow in an exporter record.
const sflowVersion = 9999

// encodeExporter writes an exporter record in the form that nfdump 1.7.1 reads
// and 1.7.8 converts.
func encodeExporter(b []byte, id Exporter, sysid uint16) {
	clear(b[:exporterSize])
	le.PutUint16(b[0:], recordExporter)
	le.PutUint16(b[2:], exporterSize)
	version := uint32(id.Version)
	if id.Version == flow.SFlow {
		version = sflowVersion
	}
	le.PutUint32(b[4:], version)
	if id.Addr.Is4() {
		putAddr4(b[16:], id.Addr)
		le.PutUint16(b[24:], 2) // AF_INET
	} else {
		putAddr6(b[8:], id.Addr)
		le.PutUint16(b[24:], 10) // AF_INET6
	}
	le.PutUint16(b[26:], sysid)
	le.PutUint32(b[28:], id.Domain)
}

// Flush writes the open block to the file: when it returns nil, everything
// appended is in the hands of the operating system and survives a kill of the
// process. It does not wait for the disk.
func (w *Writer) Flush() error {
	if err := w.Prepare(); err != nil {
		return err
	}
	w.Commit()
	return nil
}

// Prepare does what Flush does, but Rollback can still take it back, until Commit.
// It is for writing to several files, all or none.
func (w *Writer) Prepare() error {
	w.exporterStats()
	if err := w.writeBlock(); err != nil {
		return w.rollback(err)
	}
	return nil
}

// Sync waits until what was written is on the disk.
func (w *Writer) Sync() error {
	if w.f == nil {
		return fmt.Errorf("%s: %w", w.path, ErrClosed)
	}
	return w.f.Sync()
}

// Commit makes permanent what Prepare wrote.
func (w *Writer) Commit() { w.kept.copyFrom(&w.state) }

// Rollback drops everything appended since the last Flush or Commit.
func (w *Writer) Rollback() { w.rollback(nil) }

// rollback takes the Writer back to the last successful Flush. The bytes behind
// it are cut off; where that fails they are overwritten later, or cut by Close.
func (w *Writer) rollback(cause error) error {
	w.restore()
	if w.f != nil {
		if err := w.f.Truncate(w.off); err != nil && cause == nil {
			cause = err
		}
	}
	return cause
}

// restore makes the state in memory what it was at the last Flush.
func (w *Writer) restore() {
	w.state.copyFrom(&w.kept)
	w.block, w.records = w.block[:0], 0
	w.lastID, w.lastSys, w.received = Exporter{}, 0, nil
	clear(w.sysids)
	for i, e := range w.exporters {
		w.sysids[e.id] = uint16(i + 1)
	}
}

// writeBlock packs the open block and writes it behind the others.
func (w *Writer) writeBlock() error {
	if w.f == nil {
		return fmt.Errorf("%s: %w", w.path, ErrClosed)
	}
	if w.records == 0 {
		return nil
	}
	b, err := w.pack(w.block, w.records)
	if err != nil {
		return err
	}
	if err := w.writeAt(b, w.off); err != nil {
		return err
	}
	w.off += int64(len(b))
	w.blocks++
	w.block, w.records = w.block[:0], 0
	return nil
}

// pack returns a block: its header and the payload, compressed as the file is.
// The slice is valid until the next call.
func (w *Writer) pack(payload []byte, records uint32) ([]byte, error) {
	if w.packer == nil {
		var err error
		if w.packer, err = newPacker(w.head.Compression, w.level()); err != nil {
			return nil, err
		}
	}
	if most := blockHeadSize + packBound(len(payload)); len(w.packed) < most {
		w.packed = make([]byte, max(most, min(2*len(w.packed), blockHeadSize+packBound(blockLimit))))
	}
	n, err := w.packer.pack(w.packed[blockHeadSize:], payload)
	if err != nil {
		return nil, fmt.Errorf("compressing a block of %s: %w", w.path, err)
	}
	b := w.packed[:blockHeadSize+n]
	le.PutUint32(b[0:], records)
	le.PutUint32(b[4:], uint32(n))
	le.PutUint16(b[8:], blockNormal)
	le.PutUint16(b[10:], 0)
	return b, nil
}

// level returns the level to pack with: that of the options, unless the file
// appended to has another compression.
func (w *Writer) level() int {
	if w.head.Compression == w.opt.Compression {
		return w.opt.Level
	}
	return 0
}

// writeAt writes all of b and names the file when it cannot.
func (w *Writer) writeAt(b []byte, off int64) error {
	n, err := w.f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("writing %d bytes at offset %d of %s: %w", len(b), off, w.path, err)
	}
	return nil
}

// writeHeader writes the header of the file.
func (w *Writer) writeHeader(h Header) error {
	var b [headerSize]byte
	h.encode(b[:])
	return w.writeAt(b[:], 0)
}

// Close makes the file complete — statistics of the exporters, ident, statistics
// of the file, header — and closes it after it is on the disk. When it returns an
// error other than ErrClosed, the file is still open, without what was not
// flushed, and Close may be tried again; Abandon gives it up.
func (w *Writer) Close() error {
	if w.f == nil {
		return fmt.Errorf("%s: %w", w.path, ErrClosed)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := w.finish(); err != nil {
		w.rollback(nil)
		h := w.head
		h.Appendix, h.AppendixOffset, h.Blocks = 0, 0, 0
		return errors.Join(err, w.writeHeader(h))
	}
	err := w.f.Close()
	w.f = nil
	return err
}

// Abandon closes the file as it is: what was flushed stays, for Resume or
// Recover. It is safe after Close.
func (w *Writer) Abandon() error {
	if w.f == nil {
		return nil
	}
	err := w.f.Close()
	w.f = nil
	return err
}

// finish writes the end of a file and then its header, and waits for the disk.
func (w *Writer) finish() error {
	b, err := w.appendix()
	if err != nil {
		return err
	}
	if err := w.writeAt(b, w.off); err != nil {
		return err
	}
	if err := w.f.Truncate(w.off + int64(len(b))); err != nil {
		return err
	}
	h := w.head
	h.Appendix, h.AppendixOffset, h.Blocks = 1, w.off, w.blocks
	if err := w.writeHeader(h); err != nil {
		return err
	}
	return w.f.Sync()
}

// exporterStats puts what has been counted of the exporters since the last such
// record into the open block: nfdump adds such records up.
func (w *Writer) exporterStats() {
	n, most := len(w.block), 8+24*len(w.exporters)
	w.block = slices.Grow(w.block, most)
	b := w.block[n : n+most]
	entries := 0
	for i := range w.exporters {
		e := &w.exporters[i]
		if e.datagrams|e.flows|e.failures == 0 {
			continue
		}
		p := b[8+24*entries:]
		le.PutUint32(p[0:], uint32(i+1))
		le.PutUint32(p[4:], uint32(min(e.failures, 1<<32-1)))
		le.PutUint64(p[8:], e.datagrams)
		le.PutUint64(p[16:], e.flows)
		e.datagrams, e.flows, e.failures = 0, 0, 0
		entries++
	}
	if entries == 0 {
		return
	}
	size := 8 + 24*entries
	le.PutUint16(b[0:], recordExporterStat)
	le.PutUint16(b[2:], uint16(size))
	le.PutUint32(b[4:], uint32(entries))
	w.block = w.block[:n+size]
	w.records++
}

// appendix returns the appendix block: ident and statistics.
func (w *Writer) appendix() ([]byte, error) {
	ident := w.opt.Ident
	if ident == "" {
		ident = "none"
	}
	var buf [4 + MaxIdent + 2 + statSize]byte
	n := 4 + len(ident) + 1
	le.PutUint16(buf[0:], recordIdent)
	le.PutUint16(buf[2:], uint16(n))
	copy(buf[4:], ident)
	stat := w.stat
	if stat.Flows == 0 && !w.opt.SlotStart.IsZero() {
		stat.First, stat.Last = uint64(w.opt.SlotStart.UnixMilli()), uint64(w.opt.SlotEnd.UnixMilli())
	} else if stat.Flows == 0 {
		stat.First = noFirst
	}
	stat.encode(buf[n : n+statSize])
	return w.pack(buf[:n+statSize], 2)
}
