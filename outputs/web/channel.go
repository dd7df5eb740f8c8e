package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowgraf/flowgraf/outputs/index"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/nffilter"
)

// kept are the profiles that were made in the page. Each channel is a Source whose files are
// those of its sources, with the statistics of the flows that its filter matches: these are
// read from the files, as time allows, and kept in the store by filter.
type kept struct {
	mu       sync.Mutex
	profiles map[string]*Profile
	counted  map[string]*counted // by filterID
	wake     chan struct{}       // there is more to build

	planned  *[]*Source                // the sources that channels were made of
	channels atomic.Pointer[[]*Source] // of all profiles
	pending  atomic.Int64              // files that are still to be read
}

// counted is what of files a filter matches: by directory and name.
type counted struct{ dirs map[string]map[string]stored }

// filterID names a filter in the store.
func filterID(text string) string {
	sum := sha256.Sum256([]byte(strings.TrimSpace(text)))
	return hex.EncodeToString(sum[:12])
}

// The bounds of profiles that are kept.
const (
	maxKept         = 100
	maxKeptChannels = 20
	maxName         = 60
	maxDescription  = 1000
)

// check says what is wrong with a profile that somebody wants to be kept.
func (a *Archive) check(p *Profile) error {
	word := func(s string) bool {
		return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') &&
				!strings.ContainsRune("_-.", r)
		}) && strings.Trim(s, ".") != ""
	}
	switch {
	case !word(p.Name):
		return &Mistake{"name", fmt.Errorf("%.80q: expected letters, digits, '-', '_' and '.', at most %d", p.Name,
			maxName)}
	case slices.ContainsFunc(*a.sources.Load(), func(s *Source) bool { return profileOf(s.Name) == p.Name }):
		return &Mistake{"name", fmt.Errorf("%q: there are directories of that name: expected another one", p.Name)}
	case !slices.Contains(kinds, p.Kind):
		return &Mistake{"kind", fmt.Errorf("%.20q: expected one of %s", p.Kind, strings.Join(kinds, ", "))}
	case p.Kind == "history" && (p.Start <= 0 || p.End <= p.Start || p.End > maxTime):
		return &Mistake{"end", errors.New("a history has a start, and an end behind it")}
	case p.Kind == "continuous" && (p.Start <= 0 || p.Start > maxTime):
		return &Mistake{"start", errors.New("a continuous profile has a start")}
	case len(p.Channels) == 0 || len(p.Channels) > maxKeptChannels:
		return &Mistake{"channels", fmt.Errorf("%d channels: expected 1 to %d", len(p.Channels), maxKeptChannels)}
	case len(strings.Join(p.Description, "\n")) > maxDescription:
		return &Mistake{"description", fmt.Errorf("expected at most %d bytes", maxDescription)}
	}
	names := map[string]bool{}
	for i := range p.Channels {
		c := &p.Channels[i]
		_, err := a.filterOf(c.Filter)
		switch {
		case !word(c.Name) || names[c.Name]:
			return &Mistake{"channels", fmt.Errorf("%.80q: expected a name of its own of letters, digits, '-', '_' "+
				"and '.'", c.Name)}
		case c.Sign != "+" && c.Sign != "-":
			return &Mistake{"channels", fmt.Errorf("%s: sign %.10q: expected + or -", c.Name, c.Sign)}
		case !colourForm.MatchString(c.Colour):
			return &Mistake{"channels", fmt.Errorf("%s: colour %.20q: expected one as #0072b2", c.Name, c.Colour)}
		case err != nil:
			return &Mistake{"filter", fmt.Errorf("channel %s: %w", c.Name, err)}
		}
		names[c.Name] = true
		if _, err := a.realSources(c.Sources); err != nil {
			return &Mistake{"sources", fmt.Errorf("channel %s: %w", c.Name, err)}
		}
	}
	return nil
}

// Named names a profile that was made in the page.
type Named struct {
	Name string `json:"name"`
}

// postProfile keeps a profile.
func (s *Server) postProfile(w http.ResponseWriter, r *http.Request) error {
	var p Profile
	return s.changeProfiles(w, r, &p, func() (any, error) { return Named{p.Name}, s.archive.setProfile(&p) })
}

// postRemoveProfile forgets a profile; nothing of it is in files.
func (s *Server) postRemoveProfile(w http.ResponseWriter, r *http.Request) error {
	var n Named
	return s.changeProfiles(w, r, &n, func() (any, error) { return n, s.archive.dropProfile(n.Name, false) })
}

// postRebuildProfile reads all files of a profile anew.
func (s *Server) postRebuildProfile(w http.ResponseWriter, r *http.Request) error {
	var n Named
	return s.changeProfiles(w, r, &n, func() (any, error) { return n, s.archive.dropProfile(n.Name, true) })
}

// changeProfiles reads what a user wants, and does it if he may.
func (s *Server) changeProfiles(w http.ResponseWriter, r *http.Request, into any, change func() (any, error)) error {
	user, _ := s.guard.user(r)
	if !s.may(r, RightProfiles) {
		return &statusError{http.StatusForbidden, errors.New("this is for users with the right to it: flowgraf web " +
			"--grant USER=profiles")}
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return &statusError{http.StatusUnsupportedMediaType, errors.New("expected application/json")}
	}
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return &Mistake{Err: fmt.Errorf("expected a profile in JSON: %w", err)}
	}
	answer, err := change()
	if err != nil {
		return err
	}
	s.opt.Logf("profiles: %s, by %s from %s", r.URL.Path, user, peer(r))
	return give(w, answer)
}

// realSources returns the sources with these names; without any those that choose does.
func (a *Archive) realSources(names []string) ([]*Source, error) {
	return chooseFrom(*a.sources.Load(), names, "")
}

// setProfile keeps a profile, instead of one with its name.
func (a *Archive) setProfile(p *Profile) error {
	if a.store == nil {
		return &statusError{http.StatusConflict, errors.New("there is no store to keep it in: expected " +
			"flowgraf web with --store")}
	}
	if err := a.check(p); err != nil {
		return err
	}
	k := &a.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.profiles[p.Name] == nil && len(k.profiles) >= maxKept {
		return &statusError{http.StatusConflict, fmt.Errorf("there are %d profiles, the most that are kept", maxKept)}
	}
	p.Group, p.Shadow, p.Own, p.Status, p.Updated = ".", true, true, "OK", time.Now().Unix()
	p.fill()
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := a.store.put(profileBucket, p.Name, text); err != nil {
		return err
	}
	k.profiles[p.Name] = p
	a.plan()
	k.more()
	return nil
}

// fill makes lists of what has been left out, as the API promises.
func (p *Profile) fill() {
	if p.Description == nil {
		p.Description = []string{}
	}
	for i := range p.Channels {
		if p.Channels[i].Sources == nil {
			p.Channels[i].Sources = []string{}
		}
	}
}

// dropProfile forgets a profile, or with rebuild only what has been counted for it.
func (a *Archive) dropProfile(name string, rebuild bool) error {
	k := &a.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.profiles[name]
	if p == nil {
		return &statusError{http.StatusNotFound, fmt.Errorf("there is no profile %.80q that was made here", name)}
	}
	if !rebuild {
		if err := a.store.put(profileBucket, name, nil); err != nil {
			return err
		}
		delete(k.profiles, name)
	}
	for i := range p.Channels {
		id := filterID(p.Channels[i].Filter)
		used := slices.ContainsFunc(k.list(), func(o *Profile) bool {
			return slices.ContainsFunc(o.Channels, func(c Channel) bool { return filterID(c.Filter) == id })
		})
		if !rebuild && used {
			continue
		}
		history := a.historyOf(k.of(id))
		delete(k.counted, id)
		if err := a.store.dropCounted(id); err != nil {
			return err
		}
		if !rebuild {
			continue
		}
		again := map[string][]stored{}
		for dir, records := range history {
			for _, r := range records {
				k.of(id).put(dir, r)
			}
			again[countedKey(id, dir)] = records
		}
		if err := a.store.putRecords(countedBucket, again); err != nil {
			return err
		}
	}
	a.plan()
	k.more()
	return nil
}

// historyOf returns what of files that have expired was counted, by directory: it cannot be counted
// again.
func (a *Archive) historyOf(c *counted) map[string][]stored {
	history := map[string][]stored{}
	for _, s := range *a.sources.Load() {
		for i := range s.files {
			if !s.files[i].gone {
				continue
			}
			dir, name := a.split(s.files[i].path)
			if r, ok := c.dirs[dir][name]; ok {
				history[dir] = append(history[dir], r)
			}
		}
	}
	return history
}

// more wakes who builds.
func (k *kept) more() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// list returns the profiles by name. The lock is held.
func (k *kept) list() []*Profile {
	list := make([]*Profile, 0, len(k.profiles))
	for _, p := range k.profiles {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *Profile) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// loadProfiles takes the profiles of the store.
func (a *Archive) loadProfiles() {
	k := &a.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	err := a.store.all(profileBucket, func() {}, func(name string, text []byte) {
		var p Profile
		if err := json.Unmarshal(text, &p); err != nil {
			a.logf("profile %q of the store: %v", name, err)
			return
		}
		p.fill()
		k.profiles[p.Name] = &p
	})
	if err == nil {
		err = a.store.eachCounted(func() {}, func(id, dir string, r *stored) { k.of(id).put(dir, *r) })
	}
	if err != nil {
		a.logf("profiles of the store: %v", err)
	}
}

// of returns what has been counted for a filter. The lock is held.
func (k *kept) of(id string) *counted {
	if k.counted[id] == nil {
		k.counted[id] = &counted{dirs: map[string]map[string]stored{}}
	}
	return k.counted[id]
}

// put notes what of a file matches.
func (c *counted) put(dir string, r stored) {
	if c.dirs[dir] == nil {
		c.dirs[dir] = map[string]stored{}
	}
	c.dirs[dir][r.name] = r
}

// task is a file that a filter is to be asked about.
type task struct {
	id   string
	file slotFile
}

// plan shows what is known of the channels, and returns what is still to be read, the
// newest files first. The lock is held.
func (a *Archive) plan() (tasks []task) {
	k := &a.kept
	k.planned = a.sources.Load()
	var channels []*Source
	asked := map[string]bool{}
	for _, p := range k.list() {
		for i := range p.Channels {
			c := &p.Channels[i]
			s := &Source{Name: p.Name + "/" + c.Name, Interval: 1, channel: c}
			real, err := a.realSources(c.Sources)
			if c.Problem = ""; err != nil {
				c.Problem = err.Error()
			}
			for _, r := range real {
				s.Interval = max(s.Interval, r.Interval)
				tasks = append(tasks, a.channelFiles(p, s, r, asked)...)
			}
			slices.SortFunc(s.files, byStart)
			channels = append(channels, s)
		}
	}
	slices.SortStableFunc(tasks, func(x, y task) int { return cmp.Compare(y.file.start, x.file.start) })
	k.channels.Store(&channels)
	k.pending.Store(int64(len(tasks)))
	a.announce()
	return tasks
}

// channelFiles gives a channel the files of one of its sources that are known, and returns
// the others.
func (a *Archive) channelFiles(p *Profile, s *Source, real *Source, asked map[string]bool) (tasks []task) {
	id, all := filterID(s.channel.Filter), strings.TrimSpace(s.channel.Filter) == ""
	done := a.kept.of(id)
	span := Span{0, maxTime}
	if p.Kind != "live" {
		span.From = p.Start
	}
	if p.Kind == "history" {
		span.To = p.End
	}
	for _, f := range real.in(span) {
		dir, name := a.split(f.path)
		r, ok := done.dirs[dir][name]
		switch {
		case all || f.err != nil:
			s.files = append(s.files, f)
		case ok && r.mod == f.mod && r.size == f.size:
			f.stat, f.err = r.stat, r.err
			s.files = append(s.files, f)
		case f.gone: // before it was counted
		default:
			if key := id + f.path; !asked[key] {
				asked[key] = true
				tasks = append(tasks, task{id, f})
			}
		}
	}
	return tasks
}

// build reads files for the channels for a while, and says whether there are more.
func (a *Archive) build(ctx context.Context, most time.Duration) bool {
	k := &a.kept
	k.mu.Lock()
	if len(k.profiles) == 0 || k.planned == a.sources.Load() && k.pending.Load() == 0 {
		k.mu.Unlock()
		return false
	}
	tasks := a.plan()
	filters := map[string]*nffilter.Filter{}
	for _, p := range k.profiles {
		for _, c := range p.Channels {
			if f, err := a.filterOf(c.Filter); err == nil {
				filters[filterID(c.Filter)] = f
			}
		}
	}
	k.mu.Unlock()
	if len(tasks) == 0 {
		return false
	}
	end := time.Now().Add(most)
	results := make([]stored, len(tasks))
	read := make([]bool, len(tasks))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(tasks); i = next.Add(1) - 1 {
				if ctx.Err() != nil || i > 0 && time.Now().After(end) {
					return
				}
				t, r := &tasks[i], &results[i]
				_, r.name = a.split(t.file.path)
				r.mod, r.size = t.file.mod, t.file.size
				r.stat, r.err = countFiltered(ctx, t.file.path, filters[t.id])
				read[i] = true
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return false
	}
	a.keepCounted(tasks, results, read)
	return true
}

// countFiltered counts the flows of a file that a filter matches. It is an error when none can be
// read, as of statOf.
func countFiltered(ctx context.Context, path string, filter *nffilter.Filter) (nffile.Stat, error) {
	in := query.Input{Files: []string{path}, Filter: filter}
	if guide := index.NewGuide(filter, 0, 0, nil); guide != nil {
		in.Omit = guide.Omit
	}
	stat, totals, err := in.Stat(ctx)
	if totals.Read > 0 {
		return stat, nil
	}
	return stat, err
}

// keepCounted keeps what has been read, of files that are complete in the store too.
func (a *Archive) keepCounted(tasks []task, results []stored, read []bool) {
	k := &a.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	changed := map[string][]stored{}
	for i, t := range tasks {
		if !read[i] {
			continue
		}
		dir, _ := a.split(t.file.path)
		k.of(t.id).put(dir, results[i])
		changed[countedKey(t.id, dir)] = nil
	}
	for key := range changed {
		id, dir, _ := strings.Cut(key, " ")
		changed[key] = a.completeIn(k.counted[id].dirs[dir])
	}
	if err := a.store.putRecords(countedBucket, changed); err != nil {
		a.logf("profiles: %v", err)
	}
	a.plan()
}

// completeIn returns what the store keeps of a directory: files that are complete and can be
// read.
func (a *Archive) completeIn(dir map[string]stored) []stored {
	var list []stored
	for name, r := range dir {
		if _, complete := slotStart(name, a.zone); complete && r.err == nil {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(x, y stored) int { return cmp.Compare(x.name, y.name) })
	return list
}

// keepProfiles puts all profiles, and what has been counted for them, into the store.
func (a *Archive) keepProfiles() error {
	k := &a.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	texts := map[string][]byte{}
	for name, p := range k.profiles {
		text, err := json.Marshal(p)
		if err != nil {
			return err
		}
		texts[name] = text
	}
	all := map[string][]stored{}
	for id, c := range k.counted {
		for dir, files := range c.dirs {
			all[countedKey(id, dir)] = a.completeIn(files)
		}
	}
	if len(texts) == 0 {
		return a.store.putRecords(countedBucket, all)
	}
	return errors.Join(a.store.putAll(profileBucket, texts), a.store.putRecords(countedBucket, all))
}

// behind returns the sources and the filter that stand behind channels: the flows of these
// are read instead. Sources that are none are left as they are.
func (a *Archive) behind(sources []*Source, filter string) ([]*Source, string, error) {
	if len(sources) == 0 || sources[0].channel == nil {
		if slices.ContainsFunc(sources, func(s *Source) bool { return s.channel != nil }) {
			return nil, "", errors.New("sources and channels of a profile together: expected those of one kind")
		}
		return sources, filter, nil
	}
	first := sources[0].channel
	var parts []string
	for _, s := range sources {
		if s.channel == nil || !slices.Equal(s.channel.Sources, first.Sources) {
			return nil, "", errors.New("these channels are of different sources: choose one of them")
		}
		if text := strings.TrimSpace(s.channel.Filter); text != "" {
			parts = append(parts, within(text))
		}
	}
	real, err := a.realSources(first.Sources)
	if err != nil || len(parts) < len(sources) { // one of them is of all flows
		return real, filter, err
	}
	all := strings.Join(parts, " or ")
	if strings.TrimSpace(filter) == "" {
		return real, all, nil
	}
	return real, within(filter) + " and (" + all + ")", nil
}

// within puts a filter in parentheses; a comment at its end must not hide the last one.
func within(filter string) string {
	if strings.Contains(filter, "#") {
		return "(" + filter + "\n)"
	}
	return "(" + filter + ")"
}
