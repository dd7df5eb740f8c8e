package ie

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		pen  uint32
		id   uint16
		name string
		typ  Type
	}{
		{0, OctetDeltaCount, "octetDeltaCount", Unsigned64},
		{0, BasicListID, "basicList", BasicList},
		{VMwarePEN, VMwareTenantProtocol, "tenantProtocol", Unsigned8},
		{0, 8, "sourceIPv4Address", IPv4Address},
		{0, 152, "flowStartMilliseconds", DateTimeMilliseconds},
		{0, 291, "basicList", BasicList},
		{VMwarePEN, 898, "virtualObsID", String},
	} {
		e, ok := Lookup(c.pen, c.id)
		if !ok || e.Name != c.name || e.Type != c.typ {
			t.Errorf("Lookup(%d, %d) = %+v, %t; want %s %s", c.pen, c.id, e, ok, c.name, c.typ)
		}
	}
	for _, c := range []struct {
		pen uint32
		id  uint16
	}{{0, 0}, {0, 65535}, {1, 1}, {4294967295, 65535}} {
		if e, ok := Lookup(c.pen, c.id); ok {
			t.Errorf("Lookup(%d, %d) = %+v, want nothing", c.pen, c.id, e)
		}
	}
}

func TestEveryElementIsFound(t *testing.T) {
	if len(All()) < 1600 {
		t.Fatalf("%d elements, want 502 of IANA and 1,197 of vendors", len(All()))
	}
	for _, e := range All() {
		if got, ok := Lookup(e.PEN, e.ID); !ok || got != e {
			t.Fatalf("Lookup(%d, %d) = %+v, %t", e.PEN, e.ID, got, ok)
		}
	}
}

func TestByName(t *testing.T) {
	for in, want := range map[string]Element{
		"applicationName":   {ID: 96, Name: "applicationName"},
		"96":                {ID: 96, Name: "applicationName"},
		"6876/virtualObsID": {PEN: 6876, ID: 898, Name: "virtualObsID"},
		"6876/898":          {PEN: 6876, ID: 898, Name: "virtualObsID"},
		"4711/12":           {PEN: 4711, ID: 12},
	} {
		got, err := ByName(in)
		if err != nil || got.PEN != want.PEN || got.ID != want.ID || got.Name != want.Name {
			t.Errorf("ByName(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "nosuch", "virtualObsID", "x/virtualObsID", "99999999999/1", "70000"} {
		if e, err := ByName(in); err == nil {
			t.Errorf("ByName(%q) = %+v, want an error", in, e)
		}
	}
}

func TestTypeNames(t *testing.T) {
	for typ := OctetArray; typ <= SubTemplateMultiList; typ++ {
		if got, err := ParseType(typ.String()); err != nil || got != typ {
			t.Errorf("ParseType(%q) = %v, %v", typ, got, err)
		}
	}
}

// generator builds the program that makes the tables.
func generator(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "generate")
	if out, err := exec.Command("go", "build", "-o", bin, "./generate").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// The committed tables are what the generator makes of the committed CSV files.
func TestGeneratedTableIsCurrent(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir+"/registry", os.DirFS("registry")); err != nil {
		t.Fatal(err)
	}
	bin := generator(t)
	cmd := exec.Command(bin)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"elements.go", "numbers.go"} {
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, after) {
			t.Errorf("%s is not what the generator makes of registry/*.csv: run go generate ./plugins/ie", name)
		}
	}
}
