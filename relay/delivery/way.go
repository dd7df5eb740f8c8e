package delivery

import (
	"fmt"

	"github.com/flowgraf/flowgraf/relay/address"
)

// Route is a way of its own for some recipients.
type Route struct {
	// Takes tells whether a recipient goes this way.
	Takes func(address.Address) bool `json:"-"`
	// Smarthosts are tried in this order, for those recipients only.
	Smarthosts []Smarthost
}

// way is what a Route becomes, and Options.Smarthosts.
type way struct {
	name   string                     // of its destination, when it has one for all mails; "" of the last way
	takes  func(address.Address) bool // nil takes all
	places []*place                   // as configured
	mx     bool                       // KindMX is among them: each domain is a destination
	mxPort uint16
}

// several is the name of the destination of mails to several ones. It is no domain.
const several = "*"

// addWays makes the ways, the last of which takes everybody.
func (s *Sender) addWays() {
	for i, r := range s.opts.Routes {
		s.addWay(&way{name: fmt.Sprint("route ", i+1), takes: r.Takes}, r.Smarthosts)
	}
	s.addWay(&way{}, s.opts.Smarthosts)
}

func (s *Sender) addWay(w *way, hosts []Smarthost) {
	for _, h := range hosts {
		p := s.newPlace(w, h)
		w.places, s.places = append(w.places, p), append(s.places, p)
	}
	s.ways = append(s.ways, w)
	s.parted = len(s.ways) > 1 || w.mx || s.parted
}

// wayOf gives the way of a recipient.
func (s *Sender) wayOf(a address.Address) *way {
	for _, w := range s.ways {
		if w.takes == nil || w.takes(a) {
			return w
		}
	}
	return nil // the last one takes all
}

// keyOf gives the name of a recipient's destination.
func (s *Sender) keyOf(a address.Address) string {
	if w := s.wayOf(a); !w.mx {
		return w.name
	}
	return a.Domain
}

// wayTo gives the way to a destination, nil to several.
func (s *Sender) wayTo(name string) *way {
	if name == several {
		return nil
	}
	for _, w := range s.ways {
		if w.name == name && !w.mx {
			return w
		}
	}
	return s.wayOf(address.Address{Local: "postmaster", Domain: name})
}
