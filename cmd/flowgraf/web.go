package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/flowgraf/flowgraf/outputs/web"
)

// webOptions are the flags of flowgraf web.
type webOptions struct {
	archive, listen, store, timeZone, users string
	proxyHeader                             string
	proxyFrom, grants                       []string
	noStore                                 bool
	memory                                  memorySize
	web                                     web.Options
}

func newWebCommand() *cobra.Command {
	o := webOptions{memory: 1e9}
	cmd := &cobra.Command{
		Use:   "web --archive DIR",
		Short: "Show an archive in the browser: graphs, rankings, flows",
		Long: `Web serves a page over the nfdump files below a directory, and an API: graphs of
traffic, packets and flows for day, week, month and year; of any filter, grouped by
any field; rankings, lists of flows, downloads; hosts, exporters, NfSen's profiles.
Nothing else has to be installed, and nothing is fetched from elsewhere.

The directory is that of outputs.nfdump, of nfcapd, or NfSen's profiles-data, with
sub-directories of any kind: what stands between it and those of the date is the source.
Files are only read, the one that is being written too. What their statistics say is kept
in --store, which can be removed at any time: it is made anew from the files.

It listens on this machine's loopback, where everybody may look. On another address it
wants users, or a proxy in front of it that has them log in:

  --users FILE      NAME:HASH lines, of flowgraf web user NAME, or htpasswd -nB NAME
  --proxy-header    the header that has the user's name, from addresses in --proxy-from

Below a path of a proxy, as https://example.com/flows/, it needs --base-path /flows/ when
the proxy passes the path on, and nothing otherwise.

With --spool it shows the alert rules and the mail queue of the relay that runs there, as
the user that the agent runs as. All may look; what mails say, and changing the queue, is
for users with the right to it, as --grant alice=mail. So are profiles that are made
in the page: --grant alice=mail+profiles.

What exporters do not tell is in a file of your own, --inventory FILE, which is read again
when it has changed:

  # a name for an address, as of a virtual machine
  host 192.0.2.10 web1
  # a speed (- where it is not known) and a name for an interface of an exporter
  interface 198.51.100.1 3 10G uplink

The API is described at
api/v1/openapi.json. Nothing that a user types becomes a command or the name of a file.`,
		Example: `  flowgraf web --archive /var/lib/flowgraf/flows
  flowgraf web --archive /data/nfsen/profiles-data --profiles /data/nfsen/profiles-stat
  flowgraf web user alice >>/etc/flowgraf/users
  flowgraf web --archive /var/cache/nfdump --listen 192.0.2.1:8443 --users /etc/flowgraf/users \
    --tls-cert web.pem --tls-key web.key`,
		Args: noArguments,
	}
	o.addFlags(cmd)
	var cert, key string
	cmd.Flags().StringVar(&cert, "tls-cert", "", "serve TLS with the certificate in this `file`")
	cmd.Flags().StringVar(&key, "tls-key", "", "and the key in this `file`")
	groupFlags(cmd, allOrNone, "tls-cert", "tls-key")
	groupFlags(cmd, allOrNone, "proxy-header", "proxy-from")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return o.serve(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), cert, key)
	}
	cmd.AddCommand(newWebUserCommand())
	return cmd
}

// addFlags adds the flags.
func (o *webOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.archive, "archive", "", "the `directory` of the flow files")
	cmd.MarkFlagRequired("archive")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "listen on this `address:port`")
	f.StringVar(&o.store, "store", "", "keep the files' statistics in this `file` (default in the user's cache "+
		"directory)")
	f.BoolVar(&o.noStore, "no-store", false, "keep them nowhere: they are read anew at each start")
	f.StringVar(&o.timeZone, "tz", "", "the time `zone` of the files' names, as Europe/Berlin (default the local one)")
	f.StringVar(&o.web.Base, "base-path", "/", "the `path` that the page is below")
	f.StringVar(&o.users, "users", "", "only users in this `file`, who log in")
	f.StringVar(&o.proxyHeader, "proxy-header", "", "only users whom a proxy names in this `header`")
	f.StringSliceVar(&o.proxyFrom, "proxy-from", nil, "`addresses` or networks of that proxy")
	f.StringVar(&o.web.Profiles, "profiles", "", "NfSen's `directory` profiles-stat, whose profile.dat files are shown")
	f.StringVar(&o.web.Spool, "spool", "", "show alerts and mails of the relay that has this `directory`")
	f.StringSliceVar(&o.grants, "grant", nil,
		"what users may do besides looking, as `user=right`: mail, profiles, or mail+profiles")
	f.StringVar(&o.web.State, "state", "", "show templates and names of interfaces from the state_file of the agent's "+
		"inputs.netflow, this `file`")
	f.StringVar(&o.web.Inventory, "inventory", "", "names of hosts, as virtual machines, and names and speeds of "+
		"interfaces, in this `file`")
	f.BoolVar(&o.web.Names, "names", false, "look names of addresses up in the DNS when a user opens one")
	f.IntVar(&o.web.Scans, "scans", 2, "how many scans of flows run at once")
	f.DurationVar(&o.web.Timeout, "timeout", 5*time.Minute, "the longest that a scan may take")
	f.Var(&o.memory, "memory", "how much memory the rows of one scan may take; as `size`, 512MB")
}

// serve serves until the context ends.
func (o *webOptions) serve(ctx context.Context, out, warnings io.Writer, cert, key string) error {
	if err := o.prepare(); err != nil {
		return usageError{err}
	}
	debug.SetGCPercent(dumpGCPercent)
	logf := func(format string, args ...any) { fmt.Fprintf(warnings, "flowgraf: "+format+"\n", args...) }
	o.web.Logf, o.web.Version, o.web.Memory = logf, versionString(), int64(o.memory)
	o.web.Access.Secure = cert != ""
	if o.web.Spool != "" {
		if err := directory(o.web.Spool); err != nil { // the agent may come later
			logf("--spool: %v: alerts and mails are shown when the relay runs there", err)
		}
	}
	zone, err := zoneOf(o.timeZone)
	if err != nil {
		return usageError{err}
	}
	archive, err := web.OpenArchive(o.archive, o.store, zone, logf)
	if errors.Is(err, web.ErrNotStore) {
		return usageError{fmt.Errorf("--store %s: %w", o.store, web.ErrNotStore)}
	}
	if err != nil {
		return usageError{fmt.Errorf("--archive: %w", err)}
	}
	defer archive.Close()
	server, err := web.New(archive, o.web)
	if err != nil {
		return err
	}
	listener, scheme, err := listenWeb(o.listen, cert, key)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "flowgraf web: %s at %s://%s%s\n", o.archive, scheme, listener.Addr(),
		strings.TrimSuffix("/"+strings.Trim(o.web.Base, "/"), "/")+"/")
	watched := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(watched)
		archive.Watch(ctx)
	}()
	err = server.Serve(ctx, listener)
	cancel()
	<-watched
	return err
}

// prepare reads the flags that have more than a value.
func (o *webOptions) prepare() error {
	a := &o.web.Access
	if o.users != "" {
		users, err := web.ReadUsers(o.users)
		if err != nil {
			return fmt.Errorf("--users: %w", err)
		}
		a.Users = users
	}
	a.ProxyHeader = o.proxyHeader
	grants, err := web.ParseGrants(o.grants)
	if err != nil {
		return fmt.Errorf("--grant: %w", err)
	}
	if len(grants) > 0 && o.users == "" && o.proxyHeader == "" {
		return errors.New("--grant: expected --users or --proxy-header too: without them nobody is known by name")
	}
	for name := range grants {
		if o.proxyHeader == "" && a.Users[name] == nil {
			return fmt.Errorf("--grant %s: there is no such user in %s: expected one of its names", name, o.users)
		}
	}
	o.web.Grants = grants
	if o.web.Inventory != "" {
		if _, err := web.ReadInventory(o.web.Inventory); err != nil {
			return fmt.Errorf("--inventory: %w", err)
		}
	}
	if o.web.Profiles != "" {
		if err := directory(o.web.Profiles); err != nil {
			return fmt.Errorf("--profiles: %w: expected NfSen's directory profiles-stat", err)
		}
	}
	for _, text := range o.proxyFrom {
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("--proxy-from %q: expected an address or a network, as 192.0.2.1 or 192.0.2.0/24", text)
		}
		a.ProxyFrom = append(a.ProxyFrom, prefix)
	}
	if o.web.Scans < 1 || o.web.Timeout <= 0 {
		return errors.New("--scans and --timeout: expected at least 1, and a time such as 5m")
	}
	switch {
	case o.noStore:
		o.store = ""
	case o.store == "":
		if dir, err := os.UserCacheDir(); err == nil { // without one nothing is kept
			o.store = filepath.Join(dir, "flowgraf", "web.db")
		}
	}
	return a.Addr(o.listen)
}

// directory fails when a path does not lead to a directory.
func directory(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", path)
	}
	return err
}

// zoneOf returns a time zone by its name, the local one for "".
func zoneOf(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("--tz %q: expected a zone, as UTC or Europe/Berlin", name)
	}
	return zone, nil
}

func newWebUserCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "user NAME",
		Short: "Print the line of a user for --users",
		Long: `User asks for a password, or reads it from standard input, and prints NAME and a
bcrypt hash of it: a line for the file of flowgraf web --users.`,
		Example: `  flowgraf web user alice >>/etc/flowgraf/users
  flowgraf web user alice <password.txt >>/etc/flowgraf/users`,
		Args: files(1, 1, "the NAME of a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			line, err := web.HashPassword(args[0], password)
			if err != nil {
				return usageError{err}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
			return err
		},
	}
}

// readPassword reads a password: unseen where somebody types it.
func readPassword(in io.Reader, prompt io.Writer) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(prompt, "Password: ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompt)
		return string(b), err
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

// listenWeb listens, with TLS where there is a certificate, and returns the scheme of the
// page's address.
func listenWeb(address, cert, key string) (net.Listener, string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", fmt.Errorf("--listen: %w", err)
	}
	if cert == "" {
		return listener, "http", nil
	}
	secured, err := web.TLS(listener, cert, key)
	if err != nil {
		listener.Close()
		return nil, "", usageError{err}
	}
	return secured, "https", nil
}
