package web

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// dataOfProfile is a profile.dat with everything in it.
const dataOfProfile = `# mail and web
# of the campus
name = services
group = campus
tbegin = 1700000000
tcreate = 1700000000
tstart = 1700000100
tend = 1700003700
updated = 1700003400
expire = 48
maxsize = 1073741824
size = 12345
type = 6
locked = 0
status = built 12.5%
version = 130
channel = smtp:-:#ff0000:1:edge1
channel = https:+:#00ff00:2:edge1|edge2
channel = http:+:green:1:edge1|edge2
`

// A profile.dat is read with all that NfSen writes, channels in the order of the graph.
func TestParseProfile(t *testing.T) {
	p, err := ParseProfile(strings.NewReader(dataOfProfile))
	must(t, err)
	if p.Name != "services" || p.Group != "campus" || p.Kind != "continuous" || !p.Shadow || p.Expire != 48 ||
		p.MaxSize != 1<<30 || p.Size != 12345 || p.Start != 1700000100 || p.End != 1700003700 ||
		p.Status != "built 12.5%" ||
		strings.Join(p.Description, "/") != "mail and web/of the campus" {
		t.Errorf("read as %+v", p)
	}
	if c := p.Channels; len(c) != 3 || c[0].Name != "http" || c[0].Colour != "" || c[1].Name != "https" ||
		c[1].Colour != "#00ff00" || strings.Join(c[1].Sources, " ") != "edge1 edge2" || c[2].Sign != "-" {
		t.Errorf("channels %+v", c)
	}
	for text, want := range map[string]string{"": "name", "name = a\ntype = 3\n": "line 2", "name = a\nsize = " +
		"x": "number",
		"name = a\nchannel = b\n": "NAME:SIGN"} {
		if _, err := ParseProfile(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Profiles come with the filters of their channels; a wrong one says so, and a link out of
// the directory is not followed.
func TestProfilesWithFilters(t *testing.T) {
	tr := makeTree(t, 2, 5)
	_, h := serve(t, tr.dir, Options{Profiles: makeProfiles(t, tr)})
	list := ask[Profiles](t, h, "profiles")
	if len(list.Profiles) != 2 || len(list.Problems) != 0 {
		t.Fatalf("%d profiles, problems %v", len(list.Profiles), list.Problems)
	}
	web := list.Profiles[1]
	if c := web.Channels[0]; web.Name != "servers" || c.Filter != "proto tcp and\ndst port 443" || c.Problem != "" {
		t.Errorf("%+v", web)
	}
}

func FuzzParseProfile(f *testing.F) {
	f.Add(dataOfProfile)
	f.Add("name = a\nchannel = b:+:#000000:1:\n")
	f.Add("channel=::::\n= =\nname =\xff")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProfile(strings.NewReader(text))
		if err == nil && (p.Name == "" || len(p.Channels) > maxChannels) {
			t.Errorf("read as %+v", p)
		}
	})
}

// Whatever a request has in it, it is a question within the bounds, or a mistake of a field.
func FuzzQuestion(f *testing.F) {
	f.Add("from=1&to=2&filter=proto+tcp&by=srcip,dstport&lines=5&unit=flows&peak=true&points=10&stat=srcip/bytes&top=3")
	f.Add("from=-1&to=99999999999999999999&source=a&source=b&profile=c")
	f.Add("by=srcip4/33&stat=record&filter=%28")
	f.Add("limit=10&offset=5&sort=tstart:d&both=true&column=%25sa&format=csv")
	a := &Archive{root: "/archive", zone: time.UTC}
	a.sources.Store(&[]*Source{{Name: "live/a", Interval: 300}})
	a.kept.channels.Store(&[]*Source{})
	f.Fuzz(func(t *testing.T, text string) {
		form, err := url.ParseQuery(text)
		if err != nil || len(text) > 4096 {
			return
		}
		now := time.Unix(1_700_000_000, 0)
		if q, err := a.question(form, now); err == nil {
			if q.From >= q.To || q.Lines > maxLines || q.Points > maxSteps || len(q.Stats) > maxStats {
				t.Errorf("%q: %+v", text, q)
			}
			if n := (q.To - q.From + stepOf(q.sources, q.Span, q.Points) - 1) / stepOf(q.sources, q.Span,
				q.Points); n > maxSteps {
				t.Errorf("%q: %d steps", text, n)
			}
			if k := a.newAsking(q, 1, 0); strings.ContainsAny(k.cost.Command, "\x00") && !strings.Contains(text, "00") {
				t.Errorf("%q: %q", text, k.cost.Command)
			}
		}
		if l, err := a.list(form, now); err == nil && (l.Limit > maxLimit || l.Offset > maxOffset) {
			t.Errorf("%q: %+v", text, l)
		}
	})
}
