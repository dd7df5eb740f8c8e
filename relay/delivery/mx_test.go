package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/mtasts"
)

// zone is a DNS: "name preference …" of MX records by domain, addresses by name. A name
// that is in neither does not exist; "!" is a server that fails.
type zone struct {
	mx, ip map[string]string
}

func (z zone) find(records map[string]string, name string) (string, error) {
	text, ok := records[strings.TrimSuffix(name, ".")]
	switch {
	case !strings.HasSuffix(name, "."):
		return "", fmt.Errorf("%q is asked for below search domains", name)
	case !ok:
		return "", &net.DNSError{Err: "no such host", Name: name, Server: "192.0.2.53:53", IsNotFound: true}
	case text == "!":
		return "", &net.DNSError{Err: "server misbehaving", Name: name, Server: "192.0.2.53:53", IsTemporary: true}
	}
	return text, nil
}

// LookupMX implements Resolver.
func (z zone) LookupMX(_ context.Context, name string) (all []*net.MX, err error) {
	text, err := z.find(z.mx, name)
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i += 2 {
		mx := &net.MX{Host: words[i]}
		fmt.Sscan(words[i+1], &mx.Pref)
		all = append(all, mx)
	}
	return all, err
}

// LookupNetIP implements Resolver.
func (z zone) LookupNetIP(_ context.Context, _, name string) (all []netip.Addr, err error) {
	text, err := z.find(z.ip, name)
	for _, word := range strings.Fields(text) {
		all = append(all, netip.MustParseAddr(word))
	}
	return all, err
}

// Which servers of a domain are asked, in which order (RFC 5321, section 5.1; RFC 7505), and
// when mail for it has failed for good.
func TestFindExchangers(t *testing.T) {
	ips := map[string]string{"a.x": "192.0.2.1", "b.x": "192.0.2.2", "c.x": "192.0.2.3", "us.x": "192.0.2.9",
		"v6.x": "192.0.2.4 2001:db8::4 192.0.2.5 ::ffff:192.0.2.6 2001:db8::7", "none.x": "", "sick.x": "!",
		"own": "192.0.2.8"}
	for name, tt := range map[string]struct {
		mx   string // of the domain; "-": it has none
		want string // "name@address …", or a part of the error
		code int    // of a final error, -1 of one that passes
	}{
		"one":                    {"a.x. 10", "a.x@192.0.2.1", 0},
		"by preference":          {"b.x. 20 c.x. 30 a.x. 10", "a.x@192.0.2.1 b.x@192.0.2.2 c.x@192.0.2.3", 0},
		"the largest preference": {"b.x. 65535 a.x. 0", "a.x@192.0.2.1 b.x@192.0.2.2", 0},
		"capitals, no dot":       {"A.X 10", "a.x@192.0.2.1", 0},
		"families in turns": {"v6.x. 10", "v6.x@2001:db8::4 v6.x@192.0.2.4 v6.x@2001:db8::7 v6.x@192.0.2.5 " +
			"v6.x@192.0.2.6", 0},
		"one that does not exist":  {"gone.x. 10 b.x. 20", "b.x@192.0.2.2", 0},
		"one that fails":           {"sick.x. 10 b.x. 20", "b.x@192.0.2.2", 0},
		"one without address":      {"none.x. 10 b.x. 20", "b.x@192.0.2.2", 0},
		"names that are none":      {"a_b. 5 [192.0.2.1] 6 b.x. 20", "b.x@192.0.2.2", 0},
		"null beside a name":       {". 0 b.x. 20", "b.x@192.0.2.2", 0},
		"us last":                  {"a.x. 10 us.x. 20", "a.x@192.0.2.1", 0},
		"us in between":            {"a.x. 10 us.x. 20 b.x. 30", "a.x@192.0.2.1", 0},
		"us beside another":        {"a.x. 10 b.x. 20 us.x. 20", "a.x@192.0.2.1", 0},
		"us before another":        {"a.x. 10 us.x. 20 b.x. 20", "a.x@192.0.2.1", 0},
		"us first":                 {"us.x. 10 a.x. 20", "its best mail server is this relay", 554},
		"us alone":                 {"us.x. 10", "would loop", 554},
		"us beside another, first": {"a.x. 10 us.x. 10", "would loop", 554},
		"us behind one that fails": {"sick.x. 10 us.x. 20", "looking up mail server sick.x: server misbehaving", -1},
		"null":                     {". 0", "takes no mail (null MX)", 556},
		"names that are none only": {"a_b. 5 -x. 6", "none of the 2 MX records of own is a host's name", -1},
		"all fail":                 {"sick.x. 10 gone.x. 20", "no mail server of own can be used", -1},
		"implicit":                 {"-", "own@192.0.2.8", 0},
		"empty":                    {"", "own@192.0.2.8", 0},
		"the lookup fails":         {"!", "looking up the mail servers of own: server misbehaving", -1},
	} {
		z := zone{mx: map[string]string{"own": tt.mx}, ip: ips}
		if tt.mx == "-" {
			delete(z.mx, "own")
		}
		s := &Sender{opts: Options{Resolver: z, MXTLS: TLSOpportunistic, Self: func(name string,
			_ netip.AddrPort) bool {
			return name == "us.x"
		}}}
		found, err := s.findExchangers(t.Context(), "own", 25)
		got := listed(found)
		var last *finalError
		switch {
		case tt.code == 0 && (err != nil || got != tt.want):
			t.Errorf("%s: %s, %v, want %s", name, got, err, tt.want)
		case tt.code != 0 && (err == nil || !strings.Contains(err.Error(), tt.want) || len(found) > 0):
			t.Errorf("%s: %s, %v, want %q", name, got, err, tt.want)
		case errors.As(err, &last) != (tt.code > 0) || tt.code > 0 && last.code != tt.code:
			t.Errorf("%s: %#v, want the code %d", name, err, tt.code)
		}
		for _, x := range found {
			if x.tls != TLSOpportunistic || x.testing || x.addr.Port() != 25 {
				t.Errorf("%s: %+v", name, x)
			}
		}
	}
}

// listed gives exchangers as "name@address …".
func listed(found []exchanger) string {
	var all []string
	for _, x := range found {
		all = append(all, x.name+"@"+x.addr.Addr().String())
	}
	return strings.Join(all, " ")
}

// A domain without MX and address does not exist; one whose address cannot be looked up now
// may. This relay is known by its address as well.
func TestDomainsWithoutMX(t *testing.T) {
	us := func(_ string, addr netip.AddrPort) bool { return addr == netip.MustParseAddrPort("192.0.2.9:2525") }
	for domain, want := range map[string]struct {
		text string
		code int
	}{
		"gone": {"gone does not exist, or has neither MX nor address records", 550},
		"sick": {"server misbehaving", -1},
		"us":   {"would loop", 554},
		"here": {"", 0},
	} {
		s := &Sender{opts: Options{Self: us,
			Resolver: zone{ip: map[string]string{"sick": "!", "us": "192.0.2.9", "here": "192.0.2.1"}}}}
		found, err := s.findExchangers(t.Context(), domain, 2525)
		var last *finalError
		if errors.As(err, &last) != (want.code > 0) || last != nil && last.code != want.code ||
			(err != nil) != (want.code != 0) || err != nil && !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v, %v, want %+v", domain, found, err, want)
		}
	}
}

// The servers of a domain with an MTA-STS policy (RFC 8461, section 5): enforced, those that
// it does not name are not asked and the others with verified TLS; tested, all are.
func TestExchangersOfAPolicy(t *testing.T) {
	z := zone{mx: map[string]string{"own": "a.x. 10 b.y. 20"}, ip: map[string]string{"a.x": "192.0.2.1",
		"b.y": "192.0.2.2"}}
	for mode, want := range map[mtasts.Mode]string{
		mtasts.Enforce: "[b.y required false]",
		mtasts.Testing: "[a.x opportunistic true] [b.y opportunistic true]",
		"":             "[a.x opportunistic false] [b.y opportunistic false]",
	} {
		s := &Sender{opts: Options{Resolver: z, MXTLS: TLSOpportunistic,
			Policies: func(_ context.Context, domain string) *mtasts.Policy {
				if mode == "" || domain != "own" {
					return nil
				}
				return &mtasts.Policy{Mode: mode, MX: []string{"*.y"}}
			}}}
		found, err := s.findExchangers(t.Context(), "own", 25)
		var got []string
		for _, x := range found {
			got = append(got, fmt.Sprint([]any{x.name, x.tls, x.testing}))
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %s, %v, want %s", mode, got, err, want)
		}
	}
	s := &Sender{opts: Options{Resolver: z, Policies: func(context.Context, string) *mtasts.Policy {
		return &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"c.z"}}
	}}}
	if _, err := s.findExchangers(t.Context(), "own", 25); err == nil ||
		!strings.Contains(err.Error(), "mail server a.x is none of the domain's MTA-STS policy") {
		t.Errorf("%v", err)
	}
}

// What a domain's DNS says is bounded, in names and in addresses.
func TestExchangersAreBounded(t *testing.T) {
	z := zone{mx: map[string]string{}, ip: map[string]string{"many.x": strings.Repeat("192.0.2.1 ", maxAddresses+5),
		"few.x": strings.Repeat("192.0.2.2 ", maxAddresses-1), "one.x": "192.0.2.3"}}
	for i := range 2 * maxExchangers {
		z.mx["own"] += fmt.Sprintf("n%d.x. %d ", i, i)
		z.ip[fmt.Sprintf("n%d.x", i)] = "192.0.2.9"
	}
	z.mx["many"], z.mx["few"] = "many.x. 1 one.x. 2", "few.x. 1 one.x. 2 many.x. 3"
	s := &Sender{opts: Options{Resolver: z}}
	for domain, want := range map[string]int{"own": maxExchangers, "many": maxAddresses, "few": maxAddresses} {
		if found, err := s.findExchangers(t.Context(), domain, 25); err != nil || len(found) != want {
			t.Errorf("%s: %d servers, %v, want %d", domain, len(found), err, want)
		}
	}
	if found, _ := s.findExchangers(t.Context(), "few", 25); found[maxAddresses-1].name != "one.x" {
		t.Errorf("the last is %+v", found[maxAddresses-1])
	}
}

// What is wrong in the options is named, all at once.
func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		opts Options
		want []string
	}{
		"nothing": {Options{}, nil},
		"all set": {Options{TLS: TLSNone, MXTLS: TLSRequired, HostConnections: 1, HostMails: 1, Parallel: 1,
			ExpireAfter: 1, DelayAfter: 1}, nil},
		"the others": {Options{TLS: TLSOpportunistic, MXTLS: TLSOpportunistic}, nil},
		"required":   {Options{TLS: TLSRequired}, nil},
		"modes": {Options{TLS: "never", MXTLS: TLSNone}, []string{`smarthost_tls is "never"`,
			`mx_tls is "none"`}},
		"connections": {Options{HostConnections: -1}, []string{"must not be negative"}},
		"mails":       {Options{HostMails: -1}, []string{"must not be negative"}},
		"parallel":    {Options{Parallel: -1}, []string{"must not be negative"}},
		"expiry":      {Options{ExpireAfter: -time.Second}, []string{"must not be negative"}},
		"delay":       {Options{DelayAfter: -time.Second}, []string{"must not be negative"}},
		"all wrong":   {Options{TLS: "x", MXTLS: "y", Parallel: -1}, []string{"smarthost_tls", "mx_tls", "negative"}},
	} {
		err := tt.opts.Check()
		if (err != nil) != (len(tt.want) > 0) || slices.ContainsFunc(tt.want, func(s string) bool {
			return !strings.Contains(err.Error(), s)
		}) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	var o Options
	o.setDefaults()
	if o.ExpireAfter != 24*time.Hour || o.HostConnections != 2 || o.HostMails != 100 || o.TLS != TLSRequired ||
		o.MXTLS != TLSOpportunistic || o.TLSConfig == nil || o.LookupHost == nil || o.Dial == nil {
		t.Errorf("the defaults are %+v", o)
	}
	if o.isSelf("a", netip.AddrPort{}) {
		t.Error("who knows no self is one")
	}
	for n, want := range map[int]time.Duration{-1: 15 * time.Second, 0: 15 * time.Second, 1: 15 * time.Second,
		2: 30 * time.Second, 6: 10 * time.Minute, 7: 10 * time.Minute, 1000: 10 * time.Minute} {
		for range 50 {
			if d := backoff(n); d < want*8/10 || d > want*12/10 {
				t.Errorf("failure %d is waited for %s, want about %s", n, d, want)
			}
		}
	}
}

// As many mails are worked on at once as one server has connections for, and more where there
// may be several servers.
func TestParallelMails(t *testing.T) {
	mx, err := ParseSmarthost("mx://")
	if err != nil {
		t.Fatal(err)
	}
	host := Smarthost{Host: "h", Addr: "h:25"}
	route := Route{Takes: func(address.Address) bool { return false }, Smarthosts: []Smarthost{host}}
	for name, tt := range map[string]struct {
		opts Options
		want int
	}{
		"a smarthost":            {Options{}, 2},
		"its connections":        {Options{HostConnections: 3}, 3},
		"as configured":          {Options{HostConnections: 3, Parallel: 7}, 7},
		"MX":                     {Options{Smarthosts: []Smarthost{mx}}, 20},
		"MX as configured":       {Options{Smarthosts: []Smarthost{mx}, Parallel: 7}, 7},
		"MX of many connections": {Options{Smarthosts: []Smarthost{mx}, HostConnections: 30}, 30},
		"routes":                 {Options{Routes: []Route{route}}, 20},
	} {
		if tt.opts.Smarthosts == nil {
			tt.opts.Smarthosts = []Smarthost{host}
		}
		if got := New(tt.opts).opts.Parallel; got != tt.want {
			t.Errorf("%s: %d mails at once, want %d", name, got, tt.want)
		}
	}
}
