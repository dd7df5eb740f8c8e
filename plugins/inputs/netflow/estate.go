package netflow

import (
	"github.com/flowgraf/flowgraf/plugins/decoding"
	"github.com/flowgraf/flowgraf/plugins/outcome"
)

// estate is what the plugin leaves to that of the next configuration.
type estate struct {
	listener receiver // parked
	tls      bool
	pool     *decoding.Pool // stopped
	identity string
	bytes    bool // DatagramBytes
}

// Stop closes the port, when no plugin takes it.
func (e *estate) Stop() { e.listener.Stop() }

func (n *NetFlow) estate(l receiver) *estate {
	return &estate{listener: l, tls: n.TLSCert != "", pool: n.pool, identity: n.Identity, bytes: n.DatagramBytes}
}

// continues says whether the options are those of the plugin before, also those that
// stand in files.
func (n *NetFlow) continues(before *estate) bool {
	return n.Identity != "" && n.Identity == before.identity && n.DatagramBytes == before.bytes && len(n.PENFiles) == 0
}

// open opens the port, or takes over that of the plugin before. Connections without TLS
// are closed when the new configuration wants TLS, and the other way round.
func (n *NetFlow) open(before *estate) (receiver, error) {
	l, err := n.newListener()
	if err != nil {
		return nil, err
	}
	if before != nil && before.tls == (n.TLSCert != "") {
		return before.listener, n.adopt(before.listener)
	}
	if before != nil {
		before.Stop()
	}
	if err := l.Start(n.pool.Receive); err != nil {
		return nil, &outcome.Startup{Err: err}
	}
	return l, nil
}

// adopt goes on with a parked listener, with the options of this plugin.
func (n *NetFlow) adopt(l receiver) error {
	switch l := l.(type) {
	case udp:
		l.Adopt(int(n.ReadBufferSize), n.pool.Receive)
	case tcp:
		o, err := n.streamOptions()
		if err != nil {
			return err
		}
		l.Adopt(o, n.pool.Receive)
	}
	return nil
}
