package netflow

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/decoding"
	"github.com/flowgraf/flowgraf/plugins/decoding/decodingtest"
)

// TestForgedSourcesMakeFewSeries sends from 300 addresses of the loopback network, each
// under two domains, to a plugin that allows 20: whatever leaves it, flows, options,
// datagrams and counters, has the names of 20 exporters and of the one that the
// configuration names, and the other datagrams are counted.
func TestForgedSourcesMakeFewSeries(t *testing.T) {
	const addresses, most = 300, 20
	n, acc, _ := started(t, func(n *NetFlow) {
		n.MaxExporters = most
		n.Metrics = []string{"flows", "options", "exporters", "datagrams"}
		n.Exporters = []decoding.Exporter{{Address: "127.77.255.1", Name: "edge"}}
	})
	list := decodingtest.V9(t)
	from := func(addr net.IP) {
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: addr}, net.UDPAddrFromAddrPort(n.listener.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for domain := range uint32(2) {
			for _, b := range list {
				b = append([]byte(nil), b...)
				binary.BigEndian.PutUint32(b[16:], domain)
				send(t, conn, b)
			}
		}
	}
	over := func() (datagrams uint64) {
		counted := map[string]any{}
		n.pool.Count(counted)
		datagrams, _ = counted["over_max_exporters"].(uint64)
		return datagrams
	}
	each, deadline := 2*len(list), time.Now().Add(time.Minute)
	for i := range addresses {
		from(net.IPv4(127, 77, byte(i>>8), byte(i)))
		if i%50 != 49 {
			continue // the receive buffer holds them
		}
		for want := uint64(max(0, i+1-most) * each); over() < want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d datagrams are counted as over the bound, want %d", over(), want)
			}
		}
	}
	from(net.IPv4(127, 77, 255, 1))
	await(t, acc, "netflow_datagram", (most+1)*each)
	await(t, acc, "netflow", (most+1)*2)
	if err := n.Gather(acc); err != nil {
		t.Fatal(err)
	}
	sources, counted := map[string]map[string]bool{}, any(nil)
	for _, m := range acc.List() {
		if source, ok := m.GetTag("source"); ok {
			if sources[m.Name()] == nil {
				sources[m.Name()] = map[string]bool{}
			}
			sources[m.Name()][source] = true
		} else if v, ok := m.GetField("over_max_exporters"); ok {
			counted = v
		}
	}
	for _, name := range []string{"netflow", "netflow_options", "netflow_datagram", "netflow_exporter"} {
		if got := sources[name]; len(got) != most+1 || !got["127.77.255.1"] {
			t.Errorf("%s: %d sources, want %d with the exporter that the configuration names: %v", name, len(got),
				most+1, got)
		}
	}
	if want := uint64((addresses - most) * each); counted != want {
		t.Errorf("over_max_exporters is %s, want %d", fmt.Sprint(counted), want)
	}
}
