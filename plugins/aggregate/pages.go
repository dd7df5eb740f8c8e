package aggregate

import "sync"

// pages is the memory of the cells of a Table: single chunks at first, later slabs of
// several, on huge pages.
type pages struct {
	mu   sync.Mutex // parts grow at the same time when tables are merged
	used int        // words of all chunks
	slab []uint64   // what is left of it
}

// slabWords are the words of a slab, singleWords what all chunks have before the first.
const (
	slabWords   = 4 << 20 / 8
	singleWords = 512 << 10 / 8
)

// chunk returns so many words.
func (p *pages) chunk(words int) []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used += words; p.used <= singleWords || words > slabWords {
		return make([]uint64, words)
	}
	if len(p.slab) < words {
		p.slab = make([]uint64, slabWords)
		WantHugePages(p.slab)
	}
	c := p.slab[:words:words]
	p.slab = p.slab[words:]
	return c
}

// manyWords is from how many on words that are used in no order are on huge pages.
const manyWords = 256 << 10 / 8

// newWords returns so many words, for an index or a sieve.
func newWords(n int) []uint64 {
	words := make([]uint64, n)
	if n >= manyWords {
		WantHugePages(words)
	}
	return words
}
