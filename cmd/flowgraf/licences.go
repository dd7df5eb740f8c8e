package main

import (
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

//go:generate go run ./notices . notices.txt

//go:embed notices.txt
var notices string

func newLicencesCommand() *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use:   "licences",
		Short: "Print the licences of what the binary contains",
		Long: `Print the modules of others that this binary contains, with their versions and
licences, and the texts of these. flowgraf's own licence is in its LICENSE file.`,
		Example: `  flowgraf licences --list
  flowgraf licences | less`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := notices
			if list {
				text, _, _ = strings.Cut(text, "\n\n=")
				text += "\n"
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), text); err != nil {
				return fmt.Errorf("writing the licences: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "only the modules, their versions and licences")
	return cmd
}
