package nfdump

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/influxdata/telegraf/config"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// Source is a table [[outputs.nfdump.source]]: exporters with an archive of their
// own.
type Source struct {
	Ident     string   `toml:"ident"`
	Directory string   `toml:"directory"`
	Addresses []string `toml:"addresses"`
}

// groupOptions turns the options of the configuration into those of the archives. The
// error tells of all that are wrong.
func (p *Nfdump) groupOptions() (archive.GroupOptions, error) {
	compression, level, err := nffile.ParseCompression(p.Compression)
	errs := []error{err}
	opt := archive.GroupOptions{
		Options: archive.Options{
			Dir:         p.Directory,
			Interval:    time.Duration(p.RotationInterval),
			Layout:      p.SubdirLayout,
			Compression: compression,
			Level:       level,
			Ident:       p.Ident,
			Infof:       p.infof,
			Errorf:      p.errorf,
		},
		Limits: archive.Limits{
			Age: time.Duration(p.MaxAge), Size: int64(p.MaxSize), Free: int64(p.MinFree), Watermark: p.Watermark,
		},
		Completed: p.completed,
	}
	choose := func(name, value, first, second string) bool {
		chosen, err := choice(name, value, first, second)
		errs = append(errs, err)
		return chosen
	}
	opt.Extended = choose("elements", p.Elements, "portable", "all")
	opt.PerAddress = choose("split", p.Split, "none", "address")
	opt.Dots = choose("split_names", p.SplitNames, "dashes", "dots")
	if choose("names", p.Names, "local", "utc") {
		opt.Location = time.UTC
	}
	opt.Access, err = p.access()
	errs = append(errs, err, setSync(&opt.Options, p.Fsync))
	for _, s := range p.Sources {
		source := archive.Source{Ident: s.Ident, Dir: s.Directory}
		for _, text := range s.Addresses {
			prefix, err := flow.ParseNetwork(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("source %q: %w", s.Ident, err))
			}
			source.Prefixes = append(source.Prefixes, prefix)
		}
		opt.Sources = append(opt.Sources, source)
	}
	return opt, errors.Join(errs...)
}

// access reads the options file_mode and group.
func (p *Nfdump) access() (disk.Access, error) {
	var a disk.Access
	if p.FileMode != "" {
		mode, err := strconv.ParseUint(p.FileMode, 8, 32)
		if err != nil || mode&^0o777 != 0 || mode&0o600 != 0o600 {
			return a, fmt.Errorf("file_mode is %q, expected octal digits with which the owner reads and writes, as "+
				"\"0640\"", p.FileMode)
		}
		a.Mode = os.FileMode(mode)
	}
	if p.Group == "" {
		return a, nil
	}
	id, err := strconv.Atoi(p.Group)
	if err != nil {
		g, err := user.LookupGroup(p.Group)
		if err != nil {
			return a, fmt.Errorf("group %q: %w", p.Group, err)
		}
		if id, err = strconv.Atoi(g.Gid); err != nil {
			return a, fmt.Errorf("group %q: its id is %q, expected a number", p.Group, g.Gid)
		}
	}
	a.Group = &id
	return a, nil
}

// choice says whether a setting is the second of its two values; "" is the first.
func choice(name, value, first, second string) (bool, error) {
	switch value {
	case "", first:
		return false, nil
	case second:
		return true, nil
	}
	return false, fmt.Errorf("%s is %q, expected %q or %q", name, value, first, second)
}

// setSync reads the option fsync.
func setSync(opt *archive.Options, value string) error {
	switch value {
	case "", "rotation":
		return nil
	case "batch":
		opt.SyncBatch = true
		return nil
	}
	var every config.Duration
	if err := every.UnmarshalText([]byte(value)); err != nil || every <= 0 {
		return fmt.Errorf("fsync is %q, expected \"rotation\", \"batch\" or an interval as \"10s\"", value)
	}
	opt.SyncEvery = time.Duration(every)
	return nil
}

// besideArchives says when a directory for other files lies in one of an archive:
// nfdump -R would stop at them.
func (p *Nfdump) besideArchives() error {
	others := map[string]string{"state_directory": p.stateDirectory()}
	if p.pcap != nil {
		others["pcap_directory"] = p.pcapDirectory()
	}
	archives := []string{p.Directory}
	for _, s := range p.Sources {
		archives = append(archives, s.Directory)
	}
	for option, other := range others {
		for _, dir := range archives {
			if rel, err := filepath.Rel(dir, other); err == nil && filepath.IsLocal(rel) {
				return fmt.Errorf("%s %q lies in %q, where nfdump -R stops at files of others: give it a place beside "+
					"that", option, other, dir)
			}
		}
	}
	return nil
}
