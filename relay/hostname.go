package relay

import (
	"context"
	"net"
	"os"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
)

// hostnameTimeout bounds the look-up of this host's name.
const hostnameTimeout = 3 * time.Second

// localhost is the name of a host that has none.
const localhost = "localhost"

// Hostname gives this host's name for greetings and header fields: the fully qualified
// one, as "hostname --fqdn" finds it in /etc/hosts or the DNS. Without one, problem says
// what is used instead and what to do; it is empty when all is well.
func Hostname() (name, problem string) {
	short, err := os.Hostname()
	if err != nil {
		short = ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), hostnameTimeout)
	defer cancel()
	return qualify(short, func(host string) (string, error) { return net.DefaultResolver.LookupCNAME(ctx, host) })
}

// qualify is Hostname for a machine that calls itself short.
func qualify(short string, canonical func(string) (string, error)) (name, problem string) {
	const advice = `: servers may refuse mail for it; set hostname = "name.domain" to the name that the DNS has ` +
		`for this machine`
	short = strings.ToLower(strings.TrimSuffix(short, "."))
	full := short
	if short != "" && !strings.Contains(short, ".") {
		if found, err := canonical(short); err == nil {
			found = strings.ToLower(strings.TrimSuffix(found, "."))
			if strings.Contains(found, ".") && !strings.HasPrefix(found, localhost+".") {
				full = found
			}
		}
	}
	said := sayable(full)
	switch {
	case said == "":
		return localhost, "this machine has no name, " + localhost + " is used" + advice
	case said != full:
		return said, "the name of this machine is " + printable(full) + ", which is no name for the DNS; " + said +
			" is used" + advice
	case !strings.Contains(said, "."):
		return said, "this machine has no fully qualified name, " + said + " is used" + advice
	}
	return said, ""
}

// sayable makes of a name one that SMTP can say (RFC 5321 section 4.1.2), "" when nothing
// is left of it. What is no letter or digit, as an underscore, becomes a hyphen.
func sayable(name string) string {
	var labels []string
	for label := range strings.SplitSeq(name, ".") {
		label = strings.Trim(strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '-'
		}, label), "-")
		if label != "" {
			labels = append(labels, label[:min(len(label), 63)])
		}
	}
	domain, err := address.ParseDomain(strings.Join(labels, "."))
	if err != nil && len(labels) > 0 { // all digits at the end, or too long
		domain, err = address.ParseDomain("host-" + labels[0])
	}
	if err != nil {
		return ""
	}
	return domain
}

// printable bounds what is quoted of a name.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s[:min(len(s), 80)])
}
