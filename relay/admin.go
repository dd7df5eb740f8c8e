package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/relay/control"
	"github.com/flowgraf/flowgraf/relay/delivery"
	"github.com/flowgraf/flowgraf/relay/monitor"
	"github.com/flowgraf/flowgraf/relay/queue"
)

// admin carries out the commands of package control.
type admin struct {
	queue  *queue.Queue
	sender *delivery.Sender
	failed func(id string) error // makes a failed mail wait again
	bounce bool                  // senders can be told
	alerts *alerts               // nil without rules

	stopped bool // no relay has the spool: nothing is tried
}

// Control carries out a command on a spool: by the relay that has it, or, when none
// runs, by opening it for this moment.
func Control(spool string, request control.Request) (*control.Response, error) {
	response, err := control.Do(spool, request)
	if !errors.Is(err, control.ErrNotRunning) {
		return response, err
	}
	if _, err := os.Stat(spool); err != nil { // a spool is not made by asking for it
		return nil, fmt.Errorf("spool: %w", err)
	}
	mon := monitor.New(nil, nil)
	q, waiting, err := queue.Open(spool, mon)
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", spool, err)
	}
	sender := delivery.New(delivery.Options{Queue: q, Monitor: mon})
	for i := range waiting {
		sender.Add(&waiting[i])
	}
	a := &admin{queue: q, sender: sender, stopped: true, failed: func(id string) error {
		var env queue.Envelope
		return q.Revive(id, &env)
	}}
	answer := a.do(request)
	return &answer, q.Close()
}

// do carries out one command.
func (a *admin) do(request control.Request) (response control.Response) {
	if request.Command == control.Alerts {
		if a.stopped {
			return control.Response{Errors: []string{"alerts: no relay is running on this spool, which would " +
				"know them"}}
		}
		return control.Response{Alerts: a.alerts.tell()}
	}
	ids, err := a.ids(request)
	if err != nil {
		return control.Response{Errors: []string{err.Error()}}
	}
	if request.Command == control.List || request.Command == control.Show {
		return a.tell(request, ids)
	}
	for _, id := range ids {
		if err := a.change(request.Command, id); err != nil {
			response.Errors = append(response.Errors, err.Error())
			continue
		}
		response.Done = append(response.Done, id)
	}
	return response
}

// ids gives the mails that a request is for.
func (a *admin) ids(request control.Request) ([]string, error) {
	switch {
	case request.Failed && request.Command == control.List:
		failed, err := a.queue.FailedIDs()
		return append(a.partlyFailed(), failed...), err
	case request.Failed && request.All:
		return a.queue.FailedIDs()
	case request.All && request.Command == control.Release:
		var ids []string
		for _, status := range a.sender.List() {
			if status.Held {
				ids = append(ids, status.ID)
			}
		}
		return ids, nil
	case request.All || request.Command == control.List:
		var ids []string
		for _, status := range a.sender.List() {
			ids = append(ids, status.ID)
		}
		return ids, nil
	case len(request.IDs) == 0:
		return nil, fmt.Errorf("%s: expected the id of a mail", request.Command)
	}
	return request.IDs, nil
}

// partlyFailed gives the mails that wait for some recipients while others have failed.
func (a *admin) partlyFailed() []string {
	var ids []string
	for _, status := range a.sender.List() {
		m, err := a.queue.Load(status.ID)
		if err == nil && slices.Contains(m.States(), queue.Undeliverable) {
			ids = append(ids, status.ID)
		}
	}
	return ids
}

func (a *admin) change(command, id string) error {
	switch command {
	case control.Retry:
		err := a.sender.Retry(id)
		if _, loadErr := a.queue.LoadFailed(id); errors.Is(err, delivery.ErrUnknown) && loadErr == nil {
			return a.failed(id)
		}
		return err
	case control.Hold:
		return a.sender.Hold(id)
	case control.Release:
		return a.sender.Retry(id)
	case control.Remove:
		err := a.sender.Drop(id)
		if errors.Is(err, delivery.ErrUnknown) && a.queue.RemoveFailed(id) == nil {
			return nil
		}
		return err
	case control.Bounce:
		if !a.bounce {
			return fmt.Errorf("mail %s: its sender can be told by a running relay only: start the agent, or use remove",
				id)
		}
		return a.sender.Bounce(id)
	}
	return fmt.Errorf("%q: expected list, show, retry, hold, release, remove or bounce", command)
}

// tell answers list and show.
func (a *admin) tell(request control.Request, ids []string) (response control.Response) {
	known := map[string]delivery.Status{}
	for _, status := range a.sender.List() {
		known[status.ID] = status
	}
	for _, id := range ids {
		status, waits := known[id]
		load := a.queue.LoadFailed
		if waits {
			load = a.queue.Load
		}
		m, err := load(id)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				response.Errors = append(response.Errors, err.Error())
			} else if request.Command == control.Show {
				response.Errors = append(response.Errors, fmt.Sprintf("mail %q: it neither waits nor has failed", id))
			}
			continue // delivered meanwhile
		}
		mail := describe(m)
		switch {
		case !waits:
			mail.State = "failed"
		case status.Held:
			mail.State = "held"
		case status.Busy:
			mail.State = "delivering"
		default:
			mail.State, mail.Due = "waiting", status.Due
		}
		mail.Asking, mail.Since = status.Asking, status.Since
		for _, w := range status.Waits {
			mail.Waits = append(mail.Waits, control.Wait(w))
		}
		if a.stopped && mail.State == "waiting" {
			mail.Due = time.Time{}
			mail.Waits = []control.Wait{{Host: "this spool", Why: "no relay is running on it, so nothing is tried"}}
		}
		mail.Attempts = max(status.Attempts, tries(m))
		if request.Command == control.Show {
			mail.Message = string(m.Body)
		}
		response.Mails = append(response.Mails, mail)
	}
	return response
}

// tries is how often the recipient that was asked for most has been asked for, as far as
// the spool knows.
func tries(m *queue.Mail) int {
	count := make([]int, len(m.To))
	for _, r := range m.Results {
		if r.Host != "" && !r.Told { // else nobody was asked, or it is the note that the sender knows
			count[r.Recipient]++
		}
	}
	return slices.Max(count)
}

func describe(m *queue.Mail) control.Mail {
	mail := control.Mail{
		ID: m.ID, Received: m.Received, Critical: m.Critical, Origin: m.Origin, Client: m.Client,
		Size: len(m.Body), From: m.From, To: make([]control.Recipient, len(m.To)),
	}
	for i, to := range m.To {
		mail.To[i] = control.Recipient{Address: to, State: "waiting"}
	}
	for _, r := range m.Results {
		answer := r.Text
		if r.Code != 0 {
			answer = fmt.Sprintf("%d %s", r.Code, strings.TrimSpace(r.Status+" "+r.Text))
		}
		if r.Host != "" {
			answer = r.Host + ": " + answer
		}
		mail.To[r.Recipient] = control.Recipient{
			Address: m.To[r.Recipient], State: string(r.State), Time: r.Time, Answer: answer,
		}
	}
	return mail
}
