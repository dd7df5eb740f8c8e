// Command flowgraf is flow telemetry for Telegraf in one binary: an agent with
// the flow input, the nfdump archive and the mail relay; and the tools that go
// with them. Each subcommand has a file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/cmd/flowgraf/startup"
	"github.com/flowgraf/flowgraf/relay/sendmail"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := runCommand(ctx, newRootCommand(), os.Args, os.Stderr)
	stop()
	os.Exit(code)
}

// runCommand runs a command line, whose first word is the name of the program, and returns the
// exit code. What went wrong is told on stderr.
func runCommand(ctx context.Context, root *cobra.Command, line []string, stderr io.Writer) int {
	started := false
	args := telegrafArguments(line[1:])
	if command := calledAs[strings.TrimSuffix(filepath.Base(line[0]), ".exe")]; command != nil {
		args = append(slices.Clone(command), line[1:]...)
	}
	root.SetArgs(args)
	noteStart(root, &started)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "flowgraf:", asTyped(cmd.Flags(), args, err.Error()))
	if !started {
		fmt.Fprintf(stderr, "Try '%s --help'\n", cmd.CommandPath())
	}
	if coded := new(sendmail.Error); errors.As(err, &coded) {
		return int(coded.Code)
	}
	if cmd.Name() == "dump" && !errors.As(err, new(filterError)) {
		return exitFailure // nfdump's for all but filters
	}
	if !started {
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

// noteStart makes c and every command below it set started when it begins: what
// fails before is a wrong command line. From then on garbage is collected.
func noteStart(c *cobra.Command, started *bool) {
	if runE := c.RunE; runE != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			*started = true
			startup.Done()
			return runE(cmd, args)
		}
	}
	for _, below := range c.Commands() {
		noteStart(below, started)
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
	var agent agentOptions
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

Without a command it is the agent and takes what telegraf takes, so it can stand
in telegraf's place in a unit or a script: flowgraf -config telegraf.conf

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration.`,
		Version:       versionString(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().NFlag() == 0 {
				return cmd.Help()
			}
			return agent.runUntilStopped(cmd.Context())
		},
	}
	root.SetFlagErrorFunc(wrongOption)
	agent.addFlags(root)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newAgentCommand(),
		newAnonymiseCommand(),
		newCheckCommand(),
		newConfigCommand(),
		newDemoCommand(),
		newDumpCommand(),
		newExpireCommand(),
		newGenerateCommand(),
		newIndexCommand(),
		newLicencesCommand(),
		newManCommand(),
		newNfcapdCommand("nfcapd", 9995),
		newNfcapdCommand("sfcapd", 6343),
		newPluginCommand(),
		newQueueCommand(),
		newRelayCommand(),
		newRepairCommand(),
		newReplayCommand(),
		newSalvageCommand(),
		newSendmailCommand(),
		newTraceCommand(),
		newVerifyCommand(),
		newVersionCommand(),
		newWebCommand(),
	)
	eachCommand(root, func(c *cobra.Command) { c.PreRunE = checkFlags })
	return root
}

// telegrafArguments gives the command line with a second dash before the long options
// of the agent that have one: Telegraf takes both, and its unit has -config.
func telegrafArguments(args []string) []string {
	if len(args) == 0 || !strings.HasPrefix(args[0], "-") && args[0] != "agent" {
		return args
	}
	known := newAgentCommand().Flags()
	args = slices.Clone(args)
	for i, arg := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		switch {
		case arg == "--":
			return args
		case len(name) > 1 && len(name) < len(arg) &&
			(known.Lookup(name) != nil || name == "version" || name == "help"):
			args[i] = "-" + arg
		}
	}
	return args
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, and that of Telegraf in it",
		Example: `  flowgraf version`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "flowgraf version %s, with Telegraf %s\n", versionString(),
				telegrafVersion())
			return err
		},
	}
}

// telegrafVersion returns the version of the module that is linked.
func telegrafVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/influxdata/telegraf" {
				return strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return "(unknown)"
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
