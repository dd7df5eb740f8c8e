package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/flowgraf/flowgraf/outputs/nffile"
)

// A record is read as it was written, each of its numbers, and torn ones are none.
func TestStoredRoundTrip(t *testing.T) {
	want := stored{name: "nfcapd.202611281205", mod: 1 << 60, size: 77}
	for i, n := range numbers(&want.stat) {
		*n = uint64(i)<<40 + 1
	}
	for i, field := range reflect.VisibleFields(reflect.TypeFor[nffile.Stat]()) {
		if reflect.ValueOf(want.stat).Field(i).IsZero() {
			t.Errorf("%s is not in a record", field.Name)
		}
	}
	b := want.append((&stored{name: "nfcapd.202611281200"}).append(nil))
	var got stored
	rest, ok := got.next(b)
	if !ok || got.name != "nfcapd.202611281200" {
		t.Fatalf("the first: %+v, %v", got, ok)
	}
	if rest, ok = got.next(rest); !ok || got != want || len(rest) != 0 {
		t.Errorf("%+v, want %+v, %d bytes more", got, want, len(rest))
	}
	for n := range len(b) / 2 {
		if rest, ok := got.next(b[:n]); ok {
			t.Errorf("%d bytes of a record are one, %d are left", n, len(rest))
		}
	}
}

// The checklist names tests that there are, here or in the relay.
func TestChecklist(t *testing.T) {
	list, err := os.ReadFile("CHECKLIST.md")
	must(t, err)
	var code []byte
	for _, pattern := range []string{"*_test.go", "../../relay/*_test.go", "../../relay/alert/*_test.go"} {
		files, err := filepath.Glob(pattern)
		must(t, err)
		for _, name := range files {
			text, err := os.ReadFile(name)
			must(t, err)
			code = append(code, text...)
		}
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllSubmatch(list, -1)
	if len(names) < 30 {
		t.Errorf("%d tests are named", len(names))
	}
	for _, name := range names {
		if !bytes.Contains(code, append([]byte("func "), append(name[1], '(')...)) {
			t.Errorf("there is no %s", name[1])
		}
	}
}

// At the path of a store, what is none is left as it is; a store that is damaged is made
// anew, and that is logged.
func TestStoreLeavesOtherFiles(t *testing.T) {
	real := filepath.Join(t.TempDir(), "web.db")
	a, err := openStore(real, "/flows", t.Logf)
	must(t, err)
	many := make([]stored, 2000)
	for i := range many {
		many[i].name = fmt.Sprintf("nfcapd.%012d", i)
	}
	must(t, a.change(map[string][]stored{".": many}))
	must(t, a.close())
	whole, err := os.ReadFile(real)
	must(t, err)
	others := filepath.Join(t.TempDir(), "other.db")
	other, err := bbolt.Open(others, 0o600, nil)
	must(t, err)
	must(t, other.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("keys")); return err }))
	must(t, other.Close())
	foreign, err := os.ReadFile(others)
	must(t, err)
	flipped := bytes.Clone(whole)
	for _, at := range []int{metaTx, os.Getpagesize() + metaTx} {
		flipped[at] ^= 0xff
	}
	for name, c := range map[string]struct {
		data []byte
		err  error
		logs int
	}{
		"a file of users": {[]byte("alice:$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW\n"),
			ErrNotStore, 0},
		"a long text":                    {bytes.Repeat([]byte("not a data base "), 16384), ErrNotStore, 0},
		"a flow file":                    {append([]byte{0x0c, 0xa5, 2, 0}, make([]byte, 300_000)...), ErrNotStore, 0},
		"a data base of another program": {foreign, ErrNotStore, 0},
		"a store that was cut":           {whole[:len(whole)/2], nil, 1},
		"the beginning of a store":       {whole[:100], nil, 1},
		"a store with other bytes":       {flipped, nil, 1},
		"a store":                        {whole, nil, 0},
		"an empty file":                  {[]byte{}, nil, 0},
		"no file":                        {nil, nil, 0},
	} {
		path, logs := filepath.Join(t.TempDir(), "web.db"), 0
		if c.data != nil {
			must(t, os.WriteFile(path, c.data, 0o600))
		}
		s, err := openStore(path, "/flows", func(string, ...any) { logs++ })
		if !errors.Is(err, c.err) || logs != c.logs {
			t.Errorf("%s: %v, want %v; %d lines of the log, want %d", name, err, c.err, logs, c.logs)
		}
		if err == nil {
			must(t, s.change(map[string][]stored{"a": many[:1]}))
			must(t, s.close())
			continue
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, c.data) {
			t.Errorf("%s has been changed: %v", name, err)
		}
	}
}

// The profiles of a store of an earlier version are kept; what can be read from the files is not.
func TestStoreOfEarlierVersion(t *testing.T) {
	tr := makeTree(t, 2, 5)
	path := filepath.Join(t.TempDir(), "web.db")
	old, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	text, err := json.Marshal(webProfile("live"))
	must(t, err)
	must(t, old.Update(func(tx *bbolt.Tx) error {
		for _, format := range oldFormats {
			b, err := tx.CreateBucket([]byte(format + tr.dir))
			must(t, err)
			must(t, b.Put([]byte("web"), text))
		}
		return nil
	}))
	must(t, old.Close())
	for range 2 {
		a, err := OpenArchive(tr.dir, path, time.UTC, t.Errorf)
		must(t, err)
		must(t, a.Refresh(t.Context()))
		if p := a.kept.profiles["web"]; p == nil || len(p.Channels) != 2 {
			t.Errorf("%+v", a.kept.profiles)
		}
		must(t, a.store.transact(false, func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
				if !summed(name) {
					t.Errorf("bucket %q is left", name)
				}
				return nil
			})
		}))
		must(t, a.Close())
	}
}

func FuzzStored(f *testing.F) {
	f.Add([]byte{})
	f.Add((&stored{name: "nfcapd.202611281200", size: 1}).append(nil))
	f.Add([]byte{0xff, 0xff, 'n'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r stored
		var again []byte
		rest, ok := r.next(b)
		for last := b; ok; rest, ok = r.next(rest) {
			if len(rest) >= len(last) {
				t.Fatal("no end")
			}
			last = rest
			again = r.append(again)
		}
		if string(again) != string(b[:len(again)]) {
			t.Errorf("%x is written as %x", b, again)
		}
	})
}

// Until the files have been looked at the API says that they are not known yet, and how far
// that is; what a look that was ended has not read is read by the next one.
func TestStartIsTold(t *testing.T) {
	tr := makeTree(t, 4, 10)
	store := filepath.Join(t.TempDir(), "web.db")
	a, err := OpenArchive(tr.dir, store, time.UTC, t.Logf)
	must(t, err)
	s, h := serveArchive(t, a, Options{})
	if st := ask[Status](t, h, "status"); st.Ready || st.Found != 0 {
		t.Errorf("before a look: %+v", st)
	}
	if g := ask[Graph](t, h, "graph"); len(g.Sources) != 0 {
		t.Errorf("before a look: %+v", g)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.archive.Refresh(ended); err == nil {
		t.Error("a look that was ended has no error")
	}
	must(t, a.Close())
	a, err = OpenArchive(tr.dir, store, time.UTC, t.Logf)
	must(t, err)
	defer a.Close()
	must(t, a.Refresh(t.Context()))
	_, h = serveArchive(t, a, Options{})
	if st := ask[Status](t, h, "status"); !st.Ready || st.Found != 7 || st.ToRead != 7 || st.Reading != 0 {
		t.Errorf("behind it: %+v", st)
	}
	if sums := statistics(*a.sources.Load(), Span{tr.from, tr.to}); sums.Total.Counters[0].Flows != 4*10+3*5 {
		t.Errorf("%d flows", sums.Total.Counters[0].Flows)
	}
}

// Names of files tell their slots as nfcapd writes them, and no others do.
func TestSlotStart(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	for name, want := range map[string]string{
		"nfcapd.202611281205":        "2026-11-28T11:05:00Z",
		"nfcapd.20261128120530":      "2026-11-28T11:05:30Z",
		"nfcapd.202607281205":        "2026-07-28T10:05:00Z",
		"nfcapd.202611281205+0530":   "2026-11-28T06:35:00Z",
		"nfcapd.20261128120530-0800": "2026-11-28T20:05:30Z",
		"nfcapd.202602301205":        "", "nfcapd.202613011205": "", "nfcapd.202611282405": "", "nfcapd.2026112812": "",
		"nfcapd.2026112812055": "", "nfcapd.20261128120x": "", "nfcapd.202611281205+05": "", "nfcapd.current": "",
		"nfcapd.202611281205.gz": "", "sfcapd.202611281205": "", "nfcapd.202611281205+05300": "",
	} {
		got := ""
		if start, ok := slotStart(name, berlin); ok {
			got = time.Unix(start, 0).UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
