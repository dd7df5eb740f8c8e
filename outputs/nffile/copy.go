package nffile

import (
	"net/netip"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Copier copies flows from blocks of files into a Writer. Most flows of layout 2 are as
// the Writer would write them: these are copied as they are, with their exporter's
// number in the new file. All others are decoded and written. The new file is the same
// to the byte.
type Copier struct {
	x   *Extractor
	w   *Writer
	at  *outline // of the current flow when it is to be copied as it is
	rec []byte
	f   Brief
}

// NewCopier returns a Copier into w.
func NewCopier(w *Writer) *Copier {
	c := &Copier{x: NewExtractor(nil, flow.Set{}), w: w}
	c.x.ReadAll()
	return c
}

// Next steps to the next flow of an unpacked block, as Decoder.Next does.
func (c *Copier) Next(b *Block) bool {
	d := c.x.dec
	d.begin(b)
	for b.next() {
		c.at = nil
		if d.sieve.skips(b.rec) {
			continue
		}
		if b.isFlow() && b.kind == recordFlow {
			if o := c.x.outline(b.rec); o != nil && o.writers && o.unchanged(b.rec) {
				o.readRecord(b.rec, nil, &c.f)
				c.at, c.rec = o, b.rec
				return true
			}
		}
		if d.takeBlock(b) {
			c.x.plain(&c.f)
			return true
		}
	}
	d.end(b)
	return false
}

// Sift is Decoder.Sift.
func (c *Copier) Sift(s *Sieve) { c.x.dec.Sift(s) }

// Flow returns the current flow in brief.
func (c *Copier) Flow() *Brief { return &c.f }

// Err is Decoder.Err.
func (c *Copier) Err() error { return c.x.dec.err }

// Decoder returns the Decoder that has what the blocks hold besides flows. It has the
// current flow only after Decode.
func (c *Copier) Decoder() *Decoder { return c.x.dec }

// Decode makes the Decoder decode the current flow, and says whether it could.
func (c *Copier) Decode() bool { return c.at == nil || c.x.dec.flow(c.rec) == "" }

// Copy appends the current flow to the Writer, as Writer.AppendExtra does.
func (c *Copier) Copy() error {
	if c.at == nil {
		return c.w.AppendExtra(c.x.dec.Record(), c.x.dec.Extra())
	}
	id := Exporter{Addr: c.at.receivedFrom(c.rec), Version: flow.Version(c.rec[11])}
	if sysid := int(le.Uint16(c.rec[8:])); sysid > 0 && sysid <= len(c.x.dec.exporters) {
		id.Domain = c.x.dec.exporters[sysid-1].Domain
	}
	return c.w.appendAsIs(c.rec, id, &c.f)
}

// writersOrder are elements that the Writer writes as it reads them, in its order, and
// with these sizes: see Writer.encode. Of the two for IPv4 and IPv6 a flow has one.
var writersOrder = [...]struct{ id, size uint16 }{
	{elGeneric, 52}, {elIPv4, 12}, {elIPv6, 36}, {elMisc, 20}, {elCount, 28}, {elAS, 12}, {elNext4, 8}, {elNext6, 20},
	{elBGPNext4, 8}, {elBGPNext6, 20}, {elASAdjacent, 12}, {elReceived4, 8}, {elReceived6, 20},
}

// isWriters says whether a record of the outline has just these elements, the first and
// the address that it was received from among them, and nothing behind.
func (o *outline) isWriters(rec []byte) bool {
	if o.n != int(le.Uint16(rec[4:])) {
		return false
	}
	var have uint64
	k, end := 0, recordHeadSize
	for i := range o.n {
		for k < len(writersOrder) && uint32(writersOrder[k].id)|uint32(writersOrder[k].size)<<16 != o.heads[i] {
			k++
		}
		if k == len(writersOrder) {
			return false
		}
		bit := uint64(1) << writersOrder[k].id
		if families(have)&families(bit) != 0 {
			return false
		}
		have |= bit
		end += int(writersOrder[k].size)
	}
	const needed = 1<<elGeneric | 1<<elReceived4
	return end == len(rec) && families(have)&needed == needed
}

// unchanged says whether the Writer would write the values as they are: it mends
// times, has no counters that say nothing, and leaves out flags it does not know.
func (o *outline) unchanged(rec []byte) bool {
	g := rec[o.generic:][:48]
	first, last, received := le.Uint64(g), le.Uint64(g[8:]), le.Uint64(g[16:])
	if rec[10]&^flagSampled != 0 || first > last || milli(last) != last || milli(received) != received {
		return false
	}
	if o.misc != 0 && rec[o.misc+14] != 0 {
		return false
	}
	if o.count == 0 {
		return true
	}
	n := rec[o.count:][:24]
	flows := le.Uint64(n)
	return flows > 1 || flows == 1 && le.Uint64(n[8:])|le.Uint64(n[16:]) != 0
}

// receivedFrom returns the address in the last element.
func (o *outline) receivedFrom(rec []byte) netip.Addr {
	p := rec[o.offsets[o.n-1]+4:]
	if len(p) == 4 {
		return addr4(p)
	}
	return addr6(p)
}
