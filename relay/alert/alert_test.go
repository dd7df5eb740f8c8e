package alert

import (
	"errors"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// desk is an engine with the mails that it has written.
type desk struct {
	t      testing.TB
	engine *Engine
	mon    *monitor.Monitor
	mails  []*Mail
	freed  int
	fail   error
}

func newDesk(t testing.TB, state string, rules ...Rule) *desk {
	t.Helper()
	d := &desk{t: t, mon: monitor.New(nil, nil)}
	if state == "" {
		state = filepath.Join(t.TempDir(), "alert.state")
	}
	var err error
	d.engine, err = New(Options{Rules: rules, Hostname: "h.example.com", StateFile: state, Monitor: d.mon,
		Hold: d.hold})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.engine.Recover(nil); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) hold(m *Mail) (func(), error) {
	if d.fail != nil {
		return nil, d.fail
	}
	d.mails = append(d.mails, m)
	return func() { d.freed++ }, nil
}

func (d *desk) apply(samples ...Sample) {
	d.t.Helper()
	if n, err := d.engine.Apply(samples); err != nil || n != len(samples) {
		d.t.Fatalf("Apply: %d, %v", n, err)
	}
}

func (d *desk) levels() string {
	var out []string
	for _, m := range d.mails {
		out = append(out, m.Change.Level.String())
	}
	return strings.Join(out, " ")
}

func sample(second int, value any) Sample {
	return Sample{Name: "m", Tags: map[string]string{"host": "a"}, Fields: map[string]any{"v": value},
		Time: time.Unix(int64(second), 0)}
}

func testRule(edit func(*Rule)) Rule {
	r := Rule{Name: "r", Crit: "fields.v > 80", From: "f@example.com", To: []string{"t@example.com"}}
	if edit != nil {
		edit(&r)
	}
	return r
}

// TestGoldenVector: levels with resets change as those of Kapacitor's AlertNode do.
func TestGoldenVector(t *testing.T) {
	compiled, err := newRule(testRule(func(r *Rule) {
		r.Info, r.InfoReset = "fields.v > 60", "fields.v < 50"
		r.Warn, r.WarnReset = "fields.v > 70", "fields.v < 60"
		r.CritReset = "fields.v < 70"
	}))
	if err != nil {
		t.Fatal(err)
	}
	level := OK
	var got []string
	for i, v := range []int64{61, 73, 64, 85, 62, 56, 47} {
		s := sample(i, v)
		if level, err = compiled.nextLevel(level, s.vars()); err != nil {
			t.Fatal(err)
		}
		got = append(got, level.String())
	}
	if want := "INFO WARNING WARNING CRITICAL INFO INFO OK"; strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

func TestChangesOnly(t *testing.T) {
	tests := []struct {
		name   string
		edit   func(*Rule)
		values []any
		want   string
	}{
		{"first OK is silent", nil, []any{1, 2, 3}, ""},
		{"one mail a change", nil, []any{1, 90, 95, 99, 3, 2}, "CRITICAL OK"},
		{"levels up and down", func(r *Rule) { r.Warn = "fields.v > 70" }, []any{75, 85, 75, 1},
			"WARNING CRITICAL WARNING OK"},
		{"reset holds it", func(r *Rule) { r.CritReset = "fields.v < 10" }, []any{90, 50, 20, 5}, "CRITICAL OK"},
		{"missing field changes nothing", nil, []any{90, nil, 90, nil, 1}, "CRITICAL OK"},
		{"string field is an error", nil, []any{90, "x", 1}, "CRITICAL OK"},
		{"where", func(r *Rule) { r.Where = `tags.host == "b"` }, []any{90, 1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, "", testRule(tt.edit))
			for i, v := range tt.values {
				s := sample(i, v)
				switch v := v.(type) {
				case nil:
					s.Fields = map[string]any{"other": 1.0}
				case int:
					s.Fields["v"] = []any{int64(v), uint64(v), float64(v)}[i%3]
				}
				d.apply(s)
			}
			if got := d.levels(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if d.freed != len(d.mails) {
				t.Errorf("%d of %d mails released", d.freed, len(d.mails))
			}
		})
	}
}

func TestIDs(t *testing.T) {
	d := newDesk(t, "", testRule(nil))
	for i := range 3 {
		s := sample(i, 90.0)
		s.Tags = map[string]string{"host": fmt.Sprint(i), "a": "z"}
		d.apply(s)
	}
	var got []string
	for _, m := range d.mails {
		got = append(got, m.Change.ID)
	}
	want := []string{"m:a=z,host=0", "m:a=z,host=1", "m:a=z,host=2"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ids %q, want %q", got, want)
	}
}

func TestMaxIDs(t *testing.T) {
	d := newDesk(t, "", testRule(nil))
	d.engine.opts.MaxIDs = 2
	for i := range 5 {
		s := sample(i, 90.0)
		s.Tags = map[string]string{"host": fmt.Sprint(i)}
		d.apply(s)
	}
	if len(d.mails) != 2 || d.mon.Total(monitor.AlertIDsExceeded) != 3 {
		t.Errorf("%d mails, %d refused", len(d.mails), d.mon.Total(monitor.AlertIDsExceeded))
	}
}

// A mail that cannot be stored changes nothing, and what came before it stands.
func TestHoldFails(t *testing.T) {
	d := newDesk(t, "", testRule(nil))
	d.apply(sample(0, 90.0))
	d.fail = errors.New("disk full")
	n, err := d.engine.Apply([]Sample{sample(1, 91.0), sample(2, 1.0), sample(3, 92.0)})
	if n != 1 || !errors.Is(err, d.fail) {
		t.Fatalf("%d, %v, want 1 sample applied and the error", n, err)
	}
	d.fail = nil
	d.apply(sample(2, 1.0), sample(3, 92.0))
	if got := d.levels(); got != "CRITICAL OK CRITICAL" {
		t.Errorf("got %q", got)
	}
}

// A change is told once over a restart, whichever of state file and mail is there.
func TestRecover(t *testing.T) {
	state := filepath.Join(t.TempDir(), "alert.state")
	d := newDesk(t, state, testRule(nil))
	d.apply(sample(10, 90.0))
	first := d.mails[0].Change
	atFirst, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	d.apply(sample(20, 1.0))
	atSecond, _ := os.ReadFile(state)
	second := d.mails[1].Change

	tests := []struct {
		name    string
		state   []byte
		waiting []Change
		want    string // after one more sample over the limit
	}{
		{"nothing", nil, nil, "CRITICAL"},
		{"state", atFirst, nil, ""},
		{"mail without state", nil, []Change{first}, ""},
		{"both", atFirst, []Change{first}, ""},
		{"recovery without state", atFirst, []Change{second}, "CRITICAL"},
		{"old mail still waits", atSecond, []Change{first}, "CRITICAL"},
		{"both mails wait", nil, []Change{second, first}, "CRITICAL"},
		{"damaged state", atFirst[:20], []Change{first}, ""},
		{"unknown rule", nil, []Change{{Rule: "gone", ID: "m:host=a", Level: Critical, Seq: 1}}, "CRITICAL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "alert.state")
			if tt.state != nil {
				if err := os.WriteFile(state, tt.state, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			d := newDesk(t, state, testRule(nil))
			if err := d.engine.Recover(tt.waiting); err != nil {
				t.Fatal(err)
			}
			d.apply(sample(30, 95.0))
			if got := d.levels(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDurationAndPeakSurvive(t *testing.T) {
	state := filepath.Join(t.TempDir(), "alert.state")
	r := testRule(func(r *Rule) {
		r.Warn = "fields.v > 70"
		r.Message = "{{ .ID }} {{ .Level }} after {{ .Duration }}, peak {{ .Peak }}, before {{ .Previous }}, {{ " +
			".Value }}"
	})
	for i, v := range []float64{75, 90, 75, 1} {
		d := newDesk(t, state, r)
		d.apply(sample(60*i, v))
		if v == 1 && !strings.Contains(string(d.mails[0].Message),
			"m:host=a OK after 3m0s, peak CRITICAL, before WARNING, 1") {
			t.Errorf("mail:\n%s", d.mails[0].Message)
		}
	}
}

func TestMessage(t *testing.T) {
	d := newDesk(t, "", testRule(func(r *Rule) {
		r.Message = "\n\nGrößer: {{ .Tags.host }}\r\nBcc: evil@example.com\nsecond {{ index .Tags \"no-such\" }}"
	}))
	s := sample(1, 90.0)
	s.Tags["host"] = "<b>x</b>\r\nBcc: evil@example.com"
	d.apply(s)
	text := string(d.mails[0].Message)
	head, body, ok := strings.Cut(text, "\r\n\r\n")
	if !ok || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") ||
		strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") {
		t.Fatalf("lines of %q", text)
	}
	for line := range strings.SplitSeq(head, "\r\n") {
		if strings.HasPrefix(strings.ToLower(line), "bcc") {
			t.Errorf("header injected: %q", head)
		}
	}
	if _, html, _ := strings.Cut(body, "text/html"); strings.Contains(html, "<b>") {
		t.Errorf("tag not escaped in HTML:\n%s", body)
	}
	for _, want := range []string{"multipart/alternative", "text/plain", "text/html", "X-Priority: 1", "Importance: ",
		"Auto-Submitted: auto-generated", "X-Auto-Response-Suppress: All", "References: <alert-",
		"Message-ID: <alert-"} {
		if !strings.Contains(text, want) {
			t.Errorf("the mail lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(strings.ToLower(head), "go-mail") {
		t.Errorf("advertisement in %q", head)
	}
}

// A template that fails on data must not lose the alert.
func TestTemplateFails(t *testing.T) {
	d := newDesk(t, "", testRule(func(r *Rule) { r.Message = `{{ slice .Name 0 100 }}` }))
	d.apply(sample(1, 90.0))
	if len(d.mails) != 1 || !strings.Contains(string(d.mails[0].Message), "Subject: m:host=a is CRITICAL") {
		t.Fatalf("mails %v", d.mails)
	}
}

func TestMessageIDIsIdempotent(t *testing.T) {
	c := Change{Rule: "r", ID: "i", Level: Critical, Time: time.Unix(1, 5), Since: time.Unix(1, 5)}
	same := c
	same.Time = c.Time.In(time.FixedZone("x", 3600))
	same.Seq = 99
	if c.messageID("h") != same.messageID("h") {
		t.Error("one change has two Message-IDs")
	}
	for _, other := range []Change{{Rule: "x", ID: "i", Level: Critical, Time: c.Time},
		{Rule: "r", ID: "i", Level: OK, Time: c.Time}, {Rule: "r", ID: "i", Level: Critical, Time: time.Unix(1, 6)}} {
		if c.messageID("h") == other.messageID("h") {
			t.Errorf("%+v has the same Message-ID", other)
		}
	}
}

func TestSubject(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb": "a", "\n  \n x \t y\r\nz": "x   y", "": "(no text)",
		strings.Repeat("ü", 300): strings.Repeat("ü", 200) + "…",
	} {
		if got := subject(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Rule)
		want string
	}{
		{"no name", func(r *Rule) { r.Name = "" }, "name"},
		{"no levels", func(r *Rule) { r.Crit = "" }, "all empty"},
		{"syntax", func(r *Rule) { r.Crit = "fields.v >" }, "crit"},
		{"unknown variable", func(r *Rule) { r.Warn = "value > 1" }, "warn"},
		{"not bool", func(r *Rule) { r.Where = "1 + 1" }, "bool"},
		{"dynamic", func(r *Rule) { r.Where = "fields.v" }, "bool"},
		{"reset without level", func(r *Rule) { r.InfoReset = "true" }, "reset"},
		{"template syntax", func(r *Rule) { r.ID = "{{ .Name" }, "id"},
		{"template name", func(r *Rule) { r.Message = "{{ .Nmae }}" }, "message"},
		{"level in id", func(r *Rule) { r.ID = "{{ .Level }}" }, "id"},
		{"from", func(r *Rule) { r.From = "nobody" }, "from"},
		{"to", func(r *Rule) { r.To = []string{"a@b", `"x y"@b`} }, "to"},
		{"no to", func(r *Rule) { r.To = nil }, "to is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Options{Rules: []Rule{testRule(tt.edit)}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	if _, err := New(Options{Rules: []Rule{testRule(nil), testRule(nil)}}); err == nil ||
		!strings.Contains(err.Error(), "twice") {
		t.Errorf("two rules of one name: %v", err)
	}
}

// The language is that of metricpass: what its documentation shows must compile.
func TestLanguage(t *testing.T) {
	s := Sample{
		Name:   "cpu",
		Tags:   map[string]string{"host": "node-1"},
		Fields: map[string]any{"i": int64(3), "u": uint64(7), "f": 1.5, "s": "text", "b": true},
		Time:   time.Now().Add(-time.Minute),
	}
	for text, want := range map[string]bool{
		`name.startsWith("c") && tags.host.matches("^node-[0-9]+$")`: true,
		`"f" in fields && fields.f > 1`:                              true,
		`fields.u > 6 && fields.i < 4.5`:                             true,
		`double(fields.u) * 8.0 > 55.0`:                              true,
		`fields.b && fields["s"].contains("ex")`:                     true,
		`time >= now() - duration("30s")`:                            false,
		`math.greatest(fields.f, 1.0) == 1.5`:                        true,
		`fields.s.charAt(0) == "t"`:                                  true,
		`base64.decode("dA==") == b"t"`:                              true,
		`has(fields.none) || fields.i == 3`:                          true,
	} {
		e, err := compile("where", text)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := e.holds(s.vars()); err != nil || got != want {
			t.Errorf("%s gives %v, %v", text, got, err)
		}
	}
	for _, text := range []string{`fields.none > 1`, `tags["none"] == "x"`} {
		e, err := compile("where", text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.holds(s.vars()); !errors.Is(err, errNoValue) {
			t.Errorf("%s gives %v, want errNoValue", text, err)
		}
	}
}

func FuzzExpression(f *testing.F) {
	for _, seed := range []string{"fields.v > 1", `name == "x"`, "now() > time", "[1,2].all(x, x > 0)", "1", "((((",
		`tags["a"]`} {
		f.Add(seed)
	}
	s := sample(1, 90.0)
	vars := s.vars()
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 300 {
			return
		}
		e, err := compile("where", text)
		if err == nil {
			e.holds(vars)
		}
	})
}

func FuzzTemplate(f *testing.F) {
	f.Add("{{ .ID }} is {{ .Level }}", "a")
	f.Add("{{ range $k, $v := .Tags }}{{ $k }}={{ $v }}\r\n{{ end }}", "x\r\nBcc: y")
	f.Add("\x00\xff\r", "\xff")
	f.Add("{{ .Tags.host }}", strings.Repeat("ä", 500))
	f.Add("{{ range 2000000000 }}{{ end }}", "x")
	f.Add("{{ .Tags.host }}", "=?utf-8?q?Bcc:_y?=")
	f.Add(`{{ bytes 3 }} {{ si 1e300 "B" }} {{ duration -2 }} {{ printf "%999d" 1 }}`, "x")
	f.Fuzz(func(t *testing.T, text, tag string) {
		compiled, err := newRule(testRule(func(r *Rule) { r.Message = text }))
		if err != nil {
			return
		}
		data := &messageData{idData: idData{Name: "m", Tags: map[string]string{"host": tag}}, ID: tag,
			Level: "CRITICAL"}
		m, err := compiled.compose(Change{Rule: "r", ID: tag, Level: Critical}, data, compiled.text(data),
			[]string{"t@example.com"},
			"h.example.com", time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		head, _, ok := strings.Cut(string(m.Message), "\r\n\r\n")
		if !ok {
			t.Fatalf("no body in %q", m.Message)
		}
		for line := range strings.SplitSeq(head, "\r\n") {
			if decoded, err := new(mime.WordDecoder).DecodeHeader(line); strings.HasPrefix(line, "Subject:") &&
				err != nil {
				t.Fatalf("header line %q decodes to %q: %v", line, decoded, err)
			}
			if strings.ContainsAny(line, "\r\n\x00") || strings.HasPrefix(strings.ToLower(line), "bcc") ||
				len(line) > 998 {
				t.Fatalf("header line %q", line)
			}
		}
	})
}

func BenchmarkApply(b *testing.B) {
	d := newDesk(b, "", testRule(func(r *Rule) { r.Where = `name == "m" && "v" in fields` }))
	s := []Sample{sample(1, 1.0)}
	b.ReportAllocs()
	for b.Loop() {
		d.apply(s[0])
	}
}
