package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/flowgraf/flowgraf/relay/monitor"
)

// heldDir has an empty file for each mail that is on hold.
const heldDir = "held"

// loadHeld reads which mails are on hold. Marks of mails that are gone are dropped.
func (q *Queue) loadHeld(found map[string]Envelope) error {
	entries, err := q.disk.ReadDir(q.path(heldDir))
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	for _, entry := range entries {
		id := entry.Name()
		if _, ok := found[id]; ok {
			q.held[id] = true
		} else if validID(id) {
			q.disk.Remove(q.path(heldDir, id))
		}
	}
	return nil
}

// IsHeld tells whether a mail is on hold: it waits until somebody lets it go.
func (q *Queue) IsHeld(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held[id]
}

// SetHeld puts a waiting mail on hold, or lets it go, durably.
func (q *Queue) SetHeld(id string, held bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held[id] == held {
		return nil
	}
	if !held {
		if err := q.disk.Remove(q.path(heldDir, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("spool: %w", err)
		}
		delete(q.held, id)
		return q.disk.SyncDir(q.path(heldDir))
	}
	if !validID(id) {
		return fmt.Errorf("mail %q: expected an id of this spool", id)
	}
	if err := writeDurably(q.disk, q.path(heldDir, id), nil); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	q.held[id] = true
	return nil
}

// dropHeld forgets that a mail that leaves the queue was on hold.
func (q *Queue) dropHeld(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held[id] {
		delete(q.held, id)
		q.disk.Remove(q.path(heldDir, id)) // a mark that stays is dropped by the next Open
	}
}

// FailedIDs lists the mails that could not be delivered, oldest first.
func (q *Queue) FailedIDs() ([]string, error) {
	entries, err := q.disk.ReadDir(q.path(failedDir))
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var ids []string
	for _, entry := range entries {
		if id, ok := strings.CutSuffix(entry.Name(), mailSuffix); ok && validID(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// LoadFailed reads a mail that could not be delivered.
func (q *Queue) LoadFailed(id string) (*Mail, error) {
	if !validID(id) {
		return nil, fmt.Errorf("mail %q: %w", id, fs.ErrNotExist)
	}
	return q.loadFrom(failedDir, id)
}

// RemoveFailed deletes a mail that could not be delivered.
func (q *Queue) RemoveFailed(id string) error {
	if !validID(id) {
		return fmt.Errorf("mail %q: %w", id, fs.ErrNotExist)
	}
	f, err := q.disk.OpenFile(q.path(failedDir, id+mailSuffix), os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	f.Close()
	if err := q.journal.finish(id); err != nil { // its mark may be missing after a kill
		q.mon.Count(monitor.SpoolErrors, "remove")
	}
	if err := q.disk.Remove(q.path(failedDir, id+mailSuffix)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Revive puts what a failed mail still owes back into the queue: a new mail with the
// same message for the recipients that failed. The failed one is deleted then.
func (q *Queue) Revive(id string, env *Envelope) error {
	m, err := q.LoadFailed(id)
	if err != nil {
		return err
	}
	*env = m.Envelope
	env.ID, env.To = q.NewID(), nil
	for i, state := range m.States() {
		if state == Undeliverable {
			env.To = append(env.To, m.To[i])
		}
	}
	if err := q.Add(env, m.Body); err != nil {
		return err
	}
	if err := q.RemoveFailed(id); err != nil {
		q.mon.Count(monitor.SpoolErrors, "revive")
		return err
	}
	return nil
}
