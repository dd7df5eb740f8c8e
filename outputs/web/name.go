package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// nameCache keeps names of addresses.
type nameCache struct {
	mu   sync.Mutex
	kept map[netip.Addr][]string
}

// The bounds of looking names up.
const (
	maxNames    = 10_000
	nameTimeout = 3 * time.Second
)

// AddressNames are the names of an address.
type AddressNames struct {
	Address netip.Addr `json:"address"`
	Names   []string   `json:"names"`
}

// getName looks the names of an address up in the DNS: only where that is switched on, since
// it tells others which addresses somebody looks at.
func (s *Server) getName(w http.ResponseWriter, r *http.Request) error {
	if !s.opt.Names {
		return &statusError{http.StatusForbidden, errors.New("names are not looked up: flowgraf web --names allows it")}
	}
	text := r.URL.Query().Get("address")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return &Mistake{"address", fmt.Errorf("%q: expected an address, as 192.0.2.1", text)}
	}
	c := &s.names
	c.mu.Lock()
	names, ok := c.kept[addr]
	c.mu.Unlock()
	if !ok {
		ctx, cancel := context.WithTimeout(r.Context(), nameTimeout)
		defer cancel()
		found, err := net.DefaultResolver.LookupAddr(ctx, addr.String())
		var none *net.DNSError
		if err != nil && (!errors.As(err, &none) || !none.IsNotFound) {
			return &statusError{http.StatusBadGateway, fmt.Errorf("the name of %s: %w", addr, err)}
		}
		names = []string{}
		for _, name := range found {
			names = append(names, strings.TrimSuffix(name, "."))
		}
		c.mu.Lock()
		if len(c.kept) >= maxNames || c.kept == nil {
			c.kept = map[netip.Addr][]string{}
		}
		c.kept[addr] = names
		c.mu.Unlock()
	}
	return give(w, AddressNames{addr, names})
}
