package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/smtp"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/plugins/exporter"
)

//go:embed demo.conf
var demoConfig string

// demoOptions are the flags of flowgraf demo.
type demoOptions struct {
	duration  time.Duration
	directory string
	rate      int
}

func newDemoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch all of it at work: flows in, metrics, archive and alert mail out",
		Long: `Demo starts, on free ports of this machine's loopback and in a temporary
directory: four generated exporters (a NetFlow v5 router, a NetFlow v9 firewall,
an IPFIX router, a VMware virtual switch), an agent that turns their flows into
metrics and nfdump files, a page that shows these live, whose address is printed,
an alert rule, and a mailbox that the alert mail lands in. Every twenty seconds one
exporter sends a surge of traffic: the rule fires, and recovers.

It ends on Ctrl-C or after --duration, and leaves its files for you to look at.`,
		Example: `  flowgraf demo
  flowgraf demo --duration 30s`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.runDemo(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.duration, "duration", 0, "end after this time, 0 is never")
	f.StringVar(&o.directory, "directory", "",
		"work in `directory`, instead of a new one below the system's temporary directory")
	f.IntVar(&o.rate, "rate", 1000, "flows per second of all exporters together")
	return cmd
}

// demo is a running demonstration.
type demo struct {
	dir        string
	started    time.Time
	flowAddr   netip.AddrPort // where the agent takes flows
	relayAddr  string         // where it takes mail
	mailbox    *mailbox
	generators []*generator
	surge      atomic.Bool
	agent      *exec.Cmd
	agentEnded chan error
	metrics    *metricsTail
	page       *demoPage
}

func (o *demoOptions) runDemo(ctx context.Context, out io.Writer) error {
	if o.rate < 10 || o.rate > 200000 {
		return usageError{fmt.Errorf("--rate is %d: expected 10 to 200000 flows per second", o.rate)}
	}
	if o.duration < 0 {
		return usageError{fmt.Errorf("--duration is %s: expected a time such as 30s, or 0 for no end", o.duration)}
	}
	// The end of its terminal is the demo's end, and with it the agent's, unless nohup says
	// otherwise. That of what reads its output is too, as writing tells. SIGPIPE itself is also
	// of connections that a browser gives up.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) {
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
		defer stop()
	}
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	d, err := newDemo(o.directory)
	if err != nil {
		return err
	}
	defer d.stop()
	if err := d.start(); err != nil {
		return err
	}
	if err := d.generate(ctx, o.rate); err != nil {
		return err
	}
	if d.page, err = startPage(filepath.Join(d.dir, "archive"), filepath.Join(d.dir, "netflow.state")); err != nil {
		return err
	}
	d.printStart(out)
	err = d.watch(ctx, out)
	d.stop()
	d.printEnd(out)
	return err
}

// newDemo makes the directory, the mailbox and the configuration.
func newDemo(dir string) (*demo, error) {
	var err error
	if dir == "" {
		dir, err = os.MkdirTemp("", "flowgraf-demo-")
	} else if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("making the demo's directory: %w", err)
	}
	d := &demo{dir: dir, started: time.Now()}
	if d.mailbox, err = startMailbox(filepath.Join(dir, "mail")); err != nil {
		return nil, err
	}
	if err := d.writeConfig(); err != nil {
		d.mailbox.stop()
		return nil, err
	}
	d.metrics = &metricsTail{file: filepath.Join(dir, "metrics.influx")}
	return d, nil
}

// freePort returns a loopback address on which nothing listens now.
func freePort(network string) (string, error) {
	if network == "udp" {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return conn.LocalAddr().String(), nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// writeConfig writes the agent's configuration into the directory.
func (d *demo) writeConfig() error {
	flows, err := freePort("udp")
	if err != nil {
		return err
	}
	d.flowAddr = netip.MustParseAddrPort(flows)
	if d.relayAddr, err = freePort("tcp"); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(d.dir, "telegraf.conf"))
	if err != nil {
		return err
	}
	err = template.Must(template.New("demo.conf").Parse(demoConfig)).Execute(f, map[string]any{
		"Flows": flows, "Relay": d.relayAddr, "Mailbox": d.mailbox.addr(), "Dir": d.dir,
		"SurgeBytes": surgeThreshold,
	})
	return errors.Join(err, f.Close())
}

// start starts the agent, a process of its own with this very binary, and
// waits until it takes flows.
func (d *demo) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logFile, err := os.Create(filepath.Join(d.dir, "agent.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	d.agent = exec.Command(self, "agent", "--config", filepath.Join(d.dir, "telegraf.conf"))
	d.agent.Stdout, d.agent.Stderr = logFile, logFile
	d.agent.SysProcAttr = ownProcessGroup()
	if err := d.agent.Start(); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	d.agentEnded = make(chan error, 1)
	go func(cmd *exec.Cmd) { d.agentEnded <- cmd.Wait() }(d.agent)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if d.ready() {
			return nil
		}
		select {
		case err := <-d.agentEnded:
			d.agent = nil
			return fmt.Errorf("the agent ended (%v); its log is %s", err, logFile.Name())
		default:
		}
	}
	return fmt.Errorf("the agent does not listen on %s after 20 s; its log is %s", d.flowAddr, logFile.Name())
}

// ready says whether the agent holds both of its ports.
func (d *demo) ready() bool {
	conn, err := net.DialTimeout("tcp", d.relayAddr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	mail, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		return false
	}
	mail.Quit() // whatever it says to that
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(d.flowAddr))
	if err == nil {
		udp.Close()
		return false
	}
	return true
}

// surgeThreshold is how many bytes in five seconds the demo's rule calls
// critical.
const surgeThreshold = 2_000_000_000

// demoExporters are the generated exporters: protocol, loopback address, share
// of the rate in percent.
var demoExporters = []struct {
	protocol string
	source   string
	share    int
}{
	{"v5", "127.0.0.5", 20}, {"v9", "127.0.0.9", 30}, {"ipfix", "127.0.0.10", 30}, {"vmware", "127.0.0.68", 20},
}

// generate starts the exporters.
func (d *demo) generate(ctx context.Context, rate int) error {
	for i, e := range demoExporters {
		source := e.source
		if !bindable(source) {
			source = "127.0.0.1" // only Linux has all of 127.0.0.0/8
		}
		g, err := newGenerator(generatorOptions{
			to: d.flowAddr.String(), source: source,
			Options: exporter.Options{Protocol: e.protocol, Seed: uint64(i + 1)},
		})
		if err != nil {
			return err
		}
		if e.protocol == "ipfix" {
			g.surge = &d.surge
		}
		d.generators = append(d.generators, g)
		go g.sendFlows(ctx, float64(rate*e.share)/100, 0)
	}
	go d.surges(ctx)
	return nil
}

// surges turns the surge on for 8 of every 20 seconds, first after 6.
func (d *demo) surges(ctx context.Context) {
	for wait := 6 * time.Second; ; wait = 12 * time.Second {
		for _, step := range []struct {
			wait time.Duration
			on   bool
		}{{wait, true}, {8 * time.Second, false}} {
			select {
			case <-ctx.Done():
				return
			case <-time.After(step.wait):
				d.surge.Store(step.on)
			}
		}
	}
}

// bindable says whether this machine has the address.
func bindable(addr string) bool {
	conn, err := net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// stop ends the exporters, the agent and the mailbox. A second call does
// nothing.
func (d *demo) stop() {
	for _, g := range d.generators {
		g.close()
	}
	if d.agent != nil {
		d.agent.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.agentEnded:
		case <-time.After(20 * time.Second):
			d.agent.Process.Kill()
			<-d.agentEnded
		}
		d.agent = nil
	}
	d.page.stop()
	d.mailbox.stop()
}
