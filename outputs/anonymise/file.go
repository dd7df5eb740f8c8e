package anonymise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flowgraf/flowgraf/outputs/index"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Kept says what stays in a file that could tell who somebody is. The zero value keeps
// nothing of it.
type Kept struct {
	AS      bool // numbers of autonomous systems; nfanon makes them 0, too
	MAC     bool
	User    bool // names of users, labels and other texts
	Payload bool // first bytes of flows and sampled frames, which have addresses in them
	Names   bool // of interfaces, VRFs and applications
}

// KeptNames are the words of ParseKept.
const KeptNames = "as, mac, user, payload, names"

// ParseKept reads a list of words, with commas between them.
func ParseKept(text string) (k Kept, err error) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		switch word {
		case "as":
			k.AS = true
		case "mac":
			k.MAC = true
		case "user":
			k.User = true
		case "payload":
			k.Payload = true
		case "names":
			k.Names = true
		default:
			return k, fmt.Errorf("%q: expected some of %s", word, KeptNames)
		}
	}
	return k, nil
}

// Writer writes anonymised flows of files into one. Close makes it complete.
type Writer struct {
	m    *Mapping
	kept Kept
	w    *nffile.Writer
	path string

	block nffile.Block
	dec   *nffile.Decoder
	rec   flow.Record
	extra nffile.Extra
	flows uint64
}

// Create creates a file for anonymised flows, which must not exist.
func Create(path string, m *Mapping, kept Kept, opt nffile.Options) (*Writer, error) {
	opt.Extended = true
	w, err := nffile.Create(path, opt)
	if err != nil {
		return nil, err
	}
	return &Writer{m: m, kept: kept, w: w, path: path, dec: nffile.NewDecoder()}, nil
}

// Flows returns how many flows have been written.
func (w *Writer) Flows() uint64 { return w.flows }

// Close makes the file complete.
func (w *Writer) Close() error { return w.w.Close() }

// Abandon closes and removes the file.
func (w *Writer) Abandon() error { return errors.Join(w.w.Abandon(), os.Remove(w.path)) }

// Add writes all flows of a file. A file that is damaged is an error: what is left of it
// would be taken for the whole. Progress, which may be nil, is told how far it is, and ends it
// with an error.
func (w *Writer) Add(path string, progress nffile.Progress) error {
	f, err := nffile.OpenFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if damage := f.Damage(); len(damage) > 0 {
		return damage[0]
	}
	w.dec.Reset()
	var done int64
	for {
		if progress != nil {
			if err := progress(done, f.Size()); err != nil {
				return err
			}
		}
		err := f.ReadBlock(&w.block)
		if errors.Is(err, io.EOF) {
			return w.tables()
		}
		if err == nil {
			done = w.block.Place().Offset
			err = w.block.Unpack()
		}
		for err == nil && w.dec.Next(&w.block) {
			err = w.flow(w.dec.Record(), w.dec.Extra())
		}
		if err = errors.Join(err, w.dec.Err()); err != nil {
			return err
		}
	}
}

// flow writes a flow with other addresses.
func (w *Writer) flow(r *flow.Record, x *nffile.Extra) error {
	w.rec, w.extra = *r, *x
	c, e := &w.rec, &w.extra
	w.m.Record(c)
	if !w.kept.AS {
		c.SrcAS, c.DstAS, c.NextAS, c.PrevAS = 0, 0, 0, 0
	}
	if !w.kept.MAC {
		c.InSrcMAC, c.OutDstMAC, c.InDstMAC, c.OutSrcMAC = [6]byte{}, [6]byte{}, [6]byte{}, [6]byte{}
		c.Present = c.Present.Without(flow.SetOf(flow.InSrcMAC, flow.OutDstMAC, flow.InDstMAC, flow.OutSrcMAC))
	}
	if !w.kept.User {
		c.User = nil
		c.Present.Remove(flow.User)
		e.Has &^= nffile.HasLabel | nffile.HasNokiaText
	}
	if !w.kept.Payload {
		e.Has &^= nffile.HasPayload | nffile.HasOutPayload | nffile.HasFrame
	}
	e.Anonymised = true
	w.flows++
	return w.w.AppendExtra(c, e)
}

// tables writes what a file has besides flows.
func (w *Writer) tables() error {
	for _, s := range w.dec.Samplers() {
		s.Exporter.Addr = w.m.Addr(s.Exporter.Addr)
		if err := w.w.Sampler(s); err != nil {
			return err
		}
	}
	for i, s := range w.dec.ExporterStats() {
		id := w.dec.Exporters()[i]
		id.Addr = w.m.Addr(id.Addr)
		w.w.Datagrams(id, s.Datagrams, s.Failures)
	}
	if !w.kept.Names {
		return nil
	}
	return w.w.Names(slices.Clone(w.dec.Names()))
}

// File anonymises a file: what was in it is gone, unless an error is returned; then it is
// what it was. It keeps compression and ident; its index is removed.
func File(path string, m *Mapping, kept Kept, progress nffile.Progress) (flows uint64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	opt, err := likeFile(path)
	if err != nil {
		return 0, err
	}
	opt.Access = disk.Access{Mode: info.Mode().Perm() | 0o600}
	beside := filepath.Join(filepath.Dir(path), asidePrefix+filepath.Base(path))
	if err := os.Remove(beside); err != nil && !errors.Is(err, os.ErrNotExist) { // of a run that was killed
		return 0, err
	}
	w, err := Create(beside, m, kept, opt)
	if err != nil {
		return 0, err
	}
	err = w.Add(path, progress)
	if err == nil {
		err = w.w.Sync()
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return 0, errors.Join(err, w.Abandon())
	}
	if err := os.Rename(beside, path); err != nil {
		return 0, errors.Join(err, os.Remove(beside))
	}
	if err := os.Remove(index.Path(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("the index tells of the addresses that there were: %w", err)
	}
	return w.flows, disk.SyncDir(filepath.Dir(path))
}

// asidePrefix begins the name of the file that takes another's place: nfdump passes over
// such names.
const asidePrefix = "nfcapd.current.anonymised-"

// likeFile returns the options for a file like another.
func likeFile(path string) (opt nffile.Options, err error) {
	f, err := nffile.OpenFile(path)
	if err != nil {
		return opt, err
	}
	defer f.Close()
	if f.Open() {
		return opt, fmt.Errorf("%s: not complete, it is being written or was left behind", path)
	}
	opt.Compression = nffile.LZ4
	if f.Header().Layout == 2 {
		opt.Compression = f.Header().Compression
	}
	if nffile.CheckIdent(f.Ident()) == nil {
		opt.Ident = f.Ident()
	}
	return opt, nil
}

// IdentOf returns what a file made of several is called: the ident of the first.
func IdentOf(path string) (string, error) {
	opt, err := likeFile(path)
	return opt.Ident, err
}
