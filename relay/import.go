package relay

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/flowgraf/flowgraf/relay/exim"
	"github.com/flowgraf/flowgraf/relay/storage"
)

// ImportExim reads the settings of Debian's exim4 from a file, usually
// /etc/exim4/update-exim4.conf.conf, and gives the table of a telegraf.conf that does the
// same, see package exim. The error tells of all that would be more open here.
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
	text, err := settings.TOML()
	if err != nil {
		return "", fmt.Errorf("%s: not taken over:\n%w", file, err)
	}
	return text, nil
}
