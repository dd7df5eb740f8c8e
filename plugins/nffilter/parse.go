package nffilter

import (
	"fmt"
	"slices"
	"strings"
)

// node is a part of a filter as it was written: an operator over others, or a test.
type node struct {
	op    nodeOp
	nodes []*node // of isAnd and isOr two or more, of isNot one
	test  test

	source string // of a primitive: what is written in the filter

	flags *test // of "flags" with letters, whose negation has a meaning of its own
}

type nodeOp uint8

const (
	isTest nodeOp = iota
	isAnd
	isOr
	isNot
)

func leaf(t test) *node { return &node{test: t} }

// join returns the nodes under one operator.
func join(op nodeOp, nodes ...*node) *node {
	if len(nodes) == 1 {
		return nodes[0]
	}
	return &node{op: op, nodes: nodes}
}

func negate(n *node) *node { return &node{op: isNot, nodes: []*node{n}} }

// maxDepth bounds how deep parentheses and negations are nested.
const maxDepth = 200

// parser reads the tokens of a filter.
type parser struct {
	text   string
	tokens []token
	pos    int
	depth  int
	opt    *Options
	hints  []string
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) ahead(n int) token { return p.tokens[min(p.pos+n, len(p.tokens)-1)] }

func (p *parser) takeToken() token {
	t := p.tokens[p.pos]
	if t.kind != endToken {
		p.pos++
	}
	return t
}

// errorf returns an error for a token.
func (p *parser) errorf(t token, format string, args ...any) *Error {
	return at(p.text, t.off, t.end, format, args...)
}

// expected returns the error that something else should stand where t does.
func (p *parser) expected(t token, what string) *Error {
	if t.kind == endToken {
		return p.errorf(t, "expected %s, the filter ends here", what)
	}
	return p.errorf(t, "expected %s, got %q", what, p.text[t.off:t.end])
}

// hint notes what a user of nfdump should know of the filter.
func (p *parser) hint(format string, args ...any) {
	if h := fmt.Sprintf(format, args...); !slices.Contains(p.hints, h) {
		p.hints = append(p.hints, h)
	}
}

// filter reads a whole filter.
func (p *parser) filter() (*node, *Error) {
	if p.peek().kind == endToken {
		return leaf(test{op: opTrue}), nil
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != endToken {
		return nil, p.unexpected(t)
	}
	return n, nil
}

// unexpected returns the error for what follows a whole expression.
func (p *parser) unexpected(t token) *Error {
	err := p.expected(t, "'and', 'or' or the end")
	if t.symbol(")") {
		err = p.errorf(t, "this ')' has no '('")
	} else if t.kind == wordToken {
		err.Suggestion = fmt.Sprintf("to ask for both, write 'and' before %q", t.text)
	}
	return err
}

// or reads alternatives.
func (p *parser) or() (*node, *Error) {
	return p.chain(isOr, orToken, "or", func() (*node, *Error) {
		return p.chain(isAnd, andToken, "and", p.factor)
	})
}

// chain reads one or more operands with an operator between them.
func (p *parser) chain(op nodeOp, symbol kind, word string, operand func() (*node, *Error)) (*node, *Error) {
	var list []*node
	for {
		n, err := operand()
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if t := p.peek(); t.kind != symbol && !t.is(word) {
			return join(op, list...), nil
		}
		p.takeToken()
	}
}

// factor reads a primitive, a negation, or an expression in parentheses.
func (p *parser) factor() (*node, *Error) {
	t := p.peek()
	if p.depth++; p.depth > maxDepth {
		return nil, p.errorf(t, "nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case t.kind == notToken || t.is("not"):
		p.takeToken()
		return p.negation()
	case t.symbol("("):
		return p.parentheses()
	case t.symbol("%"):
		if err := p.label(); err != nil {
			return nil, err
		}
		return p.parentheses()
	}
	n, err := p.primitive()
	if err == nil {
		n.source = strings.Join(strings.Fields(p.text[t.off:p.tokens[p.pos-1].end]), " ")
	}
	return n, err
}

// negation reads what follows "not". As in nfdump 1.7.1, and in its manual, "not flags
// SA" asks for flows with none of the flags; also in parentheses of its own.
func (p *parser) negation() (*node, *Error) {
	n, err := p.factor()
	if err != nil {
		return nil, err
	}
	if n.flags != nil {
		n.flags.op = opFlagsAny
		p.hint("'not flags' asks for none of the flags, as nfdump 1.7.1 does; nfdump 1.7.8 asks for not all of them")
	}
	return negate(n), nil
}

// parentheses reads an expression in parentheses, with or without a label behind it.
func (p *parser) parentheses() (*node, *Error) {
	open := p.takeToken()
	if !open.symbol("(") {
		return nil, p.expected(open, "'('")
	}
	if t := p.peek(); t.symbol(")") {
		return nil, p.expected(t, "a filter in the parentheses")
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); !t.symbol(")") {
		if t.kind == endToken {
			return nil, p.errorf(open, "this '(' has no ')'")
		}
		return nil, p.unexpected(t)
	}
	p.takeToken()
	if p.peek().symbol("%") {
		if err := p.label(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// label passes over a label, which nfdump 1.7.1 prints of the flows that match.
func (p *parser) label() *Error {
	p.takeToken()
	if t := p.takeToken(); t.kind != wordToken {
		return p.expected(t, "the name of a label")
	}
	p.hint("labels (%%name) are read and not used")
	return nil
}

// primitive reads a test.
func (p *parser) primitive() (*node, *Error) {
	first := p.peek()
	sides, err := p.sides()
	if err != nil {
		return nil, err
	}
	kind, words := p.find()
	if kind == nil {
		if n, ok := p.alone(first); ok {
			return n, nil
		}
		return nil, p.unknown()
	}
	p.pos += words
	chosen, err := p.choose(kind, sides, first)
	if err != nil {
		return nil, err
	}
	n, err := p.value(kind, chosen, sides.every)
	if err != nil {
		return nil, err
	}
	if len(kind.protos) == 0 {
		return n, nil
	}
	whole := join(isAnd, equals(flowProto, kind.protos...), n)
	if n.op == isTest && n.test.op == opFlagsAll {
		whole.flags = &n.test
	}
	return whole, nil
}

// sideSet is what stands before the words of a primitive.
type sideSet struct {
	list  []side // alternatives: one, or src and dst
	every bool   // all of them have to match, not one
}

// sides reads what stands before the words of a primitive: as in "src", "in src", or
// "src and dst".
func (p *parser) sides() (s sideSet, err *Error) {
	var one side
	for {
		n := sideOf(p.peek())
		if n == 0 || p.startsPrimitive() {
			break
		}
		p.takeToken()
		if other := sideOf(p.ahead(1)); one == 0 && n|other == src|dst && n != other {
			if both := p.peek(); both.is("or") || both.is("and") {
				p.takeToken()
				p.takeToken()
				return sideSet{[]side{n, other}, both.is("and")}, nil
			}
		}
		if one&n != 0 {
			return s, p.errorf(p.tokens[p.pos-1], "%q stands here twice", n)
		}
		one |= n
	}
	s.list = []side{one}
	return s, nil
}

// startsPrimitive says whether a word that may be a side begins a primitive's words
// here.
func (p *parser) startsPrimitive() bool {
	kind, _ := p.find()
	return kind != nil
}

func sideOf(t token) side {
	for _, n := range sideNames {
		if t.is(n.name) {
			return n.side
		}
	}
	return 0
}

// longest is how many words a primitive has at most.
const longest = 4

// find returns the primitive whose words stand here, that of most words.
func (p *parser) find() (*primitive, int) {
	for n := longest; n > 0; n-- {
		if words, ok := p.phrase(n); ok {
			if kind, ok := byWords[words]; ok && (!kind.valued || p.hasValue(n)) {
				return kind, n
			}
			if kind := ofField(words); kind != nil {
				return kind, n
			}
		}
	}
	return nil, 0
}

// hasValue says whether something that may be a value follows the next n words.
func (p *parser) hasValue(n int) bool {
	switch t := p.ahead(n); t.kind {
	case compareToken, quotedToken:
		return true
	case wordToken:
		return !t.is("and") && !t.is("or")
	}
	return false
}

// phrase returns the next n words in small letters.
func (p *parser) phrase(n int) (string, bool) {
	var b strings.Builder
	for i := range n {
		t := p.ahead(i)
		if t.kind != wordToken {
			return "", false
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.ToLower(t.text))
	}
	return b.String(), true
}

// alone reads the name of a protocol without "proto", which nfdump does not know.
func (p *parser) alone(first token) (*node, bool) {
	t := p.peek()
	if t.kind != wordToken || t.off != first.off {
		return nil, false
	}
	number, ok := protocols[strings.ToLower(t.text)]
	if !ok {
		return nil, false
	}
	p.takeToken()
	p.hint("nfdump wants 'proto %s'", strings.ToLower(t.text))
	return equals(flowProto, number), true
}

// unknown returns the error for words that are no primitive.
func (p *parser) unknown() *Error {
	t := p.peek()
	if t.kind != wordToken {
		return p.expected(t, "a test such as 'port 80' or 'src net 192.0.2.0/24'")
	}
	err := p.errorf(t, "%q is no test that a filter knows", t.text)
	if s := Similar(t.text, firstWords); s != "" {
		err.Suggestion = fmt.Sprintf("did you mean %q?", s)
	}
	return err
}

// choose returns the operands of a primitive that the sides before it choose.
func (p *parser) choose(kind *primitive, sides sideSet, first token) ([]choice, *Error) {
	if len(sides.list) == 1 && sides.list[0] == 0 {
		if kind.single {
			return kind.choices[:1], nil
		}
		return kind.choices, nil
	}
	var list []choice
	for _, s := range sides.list {
		matched := 0
		for _, c := range kind.choices {
			if c.side&s == s {
				list = append(list, c)
				matched++
			}
		}
		if matched == 0 {
			return nil, p.noSide(kind, s, first)
		}
	}
	return list, nil
}

// noSide returns the error that a primitive has no such side.
func (p *parser) noSide(kind *primitive, s side, first token) *Error {
	err := p.errorf(first, "%q has no %q", kind.words, s)
	var all side
	for _, c := range kind.choices {
		all |= c.side
	}
	if all != 0 {
		err.Suggestion = fmt.Sprintf("it has %s", all)
	}
	return err
}

// byWords are the primitives by their words, firstWords what they and their sides begin
// with.
var byWords, firstWords = index()

func index() (map[string]*primitive, []string) {
	byWords := make(map[string]*primitive, len(primitives))
	var words []string
	for i := range primitives {
		byWords[primitives[i].words] = &primitives[i]
		words = append(words, strings.Fields(primitives[i].words)[0])
	}
	for _, n := range sideNames {
		words = append(words, n.name)
	}
	slices.Sort(words)
	return byWords, slices.Compact(words)
}
