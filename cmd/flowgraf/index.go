package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/index"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

func newIndexCommand() *cobra.Command {
	var o indexOptions
	cmd := &cobra.Command{
		Use:   "index FILE... | DIR...",
		Short: "Make indexes, with which one host is found in a day of flows at once",
		Long: `Index makes an index of each flow file: which addresses, ports and AS numbers each of
its blocks can hold. With it flowgraf dump reads only the blocks that can match, for a
filter as 'ip 192.0.2.1' or 'dst port 22 and src as 64500'; a host that is not there
costs hardly any time. What is found is the same with and without.

The index of nfcapd.202611221200 is nfcapd.current.index-nfcapd.202611221200 beside it: a
name that programs of nfdump pass over. It belongs to the file as it is: when the file
changes, the index is not used any more, and made anew here. Those whose file is gone
are removed. flowgraf expire, and the limits of outputs.nfdump, remove it with its
file; outputs.nfdump makes it by itself with index = true.

Of a directory all complete files in its tree are taken. Damaged files get no index, nor
do files of nfdump 1.6; they are named, and the exit code is 1.`,
		Example: `  flowgraf index /var/lib/flowgraf/flows
  flowgraf index nfcapd.202611221200 nfcapd.202611221205
  flowgraf index --remove /var/lib/flowgraf/flows`,
		Args: files(1, math.MaxInt, "files or directories to index"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.buildIndexes(cmd, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.force, "force", false, "make those anew too that are current")
	f.BoolVar(&o.remove, "remove", false, "remove all indexes instead")
	groupFlags(cmd, excludeEachOther, "force", "remove")
	return cmd
}

// useIndexes lets a query pass over blocks that hold nothing of what it looks for, by the
// indexes that files have. They know the AS numbers of flows, not those of -G.
func useIndexes(in *query.Input, warnings io.Writer) {
	if in.AS != nil && in.Filter != nil && in.Filter.Fields().Meets(flow.SetOf(flow.SrcAS, flow.DstAS)) {
		return
	}
	guide := index.NewGuide(in.Filter, in.Window.From, in.Window.To, func(format string, args ...any) {
		fmt.Fprintf(warnings, "flowgraf: "+format+"\n", args...)
	})
	if guide != nil {
		in.Omit = guide.Omit
	}
}

// indexOptions are the flags of flowgraf index.
type indexOptions struct{ force, remove bool }

// indexing is one run.
type indexing struct {
	force bool

	mu                     sync.Mutex
	made, current, removed int
	bytes                  int64
	problems               []error
}

func (o *indexOptions) buildIndexes(cmd *cobra.Command, args []string) error {
	run := indexing{force: o.force}
	for _, arg := range args {
		run.tidy(arg, o.remove)
	}
	if o.remove {
		fmt.Fprintf(cmd.OutOrStdout(), "indexes removed: %d\n", run.removed)
		return errors.Join(run.problems...)
	}
	paths, err := archive.Files(args...)
	if err != nil {
		return err
	}
	run.all(cmd.Context(), paths, newProgress(cmd.Context(), cmd.ErrOrStderr(), false))
	fmt.Fprintf(cmd.OutOrStdout(), "files: %d\nindexes made: %d, %d bytes\nindexes that were current: %d\n"+
		"indexes removed, whose files are gone: %d\n", len(paths), run.made, run.bytes, run.current, run.removed)
	if cmd.Context().Err() != nil {
		run.problems = append(run.problems, errors.New("interrupted"))
	}
	return errors.Join(run.problems...)
}

// problem notes an error.
func (r *indexing) problem(err error) {
	const most = 20
	switch {
	case len(r.problems) < most:
		r.problems = append(r.problems, err)
	case len(r.problems) == most:
		r.problems = append(r.problems, errors.New("more problems are not shown"))
	}
}

// tidy removes the indexes below a directory whose files are gone, or all of them.
func (r *indexing) tidy(root string, all bool) {
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		file, ok := index.FileOf(path)
		if err != nil || !ok {
			return err
		}
		if _, err := os.Lstat(file); !all && !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		r.removed++
		return nil
	})
	if info, statErr := os.Stat(root); all && statErr == nil && !info.IsDir() { // a file's own
		if err = os.Remove(index.Path(root)); err == nil {
			r.removed++
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		r.problem(err)
	}
}

// all makes the indexes of files, several at once.
func (r *indexing) all(ctx context.Context, paths []string, p *progress) {
	next := make(chan string)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for path := range next {
				r.one(path)
			}
		})
	}
	for i, path := range paths {
		if ctx.Err() != nil {
			break
		}
		next <- path
		p.say("%d of %d files", i+1, len(paths))
	}
	close(next)
	wg.Wait()
	p.clear()
}

// one makes the index of a file, unless it has one that is right.
func (r *indexing) one(path string) {
	if !r.force {
		if x, err := index.Open(path); err == nil {
			x.Close()
			r.mu.Lock()
			defer r.mu.Unlock()
			r.current++
			return
		}
	}
	built, err := index.Build(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.problem(err)
		return
	}
	r.made++
	r.bytes += built.Bytes
}
