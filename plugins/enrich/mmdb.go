package enrich

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Where publishers have the number of the autonomous system, as a number or as text behind
// "AS", and the country.
var (
	asPaths      = [][]any{{"autonomous_system_number"}, {"asn"}, {"as_number"}}
	countryPaths = [][]any{{"country", "iso_code"}, {"country_code"}, {"country"}}
)

// probed is how many networks of a data base are looked at to find out what it tells: the
// first ones may be reserved, and those without data count, as in a damaged one there may
// be no end of them.
const probed = 100_000

// mmdb is a data base of MaxMind's format.
type mmdb struct {
	reader  *maxminddb.Reader
	as      []any // nil where it tells none
	asText  bool  // as AS64500
	country []any
	ipv4    bool // it has no IPv6

	// What has been decoded, by its place in the data: records that share a place take
	// turns.
	decoded [1 << decodedBits]atomic.Pointer[decoded]
}

// decodedBits is the logarithm of how many records are kept decoded: 512 KiB of places,
// enough for all countries and most systems of a day.
const decodedBits = 16

// decoded is what a record says.
type decoded struct {
	at uintptr // of the record in the data
	Entry
}

// readMMDB reads a data base, of which it finds out what it tells.
func readMMDB(data []byte) (table, error) {
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("no data base of MaxMind's format: %w", err)
	}
	m := &mmdb{reader: reader, ipv4: reader.Metadata.IPVersion == 4}
	seen := 0
	for result := range reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if err := result.Err(); err != nil {
			return nil, fmt.Errorf("damaged: %w", err)
		}
		m.probe(result)
		if seen++; m.as != nil && m.country != nil || seen == probed {
			break
		}
	}
	if m.as == nil && m.country == nil {
		return nil, fmt.Errorf("of type %q, it tells neither numbers of autonomous systems nor countries",
			reader.Metadata.DatabaseType)
	}
	return m, nil
}

// probe notes what a network has.
func (m *mmdb) probe(result maxminddb.Result) {
	for _, path := range asPaths {
		var number uint64
		var text string
		switch {
		case m.as != nil:
		case result.DecodePath(&number, path...) == nil && number != 0:
			m.as = path
		case result.DecodePath(&text, path...) == nil && asOf(text) != 0:
			m.as, m.asText = path, true
		}
	}
	for _, path := range countryPaths {
		var text string
		if m.country == nil && result.DecodePath(&text, path...) == nil && isCountry(text) {
			m.country = path
		}
	}
}

// isCountry says whether a text is a code of two letters.
func isCountry(text string) bool {
	return len(text) == 2 && strings.IndexFunc(text, func(c rune) bool { return c < 'A' || c > 'Z' }) < 0
}

// asOf reads a number of an autonomous system, with or without "AS"; 0 where it is none.
func asOf(text string) uint32 {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(text), "AS"), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// lookup implements table. What networks share is not decoded for each flow.
func (m *mmdb) lookup(a netip.Addr) Entry {
	if m.ipv4 && a.Is6() {
		return Entry{}
	}
	result := m.reader.Lookup(a)
	if !result.Found() {
		return Entry{}
	}
	at := result.Offset()
	place := &m.decoded[uint64(at)*0x9E3779B97F4A7C15>>(64-decodedBits)] // Knuth's multiplier
	known := place.Load()
	if known == nil || known.at != at {
		known = &decoded{at, m.decode(result)}
		place.Store(known)
	}
	return known.Entry
}

// decode reads what a data base has of a network. What is damaged is not known.
func (m *mmdb) decode(result maxminddb.Result) (e Entry) {
	var err error
	switch {
	case m.as == nil:
	case m.asText:
		var text string
		err = result.DecodePath(&text, m.as...)
		e.AS = asOf(text)
	default:
		err = result.DecodePath(&e.AS, m.as...)
	}
	if m.country != nil {
		var text string
		err = errors.Join(err, result.DecodePath(&text, m.country...))
		if isCountry(text) {
			e.Country = text
		}
	}
	if err != nil {
		return Entry{}
	}
	return e
}
