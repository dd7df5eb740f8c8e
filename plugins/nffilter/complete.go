package nffilter

import (
	"slices"
	"strings"
)

// Completion is a word that may stand at a place of a filter.
type Completion struct {
	Text string `json:"text"` // the word
	What string `json:"what"` // what it is: "field", "direction", "operator" or "value"
}

// Complete returns what may stand behind the beginning of a filter, in place of its last
// word when it does not end with a blank: the words that begin with that. From is where
// the last word begins, in bytes.
func Complete(text string) (list []Completion, from int) {
	from = strings.LastIndexAny(text, " \t\r\n()[],!&|<>=") + 1
	begun := strings.ToLower(text[from:])
	before := strings.FieldsFunc(strings.ToLower(text[:from]),
		func(r rune) bool { return strings.ContainsRune(" \t\r\n()", r) })
	for _, c := range candidates(before, text[:from]) {
		if strings.HasPrefix(c.Text, begun) && c.Text != begun {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b Completion) int { return strings.Compare(a.Text, b.Text) })
	return slices.Compact(list), from
}

// candidates are the words that may follow.
func candidates(before []string, text string) []Completion {
	further := []Completion{{"and", "operator"}, {"or", "operator"}}
	whole := len(before) > 0 && isWhole(text)
	if list := continued(before); len(list) > 0 {
		if whole { // as "asa event denied", which a reason may follow
			list = append(list, further...)
		}
		return list
	}
	if whole {
		return further
	}
	var list []Completion
	if len(before) > 0 && isSide(before[len(before)-1]) {
		list = append(list, behindSide(before[len(before)-1])...)
	} else {
		list = append(list, Completion{"not", "operator"})
		for _, s := range sideNames {
			list = append(list, Completion{s.name, "direction"})
		}
	}
	for i := range primitives {
		if p := &primitives[i]; p.form != absent {
			word, _, _ := strings.Cut(p.words, " ")
			list = append(list, Completion{word, "field"})
		}
	}
	return list
}

// isWhole says whether the beginning of a filter is one itself, but for parentheses that are open.
func isWhole(text string) bool {
	list, err := tokens(text)
	if err != nil {
		return false
	}
	open := 0
	for _, t := range list {
		if t.symbol("(") {
			open++
		} else if t.symbol(")") {
			open--
		}
	}
	_, bad := Parse(text+"\n"+strings.Repeat(")", max(open, 0)), Options{})
	return bad == nil
}

// behindSide are the words that may follow a side besides a test, as in "src and dst" and "in src".
func behindSide(word string) (list []Completion) {
	switch word {
	case "src", "dst":
		return []Completion{{"and", "operator"}, {"or", "operator"}}
	case "in", "out":
		return []Completion{{"src", "direction"}, {"dst", "direction"}}
	}
	return nil
}

// isSide says whether a word is a side, as in "src".
func isSide(word string) bool {
	return slices.ContainsFunc(sideNames[:], func(s struct {
		name string
		side side
	}) bool {
		return s.name == word
	})
}

// continued are the further words of a primitive of which some stand at the end, and the
// names of its values where all do.
func continued(before []string) (list []Completion) {
	for i := range primitives {
		p := &primitives[i]
		words := strings.Fields(p.words)
		if p.form == absent {
			continue
		}
		if endsWith(before, words) {
			for name := range p.names {
				list = append(list, Completion{name, "value"})
			}
		}
		for n := 1; n < len(words); n++ {
			if endsWith(before, words[:n]) {
				list = append(list, Completion{words[n], "field"})
			}
		}
	}
	return list
}

// endsWith says whether words end with some.
func endsWith(all, end []string) bool {
	return len(all) >= len(end) && slices.Equal(all[len(all)-len(end):], end)
}
