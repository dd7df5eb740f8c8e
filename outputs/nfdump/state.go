package nfdump

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// state keeps the templates of NetFlow v9 and IPFIX in a file, so that flows can be
// decoded from the first datagram after a restart. It keeps them as they came: a
// datagram of its header and its sets of templates. The file is replaced as a
// whole; it lies beside the archive, because nfdump -R stops at a foreign file.
type state struct {
	path  string
	known map[string]definition // by exporter, domain and content
	bytes int
}

// definition is a datagram with nothing but templates.
type definition struct {
	Exporter netip.Addr `json:"exporter"`
	Received time.Time  `json:"received"`
	Datagram []byte     `json:"datagram"`
}

// Bounds of what is kept: source addresses can be forged.
const (
	maxDefinitions = 16384
	maxStateBytes  = 16 << 20
)

// stateFile is the name in the state directory.
const stateFile = "templates.json"

// stateVersion is the first line of the file.
const stateVersion = "flowgraf templates 1\n"

// loadState reads the file of a directory. One that is not there is empty; one that
// cannot be understood is reported and begun anew.
func loadState(dir string) (*state, error) {
	s := &state{path: filepath.Join(dir, stateFile), known: map[string]definition{}}
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer f.Close()
	r := bufio.NewReader(io.LimitReader(f, 4*maxStateBytes))
	if head, err := r.ReadString('\n'); err != nil || head != stateVersion {
		return s, fmt.Errorf("%s: expected the first line %q, got %q: the templates are learnt anew", s.path, stateVersion, head)
	}
	dec := json.NewDecoder(r)
	for {
		var d definition
		if err := dec.Decode(&d); err == io.EOF {
			return s, nil
		} else if err != nil {
			return s, fmt.Errorf("%s: %w: the templates behind it are learnt anew", s.path, err)
		}
		s.add(d)
	}
}

// each gives all definitions to a decoder, oldest first. They come from port 0, so
// that the sequence numbers of the exporter's own ports begin anew.
func (s *state) each(d *collector.Decoder) {
	all := make([]definition, 0, len(s.known))
	for _, def := range s.known {
		all = append(all, def)
	}
	slices.SortFunc(all, func(a, b definition) int { return a.Received.Compare(b.Received) })
	for _, def := range all {
		d.Decode(collector.Datagram{Exporter: netip.AddrPortFrom(def.Exporter, 0), Received: def.Received, Payload: def.Datagram}, collector.Handler{})
	}
}

// learn takes in the templates of a datagram. It returns whether there are any that
// were not known.
func (s *state) learn(dg collector.Datagram) bool {
	payload := definitions(dg.Payload)
	if payload == nil {
		return false
	}
	return s.add(definition{Exporter: dg.Exporter.Addr(), Received: dg.Received, Datagram: payload})
}

// add keeps a definition, and returns whether it is new.
func (s *state) add(d definition) bool {
	head, at := flowHeader(d.Datagram)
	if head == 0 {
		return false
	}
	key := string(d.Exporter.AppendTo(nil)) + string(d.Datagram[:2]) + string(d.Datagram[at:])
	old, known := s.known[key]
	if known {
		if d.Received.After(old.Received) {
			s.known[key] = d
		}
		return false
	}
	for len(s.known) >= maxDefinitions || s.bytes+len(d.Datagram) > maxStateBytes {
		if len(s.known) == 0 {
			return false
		}
		s.dropOldest()
	}
	s.known[key] = d
	s.bytes += len(d.Datagram)
	return true
}

// dropOldest removes the definition that was not seen for the longest time.
func (s *state) dropOldest() {
	oldest := ""
	for key, d := range s.known {
		if oldest == "" || cmp.Or(d.Received.Compare(s.known[oldest].Received), cmp.Compare(key, oldest)) < 0 {
			oldest = key
		}
	}
	s.bytes -= len(s.known[oldest].Datagram)
	delete(s.known, oldest)
}

// save replaces the file.
func (s *state) save() error {
	var b bytes.Buffer
	b.WriteString(stateVersion)
	enc := json.NewEncoder(&b)
	for _, d := range s.known {
		if err := enc.Encode(d); err != nil {
			return err
		}
	}
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, stateFile+".")
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// flowHeader returns the size of the header of a NetFlow v9 or IPFIX datagram and
// where its domain is in it; 0 for others.
func flowHeader(b []byte) (size, domain int) {
	if len(b) < 20 {
		return 0, 0
	}
	switch flow.Version(binary.BigEndian.Uint16(b)) {
	case flow.V9:
		return 20, 16
	case flow.IPFIX:
		return 16, 12
	}
	return 0, 0
}

// definitions returns a datagram of the header and the sets of templates of b, nil
// when it has none.
func definitions(b []byte) []byte {
	head, _ := flowHeader(b)
	if head == 0 {
		return nil
	}
	template := uint16(2) // IPFIX: 2 and 3; v9: 0 and 1
	if head == 20 {
		template = 0
	}
	var out []byte
	sets := 0
	for p := b[head:]; len(p) >= 4; {
		size := int(binary.BigEndian.Uint16(p[2:]))
		if size < 4 || size > len(p) {
			break
		}
		if id := binary.BigEndian.Uint16(p); id == template || id == template+1 {
			if out == nil {
				out = append(out, b[:head]...)
			}
			out = append(out, p[:size]...)
			sets++
		}
		p = p[size:]
	}
	if out == nil {
		return nil
	}
	if head == 20 {
		binary.BigEndian.PutUint16(out[2:], uint16(sets))
	} else {
		binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
	}
	return out
}
