package nffile

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/plugins/disk"
)

// Found says what Resume and Recover found in a file.
type Found struct {
	Blocks    uint32 // whole data blocks
	Flows     uint64 // flow records in them
	Truncated int64  // bytes cut off behind them that were no whole block; not an appendix
}

// Recover makes a file whole that a kill of the process or a crash of the machine
// left behind: everything after the last whole block is cut off, and the file
// gets statistics, computed from its flows, an ident and a header. On a file that
// is whole already it changes nothing that a reader sees.
//
// Nothing that Writer.Flush has written is lost, the counts of datagrams and
// sequence failures included.
func Recover(path string, opt Options) (Found, error) {
	w, found, err := Resume(path, opt)
	if err != nil {
		return found, err
	}
	return found, w.complete()
}

// complete closes the file, whole or as it is.
func (w *Writer) complete() error { return errors.Join(w.Close(), w.Abandon()) }

// Resume opens a file, complete or left behind by a kill, to append to it. A link is
// not followed. Blocks
// are kept, the appendix is dropped and written anew by Close; what is not a whole
// block at the end is cut off. The compression is the one that the file has; an
// empty Ident in opt stands for the one that the file has.
//
// A complete file with a damaged block in its midst is refused, for what is behind
// it would be lost. A file that is empty, or ends within a header that was right
// so far, is begun anew. A file that is not one of nfdump's, or has a compression
// that cannot be written, is left untouched: the error is a *FormatError.
func Resume(path string, opt Options) (*Writer, Found, error) {
	f, err := disk.OpenOwn(path, 0, 0)
	if err != nil {
		return nil, Found{}, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, Found{}, err
	}
	w, found, err := resume(&parkable{file: f, path: path, room: opt.MakeRoom}, info.Size(), path, opt)
	if err != nil {
		f.Close()
		return nil, found, err
	}
	return w, found, nil
}

// resume is Resume of an open file of size bytes.
func resume(f medium, size int64, path string, opt Options) (*Writer, Found, error) {
	if err := CheckIdent(opt.Ident); err != nil {
		return nil, Found{}, fmt.Errorf("%s: %w", path, err)
	}
	w := newWriter(f, path, opt)
	var b [headerSize]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return nil, Found{}, err
	}
	n = min(n, headerSize)
	if n < headerSize && strings.HasPrefix("\x0c\xa5\x02\x00", string(b[:min(n, 4)])) {
		w.head = Header{Layout: layout2, NfdumpVersion: nfdumpVersion, Created: time.Now().Unix(),
			Compression: opt.Compression}
		return w, Found{Truncated: size}, w.writeHeader(w.head)
	}
	if w.head, err = decodeHeader(path, b[:n]); err != nil {
		return nil, Found{}, err
	}
	if w.head.Layout != layout2 {
		return nil, Found{}, newFormatError(path, 2, ErrUnsupported, "appending to layout %d, expected 2",
			w.head.Layout)
	}
	file := &File{path: path, f: f, size: size, head: w.head, off: headerSize, end: size, open: true}
	end, err := w.scan(file)
	if err != nil {
		return nil, Found{}, err
	}
	if behind, err := file.searcher().find(end+1, size); err != nil {
		return nil, Found{}, err
	} else if behind < size {
		return nil, Found{}, newFormatError(path, w.off, ErrCorrupt,
			"a block is damaged, but there are more behind it: not appended to")
	}
	found := Found{Blocks: w.blocks, Flows: w.stat.Flows, Truncated: size - end}
	w.head.Appendix, w.head.AppendixOffset, w.head.Blocks = 0, 0, 0
	if err := w.writeHeader(w.head); err != nil {
		return nil, found, err
	}
	w.kept.copyFrom(&w.state)
	return w, found, f.Truncate(w.off)
}

// scan walks over the blocks of a file and remembers what they hold. It sets the
// Writer to the end of the last whole data block before any that is not, and returns
// the end of what is sound, an appendix included. A block is whole as for Verify.
func (w *Writer) scan(file *File) (int64, error) {
	dec, walker := NewDecoder(), newWalker(file)
	for file.off < file.end {
		b := &walker.b
		err := file.readBlockAt(b, file.off, file.end)
		if err == nil {
			err = walker.load()
		}
		if err == nil {
			err = walker.check()
		}
		if errors.Is(err, ErrCorrupt) {
			return w.off, nil
		}
		if err != nil {
			return w.off, err
		}
		file.off += b.headSize() + int64(len(b.raw))
		if b.data != nil && b.isAppendix() {
			return file.off, w.takeAppendix(b)
		}
		if b.data != nil {
			if err := w.takeIn(dec, b); err != nil {
				return w.off, err
			}
		}
		w.off = file.off
		w.blocks++
	}
	return w.off, nil
}

// takeAppendix takes from an appendix what the flows do not tell.
func (w *Writer) takeAppendix(b *Block) error {
	for b.next() {
		switch {
		case b.kind == recordIdent && w.opt.Ident == "":
			if ident := cString(b.rec[4:]); CheckIdent(ident) == nil {
				w.opt.Ident = ident
			}
		case b.kind == recordStat && len(b.rec) == statSize:
			var s Stat
			s.decode(b.rec)
			if s.Flows == w.stat.Flows {
				w.stat.SequenceFailures = s.SequenceFailures
			}
		}
	}
	return b.err
}

// takeIn counts the flows and exporters of an unpacked block. A block that is not
// sound to its end is not counted at all.
func (w *Writer) takeIn(dec *Decoder, b *Block) error {
	w.kept.copyFrom(&w.state)
	for b.next() {
		var reason string
		switch {
		case b.isFlow():
			if reason = dec.flow(b.rec); reason == "" {
				w.count(dec, b.rec)
			}
		case b.kind == recordExporter && len(b.rec) >= exporterSize:
			w.knowExporter(b.rec)
		case b.kind == recordExporterStat:
			w.knowStats(b.rec)
		}
		if reason != "" {
			b.err = b.errorf("%s", reason)
		}
	}
	if b.err != nil {
		w.restore()
	}
	return b.err
}

// count adds a flow that is in the file to the statistics.
func (w *Writer) count(dec *Decoder, rec []byte) {
	r := &dec.rec
	w.stat.AddRecord(r)
	if sysid := int(le.Uint16(rec[8:])); sysid > 0 && sysid <= len(w.exporters) {
		w.exporters[sysid-1].flows++
	}
}

// knowExporter remembers an exporter of the file. One that comes again, as after a
// restart of nfcapd, takes the number from the one before.
func (w *Writer) knowExporter(rec []byte) {
	id, sysid := decodeExporter(rec)
	if sysid == 0 || int(sysid) > len(w.exporters)+1 || int(sysid) > MaxExporters {
		return
	}
	if int(sysid) == len(w.exporters)+1 {
		w.exporters = append(w.exporters, exporterState{})
	}
	e := &w.exporters[sysid-1]
	if e.id != id {
		delete(w.sysids, e.id)
		*e = exporterState{id: id}
	}
	w.sysids[id] = sysid
}

// knowStats remembers a record with statistics of exporters.
func (w *Writer) knowStats(rec []byte) {
	for p := rec[min(8, len(rec)):]; len(p) >= 24; p = p[24:] {
		failures := uint64(le.Uint32(p[4:]))
		w.stat.SequenceFailures += failures
		if sysid := int(le.Uint32(p)); sysid > 0 && sysid <= len(w.exporters) {
			e := &w.exporters[sysid-1]
			e.flows -= min(e.flows, le.Uint64(p[16:]))
		}
	}
}
