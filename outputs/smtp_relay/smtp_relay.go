// Package smtp_relay is the Telegraf output through which alerts leave: a mail
// relay for monitoring systems, and alert rules on the metrics themselves. It holds
// the configuration; the work is done by package relay, and it knows none below that.
package smtp_relay

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/outputs"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/plugins/outcome"
	"github.com/flowgraf/flowgraf/relay"
)

//go:embed sample.conf
var sampleConfig string

const (
	waitingInterval = 5 * time.Second // the length of the queue is published
	tickInterval    = time.Second     // alerts that are silent end, digests go
)

// SMTPRelay is the plugin. Its options are described in sample.conf.
type SMTPRelay struct {
	Listen               []string            `toml:"listen"`
	TLSCert              string              `toml:"tls_cert"`
	TLSKey               string              `toml:"tls_key"`
	Hostname             string              `toml:"hostname"`
	RelayNets            []string            `toml:"relay_nets"`
	RelayDomains         []string            `toml:"relay_domains"`
	SenderDomains        []string            `toml:"sender_domains"`
	DeniedNets           []string            `toml:"denied_nets"`
	DeniedSenders        []string            `toml:"denied_senders"`
	Helo                 string              `toml:"helo"`
	Auth                 string              `toml:"auth"`
	Spool                string              `toml:"spool"`
	Smarthosts           []string            `toml:"smarthosts"`
	SmarthostTLS         string              `toml:"smarthost_tls"`
	SmarthostConnections int                 `toml:"smarthost_connections"`
	SmarthostMessages    int                 `toml:"smarthost_messages"`
	MXTLS                string              `toml:"mx_tls"`
	DNSServers           []string            `toml:"dns_servers"`
	TLSCA                string              `toml:"tls_ca"`
	Username             string              `toml:"smarthost_username"`
	Password             config.Secret       `toml:"smarthost_password"`
	TokenFile            string              `toml:"smarthost_token_file"`
	PasswordFile         string              `toml:"smarthost_password_file"`
	SmarthostAuth        string              `toml:"smarthost_auth"`
	SmarthostAuthOver    string              `toml:"smarthost_auth_over"`
	SmarthostTLSCert     string              `toml:"smarthost_tls_cert"`
	SmarthostTLSKey      string              `toml:"smarthost_tls_key"`
	ArchiveCopy          string              `toml:"archive_copy"`
	LocalDomains         []string            `toml:"local_domains"`
	LocalRecipients      string              `toml:"local_recipients"`
	VisibleDomain        string              `toml:"visible_domain"`
	AliasesFile          string              `toml:"aliases_file"`
	Aliases              map[string][]string `toml:"aliases"`
	SenderAddressesFile  string              `toml:"sender_addresses_file"`
	SenderAddresses      map[string]string   `toml:"sender_addresses"`
	DKIMDomain           string              `toml:"dkim_domain"`
	DKIMSelector         string              `toml:"dkim_selector"`
	DKIMKey              string              `toml:"dkim_key"`
	MaxMessageSize       config.Size         `toml:"max_message_size"`
	MaxHeaderSize        config.Size         `toml:"max_header_size"`
	LongLines            string              `toml:"long_lines"`
	MaxConnections       int                 `toml:"max_connections"`
	MaxClientConnections int                 `toml:"max_client_connections"`
	MaxClientMessages    int                 `toml:"max_client_messages"`
	MaxClientRecipients  int                 `toml:"max_client_recipients"`
	CommandTimeout       config.Duration     `toml:"command_timeout"`
	DataTimeout          config.Duration     `toml:"data_timeout"`
	SessionTimeout       config.Duration     `toml:"session_timeout"`
	KeepConnections      config.Duration     `toml:"keep_connections"`
	ExpireAfter          config.Duration     `toml:"expire_after"`
	DelayWarning         config.Duration     `toml:"delay_warning"`
	RecipientMails       int                 `toml:"max_recipient_mails"`
	DigestInterval       config.Duration     `toml:"digest_interval"`
	Users                []User              `toml:"user"`
	Routes               []Route             `toml:"route"`
	Alerts               []Alert             `toml:"alert"`
	Log                  telegraf.Logger     `toml:"-"`
	Statistics           *selfstat.Collector `toml:"-"`

	statistics *statistics
	relay      *relay.Relay
	cancel     context.CancelFunc
	tasks      sync.WaitGroup
}

// options makes the relay's options of the plugin's.
func (p *SMTPRelay) options() (relay.Options, error) {
	var err error
	switch p.LongLines {
	case "", "refuse", "relay":
	default:
		err = fmt.Errorf(`long_lines is %q: expected "refuse" or "relay"`, p.LongLines)
	}
	o := relay.Options{
		Listen: p.Listen, TLSCert: p.TLSCert, TLSKey: p.TLSKey, Auth: p.Auth, Users: p.users(),
		Hostname: p.Hostname, RelayNets: p.RelayNets, RelayDomains: p.RelayDomains, SenderDomains: p.SenderDomains,
		DeniedNets: p.DeniedNets, DeniedSenders: p.DeniedSenders, ArchiveCopy: p.ArchiveCopy,
		Spool: p.Spool, Smarthosts: p.Smarthosts, DNSServers: p.DNSServers, TLSCA: p.TLSCA,
		Login: relay.Login{Username: p.Username, Password: get(&p.Password), TokenFile: p.TokenFile,
			PasswordFile: p.PasswordFile, Mechanism: p.SmarthostAuth, Over: p.SmarthostAuthOver},
		LocalDomains: p.LocalDomains, LocalRecipients: p.LocalRecipients, VisibleDomain: p.VisibleDomain,
		Aliases: p.Aliases, AliasesFile: p.AliasesFile,
		SenderAddresses: p.SenderAddresses, SenderAddressesFile: p.SenderAddressesFile,
		SmarthostCert: p.SmarthostTLSCert, SmarthostKey: p.SmarthostTLSKey,
		DKIMDomain: p.DKIMDomain, DKIMSelector: p.DKIMSelector, DKIMKey: p.DKIMKey,
		KeepConnections: time.Duration(p.KeepConnections),
		RecipientMails:  p.RecipientMails, DigestInterval: time.Duration(p.DigestInterval),
		Count: p.statistics.addEvent,
	}
	if p.Log != nil {
		o.Log = p.Log
	}
	for i := range p.Alerts {
		o.Alerts = append(o.Alerts, p.Alerts[i].rule())
	}
	for _, r := range p.Routes {
		o.Routes = append(o.Routes, relay.Route{Domains: r.Domains, Smarthosts: r.Smarthosts,
			TLS: relay.TLSMode(r.SmarthostTLS)})
	}
	in := &o.SMTPD
	in.Helo, in.LongLines = relay.HeloRule(p.Helo), p.LongLines == "relay"
	in.MaxMessageSize, in.MaxHeaderSize = int64(p.MaxMessageSize), int64(p.MaxHeaderSize)
	in.MaxConnections, in.Limits.Connections = p.MaxConnections, p.MaxClientConnections
	in.Limits.Messages, in.Limits.Recipients = p.MaxClientMessages, p.MaxClientRecipients
	in.CommandTimeout, in.DataTimeout = time.Duration(p.CommandTimeout), time.Duration(p.DataTimeout)
	in.SessionTimeout = time.Duration(p.SessionTimeout)
	out := &o.Delivery
	out.TLS, out.MXTLS = relay.TLSMode(p.SmarthostTLS), relay.TLSMode(p.MXTLS)
	out.HostConnections, out.HostMails = p.SmarthostConnections, p.SmarthostMessages
	out.ExpireAfter, out.DelayAfter = time.Duration(p.ExpireAfter), time.Duration(p.DelayWarning)
	return o, err
}

// users gives those who may log in.
func (p *SMTPRelay) users() []relay.User {
	var list []relay.User
	for i := range p.Users {
		u := &p.Users[i]
		list = append(list, relay.User{Name: u.Name, PasswordHash: u.PasswordHash, Password: get(&u.Password)})
	}
	return list
}

// get reads a secret, anew each time; it is nil for none.
func get(secret *config.Secret) func() (string, error) {
	if secret.Empty() {
		return nil
	}
	return func() (string, error) {
		value, err := secret.Get()
		if err != nil {
			return "", err
		}
		defer value.Destroy()
		return value.String(), nil
	}
}

// Route is another way for some domains.
type Route struct {
	Domains      []string `toml:"domains"`
	Smarthosts   []string `toml:"smarthosts"`
	SmarthostTLS string   `toml:"smarthost_tls"`
}

// User is somebody who may log in: a hash or a password is given.
type User struct {
	Name         string        `toml:"name"`
	PasswordHash string        `toml:"password_hash"`
	Password     config.Secret `toml:"password"`
}

// Alert is one rule.
type Alert struct {
	Name      string   `toml:"name"`
	Where     string   `toml:"where"`
	ID        string   `toml:"id"`
	Message   string   `toml:"message"`
	Crit      string   `toml:"crit"`
	Warn      string   `toml:"warn"`
	Info      string   `toml:"info"`
	CritReset string   `toml:"crit_reset"`
	WarnReset string   `toml:"warn_reset"`
	InfoReset string   `toml:"info_reset"`
	From      string   `toml:"from"`
	To        []string `toml:"to"`

	StaleAfter config.Duration `toml:"stale_after"`
	MaxMails   int             `toml:"max_mails"`
}

func (a *Alert) rule() relay.Rule {
	return relay.Rule{
		Name: a.Name, Where: a.Where, ID: a.ID, Message: a.Message,
		Crit: a.Crit, Warn: a.Warn, Info: a.Info, CritReset: a.CritReset, WarnReset: a.WarnReset,
		InfoReset: a.InfoReset,
		From:      a.From, To: a.To, StaleAfter: time.Duration(a.StaleAfter), MaxMails: a.MaxMails,
	}
}

// SampleConfig implements telegraf.PluginDescriber.
func (*SMTPRelay) SampleConfig() string { return sampleConfig }

// Init implements telegraf.Initializer: it checks the configuration without writing.
// The network is asked for this machine's name only, when none is configured.
func (p *SMTPRelay) Init() error {
	var idleErr error
	if len(p.Listen) == 0 && len(p.Alerts) == 0 {
		idleErr = errors.New(`nothing to do: expected "listen" to take mail, or an "alert" table, or both`)
	}
	p.statistics = newStatistics(p.Statistics)
	if p.Hostname == "" {
		var problem string
		if p.Hostname, problem = relay.Hostname(); problem != "" && p.Log != nil {
			p.Log.Warnf("hostname: %s", problem)
		}
	}
	opts, err := p.options()
	var relayErr error
	p.relay, relayErr = relay.New(opts)
	return errors.Join(idleErr, err, relayErr)
}

// Check tells whether the plugin could start now: whether the listeners' ports are
// free and the spool is writable, also after Init has refused other options. Nothing stays
// open.
func (p *SMTPRelay) Check() error { return p.explain(relay.CheckPlaces(p.Spool, p.Listen)) }

// Deposit puts a mail of this host into the spool while no agent has it, see relay.Deposit.
// Init must have been called.
func (p *SMTPRelay) Deposit(from string, to []string, body []byte) (id string, refused []error, err error) {
	return p.relay.Deposit(from, to, body)
}

// Connect implements telegraf.Output: it opens the spool and the listeners and
// begins to deliver.
func (p *SMTPRelay) Connect() error {
	if err := p.relay.Start(context.Background()); err != nil {
		err = p.explain(err)
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) ||
			errors.Is(err, relay.ErrLocked) {
			return &outcome.Startup{Err: err}
		}
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for _, addr := range p.relay.Addrs() {
		p.infof("takes mail on %s", addr)
	}
	p.tasks.Go(func() { p.publishWaiting(ctx) })
	if len(p.Alerts) > 0 {
		p.tasks.Go(func() { p.tickAlerts(ctx) })
	}
	return nil
}

func (p *SMTPRelay) infof(format string, args ...any) {
	if p.Log != nil {
		p.Log.Infof(format, args...)
	}
}

// explain adds what to do to errors that an administrator can mend.
func (p *SMTPRelay) explain(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, each := range joined.Unwrap() {
			errs = append(errs, p.explain(each))
		}
		return errors.Join(errs...)
	}
	socket := errors.As(err, new(*net.OpError))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf(`%w: another program, perhaps exim or a second agent, has this port: `+
			`stop it, or change "listen"`, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf(`%w: this machine does not have this address: change "listen"`, err)
	case errors.Is(err, os.ErrPermission) && socket:
		return fmt.Errorf("%w: ports below 1024 need the capability CAP_NET_BIND_SERVICE", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf(`%w: mount the file system writable, or change "spool"`, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: the spool and all in it must belong to the agent's user (chown -R)", err)
	}
	return err
}

func (p *SMTPRelay) publishWaiting(ctx context.Context) {
	ticker := time.NewTicker(waitingInterval)
	defer ticker.Stop()
	for {
		p.statistics.setWaiting(p.relay.Waiting(), p.relay.Oldest())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tickAlerts lets alerts end and digests go while no metric comes.
func (p *SMTPRelay) tickAlerts(ctx context.Context) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			p.relay.Tick(now)
		}
	}
}

// Close implements telegraf.Output. Mails that wait stay in the spool. Under a reload the
// relay goes on until the new plugin takes it over.
func (p *SMTPRelay) Close() error {
	if p.cancel == nil {
		return nil
	}
	p.cancel()
	p.tasks.Wait()
	p.relay.Leave()
	p.cancel = nil
	return nil
}

// Write implements telegraf.Output. It never waits for the network; when it
// returns nil, the mails that the metrics caused are on disk.
func (p *SMTPRelay) Write(metrics []telegraf.Metric) error {
	if len(p.Alerts) == 0 {
		return nil
	}
	samples := make([]relay.Sample, len(metrics))
	for i, m := range metrics {
		samples[i] = relay.Sample{Name: m.Name(), Tags: m.Tags(), Fields: m.Fields(), Time: m.Time()}
	}
	if done, err := p.relay.Apply(samples); err != nil {
		return &outcome.Partial{Err: err, Accepted: done}
	}
	return nil
}

func init() {
	outputs.Add("smtp_relay", func() telegraf.Output {
		return &SMTPRelay{Spool: "/var/spool/flowgraf", SmarthostTLS: "required", MaxClientConnections: 50,
			KeepConnections: config.Duration(30 * time.Second), DelayWarning: config.Duration(4 * time.Hour)}
	})
}
