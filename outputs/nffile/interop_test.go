package nffile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// nfdump runs nfdump and returns what it printed on both channels.
func nfdump(t testing.TB, args ...string) string {
	t.Helper()
	return peers.Run(t, "nfdump", args...)
}

// complaints are the lines of an output of nfdump in which it does not like
// something.
func complaints(out string) string {
	var bad []string
	for line := range strings.Lines(out) {
		for _, word := range []string{"nknown ext", "nknown rec", "nknown elem", "rror", "orrupt", "kip unknown",
			"an not", "nable to"} {
			if strings.Contains(line, word) {
				bad = append(bad, line)
				break
			}
		}
	}
	return strings.Join(bad, "")
}

// elementRecord returns a flow that has, besides what every flow has, only the
// fields of one element.
func elementRecord(id int) *flow.Record {
	wide := wideRecord(slices.Contains([]int{elIPv6, elBGPNext6, elNext6, elReceived6, elXlate6, elTunnel6}, id))
	if id == elNSEL || id == elNAT || id == elACL || id == elUser {
		wide = eventRecord()
	}
	wide.SegmentID, wide.FlowID, wide.MinTTL, wide.MaxTTL = 5000, 123456, 60, 64
	if id != elCount {
		wide.Flows, wide.RevBytes, wide.RevPackets = 0, 0, 0
	}
	wide.Present = flow.SetOf(elementFields[id]...)
	return wide
}

// kinds are the kinds of flows that a file can hold, each as a function that
// writes some of them.
func kinds() map[string]func(t testing.TB, w *Writer) {
	kinds := map[string]func(t testing.TB, w *Writer){
		"plain": func(t testing.TB, w *Writer) {
			var r flow.Record
			for i := range 100 {
				plainFlow(&r, i)
				must(t, w.Append(&r))
			}
		},
		"border": func(t testing.TB, w *Writer) {
			b := newBorder(7, true)
			var r flow.Record
			for range 300 {
				b.next(&r)
				must(t, w.Append(&r))
			}
		},
		"all fields": func(t testing.TB, w *Writer) {
			for range 20 {
				must(t, w.Append(wideRecord(false)))
				must(t, w.Append(wideRecord(true)))
				must(t, w.Append(eventRecord()))
			}
		},
		"sampled": func(t testing.TB, w *Writer) {
			id := Exporter{router, flow.V9, 77}
			must(t, w.Sampler(Sampler{Exporter: id, ID: -1, Interval: 1, Space: 99, Algorithm: 2}))
			r := wideRecord(false)
			r.SamplingRate = 100
			must(t, w.Append(r))
		},
		"names": func(t testing.TB, w *Writer) {
			must(t, w.Names([]Name{{Kind: InterfaceName, ID: 7, Name: "eth7"}}))
			must(t, w.Names([]Name{{Kind: VRFName, ID: 9, Name: "customers"}}))
			must(t, w.Names([]Name{{Kind: AppName, App: "\x03\x00\x00\x50", Name: "http",
				Description: "World Wide Web"}}))
			must(t, w.Append(wideRecord(false)))
		},
		"extra": func(t testing.TB, w *Writer) {
			x := fullExtra()
			x.Has &^= 1<<elSampler | 1<<elInmonMeta | 1<<elInmonFrame // nfdump 1.7.1 has no code for them
			must(t, w.AppendExtra(wideRecord(true), x))
		},
	}
	for id := range elementFields {
		if id < elLayer2 {
			kinds[fmt.Sprintf("element %d", id)] = func(t testing.TB,
				w *Writer) {
				must(t, w.Append(elementRecord(id)))
			}
		}
	}
	return kinds
}

// TestNfdumpReadsOurs lets nfdump 1.7.1 print files of every kind in all its forms:
// it complains about nothing, sees every flow, and its raw output has field by field
// what this package reads.
func TestNfdumpReadsOurs(t *testing.T) {
	for name, fill := range kinds() {
		for _, c := range []Compression{None, LZO, LZ4, BZ2} {
			if c != LZ4 && strings.HasPrefix(name, "element") {
				continue // one is enough
			}
			t.Run(name+"/"+c.String(), func(t *testing.T) {
				w := mustCreate(t, Options{Compression: c, Ident: "edge1"})
				fill(t, w)
				w.Datagrams(Exporter{router, flow.V9, 77}, 5, 1)
				must(t, w.Close())
				raw := nfdump(t, "-r", w.Path(), "-o", "raw")
				compareRaw(t, w.Path(), rawFlows(raw))
				outputs := []string{raw, nfdump(t, "-r", w.Path(), "-o", "csv"),
					nfdump(t, "-r", w.Path(), "-o", "json")}
				if name == "all fields" || name == "border" && c == LZ4 {
					for _, format := range []string{"line", "long", "extended", "biline", "nsel", "nel", "pipe"} {
						outputs = append(outputs, nfdump(t, "-r", w.Path(), "-o", format))
					}
					for _, args := range [][]string{{"-s", "srcip/bytes"}, {"-s", "record/packets"},
						{"-A", "srcip,dstport"}, {"-a"}, {"-b"}, {"-O", "tstart"}} {
						outputs = append(outputs, nfdump(t, append([]string{"-r", w.Path(), "-o", "line"}, args...)...))
					}
				}
				checkComplaints(t, outputs...)
				if strings.HasPrefix(name, "element") {
					return
				}
				stat := w.Stat()
				if want := fmt.Sprintf("Total flows processed: %d,", stat.Flows); !strings.Contains(raw, want) {
					t.Errorf("no %q in %.1000s", want, raw)
				}
				checkInfo(t, nfdump(t, "-I", "-r", w.Path()), &stat)
				if out := nfdump(t, "-E", w.Path()); !strings.Contains(out, "SysID: 1,") ||
					complaints(strings.ReplaceAll(out, "Sequence failures", "")) != "" {
					t.Errorf("nfdump -E says\n%s", out)
				}
				if out := nfdump(t, "-v", w.Path()); complaints(out) != "" ||
					!strings.Contains(out, "Type 3 blocks : ") {
					t.Errorf("nfdump -v says\n%s", out)
				}
			})
		}
	}
}

// checkComplaints finds complaints in outputs of nfdump.
func checkComplaints(t *testing.T, outputs ...string) {
	t.Helper()
	for _, out := range outputs {
		if bad := complaints(out); bad != "" {
			t.Errorf("nfdump says: %.300s", bad)
		}
	}
}

// checkInfo compares what nfdump -I prints with statistics.
func checkInfo(t *testing.T, out string, s *Stat) {
	t.Helper()
	want := map[string]uint64{"Flows": s.Flows, "Packets": s.Packets, "Bytes": s.Bytes, "First": s.First / 1000,
		"Last":       s.Last / 1000,
		"msec_first": s.First % 1000, "msec_last": s.Last % 1000, "Sequence failures": s.SequenceFailures}
	for i, proto := range []string{"tcp", "udp", "icmp", "other"} {
		want["Flows_"+proto], want["Packets_"+proto], want["Bytes_"+proto] = s.ProtoFlows[i], s.ProtoPackets[i],
			s.ProtoBytes[i]
	}
	for name, v := range want {
		if line := fmt.Sprintf("%s: %d\n", name, v); !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
}

// TestNfdumpRewritesOurs: what nfdump -w makes of files of ours, in each of its
// compressions, has the same flows, and the same exporters and samplers.
func TestNfdumpRewritesOurs(t *testing.T) {
	for name, fill := range kinds() {
		for i, option := range []string{"", "-z", "-y", "-j"} {
			if i > 0 && strings.HasPrefix(name, "element") {
				continue
			}
			t.Run(name+option, func(t *testing.T) {
				w := mustCreate(t, Options{Compression: Compression((i + 1) % 4), Ident: "edge1"})
				fill(t, w)
				must(t, w.Close())
				to := filepath.Join(t.TempDir(), "rewritten")
				args := []string{"-r", w.Path(), "-w", to}
				if option != "" {
					args = append(args, option)
				}
				nfdump(t, args...)
				want, got := readWhole(t, w.Path()), readWhole(t, to)
				if len(got.flows) != len(want.flows) || len(got.flows) == 0 {
					t.Fatalf("%d flows, expected %d", len(got.flows), len(want.flows))
				}
				for i := range got.flows {
					if d := differences(&got.flows[i], &want.flows[i]); d != "" {
						t.Fatalf("flow %d: %s", i+1, d)
					}
				}
				if !slices.Equal(got.exporters, want.exporters) || !slices.Equal(got.samplers, want.samplers) {
					t.Errorf("exporters %v, samplers %v, expected %v and %v", got.exporters, got.samplers,
						want.exporters, want.samplers)
				}
				if r, err := Verify(to, nil); err != nil || !r.Sound() {
					t.Errorf("%s %v %v", &r, r.Problems, err)
				}
			})
		}
	}
}

// whole is what a file has.
type whole struct {
	flows     []flow.Record
	exporters []Exporter
	samplers  []Sampler
}

// readWhole reads a file to its end.
func readWhole(t *testing.T, path string) whole {
	t.Helper()
	flows, err := readAll(path)
	must(t, err)
	r, err := Open(path)
	must(t, err)
	defer r.Close()
	for r.Next() {
	}
	must(t, r.Err())
	return whole{flows, slices.Clone(r.dec.Exporters()), slices.Clone(r.dec.Samplers())}
}
