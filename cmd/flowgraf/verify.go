package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
)

func newVerifyCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "verify FILE... | DIR...",
		Short: "Say whether flow files are whole, and what is wrong where",
		Long: `Verify reads nfdump files of all layouts from end to end: every block is
unpacked, every record decoded, the statistics are compared with the flows. It
prints a line for each file, and below it what is wrong at which offset.

Of a directory it takes all files in its tree, also those being written
(nfcapd.current.*): such a file is sound when its whole blocks are. A file that
is not one of nfdump's is a problem, since nfdump -R stops at it.

The exit code is 1 when anything is wrong. What can be read of a damaged file,
flowgraf salvage gets out.`,
		Example: `  flowgraf verify /var/lib/flowgraf/flows
  flowgraf verify -q nfcapd.202611221200 nfcapd.202611221205`,
		Args: files(1, math.MaxInt, "files or directories to verify"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return verify(cmd, args, quiet)
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only files with problems, no progress")
	return cmd
}

// verify checks all files and prints what it finds.
func verify(cmd *cobra.Command, args []string, quiet bool) error {
	files, err := allFiles(args)
	if err != nil {
		return err
	}
	out, wrong := cmd.OutOrStdout(), 0
	p := newProgress(cmd.Context(), cmd.ErrOrStderr(), quiet)
	for i, file := range files {
		p.file(i, len(files), file)
		r, err := nffile.Verify(file, p.bytes)
		p.clear()
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("interrupted in %s, %d of %d files are verified", file, i, len(files))
		}
		if _, gone := os.Lstat(file); errors.Is(err, os.ErrNotExist) && gone != nil {
			continue // it has got its final name, or has expired, since it was listed
		}
		if err != nil {
			r.Problems = append(r.Problems, err)
		}
		if !r.Sound() {
			wrong++
		} else if quiet {
			continue
		}
		fmt.Fprintln(out, r.String())
		for _, problem := range r.Problems {
			fmt.Fprintf(out, "  %v\n", problem)
		}
		if r.More > 0 {
			fmt.Fprintf(out, "  and %d more problems\n", r.More)
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d files are damaged", wrong, len(files))
	}
	return nil
}

// allFiles returns the files that are named, and all files below the directories. What
// cannot be read there is among them, to be told.
func allFiles(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		if _, err := os.Stat(arg); err != nil {
			return nil, err
		}
		err := archive.Walk(arg, func(e archive.Entry) error {
			files = append(files, e.Path)
			return nil
		}, func(path string, err error) error {
			if path == arg {
				return err
			}
			files = append(files, path)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no files", strings.Join(args, " "))
	}
	return files, nil
}

// progress shows on a terminal how far long work is.
type progress struct {
	ctx   context.Context
	out   io.Writer // nil shows nothing
	next  time.Time
	label string
	shown bool
}

// progressAfter is how long work is silent, and the time between two lines.
const progressAfter = time.Second

// newProgress returns a progress on w when it is a terminal. The end of ctx ends the
// work.
func newProgress(ctx context.Context, w io.Writer, quiet bool) *progress {
	p := &progress{ctx: ctx, next: time.Now().Add(progressAfter)}
	if f, ok := w.(*os.File); ok && !quiet {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.out = w
		}
	}
	return p
}

// file names the file at hand.
func (p *progress) file(i, n int, path string) {
	p.label = fmt.Sprintf("%d of %d, %s", i+1, n, filepath.Base(path))
}

// say shows how far the work is.
func (p *progress) say(format string, args ...any) {
	if p.out == nil || time.Now().Before(p.next) {
		return
	}
	p.next, p.shown = time.Now().Add(progressAfter), true
	fmt.Fprintf(p.out, "\r\x1b[K"+format, args...)
}

// bytes shows how much of the file is done. It is an nffile.Progress.
func (p *progress) bytes(done, size int64) error {
	if err := p.ctx.Err(); err != nil || p.out == nil || time.Now().Before(p.next) {
		return err
	}
	p.next, p.shown = time.Now().Add(progressAfter), true
	fmt.Fprintf(p.out, "\r\x1b[K%s: %d of %d MB", p.label, done>>20, size>>20)
	return nil
}

// clear takes the line away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}
