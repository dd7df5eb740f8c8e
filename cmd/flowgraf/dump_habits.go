package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// dumpHabits are options of nfdump that scripts have, beside the newer way to say the
// same.
type dumpHabits struct {
	version, gnuplot  bool
	lz4, bz2          bool
	ident, recompress string
	packets, bytes    string // -l -L
}

// refusedHabits are options of nfdump that are not here, and what to do instead.
var refusedHabits = map[string]string{
	"x": "the extension maps of nfdump 1.6 are not shown: nothing needs them, -v tells whether a file is whole",
	"C": "there is no file of options to read",
	"D": "names of hosts are not looked up",
}

// addFlags adds the options. They are short and hidden, as --help shows the newer ones.
func (h *dumpHabits) addFlags(cmd *cobra.Command, order *string) {
	f := cmd.Flags()
	f.BoolVarP(&h.version, "version", "V", false, "the version, and nothing else")
	f.BoolVarP(&h.gnuplot, "gnuplot", "g", false, "the sums of each file on a line, for gnuplot")
	f.StringVarP(&h.ident, "ident", "i", "", "give the file of -r this `ident`, and nothing else")
	f.StringVarP(&h.recompress, "recompress", "J", "",
		"compress the files anew where they are, by `method`: 0 none, 1 lzo, 2 bz2, 3 lz4, 4 zstd, or its name")
	f.StringVarP(&h.packets, "packet-limit", "l", "", "of a ranking, rows of more packets, or -`number` for less")
	f.StringVarP(&h.bytes, "byte-limit", "L", "", "of a ranking, rows of more bytes, or -`number` for less")
	f.BoolFuncP("sorted", "m", "as -O tstart", func(string) error { // of -m and -O nfdump heeds the last
		*order = "tstart"
		return nil
	})
	f.BoolVarP(&h.lz4, "lz4", "y", false, "as -z lz4")
	f.BoolVarP(&h.bz2, "bz2", "j", false, "as -z bz2")
	for letter := range refusedHabits {
		long := "nfdump-" + letter
		f.StringP(long, letter, "", "")
		f.MarkHidden(long)
	}
	for _, name := range []string{"sorted", "lz4", "bz2"} {
		f.MarkHidden(name)
	}
	f.Lookup("compression").NoOptDefVal = "lzo" // what a bare -z is in nfdump
}

// apply sets what the options are short for, and returns the words that are not the value
// of -z, which may stand behind it as a word of its own.
func (h *dumpHabits) apply(o *dumpOptions, flags *pflag.FlagSet, args []string) ([]string, error) {
	var refused error
	flags.Visit(func(f *pflag.Flag) {
		if why := refusedHabits[f.Shorthand]; why != "" {
			refused = fmt.Errorf("-%s of nfdump: %s", f.Shorthand, why)
		}
	})
	if refused != nil {
		return args, refused
	}
	if err := errors.Join(checkExclusive(flags), o.checkPrinted(flags)); err != nil {
		return args, err
	}
	if flags.Changed("aggregate-by") && o.query.keys == "" {
		return args, errors.New("-A: expected keys, as in -A srcip4/24,dstport, or -a for connections")
	}
	switch {
	case h.lz4:
		o.compression = "lz4"
	case h.bz2:
		o.compression = "bz2"
	case flags.Changed("compression") && o.compression == "lzo":
		if at := compressionIn(args); at >= 0 {
			o.compression = args[at]
			args = slices.Delete(slices.Clone(args), at, at+1)
		}
	}
	return args, nil
}

// limit gives statistics the limits of -l and -L.
func (h *dumpHabits) limit(stats []query.Stat) error {
	for _, l := range []struct {
		option, text, what string
		of                 func(*query.Stat) *query.Limit
	}{
		{"-l", h.packets, "packets", func(s *query.Stat) *query.Limit { return &s.Packets }},
		{"-L", h.bytes, "bytes", func(s *query.Stat) *query.Limit { return &s.Bytes }},
	} {
		if l.text == "" {
			continue
		}
		limit, err := query.ParseLimit(l.text)
		if err != nil {
			return fmt.Errorf("%s: %w", l.option, err)
		}
		if len(stats) == 0 || slices.ContainsFunc(stats, func(s query.Stat) bool { return s.Element == query.Record }) {
			return fmt.Errorf("%s is for -s of an element, as in -s ip/bytes %s 10k: of flows and of rows of -a, -A, "+
				"-b and -B those are chosen with a filter, as in '%s > 10k', rows with -P before it", l.option,
				l.option,
				l.what)
		}
		for i := range stats {
			*l.of(&stats[i]) = limit
		}
	}
	return nil
}

// sayLimits prints the limits, as nfdump does before what is for people.
func sayLimits(out io.Writer, s *query.Stat) {
	if s.Bytes.Set {
		fmt.Fprintf(out, "Byte limit: %s bytes\n", s.Bytes)
	}
	if s.Packets.Set {
		fmt.Fprintf(out, "Packet limit: %s packets\n", s.Packets)
	}
}

// compressionIn returns which of the words is the value of a -z before them, -1 when none is:
// the name of a compression, or the one word without which the others are a filter.
func compressionIn(words []string) int {
	named := slices.IndexFunc(words, func(word string) bool {
		_, _, err := nffile.ParseCompression(word)
		return err == nil
	})
	isFilter := func(words []string) bool {
		_, err := nffilter.Parse(strings.Join(words, " "), nffilter.Options{Countries: true})
		return len(words) == 0 || err == nil
	}
	if named >= 0 || isFilter(words) {
		return named
	}
	for i, word := range words {
		if !strings.Contains(word, " ") && isFilter(slices.Delete(slices.Clone(words), i, i+1)) {
			return i
		}
	}
	return -1
}

// runAction changes files where they are, and says whether it had to.
func (h *dumpHabits) runAction(
	ctx context.Context, out io.Writer, o *dumpOptions, files []string,
) (done bool, err error) {
	switch {
	case h.ident != "" || h.recompress != "":
		return true, h.rewrite(ctx, out, o, files)
	}
	return false, nil
}

// rewrite gives files another ident, or compresses them anew, where they are.
func (h *dumpHabits) rewrite(ctx context.Context, out io.Writer, o *dumpOptions, files []string) error {
	opt := nffile.Options{Extended: true, Ident: h.ident}
	if h.ident != "" && len(files) != 1 {
		return errors.New("-i: expected one file, named with -r")
	}
	if err := nffile.CheckIdent(h.ident); err != nil {
		return fmt.Errorf("-i: %w", err)
	}
	var r archive.Repairer
	defer r.Close()
	for _, path := range files {
		f, err := nffile.OpenFile(path)
		if err != nil {
			return err
		}
		was := f.Ident()
		opt.Compression, opt.Level = f.Header().Compression, 0
		f.Close()
		if h.recompress != "" {
			name := h.recompress
			if n, err := strconv.ParseUint(name, 10, 8); err == nil { // nfdump's numbers are those of the files
				name = nffile.Compression(n).String()
			}
			if opt.Compression, opt.Level, err = nffile.ParseCompression(name); err != nil {
				return fmt.Errorf("-J: %w", err)
			}
		}
		err = r.Replace(path, func(into string) error {
			_, err := query.Input{Files: []string{path}}.Write(ctx, into, opt)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s is what it was: %w", path, err)
		}
		if h.ident != "" {
			fmt.Fprintf(out, "%s ident: %s -> %s\n", path, was, h.ident)
		} else {
			fmt.Fprintf(out, "File %s compression changed\n", path)
		}
	}
	return nil
}

// plot prints the sums of each file on a line, as nfdump's -g does: the time is that of
// the file's name.
func plot(ctx context.Context, out io.Writer, files []string) error {
	fmt.Fprintln(out, "# yyyy-mm-dd HH:MM:SS,flows,packets,bytes")
	var errs []error
	for _, path := range files {
		_, stat, err := query.Info(ctx, []string{path})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		begin, ok := archive.SlotTime(filepath.Base(path), time.UTC) // printed as it stands there
		if !ok {
			errs = append(errs, fmt.Errorf("%s: no time in its name, expected nfcapd.YYYYmmddHHMM", path))
			continue
		}
		fmt.Fprintf(out, "%s,%d,%d,%d\n", begin.Format(time.DateTime), stat.Flows, stat.Packets, stat.Bytes)
	}
	return errors.Join(errs...)
}
