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

// getName tells the names of an address: that of the inventory, and those of the DNS, which is
// asked only where that is switched on, since it tells others which addresses somebody looks at.
func (s *Server) getName(w http.ResponseWriter, r *http.Request) error {
	if !s.opt.Names && s.opt.Inventory == "" {
		return &statusError{http.StatusForbidden, errors.New("names are not looked up: flowgraf web --names allows it, " +
			"--inventory has some")}
	}
	text := r.URL.Query().Get("address")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return &Mistake{"address", fmt.Errorf("%q: expected an address, as 192.0.2.1", text)}
	}
	known := []string{}
	if inv, _ := s.inventory.get(); inv.host(addr) != "" {
		known = append(known, inv.host(addr))
	}
	if !s.opt.Names {
		return give(w, AddressNames{addr, known})
	}
	names, err := s.lookUp(r.Context(), addr)
	if err != nil && len(known) == 0 {
		return &statusError{http.StatusBadGateway, fmt.Errorf("the name of %s: %w", addr, err)}
	}
	return give(w, AddressNames{addr, append(known, names...)})
}

// lookUp returns the names that the DNS has of an address.
func (s *Server) lookUp(ctx context.Context, addr netip.Addr) ([]string, error) {
	c := &s.names
	c.mu.Lock()
	names, ok := c.kept[addr]
	c.mu.Unlock()
	if !ok {
		ctx, cancel := context.WithTimeout(ctx, nameTimeout)
		defer cancel()
		found, err := net.DefaultResolver.LookupAddr(ctx, addr.String())
		var none *net.DNSError
		if err != nil && (!errors.As(err, &none) || !none.IsNotFound) {
			return nil, err
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
	return names, nil
}
