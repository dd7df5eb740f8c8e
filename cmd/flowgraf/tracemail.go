package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/flowgraf/flowgraf/relay/alert"
)

// alertMail is what an alert mail tells.
type alertMail struct {
	alert              *tracedAlert
	messageID, queueID string
}

// readAlertMail reads a mail of an alert.
func readAlertMail(r io.Reader) (m alertMail, err error) {
	mail, err := alert.ReadMail(r)
	if err != nil {
		return m, err
	}
	m.messageID = mail.MessageID
	for _, line := range mail.Received {
		if id := queueID.FindString(line); id != "" {
			m.queueID = id
		}
	}
	m.alert = &tracedAlert{rule: mail.Rule, id: mail.ID, level: mail.Level, measurement: mail.Measurement,
		time: mail.Time, since: mail.Since}
	for i, row := range mail.Rows {
		isTag := i < mail.Fields || mail.Fields < 0 && testsOf[row.Key] != ""
		if isTag {
			m.alert.tags = append(m.alert.tags, tag{row.Key, row.Value})
		} else {
			m.alert.fields = append(m.alert.fields, tag{row.Key, row.Value})
		}
	}
	return m, nil
}

// alertState is the file in the spool with the alerts that are not OK.
const alertState = "alert.state"

// findAlert finds an alert that is not OK by its rule or its id: of several the one that
// changed last.
func findAlert(path, name string) (*tracedAlert, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no file, no id of a mail and no Message-ID; and there are no alerts in %s", name,
			path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var state struct {
		Active []alert.Change `json:"alight"`
	}
	if err := json.NewDecoder(f).Decode(&state); err != nil {
		return nil, fmt.Errorf("alerts in %s: %w", path, err)
	}
	var found *alert.Change
	for i := range state.Active {
		c := &state.Active[i]
		if (c.Rule == name || c.ID == name) && (found == nil || c.Time.After(found.Time)) {
			found = c
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s is no file, no id of a mail, no Message-ID, and no alert that is not OK: %d are, "+
			"in %s", name, len(state.Active), path)
	}
	a := &tracedAlert{rule: found.Rule, id: found.ID, level: found.Level.String(), measurement: found.Name,
		time: found.Time, since: found.Since}
	for _, key := range slices.Sorted(maps.Keys(found.Tags)) {
		a.tags = append(a.tags, tag{key, found.Tags[key]})
	}
	return a, nil
}
