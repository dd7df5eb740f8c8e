package exim

import (
	"errors"

	"slices"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/rewrite"
)

// Files are further files of Debian's exim4 (exim4-config_files(5)), by their names in
// FileNames. Those that are not there are left out.
type Files map[string]string

// The names of Files. EmailAddresses lies in /etc, the others in /etc/exim4.
const (
	EmailAddresses  = "email-addresses"
	HubbedHosts     = "hubbed_hosts"
	SenderBlacklist = "local_sender_blacklist"
	HostBlacklist   = "local_host_blacklist"
	LocalMacros     = "exim4.conf.localmacros"
)

// exceptions are files that let in what the blacklists have.
var exceptions = []string{"sender_local_deny_exceptions", "host_local_deny_exceptions", "local_sender_whitelist",
	"local_host_whitelist"}

// FileNames are the names of all Files.
func FileNames() []string {
	return append([]string{EmailAddresses, HubbedHosts, SenderBlacklist, HostBlacklist, LocalMacros}, exceptions...)
}

// lines gives the lines of a file that say something.
func (f Files) lines(name string) []string {
	var list []string
	for line := range strings.Lines(f[name]) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// denials writes the blacklists. What is left out of them would be let in.
func (f Files) denials(w *writer) {
	var nets, senders []string
	for _, item := range f.lines(HostBlacklist) {
		net, ok := network(item)
		switch {
		case strings.HasPrefix(item, "!"):
			w.note("Not taken over from %s, exceptions are refused here too: %q", HostBlacklist, item)
		case !ok:
			w.fail("%s: %q: expected an address or a network: write those of this host", HostBlacklist, item)
		default:
			nets = append(nets, net)
		}
	}
	for _, item := range f.lines(SenderBlacklist) {
		sender, err := deniedSender(item)
		switch {
		case strings.HasPrefix(item, "!"):
			w.note("Not taken over from %s, exceptions are refused here too: %q", SenderBlacklist, item)
		case err != nil:
			w.fail("%s: %q: expected an address, a domain, or *.domain: %w", SenderBlacklist, item, err)
		default:
			senders = append(senders, sender)
		}
	}
	for _, name := range exceptions {
		if len(f.lines(name)) > 0 {
			w.note("Not taken over: %s; who is in it is refused here too.", name)
		}
	}
	if len(nets)+len(senders) > 0 {
		w.note("exim asks these lists of clients outside of dc_relay_nets only, here they count.")
	}
	if len(nets) > 0 {
		w.set("denied_nets", nets)
	}
	if len(senders) > 0 {
		w.set("denied_senders", senders)
	}
}

// deniedSender reads an item of exim's address lists.
func deniedSender(item string) (string, error) {
	item = strings.TrimPrefix(item, "*@")
	if local, _, found := strings.Cut(item, "@"); found {
		if strings.ContainsAny(local, "*^") { // letters of an address, but patterns to exim
			return "", errors.New("it is a pattern")
		}
		a, err := address.ParseConfigured(item)
		return a.String(), err
	}
	return domain(item)
}

// senderAddresses names the file of users' addresses.
func (f Files) senderAddresses(w *writer) {
	if len(f.lines(EmailAddresses)) == 0 {
		return
	}
	if _, err := rewrite.ReadSenders(strings.NewReader(f[EmailAddresses])); err != nil {
		w.note("Not taken over: /etc/email-addresses, %v", err)
		return
	}
	w.setOne("sender_addresses_file", "/etc/email-addresses")
}

// hub is a line of hubbed_hosts.
type hub struct {
	domains, hosts []string
	rank           int // the higher, the sooner exim finds it
}

// routes writes hubbed_hosts as tables. A domain that is left out would go elsewhere.
func (f Files) routes(w *writer) {
	var hubs []hub
	for _, line := range f.lines(HubbedHosts) {
		h, err := readHub(line)
		if err != nil {
			w.fail("%s: %q: %w", HubbedHosts, line, err)
			continue
		}
		hubs = append(hubs, h)
	}
	slices.SortStableFunc(hubs, func(a, b hub) int { return b.rank - a.rank })
	for _, h := range hubs {
		w.WriteString("  [[outputs.smtp_relay.route]]\n")
		w.set("  domains", h.domains)
		w.set("  smarthosts", h.hosts)
	}
}

// readHub reads "domain: host" or "*.domain: host1:host2::port", as exim's partial-lsearch
// and manualroute do.
func readHub(line string) (h hub, err error) {
	end := strings.IndexAny(line, ": \t")
	if end <= 0 {
		return h, errors.New("expected a domain and hosts")
	}
	key, value := strings.ToLower(line[:end]), strings.TrimSpace(strings.TrimLeft(line[end:], ": \t"))
	name, below := strings.CutPrefix(key, "*.")
	ascii, err := address.ConfiguredDomain(name)
	if err != nil {
		return h, err
	}
	h.domains, h.rank = []string{ascii}, 1000
	if below {
		h.domains, h.rank = append(h.domains, "."+ascii), strings.Count(ascii, ".")
	}
	words := strings.Fields(value)
	for len(words) > 0 && slices.Contains([]string{"byname", "bydns", "randomize", "no_randomize"},
		words[len(words)-1]) {
		words = words[:len(words)-1]
	}
	for _, item := range list(strings.Join(words, " ")) {
		host, err := smarthost(item)
		if err != nil {
			return h, err
		}
		h.hosts = append(h.hosts, host)
	}
	if len(h.hosts) == 0 {
		return h, errors.New("expected hosts behind the domain")
	}
	return h, nil
}

// macros reads exim4.conf.localmacros: the certificate for smarthosts is taken over, and a
// macro of an ACL may close what is open without it.
func (f Files) macros(w *writer) {
	cert, key := "", ""
	for _, line := range f.lines(LocalMacros) {
		name, value, found := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case name == "REMOTE_SMTP_SMARTHOST_TLS_CERTIFICATE":
			cert = value
		case name == "REMOTE_SMTP_SMARTHOST_PRIVATEKEY":
			key = value
		case !found || strings.Contains(name, "ACL") || strings.HasPrefix(name, "CHECK_") || strings.HasPrefix(line,
			"."):
			w.fail("%s: %s may close what is open without it: take it out when it does not", LocalMacros,
				strconv.Quote(line))
		default:
			w.note("Not taken over from %s: %q", LocalMacros, line)
		}
	}
	if cert != "" {
		if key == "" {
			key = cert
		}
		w.setOne("smarthost_tls_cert", cert)
		w.setOne("smarthost_tls_key", key)
	}
}
