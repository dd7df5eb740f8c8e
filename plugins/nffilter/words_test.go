package nffilter

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TestFieldsByTheirNames asks for each field of a flow by its name in metrics, with its lowest and
// highest numbers, and for addresses, hardware addresses and texts.
func TestFieldsByTheirNames(t *testing.T) {
	asked := 0
	for f := range flow.Field(flow.NumFields) {
		name := f.Name()
		if name == "" || name == "src" || name == "dst" {
			continue
		}
		r := sent(flow.Record{Src: ip("10.0.0.1"), Dst: ip("10.0.0.2")}, f)
		match := func(text string, want bool) {
			t.Helper()
			asked++
			if filter, err := Parse(text, Options{}); err != nil {
				t.Errorf("%s: %v", text, err)
			} else if filter.Match(&r, nil) != want {
				t.Errorf("%s: of a flow with %d got %v", text, r.Number(f), !want)
			}
		}
		switch d := f.Describe(); d.Kind {
		case flow.KindNumber, flow.KindFlags:
			most := uint64(1)<<(8*d.Size-1)<<1 - 1
			for _, v := range []uint64{1, most / 3, most} {
				if r.SetNumber(f, v); r.Number(f) != v {
					continue // a time, which is kept in other units
				}
				match(fmt.Sprintf("%s %d", name, v), true)
				match(fmt.Sprintf("%s = %d", name, v-1), false)
				match(fmt.Sprintf("%s > %d", name, v-1), true)
				match(fmt.Sprintf("%s > %d", strings.ToUpper(name), v), false)
				match(fmt.Sprintf("not %s in [%d 0]", name, v), false)
			}
			if most < 1<<63 {
				if _, err := Parse(fmt.Sprintf("%s %d", name, most+1), Options{}); err == nil ||
					!strings.Contains(err.Error(), fmt.Sprintf("from 0 to %d", most)) {
					t.Errorf("%s %d: %v", name, most+1, err)
				}
			}
		case flow.KindMAC:
			hw := net.HardwareAddr{2, 0, 0x5e, 0, 0x53, 1}
			r.SetNumber(f, 0x02005e005301)
			match(name+" "+hw.String(), true)
			match(name+" 02:00:5e:00:53:02", false)
		}
	}
	if asked < 300 {
		t.Errorf("only %d were asked for", asked)
	}
}

// TestCaretsStandBelowWhatIsWrong: of each filter that is refused, the line that is shown is that of the
// filter, and the characters with a caret below are those that the message quotes.
func TestCaretsStandBelowWhatIsWrong(t *testing.T) {
	for _, c := range refused {
		for _, before := range []string{"", "any and\n", "port 80 or # a comment: (\n\t\tnot any or "} {
			text := before + c.filter
			_, err := Parse(text, Options{})
			var e *Error
			if !errors.As(err, &e) || e.Line == 0 {
				continue
			}
			lines := strings.Split(text, "\n")
			if e.Line > len(lines) || e.Text != strings.ReplaceAll(lines[e.Line-1], "\t", " ") {
				t.Errorf("%q: line %d is shown as %q", text, e.Line, e.Text)
				continue
			}
			if strings.HasSuffix(e.Message, "the filter ends here") {
				if e.Line != len(lines) || e.Column != len(e.Text)+1 || e.Width != 0 {
					t.Errorf("%q: it ends at %d:%d, not behind its end", text, e.Line, e.Column)
				}
				continue
			}
			if e.Column < 1 || e.Column-1+e.Width > len(e.Text) || e.Width < 1 {
				t.Errorf("%q: carets from column %d, %d of them", text, e.Column, e.Width)
				continue
			}
			word := e.Text[e.Column-1 : e.Column-1+e.Width]
			if i := strings.LastIndex(e.Message, "got "); i >= 0 {
				if got := strings.Trim(e.Message[i+len("got "):], `"`); got != word &&
					!strings.HasSuffix(word, "/"+got) {
					t.Errorf("%q: the carets are below %q, the message is %s", text, word, e.Message)
				}
			}
			shown := strings.Split(err.Error(), "\n")
			if len(shown) < 3 || strings.TrimLeft(shown[2], " ") != strings.Repeat("^", e.Width) ||
				len(shown[2]) != 2+e.Column-1+e.Width {
				t.Errorf("%q is shown as\n%v", text, err)
			}
		}
	}
}

// TestColumnsAreCharacters, not bytes, and control characters do not reach a terminal.
func TestColumnsAreCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"ident 'Z\u00fcrich' foo": "1:16 3 ident 'Z\u00fcrich' foo", "any and\x01": "1:8 1 any and ",
		"ident '\u6771\u4eac' and port x": "1:21 1 ident '\u6771\u4eac' and port x", "any\r\nfoo": "2:1 3 foo",
		"\xff": "1:1 1 ?", "ident '\x1b[31m' foo": "1:15 3 ident ' [31m' foo",
	} {
		_, err := Parse(text, Options{})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q is taken", text)
			continue
		}
		if got := fmt.Sprintf("%d:%d %d %s", e.Line, e.Column, e.Width, e.Text); got != want {
			t.Errorf("%q: %q, expected %q", text, got, want)
		}
		if strings.ContainsFunc(err.Error(), func(c rune) bool { return c < ' ' && c != '\n' }) {
			t.Errorf("%q: the error has a control character: %q", text, err)
		}
	}
}

// TestHintsForUsersOfNfdump: what nfdump does not know, or knows otherwise, is told once, with what to
// write there.
func TestHintsForUsersOfNfdump(t *testing.T) {
	for text, want := range map[string]string{
		"proto tcp": "", "src port 80 and bytes > 1k": "", "tcp": "nfdump wants 'proto tcp'",
		"TCP or tcp":                     "nfdump wants 'proto tcp'",
		"port http or port HTTP":         "nfdump knows no names of ports: write 80",
		"udp and port != 53":             "nfdump wants 'proto udp'|nfdump has no '!=': write 'not port \u2026'",
		"ip != 10.0.0.1":                 "nfdump has no '!=': write 'not ip \u2026'",
		"host 10.0.0.0/8":                "nfdump wants 'net', not 'host', before a network",
		"%web (port 80)":                 "labels (%name) are read and not used",
		"(port 80) %web or (port 81) %x": "labels (%name) are read and not used",
		"not flags SA": "'not flags' asks for none of the flags, as nfdump 1.7.1 does; nfdump 1.7.8 asks " +
			"for not all of them",
		"not flags = SA": "", "flags SA": "",
	} {
		if got := strings.Join(mustParse(t, text).Hints(), "|"); got != want {
			t.Errorf("%s: %q, expected %q", text, got, want)
		}
	}
}

// TestCompletionsLeadToFilters: of every filter that matches, each word that is one of the language's is
// offered behind those before it, from its first letters on.
func TestCompletionsLeadToFilters(t *testing.T) {
	language := map[string]bool{"and": true, "or": true, "not": true}
	for _, s := range sideNames {
		language[s.name] = true
	}
	for i := range primitives {
		if p := &primitives[i]; p.form != absent {
			for _, word := range strings.Fields(p.words) {
				language[word] = true
			}
		}
	}
	asked := 0
	for _, c := range matches {
		if strings.ContainsAny(c.filter, "#%'[\n") {
			continue
		}
		words := strings.Fields(c.filter)
		for i, word := range words {
			lower := strings.ToLower(strings.TrimLeft(word, "("))
			if !language[lower] || i > 0 && slices.Contains([]string{"ident", "user", "app", "vm", "name"},
				words[i-1]) {
				continue
			}
			before := strings.Join(words[:i], " ")
			if i > 0 {
				before += " "
			}
			for n := range len(lower) {
				asked++
				list, from := Complete(before + strings.Repeat("(", len(word)-len(lower)) + lower[:n])
				if !slices.ContainsFunc(list, func(c Completion) bool { return c.Text == lower }) ||
					from != len(before)+len(word)-len(lower) {
					t.Errorf("%q: behind %q %q is not offered for %q, from %d", c.filter, before, lower, lower[:n],
						from)
				}
			}
		}
	}
	if asked < 1000 {
		t.Errorf("only %d were asked for", asked)
	}
}

// TestCompletionsAreSorted, each once, with what they are, and none of what is not supported.
func TestCompletionsAreSorted(t *testing.T) {
	for _, text := range []string{"", "src ", "proto ", "asa event ", "nat ", "(", "proto tcp ", "not ", "mpls ",
		"payload ", "pf "} {
		list, _ := Complete(text)
		if !slices.IsSortedFunc(list, func(a, b Completion) int { return strings.Compare(a.Text, b.Text) }) {
			t.Errorf("%q: not sorted: %v", text, list)
		}
		for i, c := range list {
			if i > 0 && list[i-1] == c {
				t.Errorf("%q offers %q twice", text, c.Text)
			}
			if !slices.Contains([]string{"field", "direction", "operator", "value"}, c.What) {
				t.Errorf("%q: %q is a %q", text, c.Text, c.What)
			}
			if slices.Contains([]string{"ja3", "ja4", "dns", "ssl", "tls", "pf", "tor"}, c.Text) {
				t.Errorf("%q offers %q, which is refused", text, c.Text)
			}
		}
	}
	for text, want := range map[string]string{
		"proto tcp ": "and or", "src src": "", "(proto tcp ": "and or", "not (port 80 and (ip 10.0.0.1 ": "and or",
		"proto tc": "tcp", "dir ": "egress in ingress", "first ": "seen", "bgp next ": "as ip",
		"observation ": "domain point",
	} {
		list, _ := Complete(text)
		var got []string
		for _, c := range list {
			if text != "dir " || c.Text != "in" {
				got = append(got, c.Text)
			}
		}
		want = strings.ReplaceAll(want, " in ", " ")
		if strings.Join(got, " ") != want {
			t.Errorf("%q offers %q, expected %q", text, got, want)
		}
	}
}

// TestKeysOfFlows: the keys of a flow are the values of KeyFields, of addresses those that are there.
func TestKeysOfFlows(t *testing.T) {
	if got, want := KeyFields(), flow.SetOf(flow.Src, flow.Dst, flow.XlateSrc, flow.XlateDst, flow.TunSrc, flow.TunDst,
		flow.SrcPort, flow.DstPort, flow.SrcAS, flow.DstAS); got != want {
		t.Errorf("keys are of %v, expected %v", got, want)
	}
	r := flow.Record{Src: ip("10.0.0.1"), Dst: ip("2001:db8::1"), TunSrc: ip("10.0.0.9"), SrcPort: 7, DstAS: 65001}
	got := map[Key]int{}
	EachKey(&r, func(k Key) { got[k]++ })
	want := map[Key]int{{KeyAddress, flow.ValueOf(r.Src)}: 1, {KeyAddress, flow.ValueOf(r.Dst)}: 1,
		{KeyTunnel, flow.ValueOf(r.TunSrc)}: 1, {KeyPort, flow.Value{Lo: 7}}: 1, {KeyPort, flow.Value{}}: 1,
		{KeyAS, flow.Value{}}: 1, {KeyAS, flow.Value{Lo: 65001}}: 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, expected %v", got, want)
	}
}

// TestFiltersAreShared by goroutines: a filter keeps nothing of a flow.
func TestFiltersAreShared(t *testing.T) {
	f, err := Parse("proto tcp and (port in [80 443] or net 192.0.2.0/24) and first seen > 2020",
		Options{Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	want := matching(f)
	done := make(chan string)
	for range 8 {
		go func() {
			got := want
			for range 200 {
				if again := matching(f); again != want {
					got = again
				}
			}
			done <- got
		}()
	}
	for range 8 {
		if got := <-done; got != want {
			t.Errorf("matches %s, alone %s", got, want)
		}
	}
}
