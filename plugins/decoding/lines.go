package decoding

// keptLines is how large a buffer of lines may be that is kept for the next ones.
const keptLines = 8 << 20

// flowLines are flows as lines of line protocol.
type flowLines struct {
	text  []byte
	count int
}

// empty returns the buffer without the lines. A large one is not kept.
func (f flowLines) empty() flowLines {
	if cap(f.text) > keptLines {
		return flowLines{}
	}
	return flowLines{text: f.text[:0]}
}

// takeLines moves the lines of another one behind these.
func (f *flowLines) takeLines(from *flowLines) {
	if f.count == 0 {
		*f, *from = *from, f.empty()
		return
	}
	f.text, f.count = append(f.text, from.text...), f.count+from.count
	*from = from.empty()
}

// setLineTags sets the tags that lines have besides the flow's own.
func (p *Pool) setLineTags(tags map[string]string) {
	for _, w := range p.workers {
		for _, l := range w.lanes {
			l.builder.SetLineTags(tags)
		}
	}
}
