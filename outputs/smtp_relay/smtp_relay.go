// Package smtp_relay is the Telegraf output through which alerts leave: a mail
// relay for monitoring systems, and alert rules on the metrics themselves. It holds
// the configuration; the work is done by the packages below relay.
package smtp_relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/outputs"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/plugins/outcome"
	"github.com/flowgraf/flowgraf/relay"
	"github.com/flowgraf/flowgraf/relay/alert"
	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
	"github.com/flowgraf/flowgraf/relay/smtpd"
	"github.com/flowgraf/flowgraf/relay/storage"
)

//go:embed sample.conf
var sampleConfig string

// stateFile is the name of the alerts' state in the spool.
const stateFile = "alert.state"

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
	LocalDomains         []string            `toml:"local_domains"`
	LocalRecipients      string              `toml:"local_recipients"`
	VisibleDomain        string              `toml:"visible_domain"`
	AliasesFile          string              `toml:"aliases_file"`
	Aliases              map[string][]string `toml:"aliases"`
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
	RecipientMails       int                 `toml:"max_recipient_mails"`
	DigestInterval       config.Duration     `toml:"digest_interval"`
	Users                []User              `toml:"user"`
	Alerts               []Alert             `toml:"alert"`
	Log                  telegraf.Logger     `toml:"-"`
	Statistics           *selfstat.Collector `toml:"-"`

	monitor    *monitor.Monitor
	statistics *statistics
	relay      *relay.Relay
	applying   sync.Mutex    // one call of engine at a time
	engine     *alert.Engine // nil without alerts
	cancel     context.CancelFunc
	tasks      sync.WaitGroup
}

// options makes the relay's options of the plugin's.
func (p *SMTPRelay) options() (relay.Options, error) {
	var longLines error
	switch p.LongLines {
	case "", "refuse", "relay":
	default:
		longLines = fmt.Errorf(`long_lines is %q: expected "refuse" or "relay"`, p.LongLines)
	}
	tlsConfig, tlsErr := p.tlsConfig()
	users, usersErr := p.verifiers()
	hidden, hiddenErr := p.hidden()
	credentials, credentialsErr := p.credentials()
	aliases, aliasesErr := p.allAliases()
	return relay.Options{
		Listen: p.Listen, TLSCert: p.TLSCert, TLSKey: p.TLSKey, Auth: p.Auth,
		Hostname: p.Hostname, RelayNets: p.RelayNets, RelayDomains: p.RelayDomains, SenderDomains: p.SenderDomains,
		SMTPD: smtpd.Options{
			Users: users, Helo: smtpd.HeloRule(p.Helo), LongLines: p.LongLines == "relay",
			MaxMessageSize: int64(p.MaxMessageSize), MaxHeaderSize: int64(p.MaxHeaderSize),
			MaxConnections: p.MaxConnections, Limits: smtpd.Limits{Connections: p.MaxClientConnections,
				Messages: p.MaxClientMessages, Recipients: p.MaxClientRecipients},
			CommandTimeout: time.Duration(p.CommandTimeout), DataTimeout: time.Duration(p.DataTimeout),
			SessionTimeout: time.Duration(p.SessionTimeout),
		},
		Spool: p.Spool, Smarthosts: p.Smarthosts, DNSServers: p.DNSServers,
		Delivery: delivery.Options{
			TLS: delivery.TLSMode(p.SmarthostTLS), TLSConfig: tlsConfig, MXTLS: delivery.TLSMode(p.MXTLS),
			Credentials: credentials, AuthInClear: p.SmarthostAuthOver == "any",
			HostConnections: p.SmarthostConnections, HostMails: p.SmarthostMessages,
			ExpireAfter: time.Duration(p.ExpireAfter),
		},
		LocalDomains: p.LocalDomains, LocalRecipients: p.LocalRecipients, VisibleDomain: p.VisibleDomain,
		Aliases: aliases, DKIMDomain: p.DKIMDomain, DKIMSelector: p.DKIMSelector, DKIMKey: p.DKIMKey,
		KeepConnections: time.Duration(p.KeepConnections), Monitor: p.monitor, Hidden: hidden,
	}, errors.Join(tlsErr, longLines, usersErr, hiddenErr, credentialsErr, aliasesErr)
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

func (a *Alert) rule() alert.Rule {
	return alert.Rule{
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
	var log monitor.Logger
	if p.Log != nil {
		log = p.Log
	}
	p.statistics = newStatistics(p.Statistics)
	p.monitor = monitor.New(log, p.statistics.add)
	if p.Hostname == "" {
		var problem string
		if p.Hostname, problem = relay.Hostname(); problem != "" {
			p.monitor.Warnf("hostname: %s", problem)
		}
	}
	opts, optionsErr := p.options()
	var alertErr, relayErr error
	if len(p.Alerts) > 0 {
		p.engine, alertErr = p.newEngine()
		opts.Recover = p.recoverAlerts
	}
	p.relay, relayErr = relay.New(opts)
	return errors.Join(idleErr, optionsErr, alertErr, relayErr)
}

func (p *SMTPRelay) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.TLSCA == "" {
		return c, nil
	}
	pem, err := storage.ReadFile(p.TLSCA, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("tls_ca: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_ca: %q has no certificate in PEM form", p.TLSCA)
	}
	return c, nil
}

func (p *SMTPRelay) newEngine() (*alert.Engine, error) {
	rules := make([]alert.Rule, len(p.Alerts))
	for i := range p.Alerts {
		rules[i] = p.Alerts[i].rule()
	}
	return alert.New(alert.Options{
		Rules: rules, Hostname: p.Hostname, StateFile: filepath.Join(p.Spool, stateFile),
		Hold: p.hold, Monitor: p.monitor,
		RecipientMails: p.RecipientMails, DigestInterval: time.Duration(p.DigestInterval),
	})
}

// recoverAlerts completes the alerts' state from the mails that wait.
func (p *SMTPRelay) recoverAlerts(waiting []queue.Envelope) error {
	var changes []alert.Change
	for _, env := range waiting {
		if env.Origin != queue.OriginAlert {
			continue
		}
		var c alert.Change
		if err := json.Unmarshal(env.Note, &c); err != nil {
			p.monitor.Warnf("mail %s: its change of level cannot be read: %v", env.ID, err)
			continue
		}
		changes = append(changes, c)
	}
	return p.engine.Recover(changes)
}

// hold stores an alert mail in the spool.
func (p *SMTPRelay) hold(mail *alert.Mail) (func(), error) {
	note, err := json.Marshal(mail.Change)
	if err != nil {
		return nil, err
	}
	env := &queue.Envelope{
		ID: p.relay.NewID(), From: mail.From, To: mail.To, Received: time.Now().UTC(),
		Origin: queue.OriginAlert, Note: note, Critical: mail.Change.Level == alert.Critical,
	}
	if err := p.relay.Hold(env, mail.Message); err != nil {
		return nil, err
	}
	return func() { p.relay.Release(env) }, nil
}

// Check tells whether the plugin could start now: whether the listeners' ports are
// free and the spool is writable, also after Init has refused other options. Nothing stays
// open.
func (p *SMTPRelay) Check() error { return p.explain(relay.CheckPlaces(p.Spool, p.Listen)) }

// Connect implements telegraf.Output: it opens the spool and the listeners and
// begins to deliver.
func (p *SMTPRelay) Connect() error {
	if err := p.relay.Start(context.Background()); err != nil {
		err = p.explain(err)
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) ||
			errors.Is(err, queue.ErrLocked) {
			return &outcome.Startup{Err: err}
		}
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for _, addr := range p.relay.Addrs() {
		p.monitor.Infof("takes mail on %s", addr)
	}
	p.tasks.Go(func() { p.publishWaiting(ctx) })
	if p.engine != nil {
		p.tasks.Go(func() { p.tickAlerts(ctx) })
	}
	return nil
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
			p.applying.Lock()
			err := p.engine.Tick(now)
			p.applying.Unlock()
			if err != nil {
				p.monitor.LimitedWarnf("alert tick", "%v; tried again", err)
			}
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
	if p.engine == nil {
		return nil
	}
	samples := make([]alert.Sample, len(metrics))
	for i, m := range metrics {
		samples[i] = alert.Sample{Name: m.Name(), Tags: m.Tags(), Fields: m.Fields(), Time: m.Time()}
	}
	p.applying.Lock()
	done, err := p.engine.Apply(samples)
	p.applying.Unlock()
	if err != nil {
		return &outcome.Partial{Err: err, Accepted: done}
	}
	return nil
}

func init() {
	outputs.Add("smtp_relay", func() telegraf.Output {
		return &SMTPRelay{Spool: "/var/spool/flowgraf", SmarthostTLS: "required", MaxClientConnections: 50,
			KeepConnections: config.Duration(30 * time.Second)}
	})
}
