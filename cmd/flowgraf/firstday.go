package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/flowgraf/flowgraf/outputs/nfdump"
	"github.com/flowgraf/flowgraf/outputs/smtp_relay"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/inputs/netflow"
)

// What check warns of is no mistake, and does not keep an agent from starting: it is what the
// first day would bring.

// advise gives the warnings about a plugin.
func advise(ctx context.Context, plugin any, offline bool) (warnings []string) {
	switch p := plugin.(type) {
	case *netflow.NetFlow:
		return append(adviseBuffer(int64(p.ReadBufferSize), readRmemMax), advisePort(p.ServiceAddress)...)
	case *nfdump.Nfdump:
		return adviseSpace(p.Directory, int64(p.MaxSize), int64(p.MinFree), time.Duration(p.MaxAge))
	case *smtp_relay.SMTPRelay:
		if offline {
			return nil
		}
		for _, err := range each(p.Probe(ctx)) {
			warnings = append(warnings, err.Error())
		}
	}
	return warnings
}

// rmemMax is where Linux has the largest receive buffer of ordinary processes, in octets.
const rmemMax = "/proc/sys/net/core/rmem_max"

// readRmemMax gives it, 0 where there is none.
func readRmemMax() int64 {
	text, err := os.ReadFile(rmemMax)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// adviseBuffer compares the receive buffer with what the system gives without CAP_NET_ADMIN.
func adviseBuffer(size int64, most func() int64) []string {
	wanted, enough := collector.ReadBufferFor(int(size))
	limit := most()
	if limit == 0 || limit >= int64(enough) {
		return nil
	}
	return []string{fmt.Sprintf("the receive buffer is to have %s, and net.core.rmem_max is %s, which an agent "+
		"without root's rights gets: bursts are lost; sysctl -w net.core.rmem_max=%d, and the same in /etc/sysctl.d",
		sizeOf(float64(wanted)), sizeOf(float64(limit)), wanted)}
}

// firstFreePort is the first port that needs no rights.
const firstFreePort = 1024

// advisePort tells what a low port needs.
func advisePort(address string) []string {
	_, hostport, found := strings.Cut(address, "://")
	if !found {
		hostport = address
	}
	_, port, err := net.SplitHostPort(hostport)
	if n, convErr := strconv.Atoi(port); err != nil || convErr != nil || n == 0 || n >= firstFreePort {
		return nil
	}
	return []string{fmt.Sprintf("port %s is below %d: the agent needs root's rights or CAP_NET_BIND_SERVICE, "+
		"AmbientCapabilities= of its unit; most exporters can send to another port", port, firstFreePort)}
}

// adviseSpace compares what an archive may take with what is free where it is to be.
func adviseSpace(dir string, size, free int64, age time.Duration) []string {
	if dir == "" {
		return nil
	}
	available, known := freeSpace(nearest(dir))
	var taken int64
	filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				taken += info.Size()
			}
		}
		return nil // what cannot be read is not counted
	})
	switch {
	case size == 0 && free == 0 && age == 0:
		return []string{"nothing is ever removed: the disk fills up; set max_age, max_size or min_free"}
	case size == 0 && free == 0:
		return []string{fmt.Sprintf("max_age of %s bounds no size, and %s are free: set max_size or min_free, too", age,
			sizeOf(float64(available)))}
	case known && size > available+taken:
		return []string{fmt.Sprintf("max_size is %s, and only %s are free in %s beside the %s that the archive has: "+
			"the disk fills up before anything is removed", sizeOf(float64(size)), sizeOf(float64(available)), dir,
			sizeOf(float64(taken)))}
	case known && free > available:
		return []string{fmt.Sprintf("min_free is %s, and only %s are free in %s: the archive is emptied at once",
			sizeOf(float64(free)), sizeOf(float64(available)), dir)}
	}
	return nil
}

// nearest gives a directory, or the first one above it that is there.
func nearest(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// adviseClock tells when the clock of this machine is not kept right.
func adviseClock() []string {
	if clockSynchronised() {
		return nil
	}
	return []string{"the clock is not synchronised, as far as the kernel knows: times of flows are compared with it, " +
		"and files are named by it; run chrony or systemd-timesyncd"}
}

// sendTest sends a test mail by the first mail relay among plugins.
func sendTest(ctx context.Context, plugins []runningPlugin, to string) (answer string, err error) {
	const patience = 2 * time.Minute
	for _, p := range plugins {
		if r, is := p.plugin.(*smtp_relay.SMTPRelay); is {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return r.SendTest(ctx, to)
		}
	}
	return "", errors.New("no outputs.smtp_relay is configured")
}
