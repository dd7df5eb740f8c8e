package exim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/relay/address"
)

// The configtypes of update-exim4.conf(8) that take mail.
const (
	internet  = "internet"  // straight to the recipients' own servers
	smart     = "smarthost" // by a smarthost; mail for this host stays
	satellite = "satellite" // by a smarthost, mail for this host too
	local     = "local"     // mail for this host only
)

// writer builds the configuration and gathers what forbids it.
type writer struct {
	strings.Builder
	kind string // the configtype
	errs []error
}

func (w *writer) note(format string, args ...any) { fmt.Fprintf(w, "  ## "+format+"\n", args...) }

func (w *writer) fail(format string, args ...any) {
	w.errs = append(w.errs, fmt.Errorf(format, args...))
}

func (w *writer) set(name string, values []string) {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	fmt.Fprintf(w, "  %s = [%s]\n", name, strings.Join(quoted, ", "))
}

func (w *writer) setOne(name, value string) {
	fmt.Fprintf(w, "  %s = %s\n", name, strconv.Quote(value))
}

// taken are the settings that TOML knows of.
var taken = []string{
	"dc_eximconfig_configtype", "dc_local_interfaces", "dc_relay_nets", "dc_relay_domains", "dc_smarthost",
	"dc_readhost", "dc_hide_mailname", "dc_other_hostnames", "dc_localdelivery", "dc_use_split_config",
}

// unneeded are settings that mean nothing here.
var unneeded = []string{"dc_minimaldns", "dc_mailname_in_oh", "CFILEMODE", "ue4c_keepcomments"}

// TOML gives the configuration that settings and further files make. The error tells of all
// that cannot be taken over and would leave more open than exim did, or send mail elsewhere.
func (s Settings) TOML(files Files) (string, error) {
	w := &writer{kind: strings.ToLower(s["dc_eximconfig_configtype"])}
	switch w.kind {
	case internet, smart, satellite, local:
	case "none":
		return "", errors.New("dc_eximconfig_configtype='none': exim takes no mail; nothing is needed in its place")
	default:
		return "", fmt.Errorf("dc_eximconfig_configtype=%q: expected internet, smarthost, satellite or local; "+
			"exim takes no mail with any other", s["dc_eximconfig_configtype"])
	}
	w.WriteString("# From Debian's exim4, dc_eximconfig_configtype=" + strconv.Quote(w.kind) + "\n")
	w.WriteString("[[outputs.smtp_relay]]\n")
	s.refuseNegations(w)
	s.listeners(w)
	s.networks(w)
	s.domains(w)
	files.denials(w)
	s.places(w)
	files.macros(w)
	s.names(w)
	files.senderAddresses(w)
	w.note("exim tries for four days, and tells the sender after one.")
	w.setOne("expire_after", "96h")
	w.setOne("delay_warning", "24h")
	s.rest(w)
	files.routes(w)
	if len(w.errs) > 0 {
		return "", errors.Join(w.errs...)
	}
	return w.String(), nil
}

// refuseNegations refuses lists that say what is not in them: there is no such word
// here, and without it the rest of the list holds more.
func (s Settings) refuseNegations(w *writer) {
	for _, name := range []string{"dc_relay_nets", "dc_relay_domains", "dc_other_hostnames", "dc_local_interfaces"} {
		for _, item := range list(s[name]) {
			if strings.HasPrefix(item, "!") {
				w.fail("%s: %q takes something out of the list, which cannot be said here: write the list without it",
					name, item)
			}
		}
	}
}

func (s Settings) listeners(w *writer) {
	var listen []string
	items := list(s["dc_local_interfaces"])
	for _, item := range items {
		addr, ok := interfaceAddr(item)
		if !ok {
			w.note("Not taken over from dc_local_interfaces, expected an address: %q", item)
			continue
		}
		listen = append(listen, addr)
	}
	switch {
	case len(items) == 0:
		w.note("dc_local_interfaces is empty: all addresses of this host")
		listen = []string{":25"}
	case len(listen) == 0:
		w.fail("dc_local_interfaces=%q: none of it is an address: expected \"127.0.0.1 ; ::1\" or the like",
			s["dc_local_interfaces"])
	}
	w.set("listen", listen)
}

func (s Settings) networks(w *writer) {
	w.note("exim always adds loopback; leave it out if nothing on this host sends mail.")
	nets := []string{"127.0.0.1", "::1"}
	for _, item := range list(s["dc_relay_nets"]) {
		net, ok := network(item)
		if !ok {
			w.note("Not taken over from dc_relay_nets, expected a network: %q", item)
			continue
		}
		if !slices.Contains(nets, net) {
			nets = append(nets, net)
		}
	}
	w.set("relay_nets", nets)
}

func (s Settings) domains(w *writer) {
	if w.kind == local {
		w.note("exim delivers to the names of this host only, and takes mail for them from")
		w.note("everybody; here only from these networks. Add the name that")
		w.note("\"hostname --fqdn\" tells, when mail for it is to be taken.")
		w.set("relay_domains", append([]string{"localhost"}, s.otherNames(&writer{})...)) // names tells its errors
		return
	}
	var domains []string
	items := list(s["dc_relay_domains"])
	for _, item := range items {
		if item == "*" {
			domains = []string{"any"}
			break
		}
		name, err := domain(item)
		if err != nil {
			w.note("Not taken over from dc_relay_domains, expected a domain: %q", item)
			continue
		}
		domains = append(domains, name)
	}
	switch {
	case len(items) == 0:
		w.note("exim lets these networks send anywhere. Better write the domains that alerts")
		w.note("go to.")
		domains = []string{"any"}
	case len(domains) == 0:
		w.fail("dc_relay_domains=%q: none of it is a domain: expected \"example.com ; *.example.com\" or the like",
			s["dc_relay_domains"])
	default:
		w.note("exim lets these networks send anywhere, and everybody to these domains. Here")
		w.note("only these networks send, and only to these domains.")
	}
	w.set("relay_domains", domains)
}

// otherNames gives dc_other_hostnames. Mail for a name that is left out would leave
// this host, which it does not with exim.
func (s Settings) otherNames(w *writer) []string {
	var names []string
	for _, item := range list(s["dc_other_hostnames"]) {
		if strings.HasPrefix(item, "!") {
			continue // told by refuseNegations
		}
		name, err := address.ConfiguredDomain(item)
		if err != nil {
			w.fail("dc_other_hostnames: %q: expected a domain; write the names of this host one by one", item)
			continue
		}
		if name != "localhost" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (s Settings) places(w *writer) {
	switch w.kind {
	case local:
		w.set("smarthosts", []string{s.mailbox(w)})
	case internet:
		w.note("Straight to the recipients' own servers (MX), with MTA-STS. Many of them take")
		w.note("no mail from hosts without a fixed address and a name in the DNS.")
		w.set("smarthosts", []string{"mx://"})
	default:
		var hosts []string
		for _, item := range smarthosts(s["dc_smarthost"]) {
			host, err := smarthost(item)
			if err != nil {
				w.fail("dc_smarthost: %w", err)
				continue
			}
			hosts = append(hosts, host)
		}
		if len(smarthosts(s["dc_smarthost"])) == 0 {
			w.fail("dc_smarthost is empty: expected host::port, as dc_eximconfig_configtype=%q needs it", w.kind)
		}
		w.set("smarthosts", hosts)
		w.note("exim encrypts when it can and verifies nothing, which is \"opportunistic\".")
		w.setOne("smarthost_tls", "required")
		w.note("With logins:")
		w.WriteString("  # smarthost_password_file = \"/etc/exim4/passwd.client\"\n")
	}
}

// mailbox gives the place of dc_localdelivery.
func (s Settings) mailbox(w *writer) string {
	switch s["dc_localdelivery"] {
	case "", "mail_spool":
		return "mbox:///var/mail/{user}"
	case "maildir_home":
		return "maildir:///home/{user}/Maildir"
	}
	w.fail("dc_localdelivery=%q: expected mail_spool or maildir_home", s["dc_localdelivery"])
	return ""
}

func (s Settings) names(w *writer) {
	if names := s.otherNames(w); len(names) > 0 {
		w.set("local_domains", names)
	}
	if w.kind == local {
		w.note("As with exim, a recipient must be a user of this host or an alias.")
		w.setOne("local_recipients", "users")
	} else {
		w.note("exim keeps mail for users of this host here, or gives it to dc_readhost. Here")
		w.note("it needs an alias that says where it goes, and is refused without.")
		w.setOne("local_recipients", "aliases")
	}
	if w.kind != local && w.kind != internet && strings.ToLower(s["dc_hide_mailname"]) == "true" &&
		s["dc_readhost"] != "" {
		visible, err := address.ConfiguredDomain(s["dc_readhost"])
		if err != nil {
			w.fail("dc_readhost=%q: expected a domain; without it the names of this host would show", s["dc_readhost"])
		}
		w.setOne("visible_domain", visible)
	}
	w.note("For mail to root and the like; each must lead to an address in relay_domains:")
	w.WriteString("  # aliases_file = \"/etc/aliases\"\n")
}

// rest tells of settings that nothing here stands for.
func (s Settings) rest(w *writer) {
	if split := strings.ToLower(s["dc_use_split_config"]); split != "" && split != "false" {
		w.note("exim also reads /etc/exim4/conf.d; changes made there are not taken over.")
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		switch {
		case slices.Contains(taken, name) || slices.Contains(unneeded, name):
		case name[0] >= 'A' && name[0] <= 'Z':
			w.fail("%s is a macro of exim's, which may close what is open without it: take it out when it does not",
				name)
		default:
			w.note("Not taken over, it is no setting of Debian's: %s=%q", name, s[name])
		}
	}
}
