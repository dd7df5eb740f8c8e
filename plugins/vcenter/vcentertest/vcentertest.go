// Package vcentertest runs a simulated vCenter (VMware's vcsim) on loopback, for
// tests.
package vcentertest

import (
	"crypto/tls"
	"net/url"
	"strconv"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// What a Site has.
const (
	Name, Password = "flows", "secret" // of the one user
	SwitchIP       = "192.0.2.10"      // address that the switch exports from
	HostIP         = "192.0.2.20"      // address of a VMkernel interface of the host
	HostIPv6       = "2001:db8::20"    // another one; 127.0.0.1 is a third, for exporters on this machine
	Portgroup      = "web/servers"     // of all ports
	Sampling       = 4096              // rate of the switch
	Domain         = 7                 // observation domain of the switch
	FirstPort      = 1                 // of the first virtual machine; the second's is the next
	ManagementPort = 19                // of a port that is no virtual machine's
)

// Site is a vCenter with a distributed switch and two virtual machines at it.
type Site struct {
	URL  string
	VMs  [2]string // names
	Host string    // name of their host

	registry *simulator.Registry
}

// New starts a vCenter that ends with the test. Its certificate is its own.
func New(t testing.TB) *Site {
	t.Helper()
	m := simulator.VPX()
	t.Cleanup(m.Remove)
	m.Machine, m.Portgroup = 3, 4
	if err := m.Create(); err != nil {
		t.Fatal(err)
	}
	s := &Site{registry: m.Map()}
	s.furnish(m.Map())
	m.Service.TLS = &tls.Config{}
	m.Service.Listen = &url.URL{User: url.UserPassword(Name, Password)}
	server := m.Service.NewServer()
	t.Cleanup(server.Close)
	address := *server.URL
	address.User = nil
	s.URL = address.String()
	return s
}

// furnish gives the simulator's switch what it does not make itself.
func (s *Site) furnish(registry *simulator.Registry) {
	sw := registry.Any("DistributedVirtualSwitch").(*simulator.DistributedVirtualSwitch)
	group := registry.Any("DistributedVirtualPortgroup").(*simulator.DistributedVirtualPortgroup)
	group.Name = "web%2fservers"
	host := registry.Any("HostSystem").(*simulator.HostSystem)
	s.Host = host.Name
	config := sw.Config.(*types.VMwareDVSConfigInfo)
	config.SwitchIpAddress = SwitchIP
	config.IpfixConfig = &types.VMwareIpfixConfig{SamplingRate: Sampling, ObservationDomainId: Domain}
	config.Host = []types.DistributedVirtualSwitchHostMember{{
		Config: types.DistributedVirtualSwitchHostMemberConfigInfo{Host: &host.Self}}}
	host.Config.Network.Vnic = []types.HostVirtualNic{
		{Spec: types.HostVirtualNicSpec{Ip: &types.HostIpConfig{IpAddress: HostIP,
			IpV6Config: &types.HostIpConfigIpV6AddressConfiguration{
				IpV6Address: []types.HostIpConfigIpV6Address{{IpAddress: HostIPv6}}}}}},
		{Spec: types.HostVirtualNicSpec{Ip: &types.HostIpConfig{IpAddress: "127.0.0.1"}}},
	}
	port := func(key int, entity types.ManagedObjectReference) types.DistributedVirtualPort {
		return types.DistributedVirtualPort{Key: strconv.Itoa(key), PortgroupKey: group.Key, ProxyHost: &host.Self,
			Connectee: &types.DistributedVirtualSwitchPortConnectee{ConnectedEntity: &entity}}
	}
	ports := []types.DistributedVirtualPort{port(ManagementPort, host.Self), {Key: "not a number"}}
	for i, vm := range registry.All("VirtualMachine")[:len(s.VMs)] {
		s.VMs[i] = vm.Entity().Name
		ports = append(ports, port(FirstPort+i, vm.Reference()))
	}
	sw.FetchDVPortsResponse.Returnval = ports
}

// Port is one of a switch: a virtual machine's, or one that has none.
type Port struct {
	Key                int
	Portgroup, Machine string
}

// Populate gives the switch an address and a sampling rate, and these ports in place of
// those it has: at most six machines in four groups.
func (s *Site) Populate(address string, sampling int32, ports ...Port) {
	sw := s.registry.Any("DistributedVirtualSwitch").(*simulator.DistributedVirtualSwitch)
	config := sw.Config.(*types.VMwareDVSConfigInfo)
	config.SwitchIpAddress, config.IpfixConfig.SamplingRate = address, sampling
	hosts, machines := config.Host, s.registry.All("VirtualMachine")
	groups, keys := s.registry.All("DistributedVirtualPortgroup"), map[string]string{}
	sw.FetchDVPortsResponse.Returnval = nil
	for _, p := range ports {
		if keys[p.Portgroup] == "" {
			group := groups[0].(*simulator.DistributedVirtualPortgroup)
			group.Name, keys[p.Portgroup], groups = p.Portgroup, group.Key, groups[1:]
		}
		port := types.DistributedVirtualPort{Key: strconv.Itoa(p.Key), PortgroupKey: keys[p.Portgroup],
			ProxyHost: hosts[0].Config.Host}
		if p.Machine != "" {
			vm := machines[0]
			vm.Entity().Name, machines = p.Machine, machines[1:]
			port.Connectee = &types.DistributedVirtualSwitchPortConnectee{ConnectedEntity: types.NewReference(vm.Reference())}
		}
		sw.FetchDVPortsResponse.Returnval = append(sw.FetchDVPortsResponse.Returnval, port)
	}
}
