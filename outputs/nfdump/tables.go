package nfdump

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/collector"
)

// tables are the samplers and names that exporters have told, as files keep them.
type tables struct {
	revision uint64 // of the decoder when they were taken
	version  uint64 // rises when they change; 0 is none
	list     []collector.TableEntry
	spare    []collector.TableEntry
	since    map[collector.TableEntry]uint64 // the version from which on an entry is there
}

// takeChanges takes the tables of a decoder when there may be other ones.
func (t *tables) takeChanges(d *collector.Decoder) {
	now := d.Revision()
	if now == t.revision {
		return
	}
	t.revision = now
	t.spare = d.Tables(t.spare[:0])
	if !slices.Equal(t.list, t.spare) {
		before := t.list
		t.adopt(t.spare)
		t.spare = before
	}
}

// adopt makes a list the one to be written, with a new version for what is new in it.
func (t *tables) adopt(list []collector.TableEntry) {
	t.list = list
	t.version++
	before := t.since
	t.since = make(map[collector.TableEntry]uint64, len(t.list))
	for _, e := range t.list {
		version, there := before[e]
		if !there {
			version = t.version
		}
		t.since[e] = version
	}
}

// write writes the tables of the exporters that belong into a file, of which it has
// those up to a version: only what has changed.
func (t *tables) write(w *nffile.Writer, since uint64, belongs func(netip.Addr) bool) error {
	var names [3][]nffile.Name
	for i := range t.list {
		e := &t.list[i]
		if t.since[*e] <= since || !belongs(e.Exporter) {
			continue
		}
		n := nffile.Name{ID: uint32(e.ID), Name: e.Name}
		switch e.Kind {
		case collector.SamplerRate, collector.GeneralRate:
			id := nffile.Exporter{Addr: e.Exporter, Version: e.Version, Domain: e.Domain}
			if err := w.Sampler(sampler(id, e)); err != nil {
				return err
			}
			continue
		case collector.InterfaceName:
			n.Kind = nffile.InterfaceName
		case collector.VRFName:
			n.Kind = nffile.VRFName
		case collector.AppName:
			n.Kind, n.App = nffile.AppName, string(binary.BigEndian.AppendUint32(nil, uint32(e.ID)))
		}
		names[n.Kind] = append(names[n.Kind], n)
	}
	for _, list := range names {
		if err := w.Names(list); err != nil {
			return err
		}
	}
	return nil
}

// sampler returns nfdump's record of a rate. Its id is -1 for an exporter's general
// rate.
func sampler(id nffile.Exporter, e *collector.TableEntry) nffile.Sampler {
	s := nffile.Sampler{Exporter: id, ID: int64(e.ID), Interval: 1, Space: e.Rate - 1}
	if e.Kind == collector.GeneralRate {
		s.ID = -1
	}
	return s
}
