package exim

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each testdata/*.conf gives the *.toml beside it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".conf"), func(t *testing.T) {
			in, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			s, err := Read(in)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".conf") + ".toml"
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			files := Files{}
			for _, name := range FileNames() {
				if b, err := os.ReadFile(filepath.Join(strings.TrimSuffix(file, ".conf"), name)); err == nil {
					files[name] = string(b)
				}
			}
			if got, err := s.TOML(files); err != nil || got != string(want) {
				t.Errorf("got\n%s%v\nwant, from %s,\n%s", got, err, golden, want)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"line 1":     "dc_relay_nets",
		"line 2":     "a='b'\nc d='e'",
		"one quoted": "a='b",
		"quotes":     "a=b c",
		"$":          "a=\"$(x)\"",
		"no setting": "# nothing\n",
		"quoted":     "a='b'c",
		"printable":  "a='\x1b'",
	} {
		if s, err := Read(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q gives %q, %v", in, s, err)
		}
	}
}

func TestInterfaceAddr(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1": "127.0.0.1:25", "127.0.0.1.587": "127.0.0.1:587", "[127.0.0.1]:587": "[127.0.0.1]:587",
		"::1": "[::1]:25", "[::1]:587": "[::1]:587", "::1.587": "[::1]:587", "eth0": "", "127.0.0.1.0": "", "1.2.3": "",
		"": "", "127.0.0.1:587": "", "[x]:587": "", "[::1]:0": "", "127.0.0.1.65536": "", "127.0.0.1.65537": "", ".25": "",
		"fe80::1%eth0": "", "fe80::1%eth0.25": "", "[fe80::1]:25": "[fe80::1]:25",
	} {
		if got, ok := interfaceAddr(in); ok != (want != "") || (ok && got != want) {
			t.Errorf("%q gives %q, %v", in, got, ok)
		}
	}
}

// FuzzRead reads arbitrary files; what comes out has no line that its values made.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"dc_relay_nets='10.0.0.0/8 ; ::1'\n", "dc_smarthost=\"a::25;b\"", "x='y' # z",
		"dc_eximconfig_configtype='internet'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		out, err := s.TOML(nil)
		if err != nil {
			return
		}
		for i, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
			if i > 1 && !strings.HasPrefix(line, "  ## ") && !strings.HasPrefix(line, "  # ") &&
				!strings.Contains(line, " = ") {
				t.Fatalf("%q gives the line %q", text, line)
			}
		}
	})
}

// Lists are parted at semicolons; old ones at colons, where these are no part of an
// address or a port.
func TestList(t *testing.T) {
	for text, want := range map[string][]string{
		"a.example ; b.example":    {"a.example", "b.example"},
		"a.example:*.b.example":    {"a.example", "*.b.example"},
		"192.0.2.0/24 : 192.0.2.7": {"192.0.2.0/24", "192.0.2.7"},
		"<; 2001:db8::1":           {"2001:db8::1"},
		"2001:db8:0:0:0:0:0:1":     {"2001:db8:0:0:0:0:0:1"},
		"2001:db8:1:2:3:4:5:0/112": {"2001:db8:1:2:3:4:5:0/112"},
		"mail.example.com::587":    {"mail.example.com:587"},
		"a;b;;c;<d":                {"a", "b;c", "<d"},
		"<, a, b:c":                {"a", "b:c"},
		"  <, a, b:c":              {"a", "b:c"},
		"<,a,b":                    {"a", "b"},
		"<":                        {"<"},
		"<;":                       nil,
		"2001::db8::::1 : a":       {"2001:db8::1", "a"},
		"127.0.0.1 ; ::1":          {"127.0.0.1", "::1"},
		" ":                        nil,
	} {
		if got := list(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
