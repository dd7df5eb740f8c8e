package web

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// TemplateInfo is a template that an exporter has sent.
type TemplateInfo struct {
	ID      uint16 `json:"id"`
	Fields  int    `json:"fields"`
	Options bool   `json:"options"` // of option records, not of flows
	Used    int64  `json:"used"`    // when flows of it came last, as the agent has saved it
}

// agentState is what the state file of an agent's inputs.netflow tells of exporters.
type agentState struct {
	templates map[domainKey][]TemplateInfo
	names     map[interfaceKey]string
}

// domainKey names an observation domain of an exporter.
type domainKey struct {
	exporter netip.Addr
	version  flow.Version
	domain   uint32
}

// maxState bounds a state file, bytes.
const maxState = 256 << 20

// readState reads a state file. What is damaged in it is left out.
func readState(path string) (*agentState, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxState {
		return nil, fmt.Errorf("%s: %d bytes: expected at most %d", path, info.Size(), maxState)
	}
	d := collector.NewDecoder(collector.Options{})
	if err := d.LoadKnown(path); err != nil {
		return nil, err
	}
	s := &agentState{map[domainKey][]TemplateInfo{}, map[interfaceKey]string{}}
	for _, t := range d.Templates(nil) {
		key := domainKey{t.Exporter, t.Version, t.Domain}
		s.templates[key] = append(s.templates[key],
			TemplateInfo{ID: t.ID, Fields: t.Fields, Options: t.Options, Used: int64(t.Used.Milli() / 1000)})
	}
	for _, e := range d.Tables(nil) {
		if e.Kind == collector.InterfaceName && e.ID <= 1<<32-1 {
			s.names[interfaceKey{e.Exporter, uint32(e.ID)}] = e.Name
		}
	}
	return s, nil
}

// templatesOf returns the templates of an exporter's domain.
func (s *agentState) templatesOf(e *ExporterInfo) []TemplateInfo {
	if s == nil {
		return nil
	}
	return s.templates[domainKey{e.Address.Unmap(), flow.Version(e.Version), e.Domain}]
}

// nameOf returns the name of an interface, "" where none was told.
func (s *agentState) nameOf(exporter netip.Addr, index uint32) string {
	if s == nil {
		return ""
	}
	return s.names[interfaceKey{exporter.Unmap(), index}]
}

// tellMore adds to what files tell of exporters what the agent's state and the inventory do, and
// says what is wrong with these.
func (s *Server) tellMore(list []ExporterInfo) (more []ExporterInfo, problems []string) {
	state, stateErr := s.state.get()
	inv, invErr := s.inventory.get()
	for _, err := range []error{stateErr, invErr} {
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	more = make([]ExporterInfo, len(list))
	for i, e := range list {
		e.Templates = append([]TemplateInfo{}, state.templatesOf(&e)...)
		inputs := make([]InUse, len(e.Inputs))
		for k, u := range e.Inputs {
			line := inv.line(e.Address, u.Index)
			for _, name := range []string{state.nameOf(e.Address, u.Index), line.Name} {
				if name != "" {
					u.Name = name
				}
			}
			u.Speed = line.Speed
			inputs[k] = u
		}
		e.Inputs = inputs
		more[i] = e
	}
	return more, problems
}
