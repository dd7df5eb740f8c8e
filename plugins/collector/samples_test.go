package collector

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/plugins/flow"
	"github.com/flowgraf/flowgraf/tests/peers"
)

// sampleDir has captured datagrams of real exporters, which the repository does
// not hold. Without it the tests that need it are skipped.
var sampleDir = peers.Samples("flows")

// group is one line of the manifest's table.
type group struct {
	name                string
	files               []string
	data, options       uint64
	missing, enterprise []string
}

// groups reads the manifest.
func groups(t testing.TB) []group {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(sampleDir, "MANIFEST.md"))
	if err != nil {
		t.Skip("no captured datagrams here: ", err)
	}
	var list []group
	for _, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 9 || !strings.Contains(cells[2], ".dat") {
			continue
		}
		g := group{name: strings.TrimSpace(cells[1]), files: fields(cells[2]), missing: fields(cells[6]),
			enterprise: fields(cells[7])}
		if g.data, err = strconv.ParseUint(strings.TrimSpace(cells[4]), 10, 64); err != nil {
			t.Fatalf("manifest, %s: %v", g.name, err)
		}
		if g.options, err = strconv.ParseUint(strings.TrimSpace(cells[5]), 10, 64); err != nil {
			t.Fatalf("manifest, %s: %v", g.name, err)
		}
		list = append(list, g)
	}
	if len(list) < 20 {
		t.Fatalf("expected at least 20 groups in the manifest, got %d", len(list))
	}
	return list
}

// fields splits a list with commas.
func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// sample reads one captured datagram.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(sampleDir, name))
	if err != nil {
		t.Skip("no captured datagrams here: ", err)
	}
	return b
}

// from is the exporter of the tests' datagrams.
var from = netip.MustParseAddrPort("192.0.2.1:2055")

// received is when they come in.
var received = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func datagram(b []byte) Datagram { return Datagram{Exporter: from, Received: received, Payload: b} }

func TestManifest(t *testing.T) {
	for _, g := range groups(t) {
		t.Run(g.name, func(t *testing.T) {
			d := NewDecoder(Options{})
			pens := map[uint32]bool{}
			var flows, options uint64
			h := Handler{
				Flow: func(r *flow.Record) {
					flows++
					for _, e := range r.Extra {
						pens[e.PEN] = true
					}
				},
				Option: func(o *flow.OptionRecord) { options++ },
			}
			for _, name := range g.files {
				if err := d.Decode(datagram(sample(t, name)), h); err != nil {
					t.Logf("%s: %v", name, err)
				}
			}
			if flows != g.data || options != g.options {
				t.Errorf("got %d flows and %d options, want %d and %d", flows, options, g.data, g.options)
			}
			missed := map[string]bool{}
			for _, dom := range d.domains {
				for id := range dom.missed {
					missed[strconv.Itoa(int(id))] = true
				}
				for _, list := range dom.templates {
					for _, e := range list {
						for _, f := range e.t.Fields {
							pens[f.PEN] = true
						}
					}
				}
			}
			if len(missed) != len(g.missing) {
				t.Errorf("sets without a template: got %v, want %v", missed, g.missing)
			}
			for _, id := range g.missing {
				if !missed[id] {
					t.Errorf("set %s was not reported as missing", id)
				}
			}
			for _, pen := range g.enterprise {
				n, _ := strconv.ParseUint(pen, 10, 32)
				if !pens[uint32(n)] {
					t.Errorf("no element of enterprise %s", pen)
				}
			}
		})
	}
}
