//go:build unix

package nfdump

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestFileMode: files have the permissions and the group of the options, whatever the
// umask is; without them, others may not read.
func TestFileMode(t *testing.T) {
	for mode, want := range map[string]fs.FileMode{"": 0o640, "0666": 0o666, "600": 0o600} {
		dir := filepath.Join(t.TempDir(), "flows")
		p := output(t, dir)
		p.archive, p.FileMode, p.Format = nil, mode, "both"
		p.Group = strconv.Itoa(os.Getgid())
		must(t, p.Init())
		old := syscall.Umask(0o022)
		must(t, p.Connect())
		err := p.Write(metricsOf(v9(true, true, 1)))
		syscall.Umask(old)
		must(t, err)
		must(t, p.Close())
		for _, tree := range []string{dir, dir + ".pcap"} {
			must(t, filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				if info, err := d.Info(); err != nil || info.Mode().Perm() != want {
					t.Errorf("file_mode %q: %s has mode %o, %v", mode, path, info.Mode().Perm(), err)
				}
				return nil
			}))
		}
	}
	for want, change := range map[string]func(*Nfdump){
		`file_mode is "999"`: func(p *Nfdump) { p.FileMode = "999" },
		`file_mode is "040"`: func(p *Nfdump) { p.FileMode = "040" },
		`group "no such`:     func(p *Nfdump) { p.Group = "no such group" },
		"split_names":        func(p *Nfdump) { p.SplitNames = "commas" },
	} {
		p := output(t, t.TempDir())
		change(p)
		if err := p.Init(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

// TestSplitNames: directories are named as by either version of nfcapd.
func TestSplitNames(t *testing.T) {
	for names, want := range map[string]string{"": "192-0-2-254", "dashes": "192-0-2-254", "dots": "192.0.2.254"} {
		dir := filepath.Join(t.TempDir(), "flows")
		p := output(t, dir)
		p.Split, p.SplitNames = "address", names
		must(t, p.Init())
		must(t, p.Connect())
		must(t, p.Write(metricsOf(v9(true, true, 1))))
		must(t, p.Close())
		if _, err := os.Stat(filepath.Join(dir, want)); err != nil {
			t.Error(err)
		}
	}
}
