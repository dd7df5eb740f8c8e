package alert

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// What a template may cost. Loops and calls of other templates count their rounds;
// what a function makes is bounded before it is made.
const (
	maxTemplateSize = 64 << 10    // octets of its text
	maxRounds       = 10_000      // of all its loops and calls
	maxRunTime      = time.Second // of one run
	maxPrint        = 1 << 20     // octets that one printf may need
)

var (
	errTooLong  = errors.New("the text is too long")
	errTooSlow  = errors.New("the template runs too long")
	errTooLarge = errors.New("the template is too large")
)

// textTemplate is a template that cannot run for long. It must not run twice at a
// time.
type textTemplate struct {
	*template.Template
	rounds int
	until  time.Time
}

// parseTemplate parses a template and tries it, so that a name that does not exist,
// and a loop that takes too long, show at once. Other errors may depend on the data
// and show when it comes.
func parseTemplate(option, text, standard string) (*textTemplate, error) {
	if text == "" {
		text = standard
	}
	if len(text) > maxTemplateSize {
		return nil, fmt.Errorf("%s: %w: over %d octets", option, errTooLarge, maxTemplateSize)
	}
	t := &textTemplate{}
	parsed, err := template.New(option).Option("missingkey=zero").
		Funcs(functions).Funcs(template.FuncMap{"_round": t.round}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	t.Template = parsed
	t.guard()
	var data any = idData{}
	if option == "message" {
		data = messageData{}
	}
	_, err = t.render(data, maxMessageSize)
	if err != nil && (errors.Is(err, errTooLong) || errors.Is(err, errTooSlow) ||
		strings.Contains(err.Error(), "can't evaluate field")) {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	return t, nil
}

// round is called by each round of a loop, and at the beginning of a template that
// another one calls.
func (t *textTemplate) round() (string, error) {
	if t.rounds++; t.rounds > maxRounds || time.Now().After(t.until) {
		return "", fmt.Errorf("%w: over %d rounds of its loops, or over %s", errTooSlow, maxRounds, maxRunTime)
	}
	return "", nil
}

// guard puts calls of round into loops, and into templates when some are called.
func (t *textTemplate) guard() {
	call := template.Must(template.New("").Funcs(template.FuncMap{"_round": t.round}).Parse("{{ _round }}"))
	g := guard{round: call.Root.Nodes[0]}
	for _, each := range t.Templates() {
		if each.Tree != nil {
			g.list(each.Root)
		}
	}
	for _, each := range t.Templates() {
		if each.Tree != nil && g.calls {
			g.begin(each.Root)
		}
	}
}

// guard walks the nodes of templates.
type guard struct {
	round parse.Node
	calls bool // a template calls another one
}

func (g *guard) begin(l *parse.ListNode) {
	l.Nodes = append([]parse.Node{g.round}, l.Nodes...)
}

func (g *guard) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.IfNode:
			g.branch(&n.BranchNode)
		case *parse.WithNode:
			g.branch(&n.BranchNode)
		case *parse.RangeNode:
			g.branch(&n.BranchNode)
			g.begin(n.List)
		case *parse.TemplateNode:
			g.calls = true
		}
	}
}

func (g *guard) branch(b *parse.BranchNode) {
	g.list(b.List)
	g.list(b.ElseList)
}

// functions are those of text/template that make texts, bounded, and those that
// write numbers for people.
var functions = template.FuncMap{
	"print":    bounded(fmt.Sprint),
	"println":  bounded(fmt.Sprintln),
	"html":     bounded(template.HTMLEscaper),
	"js":       bounded(template.JSEscaper),
	"urlquery": bounded(template.URLQueryEscaper),
	"printf":   printf,
	"bytes":    formatBytes,
	"si":       formatSI,
	"duration": formatDuration,
}

// bounded makes a function refuse to join what is too long.
func bounded(f func(...any) string) func(...any) (string, error) {
	return func(args ...any) (string, error) {
		size := 0
		for _, a := range args {
			size += sizeOf(a)
		}
		if size > maxMessageSize {
			return "", fmt.Errorf("%w: over %d octets", errTooLong, maxMessageSize)
		}
		return within(f(args...))
	}
}

func sizeOf(arg any) int {
	s, _ := arg.(string)
	return len(s)
}

func within(s string) (string, error) {
	if len(s) > maxMessageSize {
		return "", fmt.Errorf("%w: over %d octets", errTooLong, maxMessageSize)
	}
	return s, nil
}

// printf is fmt.Sprintf with widths and precisions below 1000.
func printf(format string, args ...any) (string, error) {
	longest := 0
	for _, a := range args {
		longest = max(longest, sizeOf(a))
	}
	verbs := 0
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		verbs++
		digits := 0
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.[]*", format[i]) >= 0; i++ {
			if format[i] < '0' || format[i] > '9' {
				digits = 0
			} else if digits++; digits > 3 {
				return "", fmt.Errorf("%w: printf %q: expected widths below 1000", errTooLong,
					format[:min(len(format), 80)])
			}
			if format[i] == '*' {
				return "", fmt.Errorf("printf %q: expected widths as numbers, no *", format[:min(len(format), 80)])
			}
		}
	}
	if len(format)+verbs*(1000+longest) > maxPrint {
		return "", fmt.Errorf("%w: printf could give over %d octets", errTooLong, maxPrint)
	}
	return within(fmt.Sprintf(format, args...))
}

// render runs the template into at most limit octets.
func (t *textTemplate) render(data any, limit int) (string, error) {
	t.rounds, t.until = 0, time.Now().Add(maxRunTime)
	w := &limitedBuffer{limit: limit}
	if err := t.Execute(w, data); err != nil {
		return "", err
	}
	return strings.ToValidUTF8(w.String(), "?"), nil
}

type limitedBuffer struct {
	bytes.Buffer
	limit int
}

// Write implements io.Writer.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		return 0, fmt.Errorf("%w: over %d octets", errTooLong, b.limit)
	}
	return b.Buffer.Write(p)
}
