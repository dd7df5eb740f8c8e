package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/control"
)

// Right is what a user may do besides looking.
type Right string

// RightMail is to read the text of mails, and to retry, hold, release, remove and bounce them.
const RightMail Right = "mail"

// RightProfiles is to make, change, rebuild and remove profiles.
const RightProfiles Right = "profiles"

// rights are all there are.
var rights = []Right{RightMail, RightProfiles}

// Grants are the rights of users, by name.
type Grants map[string][]Right

// ParseGrants reads USER=RIGHT, several with a plus between.
func ParseGrants(texts []string) (Grants, error) {
	g := Grants{}
	for _, text := range texts {
		name, list, ok := strings.Cut(text, "=")
		if !ok || name == "" || list == "" {
			return nil, fmt.Errorf("%q: expected USER=RIGHT, as alice=mail", text)
		}
		for right := range strings.SplitSeq(list, "+") {
			if !slices.Contains(rights, Right(right)) {
				return nil, fmt.Errorf("%q: there is no right %q: expected mail or profiles", text, right)
			}
			g[name] = append(g[name], Right(right))
		}
	}
	return g, nil
}

// may says whether the user of a request has a right. Who has not logged in has none.
func (s *Server) may(r *http.Request, right Right) bool {
	name, known := s.guard.user(r)
	return known && name != "" && slices.Contains(s.opt.Grants[name], right)
}

// allRights returns the rights of the user of a request.
func (s *Server) allRights(r *http.Request) []Right {
	list := []Right{}
	for _, right := range rights {
		if s.may(r, right) {
			list = append(list, right)
		}
	}
	return list
}

// maxAsked is how many ask the relay at once, and askTime how long one may wait for a turn.
const (
	maxAsked = 2
	askTime  = 10 * time.Second
)

// control asks the relay that has the spool.
func (s *Server) control(w http.ResponseWriter, r *http.Request, request control.Request) (*control.Response, error) {
	if s.opt.Spool == "" {
		return nil, &statusError{http.StatusNotFound, errors.New("no relay is shown here: flowgraf web " +
			"--spool DIR does")}
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return nil, &statusError{http.StatusServiceUnavailable, errors.New("the relay is being asked by others: " +
			"try again")}
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opt.Timeout + writeTimeout))
	response, err := control.Do(s.opt.Spool, request)
	if errors.Is(err, control.ErrNotRunning) {
		return nil, &statusError{http.StatusServiceUnavailable, fmt.Errorf("%w: start the agent", err)}
	}
	if err != nil {
		return nil, &statusError{http.StatusBadGateway, err}
	}
	return response, nil
}

// AlertList are the alert rules of a running relay.
type AlertList struct {
	Alerts []control.Alert `json:"alerts"`
}

// getAlerts tells of the alert rules.
func (s *Server) getAlerts(w http.ResponseWriter, r *http.Request) error {
	response, err := s.control(w, r, control.Request{Command: control.Alerts})
	if err != nil {
		return err
	}
	if len(response.Errors) > 0 {
		return &statusError{http.StatusBadGateway, errors.New(strings.Join(response.Errors, "; "))}
	}
	list := AlertList{response.Alerts}
	if list.Alerts == nil {
		list.Alerts = []control.Alert{}
	}
	return give(w, list)
}

// maxMails bounds the mails of a list.
const maxMails = 1000

// MailList are the mails of a queue: the oldest, and how many there are.
type MailList struct {
	Count    int            `json:"count"`
	Mails    []control.Mail `json:"mails"`
	Problems []string       `json:"problems"`
}

// getMails lists the mails that wait, or those that have failed.
func (s *Server) getMails(w http.ResponseWriter, r *http.Request) error {
	v := &values{Values: r.URL.Query()}
	v.only("failed")
	failed := v.choice("failed", "false", "true") == "true"
	if v.err != nil {
		return v.err
	}
	response, err := s.control(w, r, control.Request{Command: control.List, Failed: failed})
	if err != nil {
		return err
	}
	list := MailList{Count: len(response.Mails), Mails: response.Mails, Problems: response.Errors}
	slices.SortStableFunc(list.Mails, func(a, b control.Mail) int { return a.Received.Compare(b.Received) })
	list.Mails = list.Mails[:min(len(list.Mails), maxMails)]
	if list.Mails == nil {
		list.Mails = []control.Mail{}
	}
	if list.Problems == nil {
		list.Problems = []string{}
	}
	return give(w, list)
}

// getMail shows a mail: its text only to those with the right to it.
func (s *Server) getMail(w http.ResponseWriter, r *http.Request) error {
	v := &values{Values: r.URL.Query()}
	v.only("id")
	id := mailID(v)
	if v.err != nil {
		return v.err
	}
	response, err := s.control(w, r, control.Request{Command: control.Show, IDs: []string{id}})
	if err != nil {
		return err
	}
	if len(response.Mails) == 0 {
		return &statusError{http.StatusNotFound, errors.New(strings.Join(response.Errors, "; "))}
	}
	mail := response.Mails[0]
	if !s.may(r, RightMail) {
		mail.Message = ""
	}
	return give(w, mail)
}

// maxID is the longest id of a mail, bytes.
const maxID = 100

// mailID reads the id of a mail.
func mailID(v *values) string {
	id := v.Get("id")
	if id == "" || len(id) > maxID || strings.ContainsFunc(id, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-'
	}) {
		v.fail("id", fmt.Errorf("%.100q: expected the id of a mail", id))
	}
	return id
}

// Order is what shall be done with a mail.
type Order struct {
	Command string `json:"command"` // retry, hold, release, remove or bounce
	ID      string `json:"id"`
}

// orders are the commands of an Order.
var orders = []string{control.Retry, control.Hold, control.Release, control.Remove, control.Bounce}

// postMail does something with a mail, for users with the right to it.
func (s *Server) postMail(w http.ResponseWriter, r *http.Request) error {
	user, _ := s.guard.user(r)
	if !s.may(r, RightMail) {
		return &statusError{http.StatusForbidden, errors.New("this is for users with the right to it: flowgraf web " +
			"--grant USER=mail")}
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return &statusError{http.StatusUnsupportedMediaType, errors.New("expected application/json")}
	}
	var o Order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		return &Mistake{Err: fmt.Errorf("expected a command and an id in JSON: %w", err)}
	}
	v := &values{Values: map[string][]string{"id": {o.ID}}}
	mailID(v)
	if v.err != nil {
		return v.err
	}
	if !slices.Contains(orders, o.Command) {
		return &Mistake{"command", fmt.Errorf("%.20q: expected one of %s", o.Command, strings.Join(orders, ", "))}
	}
	response, err := s.control(w, r, control.Request{Command: o.Command, IDs: []string{o.ID}})
	if err != nil {
		return err
	}
	if len(response.Errors) > 0 {
		return &statusError{http.StatusConflict, errors.New(strings.Join(response.Errors, "; "))}
	}
	s.opt.Logf("mail %s: %s, by %s from %s", o.ID, o.Command, user, peer(r))
	return give(w, o)
}
