package netflow

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
)

// receiver is what the plugin needs of a listener.
type receiver interface {
	Start(handle func([]collector.Datagram)) error
	Stop()
	Park()
	Addr() netip.AddrPort
	fields() map[string]any // of netflow_exporter
}

// udp is a receiver of datagrams.
type udp struct{ *collector.Listener }

func (l udp) fields() map[string]any {
	return map[string]any{
		"kernel_drops":     l.Drops(),
		"read_errors":      l.ReadErrors(),
		"read_buffer_size": uint64(l.ReadBuffer()),
	}
}

// tcp is a receiver of IPFIX over connections.
type tcp struct{ *collector.StreamListener }

func (l tcp) fields() map[string]any {
	s := l.Stats()
	return map[string]any{
		"connections":          s.Open,
		"connections_accepted": s.Accepted,
		"connections_refused":  s.Refused,
		"connections_failed":   s.Failed,
		"connections_replaced": s.Replaced,
		"connections_idle":     s.Idle,
		"connections_broken":   s.Broken,
	}
}

// streams says whether the configured address is one of TCP.
func (n *NetFlow) streams() bool { return strings.HasPrefix(n.ServiceAddress, "tcp") }

// listenerOptions checks the options of the port.
func (n *NetFlow) listenerOptions() error {
	tlsConfig, err := n.tlsConfig()
	switch {
	case err != nil:
		return err
	case n.MaxConnections < 0:
		return fmt.Errorf("max_connections: expected a number above 0, got %d", n.MaxConnections)
	case n.MaxPerAddress < 0:
		return fmt.Errorf("max_connections_per_address: expected a number above 0, got %d", n.MaxPerAddress)
	case n.IdleTimeout < 0:
		return fmt.Errorf("idle_timeout: expected a time above 0, got %s", time.Duration(n.IdleTimeout))
	case tlsConfig != nil && !n.streams():
		return fmt.Errorf("tls_cert: expected service_address = \"tcp://…\" with it, got %q: TLS is for TCP",
			n.ServiceAddress)
	case n.streams() && n.Protocol != "" && !strings.EqualFold(n.Protocol, "ipfix") &&
		!strings.EqualFold(n.Protocol, "netflow v9"):
		return fmt.Errorf("protocol: expected \"ipfix\", the only one that comes over TCP, got %q", n.Protocol)
	}
	return nil
}

// tlsConfig returns the configuration of TLS, nil without it.
func (n *NetFlow) tlsConfig() (*tls.Config, error) {
	if (n.TLSCert == "") != (n.TLSKey == "") || n.TLSCert == "" && len(n.TLSAllowedCACerts) > 0 {
		return nil, errors.New("tls_cert and tls_key: expected both or none")
	}
	c, err := n.TLSConfig()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return c, nil
}

// newListener returns the listener of the configuration, not yet open.
func (n *NetFlow) newListener() (receiver, error) {
	if !n.streams() {
		return udp{collector.NewListener(collector.ListenerOptions{
			Address:    n.ServiceAddress,
			ReadBuffer: int(n.ReadBufferSize),
			Warn:       n.Log.Warnf,
		})}, nil
	}
	o, err := n.streamOptions()
	if err != nil {
		return nil, err
	}
	return tcp{collector.NewStreamListener(o)}, nil
}

// streamOptions returns the options of a listener for TCP.
func (n *NetFlow) streamOptions() (collector.StreamOptions, error) {
	c, err := n.tlsConfig()
	var allow func(netip.Addr) bool
	if n.pool != nil { // else Init has refused options, and only the port is looked at
		allow = n.pool.Allows
	}
	return collector.StreamOptions{
		Address:        n.ServiceAddress,
		TLS:            c,
		MaxConnections: n.MaxConnections,
		MaxPerAddress:  n.MaxPerAddress,
		IdleTimeout:    time.Duration(n.IdleTimeout),
		Allow:          allow,
		Warn:           n.Log.Warnf,
	}, err
}

// Check says whether the plugin could start: whether its port is free, and its
// certificates can be read. It does so also after Init has refused other options.
func (n *NetFlow) Check() error {
	if _, _, err := collector.ParseAddress(n.ServiceAddress); err != nil {
		return nil // Init has told
	}
	l, err := n.newListener()
	if err != nil {
		return err
	}
	defer l.Stop()
	return l.Start(func([]collector.Datagram) {})
}
