package netflow

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

// knownInterval is how often what is known of the exporters is written to the
// state file and sent again as datagrams.
const knownInterval = time.Minute

// The state file: a line of JSON that says what it is, and one for each datagram
// of collector.Decoder.Known.
const (
	stateFormat  = "flowgraf netflow state"
	stateVersion = 1
	maxStateLine = 256 << 10 // bytes
)

// stateHead is the first line.
type stateHead struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

// stateLine is one datagram.
type stateLine struct {
	Exporter netip.AddrPort `json:"exporter"`
	Received time.Time      `json:"received"`
	Payload  []byte         `json:"payload"`
}

// restore reads the state file. What cannot be read is left out, with a warning: a
// damaged file must not keep the collector from its work.
func (n *NetFlow) restore() {
	if n.StateFile == "" {
		return
	}
	file, err := os.Open(n.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		defer file.Close()
		err = n.restoreFrom(bufio.NewScanner(file))
	}
	if err != nil {
		n.Log.Warnf("state_file %s: %v; exporters are learned anew where it ends", n.StateFile, err)
	}
}

// restoreFrom reads the lines of a state file.
func (n *NetFlow) restoreFrom(lines *bufio.Scanner) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines.Buffer(nil, maxStateLine)
	var head stateHead
	if lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
			return fmt.Errorf("line 1: expected %q: %w", stateFormat, err)
		}
	}
	if head.Format != stateFormat || head.Version != stateVersion {
		return fmt.Errorf("line 1: expected %q of version %d, got %q of version %d", stateFormat, stateVersion, head.Format, head.Version)
	}
	for i := 2; lines.Scan(); i++ {
		var l stateLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("line %d: %w", i, err)
		}
		dg := collector.Datagram{Exporter: l.Exporter, Received: l.Received, Payload: l.Payload, Resent: true}
		if err := n.decoder.Decode(dg, collector.Handler{}); err != nil {
			n.Log.Warnf("state_file %s: line %d: %v", n.StateFile, i, err)
		}
	}
	return lines.Err()
}

// known returns what the decoder knows of the exporters.
func (n *NetFlow) known() []collector.Datagram {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []collector.Datagram
	n.decoder.Known(func(dg collector.Datagram) { list = append(list, dg) })
	return list
}

// save writes the state file: a new one beside it, synced, takes its place, so
// that a crash leaves the old one or the new one.
func (n *NetFlow) save(list []collector.Datagram) error {
	dir := filepath.Dir(n.StateFile)
	file, err := os.CreateTemp(dir, filepath.Base(n.StateFile)+".*.tmp")
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	e := json.NewEncoder(w)
	err = e.Encode(stateHead{stateFormat, stateVersion})
	for _, dg := range list {
		err = errors.Join(err, e.Encode(stateLine{dg.Exporter, dg.Received, dg.Payload}))
	}
	err = errors.Join(err, w.Flush(), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), n.StateFile)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // not every file system can
		_ = d.Close()
	}
	return nil
}

// repeat sends what was known at the start, and then once a minute saves what is
// known and sends it again, until done is closed.
func (n *NetFlow) repeat(done <-chan struct{}, restored []collector.Datagram) {
	n.resend(restored)
	tick := time.NewTicker(knownInterval)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			n.tell()
		}
	}
}

// tell saves what is known and sends it again.
func (n *NetFlow) tell() {
	list := n.known()
	if n.StateFile != "" {
		if err := n.save(list); err != nil {
			n.Log.Errorf("state_file %s cannot be written, templates are lost at the next restart: %v", n.StateFile, err)
		}
	}
	n.resend(list)
}

// resend emits datagrams, where datagrams are wanted.
func (n *NetFlow) resend(list []collector.Datagram) {
	if !n.wants.datagrams {
		return
	}
	now := time.Now()
	metrics := make([]telegraf.Metric, 0, len(list))
	var builder flowmetric.DatagramBuilder
	for _, dg := range list {
		dg.Received = now
		metrics = append(metrics, builder.Metric(dg))
	}
	for _, m := range metrics {
		n.acc.AddMetric(m)
	}
}
