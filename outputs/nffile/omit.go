package nffile

// Place is where a block lies in its file.
type Place struct {
	Offset int64
	Size   int64 // with its header
}

// Place returns where the block lies, once it has been read.
func (b *Block) Place() Place { return Place{b.off, b.headSize() + int64(len(b.raw))} }

// Omit makes ReadBlock pass over blocks of layouts 2 and 3: those at just these places,
// which are in their order. What a block holds besides flows, as the exporters, is not
// known then to who decodes the others.
func (f *File) Omit(places []Place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head.Layout != layout1 { // of which a block can depend on those before it
		f.omit = places
	}
}

// passOmitted goes over blocks that are not to be read.
func (f *File) passOmitted() {
	for len(f.omit) > 0 {
		next := f.omit[0]
		if next.Offset > f.off {
			return
		}
		f.omit = f.omit[1:]
		if next.Offset == f.off && next.Size > 0 && next.Size <= f.end-f.off {
			f.off += next.Size
			f.blocks++
		}
	}
}

// NotIndexable says why the blocks of the file cannot be told apart by an index, "" when
// they can.
func (f *File) NotIndexable() string {
	switch {
	case f.open:
		return "it is not complete"
	case len(f.damage) > 0:
		return "it is damaged"
	case f.head.Layout == layout1:
		return "its blocks depend on one another (layout 1)"
	}
	return ""
}

// Intact says that no damage has been passed over so far.
func (f *File) Intact() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.gaps
}
