package packet

import (
	"math"
	"reflect"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// usualPackets are packets that usual takes.
func usualPackets() [][]byte {
	four, six := addr("192.0.2.1"), addr("2001:db8::1")
	var list [][]byte
	for _, r := range []flow.Record{
		{Src: four, Dst: four, Proto: 6, SrcPort: 1024, DstPort: 443, TCPFlags: 0x12, SrcTOS: 0xb8, MaxTTL: 63},
		{Src: four, Dst: four, Proto: 17, SrcPort: 1024, DstPort: 53, SrcVLAN: 7},
		{Src: four, Dst: four, Proto: 1, DstPort: 0x0303},
		{Src: six, Dst: six, Proto: 6, SrcPort: 1024, DstPort: 443, TCPFlags: 0x12, SrcTOS: 0xb8, SrcVLAN: 4000},
		{Src: six, Dst: six, Proto: 17, SrcPort: 1024, DstPort: 53, MaxTTL: 1},
		{Src: six, Dst: six, Proto: 58, DstPort: 0x8700},
	} {
		list = append(list, append(Append(nil, &r), make([]byte, topSize)...))
	}
	return list
}

// compare dissects b with usual and with the walk, into a record that has all and
// into one that has nothing. It returns whether usual took it.
func compare(t *testing.T, b []byte, extended flow.ExtendedSet) bool {
	t.Helper()
	took := false
	for _, start := range []flow.Record{
		{},
		{
			Present: flow.Set{math.MaxUint64, math.MaxUint64}, Src: addr("10.0.0.1"), Dst: addr("10.0.0.2"), SrcPort: 1,
			DstPort: 2, Proto: 3,
			IPVersion: 9, TCPFlags: 4, SrcTOS: 5, ICMP: 6, MinTTL: 7, MaxTTL: 8, FragFlags: 9, SrcVLAN: 10,
		},
	} {
		fast, slow := start, start
		p := flow.Sample{Headers: flow.HasFrame, Extended: extended, FragOffset: 11}
		fastSample, slowSample := p, p
		took = usual(&fast, &fastSample, b)
		if took {
			walk(&slow, &slowSample, ProtocolEthernet, b)
		}
		if !reflect.DeepEqual(fast, slow) || !reflect.DeepEqual(fastSample, slowSample) {
			t.Fatalf("taken: %v; got\n%+v\n%+v\nwant\n%+v\n%+v", took, fast, fastSample, slow, slowSample)
		}
	}
	return took
}

// TestUsualIsWhatTheWalkSays cuts packets at every length and flips their bits.
func TestUsualIsWhatTheWalkSays(t *testing.T) {
	for i, b := range usualPackets() {
		if !compare(t, b, 0) || !compare(t, b, flow.HasSwitch) {
			t.Errorf("packet %d is no usual one", i)
		}
		for n := range b {
			compare(t, b[:n:n], 0)
			for bit := range 8 {
				bad := append([]byte(nil), b...)
				bad[n] ^= 1 << bit
				compare(t, bad, 0)
			}
		}
	}
}

// TestUsualLeavesTheRest has packets that look usual at first.
func TestUsualLeavesTheRest(t *testing.T) {
	tcp := cat(ports(1, 2), make([]byte, topSize))
	later := cat(eth(0x800), ip4("10.0.0.1", "10.0.0.2", 6), tcp)
	later[14+7] = 1
	options := cat(eth(0x800), ip4("10.0.0.1", "10.0.0.2", 6), []byte{1, 1, 1, 1}, tcp)
	options[14] = 0x46
	for name, b := range map[string][]byte{
		"later fragment": later,
		"IPv4 options":   options,
		"IPv6 extension": cat(eth(0x86dd), ip6("2001:db8::1", "2001:db8::2", 0), []byte{6, 0, 0, 0, 0, 0, 0, 0}, tcp),
		"QinQ":           cat(eth(0x800, 5, 7), ip4("10.0.0.1", "10.0.0.2", 6), tcp),
		"VXLAN":          cat(eth(0x800), ip4("10.0.0.1", "10.0.0.2", 17), ports(1, portVXLAN), tcp),
		"GENEVE":         cat(eth(0x800), ip4("10.0.0.1", "10.0.0.2", 17), ports(1, portGENEVE), tcp),
		"GRE":            cat(eth(0x800), ip4("10.0.0.1", "10.0.0.2", 47), tcp),
		"IP in IP":       cat(eth(0x800), ip4("10.0.0.1", "10.0.0.2", 4), ip4("10.0.0.1", "10.0.0.2", 6), tcp),
		"MPLS":           cat(eth(0x8847), []byte{0, 1, 0x11, 64}, ip4("10.0.0.1", "10.0.0.2", 6), tcp),
	} {
		if compare(t, b, 0) {
			t.Errorf("%s was taken for a usual packet", name)
		}
	}
	b := usualPackets()[0]
	if usual(&flow.Record{}, &flow.Sample{Headers: flow.HasIPv4}, b) {
		t.Error("a second packet of a sample was taken for the first")
	}
}

func FuzzUsual(f *testing.F) {
	for _, b := range usualPackets() {
		f.Add(uint16(0), b)
		f.Add(uint16(flow.HasSwitch), b)
	}
	f.Fuzz(func(t *testing.T, extended uint16, b []byte) { compare(t, b, flow.ExtendedSet(extended)) })
}
