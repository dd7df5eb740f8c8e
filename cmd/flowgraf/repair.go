package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/archive"
)

func newRepairCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "repair FILE... | DIR...",
		Short: "Mend damaged flow files where they are",
		Long: `Repair looks at flow files as flowgraf verify does, and mends those that are damaged:
a new file with all flows that can be read of the old one, and right statistics, takes
its place at once; a crash leaves the old or the new one. It is what flowgraf salvage
writes. The old file is kept beside it, as nfcapd.current.damaged- and its name, which
programs of nfdump pass over and expiry does not remove: remove it when nobody needs
it any more.

Of a directory all complete files in its tree are looked at. Nothing is done in a
directory that an agent, or another program with flowgraf's lock, is writing to, nor to
files that are being written (nfcapd.current.*): the agent mends those itself when it
starts. A damaged file of which nothing can be read stays what it is, and files that
are none of nfdump's do.

The exit code is 1 when a file was damaged, also when it is mended now, and 2 when the
command line is wrong.`,
		Example: `  flowgraf repair --dry-run /var/lib/flowgraf/flows
  flowgraf repair /var/lib/flowgraf/flows
  flowgraf repair nfcapd.202611221200`,
		Args: files(1, math.MaxInt, "files or directories to repair"),
		RunE: func(cmd *cobra.Command, args []string) error { return repair(cmd, args, dryRun) },
	}
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "only tell what would be done")
	return cmd
}

// repair mends all files and prints what it has done.
func repair(cmd *cobra.Command, args []string, dryRun bool) error {
	for _, arg := range args { // a wrong name is a mistake, whatever else is named
		if _, err := os.Stat(arg); err != nil {
			return err
		}
	}
	paths, err := archive.Files(args...)
	if err != nil {
		return err
	}
	r := archive.Repairer{DryRun: dryRun}
	defer r.Close()
	out, p := cmd.OutOrStdout(), newProgress(cmd.Context(), cmd.ErrOrStderr(), false)
	left, mended, damaged := 0, 0, 0
	for i, path := range paths {
		p.file(i, len(paths), path)
		done, err := r.Repair(path, p.bytes)
		p.clear()
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("interrupted in %s, %d of %d files are looked at", path, i, len(paths))
		}
		if err != nil {
			left++
			fmt.Fprintf(out, "%s: not mended: %v\n", path, err)
			continue
		}
		if done.Sound {
			continue
		}
		mended++
		if done.Damaged {
			damaged++
		}
		verb := "mended"
		if dryRun {
			verb = "can be mended"
		}
		fmt.Fprintf(out, "%s: %s; %d flows in %d blocks, %d bytes and %d flows are lost\n", path, verb, done.Flows,
			done.Blocks, done.Lost, done.LostFlows)
		for _, gap := range done.Gaps {
			fmt.Fprintf(out, "  %v\n", gap)
		}
	}
	did := "mended"
	if dryRun {
		did = "to be mended"
	}
	fmt.Fprintf(out, "files: %d, sound %d, %s %d, not mended %d\n", len(paths), len(paths)-mended-left, did, mended,
		left)
	switch {
	case dryRun && left+damaged > 0:
		return fmt.Errorf("%d of %d files are damaged", left+damaged, len(paths))
	case left > 0:
		return fmt.Errorf("%d of %d files are damaged and not mended", left, len(paths))
	case damaged > 0:
		return fmt.Errorf("%d of %d files were damaged: what they were is kept beside them", damaged, len(paths))
	}
	return nil
}
