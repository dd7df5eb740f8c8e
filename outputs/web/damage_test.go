package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// damageFixture is an archive with a store of many pages: directories whose files are gone, a
// profile with what its channels match.
type damageFixture struct {
	tree  tree
	store []byte
	want  string
}

// answers returns what the page says with a store, and what the log does.
func (d *damageFixture) answers(t testing.TB, path string) (text string, log []string) {
	t.Helper()
	a, err := OpenArchive(d.tree.dir, path, time.UTC, func(format string, args ...any) {
		log = append(log, fmt.Sprintf(format, args...))
	})
	if err != nil {
		t.Fatalf("the archive does not open: %v", err)
	}
	must(t, a.Refresh(t.Context()))
	for a.build(t.Context(), time.Minute) {
	}
	span := Span{d.tree.from, d.tree.to}
	sums, err := json.Marshal([]any{statistics(*a.sources.Load(), span), statistics(*a.kept.channels.Load(), span)})
	must(t, err)
	must(t, a.Close())
	return string(sums), log
}

// makeDamage makes the fixture.
func makeDamage(t testing.TB) *damageFixture {
	d := &damageFixture{tree: makeTree(t, 4, 5)}
	path := filepath.Join(t.TempDir(), "web.db")
	a, err := OpenArchive(d.tree.dir, path, time.UTC, t.Logf)
	must(t, err)
	must(t, a.Refresh(t.Context()))
	must(t, a.setProfile(webProfile("live")))
	for a.build(t.Context(), time.Minute) {
	}
	gone := map[string][]stored{}
	for i := range 120 {
		gone[fmt.Sprintf("live/edge1/2024/%03d", i)] = make([]stored, 1+i%8)
	}
	must(t, a.store.change(gone))
	must(t, a.Close())
	d.store, err = os.ReadFile(path)
	must(t, err)
	d.want, _ = d.answers(t, path)
	if !strings.Contains(d.want, "web/https") {
		t.Fatalf("the fixture: %s", d.want)
	}
	return d
}

// check damages the store by a change, and opens it: the page answers as without damage, or it
// has set the store aside, has said so once, and answers as without one. Only a profile that
// was damaged itself is lost.
func (d *damageFixture) check(t testing.TB, what string, change func(b []byte) []byte) (aside bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.db")
	damaged := change(bytes.Clone(d.store))
	must(t, os.WriteFile(path, damaged, 0o600))
	got, log := d.answers(t, path)
	kept, err := os.ReadFile(path + setAside)
	if aside = err == nil; aside {
		if len(log) != 1 || !strings.Contains(log[0], path+setAside) || !bytes.Equal(kept, damaged) {
			t.Errorf("%s: set aside, the log has %q", what, log)
		}
	} else if len(log) != 0 {
		t.Errorf("%s: the log has %q", what, log)
	}
	if lost := strings.Replace(d.want, d.want[strings.LastIndex(d.want, `{"from"`):], "", 1); got != d.want &&
		(!aside || !strings.HasPrefix(got, lost) || strings.Contains(got, "web/https")) {
		t.Errorf("%s: set aside %v, %q\n%s, want\n%s", what, aside, log, got, d.want)
	}
	if !aside {
		return false
	}
	again, log := d.answers(t, path)
	if again != got || len(log) != 0 {
		t.Errorf("%s: the next start logs %q and answers\n%s, want\n%s", what, log, again, got)
	}
	return true
}

// Bytes of a store that have changed, one or many, anywhere in it, neither end the page nor
// hold it up, and no answer is another one for it.
func TestDamagedStore(t *testing.T) {
	d := makeDamage(t)
	const seeds = 50
	noticed := 0
	for seed := range uint64(seeds) {
		noticed += count(d.check(t, fmt.Sprintf("seed %d", seed), func(b []byte) []byte {
			rnd := rand.New(rand.NewPCG(seed, 18))
			for range 1 + rnd.IntN(3)*rnd.IntN(30) {
				at := rnd.IntN(len(b))
				switch rnd.IntN(3) {
				case 0: // where pages begin
					at = at/os.Getpagesize()*os.Getpagesize() + rnd.IntN(96)
				case 1: // the meta pages, and the first ones behind
					at = rnd.IntN(4)*os.Getpagesize() + rnd.IntN(96)
				}
				b[at] ^= byte(1 << rnd.IntN(8))
			}
			return b
		}))
	}
	if noticed < seeds/3 {
		t.Errorf("%d of %d were noticed", noticed, seeds)
	}
	for _, n := range []int{metaSize, 4096, 8192, len(d.store) / 3, len(d.store) - 1} {
		d.check(t, fmt.Sprintf("%d bytes of it", n), func(b []byte) []byte { return b[:n] })
	}
	for _, from := range []int{0, 4096, 8192, len(d.store) / 2} {
		d.check(t, fmt.Sprintf("zeros from %d", from), func(b []byte) []byte {
			clear(b[from : from+4096])
			return b
		})
	}
}

// count is 1 for true.
func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// records returns what a store has, one text for each record, and whether it has been set aside.
func (d *damageFixture) records(t testing.TB, path string) (have map[string]bool, aside bool) {
	t.Helper()
	s, err := openStore(path, d.tree.dir, func(string, ...any) { aside = true })
	must(t, err)
	have = map[string]bool{}
	part := map[string]bool{}
	begin := func() { part = map[string]bool{} }
	note := func(format string, args ...any) { part[fmt.Sprintf(format, args...)] = true }
	join := func(err error) {
		t.Helper()
		must(t, err)
		maps.Copy(have, part)
		begin()
	}
	join(s.each(begin, func(dir string, r *stored) { note("%s %+v", dir, *r) }))
	join(s.eachCounted(begin, func(id, dir string, r *stored) { note("%s %s %+v", id, dir, *r) }))
	join(s.all(profileBucket, begin, func(name string, text []byte) { note("%s %s", name, text) }))
	must(t, s.close())
	return have, aside
}

// The changes of a fuzz target are of the fixture's store; each takes five bytes: where, three
// of them, what is added, and how many bytes. What is read of the store then is all that it had, or
// it has been set aside; and nothing is read that it has not had.
func FuzzDamagedStore(f *testing.F) {
	d := makeDamage(f)
	path := filepath.Join(f.TempDir(), "web.db")
	must(f, os.WriteFile(path, d.store, 0o600))
	want, aside := d.records(f, path)
	if aside || len(want) < 20 {
		f.Fatalf("the fixture: set aside %v, %d records", aside, len(want))
	}
	for _, seed := range []string{"", "\x00\x00\x10\x01\x01", "\x00\x20\x0a\xff\x02", "\x00\x30\x10\x80\x10",
		"\x00\x00\x00\xff\xff\x00\x10\x00\xff\xff", "\x00\x40\x14\x01\x01\x00\x50\x18\x01\x01",
		"\x01\x00\x08\x01\x01\x01\x10\x0c\x7f\x04"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, changes []byte) {
		b := bytes.Clone(d.store)
		for c := changes; len(c) >= 5; c = c[5:] {
			at := (int(c[0])<<16 | int(c[1])<<8 | int(c[2])) % len(b)
			for i := range b[at:min(len(b), at+int(c[4]))] {
				b[at+i] += c[3]
			}
		}
		path := filepath.Join(t.TempDir(), "web.db")
		must(t, os.WriteFile(path, b, 0o600))
		have, aside := d.records(t, path)
		for r := range have {
			if !want[r] {
				t.Errorf("set aside %v: it has never had %s", aside, r)
			}
		}
		if !aside && len(have) != len(want) {
			t.Errorf("not set aside: %d records of %d", len(have), len(want))
		}
	})
}

// A store that is damaged, cut or removed while it is open is replaced when it is used next, by
// all that is known: no file has to be read again, and no profile is lost.
func TestStoreDamagedWhileOpen(t *testing.T) {
	d := makeDamage(t)
	for name, harm := range map[string]func(path string){
		"other bytes": func(path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, len(d.store)-3*4096), 2*4096)
			must(t, errors.Join(err, f.Close()))
		},
		"cut":   func(path string) { must(t, os.Truncate(path, 3*4096)) },
		"empty": func(path string) { must(t, os.Truncate(path, 0)) },
	} {
		path := filepath.Join(t.TempDir(), "web.db")
		must(t, os.WriteFile(path, d.store, 0o600))
		logs := 0
		a, err := OpenArchive(d.tree.dir, path, time.UTC, func(format string, args ...any) {
			if logs++; !strings.Contains(fmt.Sprintf(format, args...), "set aside") {
				t.Errorf("%s: "+format, append([]any{name}, args...)...)
			}
		})
		must(t, err)
		must(t, a.Refresh(t.Context()))
		for a.build(t.Context(), time.Minute) {
		}
		harm(path)
		second := webProfile("live")
		second.Name = "second"
		must(t, a.setProfile(second))
		must(t, a.Refresh(t.Context()))
		must(t, a.Close())
		if logs != 1 {
			t.Errorf("%s: %d lines of the log", name, logs)
		}
		a, err = OpenArchive(d.tree.dir, path, time.UTC, t.Logf)
		must(t, err)
		files := 0
		must(t, a.store.each(func() { files = 0 }, func(string, *stored) { files++ }))
		must(t, a.Refresh(t.Context()))
		if profiles := len(a.kept.profiles); files != 7 || profiles != 2 || a.build(t.Context(), time.Minute) {
			t.Errorf("%s: the next start knows %d files and %d profiles", name, files, profiles)
		}
		must(t, a.Close())
	}
}
