package report

import "github.com/flowgraf/flowgraf/outputs/query"

// ValueText returns the value of a statistic's row as the tables have it, and the name of
// its protocol, "" where rows are not split by it.
func ValueText(e query.Element, k query.Key) (value, proto string) {
	if p, known := k.Proto(); known {
		proto = protoText(p)
	}
	if e.IsAddr() {
		return k.Addr().String(), proto
	}
	if e == query.Proto {
		return proto, ""
	}
	return string(appendNumber(nil, e, k.Number())), proto
}

// TagInfo is a tag of the formats fmt:, csv: and table:, and the heading of its column.
type TagInfo struct {
	Name    string `json:"name"`
	Heading string `json:"heading"`
}

// Tags returns all tags that columns can be made of.
func Tags() []TagInfo {
	var all []TagInfo
	for i := range tags {
		if t := &tags[i]; t.csv != "" && t.name != "n" {
			all = append(all, TagInfo{"%" + t.name, t.csv})
		}
	}
	return all
}
