package flow

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"testing"
)

// The committed table is what the generator makes of Record's tags.
func TestTableIsCurrent(t *testing.T) {
	dir := t.TempDir()
	record, err := os.ReadFile("record.go")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/record.go", record, 0o644); err != nil {
		t.Fatal(err)
	}
	bin := dir + "/generate"
	if out, err := exec.Command("go", "build", "-o", bin, "./generate").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, err := os.ReadFile(dir + "/table.go")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("table.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("table.go is not what the generator makes of record.go: run go generate ./plugins/flow")
	}
}

// fill sets a field of r to a value that no other field has, and returns it; nil when it
// has none of its own.
func fill(r *Record, f Field) any {
	n := uint64(f) + 1
	switch f.Describe().Kind {
	case KindMark:
		return nil
	case KindAddress:
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
		r.SetAddr(f, a)
		return a
	case KindText, KindOctets:
		b := bytes.Repeat([]byte{byte(n)}, 12)
		r.SetOctets(f, b)
		return string(b)
	}
	r.SetNumber(f, n)
	return n
}

// valueOf returns what fill has set.
func valueOf(r *Record, f Field) any {
	switch f.Describe().Kind {
	case KindMark:
		return nil
	case KindAddress:
		return r.Addr(f)
	case KindText, KindOctets:
		return string(r.Octets(f))
	}
	return r.Number(f)
}

// TestEveryFieldIsReadAndSet fills all fields, each with a value of its own: none takes
// another one's place, and turning the record exchanges the pairs and nothing else.
func TestEveryFieldIsReadAndSet(t *testing.T) {
	var r Record
	want := map[Field]any{}
	for f := range Field(NumFields) {
		want[f] = fill(&r, f)
		if f.Describe().Pair != f && f < f.Describe().Pair {
			r.Present.Add(f)
		}
	}
	for f := range Field(NumFields) {
		if got := valueOf(&r, f); got != want[f] {
			t.Errorf("%s: got %v, want %v", f, got, want[f])
		}
		wantValue := Value{}
		switch v := want[f].(type) {
		case netip.Addr:
			wantValue = ValueOf(v)
		case uint64:
			wantValue.Lo = v
		}
		if got := r.Value(f); got != wantValue {
			t.Errorf("%s: the value is %v, want %v", f, got, wantValue)
		}
	}
	r.Turn()
	for f := range Field(NumFields) {
		pair := f.Describe().Pair
		if got := valueOf(&r, f); got != want[pair] {
			t.Errorf("%s after a turn: got %v, want %v of %s", f, got, want[pair], pair)
		}
		if got := r.Has(f); got != (f > pair) {
			t.Errorf("%s after a turn: present is %t", f, got)
		}
	}
}

func TestItems(t *testing.T) {
	var r Record
	for i := range uint8(12) {
		r.SetItem(MPLS, i, uint64(i)+1)
		r.SetItem(PortBlock, i, uint64(i)+100)
	}
	if r.MPLS != [10]uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10} || r.PortBlock != [4]uint16{100, 101, 102, 103} {
		t.Errorf("got %v and %v", r.MPLS, r.PortBlock)
	}
	if r.Item(MPLS, 9) != 10 || r.Item(PortBlock, 3) != 103 || r.Item(PortBlock, 4) != 0 || r.Item(Src, 0) != 0 {
		t.Error("an item is not what was set")
	}
}

// TestUses holds that each element leads to its fields.
func TestUses(t *testing.T) {
	for i, u := range AllUses() {
		found := false
		for _, other := range Uses(u.PEN, u.ID) {
			found = found || other == u
		}
		if !found {
			t.Errorf("use %d, element %d/%d, is not found", i, u.PEN, u.ID)
		}
	}
	if len(Uses(0, 23)) != 2 || len(Uses(0, 9999)) != 0 || len(Uses(6876, 1)) != 0 {
		t.Error("element 23 fills two fields, 9999 and 6876/1 none")
	}
}

func TestLabels(t *testing.T) {
	n := Names{Exporter: "edge-1", App: "dns", Host: "esx-7"}
	var got []string
	for l := range Label(NumLabels) {
		if text := n.Label(l); text != "" {
			got = append(got, l.String()+"="+text)
		}
	}
	if len(got) != 3 || got[0] != "exporter_name=edge-1" || got[1] != "app_name=dns" || got[2] != "esxi_host=esx-7" {
		t.Errorf("got %q", got)
	}
	if Label(NumLabels).String() != "" || n.Label(NumLabels) != "" {
		t.Error("there is a label beyond the last")
	}
}
