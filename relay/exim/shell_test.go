package exim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pieces are what the values of random assignments are made of: all that means something to
// a shell, and what stands in settings.
var pieces = []string{"'", `"`, "#", " ", "\t", "~", "~root", "*", "?", "[a]", "{a,b}", "=", "!", "^", "%", ",", ":",
	";", "|", "&", "<", ">", "(", ")", "$a", "${a}", "`a`", `\`, "a", "b.c", "10.0.0.0/8", "::1", "@", "+", "-", "_", "é"}

// assignments returns lines of the form name=value: what people write, and random ones.
func assignments() []string {
	lines := []string{"''", `""`, "", "'a b'", `"a 'b'"`, "'a'#b", "'a' #b", "'a'\t# b", "a#b", "#a", "~", "~/x", "a:~/x",
		"a~b", "'~'", "a=b", "'a'''", "''a", "'a\"b'", "*", "'10.0.0.0/8 ; ::1'", "a'b'", "'#'"}
	rng := rand.New(rand.NewPCG(31, 32))
	for range 3000 {
		var value strings.Builder
		for range rng.IntN(5) {
			value.WriteString(pieces[rng.IntN(len(pieces))])
		}
		text := value.String()
		switch rng.IntN(4) {
		case 0:
			text = "'" + text + "'"
		case 1:
			text = `"` + text + `"` + []string{"", " ", "#", " #"}[rng.IntN(4)]
		}
		lines = append(lines, text)
	}
	return lines
}

// Debian's scripts give update-exim4.conf.conf to the shell. What is read here as a value
// is what a shell has for it, to the byte; all else is refused.
func TestValuesAreTheShells(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	var script strings.Builder
	var texts, want []string
	for _, text := range assignments() {
		s, err := Read(strings.NewReader("v=" + text + "\n"))
		if err != nil {
			if !strings.Contains(err.Error(), "line 1: v: value") {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		texts, want = append(texts, text), append(want, s["v"])
		fmt.Fprintf(&script, "v=%s\nprintf '%%s\\0' \"$v\"\n", text)
	}
	name := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(name, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(shell, name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(got) != len(want) || len(want) < 500 {
		t.Fatalf("%d values of the shell, %d of ours", len(got), len(want))
	}
	wrong := 0
	for i := range want {
		if got[i] != want[i] && wrong < 10 {
			wrong++
			t.Errorf("v=%s is %q, the shell has %q", texts[i], want[i], got[i])
		}
	}
}
