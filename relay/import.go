package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/flowgraf/flowgraf/relay/exim"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// ImportExim reads the settings of Debian's exim4 from a file, usually
// /etc/exim4/update-exim4.conf.conf, and what lies beside it, and gives the table of a
// telegraf.conf that does the same, see package exim. The error tells of all that would be more open here.
func ImportExim(file string) (string, error) {
	f, err := storage.Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: no such file: expected exim4's settings, which Debian keeps in "+
			"/etc/exim4/update-exim4.conf.conf", file)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%s: this user may not read it: run it as root, or give it a copy", file)
	case err != nil:
		return "", err
	}
	defer f.Close()
	settings, err := exim.Read(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	files, err := eximFiles(filepath.Dir(file))
	if err != nil {
		return "", err
	}
	text, err := settings.TOML(files)
	if err != nil {
		return "", fmt.Errorf("%s: not taken over:\n%w", file, err)
	}
	return text, nil
}

// maxEximFile bounds in octets what is read of one file beside the settings.
const maxEximFile = 1 << 20

// eximFiles reads what lies beside the settings in dir; email-addresses lies above it, in
// /etc.
func eximFiles(dir string) (exim.Files, error) {
	files := exim.Files{}
	for _, name := range exim.FileNames() {
		path := filepath.Join(dir, name)
		if name == exim.EmailAddresses {
			path = filepath.Join(filepath.Dir(filepath.Clean(dir)), name)
		}
		b, err := storage.ReadFile(path, maxEximFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		default:
			files[name] = string(b)
		}
	}
	return files, nil
}
