package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// exitFilter is the exit code for a filter that is wrong: nfdump's.
const exitFilter = 254

// filterError is a filter that is wrong.
type filterError struct{ err error }

func (e filterError) Error() string { return e.err.Error() }
func (e filterError) Unwrap() error { return e.err }

// lookupTimeout bounds how long the name of a host in a filter may take.
const lookupTimeout = 10 * time.Second

// maxFilter bounds a file with a filter, in bytes.
const maxFilter = 1 << 20

// readFilter returns the filter of the command line, which may be several words, or of a
// file; nil when there is none. Of both that of the command line counts, as for nfdump.
// Times are of a zone, nil is the local one; countries says that those of addresses are
// known. What a user of nfdump should know of the filter is printed on warnings.
func readFilter(words []string, file string, zone *time.Location, countries bool,
	warnings io.Writer) (*nffilter.Filter, error) {
	text := strings.Join(words, " ")
	switch {
	case file != "" && text != "":
		fmt.Fprintln(warnings, "flowgraf: filter: that of the command line counts, not that of -f")
	case file != "":
		var err error
		if text, err = readSmall(file); err != nil {
			return nil, fmt.Errorf("-f: %w", err)
		}
	case text == "":
		return nil, nil
	}
	dir := filepath.Dir(file)
	f, err := nffilter.Parse(text, nffilter.Options{
		Location: zone, Countries: countries,
		Lookup: func(name string) ([]netip.Addr, error) {
			ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
			defer cancel()
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		},
		Include: func(name string) (string, error) {
			if !filepath.IsAbs(name) {
				name = filepath.Join(dir, name)
			}
			return readSmall(name)
		},
	})
	if err != nil {
		return nil, filterError{err}
	}
	for _, hint := range f.Hints() {
		fmt.Fprintln(warnings, "flowgraf: filter:", hint)
	}
	return f, nil
}

// readSmall reads a file of at most maxFilter bytes.
func readSmall(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFilter {
		return "", fmt.Errorf("%s: expected a regular file of at most %d bytes", name, maxFilter)
	}
	b, err := os.ReadFile(name)
	return string(b), err
}
