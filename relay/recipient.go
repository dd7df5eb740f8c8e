package relay

import (
	"fmt"
	"os/user"
	"strings"

	"github.com/flowgraf/flowgraf/relay/address"
)

// The values of Options.LocalRecipients: who gets mail at the names of this host.
const (
	RecipientsAny     = "any"     // everybody
	RecipientsAliases = "aliases" // aliases
	RecipientsUsers   = "users"   // aliases and users of this host
)

func (r *Relay) checkLocalRecipients() error {
	switch r.opts.LocalRecipients {
	case "", RecipientsAny, RecipientsAliases, RecipientsUsers:
		return nil
	}
	return fmt.Errorf(`local_recipients is %q: expected "any", "aliases" or "users"`, r.opts.LocalRecipients)
}

// unknown tells whether an address at a name of this host is one that nobody has.
func (r *Relay) unknown(a address.Address) bool {
	if !r.rules.Local(a.Domain) || r.known(a) {
		return false
	}
	switch r.opts.LocalRecipients {
	case RecipientsAliases:
		return true
	case RecipientsUsers:
		_, err := user.Lookup(strings.ToLower(a.Local))
		return err != nil
	}
	return false
}
