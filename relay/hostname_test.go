package relay

import (
	"errors"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/relay/address"
)

func TestQualify(t *testing.T) {
	none := errors.New("no such host")
	for _, tt := range []struct {
		short, canonical string
		err              error
		want             string
		problem          string // part of it
	}{
		{"db1", "db1.example.com.", nil, "db1.example.com", ""},
		{"DB1.example.com.", "", none, "db1.example.com", ""},
		{"db1", "db1.", nil, "db1", "no fully qualified name"},
		{"db1", "", none, "db1", "no fully qualified name"},
		{"db1", "localhost.localdomain.", nil, "db1", "no fully qualified name"},
		{"web_1", "", none, "web-1", "web_1"},
		{"web_1", "web_1.example.com.", nil, "web-1.example.com", "web_1.example.com"},
		{"_x_.example.com", "", none, "x.example.com", "no name for the DNS"},
		{"12345", "", none, "host-12345", "12345"},
		{"", "", none, "localhost", "no name"},
		{"___", "", none, "localhost", "no name"},
	} {
		got, problem := qualify(tt.short, func(string) (string, error) { return tt.canonical, tt.err })
		if got != tt.want || (problem == "") != (tt.problem == "") || !strings.Contains(problem, tt.problem) {
			t.Errorf("%q: %q, %q", tt.short, got, problem)
		}
		if problem != "" && !strings.Contains(problem, "hostname = ") {
			t.Errorf("%q: the warning does not say what to set: %q", tt.short, problem)
		}
		if _, err := address.ParseDomain(got); err != nil {
			t.Errorf("%q: %v", tt.short, err)
		}
	}
}
