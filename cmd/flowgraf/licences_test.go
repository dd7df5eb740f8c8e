package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// notPermissive are the modules that are linked although their licence has a condition
// on changes of their own files. They are linked as they are.
var notPermissive = map[string]string{
	"github.com/hashicorp/go-uuid": "MPL-2.0", // of Telegraf's Kerberos, for Kafka
}

// TestNotices: the licences that ship with the binary are those of what is linked, and
// all are permissive, but for those named above.
func TestNotices(t *testing.T) {
	made := filepath.Join(t.TempDir(), "notices.txt")
	if out, err := exec.Command("go", "run", "./notices", ".", made).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	current, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	if string(current) != notices {
		t.Error("notices.txt is not that of what is linked: run go generate ./cmd/flowgraf")
	}
	modules := regexp.MustCompile(`(?m)^(\S+) (v\S+) (\S+)$`).FindAllStringSubmatch(notices, -1)
	if len(modules) < 50 {
		t.Fatalf("only %d modules are listed", len(modules))
	}
	for _, m := range modules {
		for _, licence := range strings.Split(m[3], "+") {
			switch licence {
			case "Apache-2.0", "MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "Unlicense":
			default:
				if notPermissive[m[1]] != licence {
					t.Errorf("%s %s has licence %s, which is not permissive", m[1], m[2], licence)
				}
			}
		}
	}
}
