package decoding

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	common_tls "github.com/influxdata/telegraf/plugins/common/tls"

	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
	"github.com/flowgraf/flowgraf/plugins/vcenter"
)

// vcenterTags are what a look-up in vCenter adds to a flow.
var vcenterTags = []string{"in_vm", "out_vm", "in_portgroup", "out_portgroup", "esxi_host"}

// VCenter is where to look up what stands behind the ports of VMware's switches.
type VCenter struct {
	URL      string          `toml:"url"`
	Username config.Secret   `toml:"username"`
	Password config.Secret   `toml:"password"`
	Interval config.Duration `toml:"interval"`
	Timeout  config.Duration `toml:"timeout"`
	Tags     []string        `toml:"tags"`
	common_tls.ClientConfig

	client *vcenter.Client
}

// init checks the options, and adds the names to those of the metrics. It asks nothing of
// the network.
func (v *VCenter) init(log telegraf.Logger, metrics *flowmetric.Options) error {
	if v.URL == "" {
		return errors.New("url required")
	}
	if v.Interval < 0 || v.Interval > 0 && time.Duration(v.Interval) < time.Second {
		return fmt.Errorf("interval: expected at least 1s, got %s", time.Duration(v.Interval))
	}
	tls, err := v.TLSConfig()
	if err != nil {
		return err
	}
	tags := v.Tags
	if tags == nil {
		tags = vcenterTags
	}
	metrics.FlowTags = slices.Clone(metrics.FlowTags)
	for _, tag := range tags {
		if !slices.Contains(vcenterTags, tag) {
			return fmt.Errorf("tags: expected some of %q, got %q", vcenterTags, tag)
		}
		if !slices.Contains(metrics.FlowTags, tag) {
			metrics.FlowTags = append(metrics.FlowTags, tag)
		}
	}
	v.client, err = vcenter.New(vcenter.Options{
		URL: v.URL, Login: v.login, TLS: tls, Log: log.Warnf,
		Interval: time.Duration(v.Interval), Timeout: time.Duration(v.Timeout),
	})
	return err
}

// login returns name and password.
func (v *VCenter) login() (name, password string, err error) {
	for _, s := range []struct {
		secret *config.Secret
		to     *string
	}{{&v.Username, &name}, {&v.Password, &password}} {
		if s.secret.Empty() {
			continue
		}
		b, err := s.secret.Get()
		if err != nil {
			return "", "", err
		}
		*s.to = b.String()
		b.Destroy()
	}
	return name, password, nil
}

// roleVM is a port of a virtual machine (elements 888 and 890).
const roleVM = 2

// enrich gives a flow of a VMware switch the names behind its ports, and the
// switch's sampling rate where nobody else has told one. It is called by all
// workers at once.
func (v *VCenter) enrich(r *flow.Record, n *flow.Names) {
	if r.Version != flow.IPFIX && r.Version != flow.V5 {
		return // nothing that VMware's switches send
	}
	port := func(field flow.Field, index uint32, roleField flow.Field, role uint16) *vcenter.Port {
		if !r.Has(field) || r.Has(roleField) && role != roleVM {
			return nil
		}
		return v.client.Port(r.Exporter, r.Domain, index)
	}
	if p := port(flow.Input, r.Input, flow.IngressAttr, r.IngressAttr); p != nil {
		n.InputVM, n.InputPortgroup, n.Host = p.VM, p.Portgroup, p.Host
	}
	if p := port(flow.Output, r.Output, flow.EgressAttr, r.EgressAttr); p != nil {
		n.OutputVM, n.OutputPortgroup, n.Host = p.VM, p.Portgroup, p.Host
	}
	if r.SamplingSource != flow.RateUnknown || r.Has(flow.FwEvent) || r.Has(flow.NATEvent) {
		return
	}
	if rate := v.client.Rate(r.Exporter, r.Domain); rate != 0 {
		r.SamplingRate, r.SamplingSource = rate, flow.RateVCenter
		r.Present.Add(flow.SamplingRate)
	}
}

// tell returns a datagram on its way to other decoders, which cannot ask vCenter, with
// the sampling rate of its switch, where the configuration has none.
func (v *VCenter) tell(dg collector.Datagram) collector.Datagram {
	if v == nil || dg.Policy.Rate != 0 {
		return dg
	}
	if version, domain := collector.Origin(&dg); version == flow.IPFIX || version == flow.V5 {
		dg.Policy.Rate = v.client.Rate(dg.Exporter.Addr(), domain)
	}
	return dg
}

// count adds the counters of the look-up.
func (v *VCenter) count(fields map[string]interface{}) {
	s := v.client.Stats()
	fields["vcenter_refreshes"], fields["vcenter_errors"] = s.Refreshes, s.Errors
	fields["vcenter_ports"], fields["vcenter_switches"] = uint64(s.Ports), uint64(s.Switches)
	if !s.Refreshed.IsZero() {
		fields["vcenter_age_ms"] = time.Since(s.Refreshed).Milliseconds()
	}
}
