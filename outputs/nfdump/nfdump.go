// Package nfdump is the Telegraf output that keeps raw flow records as nfdump
// files: it decodes the metrics netflow_datagram and writes nfcapd.YYYYMMDDhhmm
// files (layout 2) that nfdump 1.7 reads. The tree of files is package archive's,
// their format package nffile's.
//
// Write returns nil only when the records have left the process. When it returns
// an error nothing of the batch is in the files, so that Telegraf's next attempt
// doubles nothing.
package nfdump

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/outputs"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/flowgraf/flowgraf/outputs/archive"
	"github.com/flowgraf/flowgraf/outputs/nffile"
	"github.com/flowgraf/flowgraf/outputs/waitlog"
	"github.com/flowgraf/flowgraf/plugins/collector"
	"github.com/flowgraf/flowgraf/plugins/decoding"
	"github.com/flowgraf/flowgraf/plugins/disk"
	"github.com/flowgraf/flowgraf/plugins/flowmetric"
)

//go:embed sample.conf
var sampleConfig string

// Nfdump is the plugin. Its options are described in sample.conf.
type Nfdump struct {
	Directory        string              `toml:"directory"`
	RotationInterval config.Duration     `toml:"rotation_interval"`
	SubdirLayout     int                 `toml:"subdir_layout"`
	Compression      string              `toml:"compression"`
	Ident            string              `toml:"ident"`
	Elements         string              `toml:"elements"`
	Names            string              `toml:"names"`
	Split            string              `toml:"split"`
	SplitNames       string              `toml:"split_names"`
	FileMode         string              `toml:"file_mode"`
	Group            string              `toml:"group"`
	Fsync            string              `toml:"fsync"`
	MaxAge           config.Duration     `toml:"max_age"`
	MaxSize          config.Size         `toml:"max_size"`
	MinFree          config.Size         `toml:"min_free"`
	Watermark        int                 `toml:"watermark"`
	Command          []string            `toml:"command"`
	CommandTimeout   config.Duration     `toml:"command_timeout"`
	Index            bool                `toml:"index"`
	Format           string              `toml:"format"`
	PcapDirectory    string              `toml:"pcap_directory"`
	PcapCompression  string              `toml:"pcap_compression"`
	PcapTimes        string              `toml:"pcap_times"`
	StateDirectory   string              `toml:"state_directory"`
	TemplateWait     config.Duration     `toml:"template_wait"`
	Sources          []Source            `toml:"source"`
	Protocol         string              `toml:"protocol"`
	Exporters        []decoding.Exporter `toml:"exporter"`
	Unknown          string              `toml:"unknown_exporters"`
	MaxRate          int64               `toml:"max_sampling_rate"`
	Log              telegraf.Logger     `toml:"-"`
	Statistics       *selfstat.Collector `toml:"-"`

	archive    *archive.Group   // nil when only datagrams are kept
	pcap       *archive.Pcap    // nil when only flows are kept
	expirePcap func()           // removes old pcap files where there is no archive that does
	command    *archive.Command // nil without one
	indexer    indexer
	parser     flowmetric.DatagramParser
	options    collector.Options // of the decoder
	decoder    *collector.Decoder
	waiting    *waitlog.Log  // nil when sets without a template cannot be kept on the disk
	syncEvery  time.Duration // the option fsync, 0 when it is no interval
	tables     tables
	saved      uint64                       // revision of the decoder that is in the state file
	savedAt    time.Time                    // when the state file was written last
	resume     bool                         // look through all that waits at the next Write
	counted    map[nffile.Exporter]counters // as of the last batch that was written
	spare      map[nffile.Exporter]counters
	stats      statistics

	down      error // why it is not open, nil when it is
	downSince time.Time

	toldOther, toldBad bool // about metrics that are not used
	toldState          bool // that the state cannot be written
	toldWaiting        bool // that the log of sets that wait cannot be written
}

// counters are what the files' statistics need of an exporter.
type counters struct{ datagrams, failures uint64 }

// statistics are the counters of Telegraf's internal metrics; nil outside of an
// agent.
type statistics struct {
	datagrams, flows, malformed, ignored selfstat.Stat
	refused                              selfstat.Stat // datagrams that the configuration refuses
	waiting, waited, resumed, expired    selfstat.Stat // sets without a template
	runs, failures, skipped              selfstat.Stat // of the command
}

// SampleConfig implements telegraf.PluginDescriber.
func (*Nfdump) SampleConfig() string { return sampleConfig }

// Init implements telegraf.Initializer: it checks the options and touches nothing. The
// error tells of all that are wrong.
func (p *Nfdump) Init() error {
	table := decoding.ExporterOptions{Protocol: p.Protocol, Exporters: p.Exporters, Unknown: p.Unknown,
		MaxRate: p.MaxRate}
	p.options = collector.Options{Log: p.warnf}
	errs := []error{table.Apply(&p.options)}
	p.options.MaxExporters = 0 // the input has let through whom it takes
	opt, err := p.groupOptions()
	flows, pcapErr := p.initPcap(&opt)
	errs = append(errs, err, pcapErr)
	if len(p.Command) > 0 {
		p.command, err = archive.NewCommand(p.Command, time.Duration(p.CommandTimeout), p.errorf)
		errs = append(errs, err)
	}
	if flows {
		if p.pcap != nil {
			opt.Also, opt.AlsoHeld = []string{p.pcapDirectory()}, p.pcap.Held
		}
		p.syncEvery = opt.SyncEvery
		p.archive, err = archive.NewGroup(opt)
		errs = append(errs, err, p.besideArchives())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	p.register()
	return nil
}

// register makes the internal metrics, where there is an agent.
func (p *Nfdump) register() {
	if p.Statistics == nil {
		return
	}
	tags := map[string]string{"directory": p.Directory}
	register := func(field string) selfstat.Stat { return p.Statistics.Register("nfdump", field, tags) }
	p.stats = statistics{
		datagrams: register("datagrams_written"), flows: register("flows_written"),
		malformed: register("metrics_malformed"), ignored: register("metrics_ignored"),
		refused: register("datagrams_refused"),
		waiting: register("sets_waiting"), waited: register("sets_without_template"),
		resumed: register("sets_resumed"), expired: register("sets_expired"),
		runs: register("command_runs"), failures: register("command_failures"), skipped: register("command_skipped"),
	}
}

func (p *Nfdump) infof(format string, args ...any) {
	if p.Log != nil {
		p.Log.Infof(format, args...)
	}
}

func (p *Nfdump) errorf(format string, args ...any) {
	if p.Log != nil {
		p.Log.Errorf(format, args...)
	}
}

// Check says why Connect would fail, also after Init has refused other options. It
// changes nothing.
func (p *Nfdump) Check() error {
	var errs []error
	for _, dir := range p.directories() {
		errs = append(errs, archive.CheckDirectory(dir))
	}
	if p.Format != "pcap" && p.Directory != "" {
		errs = append(errs, p.checkState())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w%s", err, advice(err))
	}
	return nil
}

// directories are those that files are written to, as far as they are given.
func (p *Nfdump) directories() []string {
	var list []string
	if p.Format != "pcap" {
		list = append(list, p.Directory)
		for _, s := range p.Sources {
			list = append(list, s.Directory)
		}
	}
	if p.Format == "pcap" || p.Format == "both" {
		list = append(list, p.pcapDirectory())
	}
	return slices.DeleteFunc(list, func(dir string) bool { return dir == "" })
}

// Connect implements telegraf.Output: it takes the directory and makes whole what
// a kill left behind. When it cannot, Write tries again, and the agent's other plugins
// run meanwhile; what comes stays in Telegraf's buffer.
func (p *Nfdump) Connect() error {
	if p.down = p.open(); p.down != nil {
		p.errorf("cannot open, trying again every %s: %v%s", reopenPause(p.down), p.down, advice(p.down))
		p.downSince = time.Now()
	}
	return nil
}

// The time between two attempts to open. Who holds a directory is mostly the agent that this
// one takes over from, and lets go soon.
const (
	reopenAfter     = 10 * time.Second
	reopenAfterHeld = time.Second
)

// reopenPause returns how long to wait before opening again what could not be opened.
func reopenPause(err error) time.Duration {
	if errors.Is(err, disk.ErrHeld) {
		return reopenAfterHeld
	}
	return reopenAfter
}

// reopen tries again what Connect could not do.
func (p *Nfdump) reopen() error {
	if p.down == nil {
		return nil
	}
	if time.Since(p.downSince) >= reopenPause(p.down) {
		p.down, p.downSince = p.open(), time.Now()
	}
	if p.down != nil {
		return fmt.Errorf("not open yet, what comes stays in the buffer: %w%s", p.down, advice(p.down))
	}
	p.infof("open")
	return nil
}

// open takes the directories. When it fails, nothing stays open.
func (p *Nfdump) open() error {
	if p.pcap != nil {
		if err := p.pcap.Open(); err != nil {
			return err
		}
	}
	if p.archive != nil {
		p.openWaiting()
		if p.Index {
			p.indexer.start(p.warnf)
		}
		if err := p.archive.Open(); err != nil {
			p.closeWaiting()
			if p.pcap != nil {
				err = errors.Join(err, p.pcap.Close())
			}
			return err
		}
	}
	if p.command != nil {
		p.command.Start()
	}
	p.decoder = collector.NewDecoder(p.options)
	if p.archive == nil {
		return nil
	}
	p.counted, p.spare = map[nffile.Exporter]counters{}, map[nffile.Exporter]counters{}
	p.restore()
	return nil
}

func (p *Nfdump) warnf(format string, args ...any) {
	if p.Log != nil {
		p.Log.Warnf(format, args...)
	}
}

// Close implements telegraf.Output: it makes the open file complete.
func (p *Nfdump) Close() error {
	var raw error
	if p.pcap != nil {
		raw = p.pcap.Close()
	}
	if p.archive == nil {
		p.stopCommand()
		return raw
	}
	if p.decoder != nil {
		p.saveState()
	}
	err := p.archive.Close()
	p.closeWaiting()
	p.indexer.stop()
	p.stopCommand()
	return errors.Join(raw, err)
}

// completed lets the command run for a complete file, and its index be made.
func (p *Nfdump) completed(file archive.Complete) {
	p.indexer.addFile(file)
	if p.command != nil {
		p.command.Add(file)
	}
}

// stopCommand waits for the runs of the command.
func (p *Nfdump) stopCommand() {
	if p.command != nil {
		p.command.Stop()
	}
}

// reportCommand sets the counters of the command.
func (p *Nfdump) reportCommand() {
	if p.command != nil {
		p.stats.runs.Set(int64(p.command.Runs.Load()))
		p.stats.failures.Set(int64(p.command.Failures.Load()))
		p.stats.skipped.Set(int64(p.command.Skipped.Load()))
	}
}

// count puts what the exporters' counters have grown by into the file's
// statistics, and the counters into spare.
func (p *Nfdump) count(b archive.GroupBatch) {
	p.eachExporter(func(id nffile.Exporter, now counters) {
		before := p.counted[id]
		if now.datagrams < before.datagrams || now.failures < before.failures {
			before = counters{} // forgotten in between and begun anew
		}
		if now != before {
			b.Datagrams(id, now.datagrams-before.datagrams, now.failures-before.failures)
		}
	})
}

// takeCounters makes what the decoder has counted the state of the last batch.
func (p *Nfdump) takeCounters() {
	p.eachExporter(func(nffile.Exporter, counters) {})
	p.counted, p.spare = p.spare, p.counted
}

// eachExporter calls fn for the exporters whose datagrams are decoded and fills
// spare with their counters.
func (p *Nfdump) eachExporter(fn func(nffile.Exporter, counters)) {
	clear(p.spare)
	p.decoder.Exporters(func(s *collector.ExporterStats) {
		if s.Version == 0 || s.Unsupported > 0 || !s.Exporter.IsValid() {
			return
		}
		id := nffile.Exporter{Addr: s.Exporter, Version: s.Version, Domain: s.Domain}
		now := counters{s.Datagrams, s.SequenceGaps}
		p.spare[id] = now
		fn(id, now)
	})
}

func init() {
	outputs.Add("nfdump", func() telegraf.Output {
		return &Nfdump{
			RotationInterval: config.Duration(5 * time.Minute),
			Compression:      "lz4",
			Watermark:        95,
			CommandTimeout:   config.Duration(time.Minute),
			TemplateWait:     config.Duration(30 * time.Minute),
		}
	})
}
