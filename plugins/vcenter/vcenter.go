// Package vcenter asks a VMware vCenter what stands behind the ports of its
// distributed switches: virtual machine, port group and host, and which sampling
// rate a switch exports its flows with, which no flow tells.
//
// A Client asks in the background, at intervals, and keeps the latest answer whole:
// looking a port up never waits, and before the first answer there are no names. A
// vCenter that cannot be reached costs nothing but names that grow old; what went
// wrong is counted, and logged once until it works again.
//
// An exporter is found among the switches by its address: that of a switch
// (its "switch IP"), or of a VMkernel interface of one of its hosts. Where that
// leaves several switches, the observation domain decides, then the port itself if
// only one has it.
package vcenter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures a Client. URL is required.
type Options struct {
	// URL of the vCenter, such as https://vcenter.example.com; without a path,
	// /sdk is meant.
	URL string

	// Login returns name and password, each time they are needed. nil logs in
	// with neither.
	Login func() (name, password string, err error)

	// TLS is for https; nil is Go's defaults.
	TLS *tls.Config

	// Interval between two questions; default 5 minutes.
	Interval time.Duration

	// Timeout of one question, with all its parts; default 1 minute.
	Timeout time.Duration

	// Log gets a line when asking begins to fail, and one when it works again. nil
	// is silence.
	Log func(format string, args ...any)
}

// Port is what stands behind a port of a distributed switch. What is unknown, or is
// no virtual machine, is empty.
type Port struct {
	VM        string // name of the virtual machine
	Portgroup string // name of the distributed port group
	Host      string // name of the ESXi host on which the port is
}

// Stats are a Client's counters.
type Stats struct {
	Refreshes uint64    // answers
	Errors    uint64    // questions that failed
	Ports     int       // ports with names in the latest answer
	Switches  int       // in the latest answer
	Refreshed time.Time // when the latest answer came; zero for none
}

// Client keeps the latest answer of a vCenter. It is safe for concurrent use.
type Client struct {
	opt    Options
	url    *url.URL
	latest atomic.Pointer[inventory]

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	stats   Stats
	failing bool
}

// New returns a Client that has not asked yet. It fails when the URL is none.
func New(o Options) (*Client, error) {
	if strings.Contains(o.URL, "@") { // wherever it is, the URL is not shown: a password is before it
		return nil, errors.New("url: expected one like https://vcenter.example.com, without name and password in it: " +
			"they have options of their own")
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("url: expected one like https://vcenter.example.com, got %q", o.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/sdk"
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Minute
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	c := &Client{opt: o, url: u}
	c.latest.Store(&inventory{})
	return c, nil
}

// Start begins to ask. It does not wait for an answer.
func (c *Client) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.wg.Go(func() {
		tick := time.NewTicker(c.opt.Interval)
		defer tick.Stop()
		for {
			c.refresh(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// Stop ends asking, and waits until it has ended. What is known stays.
func (c *Client) Stop() {
	if c.cancel != nil {
		c.cancel()
		c.wg.Wait()
		c.cancel = nil
	}
}

// refresh asks once.
func (c *Client) refresh(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, c.opt.Timeout)
	defer cancel()
	inv, err := c.ask(limited)
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.stats.Errors++
		if !c.failing && c.opt.Log != nil {
			c.opt.Log("vcenter %s: %v (asked again every %s; names stay as they are known)", c.url.Host, err,
				c.opt.Interval)
		}
		c.failing = true
		return
	}
	if c.failing && c.opt.Log != nil {
		c.opt.Log("vcenter %s answers again", c.url.Host)
	}
	c.failing = false
	c.latest.Store(inv)
	c.stats.Refreshes++
	c.stats.Ports, c.stats.Switches, c.stats.Refreshed = inv.ports(), len(inv.switches), time.Now()
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Port returns what stands behind a port of the switch that an exporter's flows of
// an observation domain come from, nil when nothing is known. The Port is shared: it
// is not to be changed.
func (c *Client) Port(exporter netip.Addr, domain, port uint32) *Port {
	return c.latest.Load().port(exporter, domain, port)
}

// Rate returns the sampling rate of the switch that an exporter's flows of an
// observation domain come from: one packet in so many, 0 when that is not known, 1
// when the switch does not sample.
func (c *Client) Rate(exporter netip.Addr, domain uint32) uint32 {
	return c.latest.Load().rate(exporter, domain)
}
