package smtp_relay

import (
	"context"

	"github.com/flowgraf/flowgraf/relay"
)

// Probe asks the smarthosts whether they would take mail from here, see relay.Probe. Init must
// have been called.
func (p *SMTPRelay) Probe(ctx context.Context) error { return p.relay.Probe(ctx) }

// SendTest sends a mail to one address by the smarthosts, see relay.SendTest. Init must have
// been called.
func (p *SMTPRelay) SendTest(ctx context.Context, to string) (answer string, err error) {
	opts, err := p.options()
	if err != nil {
		return "", err
	}
	return relay.SendTest(ctx, opts, to)
}
