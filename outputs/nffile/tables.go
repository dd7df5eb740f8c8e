package nffile

import "slices"

// Sampler is how an exporter samples: nfdump's sampler record. One of (Interval +
// Space) / Interval packets is counted.
type Sampler struct {
	Exporter  Exporter
	ID        int64 // announced; -1 of the exporter, -2 a default, -3 enforced
	Interval  uint32
	Space     uint32
	Algorithm uint16 // IPFIX element 304
}

// Rate returns one packet in how many is counted, at least 1.
func (s Sampler) Rate() uint64 {
	if s.Interval == 0 {
		return 1
	}
	return (uint64(s.Interval) + uint64(s.Space)) / uint64(s.Interval)
}

// ExporterStat is what a file's records say that an exporter sent.
type ExporterStat struct {
	Datagrams, Flows, Failures uint64
}

// NameKind is what a name is for.
type NameKind uint8

// The kinds of names.
const (
	AppName NameKind = iota
	InterfaceName
	VRFName
)

// Name is one entry of a file's tables of names.
type Name struct {
	Kind        NameKind
	App         string // the application's id: bytes as on the wire
	ID          uint32 // of an interface or VRF
	Name        string
	Description string // of an application
}

// maxTable bounds the names and samplers that a Decoder keeps.
const maxTable = 1 << 16

// table reads the records that are neither flows nor exporters.
func (d *Decoder) table(kind uint16, rec []byte) {
	switch kind {
	case recordExporterStat:
		for p := rec[min(8, len(rec)):]; len(p) >= 24; p = p[24:] {
			if i := int(le.Uint32(p)) - 1; i >= 0 && i < len(d.exporters) {
				d.stats[i].Failures += uint64(le.Uint32(p[4:]))
				d.stats[i].Datagrams += le.Uint64(p[8:])
				d.stats[i].Flows += le.Uint64(p[16:])
			}
		}
	case recordOldSampler:
		if len(rec) >= 16 {
			s, sysid := oldSampler(rec)
			d.sampler(s, sysid)
		}
	case recordSampler:
		if len(rec) >= 24 {
			d.sampler(Sampler{ID: int64(le.Uint64(rec[8:])), Interval: le.Uint32(rec[16:]), Space: le.Uint32(rec[20:]),
				Algorithm: le.Uint16(rec[6:])}, le.Uint16(rec[4:]))
		}
	case recordMap:
		d.maps = d.maps.with(rec)
	case recordApps, recordInterfaces, recordVRFs:
		d.names(kind, rec)
	}
}

// sampler keeps a sampler; one that comes again replaces the one before.
func (d *Decoder) sampler(s Sampler, sysid uint16) {
	if sysid > 0 && int(sysid) <= len(d.exporters) {
		s.Exporter = d.exporters[sysid-1]
	}
	for i := range d.samplers {
		if d.samplers[i].Exporter == s.Exporter && d.samplers[i].ID == s.ID {
			d.samplers[i] = s
			return
		}
	}
	if len(d.samplers) < maxTable {
		d.samplers = append(d.samplers, s)
	}
}

// names reads a table of names. A table that contradicts itself is passed over.
func (d *Decoder) names(kind uint16, rec []byte) {
	if len(rec) < 14 {
		return
	}
	n := int(le.Uint16(rec[4:]))
	if kind == recordApps {
		id, name, text := int(le.Uint16(rec[8:])), int(le.Uint16(rec[10:])), int(le.Uint16(rec[12:]))
		size := id + name + text
		for p := rec[14:]; n > 0 && size > 0 && len(p) >= size && len(d.namesSeen) < maxTable; p, n = p[size:], n-1 {
			d.namesSeen = append(d.namesSeen, Name{Kind: AppName, App: string(p[:id]), Name: cString(p[id : id+name]),
				Description: cString(p[id+name : size])})
		}
		return
	}
	k, size := InterfaceName, uint64(le.Uint32(rec[8:]))+4
	if kind == recordVRFs {
		k = VRFName
	}
	for p := rec[12:]; n > 0 && uint64(len(p)) >= size && len(d.namesSeen) < maxTable; p, n = p[size:], n-1 {
		d.namesSeen = append(d.namesSeen, Name{Kind: k, ID: le.Uint32(p), Name: cString(p[4:size])})
	}
}

// Samplers returns the samplers that the blocks decoded so far named.
func (d *Decoder) Samplers() []Sampler { return d.samplers }

// Names returns the names in the blocks decoded so far.
func (d *Decoder) Names() []Name { return d.namesSeen }

// ExporterStats returns what the records decoded so far say of the exporters, in
// the order of Exporters.
func (d *Decoder) ExporterStats() []ExporterStat { return d.stats }

// samplerSize is the size of a sampler record.
const samplerSize = 24

// Sampler writes how an exporter samples, into the block that is open.
func (w *Writer) Sampler(s Sampler) error {
	sysid := w.sysid(s.Exporter)
	var b [samplerSize]byte
	le.PutUint16(b[0:], recordSampler)
	le.PutUint16(b[2:], samplerSize)
	le.PutUint16(b[4:], sysid)
	le.PutUint16(b[6:], s.Algorithm)
	le.PutUint64(b[8:], uint64(s.ID))
	le.PutUint32(b[16:], s.Interval)
	le.PutUint32(b[20:], s.Space)
	return w.raw(b[:])
}

// maxNames is the most bytes that one record of names takes; more go into further
// records.
const maxNames = 1 << 15

// longestName bounds each text of a name, in bytes: a record has a size of 16 bits, and a
// name is to be no more than half of maxNames.
const longestName = 1 << 12

// Names writes names, all of one kind, as tables; the ids of applications have to
// be of one length. Longer texts than 4096 bytes are cut.
func (w *Writer) Names(names []Name) error {
	names = slices.Clone(names)
	for i := range names {
		names[i].cut()
	}
	for len(names) > 0 {
		b, n := encodeNames(names)
		if err := w.raw(b); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}

// cut makes the texts fit.
func (n *Name) cut() {
	for _, text := range []*string{&n.App, &n.Name, &n.Description} {
		*text = (*text)[:min(len(*text), longestName)]
	}
}

// encodeNames returns a table with as many of the names as one record takes, and
// their number.
func encodeNames(names []Name) ([]byte, int) {
	kind, first := names[0].Kind, len(names[0].App)
	name, text, n := 4, 0, 0
	for _, v := range names {
		longer, more := max(name, (len(v.Name)+4)&^3), text
		if kind == AppName {
			more = max(text, (len(v.Description)+4)&^3)
		}
		if v.Kind != kind || len(v.App) != first || n > 0 && (n+1)*(4+first+longer+more) > maxNames {
			break
		}
		name, text, n = longer, more, n+1
	}
	size, head := name+4, 12
	if kind == AppName {
		size, head = first+name+text, 14
	}
	b := make([]byte, (head+n*size+3)&^3)
	le.PutUint16(b[0:], uint16(recordApps)+uint16(kind))
	le.PutUint16(b[2:], uint16(len(b)))
	le.PutUint16(b[4:], uint16(n))
	le.PutUint16(b[6:], uint16(size))
	if kind == AppName {
		le.PutUint16(b[8:], uint16(first))
		le.PutUint16(b[10:], uint16(name))
		le.PutUint16(b[12:], uint16(text))
	} else {
		le.PutUint32(b[8:], uint32(name))
	}
	p := b[head:]
	for _, v := range names[:n] {
		if kind == AppName {
			copy(p, v.App)
			copy(p[first:first+name], v.Name)
			copy(p[first+name:size], v.Description)
		} else {
			le.PutUint32(p, v.ID)
			copy(p[4:size], v.Name)
		}
		p = p[size:]
	}
	return b, n
}

// raw appends a record that is not a flow.
func (w *Writer) raw(rec []byte) error {
	if len(w.block)+len(rec) > blockLimit {
		if err := w.writeBlock(); err != nil {
			return w.rollback(err)
		}
	}
	w.block = append(w.block, rec...)
	w.records++
	return nil
}
