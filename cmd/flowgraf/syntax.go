package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/influxdata/toml"
)

// syntaxMistake says whether Telegraf's complaint about a file is one of TOML itself, and
// where that is: the parser names a line at or behind the mistake, and what has to be
// left out for it to go on tells which one it is.
func syntaxMistake(file string, data []byte, complaint error) (cut section, err error) {
	_, syntax := toml.Parse(data)
	if syntax == nil || !strings.Contains(complaint.Error(), "error parsing data") {
		return section{}, nil
	}
	line := syntaxLine(syntax)
	cut = section{line, len(bytes.Split(data, []byte("\n")))}
	for _, candidate := range suspects(data, line, strings.Contains(syntax.Error(), "conflict")) {
		if _, next := toml.Parse(candidate.emptied(data)); next == nil || syntaxLine(next) > line {
			cut = candidate
			break
		}
	}
	text := syntax.Error()
	if m := errorLine.FindString(text); m != "" {
		text = strings.TrimSpace(strings.Replace(text, m, "", 1))
	}
	if name := cut.option(data); name != "" && !strings.Contains(text, "`"+name+"'") {
		text = name + ": " + text
	}
	return cut, fmt.Errorf("%s:%d: %s", file, cut.from, text)
}

// maxSuspects bounds how often a file is parsed for one mistake.
const maxSuspects = 30

// syntaxLine gives the line that a parser's error names, 0 without one.
func syntaxLine(err error) (line int) {
	if m := errorLine.FindStringSubmatch(err.Error()); m != nil {
		fmt.Sscan(m[1], &line)
	}
	return line
}

// section is a part of a file, from one line to another, both in it and counted from 1.
type section struct{ from, to int }

// option gives the name of the option that a section begins with, "" when it begins with
// none.
func (s section) option(data []byte) string {
	lines := bytes.Split(data, []byte("\n"))
	if s.from < 1 || s.from > len(lines) {
		return ""
	}
	if m := optionLine.FindSubmatch(lines[s.from-1]); m != nil {
		return string(m[1])
	}
	return ""
}

// emptied gives a file without the section, with its lines where they were.
func (s section) emptied(data []byte) []byte {
	var out bytes.Buffer
	number := 0
	for line := range bytes.Lines(data) {
		if number++; number < s.from || number > s.to {
			out.Write(line)
		} else if bytes.HasSuffix(line, []byte("\n")) {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// suspects gives the parts of a file that may be why a parser stops at a line, the likely
// and small ones first: the last line before it that says something, all since the option
// before it began, and itself, or only itself when what it says is there twice; the table;
// and texts of several lines, which may have no end.
func suspects(data []byte, line int, twice bool) (list []section) {
	lines := bytes.Split(data, []byte("\n"))
	line = min(line, len(lines))
	before := line - 1
	for before > 0 && len(bytes.TrimSpace(lines[before-1])) == 0 {
		before--
	}
	option, table := 0, 0
	for i := line - 1; i > 0 && table == 0; i-- {
		switch {
		case tableLine.Match(lines[i-1]):
			table = i
		case optionLine.Match(lines[i-1]) && option == 0:
			option = i
		}
	}
	end := line
	for end < len(lines) && !tableLine.Match(lines[end]) {
		end++
	}
	all := []section{{before, before}, {option, before}, {line, line}, {before, line}, {option, line}}
	if twice {
		all = []section{{line, line}}
	}
	for i := line; i > 0 && len(all) < maxSuspects; i-- {
		if bytes.Contains(lines[i-1], []byte(`"""`)) || bytes.Contains(lines[i-1], []byte("'''")) {
			all = append(all, section{i, i})
		}
	}
	all = append(all, section{table, before}, section{table, end}, section{line, end})
	for _, s := range all {
		if s.from > 0 && s.from <= s.to {
			list = append(list, s)
		}
	}
	return list
}
