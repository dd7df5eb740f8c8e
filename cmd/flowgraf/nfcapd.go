package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// calledAs are the commands that a link of these names to flowgraf is.
var calledAs = map[string][]string{
	"nfcapd": {"nfcapd"}, "sfcapd": {"sfcapd"}, "nfdump": {"dump"}, "nfreplay": {"replay"}, "nfexpire": {"expire"},
	"sendmail": {"sendmail"}, "mailq": {"sendmail", "-bp"}, "newaliases": {"sendmail", "-bi"},
}

func newNfcapdCommand(name string, port int) *cobra.Command {
	return &cobra.Command{
		Use:    name + " -w DIR [options]",
		Hidden: name != "nfcapd",
		Short:  "Collect flows into nfdump files, with the options of nfcapd",
		Long: `Collect flows as nfcapd does, from a command line of nfcapd: of 1.6, where -l is the
directory and -w a flag, or of 1.7, where -w is the directory. It is turned into a
configuration of flowgraf agent, inputs.netflow and outputs.nfdump, and run; with
--print-config it is printed instead, to start from.

  -w DIR, -l DIR   directory of the files, which must exist
  -n IDENT,IP,DIR  an exporter with a directory of its own, may be repeated; -M DIR
                   makes one for each exporter's address
  -p PORT -b HOST  where to listen (any address, port 9995); -4 -6 which family
  -t SECONDS       length of time of a file (300); -S 0 to 8 sub-directories by date
  -I IDENT         name in the files; -e expires by the limits that nfexpire -u has set
  -y -j -z, -z=lz4:9, -z=zstd …   compression (none)
  -x COMMAND       run after each file, with %d %f %t %u %i
  -s RATE          sampling rate where the exporter tells none; -RATE whatever it tells
  -B BYTES         receive buffer
  -D               in the background, with the log to syslog; -P FILE process id;
                   -u USER -g GROUP without root's rights

It takes NetFlow, IPFIX and sFlow on one port, so sfcapd is the same on port 6343.
SIGTERM ends it, with the file at hand complete.`,
		Example: `  flowgraf nfcapd -w -D -l /var/netflow/dvswitch -p 23456
  flowgraf nfcapd -w /var/cache/nfdump -S 1 -y -p 9995 --print-config >telegraf.conf
  ln -s /usr/bin/flowgraf /usr/local/bin/nfcapd`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Contains(args, "-h") || slices.Contains(args, "--help") {
				return cmd.Help()
			}
			if slices.Contains(args, "-V") {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: flowgraf version %s\n", name, versionString())
				return err
			}
			c, err := parseNfcapd(args, port)
			if err != nil {
				return usageError{fmt.Errorf("%s: %w", name, err)}
			}
			return c.runAgent(cmd.Context(), cmd.OutOrStdout(), args)
		},
	}
}

// nfcapd is a command line of nfcapd.
type nfcapd struct {
	directory, perAddress string
	sources               []nfcapdSource
	host, family          string
	port                  int
	seconds, layout       int
	ident, compression    string
	expire                bool
	command               []string
	rate                  int
	buffer                int
	pidfile, user, group  string
	daemon, print         bool
	notes                 []string // what it says and has no effect here
}

// nfcapdSource is an option -n.
type nfcapdSource struct {
	ident, directory string
	addresses        []string
}

// nfcapdFlags are the options without a value, nfcapdValues those with one. -w and -z may
// have one.
const (
	nfcapdFlags  = "46DEWeyjAZV"
	nfcapdValues = "lnMpbJtSIxRsBPugTvmiCfdYXO"
)

// nfcapdRefused tells why an option is refused.
var nfcapdRefused = map[byte]string{
	'J': "groups of multicast are not joined: export to an address of this machine",
	'R': "datagrams are not sent on: let outputs.kafka or outputs.nats carry netflow_datagram to other collectors",
	'A': "datagrams are not sent on",
	'Z': "names have no time zone in them: names = \"utc\" of outputs.nfdump repeats none either",
	'm': "inputs.netflow tells its metrics itself, as netflow_exporter",
	'i': "inputs.netflow tells its metrics itself, as netflow_exporter",
	'C': "files of options of nfcapd are not read: name the options",
	'f': "files of packets are not read: replay them with flowgraf replay or tcpreplay",
	'Y': "YAF's files are not read",
	'd': "files of packets are not read",
	'X': "all that a flow has is kept: elements = \"portable\" or \"all\" of outputs.nfdump",
	'E': "flows are not printed: use flowgraf dump on the files",
	'O': "it is no option of nfcapd's that is known",
}

// parseNfcapd reads a command line of nfcapd.
func parseNfcapd(args []string, port int) (*nfcapd, error) {
	c := &nfcapd{port: port, seconds: 300, ident: "none", compression: "none"}
	var legacy, hasW bool // -l DIR, and with it -w is 1.6's flag
	for _, arg := range args {
		legacy = legacy || strings.HasPrefix(arg, "-l")
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--print-config":
			c.print = true
			continue
		case len(arg) < 2 || arg[0] != '-' || arg[1] == '-':
			return nil, fmt.Errorf("expected an option of nfcapd, got %q", arg)
		}
		for rest := arg[1:]; rest != ""; {
			option := rest[0]
			rest = rest[1:]
			next := i+1 < len(args) && !strings.HasPrefix(args[i+1], "-")
			switch {
			case option == 'w' && (legacy || rest == "" && !next):
				hasW = true
			case option == 'z':
				if rest == "" {
					c.compression = "lzo"
				} else if err := c.set('z', strings.TrimPrefix(rest, "=")); err != nil {
					return nil, err
				}
				rest = ""
			case strings.IndexByte(nfcapdFlags, option) >= 0 && !(option == 'W' && (next || rest != "")):
				if err := c.flag(option); err != nil {
					return nil, err
				}
			case option == 'w' || option == 'W' || strings.IndexByte(nfcapdValues, option) >= 0:
				value := rest
				if rest = ""; value == "" {
					// A negative rate begins as an option does.
					if i+1 == len(args) || !next && option != 's' {
						return nil, fmt.Errorf("-%c: expected a value behind it", option)
					}
					i++
					value = args[i]
				}
				if err := c.set(option, value); err != nil {
					return nil, err
				}
			default:
				return nil, fmt.Errorf("-%c is no option of nfcapd's", option)
			}
		}
	}
	if hasW && c.directory == "" {
		return nil, errors.New("-w: expected the directory of the files behind it, or with -l as nfcapd 1.6 has it")
	}
	return c, c.check()
}

// flag takes an option without a value.
func (c *nfcapd) flag(option byte) error {
	if why := nfcapdRefused[option]; why != "" {
		return fmt.Errorf("-%c: %s", option, why)
	}
	switch option {
	case '4', '6':
		c.family = string(option)
	case 'D':
		c.daemon = true
	case 'e':
		c.expire = true
	case 'y':
		c.compression = "lz4"
	case 'j':
		c.compression = "bz2"
	}
	return nil
}

// set takes an option with its value.
func (c *nfcapd) set(option byte, value string) (err error) {
	if why := nfcapdRefused[option]; why != "" {
		return fmt.Errorf("-%c: %s", option, why)
	}
	number := func(least, most int) int {
		n, convErr := strconv.Atoi(value)
		if convErr != nil || n < least || n > most {
			err = fmt.Errorf("-%c is %q: expected a number from %d to %d", option, value, least, most)
		}
		return n
	}
	switch option {
	case 'w', 'l':
		c.directory = value
	case 'n':
		return c.source(value)
	case 'M':
		c.perAddress = value
	case 'p':
		c.port = number(1, 65535)
	case 'b':
		c.host = value
	case 't':
		c.seconds = number(1, 86400)
	case 'S':
		c.layout = number(0, 8)
	case 'I':
		c.ident = value
	case 'x':
		c.command, err = commandWords(value)
	case 'z':
		if _, _, err = nffile.ParseCompression(value); err != nil {
			return fmt.Errorf("-z: %w", err)
		}
		c.compression = value
	case 's':
		c.rate = number(-1<<30, 1<<30)
	case 'B':
		c.buffer = number(1, 1<<30)
	case 'P':
		c.pidfile = value
	case 'u':
		c.user = value
	case 'g':
		c.group = value
	case 'T', 'v', 'W':
		c.notes = append(c.notes, fmt.Sprintf("-%c has no effect: it is not needed here", option))
	}
	return err
}

// source takes a value of -n: IDENT,ADDRESS[;ADDRESS…],DIRECTORY.
func (c *nfcapd) source(value string) error {
	parts := strings.SplitN(value, ",", 3)
	if len(parts) != 3 || parts[0] == "" || parts[2] == "" {
		return fmt.Errorf("-n is %q: expected IDENT,ADDRESS,DIRECTORY", value)
	}
	s := nfcapdSource{ident: parts[0], directory: parts[2]}
	for _, a := range strings.Split(parts[1], ";") {
		_, err := netip.ParseAddr(a)
		if _, prefixErr := netip.ParsePrefix(a); err != nil && prefixErr != nil {
			return fmt.Errorf("-n is %q: %q is neither an address nor a network", value, a)
		}
		s.addresses = append(s.addresses, a)
	}
	c.sources = append(c.sources, s)
	return nil
}

// check says what the options together lack.
func (c *nfcapd) check() error {
	kinds := 0
	for _, given := range []bool{c.directory != "", c.perAddress != "", len(c.sources) > 0} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		return errors.New("expected one of -w DIR (-l DIR in nfcapd 1.6), -n IDENT,ADDRESS,DIR and -M DIR, " +
			"and one only")
	}
	for _, dir := range c.directories() {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("%s: expected a directory that exists: make it with mkdir -p", dir)
		}
	}
	if c.host != "" {
		addr, err := netip.ParseAddr(c.host)
		if err == nil && c.family != "" && addr.Unmap().Is4() != (c.family == "4") {
			return fmt.Errorf("-b is %s, but -%s asks for the other family", c.host, c.family)
		}
	}
	if (c.user != "" || c.group != "") && c.port < 1024 {
		return fmt.Errorf("-p is %d, which only root may open: expected a port from 1024 on with -u or -g", c.port)
	}
	if c.daemon && c.print {
		c.daemon = false
	}
	return nil
}

// directories are where files are written.
func (c *nfcapd) directories() []string {
	switch {
	case c.directory != "":
		return []string{c.directory}
	case c.perAddress != "":
		return []string{c.perAddress}
	}
	var list []string
	for _, s := range c.sources {
		list = append(list, s.directory)
	}
	return list
}

// commandWords splits a command at blanks that stand in no quotes: there is no shell.
func commandWords(text string) (words []string, err error) {
	var word strings.Builder
	var quote rune
	inside := false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, inside = r, true
		case r == ' ' || r == '\t':
			if inside || word.Len() > 0 {
				words, inside = append(words, word.String()), false
				word.Reset()
			}
		default:
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("-x is %q: expected another %c", text, quote)
	}
	if inside || word.Len() > 0 {
		words = append(words, word.String())
	}
	return words, nil
}

// config writes the configuration.
func (c *nfcapd) config(out io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("[agent]\n  flush_interval = \"1s\"\n  metric_batch_size = 5000\n  metric_buffer_limit = 200000\n" +
		"  omit_hostname = true")
	host := c.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	line("\n[[inputs.netflow]]\n  service_address = %q", fmt.Sprintf("udp%s://%s:%d", c.family, host, c.port))
	line("  metrics = [\"datagrams\"]")
	if c.buffer > 0 {
		line("  read_buffer_size = \"%dB\"", c.buffer)
	}
	if c.rate != 0 {
		rate, mode := c.rate, "default"
		if rate < 0 {
			rate, mode = -rate, "override"
		}
		for _, all := range []string{"0.0.0.0/0", "::/0"} {
			line("\n  [[inputs.netflow.exporter]]\n    address = %q\n    sampling_rate = %d\n    sampling = %q",
				all, rate, mode)
		}
	}
	line("\n[[outputs.nfdump]]")
	switch {
	case c.directory != "":
		line("  directory = %q", c.directory)
	case c.perAddress != "":
		line("  directory = %q\n  split = \"address\"", c.perAddress)
	default: // the first one's is that of the output, which takes no others' flows
		line("  directory = %q\n  unknown_exporters = \"refuse\"", c.sources[0].directory)
		c.ident = c.sources[0].ident
	}
	line("  rotation_interval = \"%ds\"\n  subdir_layout = %d\n  compression = %q", c.seconds, c.layout, c.compression)
	line("  ident = %q", c.ident)
	if len(c.command) > 0 {
		line("  command = [%s]", quoteAll(c.command))
	}
	if err := c.limits(line); err != nil {
		return err
	}
	line("  namepass = [\"netflow_datagram\"]")
	for i, s := range c.sources {
		if i > 0 {
			line("\n  [[outputs.nfdump.source]]\n    ident = %q\n    directory = %q\n    addresses = [%s]",
				s.ident, s.directory, quoteAll(s.addresses))
		}
		for _, a := range s.addresses {
			line("\n  [[outputs.nfdump.exporter]]\n    address = %q", a)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// limits are those of -e: nfexpire keeps them in the directory.
func (c *nfcapd) limits(line func(string, ...any)) error {
	if !c.expire {
		return nil
	}
	if len(c.sources) > 0 {
		return errors.New("-e: with -n each directory has limits of its own: use flowgraf expire -e DIR")
	}
	dir := c.directories()[0]
	status, err := readStatus(dir)
	if err != nil {
		return err
	}
	if status.limits.Size == 0 && status.limits.Age == 0 {
		return fmt.Errorf("-e: %s has no limits yet: expected those that flowgraf expire -u %s -s SIZE -t TIME sets",
			dir, dir)
	}
	if status.limits.Size > 0 {
		line("  max_size = \"%dB\"", status.limits.Size)
	}
	if status.limits.Age > 0 {
		line("  max_age = %q", status.limits.Age.String())
	}
	if status.limits.Watermark > 0 {
		line("  watermark = %d", status.limits.Watermark)
	}
	return nil
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return strings.Join(quoted, ", ")
}

// runAgent runs the agent with the configuration, or prints it.
func (c *nfcapd) runAgent(ctx context.Context, out io.Writer, args []string) error {
	for _, note := range c.notes {
		fmt.Fprintln(os.Stderr, "flowgraf nfcapd:", note)
	}
	if c.print {
		return wrongUsage(c.config(out))
	}
	dir, err := os.MkdirTemp("", "flowgraf-nfcapd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "telegraf.conf")
	if err := c.writeConfig(file); err != nil {
		return wrongUsage(err)
	}
	if c.daemon && os.Getenv(daemonVariable) == "" {
		k := checkOptions{files: []string{file}, offline: true}
		if err := k.check(ctx, io.Discard); err != nil {
			return err
		}
		return startDaemon(args)
	}
	return c.collect(ctx, file)
}

// daemonVariable tells the process in the background that it is that.
const daemonVariable = "FLOWGRAF_NFCAPD_DAEMON"

// collect runs the agent, without root's rights where that is asked for.
func (c *nfcapd) collect(ctx context.Context, file string) error {
	if c.daemon {
		defer logToSyslog()()
	}
	remove, err := writePidfile(c.pidfile)
	if err != nil {
		return err
	}
	defer remove()
	if err := dropRights(c.user, c.group, filepath.Dir(file), file); err != nil {
		return usageError{err}
	}
	o := agentOptions{config: []string{file}}
	return o.runUntilStopped(ctx)
}

func (c *nfcapd) writeConfig(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(c.config(f), f.Close())
}

// wrongUsage makes an error one of the command line.
func wrongUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}
