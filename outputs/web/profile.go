package web

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Profile is a profile of NfSen, as its profile.dat describes it.
type Profile struct {
	Name        string    `json:"name"`
	Group       string    `json:"group"` // "." is none
	Description []string  `json:"description"`
	Kind        string    `json:"kind"`   // live, history or continuous
	Shadow      bool      `json:"shadow"` // it has no files of its own: its channels' filters are asked of live
	Start       int64     `json:"start"`  // seconds since 1970
	End         int64     `json:"end"`
	Updated     int64     `json:"updated"`
	Expire      int64     `json:"expire"`  // hours; 0 is never
	MaxSize     int64     `json:"maxsize"` // bytes; 0 is no limit
	Size        int64     `json:"size"`
	Status      string    `json:"status"`
	Own         bool      `json:"own"`      // made in the page
	Channels    []Channel `json:"channels"` // in their order, those above the axis first
}

// Channel is a channel of a profile.
type Channel struct {
	Name    string   `json:"name"`
	Sign    string   `json:"sign"` // + above the axis, - below
	Colour  string   `json:"colour"`
	Order   int      `json:"order"`
	Sources []string `json:"sources"` // of live
	Filter  string   `json:"filter"`
	Problem string   `json:"problem,omitempty"` // why the filter cannot be used
}

// The bounds of profiles.
const (
	maxProfile  = 1 << 20 // bytes of a file
	maxChannels = 1000
	maxProfiles = 2000
	shadowBit   = 4
	kindBits    = 3
)

// kinds are those of profiles, by their numbers.
var kinds = []string{"live", "history", "continuous"}

// ParseProfile reads a profile.dat: comments, which are the description, and lines of
// KEY = VALUE. A channel is NAME:SIGN:COLOUR:ORDER:SOURCES, sources with bars between.
// Keys that are not known do not matter.
func ParseProfile(r io.Reader) (*Profile, error) {
	p := &Profile{Group: ".", Kind: kinds[0], Description: []string{}, Channels: []Channel{}}
	lines := bufio.NewScanner(io.LimitReader(r, maxProfile))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.ToValidUTF8(lines.Text(), "?"))
		if text, ok := strings.CutPrefix(line, "#"); ok {
			if text = strings.TrimSpace(text); text != "" {
				p.Description = append(p.Description, text)
			}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if line == "" || !ok {
			continue
		}
		if err := p.set(strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if p.Name == "" {
		return nil, errors.New("expected a line with the profile's name, as in 'name = live'")
	}
	slices.SortStableFunc(p.Channels, func(a, b Channel) int {
		return cmp.Or(cmp.Compare(a.Sign, b.Sign), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
	return p, nil
}

// set sets what a key is of.
func (p *Profile) set(key, value string) error {
	numbers := map[string]*int64{"tstart": &p.Start, "tend": &p.End, "updated": &p.Updated, "expire": &p.Expire,
		"maxsize": &p.MaxSize, "size": &p.Size}
	if to := numbers[key]; to != nil {
		return setNumber(to, key, value)
	}
	switch key {
	case "name":
		p.Name = value
	case "group":
		p.Group = cmp.Or(value, ".")
	case "status":
		p.Status = value
	case "type":
		var kind int64
		if err := setNumber(&kind, key, value); err != nil {
			return err
		}
		if kind < 0 || kind&kindBits >= int64(len(kinds)) {
			return fmt.Errorf("type %d: expected 0 to 2, and 4 more of a shadow profile", kind)
		}
		p.Kind, p.Shadow = kinds[kind&kindBits], kind&shadowBit != 0
	case "channel":
		c, err := parseChannel(value)
		if err != nil {
			return err
		}
		if p.Channels = append(p.Channels, c); len(p.Channels) > maxChannels {
			return fmt.Errorf("more than %d channels", maxChannels)
		}
	}
	return nil
}

// setNumber reads a number, which may be left out.
func setNumber(to *int64, key, value string) error {
	if value == "" {
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fmt.Errorf("%s = %q: expected a number", key, value)
	}
	*to = n
	return nil
}

// colourForm is how a colour is written.
var colourForm = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

// parseChannel reads a channel.
func parseChannel(value string) (Channel, error) {
	parts := strings.SplitN(value, ":", 5)
	if len(parts) != 5 || parts[0] == "" {
		return Channel{}, fmt.Errorf("channel %q: expected NAME:SIGN:COLOUR:ORDER:SOURCES", value)
	}
	c := Channel{Name: parts[0], Sign: "+", Sources: []string{}}
	if parts[1] == "-" {
		c.Sign = "-"
	}
	if colourForm.MatchString(parts[2]) {
		c.Colour = parts[2]
	}
	c.Order, _ = strconv.Atoi(parts[3]) // without one it comes first
	for name := range strings.SplitSeq(parts[4], "|") {
		if name = strings.TrimSpace(name); name != "" {
			c.Sources = append(c.Sources, name)
		}
	}
	return c, nil
}

// profileCache keeps the profiles for a while.
type profileCache struct {
	mu   sync.Mutex
	read time.Time
	list Profiles
}

// Profiles are all profiles.
type Profiles struct {
	Profiles []*Profile `json:"profiles"`
	Pending  int64      `json:"pending"` // files that are still to be read for those made in the page
	Problems []string   `json:"problems"`
}

// profileAge is how long profiles are kept.
const profileAge = 10 * time.Second

// getProfiles lists the profiles.
func (s *Server) getProfiles(w http.ResponseWriter, _ *http.Request) error {
	s.profiles.mu.Lock()
	defer s.profiles.mu.Unlock()
	if time.Since(s.profiles.read) > profileAge {
		s.profiles.list, s.profiles.read = s.archive.readProfiles(s.opt.Profiles), time.Now()
	}
	list := s.profiles.list
	k := &s.archive.kept
	k.mu.Lock()
	for _, p := range k.list() {
		own := *p
		own.Channels = slices.Clone(p.Channels)
		list.Profiles = append(slices.Clip(list.Profiles), &own)
	}
	list.Pending = k.pending.Load()
	k.mu.Unlock()
	return give(w, list)
}

// readProfiles reads the profiles below a directory: DIR/PROFILE/profile.dat and
// DIR/GROUP/PROFILE/profile.dat.
func (a *Archive) readProfiles(dir string) Profiles {
	list := Profiles{Profiles: []*Profile{}, Problems: []string{}}
	if dir == "" {
		return list
	}
	var files []string
	for _, pattern := range []string{"*/profile.dat", "*/*/profile.dat"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			list.Problems = append(list.Problems, err.Error())
		}
		files = append(files, found...)
	}
	for _, file := range files[:min(len(files), maxProfiles)] {
		p, err := a.readProfile(file)
		if err != nil {
			list.Problems = append(list.Problems, fmt.Sprintf("%s: %v", file, err))
			continue
		}
		list.Profiles = append(list.Profiles, p)
	}
	slices.SortFunc(list.Profiles, func(a, b *Profile) int {
		return strings.Compare(path.Join(a.Group, a.Name), path.Join(b.Group, b.Name))
	})
	return list
}

// readProfile reads a profile and the filters of its channels, CHANNEL-filter.txt beside it.
func (a *Archive) readProfile(file string) (*Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := ParseProfile(f)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for i := range p.Channels {
		c := &p.Channels[i]
		text, err := readFilterFile(root, c.Name+"-filter.txt")
		if err == nil {
			c.Filter = strings.TrimSpace(text)
			_, err = a.filterOf(c.Filter)
		}
		if err != nil {
			c.Problem = err.Error()
		}
	}
	return p, nil
}

// readFilterFile reads a small file of a directory; one that is not there is no filter.
func readFilterFile(root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFilter+1))
	return string(b), err
}
