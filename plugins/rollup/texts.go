package rollup

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/flowgraf/flowgraf/plugins/line"
)

// texts numbers the texts that are values of tags, so that keys are numbers. What is not
// used any more is forgotten, and there is a bound: names come from exporters.
type texts struct {
	mu    sync.Mutex
	ids   map[string]uint32
	list  []numbered // by number, less one
	free  []uint32
	bound int
}

type numbered struct {
	text string
	used uint64 // round in which it was asked for last
}

// noText says that there is no number left.
const noText = ^uint32(0)

func (t *texts) init(bound int) { t.ids, t.bound = map[string]uint32{}, min(bound, 1<<20) }

// number returns the number of a text, above 0, in a round; noText beyond the bound. 0 is
// the number of "".
func (t *texts) number(text string, round uint64) uint32 {
	text = clean(text)
	if text == "" {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok := t.ids[text]
	if !ok {
		n := len(t.free)
		switch {
		case n > 0:
			id, t.free = t.free[n-1], t.free[:n-1]
		case len(t.list) < t.bound:
			t.list = append(t.list, numbered{})
			id = uint32(len(t.list))
		default:
			return noText
		}
		text = strings.Clone(text)
		t.ids[text], t.list[id-1].text = id, text
	}
	t.list[id-1].used = round
	return id
}

// text returns the text of a number.
func (t *texts) text(id uint32) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id == 0 || int(id) > len(t.list) {
		return ""
	}
	return t.list[id-1].text
}

// keep says that a number is used in a round.
func (t *texts) keep(id uint32, round uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id > 0 && int(id) <= len(t.list) {
		t.list[id-1].used = max(t.list[id-1].used, round)
	}
}

// forget frees the numbers that were not used after a round.
func (t *texts) forget(round uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		if n := &t.list[i]; n.text != "" && n.used <= round {
			delete(t.ids, n.text)
			n.text = ""
			t.free = append(t.free, uint32(i+1))
		}
	}
	if len(t.ids) == 0 && len(t.list) > 0 { // a map never shrinks
		t.ids, t.list, t.free = map[string]uint32{}, nil, nil
	}
}

// clean returns a text as it can stand in a tag of any output, and not too long.
func clean(text string) string {
	text = line.Tag(text)
	if len(text) <= maxTextBytes {
		return text
	}
	for len(text) > maxTextBytes {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return strings.TrimRight(text, ` \`)
}
