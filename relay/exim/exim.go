// Package exim reads the settings of Debian's exim4, update-exim4.conf.conf, and
// writes what does the same in the configuration of outputs.smtp_relay. What cannot
// be taken over, or means something else here, is said in a comment beside it; the
// file is read as text, nothing in it is executed.
package exim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/relay/address"
)

// Settings are the values of update-exim4.conf.conf by name.
type Settings map[string]string

// Read reads assignments of the shell, name='value', without expansions. The error
// names the line.
func Read(in io.Reader) (Settings, error) {
	s := Settings{}
	scanner := bufio.NewScanner(in)
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found || !isName(name) {
			return nil, fmt.Errorf("line %d: expected name='value', found %q", number, line)
		}
		value, err := unquote(value)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", number, name, err)
		}
		s[name] = value
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(s) == 0 {
		return nil, errors.New("no setting is in it: expected Debian's /etc/exim4/update-exim4.conf.conf")
	}
	return s, nil
}

func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func unquote(s string) (string, error) {
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') {
		end := strings.IndexByte(s[1:], s[0])
		rest := ""
		if end >= 0 {
			rest = strings.TrimSpace(s[end+2:])
		}
		if end < 0 || (rest != "" && rest[0] != '#') {
			return "", fmt.Errorf("value %q: expected one quoted text", s)
		}
		s = s[1 : end+1]
	} else if strings.ContainsAny(s, " '\";|&<>()") {
		return "", fmt.Errorf("value %q: expected quotes around it", s)
	}
	if strings.ContainsAny(s, "$`\\") {
		return "", fmt.Errorf("value %q: expected a text without $, ` and \\", s)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return "", fmt.Errorf("value %q: expected printable text", s)
		}
	}
	return s, nil
}

// list parts a list of exim's, at semicolons, or in the manner of the past at colons
// (update-exim4.conf(8)) when it has none and is no IPv6 address and has no port.
func list(s string) []string {
	separator := ";"
	if !strings.Contains(s, ";") && !strings.Contains(s, "::") && !isAddress(s) {
		separator = ":"
	}
	var out []string
	for item := range strings.SplitSeq(strings.TrimPrefix(s, "<;"), separator) {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// isAddress says whether a value as a whole is one address, or one network.
func isAddress(s string) bool {
	_, addrErr := netip.ParseAddr(s)
	_, prefixErr := netip.ParsePrefix(s)
	return addrErr == nil || prefixErr == nil
}

// writer builds the configuration.
type writer struct{ strings.Builder }

func (w *writer) note(format string, args ...any) { fmt.Fprintf(w, "  ## "+format+"\n", args...) }

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
	"dc_readhost", "dc_hide_mailname", "dc_other_hostnames", "dc_localdelivery",
}

// idle are settings that need nothing here.
var idle = []string{"dc_minimaldns", "dc_use_split_config", "dc_mailname_in_oh", "CFILEMODE"}

// TOML gives the configuration.
func (s Settings) TOML() string {
	w := &writer{}
	w.WriteString("# From Debian's exim4, dc_eximconfig_configtype=" + strconv.Quote(s["dc_eximconfig_configtype"]) + "\n")
	w.WriteString("[[outputs.smtp_relay]]\n")
	s.listeners(w)
	s.policy(w)
	s.places(w)
	s.names(w)
	names := make([]string, 0, len(s))
	for name := range s {
		if !slices.Contains(taken, name) && !slices.Contains(idle, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		w.note("Not taken over, it is no setting of Debian's: %s=%q", name, s[name])
	}
	return w.String()
}

func (s Settings) listeners(w *writer) {
	var listen []string
	for _, item := range list(s["dc_local_interfaces"]) {
		addr, ok := interfaceAddr(item)
		if !ok {
			w.note("Not taken over from dc_local_interfaces: %q", item)
			continue
		}
		listen = append(listen, addr)
	}
	if len(list(s["dc_local_interfaces"])) == 0 {
		w.note("dc_local_interfaces is empty: all addresses of this host")
		listen = []string{":25"}
	}
	w.set("listen", listen)
}

// interfaceAddr reads an address of exim's local_interfaces: "192.0.2.1",
// "192.0.2.1.587", "[192.0.2.1]:587", "::1", "[::1]:587", "::1.587".
func interfaceAddr(s string) (string, bool) {
	if host, port, err := net.SplitHostPort(s); err == nil && strings.HasPrefix(s, "[") {
		_, addrErr := netip.ParseAddr(host)
		return s, addrErr == nil && validPort(port)
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return net.JoinHostPort(s, "25"), true
	}
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return "", false
	}
	addr, err := netip.ParseAddr(s[:dot])
	return net.JoinHostPort(s[:dot], s[dot+1:]), err == nil && addr.Zone() == "" && validPort(s[dot+1:])
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func (s Settings) policy(w *writer) {
	w.note("exim always adds loopback; leave it out if nothing on this host sends mail.")
	nets := []string{"127.0.0.1", "::1"}
	for _, item := range list(s["dc_relay_nets"]) {
		prefix, err := netip.ParsePrefix(item)
		addr, addrErr := netip.ParseAddr(item)
		switch {
		case err == nil && prefix.Bits() > 0 && !prefix.Addr().Is4In6():
			item = prefix.Masked().String()
		case addrErr == nil && addr.Zone() == "":
		default:
			w.note("Not taken over from dc_relay_nets, expected a network: %q", item)
			continue
		}
		if !slices.Contains(nets, item) {
			nets = append(nets, item)
		}
	}
	w.set("relay_nets", nets)
	var domains []string
	for _, item := range list(s["dc_relay_domains"]) {
		if item == "*" {
			domains = []string{"any"}
			break
		}
		name, below := strings.CutPrefix(item, "*.")
		ascii, err := address.ConfiguredDomain(name)
		if err != nil {
			w.note("Not taken over from dc_relay_domains, expected a domain: %q", item)
			continue
		}
		if below {
			ascii = "." + ascii
		}
		domains = append(domains, ascii)
	}
	if len(domains) == 0 {
		w.note("exim lets these networks send anywhere. Better write the domains that alerts")
		w.note("go to.")
		domains = []string{"any"}
	} else {
		w.note("exim lets these networks send anywhere, and everybody to these domains. Here")
		w.note("only these networks send, and only to these domains.")
	}
	w.set("relay_domains", domains)
}

func (s Settings) places(w *writer) {
	place := "mbox:///var/mail/{user}"
	switch s["dc_localdelivery"] {
	case "", "mail_spool":
	case "maildir_home":
		place = "maildir:///home/{user}/Maildir"
	default:
		w.note("Not taken over: dc_localdelivery=%q", s["dc_localdelivery"])
	}
	var hosts []string
	for _, item := range list(s["dc_smarthost"]) {
		host, port, _ := strings.Cut(item, "::")
		if port == "" {
			port = "25"
		}
		if _, err := address.ParseDomain(host); (err != nil && net.ParseIP(strings.Trim(host, "[]")) == nil) || !validPort(port) {
			w.note("Not taken over from dc_smarthost, expected host::port: %q", item)
			continue
		}
		scheme := "smtp://"
		if port == "465" {
			scheme = "smtps://"
		}
		hosts = append(hosts, scheme+net.JoinHostPort(strings.Trim(host, "[]"), port))
	}
	switch kind := s["dc_eximconfig_configtype"]; {
	case kind == "local":
		hosts = []string{place}
	case kind == "internet":
		w.note("Straight to the recipients' own servers (MX), with MTA-STS. Many of them take")
		w.note("no mail from hosts without a fixed address and a name in the DNS.")
		hosts = []string{"mx://"}
	case len(hosts) == 0:
		w.note("No smarthost is set: mails stay on this host. Write \"smtp://host:port\".")
		hosts = []string{place}
	}
	w.set("smarthosts", hosts)
	if len(hosts) > 0 && strings.HasPrefix(hosts[0], "smtp") {
		w.note("exim encrypts when it can and verifies nothing, which is \"opportunistic\".")
		w.setOne("smarthost_tls", "required")
		w.note("With logins:")
		w.WriteString("  # smarthost_password_file = \"/etc/exim4/passwd.client\"\n")
	}
}

func (s Settings) names(w *writer) {
	var local []string
	for _, item := range list(s["dc_other_hostnames"]) {
		ascii, err := address.ConfiguredDomain(item)
		if err != nil {
			w.note("Not taken over from dc_other_hostnames, expected a domain: %q", item)
			continue
		}
		local = append(local, ascii)
	}
	if len(local) > 0 {
		w.set("local_domains", local)
	}
	if s["dc_hide_mailname"] == "true" && s["dc_readhost"] != "" {
		if ascii, err := address.ConfiguredDomain(s["dc_readhost"]); err == nil {
			w.setOne("visible_domain", ascii)
		} else {
			w.note("Not taken over, expected a domain: dc_readhost=%q", s["dc_readhost"])
		}
	}
	w.note("For mail to root and the like; each must lead to an address in relay_domains:")
	w.WriteString("  # aliases_file = \"/etc/aliases\"\n")
}
