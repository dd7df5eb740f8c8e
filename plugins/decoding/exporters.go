package decoding

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// defaultMaxExporters bounds the exporters that are kept: their addresses can be
// forged.
const defaultMaxExporters = 16384

// Exporter is what the configuration says of exporters.
type Exporter struct {
	Address      string            `toml:"address"`
	Name         string            `toml:"name"`
	Action       string            `toml:"action"`
	SamplingRate int64             `toml:"sampling_rate"`
	Sampling     string            `toml:"sampling"`
	Count        string            `toml:"count"`
	Ports        string            `toml:"ports"`
	OutCounters  string            `toml:"out_counters"`
	Interfaces   map[string]string `toml:"interfaces"`
}

// ExporterOptions are the options that say what is taken from whom, and how it is read.
type ExporterOptions struct {
	Protocol     string     // the only one taken; "" is all
	Exporters    []Exporter // the longest prefix counts
	Unknown      string     // exporters that none of them names: "allow" or "refuse"
	MaxExporters int        // 0 is the default
	TunnelView   string     // "inner" or "outer"
	MaxRate      int64      // largest sampling rate that is believed; 0 is the default
}

// Apply checks the options and sets those of the decoders.
func (t *ExporterOptions) Apply(o *collector.Options) error {
	var err error
	o.Protocols, err = protocols(t.Protocol)
	errs := []error{err}
	switch t.Unknown {
	case "", "allow":
	case "refuse":
		o.RefuseUnknown = true
	default:
		errs = append(errs, fmt.Errorf("unknown_exporters: expected 'allow' or 'refuse', got %q", t.Unknown))
	}
	switch t.TunnelView {
	case "", "inner":
	case "outer":
		o.OuterFlows = true
	default:
		errs = append(errs, fmt.Errorf("tunnel_view: expected 'inner' or 'outer', got %q", t.TunnelView))
	}
	if o.MaxExporters = t.MaxExporters; o.MaxExporters == 0 {
		o.MaxExporters = defaultMaxExporters
	}
	if t.MaxExporters < 0 {
		errs = append(errs, fmt.Errorf("max_exporters: expected a number above 0, got %d", t.MaxExporters))
	}
	if t.MaxRate < 0 || t.MaxRate > math.MaxUint32 {
		errs = append(errs, fmt.Errorf("max_sampling_rate: expected 1 to %d, got %d", uint32(math.MaxUint32),
			t.MaxRate))
	}
	o.MaxRate = uint32(t.MaxRate)
	for i := range t.Exporters {
		c, err := t.Exporters[i].config()
		if err != nil {
			errs = append(errs, fmt.Errorf("exporter %d (address %q): %w", i+1, t.Exporters[i].Address, err))
			continue
		}
		o.Exporters = append(o.Exporters, c)
	}
	return errors.Join(errs...)
}

// protocols returns the versions that the option protocol leaves; none is all.
// As in the stock plugin, v9 and IPFIX include each other.
func protocols(name string) ([]flow.Version, error) {
	switch strings.ToLower(name) {
	case "":
		return nil, nil
	case "netflow v5":
		return []flow.Version{flow.V5}, nil
	case "netflow v9", "ipfix":
		return []flow.Version{flow.V9, flow.IPFIX}, nil
	case "netflow v1":
		return []flow.Version{flow.V1}, nil
	case "netflow v7":
		return []flow.Version{flow.V7}, nil
	case "sflow", "sflow v5":
		return []flow.Version{flow.SFlow}, nil
	}
	return nil, fmt.Errorf("invalid protocol %q, only supports 'netflow v1', 'netflow v5', 'netflow v7', 'netflow "+
		"v9', 'ipfix' and 'sflow v5'", name)
}

// config checks the options of one exporter.
func (e *Exporter) config() (collector.ExporterConfig, error) {
	c := collector.ExporterConfig{Name: e.Name}
	var err error
	if c.Prefix, err = flow.ParseNetwork(e.Address); err != nil {
		return c, err
	}
	if e.SamplingRate < 0 || e.SamplingRate > math.MaxUint32 {
		return c, fmt.Errorf("sampling_rate: expected one packet in 1 to %d, got %d", uint32(math.MaxUint32),
			e.SamplingRate)
	}
	c.Rate = uint32(e.SamplingRate)
	switch e.Sampling {
	case "", "default":
	case "override":
		c.Override = true
	default:
		return c, fmt.Errorf("sampling: expected 'default' or 'override', got %q", e.Sampling)
	}
	switch e.Action {
	case "", "allow":
	case "refuse":
		c.Refuse = true
	default:
		return c, fmt.Errorf("action: expected 'allow' or 'refuse', got %q", e.Action)
	}
	if c.Count, err = flow.ParseCountMode(e.Count); err != nil {
		return c, err
	}
	switch e.Ports {
	case "", "together":
	case "separate":
		c.SeparatePorts = true
	default:
		return c, fmt.Errorf("ports: expected 'together' or 'separate', got %q", e.Ports)
	}
	if c.OutCounters, err = flow.ParseOutCounters(e.OutCounters); err != nil {
		return c, err
	}
	for index, name := range e.Interfaces {
		i, err := strconv.ParseUint(index, 10, 32)
		if err != nil {
			return c, fmt.Errorf("interfaces: expected an SNMP index, got %q", index)
		}
		if c.Interfaces == nil {
			c.Interfaces = map[uint32]string{}
		}
		c.Interfaces[uint32(i)] = name
	}
	return c, nil
}
