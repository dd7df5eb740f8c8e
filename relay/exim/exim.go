// Package exim reads the settings of Debian's exim4, update-exim4.conf.conf
// (update-exim4.conf(8)), and writes what does the same in the configuration of
// outputs.smtp_relay. It promises that this never takes a mail that exim would not
// have taken, and sends none elsewhere: what cannot be taken over is an error when
// leaving it out would open something, and a comment when it closes. The file is
// read as text, nothing in it is executed.
package exim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Settings are the values of update-exim4.conf.conf by name.
type Settings map[string]string

// Read reads assignments of the shell, name='value', without expansions. The error
// names the line.
func Read(in io.Reader) (Settings, error) {
	s := Settings{}
	scanner := bufio.NewScanner(in)
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found || !isName(name) {
			return nil, fmt.Errorf("line %d: expected name='value', found %q", number, line)
		}
		value, err := unquote(value)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", number, name, err)
		}
		s[name] = value
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(s) == 0 {
		return nil, errors.New("no setting is in it: expected Debian's /etc/exim4/update-exim4.conf.conf")
	}
	return s, nil
}

func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func unquote(s string) (string, error) {
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') {
		end := strings.IndexByte(s[1:], s[0])
		rest := ""
		if end >= 0 {
			rest = s[end+2:]
		}
		comment := strings.TrimLeft(rest, " \t") // one begins behind a blank
		if end < 0 || comment != "" && (len(comment) == len(rest) || comment[0] != '#') {
			return "", fmt.Errorf("value %q: expected one quoted text", s)
		}
		s = s[1 : end+1]
	} else if strings.ContainsAny(s, " '\";|&<>()~") { // of ~ a shell makes a home
		return "", fmt.Errorf("value %q: expected quotes around it", s)
	}
	if strings.ContainsAny(s, "$`\\") {
		return "", fmt.Errorf("value %q: expected a text without $, ` and \\", s)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return "", fmt.Errorf("value %q: expected printable text", s)
		}
	}
	return s, nil
}
