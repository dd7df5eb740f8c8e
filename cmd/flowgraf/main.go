// Command flowgraf is flow telemetry for Telegraf in one binary: an agent with
// the flow input, the nfdump archive and the mail relay; and the tools that go
// with them. Each subcommand has a file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = ""

// Exit codes. They are documented in the help of flowgraf.
const (
	exitFailure = 1 // it was tried and failed
	exitUsage   = 2 // the command line or the configuration is wrong
)

// usageError is an error of the command line or the configuration.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	started := false
	root := newRootCommand()
	noteStart(root, &started)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "flowgraf:", err)
	if !started {
		fmt.Fprintf(os.Stderr, "Try '%s --help'\n", cmd.CommandPath())
		return exitUsage
	}
	if errors.As(err, new(filterError)) {
		return exitFilter
	}
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailure
}

// noteStart makes every command below parent set started when it begins: what
// fails before is a wrong command line.
func noteStart(parent *cobra.Command, started *bool) {
	for _, c := range parent.Commands() {
		if runE := c.RunE; runE != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				*started = true
				return runE(cmd, args)
			}
		}
		noteStart(c, started)
	}
}

// files returns a check that a command has from least to most arguments. The error says
// what is expected.
func files(least, most int, expected string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("expected %s, got %d arguments", expected, len(args))
		}
		return nil
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "flowgraf",
		Short: "Flow telemetry for Telegraf: NetFlow and IPFIX into metrics, archive and alerts",
		Long: `flowgraf takes the flows that routers, firewalls and VMware switches export
and gives them to the monitoring you have: metrics for InfluxDB, raw records in
nfdump files, and alert mail through a relay with a queue of its own.

Start here:
  flowgraf demo                            watch all of it at work, nothing to set up
  flowgraf agent --config telegraf.conf    run it for real
  flowgraf check --config telegraf.conf    is the configuration right?

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration.`,
		Version:       versionString(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newAgentCommand(),
		newCheckCommand(),
		newConfigCommand(),
		newDemoCommand(),
		newDumpCommand(),
		newGenerateCommand(),
		newLicencesCommand(),
		newQueueCommand(),
		newRelayCommand(),
		newSalvageCommand(),
		newVerifyCommand(),
	)
	return root
}

// versionString returns the version, from the linker or from the module's
// build information.
func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
