package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/anonymise"
	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
)

func newAnonymiseCommand() *cobra.Command {
	var o anonymiseOptions
	cmd := &cobra.Command{
		Use:     "anonymise -K KEY -r FILE|DIR [-w NEWFILE]",
		Aliases: []string{"anonymize"},
		Short:   "Replace all addresses in flow files, so that they can be given away",
		Long: `Anonymise replaces the addresses in nfdump files: sources and destinations, next hops,
translated addresses, ends of tunnels, and exporters. Addresses that begin alike
begin alike afterwards, over as many bits (Crypto-PAn), so that networks remain
networks. The same key makes the same of an address in every file; without the key
nothing leads back. IPv4 addresses become what nfdump's nfanon makes of them with this
key. IPv6 addresses do not: nfanon 1.7.1 does not keep their prefixes.

-K takes 32 characters, or 0x and 64 hexadecimal digits. On a command line others on the
machine can read it: --key-file reads it from a file.

What else could tell who somebody is, goes too: numbers of autonomous systems become 0,
as with nfanon; MAC addresses, names of users, labels, first bytes of flows, sampled
frames, and the names of interfaces, VRFs and applications are left out. --keep keeps
some of them. Ports, times, counters, VLANs and interface numbers stay.

With -w all flows go into one new file. Without it each file is replaced, once it has
been read to its end without damage: what was in it is gone then, and so is its
index; its compression stays. Files that are being written are left alone.

The exit code is 1 when a file could not be read to its end: it is named, stays what it
was, and there is no new file. It is 2 when the command line is wrong.`,
		Example: `  flowgraf anonymise --key-file secret -r nfcapd.202611221200 -w to-give-away.nf
  flowgraf anonymise -K 0x$(xxd -l 32 -p -c 64 /dev/urandom) -r nfcapd.202611221200 -w x.nf
  flowgraf anonymise --key-file secret --keep as,mac -r /srv/copy-of-flows`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.anonymise(cmd) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.key, "key", "K", "", "the `key`: 32 characters, or 0x and 64 hexadecimal digits")
	f.StringVar(&o.keyFile, "key-file", "", "read the key from a `file`")
	f.StringVarP(&o.from, "read", "r", "", "a `file`, or a directory: all complete files in its tree")
	f.StringVarP(&o.to, "write", "w", "", "write all flows into this new `file`, and change nothing else")
	f.StringVar(&o.keep, "keep", "", "keep some of "+anonymise.KeptNames+" (a `list` with commas)")
	f.StringVarP(&o.compression, "compression", "z", "lz4", "of the file of -w: lz4, none, lzo, bz2 or zstd")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no line for each file")
	groupFlags(cmd, excludeEachOther, "key", "key-file")
	return cmd
}

// anonymiseOptions are the flags of flowgraf anonymise.
type anonymiseOptions struct {
	key, keyFile, from, to, keep, compression string
	quiet                                     bool
}

func (o *anonymiseOptions) anonymise(cmd *cobra.Command) error {
	if o.to == "" && cmd.Flags().Changed("compression") {
		return usageError{errors.New("-z is for the new file of -w: files that are replaced keep their compression")}
	}
	key, err := o.readKey()
	if err != nil {
		return err
	}
	kept, err := anonymise.ParseKept(o.keep)
	if err != nil {
		return usageError{fmt.Errorf("--keep: %w", err)}
	}
	if o.from == "" {
		return usageError{errors.New("expected -r FILE or a directory")}
	}
	paths, err := archive.Files(o.from)
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("%s: no complete flow files here", o.from)
	}
	if err != nil {
		return err
	}
	m := anonymise.NewMapping(key)
	out := cmd.OutOrStdout()
	if o.quiet {
		out = io.Discard
	}
	p := newProgress(cmd.Context(), cmd.ErrOrStderr(), o.quiet)
	defer p.clear()
	if o.to != "" {
		return o.together(out, paths, m, kept, p)
	}
	return eachInPlace(out, paths, m, kept, p)
}

// readKey returns the key that was given.
func (o *anonymiseOptions) readKey() (key [anonymise.KeySize]byte, err error) {
	text := o.key
	switch {
	case o.keyFile != "":
		if text, err = readSmall(o.keyFile); err != nil {
			return key, fmt.Errorf("--key-file: %w", err)
		}
		text = strings.TrimRight(text, "\r\n")
	case text == "":
		return key, usageError{errors.New("expected a key, with -K or --key-file: 32 characters, or 0x and 64 " +
			"hexadecimal digits")}
	}
	if key, err = anonymise.ParseKey(text); err != nil {
		option := "-K"
		if o.keyFile != "" {
			option = "--key-file"
		}
		return key, usageError{fmt.Errorf("%s: %w", option, err)}
	}
	return key, nil
}

// together writes the flows of all files into one.
func (o *anonymiseOptions) together(out io.Writer, paths []string, m *anonymise.Mapping, kept anonymise.Kept,
	p *progress) error {
	var opt nffile.Options
	var err error
	if opt.Compression, opt.Level, err = nffile.ParseCompression(o.compression); err != nil {
		return usageError{fmt.Errorf("-z: %w", err)}
	}
	if opt.Ident, err = anonymise.IdentOf(paths[0]); err != nil {
		return err
	}
	w, err := anonymise.Create(o.to, m, kept, opt)
	if err != nil {
		return err
	}
	for i, path := range paths {
		p.file(i, len(paths), path)
		if err = w.Add(path, p.bytes); err != nil {
			break
		}
	}
	p.clear()
	if err == nil {
		err = w.Close()
	}
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("interrupted, there is no %s", o.to)
	}
	if err != nil {
		return errors.Join(err, w.Abandon())
	}
	_, err = fmt.Fprintf(out, "%s: %d flows of %d files\n", o.to, w.Flows(), len(paths))
	return err
}

// eachInPlace replaces each file. One that it cannot replace stays what it was, and the
// others are replaced all the same.
func eachInPlace(out io.Writer, paths []string, m *anonymise.Mapping, kept anonymise.Kept, p *progress) error {
	var errs []error
	for i, path := range paths {
		if p.ctx.Err() != nil {
			return errors.Join(append(errs, fmt.Errorf("interrupted, %d of %d files are anonymised", i, len(paths)))...)
		}
		if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
			errs = append(errs, fmt.Errorf("%s is a symbolic link, which is not replaced: name the file itself", path))
			continue
		}
		p.file(i, len(paths), path)
		flows, err := anonymise.File(path, m, kept, p.bytes)
		p.clear()
		if errors.Is(err, context.Canceled) {
			return errors.Join(append(errs, fmt.Errorf("interrupted, %d of %d files are anonymised", i, len(paths)))...)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(out, "%s: %d flows\n", path, flows)
	}
	return errors.Join(errs...)
}
