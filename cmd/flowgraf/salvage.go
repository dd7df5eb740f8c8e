package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

func newSalvageCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "salvage FILE -w NEWFILE",
		Short: "Get every whole block out of a damaged flow file",
		Long: `Salvage copies what can be read of a damaged, cut or still growing nfdump file into
a new one that nfdump reads, with right statistics: the flows that flowgraf dump
shows of it. What nfdump refuses because its end is missing, comes out up to the
last whole block; behind damage in the midst the next sound block is searched for,
and in a block with a damaged record the others are kept. Where the file header is
damaged, all layouts and compressions are tried. Files of nfdump 1.6 and 1.8 become
files of nfdump 1.7.

What is lost is named on standard error. The new file must not exist; there is
none when nothing could be salvaged, or when salvage is interrupted.

The exit code is 1 when anything is wrong with the file, also when there is a new one:
standard output then has a line of it. It is 0 for a file that is whole, or is still
growing, and 2 when the command line is wrong.`,
		Example: `  flowgraf salvage nfcapd.202611221200 -w nfcapd.202611221200.whole`,
		Args:    files(1, 1, "one FILE to salvage, and the new one behind -w"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return usageError{errors.New("expected -w NEWFILE, the file to write")}
			}
			return salvage(cmd, args[0], to)
		},
	}
	cmd.Flags().StringVarP(&to, "write", "w", "", "the new `file`")
	return cmd
}

// salvage writes what can be read of a file into a new one, and says what was wrong with it.
func salvage(cmd *cobra.Command, from, to string) error {
	if _, err := os.Lstat(to); err == nil { // before all of the file is read
		return fmt.Errorf("-w %s: file exists, expected the name of a new one", to)
	}
	p := newProgress(cmd.Context(), cmd.ErrOrStderr(), false)
	p.file(0, 1, from)
	report, err := nffile.Verify(from, p.bytes)
	var got nffile.Salvaged
	if err == nil {
		got, err = nffile.Salvage(from, to, p.bytes)
	}
	p.clear()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted, %s is not written", to)
	}
	if err != nil {
		return err
	}
	for _, gap := range got.Gaps {
		fmt.Fprintf(cmd.ErrOrStderr(), "lost: %v\n", gap)
	}
	if len(got.Gaps) == 0 { // no flow
		for _, problem := range report.Problems {
			fmt.Fprintf(cmd.ErrOrStderr(), "wrong: %v\n", problem)
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d flows in %d blocks; %d bytes are lost, %d flows are lost\n", to, got.Flows,
		got.Blocks, got.Lost, got.LostFlows)
	if !report.Sound() {
		return fmt.Errorf("%s is damaged: %s has what can be read of it", from, to)
	}
	return nil
}
