package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/plugins/exporter"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

func newGenerateCommand() *cobra.Command {
	var (
		o        generatorOptions
		rate     float64
		count    uint64
		duration time.Duration
		asJSON   bool
	)
	cmd := &cobra.Command{
		Use:   "generate --to HOST:PORT",
		Short: "Send realistic flows, and say exactly how many",
		Long: `Generate plays an exporter: it sends flows of a few heavy talkers and a long
tail of hosts, TCP, UDP and ICMP, IPv4 and (except with v1, v5 and v7) IPv6,
until --count flows are sent, --duration is over, or Ctrl-C. At the end it prints
exact totals, to compare with what a collector counts.

Protocols: NetFlow v1, v5, v7 and v9, ipfix, vmware, which is IPFIX as a vSphere
distributed switch sends it, and sflow. Templates are sent first, and again every
second. The same --seed sends the same flows, but for their times.

With sflow a flow is a sample of one packet in 512, and counters of seven
interfaces come where others send templates. Totals are of the samples: times 512
they are the traffic.

--mix realistic is harder on a collector: three layouts of templates in turn (two
with vmware), IPv4 and IPv6 mixed, 200,000 hosts with a long tail, random ports of
clients, counters, interfaces and AS numbers, flows that ended within the last
minute, and eight exporters (--exporters), each with a port and an observation
domain, engine or sub-agent of its own.`,
		Example: `  flowgraf generate --to 127.0.0.1:2055 --protocol v9 --rate 1000 --count 20000
  flowgraf generate --to [::1]:2055 --protocol ipfix --rate 0 --count 1000000
  flowgraf generate --to 127.0.0.1:2055 --protocol v9 --mix realistic --count 500000
  flowgraf generate --to 127.0.0.1:2055 --source 127.0.0.9 --duration 1m --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.to == "" {
				return usageError{errors.New("expected --to HOST:PORT, the collector")}
			}
			if rate < 0 {
				return usageError{fmt.Errorf("--rate is %g: expected flows per second, or 0 for as fast as possible",
					rate)}
			}
			if duration < 0 {
				return usageError{fmt.Errorf("--duration is %s: expected a time such as 30s, or 0 for no end",
					duration)}
			}
			if o.exporters < 0 || o.exporters > maxExporters {
				return usageError{fmt.Errorf("--exporters is %d: expected 1 to %d", o.exporters, maxExporters)}
			}
			if o.exporters == 0 && o.Mix == exporter.Realistic {
				o.exporters = realisticExporters
			}
			g, err := newGenerator(o)
			if err != nil {
				return err
			}
			defer g.close()
			ctx := cmd.Context()
			if duration > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, duration)
				defer cancel()
			}
			stop := g.showProgress(cmd.ErrOrStderr(), count)
			err = g.sendFlows(ctx, rate, count)
			stop()
			return reportTotals(cmd.OutOrStdout(), g.sums(), asJSON, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "where to send: `host:port` (required)")
	f.StringVar(&o.Protocol, "protocol", "v9", exporter.Protocols)
	f.StringVar((*string)(&o.Mix), "mix", string(exporter.Plain), "plain or realistic")
	f.IntVar(&o.exporters, "exporters", 0, "how many exporters (default 1, with the realistic mix 8)")
	f.Float64Var(&rate, "rate", 1000, "flows per second, 0 is as fast as possible")
	f.Uint64Var(&count, "count", 0, "end after so many flows, 0 is never")
	f.DurationVar(&duration, "duration", 0, "end after this time, 0 is never")
	f.StringVar(&o.source, "source", "", "send from this local `address`, to play several exporters")
	f.Uint64Var(&o.Seed, "seed", 1, "which flows")
	f.BoolVar(&asJSON, "json", false, "print the totals as JSON")
	return cmd
}

// The exporters that one generate plays: the most, and those of the realistic mix. The
// most are as many as version 5 has engines.
const (
	maxExporters       = 256
	realisticExporters = 8
)

// reportTotals prints what was sent, also when sending ended with an error.
func reportTotals(out io.Writer, sums exporter.Totals, asJSON bool, err error) error {
	if asJSON {
		if jsonErr := json.NewEncoder(out).Encode(sums); jsonErr != nil {
			return jsonErr
		}
		return err
	}
	sums.Print(out)
	return err
}

// generatorOptions say what exporters send, from where to where.
type generatorOptions struct {
	exporter.Options
	to        string // host:port
	source    string // local address, empty is any
	exporters int    // 0 is one
}

// templateInterval is how often a generated exporter repeats its templates.
const templateInterval = time.Second

// player is one generated exporter, and the socket that it sends from.
type player struct {
	*exporter.Exporter
	conn        *net.UDPConn
	templatesAt time.Time // when templates were last sent
}

// generator is generated exporters, which send in turn.
type generator struct {
	players []*player
	turn    int
	buf     []byte
	surge   *atomic.Bool // while it is on, flows are a thousand times as large

	mu   sync.Mutex
	sent exporter.Totals
}

func newGenerator(o generatorOptions) (*generator, error) {
	to, err := net.ResolveUDPAddr("udp", o.to)
	if err != nil {
		return nil, usageError{fmt.Errorf("--to %q: expected host:port: %w", o.to, err)}
	}
	var from *net.UDPAddr
	if o.source != "" {
		ip := net.ParseIP(o.source)
		if ip == nil {
			return nil, usageError{fmt.Errorf("--source %q: expected an address of this machine", o.source)}
		}
		from = &net.UDPAddr{IP: ip}
	}
	g := &generator{}
	for i := range max(o.exporters, 1) {
		one := o.Options
		one.ID = i
		e, err := exporter.New(one)
		if err != nil {
			g.close()
			return nil, usageError{fmt.Errorf("--%w", err)} // which begins with protocol or mix
		}
		conn, err := net.DialUDP("udp", from, to)
		if err != nil {
			g.close()
			return nil, err
		}
		g.players = append(g.players, &player{Exporter: e, conn: conn})
	}
	return g, nil
}

// maxRecords is how many flows are made ready at once, no fewer than fit into
// a datagram.
const maxRecords = 30

// source returns the address and port that the first exporter sends from.
func (g *generator) source() string { return g.players[0].conn.LocalAddr().String() }

func (g *generator) close() {
	for _, p := range g.players {
		p.conn.Close()
	}
}

// sums returns what has been sent so far.
func (g *generator) sums() exporter.Totals {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sent
}

// sendFlows sends count flows (0: without end) at rate flows per second (0: as fast
// as possible), until ctx is done.
func (g *generator) sendFlows(ctx context.Context, rate float64, count uint64) error {
	started := time.Now()
	for ctx.Err() == nil {
		n := uint64(maxRecords)
		if count > 0 {
			left := count - g.sums().Flows
			if left == 0 {
				return nil
			}
			n = min(n, left)
		}
		if rate > 0 {
			n = min(n, max(1, uint64(rate/20))) // at least 20 datagrams a second
			due := started.Add(time.Duration(float64(g.sums().Flows) / rate * float64(time.Second)))
			if !sleepUntil(ctx, due) {
				return nil
			}
		}
		if err := g.send(int(n), time.Now()); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	return nil
}

// sleepUntil waits for at, and says false when ctx is done before.
func sleepUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// send sends n flows of the exporter whose turn it is, in as many datagrams as they
// need, and its templates when they are due.
func (g *generator) send(n int, now time.Time) error {
	p := g.players[g.turn]
	g.turn = (g.turn + 1) % len(g.players)
	if now.Sub(p.templatesAt) >= templateInterval {
		p.templatesAt = now
		if g.buf = p.Templates(g.buf[:0], now); len(g.buf) > 0 {
			if err := g.write(p, nil); err != nil {
				return err
			}
		}
	}
	recs := p.Flows(n, now)
	if g.surge != nil && g.surge.Load() {
		for i := range recs {
			recs[i].Bytes *= 1000
			recs[i].Packets *= 1000
		}
	}
	for len(recs) > 0 {
		var done int
		g.buf, done = p.Data(g.buf[:0], now, recs)
		if err := g.write(p, recs[:done]); err != nil {
			return err
		}
		recs = recs[done:]
	}
	return nil
}

// write sends the datagram in the buffer and counts its flows.
func (g *generator) write(p *player, recs []flow.Record) error {
	if _, err := p.conn.Write(g.buf); err != nil {
		return fmt.Errorf("sending to %s: %w (is a collector listening there?)", p.conn.RemoteAddr(), err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent.Datagrams++
	for i := range recs {
		g.sent.Add(&recs[i])
	}
	return nil
}

// showProgress prints the number of flows every second when out is a terminal.
// The function it returns ends that.
func (g *generator) showProgress(out io.Writer, count uint64) (stop func()) {
	if !isTerminal(out) {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				fmt.Fprint(out, "\r\x1b[K")
				return
			case <-tick.C:
				of := ""
				if count > 0 {
					of = fmt.Sprintf(" of %d", count)
				}
				fmt.Fprintf(out, "\r\x1b[K%d%s flows sent", g.sums().Flows, of)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
