package nffile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// samples returns the directory of files and outputs of nfdump. The test is
// skipped where it is not there.
func samples(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(peers.Samples("nfdump"))
	must(t, err)
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the samples of nfdump are not there")
	}
	return dir
}

// sampleFiles returns all flow files among the samples.
func sampleFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(samples(t), "*.nf"))
	must(t, err)
	if len(files) < 15 {
		t.Fatalf("%d samples, expected at least 15", len(files))
	}
	return files
}

// rawFlows reads what nfdump -o raw printed: a map for each flow.
func rawFlows(text string) []map[string]string {
	var flows []map[string]string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Flow Record:") {
			flows = append(flows, map[string]string{})
		}
		key, value, ok := strings.Cut(line, " =")
		if !ok || len(flows) == 0 || !strings.HasPrefix(line, "  ") {
			continue
		}
		flows[len(flows)-1][strings.Join(strings.Fields(key), " ")] = strings.TrimSpace(value)
	}
	return flows
}

// macText prints a MAC address as nfdump does.
func macText(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// aclText prints an ACL as nfdump does.
func aclText(a [12]byte) string {
	return fmt.Sprintf("%#x/%#x/%#x", be.Uint32(a[0:]), be.Uint32(a[4:]), be.Uint32(a[8:]))
}

// rawText is what nfdump -o raw prints of a flow, by its labels; the part of the
// value that says the same in words is left out.
func rawText(r *flow.Record, x *Extra) map[string]string {
	n := func(v any) string { return fmt.Sprint(v) }
	out := map[string]string{
		"engine type": n(r.EngineType), "engine ID": n(r.EngineID), "proto": n(r.Proto),
		"first": n(r.First.Milli()), "last": n(r.Last.Milli()), "received at": n(r.Received.Milli()),
		"tcp flags": fmt.Sprintf("0x%02x", r.TCPFlags), "src port": n(r.SrcPort), "dst port": n(r.DstPort),
		"ICMP": fmt.Sprintf("%d.%d", r.ICMP>>8, r.ICMP&255), "src tos": n(r.SrcTOS), "dst tos": n(r.DstTOS),
		"in packets": n(r.Packets), "in bytes": n(r.Bytes), "out packets": n(r.RevPackets), "out bytes": n(r.RevBytes),
		"aggr flows": n(r.Flows), "src addr": n(r.Src), "dst addr": n(r.Dst), "input": n(r.Input),
		"output":   n(r.Output),
		"src mask": n(r.SrcMask), "dst mask": n(r.DstMask), "fwd status": n(r.FwdStatus), "direction": n(r.Direction),
		"biFlow Dir": fmt.Sprintf("0x%02x", r.BiflowDir), "end reason": fmt.Sprintf("0x%02x", r.EndReason),
		"src as": n(r.SrcAS), "dst as": n(r.DstAS), "bgp next as": n(r.NextAS), "bgp prev as": n(r.PrevAS),
		"ip next hop": n(r.NextHop), "bgp next hop": n(r.BGPNextHop), "ip exporter": n(r.Exporter),
		"src vlan": n(r.SrcVLAN), "dst vlan": n(r.DstVLAN),
		"in src mac": macText(r.InSrcMAC), "in dst mac": macText(r.InDstMAC),
		"out src mac": macText(r.OutSrcMAC), "out dst mac": macText(r.OutDstMAC),
		"connect ID": n(r.FlowID), "fw event": n(r.FwEvent), "fw ext event": n(r.FwXEvent), "nat event": n(r.NATEvent),
		"Event time": n(r.EventTime.Milli()), "Ingress ACL": aclText(r.IngressACL), "Egress ACL": aclText(r.EgressACL),
		"username": string(r.User), "src xlt ip": n(r.XlateSrc), "dst xlt ip": n(r.XlateDst),
		"src xlt port": n(r.XlateSPort), "dst xlt port": n(r.XlateDPort),
		"pblock start": n(r.PortBlock[0]), "pblock end": n(r.PortBlock[1]), "pblock step": n(r.PortBlock[2]),
		"pblock size": n(r.PortBlock[3]),
		"ingress VRF": n(r.IngressVRF), "egress VRF": n(r.EgressVRF),
		"tun src addr": n(r.TunSrc), "tun dst addr": n(r.TunDst), "tun proto": n(r.TunProto),
		"obs pointID": fmt.Sprintf("0x%010x", r.ObservationPoint), "obs domainID": fmt.Sprintf("0x%05x", x.Domain),
		"cli latency": fmt.Sprintf("%.3f", float64(x.ClientDelay)/1000),
		"srv latency": fmt.Sprintf("%.3f", float64(x.ServerDelay)/1000),
		"app latency": fmt.Sprintf("%.3f", float64(x.AppDelay)/1000), "in payload": n(len(x.InPayload)),
		"out payload": n(len(x.OutPayload)), "Label": string(x.Label),
		"pflog ifname": string(x.PF.Interface), "pflog rulenr": n(x.PF.Rule),
		"pflog action": [...]string{"pass", "block"}[x.PF.Action&1],
		"pflog direct": [...]string{"inout", "in", "out", ""}[x.PF.Direction&3],
		"pflog reason": fmt.Sprintf("%d/fragment", x.PF.Reason),
	}
	for i, l := range r.MPLS {
		out[fmt.Sprintf("MPLS Lbl %d", i+1)] = fmt.Sprintf("%d-%d-%d", l>>4, l>>1&7, l&1)
	}
	if len(r.AppID) == 4 {
		out["app ID"] = fmt.Sprintf("%d..%d:", r.AppID[0], be.Uint32(r.AppID)&0xffffff)
	}
	return out
}

// notFields are labels of nfdump's raw output that are not of the flow: flags and
// sizes, which the file's layout decides, and a TOS of which nfdump 1.7.1 prints
// the other one.
var notFields = []string{"RecordCount", "Flags", "Elements", "size", "export sysid", "dst tos"}

// compareRaw compares all flows of a file with nfdump's raw output of it, field by
// field. A label of nfdump's that has no counterpart here is an error too.
func compareRaw(t *testing.T, path string, want []map[string]string) {
	t.Helper()
	r, err := Open(path)
	must(t, err)
	defer r.Close()
	i := 0
	for ; r.Next(); i++ {
		if i >= len(want) {
			t.Fatalf("%s: more than the %d flows of nfdump", path, len(want))
		}
		got := rawText(r.Record(), r.dec.Extra())
		if _, event := want[i]["Event time"]; event && strings.Contains(path, "-zstd") { // nfdump 1.7.8 fills them in
			want[i]["first"], want[i]["last"] = want[i]["Event time"], want[i]["Event time"]
		}
		if want[i]["last"] < want[i]["first"] { // nfcapd 1.7.1 takes the one for the other in IPFIX
			want[i]["last"] = want[i]["first"]
		}
		if _, both := want[i]["nat event"]; both { // nfdump 1.7.1 has one place for the two
			delete(want[i], "fw event")
		}
		for key, value := range want[i] {
			if slices.Contains(notFields, key) {
				continue
			}
			first, _, _ := strings.Cut(value, " ")
			if key == "fw event" || key == "fw ext event" || key == "nat event" {
				first = strings.TrimSuffix(first, ":")
			}
			mine, known := got[key]
			if !known || mine != first && mine != value {
				t.Errorf("%s, flow %d: %s is %q, expected %q", filepath.Base(path), i+1, key, mine, value)
			}
		}
	}
	if r.Err() != nil || i != len(want) {
		t.Errorf("%s: %d flows, expected %d: %v", path, i, len(want), r.Err())
	}
}

// TestSamplesFieldByField reads every sample and compares every field with what
// nfdump prints of it: with the recorded output where there is one, else with that
// of the nfdump that is installed. What nfdump 1.7.1 cannot read (ZSTD) is compared
// with the same flows in another file.
func TestSamplesFieldByField(t *testing.T) {
	dir := samples(t)
	recorded, err := os.ReadFile(filepath.Join(dir, "out/171-raw.txt"))
	must(t, err)
	compareRaw(t, filepath.Join(dir, "filtertest-8records.nf"), rawFlows(string(recorded)))
	for _, path := range sampleFiles(t) {
		of := path
		if strings.Contains(path, "-zstd") {
			of = filepath.Join(dir, "nfcapd-1.7.1-none.nf")
		}
		flows := rawFlows(nfdump(t, "-r", of, "-o", "raw"))
		if len(flows) == 0 {
			t.Fatalf("nfdump reads no flows in %s", of)
		}
		compareRaw(t, path, flows)
	}
}

// TestLayout1 reads what a file of nfdump 1.6 has besides flows.
func TestLayout1(t *testing.T) {
	path := filepath.Join(samples(t), "nfcapd-1.6.25-layout1.nf")
	f, err := OpenFile(path)
	must(t, err)
	defer f.Close()
	if s := f.Stat(); f.Ident() != "testident" || s.Flows != 6 || s.ProtoFlows != [4]uint64{4, 1, 1, 0} ||
		s.First != 1700000001000 || s.Last != 1700000210789 {
		t.Errorf("ident %q, statistics %+v", f.Ident(), s)
	}
	var b Block
	d := NewDecoder()
	for f.ReadBlock(&b) == nil {
		must(t, b.Unpack())
		for d.Next(&b) {
		}
		must(t, d.Err())
	}
	if e := d.Exporters(); len(e) != 2 || e[0] != (Exporter{addr("127.0.0.1"), flow.V5, 0x102}) ||
		e[1].Version != flow.V9 {
		t.Errorf("exporters %+v", e)
	}
	if s := d.Samplers(); len(s) != 1 || s[0].Rate() != 1 || s[0].ID != -1 {
		t.Errorf("samplers %+v", s)
	}
	if s := d.ExporterStats(); len(s) != 2 || s[0].Flows != 3 || s[1].Flows != 3 || s[1].Datagrams != 3 {
		t.Errorf("statistics of the exporters %+v", s)
	}
}

// memory is a file in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// sweeper reads files in memory to their end; what it needs is reused.
type sweeper struct {
	block Block
	dec   *Decoder
}

// readFile returns how many flows could be read and what ended that.
func (s *sweeper) readFile(content []byte) (flows int, err error) {
	f, err := newFile("memory", memory{bytes.NewReader(content)}, int64(len(content)))
	if err != nil {
		return 0, err
	}
	s.dec.Reset()
	for {
		if err := f.ReadBlock(&s.block); err != nil {
			if err == io.EOF {
				err = nil
			}
			return flows, err
		}
		if err := s.block.Unpack(); err != nil {
			return flows, err
		}
		for s.dec.Next(&s.block) {
			flows++
		}
		if err := s.dec.Err(); err != nil {
			return flows, err
		}
	}
}

// sweep cuts content at many lengths and changes many bytes: nothing panics, an
// error is one of the format's, and no flow comes twice.
func (s *sweeper) sweep(t *testing.T, name string, content []byte) {
	t.Helper()
	whole, err := s.readFile(content)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	check := func(what string, i int, bad []byte) {
		n, err := s.readFile(bad)
		var format *FormatError
		if err != nil && !errors.As(err, &format) {
			t.Fatalf("%s: %s %d: %v", name, what, i, err)
		}
		if what == "cut to" && n > whole {
			t.Fatalf("%s: %s %d: %d flows, the whole has %d", name, what, i, n, whole)
		}
	}
	bad := slices.Clone(content)
	step := 3
	if f, err := newFile(name, memory{bytes.NewReader(content)}, int64(len(content))); err != nil ||
		f.head.Compression == BZ2 || f.head.Compression == ZSTD || f.head.Layout == layout3 {
		step = 17 // these libraries take long, and every byte of them is packed
	}
	if *allOffsets {
		step = 1
	}
	for i := 0; i < len(content); i += step {
		check("cut to", i, content[:i])
		for _, v := range []byte{0xff, content[i] ^ 0x04} {
			bad[i] = v
			check("changed byte", i, bad)
		}
		bad[i] = content[i]
	}
}

// TestSamplesCutAndFlipped damages every sample in every place.
func TestSamplesCutAndFlipped(t *testing.T) {
	s := sweeper{dec: NewDecoder()}
	for _, sample := range sampleFiles(t) {
		content, err := os.ReadFile(sample)
		must(t, err)
		s.sweep(t, sample, content)
	}
}
