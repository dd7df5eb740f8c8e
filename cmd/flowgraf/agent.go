package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
	"github.com/influxdata/telegraf/models"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flowgraf/flowgraf/plugins/handover"
	"github.com/flowgraf/flowgraf/plugins/inputs/netflow"
	decoder "github.com/flowgraf/flowgraf/plugins/processors/netflow"
	"github.com/flowgraf/flowgraf/relay"
)

// agentOptions are the flags of flowgraf agent.
type agentOptions struct {
	config      []string
	directories []string
	once        bool
	test        bool
	testWait    int // seconds
	debug       bool
	quiet       bool
	pidfile     string
	password    string // of secret stores
	unprotected bool
	strictEnv   bool
	looseEnv    bool
}

func newAgentCommand() *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run Telegraf's agent with the plugins of flowgraf",
		Long: `Run the agent until SIGTERM or SIGINT, which stop it cleanly: what has been
received is written out first. SIGHUP reads the configuration again; when the
new one is wrong, it is refused and the agent goes on with the old one.

Without --config it looks where Telegraf does: $TELEGRAF_CONFIG_PATH,
~/.telegraf/telegraf.conf, /etc/telegraf/telegraf.conf with telegraf.d/*.conf.`,
		Example: `  flowgraf agent --config telegraf.conf
  flowgraf agent --config telegraf.conf --config-directory telegraf.d
  flowgraf agent --config telegraf.conf --test --test-wait 30   # metrics to stdout, no outputs
  flowgraf agent --config telegraf.conf --once --test-wait 30   # collect once, write, end`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.runUntilStopped(cmd.Context()) },
	}
	o.addFlags(cmd)
	return cmd
}

// addFlags gives a command the flags of the agent, by Telegraf's names.
func (o *agentOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.config, "config", nil, "configuration `file`, may be repeated")
	f.StringArrayVar(&o.directories, "config-directory", nil, "`directory` with *.conf files, may be repeated")
	f.BoolVar(&o.once, "once", false, "gather once, write to the outputs, end")
	f.BoolVar(&o.test, "test", false, "gather once, print the metrics, use no output, end")
	f.IntVar(&o.testWait, "test-wait", 0,
		"for how many `seconds` service inputs may receive; without --once it means --test")
	f.BoolVar(&o.debug, "debug", false, "log more")
	f.BoolVar(&o.quiet, "quiet", false, "log errors only")
	f.StringVar(&o.pidfile, "pidfile", "", "write the process id to `file`")
	o.addSecretFlags(f)
	o.addEnvironmentFlags(cmd)
	groupFlags(cmd, excludeEachOther, "once", "test")
	groupFlags(cmd, excludeEachOther, "debug", "quiet")
}

// addEnvironmentFlags adds those about variables of the environment.
func (o *agentOptions) addEnvironmentFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.strictEnv, "strict-env-handling", false, "the default: variables of the environment in strings only")
	f.BoolVar(&o.looseEnv, "non-strict-env-handling", false,
		"variables of the environment anywhere in the configuration, as Telegraf before 1.38")
	groupFlags(cmd, excludeEachOther, "strict-env-handling", "non-strict-env-handling")
}

// addSecretFlags adds those about secrets.
func (o *agentOptions) addSecretFlags(f *pflag.FlagSet) {
	f.StringVar(&o.password, "password", "", "`password` that unlocks secret stores")
	f.BoolVar(&o.unprotected, "unprotected", false, "do not protect secrets in memory")
}

// apply sets what is global in Telegraf.
func (o *agentOptions) apply() {
	if o.unprotected {
		config.DisableSecretProtection()
	}
	if o.password != "" {
		config.Password = config.NewSecret([]byte(o.password))
	}
	config.NonStrictEnvVarHandling = o.looseEnv
}

// runUntilStopped loads the configuration and runs the agent, again after every reload.
func (o *agentOptions) runUntilStopped(ctx context.Context) error {
	o.apply()
	c, err := o.load()
	if err != nil {
		return usageError{err}
	}
	if err := o.setupLogging(c); err != nil {
		return usageError{err}
	}
	defer logger.CloseLogging()
	remove, err := writePidfile(o.pidfile)
	if err != nil {
		return err
	}
	defer remove()

	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	defer relay.StopAll()
	defer context.AfterFunc(ctx, notifyStopping)()
	alive, ended := context.WithCancel(context.Background()) // also while the agent ends
	defer ended()
	feedWatchdog(alive)
	if !o.once && !o.testing() {
		keepConnections()
	}
	var outlets []*outlet
	for c != nil {
		if c, outlets, err = o.runUntilReload(ctx, c, outlets, hangup); err != nil {
			return err
		}
	}
	return nil
}

// runUntilReload runs the agent with c. It returns the next configuration, or
// nil at the end, and the outlets, whose backlog the next ones take over.
func (o *agentOptions) runUntilReload(
	ctx context.Context, c *config.Config, before []*outlet, hangup <-chan os.Signal,
) (*config.Config, []*outlet, error) {
	defer context.AfterFunc(ctx, handover.End)() // nothing is left behind a stop
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := withoutDatagrams(c); err != nil {
		log.Printf("E! %v", err)
	}
	log.Printf("I! Starting flowgraf %s: %s", versionString(), summary(c))
	var outlets []*outlet
	if !o.once && !o.testing() {
		keepBytes(c)
		outlets = wrapOutputs(c, before)
	}
	defer context.AfterFunc(ctx, func() { leaveAll(outlets, outletStopping, stopPatience, nil) })()
	done := make(chan error, 1)
	go func() { done <- o.runAgent(ctx, c) }()
	for {
		select {
		case err := <-done:
			handover.End()
			if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return nil, nil, unwrittenError(outlets)
			}
			return nil, nil, errors.Join(o.explain(err), unwrittenError(outlets))
		case <-hangup:
			notifyReloading()
			trial, read, err := o.trial()
			if err != nil {
				log.Printf("E! The new configuration is refused, the old one stays: %v", err)
				notifyReady("the new configuration is refused, see the log; the old one runs: " + summary(c))
				continue
			}
			log.Printf("I! Reloading the configuration")
			if err := handOver(trial, outlets, cancel, done); err != nil {
				return nil, nil, err
			}
			next, err := o.loadInto(config.NewConfig(), read)
			if err != nil {
				return nil, nil, errors.Join(usageError{err}, unwrittenError(outlets))
			}
			return next, outlets, o.setupLogging(next)
		}
	}
}

// handOver ends the agent that runs: its inputs leave their sockets to those of the next
// configuration, and its outlets keep what is not written. Outputs that are not in the
// next one write what they have.
func handOver(next *config.Config, outlets []*outlet, cancel func(), done <-chan error) error {
	var sockets []string
	for _, in := range next.Inputs {
		if p, ours := in.Input.(*netflow.NetFlow); ours {
			sockets = append(sockets, p.ServiceAddress)
		}
	}
	for _, p := range decoders(next) {
		sockets = append(sockets, p.Place)
	}
	handover.Begin(sockets...)
	relay.BeginReload() // the mail relay goes on until the new one takes it over
	heirs := map[string]bool{}
	for _, out := range next.Outputs {
		heirs[out.Config.ID] = true
	}
	leaveAll(outlets, outletHanding, reloadPatience, heirs)
	leaveAll(outlets, outletStopping, stopPatience/2, nil)
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		return errors.Join(err, unwrittenError(outlets))
	}
	ended := slices.DeleteFunc(slices.Clone(outlets), func(o *outlet) bool { return heirs[o.running.Config.ID] })
	if err := unwrittenError(ended); err != nil {
		log.Printf("E! %v", err)
	}
	if !relaysOnly(next) {
		relay.EndReload()
	}
	return nil
}

// leaveAll changes the state of the outlets whose ids are given, of all when ids is nil.
func leaveAll(outlets []*outlet, state outletState, patience time.Duration, ids map[string]bool) {
	for _, o := range outlets {
		if ids == nil || ids[o.running.Config.ID] {
			o.leave(state, patience)
		}
	}
}

func (o *agentOptions) runAgent(ctx context.Context, c *config.Config) error {
	a := agent.NewAgent(c)
	wait := time.Duration(o.testWait) * time.Second
	switch {
	case o.once:
		return a.Once(ctx, wait)
	case o.testing():
		return a.Test(ctx, wait)
	}
	for _, in := range c.Inputs {
		if p, ours := in.Input.(*netflow.NetFlow); ours {
			p.Identity = in.Config.ID
		}
	}
	decoders(c)
	announce(c)
	room := garbageRoom()
	err := a.Run(ctx)
	runtime.KeepAlive(room)
	return err
}

// decoders returns the processors that decode datagrams, each with its name among them.
func decoders(c *config.Config) (list []*decoder.NetFlow) {
	for _, r := range c.Processors {
		if p, ours := r.Processor.(*decoder.NetFlow); ours {
			p.Place, p.Identity = fmt.Sprintf("processors.netflow %d", len(list)), r.Config.ID
			list = append(list, p)
		}
	}
	return list
}

// testing says whether metrics are to be printed, and outputs not used.
func (o *agentOptions) testing() bool { return o.test || o.testWait > 0 && !o.once }

// load loads the configuration and refuses one with which no agent can run.
func (o *agentOptions) load() (*config.Config, error) {
	return o.loadInto(config.NewConfig(), new(snapshot))
}

// loadInto loads what a snapshot has, or will have, into c.
func (o *agentOptions) loadInto(c *config.Config, s *snapshot) (*config.Config, error) {
	files, err := s.list(o.config, o.directories)
	if err != nil {
		return nil, err
	}
	if c, err = s.load(c, files, o.quiet); err != nil {
		return nil, err
	}
	if err := o.refuse(c, files); err != nil {
		return nil, err
	}
	if c.Agent.SkipProcessorsAfterAggregators == nil {
		skip := true
		c.Agent.SkipProcessorsAfterAggregators = &skip
	}
	if len(c.Inputs) == 0 {
		c.Inputs = append(c.Inputs, models.NewRunningInput(idle{}, &models.InputConfig{Name: "idle"}))
	}
	return c, nil
}

// otherHalf is what is said of a configuration without inputs or without outputs.
const otherHalf = "; a file that a stock Telegraf runs through execd has only one half: flowgraf plugin --config FILE"

// refuse says why no agent can run with a configuration that has been loaded.
func (o *agentOptions) refuse(c *config.Config, files []string) error {
	names := strings.Join(files, ", ")
	switch {
	case len(c.Inputs) == 0 && !relaysOnly(c):
		return fmt.Errorf("%s: no inputs: expected at least one [[inputs.…]] table"+otherHalf, names)
	case len(c.Outputs) == 0 && !o.testing():
		return fmt.Errorf("%s: no outputs: expected at least one [[outputs.…]] table"+otherHalf, names)
	case c.Agent.Interval <= 0:
		return fmt.Errorf("%s: [agent] interval is %s: expected a time above zero", names,
			time.Duration(c.Agent.Interval))
	case c.Agent.FlushInterval <= 0:
		return fmt.Errorf("%s: [agent] flush_interval is %s: expected a time above zero", names,
			time.Duration(c.Agent.FlushInterval))
	}
	return oneName(c)
}

// idle is an input without metrics. Telegraf's agent ends when it has no input;
// a mail relay alone has none and stays.
type idle struct{}

func (idle) SampleConfig() string              { return "" }
func (idle) Gather(telegraf.Accumulator) error { return nil }

// relaysOnly says whether c is a mail relay alone, which needs no input.
func relaysOnly(c *config.Config) bool {
	for _, out := range c.Outputs {
		if out.Config.Name == "smtp_relay" {
			return true
		}
	}
	return false
}

// trial loads the configuration and initialises it, so that whatever is wrong with it
// is known before the running agent is stopped. It cannot be run; what can is loaded from
// the same snapshot.
func (o *agentOptions) trial() (*config.Config, *snapshot, error) {
	s := new(snapshot)
	c, err := o.loadInto(trialConfig(), s)
	if err != nil {
		return nil, nil, err
	}
	return c, s, initPlugins(c)
}

// explain gives the agent's complaint about a plugin's options file and line.
func (o *agentOptions) explain(err error) error {
	if !strings.Contains(err.Error(), "could not initialize") {
		return err
	}
	c, loadErr := o.loadInto(trialConfig(), new(snapshot))
	if loadErr != nil {
		return usageError{loadErr}
	}
	if located := initPlugins(c); located != nil {
		return usageError{located}
	}
	return usageError{err}
}

func (o *agentOptions) setupLogging(c *config.Config) error {
	return logger.SetupLogging(&logger.Config{
		Debug:                   c.Agent.Debug || o.debug,
		Quiet:                   c.Agent.Quiet || o.quiet,
		LogTarget:               c.Agent.LogTarget,
		LogFormat:               c.Agent.LogFormat,
		Logfile:                 c.Agent.Logfile,
		StructuredLogMessageKey: c.Agent.StructuredLogMessageKey,
		RotationInterval:        time.Duration(c.Agent.LogfileRotationInterval),
		RotationMaxSize:         int64(c.Agent.LogfileRotationMaxSize),
		RotationMaxArchives:     c.Agent.LogfileRotationMaxArchives,
		LogWithTimezone:         c.Agent.LogWithTimezone,
		InstanceName:            "flowgraf",
	})
}

// summary names the plugins of a configuration.
func summary(c *config.Config) string {
	parts := []string{"inputs " + strings.Join(c.InputNames(), " ")}
	if names := c.ProcessorNames(); len(names) > 0 {
		parts = append(parts, "processors "+strings.Join(names, " "))
	}
	if names := c.AggregatorNames(); len(names) > 0 {
		parts = append(parts, "aggregators "+strings.Join(names, " "))
	}
	parts = append(parts, "outputs "+strings.Join(c.OutputNames(), " "))
	return strings.Join(parts, "; ")
}

// writePidfile writes the process id to file and returns how to take it away.
func writePidfile(file string) (remove func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return nil, fmt.Errorf("writing the process id: %w", err)
	}
	return func() { os.Remove(file) }, nil
}
