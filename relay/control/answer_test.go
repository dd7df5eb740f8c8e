package control

import (
	"encoding/json"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What is asked arrives whole, and what is answered comes back whole: a field that is
// lost on the way is a list without its mails, or a command for all instead of one.
func TestEverythingComesAcross(t *testing.T) {
	dir, at := t.TempDir(), time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)
	want := Response{
		Mails: []Mail{{ID: "m-1", Received: at, State: "delivering", Due: at.Add(1), Asking: "mx:25", Since: at.Add(2),
			Waits:    []Wait{{Host: "h", Why: "450 \"later\"\n", Since: at.Add(3), Until: at.Add(4)}},
			Attempts: 5, Critical: true, Origin: "smtp", Client: "192.0.2.1", Size: 6, From: "a@b",
			To:      []Recipient{{Address: "c@d", State: "waiting", Time: at.Add(5), Answer: "\x00\u2028<é>"}},
			Message: "Subject: x\r\n\r\nbody\r\n"}, {ID: "m-2"}},
		Alerts: []Alert{{Name: "n", Where: "w", Crit: "c", Warn: "w", Info: "i", To: []string{"x@y"}, Field: "f",
			Active: []Change{{ID: "i", Level: "CRITICAL", Peak: "p", Since: at, Time: at, Text: "t", Stale: true}},
			Events: []Change{{ID: "j"}}, Values: []Value{{Minute: 60, Least: 0.1, Most: 1e300}},
			Bounds: []Bound{{Level: "WARNING", Value: -0.5}}}},
		Done: []string{"m-1", "m-2"}, Errors: []string{"m-3: no such mail"},
	}
	requests := []Request{{Command: List}, {Command: List, Failed: true}, {Command: Show, IDs: []string{"m-1", "m-2"}},
		{Command: Remove, All: true, Failed: true}, {Command: Retry, IDs: make([]string, 5000)}}
	for i := range requests[4].IDs {
		requests[4].IDs[i] = "0123456789abcdef-0123456789"
	}
	var mu sync.Mutex
	var got []Request
	s, err := Serve(dir, func(r Request) Response {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r)
		return want
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		answer, err := Do(dir, r)
		if err != nil || !reflect.DeepEqual(*answer, want) {
			t.Fatalf("%s: %v\n got %+v\nwant %+v", r.Command, err, answer, want)
		}
	}
	s.Close()
	if !reflect.DeepEqual(got, requests) {
		t.Error("requests differ on their way")
	}
}

// A command that takes its time is waited for when the relay ends, and its answer still
// reaches who asked: else a person does not know whether mails were removed. Others are
// answered meanwhile.
func TestCloseWaitsForAnswers(t *testing.T) {
	dir := t.TempDir()
	began, release := make(chan bool), make(chan bool)
	var ended atomic.Bool
	s, err := Serve(dir, func(r Request) Response {
		if r.Command == Remove {
			began <- true
			<-release
			ended.Store(true)
		}
		return Response{Done: []string{r.Command}}
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		answer, err := Do(dir, Request{Command: Remove, All: true})
		if err != nil || len(answer.Done) != 1 || answer.Done[0] != Remove {
			t.Errorf("%+v, %v", answer, err)
		}
	})
	<-began
	if answer, err := Do(dir, Request{Command: List}); err != nil || len(answer.Done) != 1 {
		t.Errorf("meanwhile: %+v, %v", answer, err)
	}
	closed := make(chan bool)
	go func() {
		s.Close()
		if !ended.Load() {
			t.Error("closed before the answer")
		}
		close(closed)
	}()
	for { // until nobody is taken any more
		if _, err := Do(dir, Request{Command: List}); err != nil {
			break
		}
	}
	close(release)
	<-closed
	wg.Wait()
}

// A request without an end, or over 16 MiB, is refused and told of, and the next one is
// answered.
func TestRequestsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	s, err := Serve(dir, func(Request) Response { return Response{Done: []string{"ok"}} })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for what, text := range map[string]string{"half": `{"command": "li`, "an array": `["list"]`,
		"a number": `{"command": 7}`, "too long": `{"command": "` + strings.Repeat("x", maxRequest), "nothing": ""} {
		c, err := net.Dial("unix", filepath.Join(dir, socketName))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		c.(*net.UnixConn).CloseWrite()
		var answer Response
		if err := json.NewDecoder(c).Decode(&answer); err != nil || len(answer.Errors) != 1 ||
			!strings.HasPrefix(answer.Errors[0], "the request cannot be read: ") {
			t.Errorf("%s: %+v, %v", what, answer, err)
		}
		c.Close()
		if answer, err := Do(dir, Request{Command: List}); err != nil || len(answer.Done) != 1 {
			t.Errorf("after %s: %+v, %v", what, answer, err)
		}
	}
}
