package vcenter

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// inventory is one answer of a vCenter. It is not changed once it is made.
type inventory struct {
	switches []*dvs
	byAddr   map[netip.Addr][]*dvs // the switches that an exporter may be
}

// dvs is a distributed switch.
type dvs struct {
	domain   uint32 // observation domain of its flows
	sampling uint32
	ports    map[uint32]*Port
}

// ports returns the number of ports.
func (v *inventory) ports() int {
	n := 0
	for _, s := range v.switches {
		n += len(s.ports)
	}
	return n
}

// candidates returns the switches that flows of an exporter and a domain may come
// from: one or none, but where several share both.
func (v *inventory) candidates(exporter netip.Addr, domain uint32) []*dvs {
	list := v.byAddr[exporter]
	if len(list) < 2 {
		return list
	}
	only := -1
	for i, s := range list {
		switch {
		case s.domain != domain:
		case only >= 0:
			return list
		default:
			only = i
		}
	}
	if only < 0 {
		return list
	}
	return list[only : only+1]
}

// port looks a port up; with several switches to choose from, it must be of one only.
func (v *inventory) port(exporter netip.Addr, domain, port uint32) *Port {
	var found *Port
	for _, s := range v.candidates(exporter, domain) {
		if p := s.ports[port]; p != nil {
			if found != nil {
				return nil
			}
			found = p
		}
	}
	return found
}

// rate returns a sampling rate; several switches to choose from must agree.
func (v *inventory) rate(exporter netip.Addr, domain uint32) uint32 {
	rate := uint32(0)
	for _, s := range v.candidates(exporter, domain) {
		if rate != 0 && s.sampling != rate {
			return 0
		}
		rate = s.sampling
	}
	return rate
}

// ask logs in, reads what there is, and logs out.
func (c *Client) ask(ctx context.Context) (*inventory, error) {
	var name, password string
	if c.opt.Login != nil {
		var err error
		if name, password, err = c.opt.Login(); err != nil {
			return nil, fmt.Errorf("name and password: %w", err)
		}
	}
	insecure := c.opt.TLS != nil && c.opt.TLS.InsecureSkipVerify
	sc := soap.NewClient(c.url, insecure)
	if c.opt.TLS != nil {
		sc.DefaultTransport().TLSClientConfig = c.opt.TLS.Clone()
	}
	defer sc.DefaultTransport().CloseIdleConnections()
	client, err := vim25.NewClient(ctx, sc)
	if err != nil {
		return nil, err
	}
	sessions := session.NewManager(client)
	if err := sessions.Login(ctx, url.UserPassword(name, password)); err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	defer func() {
		// A session that stays ends by itself; this question has its answer.
		_ = sessions.Logout(context.WithoutCancel(ctx))
	}()
	return readInventory(ctx, client)
}

// objects are what is read of the inventory.
type objects struct {
	switches []mo.DistributedVirtualSwitch
	groups   []mo.DistributedVirtualPortgroup
	hosts    []mo.HostSystem
	vms      []mo.VirtualMachine
}

// readInventory reads the inventory.
func readInventory(ctx context.Context, client *vim25.Client) (*inventory, error) {
	var o objects
	manager := view.NewManager(client)
	for _, k := range []struct {
		kind  string
		props []string
		to    any
	}{
		{"DistributedVirtualSwitch", []string{"config"}, &o.switches},
		{"DistributedVirtualPortgroup", []string{"key", "name"}, &o.groups},
		{"HostSystem", []string{"name", "config.network.vnic"}, &o.hosts},
		{"VirtualMachine", []string{"name"}, &o.vms},
	} {
		v, err := manager.CreateContainerView(ctx, client.ServiceContent.RootFolder, []string{k.kind}, true)
		if err != nil {
			return nil, fmt.Errorf("view of %s: %w", k.kind, err)
		}
		err = v.Retrieve(ctx, []string{k.kind}, k.props, k.to)
		_ = v.Destroy(ctx) // goes with the session anyway
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", k.kind, err)
		}
	}
	inv := &inventory{byAddr: map[netip.Addr][]*dvs{}}
	for i := range o.switches {
		s := &o.switches[i]
		res, err := methods.FetchDVPorts(ctx, client, &types.FetchDVPorts{
			This:     s.Self,
			Criteria: &types.DistributedVirtualSwitchPortCriteria{Connected: types.NewBool(true)},
		})
		if err != nil {
			return nil, fmt.Errorf("ports of a switch: %w", err)
		}
		inv.addSwitch(s, res.Returnval, &o)
	}
	return inv, nil
}

// addSwitch adds a switch with its ports.
func (v *inventory) addSwitch(s *mo.DistributedVirtualSwitch, ports []types.DistributedVirtualPort, o *objects) {
	d := &dvs{ports: make(map[uint32]*Port, len(ports))}
	config, _ := s.Config.(*types.VMwareDVSConfigInfo)
	if config == nil {
		return // a switch of a kind that exports no flows
	}
	d.sampling = 1
	if x := config.IpfixConfig; x != nil {
		d.sampling = uint32(max(x.SamplingRate, 1))
		d.domain = uint32(x.ObservationDomainId)
	}
	v.switches = append(v.switches, d)
	v.address(config.SwitchIpAddress, d)
	hosts := make(map[types.ManagedObjectReference]*mo.HostSystem, len(o.hosts))
	for i := range o.hosts {
		hosts[o.hosts[i].Self] = &o.hosts[i]
	}
	for _, member := range config.Host {
		if member.Config.Host == nil {
			continue
		}
		if h := hosts[*member.Config.Host]; h != nil && h.Config != nil && h.Config.Network != nil {
			for i := range h.Config.Network.Vnic {
				v.nic(&h.Config.Network.Vnic[i], d)
			}
		}
	}
	d.connect(ports, hosts, o)
}

// nic adds the addresses of a VMkernel interface.
func (v *inventory) nic(nic *types.HostVirtualNic, d *dvs) {
	ip := nic.Spec.Ip
	if ip == nil {
		return
	}
	v.address(ip.IpAddress, d)
	if ip.IpV6Config != nil {
		for _, a := range ip.IpV6Config.IpV6Address {
			v.address(a.IpAddress, d)
		}
	}
}

// address adds an address that exports a switch's flows.
func (v *inventory) address(s string, d *dvs) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.IsUnspecified() {
		return
	}
	a = a.Unmap().WithZone("")
	for _, known := range v.byAddr[a] {
		if known == d {
			return
		}
	}
	v.byAddr[a] = append(v.byAddr[a], d)
}

// connect names the ports of a switch.
func (d *dvs) connect(ports []types.DistributedVirtualPort, hosts map[types.ManagedObjectReference]*mo.HostSystem,
	o *objects) {
	groups := make(map[string]string, len(o.groups))
	for i := range o.groups {
		groups[o.groups[i].Key] = unescape(o.groups[i].Name)
	}
	vms := make(map[types.ManagedObjectReference]string, len(o.vms))
	for i := range o.vms {
		vms[o.vms[i].Self] = unescape(o.vms[i].Name)
	}
	for i := range ports {
		p := &ports[i]
		key, err := strconv.ParseUint(p.Key, 10, 32)
		if err != nil {
			continue
		}
		port := &Port{Portgroup: groups[p.PortgroupKey]}
		if p.ProxyHost != nil && hosts[*p.ProxyHost] != nil {
			port.Host = hosts[*p.ProxyHost].Name
		}
		if p.Connectee != nil && p.Connectee.ConnectedEntity != nil {
			port.VM = vms[*p.Connectee.ConnectedEntity]
		}
		d.ports[uint32(key)] = port
	}
}

// unescape returns an object's name as people see it: vCenter writes a slash, a
// backslash and a percent sign as %2f, %5c and %25.
func unescape(name string) string {
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}
