package relay

import (
	"errors"
	"fmt"

	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/policy"
)

// Route gives mail for some domains to other servers than Options.Smarthosts.
type Route struct {
	// Domains are names, and ".example.com" for all below example.com.
	Domains []string
	// Smarthosts are tried in this order, see delivery.ParseSmarthost.
	Smarthosts []string
	// TLS is for these; that of Options.Delivery when empty.
	TLS TLSMode
}

// configureRoutes reads the smarthosts of all mail and those of routes.
func (r *Relay) configureRoutes() error {
	var errs []error
	hosts, err := parseSmarthosts("smarthosts", r.opts.Smarthosts)
	r.hosts = hosts
	errs = append(errs, err)
	for i, route := range r.opts.Routes {
		option := fmt.Sprintf("route %d", i+1)
		if len(route.Domains) == 0 {
			errs = append(errs, fmt.Errorf(`%s: domains is empty: expected domains such as "example.com"`, option))
		}
		domains, err := policy.NewDomains(option+": domains", route.Domains)
		hosts, hostsErr := parseSmarthosts(option+": smarthosts", route.Smarthosts)
		errs = append(errs, err, hostsErr)
		switch route.TLS {
		case "", delivery.TLSRequired, delivery.TLSOpportunistic, delivery.TLSNone:
		default:
			errs = append(errs, fmt.Errorf(`%s: smarthost_tls is %q: expected "required", "opportunistic" or "none"`,
				option, route.TLS))
		}
		for k := range hosts {
			hosts[k].TLS, hosts[k].Routed = route.TLS, true
		}
		r.opts.Delivery.Routes = append(r.opts.Delivery.Routes, delivery.Route{Takes: domains.Contains,
			Smarthosts: hosts})
	}
	return errors.Join(errs...)
}

// parseSmarthosts reads a list of them; option is its name.
func parseSmarthosts(option string, list []string) (hosts []delivery.Smarthost, err error) {
	if len(list) == 0 {
		return nil, fmt.Errorf(`%s is empty: expected at least one "smtp://host:port", `+
			`or "mx://" for the recipients' own servers`, option)
	}
	var errs []error
	for _, s := range list {
		h, err := delivery.ParseSmarthost(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", option, err))
		}
		hosts = append(hosts, h)
	}
	return hosts, errors.Join(errs...)
}
