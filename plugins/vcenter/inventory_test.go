package vcenter

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// reference returns a reference to an object.
func reference(kind, value string) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: kind, Value: value}
}

// nicOf returns a VMkernel interface with addresses, the first of which is IPv4's.
func nicOf(addresses ...string) types.HostVirtualNic {
	ip := &types.HostIpConfig{IpAddress: addresses[0]}
	if len(addresses) > 1 {
		ip.IpV6Config = &types.HostIpConfigIpV6AddressConfiguration{}
		for _, a := range addresses[1:] {
			ip.IpV6Config.IpV6Address = append(ip.IpV6Config.IpV6Address, types.HostIpConfigIpV6Address{IpAddress: a})
		}
	}
	return types.HostVirtualNic{Spec: types.HostVirtualNicSpec{Ip: ip}}
}

// hostOf returns a host with interfaces.
func hostOf(name string, nics ...types.HostVirtualNic) mo.HostSystem {
	h := mo.HostSystem{Config: &types.HostConfigInfo{Network: &types.HostNetworkInfo{Vnic: nics}}}
	h.Self, h.Name = reference("HostSystem", name), name
	return h
}

// switchOf returns a switch with hosts as its members.
func switchOf(ip string, ipfix *types.VMwareIpfixConfig, hosts ...string) *mo.DistributedVirtualSwitch {
	config := &types.VMwareDVSConfigInfo{IpfixConfig: ipfix}
	config.SwitchIpAddress = ip
	for _, name := range hosts {
		host := reference("HostSystem", name)
		config.Host = append(config.Host, types.DistributedVirtualSwitchHostMember{
			Config: types.DistributedVirtualSwitchHostMemberConfigInfo{Host: &host}})
	}
	return &mo.DistributedVirtualSwitch{Config: config}
}

// TestAddressesOfSwitches: a switch exports from its own address and from those of its hosts'
// interfaces; what is none is passed over.
func TestAddressesOfSwitches(t *testing.T) {
	bare := mo.HostSystem{}
	bare.Self = reference("HostSystem", "bare")
	dark := hostOf("dark")
	dark.Config.Network = nil
	o := &objects{hosts: []mo.HostSystem{bare, dark, hostOf("one", nicOf("192.0.2.20", "2001:db8::20", "fe80::1%vmk0")),
		hostOf("two", nicOf("192.0.2.21"), nicOf("192.0.2.20")), hostOf("none", types.HostVirtualNic{}),
		hostOf("odd", nicOf("", "nonsense"), nicOf("0.0.0.0", "::"), nicOf("::ffff:192.0.2.77"), nicOf("192.0.2.256"))}}
	for name, c := range map[string]struct {
		ip    string
		hosts []string
		want  string
	}{
		"its own":           {"192.0.2.10", nil, "192.0.2.10"},
		"IPv6":              {"2001:db8::10", nil, "2001:db8::10"},
		"none":              {"", nil, ""},
		"a name":            {"switch1", nil, ""},
		"no address at all": {"0.0.0.0", nil, ""},
		"of a host":         {"", []string{"one"}, "192.0.2.20 2001:db8::20 fe80::1"},
		"of two hosts": {"192.0.2.10", []string{"one", "two"},
			"192.0.2.10 192.0.2.20 192.0.2.21 2001:db8::20 fe80::1"},
		"of one with the same": {"192.0.2.21", []string{"two"}, "192.0.2.20 192.0.2.21"},
		"of hosts without":     {"192.0.2.10", []string{"bare", "dark", "none", "unknown"}, "192.0.2.10"},
		"mapped, and no good":  {"", []string{"odd"}, "192.0.2.77"},
	} {
		v := &inventory{byAddr: map[netip.Addr][]*dvs{}}
		v.addSwitch(switchOf(c.ip, nil, c.hosts...), nil, o)
		var got []string
		for a, list := range v.byAddr {
			got = append(got, a.String())
			if len(list) != 1 || list[0] != v.switches[0] {
				t.Errorf("%s: %s leads to %d switches", name, a, len(list))
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

// TestRatesOfSwitches: a switch without a rate does not sample; a domain is 32 bits without a sign.
func TestRatesOfSwitches(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.10")
	for name, c := range map[string]struct {
		ipfix        *types.VMwareIpfixConfig
		rate, domain uint32
	}{
		"no IPFIX":          {nil, 1, 0},
		"off":               {&types.VMwareIpfixConfig{}, 1, 0},
		"all packets":       {&types.VMwareIpfixConfig{SamplingRate: 1}, 1, 0},
		"one of so many":    {&types.VMwareIpfixConfig{SamplingRate: 4096, ObservationDomainId: 7}, 4096, 7},
		"below 0":           {&types.VMwareIpfixConfig{SamplingRate: -5}, 1, 0},
		"a domain of 1<<31": {&types.VMwareIpfixConfig{ObservationDomainId: 1 << 31}, 1, 1 << 31},
		"the last domain":   {&types.VMwareIpfixConfig{ObservationDomainId: 1<<32 - 1}, 1, 1<<32 - 1},
	} {
		v := &inventory{byAddr: map[netip.Addr][]*dvs{}}
		v.addSwitch(switchOf(a.String(), c.ipfix), nil, &objects{})
		if got := v.rate(a, c.domain); got != c.rate || v.switches[0].domain != c.domain {
			t.Errorf("%s: rate %d, domain %d, expected %d and %d", name, got, v.switches[0].domain, c.rate, c.domain)
		}
	}
	v := &inventory{byAddr: map[netip.Addr][]*dvs{}}
	v.addSwitch(&mo.DistributedVirtualSwitch{Config: &types.DVSConfigInfo{SwitchIpAddress: a.String()}}, nil,
		&objects{})
	if len(v.switches) != 0 || v.rate(a, 0) != 0 || v.ports() != 0 {
		t.Errorf("a switch that is none of VMware's: %+v", v)
	}
}

// TestNamesOfPorts: keys are numbers of 32 bits, and names are as people see them.
func TestNamesOfPorts(t *testing.T) {
	host, vm, group := hostOf("esx1"), mo.VirtualMachine{}, mo.DistributedVirtualPortgroup{}
	vm.Self, vm.Name = reference("VirtualMachine", "vm-1"), "web%2f1 100%25 a%5cb"
	group.Key, group.Name = "group-1", "50%zz" // no escape
	gone := reference("HostSystem", "gone")
	unknown := reference("VirtualMachine", "vm-2")
	connected := func(to *types.ManagedObjectReference) *types.DistributedVirtualSwitchPortConnectee {
		return &types.DistributedVirtualSwitchPortConnectee{ConnectedEntity: to}
	}
	port := func(key, group string, host *types.ManagedObjectReference,
		to *types.DistributedVirtualSwitchPortConnectee) types.DistributedVirtualPort {
		return types.DistributedVirtualPort{Key: key, PortgroupKey: group, ProxyHost: host, Connectee: to}
	}
	v := &inventory{byAddr: map[netip.Addr][]*dvs{}}
	v.addSwitch(switchOf("192.0.2.10", nil), []types.DistributedVirtualPort{
		port("0", "group-1", &host.Self, connected(&vm.Self)),
		port("1", "group-2", &gone, connected(&unknown)),
		port("2", "", nil, nil),
		port("3", "group-1", nil, connected(nil)),
		port("4294967295", "", &host.Self, nil),
		port("4294967296", "group-1", nil, nil), port("-1", "group-1", nil, nil), port("", "group-1", nil, nil),
		port("1x", "group-1", nil, nil), port("0x7", "group-1", nil, nil), port("+8", "group-1", nil, nil),
	}, &objects{hosts: []mo.HostSystem{host}, vms: []mo.VirtualMachine{vm},
		groups: []mo.DistributedVirtualPortgroup{group}})
	for key, want := range map[uint32]*Port{
		0: {VM: `web/1 100% a\b`, Portgroup: "50%zz", Host: "esx1"}, 1: {}, 2: {}, 3: {Portgroup: "50%zz"},
		1<<32 - 1: {Host: "esx1"}, 4: nil, 7: nil, 8: nil,
	} {
		got := v.port(netip.MustParseAddr("192.0.2.10"), 0, key)
		if (got == nil) != (want == nil) || want != nil && *got != *want {
			t.Errorf("port %d: %+v, expected %+v", key, got, want)
		}
	}
	if v.ports() != 5 {
		t.Errorf("%d ports, expected 5", v.ports())
	}
}

// TestCandidates: of several switches at an address those of the domain, one alone, else all of them
// may be meant; rates and ports count where only one answer is left.
func TestCandidates(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::1")
	of := func(domain, rate uint32, ports ...uint32) *dvs {
		d := &dvs{domain: domain, sampling: rate, ports: map[uint32]*Port{}}
		for _, p := range ports {
			d.ports[p] = &Port{VM: "vm"}
		}
		return d
	}
	one, two, three, four := of(1, 10, 5), of(2, 20, 6), of(2, 20, 7), of(3, 30, 5)
	for name, c := range map[string]struct {
		list         []*dvs
		domain, port uint32
		rate         uint32
		found        bool
	}{
		"nobody":                          {nil, 1, 5, 0, false},
		"one, whatever its domain":        {[]*dvs{one}, 9, 5, 10, true},
		"the one of the domain":           {[]*dvs{one, two, four}, 3, 5, 30, true},
		"the one of the domain, no port":  {[]*dvs{one, two, four}, 3, 6, 30, false},
		"two of a domain, one port":       {[]*dvs{two, three}, 2, 7, 20, true},
		"two of a domain, rates differ":   {[]*dvs{two, of(2, 21)}, 2, 6, 0, true},
		"no domain, a port of two":        {[]*dvs{one, four}, 9, 5, 0, false},
		"no domain, a port of one":        {[]*dvs{one, two}, 9, 6, 0, true},
		"no domain, all with a rate":      {[]*dvs{two, three}, 9, 5, 20, false},
		"two of a domain behind another":  {[]*dvs{one, two, three}, 2, 6, 0, true},
		"the last is the one of a domain": {[]*dvs{two, three, one}, 1, 5, 10, true},
	} {
		v := &inventory{switches: c.list, byAddr: map[netip.Addr][]*dvs{a: c.list}}
		if rate, port := v.rate(a, c.domain), v.port(a, c.domain, c.port); rate != c.rate || (port != nil) != c.found {
			t.Errorf("%s: rate %d, port %+v, expected %d and %v", name, rate, port, c.rate, c.found)
		}
	}
}
