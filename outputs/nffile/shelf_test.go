package nffile

import "testing"

// TestShelfOfLayout1: what a Shelf keeps of nfdump 1.6 is what was read, also where a block
// itself says what its flows have.
func TestShelfOfLayout1(t *testing.T) {
	path := write(t, file1(t, None))
	want, err := readAll(path)
	must(t, err)
	f, err := OpenFile(path)
	must(t, err)
	defer f.Close()
	d, shelf, block := NewDecoder(), NewShelf(), &Block{}
	var refs []uint64
	for f.ReadBlock(block) == nil {
		must(t, block.Unpack())
		for d.Next(block) {
			refs = append(refs, shelf.Put(d, block, block.rec))
		}
	}
	if len(refs) != len(want) {
		t.Fatalf("%d flows, expected %d", len(refs), len(want))
	}
	for i, ref := range refs {
		got, _, _ := shelf.Get(ref)
		c := *got
		c.Extra = nil
		if diff := differences(&c, &want[i]); diff != "" {
			t.Errorf("flow %d: %s", i, diff)
		}
	}
}
