package tests

import (
	"context"
	"flag"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/flowgraf/flowgraf/outputs/query"
	"github.com/flowgraf/flowgraf/plugins/flow"
)

// wroteBatch is what Telegraf's agent logs, with debug on, after a Write of an
// output has returned.
var wroteBatch = regexp.MustCompile(`\[outputs\.nfdump\][^\n]* Wrote batch of (\d+) metrics`)

// acknowledged returns how many datagrams the archive had taken when the agent
// was killed, at the least: the log line comes after the Write.
func acknowledged(log string) (n uint64) {
	for _, m := range wroteBatch.FindAllStringSubmatch(log, -1) {
		batch, _ := strconv.ParseUint(m[1], 10, 64)
		n += batch
	}
	return n
}

// kills is how often an agent is killed: go test ./tests -run Killed -kills 200.
var kills = flag.Int("kills", 20, "how often the agent is killed under load")

// Twenty times, or as -kills says, an agent under load is killed with kill -9.
// Every file is whole after the restart, and every record whose Write had
// returned is in one.
func TestKilledManyTimesAndNothingAcknowledgedIsLost(t *testing.T) {
	nfdump := peer(t, "nfdump")
	dir := t.TempDir()
	const flowsPerDatagram = 30
	var acked uint64
	for i := range *kills {
		a := startAgent(t, dir, agentConfig, nil)
		load := start(t, flowgraf, "generate", "--to", a.flows, "--protocol", "v5", "--rate", "60000", "--seed",
			strconv.Itoa(i))
		waitFor(t, 20*time.Second, "the first batch", func() bool { return acknowledged(a.out.String()) > 0 })
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		a.kill()
		load.kill()
		acked += acknowledged(a.out.String())
	}
	startAgent(t, dir, agentConfig, nil).stop(t)

	archive := filepath.Join(dir, "archive")
	left, err := filepath.Glob(filepath.Join(archive, "nfcapd.current*"))
	if err != nil || len(left) != 0 {
		t.Errorf("unfinished files are left: %v %v", left, err)
	}
	for _, file := range archiveFiles(t, archive) {
		outputOf(t, nfdump, "-v", file)
	}
	flows, _, _ := nfdumpSums(t, nfdump, archive)
	if twice := flowsTwice(t, archive); twice != 0 {
		t.Errorf("%d flows are in the archive more than once", twice)
	}
	if flows < acked*flowsPerDatagram {
		t.Errorf("%d flows are in the archive, %d datagrams of %d flows were acknowledged", flows, acked,
			flowsPerDatagram)
	}
	if acked == 0 {
		t.Error("nothing was acknowledged: the test has shown nothing")
	}
	if sums := archiveSums(t, nfdump, archive); sums["flows"] != flows {
		t.Errorf("nfdump -I says %d flows, the records are %d", sums["flows"], flows)
	}
	t.Logf("%d datagrams (%d flows) acknowledged in %d runs, %d flows in the archive", acked, acked*flowsPerDatagram,
		*kills, flows)
}

// flowsTwice returns how many flows of an archive were there before. Generated ones
// differ in addresses, ports, counters or times.
func flowsTwice(t *testing.T, dir string) int {
	t.Helper()
	type key struct {
		src, dst         netip.Addr
		sport, dport     uint16
		proto            uint8
		packets, bytes   uint64
		first, last, got flow.Time
	}
	seen, twice := map[key]bool{}, 0
	_, err := query.Each(context.Background(), archiveFiles(t, dir), func(r *flow.Record) error {
		k := key{r.Src, r.Dst, r.SrcPort, r.DstPort, r.Proto, r.Packets, r.Bytes, r.First, r.Last, r.Received}
		if seen[k] {
			twice++
		}
		seen[k] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return twice
}
