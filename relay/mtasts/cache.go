package mtasts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/flowgraf/flowgraf/relay/address"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/storage"
)

const (
	fetchTimeout = time.Minute     // section 3.3
	retryAfter   = 5 * time.Minute // between fetches that fail, section 3.3
	refreshAfter = 24 * time.Hour  // a policy is fetched anew although its id is the same
	maxPolicies  = 10_000          // kept
	maxFailures  = 10_000          // domains remembered whose fetch failed
	maxKept      = 1 << 20         // octets of a policy's file
	suffix       = ".json"         // of a policy's file
	wellKnown    = "/.well-known/mta-sts.txt"
)

// Options configure a Cache. Dir, LookupTXT and Write are needed.
type Options struct {
	// Dir is the directory for policies; it is made when the first one comes.
	Dir string
	// LookupTXT asks the DNS; net.Resolver has it.
	LookupTXT func(ctx context.Context, name string) ([]string, error)
	// Client fetches; redirects are not followed whatever it says. Its transport
	// must verify certificates.
	Client *http.Client
	// Write replaces a file durably.
	Write func(path string, b []byte) error
	// Monitor logs; may be nil.
	Monitor *monitor.Monitor
}

// Cache fetches policies and keeps them, over restarts too. It is safe for
// concurrent use.
type Cache struct {
	opts   Options
	client http.Client

	mu     sync.Mutex
	failed map[string]time.Time // by domain, when a fetch failed last
}

// kept is a policy's file.
type kept struct {
	Domain  string    `json:"domain"`
	ID      string    `json:"id"`
	Fetched time.Time `json:"fetched"`
	Policy  Policy    `json:"policy"`
}

func (k *kept) expired(now time.Time) bool {
	return now.Sub(k.Fetched) > k.Policy.MaxAge || k.Fetched.After(now.Add(time.Hour))
}

// New makes a Cache. It touches neither network nor disk.
func New(opts Options) *Cache {
	c := &Cache{opts: opts, failed: map[string]time.Time{}}
	if opts.Client != nil {
		c.client = *opts.Client
	}
	c.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// Policy gives a domain's policy, nil when it has none or it says "none". What fails
// on the way is logged and counts as no news: a policy that is kept stays in force.
func (c *Cache) Policy(ctx context.Context, domain string) *Policy {
	now := time.Now()
	have := c.load(domain, now)
	records, err := c.opts.LookupTXT(ctx, "_mta-sts."+domain+".")
	id, published := ParseRecord(records)
	news := err == nil && published &&
		(have == nil || have.ID != id || now.Sub(have.Fetched) > min(refreshAfter, have.Policy.MaxAge/2))
	if news && c.mayFetch(domain, now) {
		policy, err := c.fetch(ctx, domain)
		if err != nil {
			c.opts.Monitor.LimitedWarnf("mta-sts "+domain, "MTA-STS policy of %s: %v", domain, err)
			c.fetchFailed(domain, now)
		} else {
			have = &kept{Domain: domain, ID: id, Fetched: now.UTC(), Policy: *policy}
			if err := c.save(have); err != nil {
				c.opts.Monitor.LimitedWarnf("mta-sts save", "MTA-STS policy of %s is not kept: %v", domain, err)
			}
		}
	}
	if have == nil || have.Policy.Mode == None {
		return nil
	}
	return &have.Policy
}

// path is a domain's file. The domain has passed address.ParseDomain: letters,
// digits, hyphens and single dots.
func (c *Cache) path(domain string) string { return filepath.Join(c.opts.Dir, domain+suffix) }

// load gives what is kept of a domain, nil when that is nothing or too old.
func (c *Cache) load(domain string, now time.Time) *kept {
	k, err := readKept(c.path(domain))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err == nil && k.Domain != domain:
		err = fmt.Errorf("holds the policy of %q", clip(k.Domain))
	}
	if err != nil {
		c.opts.Monitor.LimitedWarnf("mta-sts load", "MTA-STS policy %s cannot be read and is fetched anew: %v",
			c.path(domain), err)
		return nil
	}
	if k.expired(now) {
		return nil
	}
	return k
}

func readKept(path string) (*kept, error) {
	b, err := storage.ReadFile(path, maxKept)
	if err != nil {
		return nil, err
	}
	k := &kept{}
	if err := json.Unmarshal(b, k); err != nil {
		return nil, err
	}
	if k.Policy.Mode != None && (len(k.Policy.MX) == 0 || (k.Policy.Mode != Enforce && k.Policy.Mode != Testing)) {
		return nil, errors.New("no policy is in it")
	}
	k.Policy.MaxAge = min(k.Policy.MaxAge, maxMaxAge)
	return k, nil
}

func (c *Cache) save(k *kept) error {
	if _, err := address.ParseDomain(k.Domain); err != nil {
		return err
	}
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := os.MkdirAll(c.opts.Dir, 0o700); err != nil {
		return err
	}
	if err := c.makeRoom(); err != nil {
		return err
	}
	return c.opts.Write(c.path(k.Domain), b)
}

// makeRoom drops policies that have expired when too many are kept. The caller holds
// mu.
func (c *Cache) makeRoom() error {
	entries, err := os.ReadDir(c.opts.Dir)
	if err != nil || len(entries) < maxPolicies {
		return err
	}
	now, left := time.Now(), len(entries)
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), suffix) {
			continue
		}
		path := filepath.Join(c.opts.Dir, entry.Name())
		if k, err := readKept(path); (err != nil || k.expired(now)) && os.Remove(path) == nil {
			left--
		}
	}
	if left >= maxPolicies {
		return fmt.Errorf("%d policies are kept already", left)
	}
	return nil
}

func (c *Cache) mayFetch(domain string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.failed[domain]
	return !ok || now.Sub(last) >= retryAfter
}

func (c *Cache) fetchFailed(domain string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed) >= maxFailures {
		clear(c.failed)
	}
	c.failed[domain] = now
}

// fetch gets a policy over HTTPS (section 3.3): no redirects, text/plain, 200.
func (c *Cache) fetch(ctx context.Context, domain string) (*Policy, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+domain+wellKnown, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.client.Do(request)
	if err != nil {
		var netErr *net.OpError
		if errors.As(err, &netErr) {
			return nil, netErr
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: answered %d, expected 200", request.URL, response.StatusCode)
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || kind != "text/plain" {
		return nil, fmt.Errorf("%s: is %q, expected text/plain", request.URL, clip(response.Header.Get("Content-Type")))
	}
	b, err := io.ReadAll(io.LimitReader(response.Body, maxPolicySize+1))
	if err != nil {
		return nil, err
	}
	return Parse(string(b))
}
