package main

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/relay"
	"github.com/flowgraf/flowgraf/relay/keeper"
)

func newRelayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "relay import-exim FILE",
		Short:   "Make a configuration of the mail relay from that of Debian's exim4",
		Example: `  flowgraf relay import-exim /etc/exim4/update-exim4.conf.conf`,
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("expected relay import-exim FILE")}
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "import-exim FILE",
		Short: "Print what an update-exim4.conf.conf means for outputs.smtp_relay",
		Long: `Import-exim reads the settings that dpkg-reconfigure exim4-config has written and
prints the equivalent table of a telegraf.conf. What cannot be taken over is said
in a comment when the relay is closer without it, and is an error when it would be
more open than exim was; then nothing is printed. The file is only read, nothing in
it is executed.`,
		Example: `  flowgraf relay import-exim /etc/exim4/update-exim4.conf.conf >relay.conf
  flowgraf check --config relay.conf`,
		Args: files(1, 1, "one FILE, as /etc/exim4/update-exim4.conf.conf"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return importExim(cmd.OutOrStdout(), args[0])
		},
	})
	cmd.AddCommand(&cobra.Command{
		Use:    keepCommand,
		Short:  "Keep the mail relay's connections until the next agent starts",
		Long:   `The agent starts this when it stops; it is for its own use.`,
		Hidden: true,
		Args:   noArguments,
		RunE:   func(cmd *cobra.Command, _ []string) error { return keeper.Run(cmd.InOrStdin()) },
	})
	return cmd
}

// keepCommand is the subcommand of relay that has connections between two agents.
const keepCommand = "keep-connections"

// keepConnections lets the mail relay's connections outlive this process, see
// relay.KeepConnections. The helper runs this process's program, also when another one has
// its name meanwhile.
func keepConnections() {
	program := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		var err error
		if program, err = os.Executable(); err != nil {
			return
		}
	}
	relay.KeepConnections(program, "relay", keepCommand)
}

func importExim(out io.Writer, file string) error {
	text, err := relay.ImportExim(file)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	_, err = io.WriteString(out, text)
	return err
}
