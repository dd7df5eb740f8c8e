package nfdump

import (
	"path/filepath"
	"testing"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/index"
)

// With index = true each complete file has an index when the output has ended, made anew
// where a file was gone on with.
func TestIndexOfCompleteFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	for run := range 2 {
		p := output(t, dir)
		p.Index = true
		must(t, p.Connect())
		must(t, p.Write(batch(run, 1, 20, 0)))
		must(t, p.Close())
	}
	files, err := archive.Files(dir)
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, path := range files {
		x, err := index.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		must(t, x.Close())
	}
}
