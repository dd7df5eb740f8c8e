package maillog

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	// maxHeld bounds, in octets, the lines of mails that a search has not seen the end of.
	maxHeld = 1 << 30
	// grace is for how many lines a completed mail may get more of them: the line of its
	// arrival can come behind that of a delivery that was quick.
	grace = 1000
)

// Search gathers the lines of each mail, and gives those of the mails that match.
type Search struct {
	// Match tells whether a line is one that is looked for.
	Match func(line string) bool
	// Related also gives a mail whose notification matches, and the other way round.
	Related bool
	// Out gets the lines of one mail, each with its line end, or a single line that is about
	// no mail.
	Out func(lines []string) error

	mails    map[string]*gathered
	finished []*gathered // in the order of their ends
	number   int         // of the line
	held     int
}

// gathered is what was read of one mail.
type gathered struct {
	id      string
	lines   []string
	first   int // the number of its first line
	ended   int // that of its last one when it is complete, else 0
	matches bool
	about   string // the mail that this one is a notification of
	gone    bool
}

// Read searches what a log has; several logs are read in the order of their age.
func (s *Search) Read(r io.Reader) error {
	if s.mails == nil {
		s.mails = map[string]*gathered{}
	}
	return eachLine(r, s.line)
}

func (s *Search) line(line string) error {
	s.number++
	id := ""
	e, ours := Parse(line)
	if ours {
		id = e.ID
	} else {
		id = MailOf(line)
	}
	if id == "" {
		if s.Match(line) {
			return s.Out([]string{line})
		}
		return nil
	}
	g := s.mails[id]
	if g == nil {
		g = &gathered{id: id, first: s.number}
		s.mails[id] = g
	}
	if s.held += len(line); s.held > maxHeld {
		return fmt.Errorf("more than %d MiB of lines are of mails whose end is not in the log: search fewer files",
			maxHeld>>20)
	}
	if e.Step == StepArrived || e.Step == StepBounced { // may come late
		g.lines = slices.Insert(g.lines, 0, line)
	} else {
		g.lines = append(g.lines, line)
	}
	g.matches = g.matches || s.Match(line)
	if e.About != "" {
		g.about = e.About
	}
	if e.Step == StepCompleted && g.ended == 0 {
		g.ended = s.number
		s.finished = append(s.finished, g)
	}
	if s.Related { // whose notification may come is not known before the end
		return nil
	}
	for len(s.finished) > 0 && s.number-s.finished[0].ended > grace {
		if err := s.give(s.finished[0]); err != nil {
			return err
		}
		s.finished = s.finished[1:]
	}
	return nil
}

// give gives a mail's lines if it matches, and forgets it.
func (s *Search) give(g *gathered) error {
	if g.gone {
		return nil
	}
	g.gone = true
	delete(s.mails, g.id)
	for _, line := range g.lines {
		s.held -= len(line)
	}
	if !g.matches {
		return nil
	}
	return s.Out(g.lines)
}

// Close gives what is left: completed mails, and those whose end is not in the log, in the
// order in which they began.
func (s *Search) Close() error {
	if s.Related {
		s.relate()
	}
	rest := make([]*gathered, 0, len(s.mails))
	for _, g := range s.mails {
		rest = append(rest, g)
	}
	slices.SortFunc(rest, func(a, b *gathered) int { return a.first - b.first })
	var errs []error
	for _, g := range rest {
		errs = append(errs, s.give(g))
	}
	return errors.Join(errs...)
}

// relate lets a notification and the mail that it is about match together.
func (s *Search) relate() {
	for _, g := range s.mails {
		if about := s.mails[g.about]; about != nil && (g.matches || about.matches) {
			g.matches, about.matches = true, true
		}
	}
}
