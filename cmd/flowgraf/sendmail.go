package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
	"github.com/influxdata/toml"
	"github.com/spf13/cobra"

	"github.com/flowgraf/flowgraf/outputs/smtp_relay"
	"github.com/flowgraf/flowgraf/relay"
	"github.com/flowgraf/flowgraf/relay/control"
	"github.com/flowgraf/flowgraf/relay/sendmail"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// sendmailConfigFile is read when there is no -C.
const sendmailConfigFile = "/etc/flowgraf/sendmail.conf"

func newSendmailCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sendmail [options] [ADDRESS...]",
		Short: "Hand a mail to the relay, with the command line of sendmail",
		Long: `Sendmail reads a message and gives it to the mail relay, for all that calls
/usr/sbin/sendmail: cron, mail(1), scripts. A link of that name to flowgraf is this
command; mailq and newaliases are links that work, too.

  ADDRESS...       who gets the mail; a name alone is one at this host
  -t               take recipients from To, Cc and Bcc; those of the command line get
                   none then, as with exim
  -i, -oi          a line with a dot alone does not end the message
  -f SENDER, -r    sender of the envelope; <> is none
  -F NAME          full name of the sender, where the message has no From
  -N, -R, -V       wishes for notifications (RFC 3461)
  -bs              speak SMTP on the standard input and output
  -bp, -q, -bi     list the queue; try what waits; nothing (aliases need no table)
  -C FILE          options of this command, instead of ` + sendmailConfigFile + `
  -v               print the relay's answer
Other options of sendmail, as -oem, -odb or -B8BITMIME, change nothing.

Bcc is removed, Date, Message-ID and From are added when they are absent. While the
relay does not answer, its spool takes the mail if that belongs to this user, or this
user is root, and no agent has it; else the relay is tried for some seconds.

FILE is TOML, and may be absent:
  server       = "127.0.0.1:25"   # the relay's address
  domain       = "example.com"    # behind names without one; /etc/mailname
  hostname     = ""               # in greetings; this machine's name
  patience     = "5s"             # for how long a relay that is down is tried
  relay_config = ["/etc/flowgraf/flowgraf.conf"]   # where its spool and rules are

Exit codes (sysexits.h): 0 the relay has it; 64 wrong command line; 65 wrong address
or message; 67 no such user; 69 refused; 75 nobody has it, try again; 77 not allowed by
the relay's rules; 78 wrong FILE. When some recipients are refused, the others get the
mail and the code is that of the first refusal.`,
		Example: `  echo hello | flowgraf sendmail -f cron@example.com ops@example.com
  flowgraf sendmail -t -oi <message
  ln -s /usr/bin/flowgraf /usr/sbin/sendmail`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Contains(args, "--help") {
				return cmd.Help()
			}
			return handOverMail(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), args)
		},
	}
}

// sendmailConfig is FILE.
type sendmailConfig struct {
	Server      string          `toml:"server"`
	Domain      string          `toml:"domain"`
	Hostname    string          `toml:"hostname"`
	Patience    config.Duration `toml:"patience"`
	RelayConfig []string        `toml:"relay_config"`
}

// maxSendmailConfig is in octets.
const maxSendmailConfig = 1 << 20

func readSendmailConfig(file string) (*sendmailConfig, error) {
	c := &sendmailConfig{Server: "127.0.0.1:25", Patience: config.Duration(5 * time.Second),
		RelayConfig: []string{"/etc/flowgraf/flowgraf.conf"}}
	optional := file == ""
	if optional {
		file = sendmailConfigFile
	}
	data, err := storage.ReadFile(file, maxSendmailConfig)
	switch {
	case err == nil:
		if err := toml.Unmarshal(data, c); err != nil {
			return nil, &sendmail.Error{Code: sendmail.Config, Err: fmt.Errorf("%s: %w", file, err)}
		}
	case !optional || !errors.Is(err, fs.ErrNotExist):
		return nil, &sendmail.Error{Code: sendmail.Config, Err: err}
	}
	if c.Domain == "" {
		name, _ := storage.ReadFile("/etc/mailname", 1024) // Debian's; need not be there
		c.Domain, _, _ = strings.Cut(strings.TrimSpace(string(name)), "\n")
	}
	if c.Hostname == "" {
		if c.Hostname, err = os.Hostname(); err != nil || !strings.Contains(c.Hostname, ".") {
			c.Hostname, _ = relay.Hostname()
		}
	}
	if c.Domain == "" {
		c.Domain = c.Hostname
	}
	return c, nil
}

// handOverMail is the command. Its errors have exit codes of sysexits.h.
func handOverMail(ctx context.Context, in io.Reader, out io.Writer, args []string) error {
	o, err := sendmail.Parse(args)
	if err != nil {
		return err
	}
	if o.Mode == sendmail.Aliases {
		return nil
	}
	c, err := readSendmailConfig(o.Config)
	if err != nil {
		return err
	}
	to := sendmail.Relay{Addr: c.Server, Hostname: c.Hostname}
	switch o.Mode {
	case sendmail.SMTP:
		return to.Talk(ctx, in, out)
	case sendmail.List:
		q := queueOptions{spool: c.spool()}
		return q.ask(out, control.Request{Command: control.List})
	case sendmail.RunQueue:
		q := queueOptions{spool: c.spool()}
		return q.ask(out, control.Request{Command: control.Retry, All: true})
	}
	mail, err := o.Read(in, c.origin())
	if err != nil {
		return err
	}
	answer, err := to.Submit(ctx, o, mail)
	if errors.Is(err, sendmail.ErrUnreachable) {
		var taken bool
		if answer, taken, err = c.deposit(mail); !taken {
			to.Patience = time.Duration(c.Patience)
			answer, err = to.Submit(ctx, o, mail)
		}
	}
	if o.Verbose && answer != "" {
		fmt.Fprintln(out, answer)
	}
	return errors.Join(append(mail.Refused, err)...)
}

// origin tells who runs this process, and where.
func (c *sendmailConfig) origin() *sendmail.Origin {
	now := time.Now()
	o := &sendmail.Origin{Login: fmt.Sprint("uid", os.Getuid()), UID: os.Getuid(), Hostname: c.Hostname,
		Domain: c.Domain, Now: now, ID: fmt.Sprintf("%x-%s", now.UnixNano(), strings.ToLower(rand.Text()[:8]))}
	if u, err := user.Current(); err == nil {
		o.Login, o.FullName = u.Username, u.Name
	}
	return o
}

// relay loads the relay's configuration, with its rules.
func (c *sendmailConfig) relay() (*smtp_relay.SMTPRelay, error) {
	if err := logger.SetupLogging(&logger.Config{Quiet: true, InstanceName: "flowgraf"}); err != nil {
		return nil, err
	}
	defer logger.CloseLogging()
	loaded, _, mistakes := loadAll(c.RelayConfig, true)
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	for _, p := range runningPlugins(loaded) {
		if r, is := p.plugin.(*smtp_relay.SMTPRelay); is && len(r.Listen) > 0 {
			return r, p.initialise()
		}
	}
	return nil, fmt.Errorf("%s: no outputs.smtp_relay that takes mail", strings.Join(c.RelayConfig, ", "))
}

// spool gives the relay's spool, as far as its configuration can be read.
func (c *sendmailConfig) spool() string {
	if r, err := c.relay(); err == nil {
		return r.Spool
	}
	return defaultSpool
}

// deposit puts a mail into the relay's spool. It is taken when the spool has it, or when the
// relay's rules refuse it, which err tells then.
func (c *sendmailConfig) deposit(mail *sendmail.Mail) (answer string, taken bool, err error) {
	r, err := c.relay()
	if err != nil {
		return "", false, err
	}
	if err := becomeOwner(r.Spool); err != nil {
		return "", false, err
	}
	to := make([]string, len(mail.To))
	for i, a := range mail.To {
		to[i] = a.String()
	}
	id, refused, err := r.Deposit(mail.From.String(), to, mail.Message)
	switch {
	case errors.Is(err, relay.ErrRefused):
		return "", true, &sendmail.Error{Code: sendmail.NoPerm, Err: err}
	case errors.Is(err, relay.ErrLocked), errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return "", false, err
	case err != nil:
		return "", true, &sendmail.Error{Code: sendmail.TempFail, Err: err}
	}
	for i, err := range refused {
		refused[i] = &sendmail.Error{Code: sendmail.NoPerm, Err: err}
	}
	if id != "" {
		answer = "in the spool as " + id
	}
	return answer, true, errors.Join(refused...)
}
