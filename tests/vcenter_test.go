package tests

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/exporter"
	"github.com/flowgraf/flowgraf/plugins/vcenter/vcentertest"
)

// vcenterSection is the part of an input's configuration that asks a vCenter.
const vcenterSection = `  [inputs.netflow.vcenter]
    url = "{{ .VCenter }}"
    username = "{{ .Name }}"
    password = "{{ .Password }}"
    insecure_skip_verify = true
`

// Flows of a virtual switch get the names that a vCenter has for their ports, and
// its sampling rate; which name belongs to which port is what the switch says.
func TestNamesFromVCenter(t *testing.T) {
	site := vcentertest.New(t)
	addr := freePort(t, "udp")
	a := startAgent(t, t.TempDir(), `
[agent]
  interval = "1s"
  flush_interval = "200ms"
[[inputs.netflow]]
  service_address = "udp://{{ .Flows }}"
`+vcenterSection+`[[outputs.file]]
  files = ["{{ .Dir }}/metrics"]
  influx_uint_support = true
`, map[string]string{"Flows": addr, "VCenter": site.URL, "Name": vcentertest.Name, "Password": vcentertest.Password})
	metrics := filepath.Join(a.dir, "metrics")
	waitFor(t, 30*time.Second, "an answer of the vCenter", func() bool {
		for _, p := range points(t, metrics, "netflow_exporter") {
			if p.uint("vcenter_ports") == 3 {
				return true
			}
		}
		return false
	})
	generate(t, "--to", addr, "--protocol", "vmware", "--count", "300", "--rate", "0")
	waitFor(t, 10*time.Second, "300 flows", func() bool { return len(points(t, metrics, "netflow")) == 300 })
	named := 0
	for _, p := range points(t, metrics, "netflow") {
		for _, side := range []struct{ port, role, tag string }{{"in_snmp", "ingress_role", "in_vm"},
			{"out_snmp", "egress_role", "out_vm"}} {
			want := ""
			if i := p.uint(side.port) - vcentertest.FirstPort; p.str(side.role) == "vm" && i < uint64(len(site.VMs)) {
				want = site.VMs[i]
				named++
			}
			if p.tags[side.tag] != want {
				t.Errorf("%s: got %q, want %q: %v", side.tag, p.tags[side.tag], want, p)
			}
		}
		if p.uint("sampling_rate") != vcentertest.Sampling || p.str("sampling_source") != "vcenter" {
			t.Errorf("rate %d by %s", p.uint("sampling_rate"), p.str("sampling_source"))
		}
	}
	if want := portsOfMachines(t, 300, len(site.VMs)); named != want || want < 10 {
		t.Errorf("%d ports were named, want %d: those of %d machines", named, want, len(site.VMs))
	}
	a.stop(t)
}

// portsOfMachines returns how often the first n generated flows of a switch came in or
// went out at the ports of the machines that the vCenter knows.
func portsOfMachines(t *testing.T, n, machines int) (count int) {
	t.Helper()
	e, err := exporter.New(exporter.Options{Protocol: "vmware", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	const vm = 2 // the role of an access port of a virtual machine
	known := func(role uint16, port uint32) bool {
		return role == vm && port >= vcentertest.FirstPort && port < vcentertest.FirstPort+uint32(machines)
	}
	for recs := e.Flows(n, time.Now()); len(recs) > 0; {
		_, sent := e.Data(nil, time.Now(), recs)
		for i := range recs[:sent] {
			if r := &recs[i]; known(r.IngressAttr, r.Input) {
				count++
			} else if known(r.EgressAttr, r.Output) {
				count++
			}
		}
		recs = recs[sent:]
	}
	return count
}
