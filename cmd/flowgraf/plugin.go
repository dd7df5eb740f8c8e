package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/plugins/execd"
	"github.com/flowgraf/flowgraf/relay"
)

// pluginOptions are the flags of flowgraf plugin.
type pluginOptions struct {
	agent         agentOptions
	batchInterval time.Duration
}

func newPluginCommand() *cobra.Command {
	var o pluginOptions
	cmd := &cobra.Command{
		Use:   "plugin --config FILE",
		Short: "Run plugins inside a stock Telegraf, behind its execd plugins",
		Long: `Run the plugins of a file as an external plugin of a Telegraf that you have: its
inputs.execd, processors.execd or outputs.execd starts flowgraf plugin and talks
line protocol with it. All plugins of a file run in one process, of one direction:
inputs, processors or outputs; inputs and outputs may have processors beside them.

The file is a file of its own, in no directory that Telegraf loads. It is written as
telegraf.conf is, with secret stores, variables of the environment and log_level; of
[agent] it takes interval, flush_interval, metric_batch_size, debug and quiet.

Inputs collect at their interval, or when Telegraf asks, with any value of the option
signal of inputs.execd. What an output cannot write it tries again, and reads nothing
more until it can: Telegraf waits. It is written before the next batch is read; what
is in the pipe is lost with the process, as outputs.execd takes it for written.
The way without that gap is Telegraf's outputs.http to an agent of flowgraf with
inputs.http_listener_v2 or influxdb_v2_listener.

It ends with standard input. Exit codes: 0 done, 1 failed or not all was written, 2
wrong command line or configuration.`,
		Example: `  # In the telegraf.conf of the stock Telegraf; flowgraf plugin --config FILE is started by it.
  [[inputs.execd]]
    command = ["/usr/bin/flowgraf", "plugin", "--config", "/etc/flowgraf/input.conf"]
    signal = "STDIN"
    data_format = "influx"

  [[outputs.execd]]
    command = ["/usr/bin/flowgraf", "plugin", "--config", "/etc/flowgraf/archive.conf"]
    restart_delay = "1s"
    namepass = ["netflow_datagram"]
    data_format = "influx"
    influx_uint_support = true
    use_batch_format = true`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.runPlugins(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.agent.config, "config", nil, "configuration `file`, may be repeated")
	f.DurationVar(&o.batchInterval, "batch-interval", 0,
		"most `time` that metrics wait for a batch to fill (default: flush_interval of the file, else 100ms, "+
			"outputs 500ms)")
	f.BoolVar(&o.agent.debug, "debug", false, "log more")
	f.BoolVar(&o.agent.quiet, "quiet", false, "log errors only")
	o.agent.addSecretFlags(f)
	o.agent.addEnvironmentFlags(cmd)
	groupFlags(cmd, excludeEachOther, "debug", "quiet")
	return cmd
}

// runPlugins loads the configuration and runs its plugins.
func (o *pluginOptions) runPlugins(ctx context.Context) error {
	o.agent.apply()
	switch {
	case len(o.agent.config) == 0:
		return usageError{errors.New("expected --config FILE, with the tables of the plugins")}
	case o.batchInterval < 0:
		return usageError{fmt.Errorf("--batch-interval is %s: expected a time above zero", o.batchInterval)}
	}
	c := config.NewConfig()
	c.Agent.OmitHostname = true // Telegraf adds its own
	c, err := new(snapshot).load(c, o.agent.config, o.agent.quiet)
	if err != nil {
		return usageError{err}
	}
	direction, err := execd.DirectionOf(c)
	if err != nil {
		return usageError{err}
	}
	restore, err := execd.RedirectLog(direction, os.Stdout, os.Stderr)
	if err != nil {
		return err
	}
	defer restore()
	if err := o.agent.setupLogging(c); err != nil {
		return usageError{err}
	}
	defer logger.CloseLogging()
	if err := initPlugins(c); err != nil {
		return usageError{err}
	}
	defer relay.StopAll()
	signal.Ignore(syscall.SIGPIPE) // writing tells; inputs are to end in order
	prompts := make(chan struct{}, 1)
	defer onPrompt(prompts)()
	room := garbageRoom()
	defer runtime.KeepAlive(room)
	return execd.Run(ctx, c, execd.Options{
		Stdin: os.Stdin, Stdout: os.Stdout, Prompts: prompts, BatchInterval: o.interval(c, direction),
	})
}

// onPrompt sends to prompts for each signal with which Telegraf asks for a collection.
func onPrompt(prompts chan<- struct{}) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, promptSignals...)
	go func() {
		for range signals {
			select {
			case prompts <- struct{}{}:
			default:
			}
		}
	}()
	return func() { signal.Stop(signals) }
}

// interval says how long metrics may wait.
func (o *pluginOptions) interval(c *config.Config, direction execd.Direction) time.Duration {
	if o.batchInterval > 0 {
		return o.batchInterval
	}
	for _, file := range o.agent.config {
		data, _, err := config.LoadConfigFile(file)
		if err != nil {
			continue // it was there a moment ago
		}
		for _, option := range options(data) {
			if option.table == "agent" && option.name == "flush_interval" {
				return time.Duration(c.Agent.FlushInterval)
			}
		}
	}
	if direction == execd.Output {
		return 500 * time.Millisecond
	}
	return 100 * time.Millisecond
}
