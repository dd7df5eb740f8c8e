package alert

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// A state file that cannot be understood is set aside, logged and counted, and the levels
// come from the mails that wait.
func TestDamagedState(t *testing.T) {
	for name, text := range map[string]string{
		"cut": `{"version": 1, "seq": 3, "alight": [{"rule`, "empty": "", "other version": `{"version": 2}`,
		"no JSON":    "\x00\x01",
		"wrong kind": `{"version": 1, "alight": 7}`,
	} {
		path := filepath.Join(t.TempDir(), "alert.state")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d := newDesk(t, path, testRule(nil))
		if kept, err := os.ReadFile(path + ".corrupt"); err != nil || string(kept) != text {
			t.Errorf("%s: set aside is %q, %v", name, kept, err)
		}
		if d.mon.Get(monitor.Corrupt, "alert state") != 1 {
			t.Errorf("%s: it is not counted", name)
		}
		waiting := Change{Rule: "r", ID: "m:host=a", Level: Critical, Peak: Critical, Since: time.Unix(1, 0),
			Time: time.Unix(1, 0), Seq: 5}
		if err := d.engine.Recover([]Change{waiting}); err != nil {
			t.Fatal(err)
		}
		d.apply(sample(2, int64(90)), sample(3, int64(1)))
		if got := d.levels(); got != "OK" {
			t.Errorf("%s: told is %q, want the recovery alone", name, got)
		}
		if d.mails[0].Change.Seq != 6 {
			t.Errorf("%s: the change has the number %d, want 6", name, d.mails[0].Change.Seq)
		}
	}
}

// A state file that cannot be read is an error: levels must not begin anew over it.
func TestUnreadableState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alert.state")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	e, err := New(Options{Rules: []Rule{testRule(nil)}, StateFile: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Recover(nil); err == nil || !strings.Contains(err.Error(), "alert state: ") {
		t.Errorf("a directory in its place: %v", err)
	}
}

// Mails go although the state cannot be saved, which is tried again with the next samples.
func TestStateThatCannotBeSaved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	path := filepath.Join(dir, "alert.state")
	d := newDesk(t, path, testRule(nil)) // dir is not there
	d.apply(sample(1, int64(90)))
	if len(d.mails) != 1 || d.freed != 1 || d.mon.Get(monitor.SpoolErrors, "alert state") != 1 {
		t.Errorf("%d mails, %d let go, %d errors", len(d.mails), d.freed, d.mon.Get(monitor.SpoolErrors, "alert state"))
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.apply(sample(2, int64(95))) // no change, but the file is behind
	var state stateFile
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &state)
	}
	if err != nil || len(state.Active) != 1 || state.Active[0].Level != Critical || state.Seq != 1 {
		t.Errorf("saved is %s, %v", b, err)
	}
}

// What belongs to no rule any more is forgotten: ids, and digests that nobody gets.
func TestStateOfOtherRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alert.state")
	state := stateFile{Version: stateVersion, Seq: 9, Active: []Change{
		{Rule: "gone", ID: "a", Level: Critical, Peak: Critical}, {Rule: "r", ID: "m:host=a", Level: 77},
		{Rule: "r", ID: "m:host=b", Level: Warning, Peak: 99, Since: time.Unix(1, 0), Time: time.Unix(1, 0)},
	}, Digests: map[string]*digest{"gone@example.com": {Seq: 3}, "none@example.com": nil, "t@example.com": {Seq: 4}}}
	b, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, path, testRule(nil))
	if len(d.engine.active) != 1 || d.engine.seq != 9 {
		t.Errorf("known are %v, up to %d", d.engine.active, d.engine.seq)
	}
	if s := d.engine.active[key{"r", "m:host=b"}]; s == nil || s.level != Warning || s.peak != Critical {
		t.Errorf("of an id with an impossible peak is kept %+v", s)
	}
	if len(d.engine.digests) != 1 || d.engine.digests["t@example.com"] == nil {
		t.Errorf("digests for %v", d.engine.digests)
	}
}

// When the spool takes nothing, the samples up to the failure have had their effect, and
// those behind it none.
func TestSpoolFailsInTheMiddle(t *testing.T) {
	d := newDesk(t, "", testRule(nil))
	d.apply(sample(1, int64(90)))
	d.fail = errors.New("no space")
	n, err := d.engine.Apply([]Sample{sample(2, int64(95)), sample(3, int64(1)), sample(4, int64(1))})
	if n != 1 || err == nil ||
		!strings.Contains(err.Error(), `alert "r": storing the mail for "m:host=a": no space`) {
		t.Fatalf("Apply: %d, %v", n, err)
	}
	d.fail = nil
	d.apply([]Sample{sample(2, int64(95)), sample(3, int64(1)), sample(4, int64(1))}[n:]...)
	if s := d.engine.active[key{"r", "m:host=a"}]; s != nil {
		t.Errorf("the id is still %v", s.level)
	}
	if got := d.levels(); got != "CRITICAL OK" {
		t.Errorf("told is %q", got)
	}
}
