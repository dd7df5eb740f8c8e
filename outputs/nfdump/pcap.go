package nfdump

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/influxdata/telegraf"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/plugins/disk"
)

// collectorPort is the destination port in pcap files: NetFlow's usual one, by
// which Wireshark knows what to decode.
const collectorPort = 2055

// initPcap reads the options of raw datagrams. It returns whether flows are kept
// too.
func (p *Nfdump) initPcap(opt *archive.GroupOptions) (flows bool, err error) {
	switch p.Format {
	case "", "nfdump":
		return true, nil
	case "pcap", "both":
	default:
		return true, fmt.Errorf("format is %q, expected \"nfdump\", \"pcap\" or \"both\"", p.Format)
	}
	var errs []error
	if flows = p.Format == "both"; !flows {
		errs = append(errs, opt.Limits.Check()) // else the archive of flows sees to the limits
		if opt.PerAddress || len(opt.Sources) > 0 {
			errs = append(errs, errors.New("format \"pcap\" has one directory for all exporters: "+
				"leave split and source out, or use \"both\""))
		}
	}
	zstd, err := choice("pcap_compression", p.PcapCompression, "none", "zstd")
	micro, timesErr := choice("pcap_times", p.PcapTimes, "nanoseconds", "microseconds")
	errs = append(errs, err, timesErr)
	dir := p.pcapDirectory()
	limits, location := opt.Limits, opt.Location
	if location == nil {
		location = time.Local
	}
	pcap := archive.PcapOptions{
		Dir: dir, Interval: time.Duration(p.RotationInterval), Location: opt.Location, Zstd: zstd, Micro: micro,
		Access: opt.Access, Port: collectorPort,
		Sync: opt.SyncBatch, SyncEvery: opt.SyncEvery, Ident: opt.Ident, Errorf: p.errorf, Completed: p.completed,
	}
	if !flows {
		p.expirePcap = func() {
			if !p.pcap.Held() {
				return
			}
			if _, err := archive.Expire([]string{dir}, limits, location, time.Now()); err != nil {
				p.errorf("removing expired files: %v", err)
			}
		}
		pcap.Completed = func(file archive.Complete) {
			p.completed(file)
			p.expirePcap()
		}
	}
	p.pcap, err = archive.NewPcap(pcap)
	return flows, errors.Join(append(errs, err)...)
}

// pcapDirectory is where pcap files go: beside the flows, for nfdump -R stops at
// foreign files.
func (p *Nfdump) pcapDirectory() string {
	if p.PcapDirectory != "" || p.Directory == "" {
		return p.PcapDirectory
	}
	if p.Format == "pcap" {
		return p.Directory
	}
	return filepath.Clean(p.Directory) + ".pcap"
}

// writeRaw writes a batch of which no flows are kept.
func (p *Nfdump) writeRaw(metrics []telegraf.Metric) error {
	var datagrams, refused int64
	for _, m := range metrics {
		dg, ok := p.datagram(m)
		switch {
		case !ok:
		case !p.decoder.Screen(&dg):
			refused++
		default:
			p.pcap.Add(dg)
			datagrams++
		}
	}
	err := p.pcap.Prepare()
	if err == nil {
		err = p.pcap.Commit()
	}
	if err != nil {
		p.endPcap(false)
		if disk.Full(err) {
			p.expirePcap()
		}
		return fmt.Errorf("nothing of %d metrics is in the pcap files, they stay in the buffer: %w%s", len(metrics),
			err, advice(err))
	}
	if p.stats.datagrams != nil {
		p.stats.datagrams.Incr(datagrams)
		p.stats.refused.Incr(refused)
	}
	return nil
}

// endPcap makes the datagrams of a batch permanent, or takes them back.
func (p *Nfdump) endPcap(commit bool) {
	if p.pcap == nil {
		return
	}
	err := error(nil)
	if commit {
		err = p.pcap.Commit()
	} else {
		err = p.pcap.Undo()
	}
	if err != nil {
		p.errorf("pcap file: %v", err)
	}
}
