package nffile

import (
	"os"
	"path/filepath"
	"testing"
)

// damagedBlocks makes a file of so many small blocks, each of which is damaged: a
// record that says it is longer than its block.
func damagedBlocks(t testing.TB, blocks int) string {
	t.Helper()
	var head [headerSize]byte
	h := Header{Layout: layout2, NfdumpVersion: nfdumpVersion}
	h.encode(head[:])
	file := head[:]
	for range blocks {
		file = le.AppendUint32(file, 1)
		file = le.AppendUint32(file, 8)
		file = le.AppendUint32(file, blockNormal)
		file = le.AppendUint16(file, recordFlow)
		file = le.AppendUint16(file, 999)
		file = le.AppendUint32(file, 0)
	}
	path := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestManyDamagedBlocks: all are counted, the first are described, and what is counted
// only costs no text: with the texts of all it is 29 allocations a block.
func TestManyDamagedBlocks(t *testing.T) {
	const blocks = 20_000
	path := damagedBlocks(t, blocks)
	r, err := Verify(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != maxProblems || len(r.Problems)+r.More != blocks || r.Lost != blocks {
		t.Errorf("%d problems and %d more, %d flows lost, expected %d in all", len(r.Problems), r.More, r.Lost, blocks)
	}
	const want = ": corrupt at offset 52: record of 999 bytes, the block has 8 more; 1 of 1 records are lost"
	if got := r.Problems[0].Error(); got != path+want {
		t.Errorf("the first is\n%s, expected\n%s", got, path+want)
	}
	allocations := testing.AllocsPerRun(1, func() { Verify(path, nil) })
	if allocations > 16*blocks {
		t.Errorf("%.1f allocations a block", allocations/blocks)
	}
}

func BenchmarkVerifyDamaged(b *testing.B) {
	const blocks = 200_000
	path := damagedBlocks(b, blocks)
	b.SetBytes(20 * blocks)
	for b.Loop() {
		if _, err := Verify(path, nil); err != nil {
			b.Fatal(err)
		}
	}
}
