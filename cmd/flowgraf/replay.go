package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/anonymise"
	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/outputs/replay"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// replayOptions are the flags of flowgraf replay, named as nfreplay's.
type replayOptions struct {
	files                          archive.Selection
	to, host, group                string
	port                           uint16
	four, six                      bool
	version, source, ident, window string
	filterFile, syslog, key        string
	rate, speed                    float64
	delayMicro                     int64
	buffer                         int
	count                          uint64
	capturePort                    uint16
	asJSON, verbose                bool
}

// The rates at which is sent unless another is asked for: what a collector with the
// usual receive buffer takes.
const (
	replayRate          = 50_000 // flows in a second
	replayDatagramsRate = 2_000  // datagrams in a second
)

func newReplayCommand() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay -r FILE | -R DIR|FIRST:LAST [FILTER]",
		Short: "Send flows of files to a collector again",
		Long: `Replay sends the flows of nfdump files, or the datagrams of captures (pcap, pcapng,
as they are or packed), to a collector. Its options are nfreplay's; files are chosen
as with flowgraf dump, and FILTER is that of flowgraf dump.

Flows go out in the version in which they came, NetFlow v5, v9 or IPFIX, with every
field that the file holds (events of firewalls, NAT, tunnels, delays, layer 2), and
with their own times; -v says which version instead. What a version has no place
for is counted and named at the end. Counters that were estimated from samples go
out as the estimates. The time of receipt is the collector's own.

Datagrams of a capture go out byte for byte, unless -v, -K or a filter asks for their
flows: then they are decoded and sent as those of files.

Who exported a flow stays who he was (--source keep): it is sent from his address,
where that is one of this machine's, or where the machine lets this process send
from any (Linux, as root or with the capability CAP_NET_RAW). Elsewhere his address
becomes the observation domain (--source domain): an IPv4 address as a number, so
that 192.0.2.1 is 3221225985, of an IPv6 address its 32-bit FNV-1a hash. With
--source own all comes from this machine, as with nfreplay, and with --source
ADDRESS from that address; domains stay as they were.

The pace is ` + fmt.Sprint(replayRate) + ` flows in a second, or ` + fmt.Sprint(replayDatagramsRate) +
			` datagrams of a capture, which collectors take without
loss; --rate sets another, 0 is as fast as possible. -z 1 is the original pace, -z 20
is twenty times as fast; -d waits so many microseconds after each datagram.

The exit code is 1 when a file could not be read to its end, datagrams of a capture are
damaged, or sending failed, and 254 for a filter that is wrong.`,
		Example: `  flowgraf replay -r nfcapd.202611221200 -H 192.0.2.10 -p 2055
  flowgraf replay -R flows/nfcapd.202611221200:nfcapd.202611221255 -z 1
  flowgraf replay -R /var/lib/flowgraf/flows -v 9 --rate 10000 'proto tcp and port 443'
  flowgraf replay -r pcap.202611221200.pcap.zst --to [2001:db8::10]:2055
  flowgraf replay -r capture.pcapng -v 10 'src net 192.0.2.0/24'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.replay(cmd, args)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.files.File, "read", "r", "", "read one `file`, or a directory")
	f.StringVarP(&o.files.Range, "tree", "R", "", "read all files of a `range`: a directory, FILE, or FIRST:LAST")
	f.StringVarP(&o.files.Sources, "sources", "M", "", "look for -r or -R in each of `base/a:b:c`")
	f.StringVarP(&o.host, "host", "H", "127.0.0.1", "`address` or name of the collector")
	f.Uint16VarP(&o.port, "port", "p", 9995, "`port` of the collector")
	f.StringVar(&o.to, "to", "", "both at once: `host:port`")
	f.StringVarP(&o.group, "group", "j", "", "send to this multicast `group` instead")
	f.BoolVarP(&o.four, "ipv4", "4", false, "send over IPv4 only")
	f.BoolVarP(&o.six, "ipv6", "6", false, "send over IPv6 only")
	f.StringVarP(&o.version, "netflow", "v", "", "`version` to send: 5, 9, or 10, which is IPFIX (default as received)")
	f.StringVarP(&o.source, "source", "S", "keep", "who sends: keep, domain, own, or an `address` of this machine")
	f.Float64Var(&o.rate, "rate", -1, "flows, or datagrams of a capture, per second, 0 is as fast as possible "+
		"(default 50000 flows or 2000 datagrams)")
	f.Float64VarP(&o.speed, "speed", "z", 0, "`times` the original pace")
	f.Int64VarP(&o.delayMicro, "delay", "d", 0, "`microseconds` between two datagrams")
	f.IntVarP(&o.buffer, "buffer", "b", 0, "send buffer in `bytes`")
	f.Uint64VarP(&o.count, "count", "c", 0, "end after so many flows, or datagrams of a capture, 0 is all")
	f.StringVarP(&o.window, "time", "t", "", "only flows within a `window`: START[-END], +N, -N")
	f.StringVarP(&o.filterFile, "filter-file", "f", "", "read the filter from a `file`")
	f.StringVarP(&o.key, "key", "K", "", "replace addresses by this `key`, as flowgraf anonymise does")
	f.StringVarP(&o.ident, "ident", "i", "", "only files with this `ident`")
	f.Uint16Var(&o.capturePort, "capture-port", 0, "only datagrams of a capture that went to this `port`")
	f.StringVarP(&o.syslog, "syslog", "L", "", "of nfreplay, and without effect: messages go to standard error")
	f.BoolVarP(&o.verbose, "verbose", "E", false, "of nfreplay, and without effect: flowgraf dump lists flows")
	f.BoolVar(&o.asJSON, "json", false, "print the totals as JSON")
	groupFlags(cmd, excludeEachOther, "read", "tree")
	groupFlags(cmd, excludeEachOther, "ipv4", "ipv6")
	groupFlags(cmd, excludeEachOther, "rate", "speed")
	groupFlags(cmd, excludeEachOther, "rate", "delay")
	groupFlags(cmd, excludeEachOther, "to", "group")
	groupFlags(cmd, excludeEachOther, "to", "host")
	return cmd
}

// replaying is one run.
type replaying struct {
	*replayOptions
	filter   *nffilter.Filter
	window   query.Window
	sender   *replay.Sender
	captures []string
	files    []string
	sent     uint64             // flows or datagrams, for count
	mapping  *anonymise.Mapping // of addresses, nil where they stay
	rec      flow.Record
	progress *progress
	warnings io.Writer
	damage   []error
}

func (o *replayOptions) replay(cmd *cobra.Command, words []string) error {
	if err := o.check(); err != nil {
		return usageError{err}
	}
	r := replaying{replayOptions: o, warnings: cmd.ErrOrStderr()}
	var err error
	if r.filter, err = readFilter(words, o.filterFile, nil, false, r.warnings); err != nil {
		return err
	}
	if o.key != "" {
		key, err := anonymise.ParseKey(o.key)
		if err != nil {
			return usageError{fmt.Errorf("-K: %w", err)}
		}
		r.mapping = anonymise.NewMapping(key)
	}
	selection := dumpOptions{files: o.files}
	found, err := selection.selected(r.warnings)
	if err != nil {
		return err
	}
	r.damage = found.Unreadable
	if err := r.sort(found.Files); err != nil {
		return err
	}
	if o.window != "" {
		if r.window, err = query.ParseWindow(o.window, r.files, time.Local); err != nil {
			return usageError{err}
		}
	}
	options, err := o.options(len(r.files) == 0 && !r.decodes())
	if err != nil {
		return usageError{err}
	}
	options.Warn = func(format string, args ...any) { fmt.Fprintf(r.warnings, "flowgraf: "+format+"\n", args...) }
	if r.sender, err = replay.NewSender(options); err != nil {
		return err
	}
	defer r.sender.Close()
	r.progress = newProgress(cmd.Context(), r.warnings, false)
	err = r.all(cmd.Context())
	if err == nil {
		err = r.sender.Flush()
	}
	r.progress.clear()
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	totals := r.sender.Totals()
	return errors.Join(reportReplay(cmd.OutOrStdout(), &totals, o.asJSON), err, errors.Join(r.damage...))
}

// check says what is wrong with the command line.
func (o *replayOptions) check() error {
	switch {
	case o.files.File == "" && o.files.Range == "":
		return errors.New("what is to be sent? Name a file with -r, or a directory or FIRST:LAST with -R")
	case o.speed < 0:
		return fmt.Errorf("-z is %g: expected times the original pace, as 1 or 20", o.speed)
	case o.rate < 0 && o.rate != -1:
		return fmt.Errorf("--rate is %g: expected flows per second, or 0 for as fast as possible", o.rate)
	case o.port == 0:
		return errors.New("-p is 0: expected the port of the collector, 1 to 65535")
	case o.delayMicro < 0:
		return fmt.Errorf("-d is %d: expected microseconds", o.delayMicro)
	}
	return nil
}

// options are those of the sender. Raw says that only datagrams are sent.
func (o *replayOptions) options(raw bool) (replay.Options, error) {
	opt := replay.Options{Buffer: o.buffer}
	switch strings.ToLower(o.version) {
	case "":
	case "5", "v5":
		opt.Version = flow.V5
	case "9", "v9":
		opt.Version = flow.V9
	case "10", "ipfix":
		opt.Version = flow.IPFIX
	default:
		return opt, fmt.Errorf("-v is %q: expected 5, 9 or 10", o.version)
	}
	switch o.source {
	case "keep":
	case "domain":
		opt.Identity = replay.Domain
	case "own":
		opt.Identity = replay.Own
	default:
		addr, err := netip.ParseAddr(o.source)
		if err != nil {
			return opt, fmt.Errorf("-S is %q: expected keep, domain, own or an address of this machine", o.source)
		}
		opt.Identity, opt.From = replay.Own, addr.Unmap()
	}
	opt.Pace = replay.Pace{Speed: o.speed, Delay: time.Duration(o.delayMicro) * time.Microsecond}
	if opt.Pace.Rate = o.rate; o.rate == -1 {
		opt.Pace.Rate = replayRate
		if raw {
			opt.Pace.Rate = replayDatagramsRate
		}
	}
	if o.delayMicro > 0 {
		opt.Pace.Rate = 0
	}
	var err error
	opt.To, err = o.collector()
	return opt, err
}

// collector returns the address to send to.
func (o *replayOptions) collector() (netip.AddrPort, error) {
	network, to := "udp", o.to
	switch {
	case o.four:
		network = "udp4"
	case o.six:
		network = "udp6"
	}
	if to == "" {
		host := o.host
		if o.group != "" {
			host = o.group
		}
		to = net.JoinHostPort(strings.Trim(host, "[]"), fmt.Sprint(o.port))
	}
	addr, err := net.ResolveUDPAddr(network, to)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("collector %q: expected an address or name, and a port: %w", to, err)
	}
	ip := addr.AddrPort()
	if o.group != "" && !ip.Addr().IsMulticast() {
		return ip, fmt.Errorf("-j is %q: expected the address of a multicast group, as 239.1.2.3", o.group)
	}
	return netip.AddrPortFrom(ip.Addr().Unmap(), ip.Port()), nil
}

// sort tells captures from files of flows, and keeps those with the ident.
func (r *replaying) sort(files []string) error {
	for _, path := range files {
		capture, err := replay.IsCapture(path)
		if err != nil {
			return err
		}
		switch {
		case capture && r.ident == "":
			r.captures = append(r.captures, path)
		case !capture && r.hasIdent(path):
			r.files = append(r.files, path)
		}
	}
	if len(r.captures)+len(r.files) == 0 {
		return fmt.Errorf("no file with the ident %q", r.ident)
	}
	return nil
}

// hasIdent says whether a file is to be sent by its ident. One that cannot be read is:
// sending it says why.
func (r *replaying) hasIdent(path string) bool {
	if r.ident == "" {
		return true
	}
	f, err := nffile.OpenFile(path)
	if err != nil {
		return true
	}
	defer f.Close()
	return f.Ident() == r.ident
}

// decodes says whether captures are sent as flows.
func (r *replaying) decodes() bool { return r.version != "" || r.filter != nil || r.mapping != nil }

// all sends everything.
func (r *replaying) all(ctx context.Context) error {
	if len(r.files) > 0 {
		in := query.Input{Files: r.files, Window: r.window, Filter: r.filter}
		_, err := in.List(ctx, func(f *query.Flow) error {
			return r.flow(ctx, f.Record, f.Extra)
		})
		if errors.Is(err, query.ErrStop) {
			return nil
		}
		if ctx.Err() != nil || r.sender.Err() != nil {
			return err
		}
		r.damage = append(r.damage, err)
	}
	for _, path := range r.captures {
		got, err := r.capture(ctx, path)
		r.tellCaptured(path, got)
		if errors.Is(err, query.ErrStop) {
			return nil
		}
		if ctx.Err() != nil || r.sender.Err() != nil {
			return err
		}
		r.damage = append(r.damage, err)
	}
	return nil
}

// flow sends a flow, and ends the run with query.ErrStop when it was the last wanted.
func (r *replaying) flow(ctx context.Context, rec *flow.Record, x *nffile.Extra) error {
	if r.mapping != nil {
		r.rec = *rec
		r.mapping.Record(&r.rec)
		rec = &r.rec
	}
	if err := r.sender.Flow(ctx, rec, x); err != nil {
		return err
	}
	return r.counted("flows")
}

// counted counts what has been sent.
func (r *replaying) counted(what string) error {
	r.sent++
	if r.sent%1000 == 0 {
		r.progress.say("%d %s sent", r.sent, what)
	}
	if r.sent == r.count {
		return query.ErrStop
	}
	return nil
}

// capture sends what is in a capture.
func (r *replaying) capture(ctx context.Context, path string) (replay.Captured, error) {
	if !r.decodes() {
		return replay.ReadCapture(path, r.capturePort, func(dg flow.Datagram) error {
			if !r.within(flow.TimeOf(dg.Received)) {
				return nil
			}
			if err := r.sender.Datagram(ctx, dg); err != nil {
				return err
			}
			return r.counted("datagrams")
		})
	}
	decoder := collector.NewDecoder(collector.Options{Log: func(format string, args ...any) {
		fmt.Fprintf(r.warnings, "flowgraf: "+format+"\n", args...)
	}})
	var failed error
	got, err := replay.ReadCapture(path, r.capturePort, func(dg flow.Datagram) error {
		decoder.Decode(dg, collector.Handler{Flow: func(rec *flow.Record) { // what it could not decode, it logs
			if failed == nil && r.within(rec.First) && r.within(rec.Last) &&
				(r.filter == nil || r.filter.Match(rec, nil)) {
				failed = r.flow(ctx, rec, nil)
			}
		}})
		return failed
	})
	if err == nil {
		err = r.undecoded(path, decoder)
	}
	return got, err
}

// undecoded says what of a capture could not be decoded: damage is an error, sets whose
// templates are not in the capture are told.
func (r *replaying) undecoded(path string, decoder *collector.Decoder) error {
	var damaged, without uint64
	decoder.Exporters(func(s *collector.ExporterStats) {
		damaged += s.DecodeErrors
		without += s.SetsWithoutTemplate - s.SetsResumed
	})
	if without > 0 {
		fmt.Fprintf(r.warnings, "flowgraf: %s: %d sets are not sent, as their templates are not in it\n", path, without)
	}
	if damaged > 0 {
		return fmt.Errorf("%s: %d datagrams, sets or records are damaged: what could be decoded of them is sent", path,
			damaged)
	}
	return nil
}

// within says whether a time is in the window.
func (r *replaying) within(t flow.Time) bool {
	return t.Milli() >= r.window.From && (r.window.To == 0 || t.Milli() <= r.window.To)
}

// tellCaptured says what of a capture is not sent.
func (r *replaying) tellCaptured(path string, got replay.Captured) {
	if got.Others+got.Fragments+got.Cut > 0 {
		fmt.Fprintf(r.warnings, "flowgraf: %s: %d datagrams of flows; left out: %d packets of something else, "+
			"%d fragments without the others, %d packets that were captured in part\n", path, got.Datagrams,
			got.Others, got.Fragments, got.Cut)
	}
}

// reportReplay prints what was sent.
func reportReplay(out io.Writer, t *replay.Totals, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(t)
	}
	fmt.Fprintf(out, "datagrams: %d\nflows: %d\npackets: %d\nbytes: %d\nexporters: %d\n", t.Datagrams, t.Flows,
		t.Packets, t.Bytes, t.Exporters)
	if t.Dropped > 0 {
		fmt.Fprintf(out, "flows that this version cannot carry, not sent: %d\n", t.Dropped)
	}
	if t.Estimated > 0 {
		fmt.Fprintf(out, "flows with counters estimated from samples, sent as the estimates: %d\n", t.Estimated)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Lost)) {
		fmt.Fprintf(out, "flows that lost their %s: %d\n", name, t.Lost[name])
	}
	return nil
}
