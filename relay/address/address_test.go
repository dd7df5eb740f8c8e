package address

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	long64 := strings.Repeat("a", 64)
	tests := []struct {
		name string
		in   string
		want string // empty: refused
	}{
		{"plain", "ops@example.com", "ops@example.com"},
		{"domain to lower case, local part kept", "Ops@EXAMPLE.Com", "Ops@example.com"},
		{"plus and dots", "a.b+c@sub.example.com", "a.b+c@sub.example.com"},
		{"single label", "root@localhost", "root@localhost"},
		{"punycode", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		{"local part of 64", long64 + "@example.com", long64 + "@example.com"},
		{"local part of 65", long64 + "a@example.com", ""},
		{"label of 63", "a@" + strings.Repeat("b", 63) + ".com", "a@" + strings.Repeat("b", 63) + ".com"},
		{"label of 64", "a@" + strings.Repeat("b", 64) + ".com", ""},
		{"whole of 255", "a@" + strings.Repeat("b.", 126) + "c", ""},
		{"empty", "", ""},
		{"no at", "ops", ""},
		{"no local part", "@example.com", ""},
		{"no domain", "ops@", ""},
		{"two ats", "ops@evil.example@example.com", ""},
		{"percent hack", "ops%evil.example@example.com", ""},
		{"bang path", "evil.example!ops@example.com", ""},
		{"quoted local part", `"ops"@example.com`, ""},
		{"quoted with bracket and space", `"a> b"@example.com`, ""},
		{"source route", "@relay.example:ops@example.com", ""},
		{"address literal", "ops@[192.0.2.1]", ""},
		{"bare IPv4", "ops@192.0.2.1", ""},
		{"trailing dot", "ops@example.com.", ""},
		{"leading dot in domain", "ops@.example.com", ""},
		{"two dots in domain", "ops@example..com", ""},
		{"leading dot in local part", ".ops@example.com", ""},
		{"trailing dot in local part", "ops.@example.com", ""},
		{"two dots in local part", "o..ps@example.com", ""},
		{"hyphen at a label's start", "ops@-example.com", ""},
		{"hyphen at a label's end", "ops@example-.com", ""},
		{"underscore in domain", "ops@ex_ample.com", ""},
		{"space", "o ps@example.com", ""},
		{"angle bracket", "ops@example.com>", ""},
		{"NUL in domain", "ops@example\x00.com", ""},
		{"CR in domain", "ops@example.com\rRCPT", ""},
		{"LF in domain", "ops@example.com\n", ""},
		{"high octet in local part", "\xc3\xb6ps@example.com", ""},
		{"high octet in domain", "ops@b\xc3\xbccher.example", ""},
		{"comment", "ops(x)@example.com", ""},
		{"comma", "a,b@example.com", ""},
		{"semicolon", "ops@example.com;x", ""},
		{"backslash", `a\b@example.com`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.in)
			if tt.want == "" {
				if !errors.Is(err, ErrSyntax) {
					t.Fatalf("Parse(%q) = %q, %v, want ErrSyntax", tt.in, got, err)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Fatalf("Parse(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestParseReverse(t *testing.T) {
	a, err := ParseReverse("")
	if err != nil || !a.IsNull() || a.String() != "" {
		t.Fatalf("ParseReverse(\"\") = %#v, %v, want the null reverse-path", a, err)
	}
	if _, err := ParseReverse("<>"); err == nil {
		t.Fatal("ParseReverse took brackets")
	}
}

func TestParseConfigured(t *testing.T) {
	a, err := ParseConfigured("ops@bücher.example")
	if err != nil || a.String() != "ops@xn--bcher-kva.example" {
		t.Fatalf("got %q, %v", a, err)
	}
	for _, bad := range []string{"ops", "öps@example.com", "ops@bü cher.example"} {
		if _, err := ParseConfigured(bad); !errors.Is(err, ErrSyntax) {
			t.Errorf("ParseConfigured(%q): %v, want ErrSyntax", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"ops@example.com", `"a> b"@example.com`, "a@b@c", "a%b@c", "@r:a@b", "a@[::1]",
		"a@b.", "a\x00@b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			return
		}
		if strings.Count(s, "@") != 1 || strings.ContainsAny(s, " \t\r\n\x00\"<>()[]:;,\\%!") {
			t.Fatalf("Parse(%q) accepted", s)
		}
		again, err := Parse(a.String())
		if err != nil || again != a {
			t.Fatalf("Parse(%q) = %#v, then %#v, %v", s, a, again, err)
		}
		if !strings.EqualFold(a.String(), s) {
			t.Fatalf("Parse(%q) changed the address to %q", s, a)
		}
	})
}
