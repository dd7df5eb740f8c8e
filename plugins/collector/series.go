package collector

import "github.com/flowgraf/flowgraf/plugins/flow"

// The bounds of the observation domains that are series in a database, where each stays:
// of one address, and of all addresses, for those that have more than few. A domain may be
// another one's once it has been silent for a day.
const (
	maxSeries  = 1024
	allSeries  = 65536
	fewSeries  = 16
	seriesTime = flow.Time(24 * 3600e9)
	seriesLook = flow.Time(60e9) // time between two searches for silent ones
)

// series are the domains of an address that may be series, and when each was heard last,
// as far as it is not known any more. Whoever sends ever new domains makes no more.
type series struct {
	heard    map[domainKey]flow.Time
	nextLook flow.Time
	warned   bool // that there are too many has been logged
}

// list says whether a domain may be a series.
func (d *Decoder) list(dom *domain, now flow.Time) bool {
	s := &dom.account.series
	if _, known := s.heard[dom.key]; !known {
		if d.fullSeries(s) && now >= s.nextLook {
			d.freeSeries(s, now)
		}
		if d.fullSeries(s) {
			if s.warned {
				return false
			}
			s.warned = true
			d.log.say(now, "%s sends under more than %d observation domains: further ones are no series of "+
				"netflow_exporter and netflow_options, and counted in domains_unlisted; their flows are decoded",
				dom.key.addr, len(s.heard))
			return false
		}
		if s.heard == nil {
			s.heard = map[domainKey]flow.Time{}
		}
		d.listed++
	}
	s.heard[dom.key] = now
	return true
}

// fullSeries says whether an address has all the series that it may have.
func (d *Decoder) fullSeries(s *series) bool {
	n := len(s.heard)
	return n >= d.maxSeries || n >= fewSeries && d.listed >= allSeries
}

// freeSeries takes the places of domains that have been silent for seriesTime.
func (d *Decoder) freeSeries(s *series, now flow.Time) {
	s.nextLook = now + seriesLook
	for key, heard := range s.heard {
		dom := d.domains[key]
		if dom != nil {
			heard = dom.heard
		}
		if now-heard < seriesTime {
			continue
		}
		if dom != nil {
			dom.unlisted = true
		}
		delete(s.heard, key)
		d.listed--
	}
}

// leaveSeries notes when a domain that is forgotten was heard last.
func (d *Decoder) leaveSeries(dom *domain) {
	if s := &dom.account.series; !dom.unlisted && s.heard != nil {
		s.heard[dom.key] = dom.heard
	}
}

// Unlisted returns how many of the known domains are no series.
func (d *Decoder) Unlisted() (n uint64) {
	for _, dom := range d.domains {
		if dom.unlisted {
			n++
		}
	}
	return n
}
