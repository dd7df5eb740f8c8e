package nffilter

import "strings"

// Explain returns how the filter was understood, a line for each operator and each test,
// those below an operator behind two more blanks.
func (f *Filter) Explain() string {
	var b strings.Builder
	f.root.explain(&b, "")
	return b.String()
}

// explain writes a part of the filter.
func (n *node) explain(b *strings.Builder, indent string) {
	b.WriteString(indent)
	switch {
	case n.source != "":
		b.WriteString(n.source)
	case n.op == isAnd:
		b.WriteString("all of")
	case n.op == isOr:
		b.WriteString("one of")
	case n.op == isNot:
		b.WriteString("not")
	default:
		b.WriteString("any")
	}
	b.WriteByte('\n')
	if n.source != "" {
		return
	}
	for _, below := range n.nodes {
		below.explain(b, indent+"  ")
	}
}
