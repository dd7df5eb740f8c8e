package collector

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"time"

	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// The file of Save: a line of JSON that says what it is, and one for each datagram
// of Known.
const (
	knownFormat  = "flowgraf netflow state"
	knownVersion = 1
	maxKnownLine = 256 << 10 // bytes
)

// knownHead is the first line.
type knownHead struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// knownLine is one datagram.
type knownLine struct {
	Exporter netip.AddrPort `json:"exporter"`
	Received time.Time      `json:"received"`
	Payload  []byte         `json:"payload"`
	Policy   string         `json:"policy,omitempty"` // see flow.Policy
}

// SaveKnown writes datagrams of Decoder.Known to a file: a new one beside it,
// synced, takes its place, so that a crash leaves the old one or the new one. What
// a connection told is left out: it ends with the process.
func SaveKnown(path string, list []Datagram) error {
	return disk.Replace(path, func(out io.Writer) error {
		w := bufio.NewWriter(out)
		e := json.NewEncoder(w)
		err := e.Encode(knownHead{knownFormat, knownVersion})
		for _, dg := range list {
			if dg.Stream {
				continue
			}
			err = errors.Join(err, e.Encode(knownLine{dg.Exporter, dg.Received, dg.Payload, dg.Policy.String()}))
		}
		return errors.Join(err, w.Flush())
	})
}

// LoadKnown gives the decoder what SaveKnown wrote. A file that is not there is
// empty. An error says where the file ends to make sense; what stands before it has
// been learned.
func (d *Decoder) LoadKnown(path string) error {
	return ReadKnown(path, func(dg Datagram) error { return d.Decode(dg, Handler{}) })
}

// ReadKnown calls learn for the datagrams of a file that SaveKnown wrote, as
// LoadKnown does. An error of learn does not end it.
func ReadKnown(path string, learn func(Datagram) error) error {
	file, _, err := disk.OpenRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxKnownLine)
	var head knownHead
	if lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
			return fmt.Errorf("%s: line 1: expected %q: %w", path, knownFormat, err)
		}
	}
	if head.Format != knownFormat || head.Version != knownVersion {
		return fmt.Errorf("%s: line 1: expected %q of version %d, got %q of version %d", path, knownFormat,
			knownVersion, head.Format, head.Version)
	}
	var wrong error
	for i := 2; lines.Scan(); i++ {
		var l knownLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("%s: line %d: %w", path, i, err)
		}
		dg := Datagram{Exporter: l.Exporter, Received: l.Received, Payload: l.Payload, Resent: true}
		if dg.Policy, err = flow.ParsePolicy(l.Policy); err != nil {
			return fmt.Errorf("%s: line %d: policy: %w", path, i, err)
		}
		if err := learn(dg); err != nil && wrong == nil {
			wrong = fmt.Errorf("%s: line %d: %w", path, i, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return wrong
}
