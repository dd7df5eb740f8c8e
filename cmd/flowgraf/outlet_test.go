package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"
)

// sink is an output that keeps what it gets, or fails, or hangs until it is released.
type sink struct {
	mu     sync.Mutex
	got    []int64
	opened int
	closed int
	fails  error
	hang   chan struct{}
}

func (*sink) SampleConfig() string { return "" }

func (s *sink) Connect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	return s.fails
}

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

func (s *sink) Write(metrics []telegraf.Metric) error {
	s.mu.Lock()
	hang, fails := s.hang, s.fails
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if fails != nil {
		return fails
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range metrics {
		v, _ := m.GetField("n")
		s.got = append(s.got, v.(int64))
	}
	return nil
}

func (s *sink) set(fails error, hang chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails, s.hang = fails, hang
}

// numbers are the metrics from one number to another.
func numbers(from, to int64) (list []int64) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

// outletOf returns the outlet of a sink under the id of its output.
func outletOf(t *testing.T, s *sink, id string, before []*outlet) *outlet {
	t.Helper()
	r, err := models.NewRunningOutput(s, &models.OutputConfig{Name: "sink", ID: id}, 10, 1000)
	if err != nil {
		t.Fatal(err)
	}
	outlets := wrapOutputs(&config.Config{Outputs: []*models.RunningOutput{r}}, before)
	return outlets[0]
}

// addNumbers gives an outlet's output metrics, as the agent does.
func addNumbers(o *outlet, list []int64) {
	for _, n := range list {
		o.running.AddMetric(metric.New("m", nil, map[string]any{"n": n}, time.Unix(n, 0)))
	}
}

// A reload while an output hangs takes no longer than the patience for it; what was not
// written goes to its successor, which writes it before what comes anew, also when it
// cannot be opened at first. What the call under way writes after all is there twice.
func TestReloadHandsOverWhatIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, hang := &sink{}, make(chan struct{})
		o := outletOf(t, old, "1", nil)
		if err := o.running.Connect(); err != nil {
			t.Fatal(err)
		}
		addNumbers(o, numbers(1, 5))
		if err := o.running.Write(); err != nil {
			t.Fatal(err)
		}
		old.set(nil, hang)
		addNumbers(o, numbers(6, 25))
		writing := make(chan error)
		go func() { writing <- o.running.Write() }()
		synctest.Wait()
		start := time.Now()
		o.leave(outletHanding, reloadPatience)
		if err := <-writing; err != nil {
			t.Errorf("the write that hangs: %v", err)
		}
		addNumbers(o, numbers(26, 30))
		if err := o.running.Write(); err != nil {
			t.Error(err)
		}
		o.running.Close()
		if took := time.Since(start); took > reloadPatience {
			t.Errorf("the output held up the reload for %s", took)
		}
		next := &sink{fails: errors.New("the place is taken")}
		heir := outletOf(t, next, "1", []*outlet{o})
		if err := heir.running.Connect(); err != nil {
			t.Errorf("an output that cannot be opened ends the reload: %v", err)
		}
		addNumbers(heir, numbers(31, 32))
		if err := heir.running.Write(); err == nil || !strings.Contains(err.Error(), "the place is taken") {
			t.Errorf("the error of opening is %v", err)
		}
		next.set(nil, nil)
		time.Sleep(2 * reconnectPause)
		if err := heir.running.Write(); err != nil {
			t.Error(err)
		}
		if want := numbers(6, 32); !slices.Equal(next.got, want) {
			t.Errorf("the successor got %v, want %v", next.got, want)
		}
		close(hang)
		synctest.Wait()
		if old.closed != 1 || !slices.Equal(old.got, numbers(1, 15)) {
			t.Errorf("the old output has %v and was closed %d times", old.got, old.closed)
		}
		if n, _, _ := heir.unwritten(); n != 0 {
			t.Errorf("%d metrics are said to be unwritten", n)
		}
	})
}

// At the end, an output that hangs or fails holds up the agent for a bounded time, and
// what it did not write is told with its reason.
func TestStopTellsWhatIsNotWritten(t *testing.T) {
	for what, c := range map[string]struct {
		fails error
		hangs bool
		want  string
	}{
		"hanging": {nil, true, "outputs.sink: 20 metrics were not written and are lost: the output does not answer"},
		"failing": {errors.New("503"), false, "outputs.sink: 20 metrics were not written and are lost: 503"},
		"healthy": {nil, false, "<nil>"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sink{}
				o := outletOf(t, s, "1", nil)
				if err := o.running.Connect(); err != nil {
					t.Fatal(err)
				}
				var hang chan struct{}
				if c.hangs {
					hang = make(chan struct{})
				}
				s.set(c.fails, hang)
				addNumbers(o, numbers(1, 20))
				start := time.Now()
				o.leave(outletStopping, stopPatience)
				_ = o.running.Write()
				o.running.Close()
				if took := time.Since(start); took > stopPatience {
					t.Errorf("the end took %s", took)
				}
				if got := fmt.Sprint(unwrittenError([]*outlet{o})); got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
				if c.hangs {
					close(hang)
				}
			})
		})
	}
}
