package main

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
)

// checker is a plugin that can tell whether it could start now: whether its
// port is free, its directory writable. It leaves everything as it was.
type checker interface {
	Check() error
}

func newCheckCommand() *cobra.Command {
	var files, directories []string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell whether a configuration would run: options, ports, directories",
		Long: `Check loads the configuration as the agent does, lets every plugin check its
options, and asks flowgraf's own plugins whether they could start now: whether
their ports are free and their directories writable. Nothing is sent, and
nothing is left behind.

It ends with 0 when all is well, with 1 when a port or a directory is not to be
had, with 2 when the configuration is wrong. Run it as the user that the agent
runs as, and while the agent is stopped: a running agent holds its ports.`,
		Example: `  flowgraf check --config telegraf.conf`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return check(cmd.OutOrStdout(), files, directories)
		},
	}
	cmd.Flags().StringArrayVar(&files, "config", nil, "configuration `file`, may be repeated")
	cmd.Flags().StringArrayVar(&directories, "config-directory", nil, "`directory` with *.conf files, may be repeated")
	return cmd
}

func check(out io.Writer, files, directories []string) error {
	o := agentOptions{config: files, directories: directories, quiet: true}
	c, err := o.load()
	if err != nil {
		return usageError{err}
	}
	if err := logger.SetupLogging(&logger.Config{Quiet: true, InstanceName: "flowgraf"}); err != nil {
		return err
	}
	defer logger.CloseLogging()
	if err := initPlugins(c); err != nil {
		return usageError{fmt.Errorf("the configuration is wrong:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))}
	}
	failed := checkPlugins(out, c)
	if failed > 0 {
		return fmt.Errorf("%d of the plugins could not start", failed)
	}
	fmt.Fprintln(out, "The configuration is valid.")
	return nil
}

// checkPlugins asks each plugin that can tell, prints what it says, and
// returns how many could not start.
func checkPlugins(out io.Writer, c *config.Config) (failed int) {
	plugins := runningPlugins(c)
	sort.SliceStable(plugins, func(i, j int) bool { return plugins[i].label() < plugins[j].label() })
	for _, p := range plugins {
		can, ok := p.plugin.(checker)
		if !ok {
			fmt.Fprintf(out, "ok      %s: options\n", p.label())
			continue
		}
		if err := can.Check(); err != nil {
			failed++
			fmt.Fprintf(out, "failed  %s: %v\n", p.label(), err)
			continue
		}
		fmt.Fprintf(out, "ok      %s: options, ports, directories\n", p.label())
	}
	return failed
}
