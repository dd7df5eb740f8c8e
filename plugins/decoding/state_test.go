package decoding

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// TestStateSurvives decodes data without templates in a plugin that starts with
// what another one has saved.
func TestStateSurvives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "netflow.state")
	list := decodingtest.Datagrams(t, 100)
	first, _ := started(t, func(o *Options) { o.StateFile = file })
	first.Receive([]collector.Datagram{decodingtest.Received(list[0])})
	first.tell()
	killed, err := os.ReadFile(file) // what a kill would leave
	if err != nil || bytes.Count(killed, []byte("\n")) != 2 {
		t.Fatalf("got %q, %v", killed, err)
	}
	first.Stop()
	second := newPool(t, func(o *Options) { o.StateFile = file })
	second.restore()
	other := decodingtest.Received(list[1])
	other.Exporter = netip.MustParseAddrPort("192.0.2.2:2055")
	if got := len(second.Decode([]collector.Datagram{other})); got != 0 {
		t.Errorf("another exporter's templates were used for %d flows", got)
	}
	dg := decodingtest.Received(list[1])
	if got := len(second.Decode([]collector.Datagram{dg})); got != 19 {
		t.Errorf("got %d flows after a restart, want 19", got)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*.tmp"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestStateOfTheFirstMoment: what comes between the opening of the port and the first
// look at what is new is written as soon as what comes later.
func TestStateOfTheFirstMoment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "netflow.state")
	n := newPool(t, func(o *Options) { o.StateFile = file })
	restored, saved := n.known(), n.revision()
	n.Decode([]collector.Datagram{decodingtest.Received(decodingtest.Datagrams(t, 1)[0])})
	done := make(chan struct{})
	n.wg.Go(func() { n.repeat(done, restored, saved) })
	for range 1000 {
		if _, err := os.Stat(file); err == nil {
			break
		}
		pause()
	}
	close(done)
	n.wg.Wait()
	if _, err := os.Stat(file); err != nil {
		t.Error("nothing was written within ten seconds")
	}
}

// errorLog counts lines.
type errorLog struct {
	telegraf.Logger
	errors, infos int
}

func (l *errorLog) Errorf(string, ...interface{}) { l.errors++ }
func (l *errorLog) Infof(string, ...interface{})  { l.infos++ }

// TestStateFailuresAreToldOnce writes to a place that is not there, and then is.
func TestStateFailuresAreToldOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	n := newPool(t, func(o *Options) { o.StateFile = filepath.Join(dir, "netflow.state") })
	log := &errorLog{Logger: n.opt.Log}
	n.opt.Log = log
	for range 5 {
		n.tell()
	}
	if log.errors != 1 || log.infos != 0 || n.stateErrors.Load() != 5 {
		t.Errorf("%d errors and %d infos in the log, %d counted", log.errors, log.infos, n.stateErrors.Load())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	n.tell()
	n.tell()
	if log.errors != 1 || log.infos != 1 || n.stateErrors.Load() != 5 {
		t.Errorf("written again: %d errors and %d infos in the log, %d counted", log.errors, log.infos,
			n.stateErrors.Load())
	}
}

func pause() { time.Sleep(10 * time.Millisecond) }

// quiet is a log without warnings, of which there would be hundreds.
type quiet struct{ telegraf.Logger }

func (quiet) Warnf(string, ...interface{}) {}

// TestDamagedState cuts and flips the state file: the plugin starts all the same.
func TestDamagedState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "netflow.state")
	good := newPool(t, func(o *Options) { o.StateFile = file })
	good.Decode([]collector.Datagram{decodingtest.Received(decodingtest.Datagrams(t, 2)[0])})
	if err := collector.SaveKnown(file, good.known()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		for _, bad := range [][]byte{whole[:i], append(append(bytes.Clone(whole[:i]), whole[i]^0x55), whole[i+1:]...)} {
			if err := os.WriteFile(file, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			n := newPool(t, func(o *Options) { o.StateFile = file })
			n.opt.Log = quiet{n.opt.Log}
			n.restore()
		}
	}
}

// TestResentDatagrams makes a decoder that starts late whole.
func TestResentDatagrams(t *testing.T) {
	n, acc := started(t, func(o *Options) { o.Wants = Wants{Datagrams: true} })
	list := decodingtest.Datagrams(t, 100)
	n.Receive([]collector.Datagram{decodingtest.Received(list[0])})
	n.tell()
	late := collector.NewDecoder(collector.Options{})
	resent := 0
	for _, m := range acc.List() {
		dg, err := new(flowmetric.DatagramParser).Parse(m)
		if err != nil {
			t.Fatal(err)
		}
		if dg.Resent {
			resent++
			if err := late.Decode(dg, collector.Handler{}); err != nil {
				t.Error(err)
			}
			dg = decodingtest.Received(list[1])
			dg.Exporter = n.known()[0].Exporter
			if err := late.Decode(dg, collector.Handler{}); err != nil {
				t.Error(err)
			}
		}
	}
	flows := uint64(0)
	late.Exporters(func(s *collector.ExporterStats) { flows += s.Flows })
	if resent != 1 || flows != 19 {
		t.Errorf("%d datagrams were sent again, which decoded %d flows", resent, flows)
	}
	n.Stop()
	count := len(acc.List())
	pause()
	if len(acc.List()) != count {
		t.Error("something was emitted after Stop")
	}
}
