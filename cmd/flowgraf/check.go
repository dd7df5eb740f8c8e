package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sort"
	"strings"

	"github.com/influxdata/telegraf/logger"
	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/nfdump"
	"github.com/flowgraf/flowgraf/outputs/smtp_relay"
	"github.com/flowgraf/flowgraf/plugins/inputs/netflow"
)

// checker is a plugin that can tell whether it could start now: whether its
// port is free, its directory writable. It leaves everything as it was. It is asked also
// when Init has refused options, and then tells what it can of the rest.
type checker interface {
	Check() error
}

func newCheckCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell whether a configuration would run: options, ports, directories, smarthosts",
		Long: `Check loads the configuration as the agent does, lets every plugin check its
options, and asks flowgraf's own plugins whether they could start now: whether
their ports are free, their directories writable for this user, and no other
agent has them. It tells all that is wrong, with file and line, and nothing is left
behind.

It warns of what the first day would bring: a receive buffer that the system does not
give, ports below 1024, an archive that outgrows its disk, a clock that nobody sets,
and smarthosts that have no address, do not answer, or have no right certificate: they
are greeted (EHLO), which --offline leaves out. --send-test sends one mail by them, with
their logins. Nothing else is sent.

It ends with 0 when all is well, or but for warnings; with 1 when a port or a
directory is not to be had, or the test mail is not taken; with 2 when the
configuration is wrong. Run it as the user that the agent runs as, and while the
agent is stopped: a running agent holds its ports, spool and archive.`,
		Example: `  flowgraf check --config telegraf.conf
  flowgraf check --config telegraf.conf --send-test noc@example.com`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.check(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.files, "config", nil, "configuration `file`, may be repeated")
	f.StringArrayVar(&o.directories, "config-directory", nil, "`directory` with *.conf files, may be repeated")
	f.BoolVar(&o.offline, "offline", false, "do not ask smarthosts")
	f.StringVar(&o.sendTest, "send-test", "", "send a test mail to this `address`")
	groupFlags(cmd, excludeEachOther, "offline", "send-test")
	return cmd
}

// checkOptions are the flags of flowgraf check.
type checkOptions struct {
	files, directories []string
	offline            bool
	sendTest           string
}

func (k *checkOptions) check(ctx context.Context, out io.Writer) error {
	o := agentOptions{config: k.files, directories: k.directories, quiet: true}
	files, err := configFiles(k.files, k.directories)
	if err != nil {
		return usageError{err}
	}
	c, lost, mistakes := loadAll(files, true)
	if err := logger.SetupLogging(&logger.Config{Quiet: true, InstanceName: "flowgraf"}); err != nil {
		return err
	}
	defer logger.CloseLogging()
	failed := 0
	var plugins []runningPlugin
	if c != nil {
		if err := o.refuse(c, files); err != nil && len(mistakes) == 0 {
			mistakes = append(mistakes, err)
		}
		plugins = runningPlugins(c)
		for i := range plugins {
			p := &plugins[i]
			if err := p.initialise(); err != nil {
				p.wrong = true
				mistakes = append(mistakes, each(withoutConsequences(err, p.label(), lost[p.source]))...)
			}
		}
		mistakes = append(mistakes, conflicts(plugins)...)
		if err := withoutDatagrams(c); err != nil {
			mistakes = append(mistakes, err)
		}
		failed = checkPlugins(out, plugins)
		k.warn(ctx, out, plugins)
	}
	if err := errors.Join(mistakes...); err != nil {
		return usageError{fmt.Errorf("the configuration is wrong:\n  %s",
			strings.ReplaceAll(err.Error(), "\n", "\n  "))}
	}
	if failed > 0 {
		return fmt.Errorf("%d of the plugins could not start", failed)
	}
	fmt.Fprintln(out, "The configuration is valid.")
	if k.sendTest == "" {
		return nil
	}
	answer, err := sendTest(ctx, plugins, k.sendTest)
	if err != nil {
		return fmt.Errorf("the test mail to %s is not taken: %w", k.sendTest, err)
	}
	fmt.Fprintf(out, "The test mail to %s is on its way: %s\n", k.sendTest, answer)
	return nil
}

// warn prints what the first day would bring.
func (k *checkOptions) warn(ctx context.Context, out io.Writer, plugins []runningPlugin) {
	tell := func(about string, warnings []string) {
		for _, text := range warnings {
			fmt.Fprintf(out, "warning %s: %s\n", about, text)
		}
	}
	for _, p := range plugins {
		if !p.wrong {
			tell(p.label(), advise(ctx, p.plugin, k.offline))
		}
	}
	tell("this machine", adviseClock())
}

// checkPlugins asks each plugin that can tell, prints what it says, and
// returns how many could not start.
func checkPlugins(out io.Writer, plugins []runningPlugin) (failed int) {
	sort.SliceStable(plugins, func(i, j int) bool { return plugins[i].label() < plugins[j].label() })
	for _, p := range plugins {
		can, ok := p.plugin.(checker)
		var err error
		if ok {
			err = can.Check()
		}
		switch {
		case err != nil:
			failed++
			fmt.Fprintf(out, "failed  %s: %s\n", p.label(), strings.ReplaceAll(err.Error(), "\n", "\n        "))
		case p.wrong: // told as a mistake
		case ok:
			fmt.Fprintf(out, "ok      %s: options, ports, directories\n", p.label())
		default:
			fmt.Fprintf(out, "ok      %s: options\n", p.label())
		}
	}
	return failed
}

// conflicts tells of ports and directories that two plugins want: each could have
// them alone, the agent ends at the second one.
func conflicts(plugins []runningPlugin) (errs []error) {
	owner := map[string]runningPlugin{}
	for _, p := range plugins {
		for _, claim := range claims(p.plugin) {
			if first, taken := owner[claim]; taken {
				errs = append(errs, fmt.Errorf("%s: %s: %s has %s already: expected another one", p.source, p.label(),
					first.label(), claim))
				continue
			}
			owner[claim] = p
		}
	}
	return errs
}

// claims are the ports and directories that a plugin needs for itself.
func claims(plugin any) (list []string) {
	switch p := plugin.(type) {
	case *netflow.NetFlow:
		if p.ServiceAddress != "" {
			list = append(list, "the address "+p.ServiceAddress)
		}
	case *nfdump.Nfdump:
		if p.Directory != "" {
			list = append(list, "the directory "+filepath.Clean(p.Directory))
		}
	case *smtp_relay.SMTPRelay:
		for _, listen := range p.Listen {
			if _, addr, found := strings.Cut(listen, "://"); found {
				listen = addr
			}
			if !strings.HasSuffix(listen, ":0") {
				list = append(list, "the address "+listen)
			}
		}
		if p.Spool != "" {
			list = append(list, "the spool "+filepath.Clean(p.Spool))
		}
	}
	return list
}
