// Package control is how a person's command reaches the relay that has the spool: a
// Unix socket in the spool's directory, which only the relay's user can open. A
// client sends one Request and gets one Response, both JSON. The package carries
// them; what they do is the relay's matter.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// socketName is the socket's name in the spool.
const socketName = "control"

const (
	maxRequest     = 16 << 20 // octets; enough for the ids of 100,000 mails
	requestTimeout = 10 * time.Second
	answerTimeout  = 5 * time.Minute
)

// ErrNotRunning is wrapped when no relay has the spool.
var ErrNotRunning = errors.New("no relay is running on this spool")

// The commands.
const (
	List    = "list"
	Show    = "show"
	Retry   = "retry"
	Hold    = "hold"
	Release = "release"
	Remove  = "remove"
	Bounce  = "bounce"
	Alerts  = "alerts" // of a running relay: its rules, and what they have seen
)

// Request is one command.
type Request struct {
	// Command is one of the commands.
	Command string `json:"command"`
	// IDs are the mails it is for; List and Alerts take none.
	IDs []string `json:"ids,omitempty"`
	// All stands for all waiting mails, with Failed for all failed ones.
	All bool `json:"all,omitempty"`
	// Failed asks List for the failed mails instead of the waiting ones, and for those
	// that wait while some of their recipients have failed.
	Failed bool `json:"failed,omitempty"`
}

// Mail is one mail as List and Show tell of it.
type Mail struct {
	ID       string    `json:"id"`
	Received time.Time `json:"received"`
	// State is "waiting", "delivering", "held" or "failed".
	State string `json:"state"`
	// Due is when the next attempt is made, at the earliest; zero when that depends on
	// something else, or on a person.
	Due time.Time `json:"due,omitzero"`
	// Asking is the server that is asked at this moment, since then.
	Asking string    `json:"asking,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Waits are the servers that cannot be asked now, which is why the mail waits.
	Waits    []Wait      `json:"waits,omitempty"`
	Attempts int         `json:"attempts,omitempty"`
	Critical bool        `json:"critical,omitempty"`
	Origin   string      `json:"origin"`
	Client   string      `json:"client,omitempty"`
	Size     int         `json:"size"`
	From     string      `json:"from"`
	To       []Recipient `json:"to"`
	// Message comes with Show.
	Message string `json:"message,omitempty"`
}

// Wait is a server that cannot be asked, or whose name cannot be looked up.
type Wait struct {
	Host string `json:"host"`
	// Why is its last answer, or the error there was.
	Why string `json:"why"`
	// Since is when that began, Until when it is asked again; zero when not known.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// Recipient is one recipient and the last that was learnt about it.
type Recipient struct {
	Address string    `json:"address"`
	State   string    `json:"state"`
	Time    time.Time `json:"time,omitzero"`
	Answer  string    `json:"answer,omitempty"`
}

// Alert is an alert rule with its state.
type Alert struct {
	Name  string   `json:"name"`
	Where string   `json:"where,omitempty"`
	Crit  string   `json:"crit,omitempty"`
	Warn  string   `json:"warn,omitempty"`
	Info  string   `json:"info,omitempty"`
	To    []string `json:"to"`
	// Field is that whose values there are: the first one in the conditions.
	Field string `json:"field,omitempty"`
	// Active is what is not OK, the worst first, 1000 at most.
	Active []Change `json:"active,omitempty"`
	// Events are the last changes of level since the start, the newest first.
	Events []Change `json:"events,omitempty"`
	// Values are those of the last four hours, a minute each; minutes without are left out.
	Values []Value `json:"values,omitempty"`
	// Bounds are the numbers that the conditions compare the field with.
	Bounds []Bound `json:"bounds,omitempty"`
}

// Change is a level of an id: the one it has, or the one that it came to.
type Change struct {
	ID    string    `json:"id"`
	Level string    `json:"level"`
	Peak  string    `json:"peak,omitempty"`
	Since time.Time `json:"since"` // when OK was left
	Time  time.Time `json:"time"`  // of the change, or of the last metric
	Text  string    `json:"text,omitempty"`
	Stale bool      `json:"stale,omitempty"`
}

// Value is the least and the most that a field had in a minute.
type Value struct {
	Minute int64   `json:"minute"` // its begin, seconds since 1970
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// Bound is a number in the condition of a level.
type Bound struct {
	Level string  `json:"level"`
	Value float64 `json:"value"`
}

// Response is the answer.
type Response struct {
	// Mails answer List and Show.
	Mails []Mail `json:"mails,omitempty"`
	// Alerts answer Alerts.
	Alerts []Alert `json:"alerts,omitempty"`
	// Done are the mails that the command was carried out for.
	Done []string `json:"done,omitempty"`
	// Errors are what went wrong, a line each.
	Errors []string `json:"errors,omitempty"`
}

// Server answers on a socket.
type Server struct {
	listener net.Listener
	path     string
	handle   func(Request) Response
	working  sync.WaitGroup
}

// Serve opens the socket in a spool that the caller has locked, and answers with
// handle until Close.
func Serve(spool string, handle func(Request) Response) (*Server, error) {
	s := &Server{path: filepath.Join(spool, socketName), handle: handle}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	var err error
	if s.listener, err = net.Listen("unix", s.path); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		s.listener.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	s.working.Go(s.accept)
	return s, nil
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(100 * time.Millisecond) // no descriptors: try again
			continue
		}
		s.working.Go(func() { s.answer(c) })
	}
}

func (s *Server) answer(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(requestTimeout))
	var request Request
	var response Response
	if err := json.NewDecoder(io.LimitReader(c, maxRequest)).Decode(&request); err != nil {
		response.Errors = []string{"the request cannot be read: " + err.Error()}
	} else {
		response = s.handle(request)
	}
	c.SetDeadline(time.Now().Add(requestTimeout))
	json.NewEncoder(c).Encode(response) // a client that is gone gets no answer
}

// Close ends the socket and waits for answers under way. It may be called on nil.
func (s *Server) Close() {
	if s == nil {
		return
	}
	s.listener.Close() // removes the socket too
	s.working.Wait()
}

// Do sends a request to the relay that has the spool. The error wraps ErrNotRunning
// when there is none.
func Do(spool string, request Request) (*Response, error) {
	c, err := net.Dial("unix", filepath.Join(spool, socketName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("spool %s: %w", spool, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", spool, err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(answerTimeout))
	if err := json.NewEncoder(c).Encode(request); err != nil {
		return nil, fmt.Errorf("asking the relay: %w", err)
	}
	var response Response
	if err := json.NewDecoder(c).Decode(&response); err != nil {
		return nil, fmt.Errorf("the relay's answer: %w", err)
	}
	return &response, nil
}
