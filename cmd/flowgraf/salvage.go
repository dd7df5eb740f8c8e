package main

import (
	"context"
	"errors"
	"fmt"

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
none when nothing could be salvaged, or when salvage is interrupted. The exit code
is 0 when there is a new file, also when something is lost.`,
		Example: `  flowgraf salvage nfcapd.202611221200 -w nfcapd.202611221200.whole`,
		Args:    files(1, 1, "one FILE to salvage, and the new one behind -w"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return usageError{errors.New("expected -w NEWFILE, the file to write")}
			}
			p := newProgress(cmd.Context(), cmd.ErrOrStderr(), false)
			p.file(0, 1, args[0])
			got, err := nffile.Salvage(args[0], to, p.bytes)
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
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d flows in %d blocks; %d bytes are lost, %d flows are lost\n", to,
				got.Flows, got.Blocks, got.Lost, got.LostFlows)
			return nil
		},
	}
	cmd.Flags().StringVarP(&to, "write", "w", "", "the new `file`")
	return cmd
}
